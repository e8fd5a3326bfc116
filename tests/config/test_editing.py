"""Changes to a configuration file: what is meant changes, and not an octet else."""

from __future__ import annotations

from pathlib import Path

import pytest

from browserid_sasl.config.editing import Wanted, changed
from browserid_sasl.errors import ConfigurationError

FILE = Path("/home/alice/.config/browserid/browserid.toml")
ALICE = "alice@example.org"
BOB = "bob@example.org"


def after(text: str, identity: str = "", **identities: str) -> str:
    """A text in which this is wanted; `imap_` stands for `imap/*`."""
    by_pattern = {name.replace("_", "/*"): who for name, who in identities.items()}
    return changed(text.encode(), FILE, Wanted(identity, by_pattern)).decode()


class TestIdentity:
    @pytest.mark.parametrize(
        ("before", "expected"),
        [
            ("", f'[client]\nidentity = "{ALICE}"\n'),
            ("# mine", f'# mine\n\n[client]\nidentity = "{ALICE}"\n'),
            ("[client]", f'[client]\nidentity = "{ALICE}"\n'),
            (
                f"[client]\nidentity = '{BOB}'   # at work\n",
                f'[client]\nidentity = "{ALICE}"   # at work\n',
            ),
            (
                '[client]\n  sign_in = "device"  # no screen\n\n[store]\nbackend = "memory"\n',
                f'[client]\n  sign_in = "device"  # no screen\n  identity = "{ALICE}"\n'
                '\n[store]\nbackend = "memory"\n',
            ),
            (
                'client.sign_in = "device"\n[store]\n',
                f'client.sign_in = "device"\nclient.identity = "{ALICE}"\n[store]\n',
            ),
            (
                'client = { sign_in = "device" }\n',
                f'client = {{ sign_in = "device", identity = "{ALICE}" }}\n',
            ),
            (
                '[client]\nbrowser = [\n  "firefox", # ]\n  "{link}",\n]\n',
                '[client]\nbrowser = [\n  "firefox", # ]\n  "{link}",\n]\n'
                f'identity = "{ALICE}"\n',
            ),
        ],
    )
    def test_is_put_where_the_rest_is(self, before: str, expected: str) -> None:
        assert after(before, ALICE) == expected

    @pytest.mark.parametrize(
        ("before", "expected"),
        [
            (f'# a\n[client]\n# b\nidentity = "{BOB}" # c\n# d\n', "# a\n[client]\n# b\n# d\n"),
            (f'client = {{ identity = "{BOB}" }}', "client = {  }"),
            (
                f'client = {{ identity = "{BOB}", sign_in = "device" }}',
                'client = { sign_in = "device" }',
            ),
            (
                f'client = {{ sign_in = "device", identity = "{BOB}" }}',
                'client = { sign_in = "device" }',
            ),
        ],
    )
    def test_is_taken_out(self, before: str, expected: str) -> None:
        assert after(before) == expected


class TestIdentities:
    TABLE = f'[client.identities]\n# all mail\n"imap/*" = "{BOB}" # b\n\n"smtp/*" = "{BOB}"\n'

    def test_keep_their_order_and_comments(self) -> None:
        assert after(self.TABLE, imap_=BOB, ldap_=ALICE, smtp_=BOB) == self.TABLE.replace(
            '"smtp', f'"ldap/*" = "{ALICE}"\n"smtp'
        )
        assert after(self.TABLE, imap_=ALICE, smtp_=BOB) == self.TABLE.replace(BOB, ALICE, 1)
        assert after(self.TABLE, smtp_=BOB) == self.TABLE.replace(f'"imap/*" = "{BOB}" # b\n', "")

    def test_one_before_another_is_above_its_comment(self) -> None:
        found = after(self.TABLE, ldap_=ALICE, imap_=BOB, smtp_=BOB)
        assert found == self.TABLE.replace("# all", f'"ldap/*" = "{ALICE}"\n# all')

    def test_one_that_has_to_come_earlier_does(self) -> None:
        found = after(self.TABLE, smtp_=ALICE, imap_=BOB)
        assert found.index("smtp/*") < found.index("# all mail")

    @pytest.mark.parametrize(
        ("before", "expected"),
        [
            (
                f'[client]\nidentities = {{ "imap/*" = "{BOB}" }}\n',
                f'[client]\nidentities = {{ "imap/*" = "{BOB}", "smtp/*" = "{ALICE}" }}\n',
            ),
            (
                f'[client]\nidentities."imap/*" = "{BOB}"\n',
                f'[client]\nidentities."imap/*" = "{BOB}"\nidentities."smtp/*" = "{ALICE}"\n',
            ),
            (
                f"[client]\n[client.identities]\n\"imap/*\"='{BOB}'",
                f'[client]\n[client.identities]\n"imap/*"=\'{BOB}\'\n"smtp/*" = "{ALICE}"\n',
            ),
        ],
    )
    def test_are_written_as_the_others_are(self, before: str, expected: str) -> None:
        assert after(before, imap_=BOB, smtp_=ALICE) == expected

    def test_fill_an_empty_table(self) -> None:
        found = after("[client]\nidentities = {}\n", imap_=ALICE)
        assert found == f'[client]\nidentities = {{ "imap/*" = "{ALICE}" }}\n'

    def test_are_found_however_the_host_is_spelled(self) -> None:
        before = f'[client.identities]\n"imap/Mail.Example.ORG" = "{BOB}"\n'
        wanted = Wanted("", {"imap/mail.example.org": ALICE})
        assert changed(before.encode(), FILE, wanted).decode() == before.replace(BOB, ALICE)


def test_line_ends_and_a_mark_stay() -> None:
    before = b"\xef\xbb\xbf# a\r\n[client]\r\n"
    expected = before + f'identity = "{ALICE}"\r\n'.encode()
    assert changed(before, FILE, Wanted(ALICE, {})) == expected


def test_what_cannot_be_done_is_not() -> None:
    before = b'client = { sign_in = "device" }\n'
    with pytest.raises(ConfigurationError, match="change `identity`, or the table") as caught:
        changed(before, FILE, Wanted("", {"imap/*": ALICE}))
    assert caught.value.file == str(FILE)
