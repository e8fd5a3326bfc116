"""Every command with every option, its JSON checked against docs/schemas/output.json.

tests/support/every_option.py has the command lines. A command, or an option, that is in none of
them fails `test_every_option_is_on_a_command_line`. To claim one, add a command line there, and the
command's schema to the file; nothing has to be changed here, unless a program is new.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click
import jsonschema
import pytest

from browserid_sasl import store
from browserid_sasl.acceptor import cli as acceptor
from browserid_sasl.cli import agent, bidtool, browserid
from browserid_sasl.idp import cli as idp
from browserid_sasl.idp.backup import back_up
from browserid_sasl.idp.folder import ProviderFolder, Sharing
from browserid_sasl.idp.mail_limits import MailLimits
from browserid_sasl.idp.wishes import Granted
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.store.base import system_clock
from browserid_sasl.store.sealing import SiteKeys, write_site_keys
from browserid_sasl.verifier import cli as verifier
from tests.support.caches import log_in_once, prepare_home
from tests.support.directory import PEOPLE, SERVICE, SERVICE_PASSWORD, Directory, directory
from tests.support.every_option import ASSERTION, CASES, COMMANDS, SAMPLES
from tests.support.granting import fake_browser, granting_provider
from tests.support.grants import wish_of
from tests.support.mailing import mail_home
from tests.support.patience import PATIENCE
from tests.support.ports import free_port
from tests.support.provider import ALICE as SOMEBODY
from tests.support.provider import DOMAIN, PASSWORD
from tests.support.sample_programs import ROOT, Lines, Realm, RunningServer, run_program
from tests.support.sealing import write_keys
from tests.support.site import Site
from tests.support.verifier import write_certificate
from tests.support.world import ALICE

SCHEMAS: Final = json.loads((ROOT / "docs" / "schemas" / "output.json").read_text())
VALIDATOR: Final = jsonschema.validators.validator_for(SCHEMAS)
"""Of the release of JSON Schema that the file names."""

Main = Callable[[list[str]], int]
MAINS: Final[dict[str, Main]] = {
    "bidtool": bidtool.main,
    "browserid": browserid.main,
    "browserid-acceptor": acceptor.main,
    "browserid-agent": agent.main,
    "browserid-idp": idp.main,
    "browserid-verifier": verifier.main,
}
SERVICES: Final = (
    *("browserid-acceptor", "browserid-agent", "browserid-idp serve", "browserid-verifier"),
)
SAMPLE_PROGRAMS: Final = ("browserid-sample-server", "browserid-sample-client")
WITHOUT_OBJECTS: Final = ("browserid mail pipe",)
"""What it prints is somebody else's."""

THAT_END: Final = [
    name for name in CASES if name not in (*SERVICES, *SAMPLE_PROGRAMS, *WITHOUT_OBJECTS)
]
MAY_FIND_FAULTS: Final = ("browserid doctor", "browserid mail test")


def check(name: str, content: Any) -> None:
    """See that something is what a command prints."""
    VALIDATOR({**SCHEMAS, "$ref": f"#/$defs/{name}"}).validate(content)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home after a login, whose owner is signed in."""
    for name, value in prepare_home(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SASL_PATH", str(tmp_path))
    log_in_once(tmp_path)
    site = Site(tmp_path)
    site.sign_in()
    assert site.config
    (tmp_path / "token").write_text(ASSERTION)
    (tmp_path / "site.toml").write_text(
        (tmp_path / "browserid.toml").read_text()
        + '[authorities."idp.test"]\nkeys_file = "support.json"\n'
    )
    (tmp_path / "used.toml").write_text(
        (tmp_path / "site.toml").read_text() + f'[client.identities]\n"imap/*" = "{ALICE}"\n'
    )
    write_site_keys(tmp_path / "store-key", SiteKeys.generate())
    monkeypatch.setenv("BROWSERID_CONFIG", str(tmp_path / "site.toml"))
    write_delegating(tmp_path)
    return tmp_path


@pytest.fixture
def prepared(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """What the command of a test needs, in a folder."""
    name = request.getfixturevalue("name")
    if name == "browserid login":
        with granting_provider(tmp_path / "idp") as provider:
            command, _ = fake_browser(tmp_path / "bin", follows=True, ca_file=provider.ca_file)
            (tmp_path / "browserid.toml").write_text(
                f'[client]\nbrowser = ["{command}"]\n'
                f'[store]\ndirectory = "{tmp_path}/client"\n{provider.configuration}'
            )
            monkeypatch.setenv("BROWSERID_CONFIG", str(tmp_path / "browserid.toml"))
            monkeypatch.setenv("DISPLAY", ":0")
            yield with_password(tmp_path)
    elif name.startswith("browserid mail"):
        with mail_home(request.getfixturevalue("home"), monkeypatch) as folder:
            yield folder
    elif name.startswith("browserid-idp"):
        folder = with_password(with_provider(tmp_path))
        if "--ldap" in request.getfixturevalue("arguments"):
            with directory(tmp_path / "ldap") as people, people.running():
                ask_directory(folder, people)
                yield folder
        else:
            yield folder
    else:
        yield request.getfixturevalue("home")


def ask_directory(folder: Path, people: Directory) -> None:
    """Have the provider ask a directory, in a configuration of its own."""
    (folder / "ldap-password").touch(0o600)
    (folder / "ldap-password").write_text(SERVICE_PASSWORD)
    (folder / "staff.toml").write_text(
        (folder / "idp.toml").read_text()
        + f'backends = ["staff", "accounts"]\n[ldap."staff"]\nservers = ["{people.ldaps}"]\n'
        f'ca_file = "{people.ca_file}"\nbase = "{PEOPLE}"\nbind_dn = "{SERVICE}"\n'
        f'bind_password_file = "ldap-password"\ntimeout = 30\n'
    )


def with_password(folder: Path) -> Path:
    file = folder / "password"
    file.write_text(PASSWORD)
    file.chmod(0o600)
    return folder


def write_delegating(folder: Path) -> None:
    """The configuration of a provider of a domain that points to it."""
    (folder / "delegating.toml").write_text(
        f'[idp]\ndirectory = "{folder}/idp"\ndomain = "{DOMAIN}"\nauthority = "at.login.test"\n'
    )


def with_provider(folder: Path) -> Path:
    """A folder with a provider, which has an account with a machine, and its configuration."""
    place = ProviderFolder(folder / "idp")
    place.create(DOMAIN, "ES256", system_clock(), local_tls=True)
    provider = place.open()
    provider.accounts.add_without_password(SOMEBODY, system_clock())
    wish = wish_of(PrivateKey.generate("ES256"), SOMEBODY)
    now = system_clock()
    provider.renewals.issue(Granted(wish, renewal=True), now + 3_600_000, now, lambda: None)
    provider.administrators.add(SOMEBODY, "uid 0", now)
    provider.invitations.make(SOMEBODY, "uid 0", now)
    MailLimits(provider.database, provider.audit, 600).not_me(SOMEBODY, "192.0.2.1", now)
    (folder / "people.csv").write_text(f"address\nbob@{DOMAIN}\n")
    back_up(place, folder / "saved", "uid 0", now)
    (folder / "restored.toml").write_text(f'[idp]\ndirectory = "{folder}/restored"\n')
    key_file = write_keys(folder / "encryption", bytes(32))
    sealed = ProviderFolder(folder / "sealed", Sharing(key_file=key_file))
    sealed.create(DOMAIN, "ES256", now, local_tls=False)
    (folder / "sealed.toml").write_text(
        f'[idp]\ndirectory = "{sealed.path}"\nkey_encryption_file = "{key_file}"\n'
    )
    write_delegating(folder)
    (folder / "idp.toml").write_text(f'[idp]\ndirectory = "{folder}/idp"\ndomain = "{DOMAIN}"\n')
    return folder


def test_every_option_is_on_a_command_line() -> None:
    assert set(CASES) == set(COMMANDS)
    missing = []
    for name, command in COMMANDS.items():
        used = {word for case in CASES[name] for word in case} | {"--json", "--version"}
        # Those run each of their command lines with it too.
        used |= {"--quiet"} if name in THAT_END else set()
        for each in command.params:
            if isinstance(each, click.Option):
                spellings = filter(None, (each.opts, each.secondary_opts))
                missing += [(name, some) for some in spellings if not set(some) & used]
    assert missing == []


@pytest.mark.parametrize("quiet", [[], ["--quiet"]], ids=["", "quiet"])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [(name, case) for name in THAT_END for case in CASES[name]],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_it_prints(
    name: str,
    arguments: Sequence[str],
    quiet: list[str],
    prepared: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [filled(each, prepared, capsys) for each in arguments]
    program, *words = name.split()
    capsys.readouterr()
    ended = MAINS[program]([*words, "--json", *quiet, *given])
    captured = capsys.readouterr()
    assert ended in ((0, 1, 2) if name in MAY_FIND_FAULTS else (0,)), captured.err
    content = json.loads(captured.out)
    check(name, content)
    if quiet and name != "browserid login":
        # Where to sign in has to be shown in any case.
        assert not captured.err
    if name == "bidtool tlist":
        assert content["tickets"]
    if name == "browserid login":
        assert (content["identity"], content["state"]) == (SOMEBODY, "good")


def filled(word: str, home: Path, capsys: pytest.CaptureFixture[str]) -> str:
    if word == "{password-fd}":
        return str(os.open(home / "password", os.O_RDONLY))
    if word == "{machine}":
        return "1"
    if "{mail-" in word:
        ports = json.loads((home / "ports.json").read_text())
        return re.sub(r"\{mail-(\w+)\}", lambda match: str(ports[match[1]]), word)
    if "{free-port}" in word:
        return word.replace("{free-port}", str(free_port()))
    if word != "{assertion}":
        return word.replace("{home}", str(home))
    capsys.readouterr()
    assert bidtool.main(["get", "https://site.test"]) == 0
    return capsys.readouterr().out.strip()


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose name leaves room for that of a socket."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [(name, case) for name in SERVICES for case in CASES[name]],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_a_service_prints_when_it_is_ready(
    name: str, arguments: Sequence[str], short_folder: Path
) -> None:
    folder = with_provider(short_folder)
    write_certificate(folder)
    (folder / "services.toml").write_text(
        f'[store]\nserver_directory = "{folder}/server"\n[acceptor]\nworkers = 1\n'
        f'[listeners."{folder}/acceptor"]\n'
    )
    program, *words = name.split()
    module = MAINS[program].__module__
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", f"import sys; from {module} import main; sys.exit(main())"),
            *(*words, "--json", *(each.replace("{home}", str(folder)) for each in arguments)),
        ],
        env={**os.environ, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    )
    out = Lines(process.stdout)
    try:
        shown = out.wait_for(r"\{.*\}")
    finally:
        if not {"--check", "--background"} & set(arguments):
            process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    check(name, json.loads(shown))


@pytest.mark.parametrize(("server", "client"), SAMPLES)
def test_what_the_sample_programs_print(
    server: Sequence[str], client: Sequence[str], tmp_path: Path, provider_key: PrivateKey
) -> None:
    realm = Realm(tmp_path, provider_key)
    realm.sign_in()
    realm.config_file.rename(tmp_path / "realm.toml")
    write_certificate(tmp_path)
    admitted = "elsewhere.test" not in server
    given = [each.replace("{home}", str(tmp_path)) for each in server]
    with RunningServer(["--json", *given]) as running:
        words = [each.replace("{home}", str(tmp_path)) for each in client]
        words = [each.replace("{port}", str(running.port)) for each in words]
        done = run_program("sample_client.py", ["--json", *words])
        of_client = json.loads(done.stdout)
        running.out.wait_for(r".*authenticated.*")
    listening, of_server = map(json.loads, str(running.out).splitlines())
    check("browserid-sample-client", of_client)
    for each in (listening, of_server):
        check("browserid-sample-server", each)
    assert listening["listening"][0]["port"] == running.port
    assert of_client["authenticated"] == of_server["authenticated"] == admitted
    if admitted:
        assert of_client["identity"] == of_server["identity"] == SOMEBODY
    else:
        assert "may not log in" in done.stderr


def test_the_file_is_a_schema() -> None:
    """Seen once: it takes longer than all that is validated by it."""
    VALIDATOR.check_schema(SCHEMAS)


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - set(WITHOUT_OBJECTS)))
def test_the_schema_is_strict_enough_to_fail(name: str) -> None:
    mistakes: Sequence[object] = ({}, [], {"tickets": "none", "removed": "some"})
    for wrong in mistakes:
        with pytest.raises(jsonschema.ValidationError):
            check(name, wrong)


class TestLogout:
    def test_of_everybody(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        Site(home).sign_in("bob@idp.test")
        assert browserid.main(["logout", "--all"]) == 0
        said = capsys.readouterr().out
        assert "signed out alice@idp.test" in said
        assert "signed out bob@idp.test" in said
        assert browserid.main(["list", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"identities": []}
        assert browserid.main(["logout", "--all"]) == 0
        assert capsys.readouterr().err == "nobody is signed in\n"

    @pytest.mark.parametrize("arguments", [[], ["--all", ALICE]])
    def test_of_nobody_in_particular(
        self, home: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert browserid.main(["logout", *arguments]) == os.EX_USAGE
        assert "give an address or --all" in capsys.readouterr().err


class TestStatus:
    def shown(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
        ended = browserid.main(["status", *arguments])
        captured = capsys.readouterr()
        return ended, captured.out + captured.err

    def test_of_somebody(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        ended, said = self.shown(capsys)
        assert ended == 0
        assert ALICE in said
        assert "good" in said
        assert "tickets: 1" in said
        assert "agent: not running" in said

    def test_of_nobody(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name, value in prepare_home(tmp_path).items():
            monkeypatch.setenv(name, value)
        before = sorted(tmp_path.rglob("*"))
        ended, said = self.shown(capsys)
        assert ended == os.EX_NOPERM
        assert "nobody is signed in" in said
        assert sorted(tmp_path.rglob("*")) == before

    @pytest.mark.parametrize(
        ("renewal_in", "state", "ended"),
        [(-1, "expired", os.EX_NOPERM), (10**9, "renewed when needed", 0)],
    )
    def test_of_somebody_whose_certificate_has_expired(
        self,
        home: Path,
        renewal_in: int,
        state: str,
        ended: int,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        stores = store.open_initiator(home / "client" / "client.db")
        (record,) = stores.identities.all()
        changed: Any = replace(
            record, expires=1, renewal="x", renewal_expires=system_clock() + renewal_in
        )
        stores.identities.put(changed)
        stores.close()
        code, said = self.shown(capsys)
        assert code == ended
        assert state in said
