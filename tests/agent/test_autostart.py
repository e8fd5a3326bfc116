"""The desktop's entry that starts the agent."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from browserid_sasl.agent.autostart import Autostart
from browserid_sasl.errors import Code, ConfigurationError
from tests.support.agent import Person
from tests.support.forks import in_child
from tests.support.patience import PATIENCE, wait_until
from tests.support.refusal import refused


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Person:
    """Somebody whose own folders the entry is for."""
    person = Person(tmp_path / "person")
    for name, value in person.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("BROWSERID_CONFIG", raising=False)
    return person


def sign_in_at_the_desktop(person: Person, entry: Autostart) -> None:
    """What a desktop does with an entry then, by GLib's own program."""
    command = ["gio", "launch", str(entry.path)]
    subprocess.run(command, env=person.variables, check=True, timeout=PATIENCE)


def test_a_desktop_takes_it(person: Person) -> None:
    entry = Autostart.of_agent()
    entry.write()
    subprocess.run(["desktop-file-validate", entry.path], check=True, timeout=PATIENCE)
    assert entry.path == person.config_file.parent.parent / "autostart" / "browserid-agent.desktop"
    assert entry.is_there


def test_the_agent_runs_from_when_its_person_signs_in(person: Person) -> None:
    entry = Autostart.of_agent()
    entry.write()
    sign_in_at_the_desktop(person, entry)
    wait_until(person.socket.exists, "the agent")
    try:
        assert person.agent_pid()
    finally:
        person.stop_agent()


@pytest.mark.parametrize(
    "name", ["plain", "with space", "q\"uo'te", "back\\slash", "$HOME", "`id`", "100%", "%f", "é"]
)
def test_a_program_of_any_name(person: Person, name: str) -> None:
    done = person.folder / name
    entry = Autostart(["/usr/bin/touch", str(done)])
    entry.write()
    sign_in_at_the_desktop(person, entry)
    wait_until(done.exists, "the file")


@pytest.mark.parametrize("name", ["new\nline", "\x1b[31m"])
def test_a_name_that_no_file_can_have_there(person: Person, name: str) -> None:
    with refused(Code.INVALID_PARAMETER):
        Autostart(["/usr/bin/touch", name])


def test_the_configuration_that_is_used_is_named(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(person.folder)
    monkeypatch.setenv("BROWSERID_CONFIG", "own.toml")
    entry = Autostart.of_agent()
    entry.write()
    assert f'"--config" "{person.folder}/own.toml"' in entry.path.read_text()


class TestAnother:
    @pytest.fixture
    def entry(self, person: Person) -> Autostart:
        """Its file says what somebody else has put there."""
        entry = Autostart.of_agent()
        entry.path.parent.mkdir()
        entry.path.write_text("[Desktop Entry]\n")
        return entry

    def test_is_not_replaced(self, entry: Autostart) -> None:
        with refused(Code.INVALID_PARAMETER) as refusal:
            entry.write()
        assert str(entry.path) in str(refusal.value)
        assert entry.path.read_text() == "[Desktop Entry]\n"

    def test_is_not_removed(self, entry: Autostart) -> None:
        assert not entry.remove()
        assert entry.path.exists()

    def test_nor_is_a_link_to_nowhere(self, person: Person) -> None:
        entry = Autostart.of_agent()
        entry.path.parent.mkdir()
        entry.path.symlink_to("nowhere")
        with refused(Code.INVALID_PARAMETER):
            entry.write()
        assert not entry.remove()
        assert entry.path.is_symlink()


def test_once_written_it_is_removed(person: Person) -> None:
    entry = Autostart.of_agent()
    entry.write()
    entry.write()
    assert entry.remove()
    assert not entry.remove()
    assert os.listdir(entry.path.parent) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be an account that has no home")
def test_without_a_home(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    def find() -> str:
        for name in ("HOME", "XDG_CONFIG_HOME"):
            os.environ.pop(name)
        try:
            return str(Autostart.of_agent().path)
        except ConfigurationError as error:
            return str(error)

    assert "set HOME" in in_child(find, 23_456)
