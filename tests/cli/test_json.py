"""Every command with every option, its JSON checked against docs/schemas/output.json."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click
import jsonschema
import pytest

from browserid_sasl import store
from browserid_sasl.cli import bidtool, browserid
from browserid_sasl.store.base import system_clock
from tests.support import vectors
from tests.support.caches import log_in_once, prepare_home
from tests.support.provider import ALICE as SOMEBODY
from tests.support.provider import DOMAIN, PASSWORD, running_provider
from tests.support.sample_programs import ROOT
from tests.support.site import Site
from tests.support.world import ALICE

SCHEMAS: Final = json.loads((ROOT / "docs" / "schemas" / "output.json").read_text())
ASSERTION: Final = vectors.load("gss-aes128-mutual-initial").data["messages"][0]["octets"]

WHOSE: Final[Sequence[Sequence[str]]] = (
    [],
    ["--server"],
    ["--acceptor", "--config", "{home}/browserid.toml"],
)
CACHES: Final = (*WHOSE, ["-cache", "{home}/server/server.db"])
VERBOSE: Final = (*CACHES, ["-verbose"])

CASES: Final[Mapping[str, Sequence[Sequence[str]]]] = {
    "bidtool tlist": VERBOSE,
    "bidtool rlist": VERBOSE,
    "bidtool certlist": VERBOSE,
    **{
        f"bidtool {name}": CACHES
        for name in ("tpurge", "tdestroy", "rpurge", "rdestroy", "certpurge", "certdestroy")
    },
    "bidtool list": WHOSE,
    "bidtool destroy": WHOSE,
    "bidtool reset": WHOSE,
    "bidtool tickets list": WHOSE,
    "bidtool cache list": WHOSE,
    "bidtool tickets delete": tuple(
        [*each, *what] for each in WHOSE for what in (["--all"], ["--all", "--service", "x/y"])
    ),
    "bidtool cache delete": (*([*each, "--all"] for each in WHOSE), ["--server", "idp.test"]),
    "bidtool token": (
        [ASSERTION],
        ["--at", "2026-11-21T16:08:00+00:00", "--encoding", "base64", ASSERTION],
        ["--file", "{home}/token"],
    ),
    "bidtool get": (
        ["https://site.test"],
        ["--identity", ALICE, "--config", "{home}/site.toml", "imap/mail.site.test"],
    ),
    "bidtool verify": (
        ["{assertion}", "https://site.test"],
        ["--config", "{home}/site.toml", "{assertion}", "https://site.test"],
    ),
    "browserid list": ([], ["--config", "{home}/site.toml"]),
    "browserid logout": (["--config", "{home}/site.toml", "--all"], [ALICE]),
    "browserid status": ([], ["--config", "{home}/site.toml"]),
    "browserid doctor": (
        [ALICE, "--config", "{home}/site.toml"],
        [
            *("--server", "imap/127.0.0.1", "--port", "1", "--config", "{home}/site.toml"),
            *("--imapd", "{home}/none", "--postfix", "{home}/none"),
        ],
    ),
}


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
    monkeypatch.setenv("BROWSERID_CONFIG", str(tmp_path / "site.toml"))
    return tmp_path


def leaves(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """The commands below one that do something, by their whole names."""
    if not isinstance(command, click.Group):
        yield name, command
        return
    for word, below in command.commands.items():
        yield from leaves(below, f"{name} {word}")


COMMANDS: Final = {
    name: command
    for program, of in (("bidtool", bidtool.command), ("browserid", browserid.command))
    for name, command in leaves(of, program)
    if any("--json" in each.opts for each in command.params)
}
BY_OTHERS: Final = {"browserid login": "it takes a provider: `test_a_sign_in_and_its_json`"}
"""Commands that another test runs."""


def test_every_command_and_every_option_is_below() -> None:
    assert set(CASES) | set(BY_OTHERS) == set(COMMANDS)
    for name in CASES:
        command = COMMANDS[name]
        options = {each.name for each in command.params if isinstance(each, click.Option)}
        used = set()
        for case in CASES[name]:
            for each in command.params:
                if isinstance(each, click.Option) and set(each.opts) & set(case):
                    used.add(each.name)
        assert options - used == {"as_json", "quiet"}, name


@pytest.mark.parametrize("quiet", [[], ["--quiet"]], ids=["", "quiet"])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [(name, case) for name, cases in CASES.items() for case in cases],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_it_prints(
    name: str,
    arguments: Sequence[str],
    quiet: list[str],
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [filled(each, home, capsys) for each in arguments]
    program, *words = name.split()
    main: Callable[[list[str]], int] = {"bidtool": bidtool, "browserid": browserid}[program].main
    capsys.readouterr()
    ended = main([*words, "--json", *quiet, *given])
    captured = capsys.readouterr()
    assert ended in ((0, 1, 2) if name == "browserid doctor" else (0,)), captured.err
    content = json.loads(captured.out)
    jsonschema.validate(content, {**SCHEMAS, "$ref": f"#/$defs/{name}"})
    if quiet:
        assert not captured.err
    if name == "bidtool tlist":
        assert content["tickets"]


def filled(word: str, home: Path, capsys: pytest.CaptureFixture[str]) -> str:
    if word != "{assertion}":
        return word.replace("{home}", str(home))
    capsys.readouterr()
    assert bidtool.main(["get", "https://site.test"]) == 0
    return capsys.readouterr().out.strip()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_schema_is_strict_enough_to_fail(name: str) -> None:
    mistakes: Sequence[object] = ({}, [], {"tickets": "none", "removed": "some"})
    for wrong in mistakes:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, {**SCHEMAS, "$ref": f"#/$defs/{name}"})


def test_a_sign_in_and_its_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    password.chmod(0o600)
    file = tmp_path / "browserid.toml"
    monkeypatch.setenv("HOME", str(tmp_path))
    with running_provider(tmp_path / "idp") as provider:
        file.write_text(
            f'[store]\ndirectory = "{tmp_path}/client"\n[authorities."{DOMAIN}"]\n'
            f'url = "{provider.url}"\nca_file = "{provider.ca_file}"\n'
        )
        arguments = ["--config", str(file), "--password-file", str(password), "--key-type", "ES256"]
        assert browserid.main(["login", "--json", *arguments, SOMEBODY]) == 0
        content = json.loads(capsys.readouterr().out)
        assert browserid.main(["login", "--quiet", *arguments, SOMEBODY]) == 0
        assert capsys.readouterr().out == ""
    jsonschema.validate(content, {**SCHEMAS, "$ref": "#/$defs/browserid login"})
    assert (content["identity"], content["state"]) == (SOMEBODY, "good")


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
