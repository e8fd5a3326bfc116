"""Each option of servers, clients and their stores: from a file to what it does.

Every test logs in by a configuration file, once without the option (or with another value of it)
and once with, and sees the difference.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from browserid_sasl import ChannelBinding, Server
from browserid_sasl.acceptor.answers import Success
from browserid_sasl.acceptor.login import Login
from browserid_sasl.acceptor.requests import Begin
from browserid_sasl.acceptor.servers import Servers
from browserid_sasl.api import acceptor_stores, initiator_stores
from browserid_sasl.attributes.saml import ASSERTION_NAME
from browserid_sasl.config import Config, ListenerConfig
from browserid_sasl.errors import (
    Code,
    ConfigurationError,
    CredentialError,
    RemoteProtocolError,
)
from browserid_sasl.gss.steps import at_once
from browserid_sasl.gss.tickets import AcceptorTicket
from browserid_sasl.gss.tokens import TokenId, unframe
from browserid_sasl.identity.backed import BackedAssertion
from browserid_sasl.jose.keys import PrivateKey, PublicKey
from browserid_sasl.sasl import gs2
from browserid_sasl.store.base import system_clock
from browserid_sasl.x509.files import load_server_credential
from tests.support.certificates import DAY, Issued, authority, issue, names
from tests.support.configured import AES128, HOST, ConfiguredSite, configured_site
from tests.support.exchanges import signed_by_server
from tests.support.refusal import refused
from tests.support.saml import ISSUER, assertion
from tests.support.saml_signing import sign
from tests.support.world import ALICE, HOUR, Clock, Person, key, support_document

SECOND = 1000
MINUTE = 60_000
EXPORTER = ChannelBinding("tls-exporter", b"exported keying material")
TODAY = datetime.now(UTC)
CURRENT: dict[str, Any] = {"begins": TODAY - DAY, "ends": TODAY + DAY}
OURS = authority("our authority", **CURRENT)
THEIRS = authority("another authority", **CURRENT)


@pytest.fixture
def site(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> ConfiguredSite:
    """A site, in a home with nothing in it: what is not read from the file is not found."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    return configured_site(tmp_path, monkeypatch)


def tickets(config: Config) -> list[AcceptorTicket]:
    """A server's tickets, those that expire first in front."""
    return sorted(acceptor_stores(config).tickets.all(0), key=lambda ticket: ticket.expires)


def sent(message: bytes) -> Any:
    """What the assertion in a client's first message says."""
    token = gs2.split(message)[2]
    return BackedAssertion.parse(unframe(token, TokenId.INITIATOR)).assertion.claims


class TestStore:
    @pytest.mark.option("store.directory")
    def test_keys_and_tickets_of_a_person_are_in_the_directory(self, site: ConfiguredSite) -> None:
        site.site.sign_in("bob@idp.test", directory="of-bob")
        config = site.load({"store.directory": "of-bob"})
        assert site.log_in(config).result.identity == "bob@idp.test"
        assert len(list(initiator_stores(config).tickets.all(0))) == 1
        assert site.log_in(site.load()).result.identity == ALICE

    @pytest.mark.option("store.server_directory")
    def test_servers_know_the_assertions_that_others_with_their_directory_saw(
        self, site: ConfiguredSite
    ) -> None:
        message = site.client(site.load()).step()
        one, other = ({"store.server_directory": name} for name in ("one", "other"))
        for options, code in ((one, None), (one, Code.REPLAYED_ASSERTION), (other, None)):
            server = site.server(site.load(options))
            server.step(message)
            assert (server.failure.code if server.failure else None) is code

    @pytest.mark.option("store.backend")
    def test_stores_in_memory_end_with_their_server(self, site: ConfiguredSite) -> None:
        message = site.client(site.load()).step()
        before = sorted(site.folder.rglob("*"))
        config = site.load({"store.backend": "memory"})
        for server in (site.server(config), site.server(config)):
            server.step(message)
            assert server.failure is None
        assert sorted(site.folder.rglob("*")) == before
        with pytest.raises(CredentialError, match="nobody is signed in"):
            site.client(config).step()

    @pytest.mark.option("store.durability")
    @pytest.mark.parametrize(("durability", "synchronous"), [("process", 1), ("power", 2)])
    def test_what_each_login_waits_for(
        self,
        site: ConfiguredSite,
        monkeypatch: pytest.MonkeyPatch,
        durability: str,
        synchronous: int,
    ) -> None:
        config = site.load({"store.durability": durability})
        opened: list[sqlite3.Connection] = []
        connect = sqlite3.connect

        def recorded(*arguments: Any, **options: Any) -> sqlite3.Connection:
            opened.append(connect(*arguments, **options))
            return opened[-1]

        for make_stores in (acceptor_stores, initiator_stores):
            make_stores(config).close()  # so that the files are there
            monkeypatch.setattr(sqlite3, "connect", recorded)
            stores = make_stores(config)
            monkeypatch.undo()
            assert opened.pop().execute("PRAGMA synchronous").fetchone() == (synchronous,)
            stores.close()


class TestNames:
    @pytest.mark.option("server.audiences")
    def test_further_service_principals(self, site: ConfiguredSite) -> None:
        elsewhere: dict[str, Any] = {"hostname": "mx.example.com"}
        refusal = site.log_in(site.load(), **elsewhere).failure
        assert refusal is not None
        assert refusal.code is Code.BAD_AUDIENCE
        config = site.load({"server.audiences": ["imap/mx.example.com"]})
        assert site.log_in(config, **elsewhere).result.identity == ALICE
        refusal = site.log_in(config, service="smtp", **elsewhere).failure
        assert refusal is not None
        assert refusal.code is Code.BAD_AUDIENCE

    @pytest.mark.option("server.host_spn_alias")
    def test_the_service_called_host(self, site: ConfiguredSite) -> None:
        for alias in (False, True):
            config = site.load({"server.host_spn_alias": alias})
            failure = site.log_in(config, service="host").failure
            assert (failure is None) is alias
            assert alias or (failure is not None and failure.code is Code.BAD_AUDIENCE)

    @pytest.mark.option("server.strip_domain")
    def test_addresses_that_become_user_names(self, site: ConfiguredSite) -> None:
        for domain, user in (("idp.test", "alice"), ("other.test", ALICE)):
            config = site.load({"server.strip_domain": domain, "server.tickets": False})
            first = site.client(config).step()
            begin = Begin(1, AES128, "imap", {"bid": "1", "bid_host": HOST}, first)
            served = Servers(config, HOST).find(begin, ListenerConfig())
            outcome = at_once(Login(begin, served).start())
            assert isinstance(outcome, Success)
            assert outcome.user == user


class TestMechanisms:
    @pytest.mark.option("server.mechanisms")
    def test_a_server_offers_what_is_listed(self, site: ConfiguredSite) -> None:
        service = Server(site.load({"server.mechanisms": ["BROWSERID-AES256"]}), "imap", HOST)
        assert service.mechanisms() == ["BROWSERID-AES256"]
        with refused(Code.WRONG_MECH):
            service.start(AES128)

    @pytest.mark.option("client.mechanisms")
    def test_a_client_prefers_what_is_listed_first(self, site: ConfiguredSite) -> None:
        both = [AES128, "BROWSERID-AES256"]
        for listed, used in ((both, both[0]), (both[::-1], both[1]), (both[1:], both[1])):
            config = site.load({"client.mechanisms": listed})
            assert site.client(config, offered=both).name == used
        with refused(Code.WRONG_MECH):
            site.client(site.load({"client.mechanisms": both[1:]}), offered=both[:1])


class TestWhoMayLogIn:
    @pytest.mark.option("server.allow")
    def test_domains_and_addresses_that_are_named(self, site: ConfiguredSite) -> None:
        for allow in (["idp.test"], ["@IDP.test"], [ALICE], ["elsewhere.test", ALICE], ["*"]):
            login = site.log_in(site.load({"server.allow": allow}))
            assert login.result.identity == ALICE
        for allow in ([], ["elsewhere.test"], ["bob@idp.test"], ["sub.idp.test"], ["xidp.test"]):
            refusal = site.log_in(site.load({"server.allow": allow})).failure
            assert refusal is not None
            assert refusal.code is Code.NO_LOCAL_MAPPING

    @pytest.mark.option("server.allow_file")
    def test_a_file_of_them_from_the_next_login_on(self, site: ConfiguredSite) -> None:
        people = site.folder / "people"
        people.write_text(f"{ALICE}  # works here\n")
        config = site.load({"server.allow": [], "server.allow_file": "people"})
        server = Server(config, "imap", HOST)
        for listed in (True, False, True):
            people.write_text(f"{'' if listed else '#'}{ALICE}\n")
            theirs = server.start(AES128)
            theirs.step(site.client(config).step())
            assert (theirs.failure is None) == listed


class TestTrust:
    @pytest.mark.option("server.secondary_authorities")
    def test_providers_that_vouch_for_other_domains(self, site: ConfiguredSite) -> None:
        site.publish("elsewhere.json", support_document(key("elsewhere")))
        pinned: dict[str, Any] = {
            'authorities."elsewhere.test".keys_file': "elsewhere.json",
            "server.allow": ["elsewhere.test"],
        }
        bob = "bob@elsewhere.test"
        site.site.sign_in(bob)
        refusal = site.log_in(site.load(pinned), identity=bob).failure
        assert refusal is not None
        assert refusal.code is Code.UNTRUSTED_ISSUER
        trusting = pinned | {"server.secondary_authorities": ["idp.test"]}
        # Not as long as the domain has a provider of its own.
        refusal = site.log_in(site.load(trusting), identity=bob).failure
        assert refusal is not None
        assert refusal.code is Code.UNTRUSTED_ISSUER
        site.publish("elsewhere.json", {"disabled": True})
        config = site.load(trusting)
        assert site.log_in(config, identity=bob).result.identity == bob

    @pytest.mark.option("server.allow_legacy_keys")
    @pytest.mark.parametrize("whose", ["person", "provider"])
    def test_short_keys(self, site: ConfiguredSite, whose: str) -> None:
        person = Person(Clock(system_clock()))
        if whose == "person":
            person.user_key = short_key()
        else:
            person.signing_key = short_key()
            site.publish("support.json", support_document(short_key()))
        refusal = site.log_in(site.load(), credentials=person).failure
        assert refusal is not None
        config = site.load({"server.allow_legacy_keys": True})
        assert site.log_in(config, credentials=person).result.identity == ALICE

    @pytest.mark.parametrize("option", ["ticket_lifetime", "ticket_renew_limit"])
    def test_tickets_that_outlive_the_lists_of_revoked_keys(
        self, site: ConfiguredSite, option: str
    ) -> None:
        week = 7 * 86_400
        looks = {"server.revocations": "when-available"}
        site.server(site.load(looks | {f"server.{option}": week}))
        longer = {f"server.{option}": week + 1}
        site.server(site.load(longer))
        site.server(site.load(longer | looks | {"server.tickets": False}))
        with pytest.raises(ConfigurationError) as refusal:
            site.server(site.load(longer | looks))
        assert refusal.value.line > 0
        assert option in str(refusal.value)

    def test_an_authority_of_the_programs_own_that_knows_of_no_lists(
        self, site: ConfiguredSite
    ) -> None:
        class Own:
            def keys_for(self, issuer: str, email: str, now: int) -> tuple[PublicKey, ...]:
                return ()

            refreshed_keys_for = keys_for

        Server(site.load(), "imap", HOST, authority=Own())
        with pytest.raises(ConfigurationError):
            Server(site.load({"server.revocations": "required"}), authority=Own())

    @pytest.mark.option("server.require_channel_binding")
    def test_logins_that_are_not_bound_to_their_channel(self, site: ConfiguredSite) -> None:
        assert site.log_in(site.load()).failure is None
        config = site.load({"server.require_channel_binding": True})
        refusal = site.log_in(config).failure
        assert refusal is not None
        assert refusal.code is Code.MISSING_CHANNEL_BINDINGS
        client = site.client(config, offered=[AES128 + "-PLUS"], channel_binding=EXPORTER)
        server = site.server(config, channel_bindings={EXPORTER.type: EXPORTER.data})
        server.step(client.step())
        assert server.failure is None

    @pytest.mark.option("saml.certificate_file")
    def test_saml_authorities_that_are_believed(self, site: ConfiguredSite) -> None:
        signer, other = issue("SAML authority", **CURRENT), issue("stranger", **CURRENT)
        (site.folder / "saml.pem").write_bytes(signer.pem)
        (site.folder / "other.pem").write_bytes(other.pem)
        site.site.sign_in(attributes={"saml": sign(assertion(), signer)})
        context = site.log_in(site.load()).result.context
        for file, believed in (("saml.pem", True), ("other.pem", False)):
            service = Server(site.load({f'saml."{ISSUER}".certificate_file': file}), "imap", HOST)
            attributes = {each.name: each for each in service.name_attributes(context)}
            assert attributes[ASSERTION_NAME].authenticated is believed


class TestTimes:
    @pytest.mark.option("server.clock_skew", "client.assertion_lifetime")
    @pytest.mark.parametrize(
        ("lifetime", "skew", "late", "admitted"),
        [
            (30, 0, 29, True),
            (30, 0, 31, False),
            (30, 60, 88, True),
            (30, 60, 92, False),
            (600, 0, 598, True),
            (600, 0, 602, False),
        ],
    )
    def test_assertions_that_come_late(
        self, site: ConfiguredSite, lifetime: int, skew: int, late: int, admitted: bool
    ) -> None:
        config = site.load({"server.clock_skew": skew, "client.assertion_lifetime": lifetime})
        message = site.client(config).step()
        site.clocks.server = late * SECOND - (SECOND // 2)
        server = site.server(config)
        server.step(message)
        assert (server.failure is None) is admitted
        assert server.failure is None or server.failure.code is Code.EXPIRED_ASSERTION

    @pytest.mark.option("server.clock_skew")
    @pytest.mark.parametrize("skew", [0, 60, 3600])
    @pytest.mark.parametrize("backend", ["sqlite", "memory"])
    def test_an_assertion_is_remembered_as_long_as_it_can_verify(
        self, site: ConfiguredSite, backend: str, skew: int
    ) -> None:
        stores = acceptor_stores(site.load({"server.clock_skew": skew, "store.backend": backend}))
        expires = system_clock()
        assert stores.replay.insert(b"d" * 32, expires)
        stores.replay.purge(expires + skew * SECOND)
        assert not stores.replay.insert(b"d" * 32, expires)

    @pytest.mark.option("server.clock_skew")
    def test_a_replay_at_the_last_moment_is_refused(self, site: ConfiguredSite) -> None:
        site.site.sign_in(life=3 * HOUR)
        config = site.load({"server.clock_skew": 3600, "client.assertion_lifetime": 30})
        message = site.client(config).step()
        assert site.server(config).step(message) is not None
        site.clocks.server = HOUR + 29 * SECOND
        acceptor_stores(config).replay.purge(system_clock() + site.clocks.server)
        again = site.server(config)
        again.step(message)
        assert again.failure is not None
        assert again.failure.code is Code.REPLAYED_ASSERTION

    @pytest.mark.option("server.max_certificate_life")
    def test_certificates_that_live_long(self, site: ConfiguredSite) -> None:
        assert site.log_in(site.load({"server.max_certificate_life": 3600})).failure is None
        refusal = site.log_in(
            site.load({"server.max_certificate_life": 3599, "server.tickets": False})
        ).failure
        assert refusal is not None
        assert refusal.code is Code.INVALID_ASSERTION


class TestTickets:
    @pytest.mark.option("server.tickets")
    def test_whether_there_are_any(self, site: ConfiguredSite) -> None:
        without = site.load({"server.tickets": False})
        assert [site.log_in(without).result.ticket_used for _ in range(2)] == [False, False]
        assert tickets(without) == []
        assert [site.log_in(site.load()).result.ticket_used for _ in range(2)] == [False, True]

    @pytest.mark.option("server.ticket_lifetime")
    def test_how_long_they_are_good_for(self, site: ConfiguredSite) -> None:
        config = site.load({"server.ticket_lifetime": 120})
        site.log_in(config)
        site.clocks.server = 100 * SECOND
        assert site.log_in(config).result.ticket_used
        site.clocks.server = 250 * SECOND
        assert not site.log_in(config).result.ticket_used

    @pytest.mark.option("server.ticket_renew_limit")
    def test_how_long_use_renews_them(self, site: ConfiguredSite) -> None:
        config = site.load({"server.ticket_lifetime": 120, "server.ticket_renew_limit": 180})
        began = system_clock()
        for late in (0, 100, 160):
            site.clocks.server = site.clocks.client = late * SECOND
            site.log_in(config)
        first, *renewed = tickets(config)
        assert not first.renewed
        assert [ticket.renewed for ticket in renewed] == [True, True]
        assert all(ticket.expires <= began + 181 * SECOND for ticket in renewed)
        site.clocks.server = site.clocks.client = 190 * SECOND
        assert not site.log_in(config).result.ticket_used

    @pytest.mark.option("server.ticket_renew_limit")
    def test_tickets_that_are_never_renewed(self, site: ConfiguredSite) -> None:
        config = site.load({"server.ticket_renew_limit": 0})
        assert [site.log_in(config).result.ticket_used for _ in range(2)] == [False, True]
        assert [ticket.renewed for ticket in tickets(config)] == [False]

    @pytest.mark.option("server.cap_ticket_at_certificate")
    def test_whether_they_end_with_the_certificate(self, site: ConfiguredSite) -> None:
        for capped in (False, True):
            config = site.load(
                {
                    "server.cap_ticket_at_certificate": capped,
                    "store.server_directory": f"server-{capped}",
                }
            )
            site.site.sign_in("bob@idp.test", life=5 * MINUTE)
            site.log_in(config, identity="bob@idp.test")
            (ticket,) = tickets(config)
            assert (ticket.expires <= system_clock() + 5 * MINUTE) is capped


class TestExtraRoundTrip:
    @pytest.mark.option("server.extra_round_trip", "client.extra_round_trip")
    @pytest.mark.parametrize("side", ["server", "client"])
    def test_either_side_can_have_it(self, site: ConfiguredSite, side: str) -> None:
        assert not site.log_in(site.load()).result.context.extra_round_trip
        login = site.log_in(site.load({f"{side}.extra_round_trip": True}))
        assert login.result.context.extra_round_trip
        assert login.client.result.context.extra_round_trip


class TestPerson:
    @pytest.mark.option("client.identity")
    def test_who_logs_in_when_the_program_does_not_say(self, site: ConfiguredSite) -> None:
        site.site.sign_in("bob@idp.test")
        with refused(Code.NO_DEFAULT_IDENTITY):
            site.log_in(site.load())
        for identity in (ALICE, "bob@idp.test"):
            config = site.load({"client.identity": identity})
            assert site.log_in(config).result.identity == identity
        assert site.log_in(config, identity=ALICE).result.identity == ALICE

    @pytest.mark.option("client.dialect")
    def test_which_generation_is_spoken(self, site: ConfiguredSite) -> None:
        for dialect, member in (("draft-04", "ecdh"), ("draft-07", "epk")):
            config = site.load({"client.dialect": dialect, "server.tickets": False})
            assert member in sent(site.client(config).step())
            assert site.log_in(config).failure is None


class TestMutualAuthentication:
    @pytest.fixture
    def with_certificate(self, site: ConfiguredSite) -> dict[str, Any]:
        """The options of a server that has a certificate, and whose it is."""
        put(site.folder, "ours.pem", OURS)
        put(site.folder, "theirs.pem", THEIRS)
        put(site.folder, "server.pem", issue(HOST, OURS, names([HOST]), **CURRENT))
        return {"server.x509_certificate": "server.pem", "server.x509_key": "server.key"}

    @pytest.mark.option("client.mutual", "server.x509_certificate", "server.x509_key")
    def test_whether_the_server_has_to_prove_itself(
        self, site: ConfiguredSite, with_certificate: dict[str, Any]
    ) -> None:
        for mutual, proven in (("off", False), ("preferred", True), ("required", True)):
            options = {"client.mutual": mutual, "client.trust_anchors": "ours.pem"}
            without = {"server.tickets": False}
            login = site.log_in(site.load(with_certificate | options | without))
            assert login.result.mutual is login.client.result.mutual is proven
            bare = site.load(options | without)
            if mutual == "required":
                with pytest.raises(RemoteProtocolError, match="mutual authentication is required"):
                    site.log_in(bare)
            else:
                assert not site.log_in(bare).result.mutual

    @pytest.mark.option("client.require_transcript_binding")
    def test_whether_a_signature_has_to_cover_what_it_answers(
        self, site: ConfiguredSite, with_certificate: dict[str, Any]
    ) -> None:
        options = with_certificate | {
            "client.mutual": "required",
            "client.trust_anchors": "ours.pem",
            "server.tickets": False,
        }
        credential = load_server_credential(site.folder / "server.pem", site.folder / "server.key")
        for demanded in (False, True):
            config = site.load(options | {"client.require_transcript_binding": demanded})
            assert site.log_in(config).client.result.mutual
            client = site.client(config)
            challenge = site.server(config).step(client.step())
            # What a server would have sent that does not know of it yet:
            older = signed_by_server(challenge or b"", credential, req=None)
            assert older != challenge
            if demanded:
                with refused(Code.MISMATCHED_RP_RESPONSE, kind=RemoteProtocolError):
                    client.step(older)
            else:
                client.step(older)
                assert client.result.mutual

    @pytest.mark.option("client.trust_anchors")
    def test_whose_certificates_of_servers_are_believed(
        self, site: ConfiguredSite, with_certificate: dict[str, Any]
    ) -> None:
        required = with_certificate | {"client.mutual": "required"}
        for anchors in ({}, {"client.trust_anchors": "theirs.pem"}):
            with refused(Code.UNTRUSTED_X509_CERT):
                site.log_in(site.load(required | anchors))
        assert site.log_in(site.load(required | {"client.trust_anchors": "ours.pem"})).result.mutual


def put(folder: Path, name: str, issued: Issued) -> None:
    """A certificate and, beside it, its key."""
    file = folder / name
    file.write_bytes(issued.pem)
    file.with_suffix(".key").touch(0o600)
    file.with_suffix(".key").write_bytes(issued.key_pem)


@cache
def short_key() -> PrivateKey:
    """An RSA key of 1024 bits, as people had them."""
    made = rsa.generate_private_key(65537, 1024)
    pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return PrivateKey.from_pem(pem, allow_legacy=True)
