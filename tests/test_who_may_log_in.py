"""Who is let in: those whom the configuration or the program names, and nobody else.

Everybody here is validly signed in with the identity provider of their domain.
"""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from browserid_sasl import Client, Server
from browserid_sasl.api import SERVER_DATABASE
from browserid_sasl.config import AuthorityOverride, Config
from browserid_sasl.errors import (
    BrowserIDError,
    Code,
    ConfigurationError,
    PeerRefusedError,
    RemoteProtocolError,
)
from browserid_sasl.gss.context import SecurityContext
from tests.support.refusal import refused
from tests.support.sample_programs import Person
from tests.support.site import Site
from tests.support.world import key, support_document

HOST = "mail.example.com"
AES128 = "BROWSERID-AES128"
ALICE = "alice@example.org"
BOB = "bob@example.com"
EVE = "eve@evil.test"
DOMAINS = ("example.org", "example.com", "evil.test", "sub.example.org", "example.org.evil.test")

TABLES = ("replay", "ticket")

Login = Callable[[Server, Client], SecurityContext]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A server that knows the keys of many domains, and does not say who may log in."""
    document = tmp_path / "document.json"
    document.write_text(json.dumps(support_document(key("idp", "ES256"))))
    pinned = {domain: AuthorityOverride(keys_file=document) for domain in DOMAINS}
    site = Site(tmp_path)
    return replace(site.config, authorities=pinned, server=Config().server)


def person(email: str, issuer: str = "") -> Person:
    return Person(email, key("idp", "ES256"), issuer or email.rpartition("@")[2].lower())


def client(config: Config, email: str, issuer: str = "") -> Client:
    """Somebody who can log in; those whom this is called for twice have the tickets they got."""
    return Client(config, "imap", HOST, credentials=person(email, issuer))


def by_sasl(server: Server, client: Client) -> SecurityContext:
    """Log in; the context, or what the server has against it is raised.

    :raises BrowserIDError: the server's reason.
    """
    ours, theirs = client.start_with(AES128), server.start(AES128)
    message = ours.step()
    while not theirs.complete:
        challenge = theirs.step(message)
        if challenge is None:
            break
        if theirs.failure is not None:
            told(theirs.failure, partial(ours.step, challenge))
        message = ours.step(challenge)
    return theirs.result.context


def by_gss(server: Server, client: Client) -> SecurityContext:
    """The same in plain GSS-API form."""
    ours, theirs = client.initiate(AES128), server.accept()
    token = ours.step()
    while token is not None:
        answer = theirs.step(token)
        if theirs.failure is not None:
            told(theirs.failure, partial(ours.step, answer))
        token = None if answer is None else ours.step(answer)
    return theirs.context


def told(failure: BrowserIDError, hear: Callable[[], object]) -> None:
    """See the other side learn the code, and no more, from an error token."""
    with pytest.raises(PeerRefusedError) as heard:
        hear()
    assert heard.value.code is failure.code
    assert "example.org" not in str(heard.value)
    raise failure


each_way = pytest.mark.parametrize("log_in", [by_sasl, by_gss])


def remembered(config: Config) -> tuple[int, int]:
    """How many assertions and tickets the server has stored."""
    with closing(sqlite3.connect(config.store.server_directory / SERVER_DATABASE)) as database:
        counts = [database.execute(f"SELECT count(*) FROM {table}") for table in TABLES]
        (assertions,), (tickets,) = (found.fetchone() for found in counts)
    return assertions, tickets


@contextmanager
def silent_provider() -> Iterator[tuple[str, socket.socket]]:
    """A provider that takes connections and says nothing: its URL, and its socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield f"https://127.0.0.1:{listener.getsockname()[1]}", listener


class TestAServerThatDoesNotSayWho:
    @each_way
    def test_refuses_everybody_and_names_the_option(self, config: Config, log_in: Login) -> None:
        with refused(Code.NO_LOCAL_MAPPING, "`allow`", kind=ConfigurationError):
            log_in(Server(config, "imap", HOST), client(config, ALICE))
        assert remembered(config) == (0, 0)

    def test_can_leave_it_to_its_program(self, config: Config) -> None:
        asked = []

        def authorize(identity: str, authzid: str) -> bool:
            asked.append((identity, authzid))
            return identity == ALICE

        for email in (ALICE, EVE):
            server = Server(config, "imap", HOST).start(AES128, authorize=authorize)
            server.step(client(config, email).start_with(AES128).step())
            assert (server.failure is None) == (email == ALICE)
        assert asked == [(ALICE, ALICE), (EVE, EVE)]

    def test_has_not_said_so_by_saying_who_may_act_for_whom(self, config: Config) -> None:
        server = Server(config, "imap", HOST).start(AES128, may_act_as=lambda *_: True)
        server.step(client(config, ALICE).start_with(AES128).step())
        assert server.failure is not None
        assert server.failure.code is Code.NO_LOCAL_MAPPING

    def test_says_so_by_the_one_domain_that_it_strips(self, config: Config) -> None:
        stripping = config.with_options({"strip_domain": "example.org"})
        server = Server(stripping, "imap", HOST)
        assert by_sasl(server, client(config, ALICE)).identity == ALICE
        for email in (BOB, EVE, "alice@sub.example.org"):
            with refused(Code.NO_LOCAL_MAPPING):
                by_sasl(server, client(config, email))


class TestAServerThatSaysWho:
    @each_way
    def test_admits_those_and_no_others(self, config: Config, log_in: Login) -> None:
        server = Server(config, "imap", HOST, allow=["example.org", BOB])
        for email in (ALICE, "zoe@example.org", "Zoe@EXAMPLE.org", BOB):
            assert log_in(server, client(config, email)).identity == email
        before = remembered(config)
        lookalikes = (
            *(EVE, "Bob@example.com", "alice@example.com", "alice@sub.example.org"),
            *("alice@example.org.evil.test", "bob.@example.com"),
        )
        for email in lookalikes:
            with refused(Code.NO_LOCAL_MAPPING):
                log_in(server, client(config, email))
        assert remembered(config) == before

    def test_in_its_configuration(self, config: Config) -> None:
        server = Server(config.with_options({"allow": f"@example.org, {BOB}"}), "imap", HOST)
        assert by_sasl(server, client(config, BOB)).identity == BOB
        with refused(Code.NO_LOCAL_MAPPING):
            by_sasl(server, client(config, EVE))

    def test_in_its_program_does_so_in_place_of_its_configuration(
        self, config: Config, tmp_path: Path
    ) -> None:
        (tmp_path / "people").write_text("evil.test\n")
        given = {"allow": "evil.test", "allow_file": str(tmp_path / "people")}
        server = Server(config.with_options(given), "imap", HOST, allow=["example.org"])
        assert by_sasl(server, client(config, ALICE)).identity == ALICE
        with refused(Code.NO_LOCAL_MAPPING):
            by_sasl(server, client(config, EVE))

    def test_nobody_in_its_program_admits_nobody(self, config: Config) -> None:
        server = Server(
            config.with_options({"strip_domain": "example.org"}), "imap", HOST, allow=[]
        )
        for authorize in (None, lambda *_: True):
            mechanism = server.start(AES128, authorize=authorize)
            mechanism.step(client(config, ALICE).start_with(AES128).step())
            assert mechanism.failure is not None
            assert mechanism.failure.code is Code.NO_LOCAL_MAPPING

    def test_admits_everybody_if_it_says_so(self, config: Config) -> None:
        server = Server(config, "imap", HOST, allow=["*"])
        assert by_sasl(server, client(config, EVE)).identity == EVE

    def test_admits_more_than_the_domain_that_it_strips(self, config: Config) -> None:
        given = {"strip_domain": "example.org", "allow": "example.com"}
        server = Server(config.with_options(given), "imap", HOST)
        assert by_sasl(server, client(config, BOB)).identity == BOB
        with refused(Code.NO_LOCAL_MAPPING):
            by_sasl(server, client(config, ALICE))

    def test_and_whose_program_does_too_admits_whom_both_admit(self, config: Config) -> None:
        server = Server(config, "imap", HOST, allow=["example.org"])
        for email, agreed in ((ALICE, True), (ALICE, False), (EVE, True)):
            mechanism = server.start(AES128, authorize=lambda *_, agreed=agreed: agreed)
            mechanism.step(client(config, email).start_with(AES128).step())
            assert (mechanism.failure is None) == (email == ALICE and agreed)

    def test_believes_another_domain_of_its_people_and_not_for_its_own(
        self, config: Config, tmp_path: Path
    ) -> None:
        none = tmp_path / "none.json"
        none.write_text('{"disabled": true}')
        without = {**config.authorities, "example.org": AuthorityOverride(keys_file=none)}
        trusting = replace(config, authorities=without).with_options(
            {"secondary_authorities": "example.com"}
        )
        server = Server(trusting, "imap", HOST, allow=["example.org"])
        context = by_sasl(server, client(config, ALICE, "example.com"))
        assert (context.identity, context.issuer) == (ALICE, "example.com")
        for_others = Server(trusting, "imap", HOST, allow=["example.com"])
        with refused(Code.NO_LOCAL_MAPPING):
            by_sasl(for_others, client(config, "zoe@example.org", "example.com"))

    @pytest.mark.parametrize("allow", ["example.org", "*"])
    def test_gives_a_list(self, config: Config, allow: str) -> None:
        with pytest.raises(ConfigurationError, match="allow has to be an array, not text"):
            Server(config, "imap", HOST, allow=allow)

    @pytest.mark.parametrize("allow", [["*.example.org"], ["*", "example.org"], [None], [""]])
    def test_gives_no_pattern(self, config: Config, allow: list[str]) -> None:
        with pytest.raises(ConfigurationError, match="of allow "):
            Server(config, "imap", HOST, allow=allow)


class TestAFileOfPeople:
    @pytest.fixture
    def people(self, tmp_path: Path) -> Path:
        path = tmp_path / "people"
        path.write_text(f"{BOB}\n")
        return path

    @pytest.fixture
    def server(self, config: Config, people: Path) -> Server:
        given = {"allow": "example.org", "allow_file": str(people)}
        return Server(config.with_options(given), "imap", HOST)

    def test_admits_them_too(self, config: Config, server: Server) -> None:
        for email in (ALICE, BOB):
            assert by_sasl(server, client(config, email)).identity == email
        with refused(Code.NO_LOCAL_MAPPING):
            by_sasl(server, client(config, EVE))

    def test_counts_as_it_is_at_each_login(
        self, config: Config, server: Server, people: Path
    ) -> None:
        people.write_text("# nobody\n")
        with refused(Code.NO_LOCAL_MAPPING):
            by_sasl(server, client(config, BOB))
        people.write_text("evil.test\n")
        assert by_sasl(server, client(config, EVE)).identity == EVE

    def test_admits_nobody_while_it_is_damaged(
        self, config: Config, server: Server, people: Path
    ) -> None:
        people.write_text(f"{BOB}\n*.example.org\n")
        for email in (ALICE, BOB):
            with pytest.raises(ConfigurationError) as caught:
                by_sasl(server, client(config, email))
            assert (caught.value.file, caught.value.line) == (str(people), 2)
        people.unlink()
        with pytest.raises(ConfigurationError, match="cannot be read"):
            by_sasl(server, client(config, ALICE))

    def test_is_looked_at_when_the_server_is_made(self, config: Config, people: Path) -> None:
        people.write_text("?\n")
        with pytest.raises(ConfigurationError, match=r"people:1: "):
            Server(config.with_options({"allow_file": str(people)}), "imap", HOST)

    def test_without_anybody_in_it_is_said_all_the_same(self, config: Config, people: Path) -> None:
        people.write_text("")
        given = {"allow_file": str(people), "strip_domain": "example.org"}
        server = Server(config.with_options(given), "imap", HOST)
        with refused(Code.NO_LOCAL_MAPPING, kind=RemoteProtocolError):
            by_sasl(server, client(config, ALICE))
        mechanism = server.start(AES128, authorize=lambda *_: True)
        mechanism.step(client(config, ALICE).start_with(AES128).step())
        assert mechanism.failure is not None


class TestATicket:
    """It is as good as the certificate it came from, and not better."""

    @each_way
    def test_is_refused_when_its_person_may_log_in_no_more(
        self, config: Config, log_in: Login
    ) -> None:
        alice = client(config, ALICE)
        assert not log_in(Server(config, "imap", HOST, allow=[ALICE]), alice).ticket_used
        assert log_in(Server(config, "imap", HOST, allow=[ALICE]), alice).ticket_used
        before = remembered(config)
        with refused(Code.NO_LOCAL_MAPPING):
            log_in(Server(config, "imap", HOST, allow=[BOB]), alice)
        assert remembered(config) == before

    def test_is_refused_with_a_signed_error(self, config: Config) -> None:
        alice = client(config, ALICE)
        by_sasl(Server(config, "imap", HOST, allow=[ALICE]), alice)
        ours = alice.start_with(AES128)
        challenge = Server(config, "imap", HOST, allow=[BOB]).start(AES128).step(ours.step())
        with pytest.raises(PeerRefusedError) as heard:
            ours.step(challenge)
        assert heard.value.authenticated


class TestTheExtraRoundTrip:
    @pytest.mark.parametrize("by_ticket", [False, True])
    def test_admits_nobody_who_may_log_in_no_more_when_it_ends(
        self, config: Config, tmp_path: Path, by_ticket: bool
    ) -> None:
        people = tmp_path / "people"
        people.write_text(f"{ALICE}\n")
        given = {"allow_file": str(people), "extra_round_trip": "yes"}
        server = Server(config.with_options(given), "imap", HOST)
        alice = client(config, ALICE)
        if by_ticket:
            by_sasl(server, alice)
        before = remembered(config)
        ours, theirs = alice.start_with(AES128), server.start(AES128)
        proof = ours.step(theirs.step(ours.step()))
        people.write_text("# nobody\n")
        theirs.step(proof)
        assert theirs.failure is not None
        assert theirs.failure.code is Code.NO_LOCAL_MAPPING
        assert remembered(config) == before

    def test_asks_the_program_again_too(self, config: Config) -> None:
        permitted = [True, False]
        alice = client(config.with_options({"extra_round_trip": "yes"}, section="client"), ALICE)
        ours = alice.start_with(AES128)
        theirs = Server(config, "imap", HOST).start(AES128, authorize=lambda *_: permitted.pop(0))
        theirs.step(ours.step(theirs.step(ours.step())))
        assert theirs.failure is not None
        assert remembered(config) == (0, 0)


@each_way
@pytest.mark.parametrize("allow", [[], ["example.org"]])
def test_nobody_is_asked_about_a_strangers_domain(
    config: Config, log_in: Login, allow: list[str]
) -> None:
    with silent_provider() as (url, listener):
        theirs = {"stranger.test": AuthorityOverride(url=url)}
        server = Server(replace(config, authorities=theirs), "imap", HOST, allow=allow)
        for issuer in ("stranger.test", "example.org"):
            with refused(Code.NO_LOCAL_MAPPING):
                log_in(server, client(config, "eve@stranger.test", issuer))
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert remembered(config) == (0, 0)
