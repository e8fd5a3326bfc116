"""Keys of both types with programs that bound the length of a message (docs/limits.md)."""

from __future__ import annotations

import base64
import imaplib
import re
import smtplib
from collections.abc import Callable, Iterator

import pytest

from browserid_sasl.agent.application import KeyType
from tests.support.sample_programs import ALICE, ROOT
from tests.support.services import ADMIN, AES128, HOST, Imapd, Postfix, Site, Slapd, Syslog

TOO_LONG = "error base64 decoding string"


@pytest.fixture(params=["ES256", "RS256"])
def key_type(request: pytest.FixtureRequest) -> KeyType:
    found: KeyType = request.param
    return found


@pytest.fixture
def imapd(new_site: Callable[[str], Site], syslog: Syslog, key_type: KeyType) -> Iterator[Imapd]:
    """Alice has a mailbox, and is signed in with a key of that type."""
    site = new_site("cyrus")
    site.realm.sign_in(key_type=key_type)
    with Imapd(site).running() as imapd:
        admin = site.mechanism("imap", person=site.realm.person(ADMIN))
        with imaplib.IMAP4("127.0.0.1", imapd.port, 20) as connection:
            connection.authenticate(AES128, admin.step)
            assert connection.create("user/alice")[0] == "OK"
        yield imapd


def run(imapd: Imapd, program: str, port: int, last: str) -> str:
    """One of Cyrus's programs that log in and read commands."""
    command = (Imapd.PROGRAMS / program, "-m", AES128, "-a", ALICE, "-p", str(port), HOST)
    return imapd.site.run(*command, input=f"{last}\r\n").stdout


def test_imtest(imapd: Imapd) -> None:
    assert "Authenticated." in run(imapd, "imtest", imapd.port, ". logout")


def test_sivtest(imapd: Imapd) -> None:
    assert "Authenticated." in run(imapd, "sivtest", imapd.sieve_port, "LOGOUT")


def test_cyradm(imapd: Imapd) -> None:
    command = ("cyradm", "--auth", AES128, "--user", ALICE, "--port", str(imapd.port), HOST)
    assert "INBOX" in imapd.site.run(*command, input="listmailbox\n", TERM="dumb").stdout


def test_sieveshell_takes_what_is_made_by_default(
    imapd: Imapd, syslog: Syslog, key_type: KeyType
) -> None:
    mark = syslog.mark()
    user = ("--user", ALICE, "--authname", ALICE, "--exec", "list")
    done = imapd.site.run("sieveshell", *user, f"{HOST}:{imapd.sieve_port}")
    if key_type == "ES256":
        assert done.returncode == 0, done.stdout
    else:
        assert done.returncode != 0
        syslog.wait_for(TOO_LONG, mark)


def test_the_page_names_what_timsieved_logs() -> None:
    assert f"| sieveshell | 2,048 characters | `{TOO_LONG}`" in limits_page()


def test_ldapwhoami(new_site: Callable[[str], Site], key_type: KeyType) -> None:
    site = new_site("root")
    site.realm.sign_in(key_type=key_type)
    with Slapd(site).running() as slapd:
        command = ("ldapwhoami", "-N", "-H", slapd.url, "-Y", AES128, "-U", ALICE)
        assert "uid=alice" in site.run(*command).stdout


class TestPostfix:
    """The first message comes in the line of the command AUTH."""

    def log_in(self, site: Site, key_type: KeyType, **settings: str) -> int:
        with Postfix(site, site.folder / "none", settings).running() as postfix:
            mechanism = site.mechanism("smtp", person=site.realm.person(key_type=key_type))
            first = base64.b64encode(mechanism.step()).decode()
            with smtplib.SMTP("127.0.0.1", postfix.port, timeout=20) as connection:
                connection.ehlo()
                code, text = connection.docmd("AUTH", f"{mechanism.name} {first}")
                while code == 334:
                    answer = mechanism.step(base64.b64decode(text))
                    code, text = connection.docmd(base64.b64encode(answer).decode())
                return code

    @pytest.fixture
    def site(self, new_site: Callable[[str], Site], syslog: Syslog) -> Site:
        return new_site("postfix")

    def test_takes_what_is_made_by_default(self, site: Site) -> None:
        assert self.log_in(site, "ES256") == 235

    def test_does_not_take_more_by_itself(self, site: Site) -> None:
        assert self.log_in(site, "RS256") >= 500

    def test_takes_more_with_the_setting_of_the_page(self, site: Site) -> None:
        guide = (ROOT / "docs" / "postfix.md").read_text()
        [most] = re.findall(r"^postconf line_length_limit=(\d+)$", guide, re.MULTILINE)
        assert f"`line_length_limit = {most}`" in limits_page()
        assert self.log_in(site, "RS256", line_length_limit=most) == 235


def limits_page() -> str:
    return (ROOT / "docs" / "limits.md").read_text()
