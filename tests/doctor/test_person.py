"""`browserid doctor` on a person's set-up: a good one, and each of what can be wrong with it."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import trustme

from browserid_sasl import __version__, store
from browserid_sasl.agent import presence
from browserid_sasl.cli.browserid import main
from browserid_sasl.identity import certificate
from browserid_sasl.identity.ports import IdentityRecord
from browserid_sasl.jose import json as strict_json
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.store.base import system_clock
from tests.support import ailments
from tests.support.ailments import Report
from tests.support.https import answer, scripted_server, write_ca
from tests.support.world import HOUR, key, support_document

DOMAIN = "example.test"
ALICE = f"alice@{DOMAIN}"
PROVIDER = f"provider of {DOMAIN}"


class Home:
    """A person's home, in which all is well until a test breaks it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.ca_file = write_ca(self.authority, folder)
        self.environment = {
            "HOME": str(folder / "home"),
            "SASL_PATH": str(ailments.plugin(folder / "sasl2")),
        }
        self.file = folder / "home" / ".config" / "browserid" / "browserid.toml"
        self.data = folder / "home" / ".local" / "share" / "browserid"
        self.database = self.data / "client.db"
        self.file.parent.mkdir(parents=True)

    def sign_in(
        self,
        address: str = ALICE,
        expires_in: int = HOUR,
        signer: str = "idp",
        renewed_for: int = 0,
    ) -> None:
        now = system_clock()
        user_key = PrivateKey.generate("ES256")
        issued = certificate.issue(
            address.partition("@")[2],
            address,
            user_key.public_key,
            issued_at=now - HOUR,
            expires=now + expires_in,
            signing_key=key(signer),
        )
        stores = store.open_initiator(self.database)
        record = IdentityRecord(address, user_key.to_pem(), issued, now + expires_in)
        if renewed_for:
            record = replace(record, renewal="secret", renewal_expires=now + renewed_for)
        stores.identities.put(record)
        presence.tell(stores.identities, self.database, self.data / presence.FOLDER)
        stores.close()

    def configure(self, port: int, further: str = "") -> None:
        self.file.write_text(
            f'[authorities."{DOMAIN}"]\nurl = "https://127.0.0.1:{port}"\n'
            f'ca_file = "{self.ca_file}"\n{further}'
        )

    def examine(self, *arguments: str) -> Report:
        return ailments.examine(*arguments, environment=self.environment)

    @contextmanager
    def provider(
        self,
        body: bytes | None = None,
        *,
        status: str = "200 OK",
        content_type: str = "application/json",
        ahead: float = 0,
        leaf: trustme.LeafCert | None = None,
        further: str = "",
    ) -> Iterator[None]:
        """The domain's provider, which says this, at a time so many seconds from now."""
        said = answer(
            strict_json.dumps(support_document(key("idp"))) if body is None else body,
            status=status,
            content_type=content_type,
            headers={"Date": format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), True)},
        )
        presented = leaf or self.authority.issue_cert("127.0.0.1")
        with scripted_server(presented, said) as server:
            self.configure(server.port, further)
            yield


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.sign_in()
    return home


def test_a_good_one_has_no_complaint(home: Home) -> None:
    with home.provider():
        report = home.examine()
        assert report.complaints() == []
        assert report.status == 0
        checks = {each["check"] for each in report.findings}
    assert checks == {
        *("configuration", "home", "store", "identity", PROVIDER, "certificate", "agent"),
        *("plugin", "GSS-API", "presence"),
    }
    assert not any(each["remedy"] for each in report.findings)


class TestConfiguration:
    def test_a_line_that_is_wrong(self, home: Home) -> None:
        home.file.write_text("[client]\n\ndialekt = 1\n")
        home.examine().says("configuration", "bad", f"{home.file}:3: ")

    def test_no_toml(self, home: Home) -> None:
        home.file.write_text("[client\n")
        home.examine().says("configuration", "bad", f"{home.file}:1: ")

    def test_one_that_others_can_write_to(self, home: Home) -> None:
        with home.provider():
            home.file.chmod(0o666)
            home.examine().says("configuration", "bad", str(home.file))

    def test_stores_in_memory(self, home: Home) -> None:
        with home.provider(further='[store]\nbackend = "memory"\n'):
            home.examine().says("configuration", "doubtful", "ends with each process")


class TestStore:
    def test_damage(self, home: Home) -> None:
        home.database.write_bytes(home.database.read_bytes()[:3000])
        home.examine().says("store", "bad", "is damaged")

    def test_a_folder_that_others_can_read(self, home: Home) -> None:
        home.data.chmod(0o755)
        home.examine().says("store", "bad", "is accessible to other users (mode 755)")

    def test_a_folder_of_another_account(self, home: Home) -> None:
        os.chown(home.data, 65534, 65534)
        home.examine().says("store", "bad", "belongs to nobody")

    def test_a_folder_that_cannot_be_written_to(self, home: Home) -> None:
        home.data.chmod(0o500)
        home.examine().says("store", "bad", "cannot be written to")

    def test_a_file_in_place_of_the_folder(self, home: Home) -> None:
        shutil.rmtree(home.data)
        home.data.write_text("")
        home.examine().says("store", "bad", "is no folder")

    def test_a_file_that_is_no_store(self, home: Home) -> None:
        home.database.write_text("this is no database at all, and never was one")
        home.examine().says("store", "bad", "is damaged")


class TestIdentity:
    def test_nobody_is_signed_in(self, tmp_path: Path) -> None:
        home = Home(tmp_path)
        with home.provider():
            report = home.examine()
        report.says("identity", "bad", "nobody is signed in")
        assert report.complaints() == [("identity", "bad")]

    def test_somebody_else_is(self, home: Home) -> None:
        with home.provider():
            home.examine(f"bob@{DOMAIN}").says("identity", "bad", f"bob@{DOMAIN} is not signed in")

    def test_so_it_is_where_the_configuration_names_them(self, home: Home) -> None:
        with home.provider(further=f'[client]\nidentity = "bob@{DOMAIN}"\n'):
            home.examine().says("identity", "bad", f"bob@{DOMAIN} is not signed in")

    def test_a_certificate_that_has_expired(self, home: Home) -> None:
        home.sign_in(expires_in=-1000)
        with home.provider():
            report = home.examine()
        report.says("identity", "bad", "has expired")
        assert f"browserid login {ALICE}" in [each["remedy"] for each in report.findings]

    def test_one_that_is_renewed_when_it_is_needed(self, home: Home) -> None:
        home.sign_in(expires_in=-1000, renewed_for=24 * 3 * HOUR + HOUR)
        with home.provider():
            report = home.examine()
        said = [each["message"] for each in report.findings if each["check"] == "identity"]
        assert said == [f"{ALICE} is signed in, and renewed for 3 days more"]
        assert "identity" not in dict(report.complaints())

    def test_one_that_is_about_to(self, home: Home) -> None:
        home.sign_in(expires_in=200_000)
        with home.provider():
            home.examine().says("identity", "doubtful", "is signed in for 3 minutes more")

    def test_two_of_whom_nobody_is_named(self, home: Home) -> None:
        home.sign_in(f"bob@{DOMAIN}")
        with home.provider():
            home.examine().says("identity", "doubtful", "more than one is signed in")

    def test_a_certificate_by_a_key_that_is_gone(self, home: Home) -> None:
        home.sign_in(signer="mallory")
        with home.provider():
            home.examine().says("certificate", "bad", "is not signed by a key")

    def test_programs_that_cannot_see_it(self, home: Home) -> None:
        shutil.rmtree(home.data / presence.FOLDER)
        with home.provider():
            home.examine().says("presence", "doubtful", "do not see that somebody is signed in")


class TestProvider:
    def test_one_that_does_not_run(self, home: Home) -> None:
        with socket.create_server(("127.0.0.1", 0)) as gone:
            port = gone.getsockname()[1]
        home.configure(port)
        home.examine().says(PROVIDER, "bad", f"nobody answers at 127.0.0.1 port {port}")

    def test_a_name_that_leads_nowhere(self, home: Home) -> None:
        home.file.write_text("")
        home.examine().says(PROVIDER, "bad", f"the name {DOMAIN} leads nowhere")

    def test_one_that_cannot_prove_who_it_is(self, home: Home) -> None:
        with home.provider(leaf=trustme.CA().issue_cert("127.0.0.1")):
            home.examine().says(PROVIDER, "bad", "cannot prove who it is")

    def test_a_certificate_for_another_name(self, home: Home) -> None:
        with home.provider(leaf=home.authority.issue_cert("other.test")):
            home.examine().says(PROVIDER, "bad", "cannot prove who it is")

    @pytest.mark.parametrize(("days", "verdict"), [(-1, "bad"), (5, "doubtful")])
    def test_a_certificate_at_its_end(self, home: Home, days: int, verdict: str) -> None:
        now = datetime.now(UTC)
        leaf = home.authority.issue_cert(
            "127.0.0.1", not_before=now - timedelta(days=30), not_after=now + timedelta(days=days)
        )
        with home.provider(leaf=leaf):
            said = "expired" if days < 0 else "is good for 4 days more"
            home.examine().says(PROVIDER, verdict, said)

    def test_no_document(self, home: Home) -> None:
        with home.provider(status="404 Not Found"):
            home.examine().says(PROVIDER, "bad", "has no support document")

    def test_a_document_of_another_type(self, home: Home) -> None:
        with home.provider(content_type="text/html"):
            home.examine().says(PROVIDER, "bad", "instead of application/json")

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            (b"{", "JSON"),
            (b'{"authentication": "/", "provisioning": "/"}', "key"),
            (b'{"disabled": true}', "has no identity provider"),
            (f'{{"authority": "{DOMAIN}"}}'.encode(), "goes round in a circle"),
        ],
    )
    def test_a_document_that_is_none(self, home: Home, body: bytes, said: str) -> None:
        with home.provider(body):
            home.examine().says(PROVIDER, "bad", said)

    @pytest.mark.parametrize(
        ("ahead", "verdict", "said"),
        [
            (3600, "bad", "s ahead of this machine's, and 300 s are permitted"),
            (-3600, "bad", "s behind this machine's"),
            (120, "doubtful", "s ahead of this machine's"),
        ],
    )
    def test_its_clock(self, home: Home, ahead: float, verdict: str, said: str) -> None:
        with home.provider(ahead=ahead):
            home.examine().says(PROVIDER, verdict, said)


@contextmanager
def somebody_at(path: Path, greeting: bytes) -> Iterator[None]:
    """A socket where somebody says this."""
    path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    stopping = threading.Event()

    def serve() -> None:
        while not stopping.is_set():
            try:
                connection, _ = listening.accept()
            except TimeoutError:
                continue
            with connection:
                connection.sendall(greeting)
                stopping.wait(0.2)

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        path.chmod(0o600)
        listening.listen()
        listening.settimeout(0.05)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()


def agent_of(release: str) -> bytes:
    return f"VERSION\tbrowserid-agent\t1\nAGENT\t1234\t{release}\nDONE\n".encode()


class TestAgent:
    @pytest.fixture
    def place(self, home: Home) -> Path:
        return Path(home.environment["HOME"]) / ".local" / "state" / "browserid" / "agent"

    def test_one_of_this_release(self, home: Home, place: Path) -> None:
        with home.provider(), somebody_at(place, agent_of(__version__)):
            assert home.examine().complaints() == []

    def test_one_of_an_older_release(self, home: Home, place: Path) -> None:
        with home.provider(), somebody_at(place, agent_of("0.0.1")):
            report = home.examine()
        report.says("agent", "doubtful", "is of release 0.0.1")
        assert "kill 1234" in [each["remedy"] for each in report.findings]

    def test_something_else(self, home: Home, place: Path) -> None:
        with home.provider(), somebody_at(place, b"HTTP/1.1 400\nDONE\n"):
            home.examine().says("agent", "bad", "is no agent")

    def test_one_that_hangs_up(self, home: Home, place: Path) -> None:
        with home.provider(), somebody_at(place, b""):
            home.examine().says("agent", "bad", "nobody answers at")

    def test_one_that_others_can_use(self, home: Home, place: Path) -> None:
        with home.provider(), somebody_at(place, agent_of(__version__)):
            place.chmod(0o666)
            home.examine().says("agent", "bad", "is accessible to other users (mode 666)")

    def test_a_variable_that_leads_nowhere(self, home: Home, tmp_path: Path) -> None:
        home.environment["BROWSERID_AGENT"] = str(tmp_path / "nowhere")
        with home.provider():
            home.examine().says("agent", "bad", "which is not there")

    def test_one_that_has_died_is_replaced_by_itself(self, home: Home, place: Path) -> None:
        with somebody_at(place, b""):
            pass
        with home.provider():
            assert home.examine().complaints() == []


class TestPlugin:
    def break_it(self, home: Home, release: str | None) -> None:
        shutil.rmtree(home.folder / "sasl2")
        ailments.plugin(home.folder / "sasl2", release)

    @pytest.mark.parametrize("release", ["0.0.1", None])
    def test_one_of_another_release(self, home: Home, release: str | None) -> None:
        self.break_it(home, release)
        with home.provider():
            home.examine().says("plugin", "doubtful", f"is of release {release or 'before 0.2'}")

    def test_one_that_cannot_be_loaded(self, home: Home) -> None:
        (home.folder / "sasl2" / "libbrowserid.so").write_bytes(b"\x7fELF of another machine")
        with home.provider():
            home.examine().says("plugin", "bad", "cannot be loaded")


def test_the_text_has_no_colours_but_on_a_terminal(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in home.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("BROWSERID_CONFIG", raising=False)
    home.file.write_text("[client]\nnothing = 1\n")
    assert main(["doctor"]) == 2
    shown = capsys.readouterr().out
    assert shown.startswith(f"bad       configuration: {home.file}:2: ")
    assert "\n          -> " in shown
    assert "\x1b" not in shown


def test_quiet_leaves_out_what_is_good(home: Home) -> None:
    home.sign_in(expires_in=-1000)
    with home.provider():
        report = home.examine("--quiet")
    assert [each["check"] for each in report.findings] == ["identity"]
    assert report.status == 2


@pytest.mark.parametrize("address", ["alice", "alice@", "a@b.org; rm -rf /", "a@b.org c", "a\x1b@"])
def test_what_is_no_address_is_in_no_command_that_mends(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", address]) == os.EX_USAGE
    assert "is not an e-mail address" in capsys.readouterr().err
