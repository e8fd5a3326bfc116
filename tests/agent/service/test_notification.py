"""Telling somebody who sits at no terminal."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from browserid_sasl.agent.service import notification

TEXT = "sign in: browserid login <alice>@example.org & co"


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a desktop that works was given to show."""
    shown = tmp_path / "shown"
    command(tmp_path, f'printf "%s|" "$@" > {shown}')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path}/bus")
    return shown


def command(folder: Path, script: str) -> None:
    program = folder / "notify-send"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_the_desktop_shows_it_as_it_is(shown: Path, capfd: pytest.CaptureFixture[str]) -> None:
    notification.tell(TEXT)
    escaped = TEXT.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert shown.read_text() == f"--app-name=browserid|--|Sign-in needed|{escaped}|"
    assert capfd.readouterr().err == ""


def test_it_may_have_another_title(shown: Path) -> None:
    notification.tell("no mail", "Mail")
    assert shown.read_text() == "--app-name=browserid|--|Mail|no mail|"


@pytest.mark.parametrize("address", ["", "autolaunch:"])
def test_without_a_bus_there_is_a_line_and_none_is_started(
    shown: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], address: str
) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
    notification.tell(TEXT)
    assert not shown.exists()
    assert capfd.readouterr().err == f"browserid-agent: {TEXT}\n"


@pytest.mark.parametrize("script", ["exit 1", "sleep 60"])
def test_a_desktop_that_does_not_work_is_not_waited_for(
    shown: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    script: str,
) -> None:
    monkeypatch.setattr(notification, "_LIMIT_S", 0.5)
    command(tmp_path, f"exec {script}" if script.startswith("sleep") else script)
    began = time.monotonic()
    notification.tell(TEXT)
    assert time.monotonic() - began < 30
    assert capfd.readouterr().err == f"browserid-agent: {TEXT}\n"


def test_there_may_be_no_such_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
    notification.tell(TEXT)
    assert capfd.readouterr().err == f"browserid-agent: {TEXT}\n"
