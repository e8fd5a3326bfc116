"""The Python half of the plugin, called as the C half calls it."""

from __future__ import annotations

import gc
import os
import pwd
import sys
from pathlib import Path
from typing import Any

import pytest

from browserid_sasl import cyrus
from browserid_sasl.cyrus import ClientExchange, Outcome, ServerExchange
from browserid_sasl.cyrus.codes import Disposition
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.sasl.results import LogLevel, Sasl
from tests.support.sample_programs import ALICE, DOMAIN, Realm

AES128 = "BROWSERID-AES128"
BINDING = ("tls-exporter", b"0123456789abcdef")


@pytest.fixture(scope="module")
def provider_key() -> PrivateKey:
    return PrivateKey.generate("RS256")


@pytest.fixture
def realm(tmp_path: Path, provider_key: PrivateKey, monkeypatch: pytest.MonkeyPatch) -> Realm:
    """A realm where alice has signed in, configured for this process as a client."""
    realm = Realm(tmp_path, provider_key)
    realm.sign_in()
    monkeypatch.setenv("BROWSERID_CONFIG", str(realm.config_file))
    return realm


def new_server(
    realm: Realm,
    *,
    binding: tuple[str, bytes] | None = None,
    critical: bool = False,
    mutual: bool = False,
    **options: str,
) -> ServerExchange:
    given = {"browserid_config": str(realm.config_file), "browserid_allow": DOMAIN}
    given |= {f"browserid_{name}": text for name, text in options.items()}
    kind, data = binding or (None, b"")
    return cyrus.server(
        AES128, given, "imap", "localhost", kind, data, int(critical), 0, int(mutual)
    )


def new_client(
    authname: str = "",
    authzid: str = "",
    *,
    binding: tuple[str, bytes] | None = None,
    disposition: Disposition = Disposition.NONE,
    mutual: bool = False,
    host: str = "localhost",
) -> ClientExchange:
    kind, data = binding or (None, b"")
    client = cyrus.client(AES128, {}, "imap", host, kind, data, 0, int(disposition), int(mutual))
    client.name(authname, authzid)
    return client


def log_in(client: ClientExchange, server: ServerExchange) -> tuple[Outcome, Outcome]:
    """Carry messages to and fro; the last outcome of each side."""
    sent = client.step(b"")
    while sent.code == Sasl.CONTINUE:
        answer = server.step(sent.output or b"")
        if answer.code not in (Sasl.OK, Sasl.CONTINUE):
            return sent, answer
        sent = client.step(answer.output or b"")
    return sent, answer


class TestSuccess:
    def test_both_sides_name_the_identity(self, realm: Realm) -> None:
        client, server = log_in(new_client(), new_server(realm))
        assert (client.code, client.identity, client.authzid) == (Sasl.OK, ALICE, ALICE)
        assert (server.code, server.identity, server.authzid) == (Sasl.OK, ALICE, ALICE)
        assert client.message is client.detail is server.message is server.detail is None

    def test_the_server_strips_its_domain_of_both_names(self, realm: Realm) -> None:
        server = new_server(realm, strip_domain=DOMAIN)
        outcome = log_in(new_client(authzid=f"bob@{DOMAIN}"), server)[1]
        assert (outcome.identity, outcome.authzid) == ("alice", "bob")

    def test_a_file_says_who_may_log_in(self, realm: Realm, tmp_path: Path) -> None:
        people = tmp_path / "people"
        people.write_text("bob@example.test\n")
        options: dict[str, Any] = {"allow": "", "allow_file": str(people)}
        assert log_in(new_client(), new_server(realm, **options))[0].code == Sasl.NOAUTHZ
        people.write_text("bob@example.test\nalice@example.test\n")
        assert log_in(new_client(), new_server(realm, **options))[1].code == Sasl.OK
        people.write_text("bob@example.test\nalice\n")
        server = log_in(new_client(), new_server(realm, **options))[1]
        assert server.code == Sasl.BADPARAM
        assert f"{people}:2: " in (server.message or "")
        people.unlink()
        assert new_server(realm, **options).step(b"").code == Sasl.BADPARAM

    def test_other_domains_stay(self, realm: Realm) -> None:
        outcome = log_in(new_client(), new_server(realm, strip_domain="example.org"))[1]
        assert outcome.identity == ALICE

    def test_the_channel_binding_is_reported(self, realm: Realm) -> None:
        client = new_client(binding=BINDING, disposition=Disposition.USED)
        outcome = log_in(client, new_server(realm, binding=BINDING))[1]
        assert (outcome.disposition, outcome.binding) == (Disposition.USED, "tls-exporter")

    def test_properties_have_issuer_and_lifetime(self, realm: Realm) -> None:
        properties = dict(log_in(new_client(), new_server(realm))[1].properties)
        assert properties["browserid-email"] == ALICE
        assert properties["browserid-issuer"] == DOMAIN
        assert len(properties["browserid-expires"]) == 10

    @pytest.mark.parametrize("name", [pwd.getpwuid(os.getuid()).pw_name, "", "alice"])
    def test_a_name_without_domain_is_who_has_it_or_the_account(
        self, realm: Realm, name: str
    ) -> None:
        for authname in (name, ""):
            client, server = log_in(new_client(authname, name), new_server(realm))
            assert client.identity == server.authzid == ALICE

    def test_of_two_a_name_picks_the_one_who_has_it(self, realm: Realm) -> None:
        realm.sign_in(f"bob@{DOMAIN}")
        for name in ("alice", "bob"):
            client, _ = log_in(new_client(name, name), new_server(realm))
            assert client.identity == f"{name}@{DOMAIN}"


class TestFailure:
    """Every failure has a code of saslplug.h, a sentence, and one line for the log."""

    def test_nobody_is_signed_in(self, realm: Realm) -> None:
        outcome = new_client(f"bob@{DOMAIN}").step(b"")
        assert outcome.code == Sasl.NOTDONE
        assert outcome.detail is not None
        assert outcome.detail.endswith(f"browserid login bob@{DOMAIN}")

    def test_somebody_else_is_signed_in(self, realm: Realm) -> None:
        outcome = new_client("bob", "bob").step(b"")
        assert outcome.code == Sasl.NOTDONE
        assert outcome.output is None
        assert f"bob is nobody who is signed in: that is {ALICE}" in (outcome.detail or "")

    def test_a_client_always_logs_as_an_error(self, realm: Realm) -> None:
        assert new_client(f"bob@{DOMAIN}").step(b"").level == LogLevel.ERR

    @pytest.mark.parametrize("message", [b"", b"n,,", b"n,,c,x~y", b"\xff" * 100, b"F,n,,c,a"])
    def test_what_is_malformed_is_answered_and_then_refused(
        self, realm: Realm, message: bytes
    ) -> None:
        server = new_server(realm)
        told = server.step(message)
        assert told.code == Sasl.CONTINUE
        assert told.level == LogLevel.FAIL
        assert told.message is not None
        refused = server.step(b"")
        assert refused.code == Sasl.BADPROT
        assert refused.message is None, "it was logged before"
        assert refused.detail is not None
        assert refused.detail in told.message

    @pytest.mark.parametrize(
        ("options", "level"),
        [
            ({"allow": ""}, LogLevel.ERR),
            ({"allow": "example.org, bob@example.test"}, LogLevel.FAIL),
            ({"allow": "", "strip_domain": "example.org"}, LogLevel.FAIL),
        ],
    )
    def test_somebody_who_may_not_log_in(
        self, realm: Realm, options: dict[str, Any], level: LogLevel
    ) -> None:
        for authzid in ("", "bob"):
            server = new_server(realm, **options)
            told = server.step(new_client(authzid=authzid).step(b"").output or b"")
            assert (told.code, told.level) == (Sasl.CONTINUE, level)
            assert ("`allow`" in (told.message or "")) and told.output
            outcome = server.step(b"")
            assert (outcome.code, outcome.message) == (Sasl.NOAUTHZ, None)

    def test_what_is_no_domain_and_no_address(self, realm: Realm) -> None:
        outcome = new_server(realm, allow="*.example.test").step(b"")
        assert (outcome.code, outcome.level) == (Sasl.BADPARAM, LogLevel.ERR)
        assert "browserid_allow" in (outcome.message or "")
        assert "never a pattern" in (outcome.message or "")

    def test_a_ticket_of_somebody_who_may_log_in_no_more(self, realm: Realm) -> None:
        assert log_in(new_client(), new_server(realm))[1].code == Sasl.OK
        server = new_server(realm, allow="bob@example.test")
        server.step(new_client().step(b"").output or b"")
        assert server.step(b"").code == Sasl.NOAUTHZ

    def test_a_replay(self, realm: Realm) -> None:
        assertion = new_client().step(b"").output or b""
        assert new_server(realm).step(assertion).code == Sasl.OK
        second = new_server(realm)
        assert second.step(assertion).code == Sasl.CONTINUE
        assert second.step(b"").code == Sasl.BADAUTH

    def test_another_host(self, realm: Realm) -> None:
        client, _server = log_in(new_client(host="mail.example.org"), new_server(realm))
        assert client.code == Sasl.BADAUTH
        assert client.detail is not None
        assert client.detail.startswith("the server said: bad-audience")

    def test_another_channel(self, realm: Realm) -> None:
        client = new_client(binding=BINDING, disposition=Disposition.USED)
        outcome = log_in(client, new_server(realm, binding=("tls-exporter", b"other")))[0]
        assert outcome.code == Sasl.BADBINDING

    def test_a_binding_that_is_critical(self, realm: Realm) -> None:
        outcome = log_in(new_client(), new_server(realm, binding=BINDING, critical=True))[0]
        assert outcome.code == Sasl.BADBINDING

    def test_a_server_said_not_to_bind_that_does(self, realm: Realm) -> None:
        client = new_client(binding=BINDING, disposition=Disposition.WANT)
        outcome = log_in(client, new_server(realm, binding=BINDING))[0]
        assert outcome.code == Sasl.BADBINDING

    def test_a_configuration_error(self, realm: Realm) -> None:
        realm.config_file.write_text("[server]\nclock_skew = 'soon'\n")
        outcome = new_server(realm).step(b"")
        assert (outcome.code, outcome.level) == (Sasl.BADPARAM, LogLevel.ERR)
        assert f"{realm.config_file}:2: " in (outcome.message or "")

    def test_an_option_of_the_program(self, realm: Realm) -> None:
        outcome = new_server(realm, tickets="perhaps").step(b"")
        assert outcome.code == Sasl.BADPARAM
        assert "browserid_tickets" in (outcome.message or "")

    def test_a_mechanism_the_file_leaves_out(self, realm: Realm) -> None:
        outcome = new_server(realm, mechanisms="BROWSERID-AES256").step(b"")
        assert outcome.code == Sasl.BADPARAM

    def test_mutual_authentication_that_the_server_can_not_give(self, realm: Realm) -> None:
        outcome = new_server(realm, mutual=True).step(b"")
        assert outcome.code == Sasl.BADPARAM
        assert "browserid_x509_certificate" in (outcome.detail or "")

    def test_mutual_authentication_that_the_client_demands(self, realm: Realm) -> None:
        outcome = log_in(new_client(mutual=True), new_server(realm))[0]
        assert outcome.code in (Sasl.BADSERV, Sasl.BADAUTH)

    def test_a_server_that_sends_rubbish(self, realm: Realm) -> None:
        client = new_client()
        client.step(b"")
        assert client.step(b"C,rubbish").code == Sasl.BADPROT

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (MemoryError(), Sasl.NOMEM),
            (ModuleNotFoundError("No module named 'x'"), Sasl.UNAVAIL),
            (OSError(28, "No space left on device", "/var"), Sasl.UNAVAIL),
            (KeyError("a secret"), Sasl.FAIL),
            (SystemExit(), Sasl.FAIL),
            (KeyboardInterrupt(), Sasl.FAIL),
            (RecursionError(), Sasl.FAIL),
        ],
    )
    def test_no_exception_gets_out(
        self, realm: Realm, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: Sasl
    ) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise error

        monkeypatch.setattr("browserid_sasl.cyrus.facades.load", fail)
        outcome = new_server(realm).step(b"")
        assert outcome.code == code
        assert outcome.detail
        assert "secret" not in (outcome.message or "")

    def test_a_name_can_not_forge_a_line_of_the_log(self, realm: Realm) -> None:
        outcome = new_client("mallory\nroot logged in@example.test").step(b"")
        assert "\n" not in (outcome.message or "")


class TestReloading:
    def test_a_corrected_file_counts_from_the_next_login_on(self, realm: Realm) -> None:
        good = realm.config_file.read_text()
        realm.config_file.write_text("[server\n")
        assert new_server(realm).step(b"").code == Sasl.BADPARAM
        realm.config_file.write_text(good)
        assert log_in(new_client(), new_server(realm))[1].code == Sasl.OK

    def test_a_file_that_is_changed_between_logins_counts(self, realm: Realm) -> None:
        good = realm.config_file.read_text()
        assert log_in(new_client(), new_server(realm))[1].code == Sasl.OK
        realm.config_file.write_text(good + "[server]\nclock_skew = 'soon'\n")
        assert new_server(realm).step(b"").code == Sasl.BADPARAM
        realm.config_file.write_text(good + f"[server]\nstrip_domain = '{DOMAIN}'\n")
        assert log_in(new_client(), new_server(realm))[1].identity == "alice"
        realm.config_file.write_text(good)
        assert log_in(new_client(), new_server(realm))[1].identity == ALICE

    def test_a_file_whose_mode_is_changed_is_looked_at_again(self, realm: Realm) -> None:
        assert log_in(new_client(), new_server(realm))[1].code == Sasl.OK
        realm.config_file.chmod(0o666)
        refused = os.geteuid() == 0
        assert (new_server(realm).step(b"").code == Sasl.BADPARAM) is refused

    def test_a_file_that_is_as_it_was_is_not_read_again(
        self, realm: Realm, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert log_in(new_client(), new_server(realm))[1].code == Sasl.OK
        monkeypatch.setattr("browserid_sasl.cyrus.facades.load", None)
        assert log_in(new_client(), new_server(realm))[1].code == Sasl.OK


def test_exchanges_leave_nothing_behind(realm: Realm) -> None:
    """By Python's own count of the blocks it has allocated; what grows are bounded caches."""

    def blocks_after(exchanges: int) -> int:
        for _ in range(exchanges):
            assert log_in(new_client(), new_server(realm))[1].code == Sasl.OK
        gc.collect()
        return sys.getallocatedblocks()

    before = blocks_after(100)
    assert blocks_after(600) - before < 300
