"""What a client's way to its server asks of the person, and tells them."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from browserid_sasl.agent.naming import SignInRequiredError
from browserid_sasl.api import Client, Server
from browserid_sasl.config import load
from browserid_sasl.errors import BrowserIDError, Code, CredentialError, RemoteProtocolError
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.proxy import upstream
from browserid_sasl.proxy.accounts import Account, Accounts, Kind, Security, Service
from browserid_sasl.proxy.credentials import Credentials
from browserid_sasl.proxy.failures import MailServerError, WrongPasswordError
from browserid_sasl.proxy.gate import Gate
from browserid_sasl.proxy.session import Place, Session
from browserid_sasl.proxy.stream import TooSlowError
from tests.support.mailbox_server import HOST, MailboxServer, Talking, imap
from tests.support.patience import PATIENCE
from tests.support.ports import free_port
from tests.support.refusal import refused
from tests.support.sample_programs import DOMAIN, SERVICE, Realm

ALICE = "alice@example.org"
PASSWORD = "secret"


@dataclass
class Somebody:
    """A `Person` whose server is nowhere."""

    folder: Path
    told: list[tuple[str, str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @property
    def accounts(self) -> Accounts:
        return Accounts(self.folder)

    def client(self, kind: Kind, host: str, identity: str) -> Client:
        raise AssertionError("nobody is connected to")

    def tls(self) -> ssl.SSLContext:
        self.asked.append("tls")
        return ssl.create_default_context()

    async def sign_in(self, error: SignInRequiredError) -> None:
        raise AssertionError("nobody is connected to")

    async def tell(self, about: str, text: str) -> None:
        self.told.append((about, text))


@pytest.fixture
def somebody(tmp_path: Path) -> Somebody:
    return Somebody(tmp_path)


@dataclass
class Met:
    """A session, and what was said of it."""

    session: Session
    failures: list[BrowserIDError | None]


def meet(somebody: Somebody, *, trusted: bool = False) -> Met:
    service = Service(Kind.IMAP, "localhost", free_port(), Security.TLS, free_port())
    account = Account("home", ALICE, "", (service,))
    if not somebody.accounts.read():
        somebody.accounts.add(account, PASSWORD)
    failures: list[BrowserIDError | None] = []
    gate = Gate(lambda: 0.0, lambda _: asyncio.sleep(0))
    place = Place(account, service, trusted, failures.append)
    return Met(Session(place, somebody, gate, lambda _: None), failures)


def admit(met: Met, password: str) -> None:
    asyncio.run(met.session.admit(Credentials("home", password)))


def test_a_wrong_password_goes_nowhere(somebody: Somebody) -> None:
    met = meet(somebody)
    with pytest.raises(WrongPasswordError):
        admit(met, "guess")
    assert (somebody.asked, somebody.told, met.failures) == ([], [], [])


@pytest.mark.parametrize(("trusted", "password"), [(False, PASSWORD), (True, "anything")])
def test_a_server_that_is_away_is_no_notification(
    somebody: Somebody, trusted: bool, password: str
) -> None:
    met = meet(somebody, trusted=trusted)
    with refused(Code.HTTP_ERROR, kind=MailServerError) as caught:
        admit(met, password)
    assert "server is running" in caught.value.remedy
    assert met.failures == [caught.value]
    assert somebody.told == []


@pytest.mark.parametrize(
    ("error", "is_told"),
    [
        (RemoteProtocolError(Code.BAD_AUDIENCE, "no"), True),
        (MailServerError(Code.UNTRUSTED_X509_CERT, "no"), True),
        (MailServerError(Code.UNAVAILABLE, "later", passes=True), False),
        # The agent has told of it, or has opened a page.
        (CredentialError(Code.INTERACT_REQUIRED, "sign in"), False),
    ],
)
def test_what_only_the_person_can_mend_is_told(
    somebody: Somebody, monkeypatch: pytest.MonkeyPatch, error: BrowserIDError, is_told: bool
) -> None:
    met = meet(somebody)

    async def fails() -> None:
        raise error

    monkeypatch.setattr(met.session._upstream, "log_in", fails)
    with refused(error.code):
        admit(met, PASSWORD)
    expected = [("home imap", f"home at localhost: {error}")] if is_told else []
    assert somebody.told == expected


def never_the_first_time(talking: Talking) -> None:
    """A server that answers no login on its first connection."""
    connections = talking.server.commands
    connections.append("connection")
    if connections.count("connection") > 1:
        imap(talking)
        return
    talking.say("* OK ready")
    tag, *_ = talking.line().split(" ")
    talking.say("* CAPABILITY IMAP4rev1 SASL-IR AUTH=BROWSERID-AES128", f"{tag} OK done")
    tag, *_ = talking.line().split(" ")
    talking.line()  # whatever is asked next gets the answer to what was asked first
    talking.say(f"{tag} NO late")


class Reachable(Somebody):
    """One whose server is there."""

    realm: Realm
    server: MailboxServer

    def client(self, kind: Kind, host: str, identity: str) -> Client:
        return self.realm.client()

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.server.ca_file)


def test_a_server_that_owes_an_answer_is_asked_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    realm = Realm(tmp_path, PrivateKey.generate("ES256"), f'[server]\nallow = ["{DOMAIN}"]')
    person = Reachable(tmp_path)
    person.realm = realm
    service = Server(load(realm.config_file), SERVICE, HOST)
    person.server = MailboxServer(tmp_path, service, never_the_first_time)
    where = Service(Kind.IMAP, HOST, person.server.port, Security.TLS, free_port())
    place = Place(Account("home", ALICE, "", (where,)), where, True, lambda _: None)

    async def twice() -> None:
        session = Session(place, person, Gate(lambda: 0.0), lambda _: None)
        monkeypatch.setattr(upstream, "LOGIN_S", 0.5)
        with pytest.raises(TooSlowError):
            await session.admit(Credentials("", ""))
        monkeypatch.setattr(upstream, "LOGIN_S", PATIENCE)
        assert await session.admit(Credentials("", "")) == ["IMAP4rev1", "IDLE", "MOVE"]

    with person.server.running():
        asyncio.run(twice())
