"""Every option of `[idp]`, from the file to what the provider does."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from itertools import takewhile
from pathlib import Path
from typing import IO, Any, TypeVar

import pytest
import requests
import trustme

from browserid_sasl.config import load
from browserid_sasl.config.options import options_of
from browserid_sasl.config.sections import IdpConfig
from browserid_sasl.identity.certificate import Certificate
from browserid_sasl.idp.audit import AuditLog, Event, Question
from browserid_sasl.idp.audit_file import AuditFile
from browserid_sasl.idp.cli import main
from browserid_sasl.idp.folder import ProviderFolder, Sharing
from browserid_sasl.idp.web import paths
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.store.base import system_clock
from tests.support.authenticator import Authenticator
from tests.support.browser import Browser
from tests.support.fallback import Mailbox, mail_server
from tests.support.grants import Program
from tests.support.https import context_of, write_ca
from tests.support.patience import PATIENCE, wait_until
from tests.support.pictures import png
from tests.support.ports import free_port
from tests.support.provider import ALICE, CHEAP_HASHER, DOMAIN, PASSWORD
from tests.support.sealing import write_keys

KEY = PrivateKey.generate("ES256").public_key
REQUEST = {"email": ALICE, "password": PASSWORD, "public-key": KEY.to_json()}

F = TypeVar("F")


class Served:
    """What a provider does that was started with nothing but a configuration file.

    :param url: where it says it is.
    :param anchor: file with the authority of its server's certificate.
    """

    def __init__(self, url: str, anchor: Path) -> None:
        self.url = url
        self._anchor = str(anchor)

    def connect(self, address: str) -> socket.socket:
        port = int(self.url.rpartition(":")[2])
        return socket.create_connection(("127.0.0.1", port), PATIENCE, source_address=(address, 0))

    def document(self) -> requests.Response:
        return requests.get(f"{self.url}/.well-known/browserid", verify=self._anchor, timeout=60)

    def post(self, path: str, **members: Any) -> dict[str, Any]:
        answer = requests.post(self.url + path, json=members, verify=self._anchor, timeout=10)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert isinstance(found, dict)
        return found

    def certify(
        self, headers: Mapping[str, str] | None = None, **changes: Any
    ) -> requests.Response:
        return requests.post(
            f"{self.url}/certify",
            json=REQUEST | changes,
            headers=headers,
            verify=self._anchor,
            timeout=60,
        )


class Site:
    """A folder with a configuration file, and a provider made by it.

    :param path: of the folder.
    :param options: lines of `[idp]`.
    :param init: options of `browserid-idp init`.
    """

    def __init__(self, path: Path, *options: str, init: tuple[str, ...] = ()) -> None:
        self.path = path
        self.file = path / "browserid.toml"
        self.configure(*options)
        assert main(["init", "--config", str(self.file), "--local-tls", *init]) == 0
        sharing = Sharing(key_file=load(self.file).idp.key_encryption_file)
        self.folder = ProviderFolder(path / "idp", sharing)
        self._add_alice()

    def configure(self, *options: str) -> None:
        here = [f'domain = "{DOMAIN}"', 'directory = "idp"', "port = 0"]
        given = {option.partition(" = ")[0] for option in options}
        lines = [line for line in here if line.partition(" = ")[0] not in given]
        self.file.write_text("\n".join(["[idp]", *lines, *options, ""]))

    def _add_alice(self) -> None:
        accounts = self.folder.open().accounts
        accounts._hasher = CHEAP_HASHER
        accounts.add(ALICE, PASSWORD, 0)

    @contextmanager
    def served(self, *, stderr: IO[str] | None = None) -> Iterator[Served]:
        program = Path(sys.executable).with_name("browserid-idp")
        command = [str(program), "serve", "--config", str(self.file)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True) as process:
            try:
                assert process.stdout
                line = process.stdout.readline()
                assert line.startswith(f"serving {DOMAIN} at "), line
                yield Served(line.split()[-1], self.folder.tls.anchor)
            finally:
                process.terminate()


SHOWN: set[str] = set()


def shows(*names: str) -> Callable[[F], F]:
    """Marks a test of options."""
    SHOWN.update(names)
    return lambda test: test


@shows("domain", "directory", "listen", "port")
def test_domain_directory_and_place_are_the_files(tmp_path: Path) -> None:
    site = Site(tmp_path, 'listen = "127.0.0.9"')
    assert site.folder.open().domain == DOMAIN
    with site.served() as served:
        assert served.url.startswith("https://127.0.0.9:")
    port = free_port()
    site.configure('listen = "127.0.0.1"', f"port = {port}")
    with site.served() as served:
        assert served.url == f"https://127.0.0.1:{port}"
        assert served.document().ok


@shows("tls_certificate", "tls_key")
def test_the_certificate_is_the_one_that_the_file_names(tmp_path: Path) -> None:
    site = Site(tmp_path, 'tls_certificate = "chain.pem"', 'tls_key = "key.pem"')
    for name in ("chain.pem", "key.pem"):
        (tmp_path / name).write_bytes(site.folder.tls.server.read_bytes())
        (tmp_path / name).chmod(0o600)
    site.folder.tls.server.unlink()
    with site.served() as served:
        assert served.document().ok


@shows("certificate_life", "document_life")
def test_certificates_and_copies_of_the_document_live_as_long_as_it_says(tmp_path: Path) -> None:
    site = Site(tmp_path, "certificate_life = 300", "document_life = 77")
    with site.served() as served:
        assert served.document().headers["Cache-Control"] == "max-age=77"
        issued = Certificate.parse(served.certify().json()["certificate"])
        assert issued.expires - (issued.issued_at or 0) == 300_000


@shows("public_url")
def test_people_and_programs_are_sent_where_it_says(tmp_path: Path) -> None:
    site = Site(tmp_path, 'public_url = "https://id.example.test:8443"')
    with site.served() as served:
        begun = served.post("/device-authorization", email=ALICE, **{"public-key": KEY.to_json()})
        assert begun["verification_uri"] == "https://id.example.test:8443/browserid/device"
    site.configure()
    with site.served() as served:
        begun = served.post("/device-authorization", email=ALICE, **{"public-key": KEY.to_json()})
        assert begun["verification_uri"] == f"https://{DOMAIN}/browserid/device"


@shows("renewal_life")
def test_renewals_live_as_long_as_it_says(tmp_path: Path) -> None:
    site = Site(tmp_path, "renewal_life = 7200")
    program = Program()
    now = time.time_ns() // 1_000_000
    code = program.code(site.folder.open().codes, now)
    with site.served() as served:
        given = served.post("/certify", code=code, code_verifier=program.verifier)
        assert given["renewal_expires_in"] == 7_200
        again = served.post("/certify", renewal=program.renewal(given["renewal"], now))
        assert again["renewal_expires_in"] == 7_200


@shows("key_spelling")
def test_keys_are_spelled_as_it_says(tmp_path: Path) -> None:
    site = Site(tmp_path, 'key_spelling = "classic"', init=("--key-type", "RS256"))
    person = PrivateKey.generate("RS256").public_key
    with site.served() as served:
        key = served.document().json()["public-key"]
        assert key == site.folder.keys.active(0).private_key.public_key.to_json("classic")
        answer = served.certify(**{"public-key": person.to_json("jwk")})
        issued = Certificate.parse(answer.json()["certificate"])
        assert issued.jwt.claims["public-key"] == person.to_json("classic")


@shows("password_memory", "password_passes")
def test_passwords_cost_what_it_says_and_old_hashes_are_replaced_when_they_are_used(
    tmp_path: Path,
) -> None:
    site = Site(tmp_path, "password_memory = 20", "password_passes = 3")
    given = tmp_path / "password"
    given.write_text(PASSWORD)
    given.chmod(0o600)
    place = ("--config", str(site.file), "--password-file", str(given))
    assert main(["add-user", *place, f"bob@{DOMAIN}"]) == 0
    assert "$m=20480,t=3,p=1$" in hash_of(site, f"bob@{DOMAIN}")
    assert "$m=8,t=1,p=1$" in hash_of(site, ALICE)
    with site.served() as served:
        assert served.certify().ok
    assert "$m=20480,t=3,p=1$" in hash_of(site, ALICE)


def hash_of(site: Site, email: str) -> str:
    [account] = [each for each in site.folder.open().accounts.all() if each.email == email]
    return account.password


@shows("failed_sign_ins", "failed_sign_in_window", "proxies")
def test_wrong_passwords_count_for_the_client_that_a_proxy_of_the_file_names(
    tmp_path: Path,
) -> None:
    site = Site(
        tmp_path,
        "failed_sign_ins = 2",
        "failed_sign_in_window = 900",
        'proxies = ["127.0.0.0/8"]',
        "max_connections_per_client = 1",
    )

    def guess(email: str, client: str) -> int:
        return served.certify({"X-Forwarded-For": client}, email=email, password="x").status_code

    with site.served() as served, served.connect("127.0.0.1"), served.connect("127.0.0.1"):
        # On a busy machine a guess takes longer than the first waits, and never than all of them.
        guesses = takewhile(
            lambda status: status == 401,
            (guess(f"{name}@{DOMAIN}", "198.51.100.7") for name in "abcdefghijkl"),
        )
        assert 2 <= len(list(guesses)) < 12
        assert guess(f"y@{DOMAIN}", "198.51.100.8") == 401
        earlier(site, "failures", "time", 901)
        assert guess(f"x@{DOMAIN}", "198.51.100.7") == 401


@shows("max_connections", "max_connections_per_client")
def test_there_are_as_many_connections_as_it_says(tmp_path: Path) -> None:
    site = Site(tmp_path, "max_connections = 3", "max_connections_per_client = 2")
    with site.served() as served, ExitStack() as open_ones:
        silent = [open_ones.enter_context(served.connect("127.0.0.2")) for _ in range(3)]
        assert silent[2].recv(1) == b""
        open_ones.enter_context(served.connect("127.0.0.3"))
        assert served.document().ok
        assert silent[0].recv(1) == b""
        silent[1].settimeout(0.2)
        with pytest.raises(TimeoutError):
            silent[1].recv(1)


@shows("rp_id")
def test_passkeys_are_for_the_rp_id_of_the_file_and_another_has_to_be_confirmed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = 'public_url = "https://id.example.test"'
    site = Site(tmp_path, url, f'rp_id = "{DOMAIN}"')
    with site.served() as served:
        browser = Browser(served.url, site.folder.tls.anchor, "https://id.example.test")
        fields = browser.open("/browserid/sign-in").form("/browserid/passkey").fields
        answer = browser.post("/browserid/passkey/options", fields, {"Accept": "application/json"})
        assert answer.answer.json()["rpId"] == DOMAIN
    passkeys = site.folder.open(public_url="https://id.example.test", rp_id=DOMAIN).passkeys
    key = Authenticator(origin="https://id.example.test")
    passkeys.register(ALICE, key.create(passkeys.registration_options(ALICE, 0)), "", "::1", 0)
    command = ["--config", str(site.file)]
    site.configure(url, 'rp_id = "other.test"')
    assert main(["serve", *command]) == 78
    assert "browsers would refuse every passkey" in capsys.readouterr().err
    site.configure(url)
    assert main(["serve", *command]) == 78
    assert "1 passkey works no longer" in capsys.readouterr().err
    assert main(["confirm-rp-id", *command]) == 0
    assert "passkeys that no longer work: 1" in capsys.readouterr().out
    with site.served() as served:
        assert served.document().ok


@shows("public_url")
def test_forms_come_from_where_the_public_finds_the_provider(tmp_path: Path) -> None:
    site = Site(tmp_path, 'public_url = "https://id.example.test"')
    with site.served() as served:
        browser = Browser(served.url, site.folder.tls.anchor, "https://id.example.test")
        assert browser.sign_in().path == "/browserid/account"
        elsewhere = Browser(served.url, site.folder.tls.anchor, f"https://{DOMAIN}")
        assert elsewhere.sign_in().status == 403


@shows("public_url")
def test_a_program_s_page_leads_there_whatever_the_web_server_calls_it(tmp_path: Path) -> None:
    site = Site(tmp_path, 'public_url = "https://id.example.test"')
    query = "email=alice%40example.test&state=a%20%26%20b&public-key="
    with site.served() as served:
        for host in (DOMAIN, "id.example.test", "127.0.0.1:8443"):
            browser = Browser(served.url, site.folder.tls.anchor, headers={"Host": host})
            page = browser.open(f"/authentication?{query}")
            assert page.location == f"https://id.example.test/browserid/authentication?{query}"
            # Which leads no further.
            there = browser.open(page.location.removeprefix("https://id.example.test"))
            assert (there.status, there.location) == (400, "")


@shows("public_url", "embedders")
def test_pages_at_another_host_cannot_be_embedded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    embedders = 'embedders = ["https://dialog.example.test"]'
    site = Site(tmp_path, 'public_url = "https://id.example.test"', embedders)
    assert main(["serve", "--config", str(site.file)]) == 78
    assert "`embedders`" in capsys.readouterr().err


@shows("embedders")
def test_the_provisioning_page_may_be_framed_by_whom_it_says(tmp_path: Path) -> None:
    site = Site(tmp_path, 'embedders = ["https://dialog.example.test:8443"]')
    with site.served() as served:
        browser = Browser(served.url, site.folder.tls.anchor)
        policy = browser.open("/provisioning").headers["Content-Security-Policy"]
        assert "frame-ancestors https://dialog.example.test:8443;" in policy


@shows("session_life", "session_idle")
def test_people_stay_signed_in_on_the_pages_for_as_long_as_it_says(tmp_path: Path) -> None:
    site = Site(tmp_path, "session_life = 600", "session_idle = 60")
    with site.served() as served:
        browser = Browser(served.url, site.folder.tls.anchor)
        for column, seconds, stays in (
            ("used", 55, True),
            ("used", 65, False),
            ("created", 605, False),
        ):
            browser.sign_in()
            earlier(site, "page_sessions", column, seconds)
            assert (browser.open("/browserid/account").path == "/browserid/account") is stays
            browser.session.cookies.clear()


def earlier(site: Site, table: str, column: str, seconds: int) -> None:
    """Move a time in all rows of a table of the provider's back."""
    with closing(sqlite3.connect(site.folder.path / "provider.sqlite")) as database, database:
        database.execute(f"UPDATE {table} SET {column} = {column} - {seconds * 1000}")


@shows("status_port", "status_listen")
def test_monitoring_asks_at_the_place_of_the_file(tmp_path: Path) -> None:
    port = free_port()
    site = Site(tmp_path, f"status_port = {port}", 'status_listen = "127.0.0.3"')
    with site.served():
        assert requests.get(f"http://127.0.0.3:{port}/ready", timeout=PATIENCE).ok
        with pytest.raises(requests.ConnectionError):
            requests.get(f"http://127.0.0.1:{port}/ready", timeout=PATIENCE)


@shows("log_format")
def test_the_log_is_written_as_it_says(tmp_path: Path) -> None:
    for given, begins in (("json", '{"time": '), ("text", "browserid_sasl.")):
        folder = tmp_path / given
        folder.mkdir()
        site = Site(folder, f'log_format = "{given}"')
        with (tmp_path / f"{given}.log").open("w+") as log, site.served(stderr=log) as served:
            (site.folder.path / "keys").rename(site.folder.path / "elsewhere")
            assert served.document().status_code == 500
            written = Path(log.name)
            wait_until(lambda file=written: file.read_text().endswith("\n"), "a line")  # type: ignore[misc]
            assert written.read_text().startswith(begins)


WITH_POSTGRESQL = {"database"}
"""What `postgresql/test_page.py` shows."""


@shows("key_encryption_file")
def test_signing_keys_are_in_the_database_encrypted_with_what_the_file_has(tmp_path: Path) -> None:
    key = write_keys(tmp_path / "encryption", bytes(range(32)))
    site = Site(tmp_path, 'key_encryption_file = "encryption"')
    assert not (tmp_path / "idp" / "keys").exists()
    with site.served() as served:
        before = served.document().json()["public-key"]
        assert main(["rotate-key", "--config", str(site.file)]) == 0
        assert served.document().json()["keys"][1] == before
    write_keys(key, bytes(32))
    assert main(["rotate-key", "--config", str(site.file)]) == 74


@shows("audit_entries", "audit_life")
def test_the_database_keeps_so_much_of_the_audit_log(tmp_path: Path) -> None:
    site = Site(tmp_path, "audit_entries = 1000", "audit_life = 86_400")
    log = AuditLog(site.folder.database, AuditFile(tmp_path / "others.log"))
    day = 86_400_000
    now = system_clock()
    with site.folder.database.transaction():
        for _ in range(1_100):
            log.write(Event.BACKED_UP, now - 2 * day)
        for _ in range(1_100):
            log.write(Event.BACKED_UP, now)

    def oldest() -> int:
        # One of so many things that happen purges what there is; to look takes longer than they.
        for _ in range(64):
            assert main(["invite", "--config", str(site.file), ALICE]) == 0
        return min(entry.time for entry in log.search(Question(), 10_000))

    wait_until(lambda: oldest() > now - day, "the end of what is too old")
    wait_until(lambda: oldest() and len(log.search(Question(), 10_000)) < 1_100, "so few")


@shows("backends")
def test_who_is_not_asked_lets_nobody_in(tmp_path: Path) -> None:
    """Nobody runs the directory, so of whoever it may know nothing can be said."""
    site = Site(
        tmp_path,
        'backends = ["staff"]',
        '[ldap."staff"]',
        'servers = ["ldaps://127.0.0.1:1"]',
        'base = "dc=example,dc=test"',
    )
    with site.served() as served:
        assert served.certify().status_code == 401
        assert served.certify(email=f"nobody@{DOMAIN}").status_code == 503


@shows("second_step")
def test_who_needs_a_second_step_gets_nothing_without(tmp_path: Path) -> None:
    site = Site(tmp_path, 'second_step = "required"')
    with site.served() as served:
        assert served.certify().json()["error"] == "second-step-missing"


@shows("fallback", "mail_server", "mail_port", "mail_tls", "mail_ca_file", "mail_user")
@shows("mail_password_file", "mail_sender", "mail_bounces", "mails_per_hour")
def test_a_fallback_sends_mail_as_the_file_says(tmp_path: Path) -> None:
    authority, mailbox = trustme.CA(), Mailbox()
    write_ca(authority, tmp_path)
    password = tmp_path / "password"
    password.write_text("secret\n")
    password.chmod(0o600)
    context = context_of(authority.issue_cert("localhost"))
    with mail_server(mailbox, context, at_once=True) as port:
        site = Site(
            tmp_path,
            "fallback = true",
            'mail_server = "localhost"',
            f"mail_port = {port}",
            'mail_tls = "tls"',
            'mail_ca_file = "ca.pem"',
            'mail_user = "provider"',
            'mail_password_file = "password"',
            f'mail_sender = "sign-in@{DOMAIN}"',
            f'mail_bounces = "bounces@{DOMAIN}"',
            "mails_per_hour = 1",
            # Nobody is there, so the domain has no provider.
            '[authorities."nobody.test"]',
            f'url = "https://127.0.0.1:{free_port()}"',
        )
        with site.served() as served:
            assert [ask_for_mail(site, served, name) for name in ("alice", "bob")] == [200, 429]
            delivery = mailbox.wait()
    assert (delivery.user, delivery.secure) == ("provider", True)
    assert delivery.message["From"].addresses[0].addr_spec == f"sign-in@{DOMAIN}"
    assert delivery.sender.startswith("bounces+")


def ask_for_mail(site: Site, served: Served, name: str) -> int:
    browser = Browser(served.url, site.folder.tls.anchor, f"https://{DOMAIN}")
    fields = {"csrf": browser.open(paths.SIGN_IN).csrf(), "email": f"{name}@nobody.test"}
    return browser.post(paths.SIGN_IN, fields | {"next": ""}).status


@shows("authority")
def test_certificates_are_those_of_where_the_domain_says_that_its_provider_is(
    tmp_path: Path,
) -> None:
    site = Site(tmp_path, 'authority = "id.login.test"')
    with site.served() as served:
        assert Certificate.parse(served.certify().json()["certificate"]).issuer == "id.login.test"
        begun = served.post("/device-authorization", email=ALICE, **{"public-key": KEY.to_json()})
        assert begun["verification_uri"] == "https://id.login.test/browserid/device"


@shows("name", "logo_file", "accent_colour")
def test_the_pages_look_as_it_says(tmp_path: Path) -> None:
    site = Site(tmp_path, 'name = "Wir"', 'logo_file = "logo.png"', 'accent_colour = "#7A0019"')
    (tmp_path / "logo.png").write_bytes(png())
    with site.served() as served:
        browser = Browser(served.url, site.folder.tls.anchor)
        page = browser.open(paths.SIGN_IN)
        assert f"Wir {DOMAIN}" in page.text
        assert "--accent: #7a0019;" in page.html
        logo = next(given["src"] for tag, given in page.tags if tag == "img")
        assert browser.open(logo).answer.content == png()


def test_there_is_a_test_of_every_option_above() -> None:
    assert set(options_of(IdpConfig)) == SHOWN | WITH_POSTGRESQL
