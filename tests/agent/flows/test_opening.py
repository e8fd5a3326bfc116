"""Opening a page in the person's browser."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from browserid_sasl.agent.flows.opening import LINK as LINK_PLACE
from browserid_sasl.agent.flows.opening import Browser
from tests.support.granting import fake_browser
from tests.support.patience import PATIENCE, wait_until

LINK = "https://example.test/authentication?state=a b&x=$(touch /tmp/never)"


def found(*words: str, path: str = "/usr/bin:/bin") -> Browser | None:
    return Browser.find(words, {"PATH": path})


def test_the_page_is_one_argument_and_no_shell_sees_it(tmp_path: Path) -> None:
    command, notes = fake_browser(tmp_path, follows=False)
    browser = found(str(command), "-P", "work", "--url={link}")
    assert browser is not None
    assert browser.open(LINK)
    wait_until(lambda: notes.read_text() != "", "the browser")
    assert notes.read_text() == f"-P work --url={LINK}\n"


@pytest.mark.parametrize("bus", ["none", "its own", "another"])
def test_what_systemd_has_started_has_the_browser_started_by_systemd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bus: str
) -> None:
    """No browser works under what the agent's unit forbids; see `make deb-trial`."""
    runner, notes = fake_browser(tmp_path, follows=False)
    runner.rename(tmp_path / "systemd-run")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    environment = {"DISPLAY": ":0", "INVOCATION_ID": "1", "XDG_RUNTIME_DIR": str(tmp_path)}
    if bus != "none":
        (tmp_path / "bus").touch()
    if bus == "another":
        environment["DBUS_SESSION_BUS_ADDRESS"] = "unix:path=/tmp/dbus-1,guid=2"
    browser = Browser(("/usr/bin/firefox", LINK_PLACE), environment)
    monkeypatch.setenv("SYSTEMD_EXEC_PID", str(os.getpid()))
    assert browser.open("https://example.test/?$x")
    wait_until(lambda: notes.read_text() != "", "the runner")
    said = notes.read_text()
    assert said.startswith("--user ")
    # Without its bus it could not say how the browser ended, and refuses to wait.
    assert ("--wait" in said) is (bus == "its own")
    assert " --setenv=DISPLAY " in said and "INVOCATION_ID" not in said
    assert said.endswith(" -- /usr/bin/firefox https://example.test/?$$x\n")


def test_what_systemd_has_started_does_not_concern_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, notes = fake_browser(tmp_path, follows=False)
    monkeypatch.setenv("SYSTEMD_EXEC_PID", str(os.getppid()))
    browser = found(str(command))
    assert browser is not None
    assert browser.open(LINK)
    wait_until(lambda: notes.read_text() != "", "the browser")
    assert notes.read_text() == f"{LINK}\n"


def test_without_a_place_for_it_the_page_comes_last(tmp_path: Path) -> None:
    command, notes = fake_browser(tmp_path, follows=False)
    browser = found(str(command), "--new-tab")
    assert browser is not None
    assert browser.open(LINK)
    wait_until(lambda: notes.read_text() != "", "the browser")
    assert notes.read_text() == f"--new-tab {LINK}\n"


def test_the_desktops_own(tmp_path: Path) -> None:
    command, _ = fake_browser(tmp_path, follows=False)
    command.rename(tmp_path / "xdg-open")
    assert found(path=str(tmp_path)) == Browser(
        (str(tmp_path / "xdg-open"), "{link}"), {"PATH": str(tmp_path)}
    )
    assert found(path=str(tmp_path / "nowhere")) is None
    assert found("no-such-browser") is None


def browsers(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("firefox", ("firefox", "{link}")),
        ("firefox -P work", ("firefox", "-P", "work", "{link}")),
        ("firefox '--url=%s' x", ("firefox", "--url={link}", "x")),
        ("none-such:firefox", ("firefox", "{link}")),
        ("w3m:/usr/bin/lynx:firefox", ("firefox", "{link}")),
        ("firefox $(touch /tmp/never)", ("firefox", "$(touch", "/tmp/never)", "{link}")),
        ("", ("xdg-open", "{link}")),
        (":", ("xdg-open", "{link}")),
        ("w3m", ("xdg-open", "{link}")),
        ("firefox 'unclosed", ("xdg-open", "{link}")),
    ],
)
def test_the_one_that_the_environment_names(
    tmp_path: Path, variable: str, words: tuple[str, ...]
) -> None:
    browsers(tmp_path, "firefox", "w3m", "xdg-open")
    found = Browser.find((), {"PATH": str(tmp_path), "BROWSER": variable})
    assert found is not None
    assert tuple(found.words) == (str(tmp_path / words[0]), *words[1:])


def test_the_configured_one_before_that_of_the_environment(tmp_path: Path) -> None:
    browsers(tmp_path, "firefox", "chromium")
    environment = {"PATH": str(tmp_path), "BROWSER": "firefox"}
    found = Browser.find(("chromium",), environment)
    assert found is not None
    assert found.words[0] == str(tmp_path / "chromium")
    assert Browser.find((), {"PATH": str(tmp_path)}) is None


def test_one_that_fails_is_noticed_and_one_that_stays_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failing = Browser(("/bin/false",), os.environ)
    staying = Browser(("/bin/sleep", "20"), os.environ)
    assert staying.open(LINK)
    monkeypatch.setattr("browserid_sasl.agent.flows.opening._FAILS_WITHIN_S", PATIENCE)
    assert not failing.open(LINK)
    assert not Browser(("/nowhere/browser",), os.environ).open(LINK)


@pytest.mark.parametrize("variable", ["DISPLAY", "WAYLAND_DISPLAY"])
def test_it_gets_the_environment_it_was_found_in(tmp_path: Path, variable: str) -> None:
    note = tmp_path / "note"
    code = f"import os, pathlib; pathlib.Path({str(note)!r}).write_text(os.environ[{variable!r}])"
    assert Browser((sys.executable, "-c", code), {variable: ":7"}).open(LINK)
    wait_until(note.exists, "the browser")
    wait_until(lambda: note.read_text() == ":7", "its note")
