"""Which way it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from browserid_sasl.agent.flows.choice import Surroundings, Way, choose, ways_of
from browserid_sasl.errors import Code, CredentialError
from browserid_sasl.identity.support import SupportDocument

DESKTOP = {"DISPLAY": ":0", "PATH": "/usr/bin"}
ALL: tuple[Way, ...] = ("browser", "device", "password")


def around(
    environment: dict[str, str], *, browser: bool = True, marks: tuple[Path, ...] = ()
) -> Surroundings:
    return Surroundings.of(environment, browser=browser, marks=marks)


@pytest.mark.parametrize(
    ("environment", "way"),
    [
        (DESKTOP, "browser"),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "browser"),
        ({}, "device"),
        ({"DISPLAY": ""}, "device"),
        (DESKTOP | {"SSH_CONNECTION": "192.0.2.1 5 192.0.2.2 22"}, "device"),
        (DESKTOP | {"SSH_TTY": "/dev/pts/0"}, "device"),
        (DESKTOP | {"container": "podman"}, "device"),
    ],
)
def test_by_where_it_is(environment: dict[str, str], way: Way) -> None:
    assert choose(ALL, None, "auto", around(environment)) == way


def test_a_container_is_known_by_what_its_engine_left(tmp_path: Path) -> None:
    mark = tmp_path / ".containerenv"
    assert choose(ALL, None, "auto", around(DESKTOP, marks=(mark,))) == "browser"
    mark.touch()
    assert choose(ALL, None, "auto", around(DESKTOP, marks=(mark,))) == "device"


def test_a_desktop_without_a_browser() -> None:
    assert choose(ALL, None, "auto", around(DESKTOP, browser=False)) == "device"


def test_no_terminal_does_not_mean_no_browser() -> None:
    # Nothing that is looked at has to do with a terminal.
    assert choose(ALL, None, "auto", around({"DISPLAY": ":0"})) == "browser"


@pytest.mark.parametrize("way", ALL)
def test_the_command_line_is_obeyed_anywhere(way: Way) -> None:
    assert choose(ALL, way, "auto", around({})) == way
    assert choose(ALL, way, "device", around(DESKTOP)) == way


@pytest.mark.parametrize("way", ALL)
def test_the_configuration_is_heeded_where_the_provider_has_it(way: Way) -> None:
    assert choose(ALL, None, way, around({})) == way
    others: tuple[Way, ...] = tuple(each for each in ALL if each != way)
    assert choose(others, None, way, around(DESKTOP)) in others


@pytest.mark.parametrize(
    ("offered", "way"),
    [(("password",), "password"), (("browser", "password"), "browser"), (("device",), "device")],
)
def test_what_there_is(offered: tuple[Way, ...], way: Way) -> None:
    assert choose(offered, None, "auto", around({})) == way
    assert choose(offered, None, "auto", around(DESKTOP)) == way


def test_what_there_is_not() -> None:
    with pytest.raises(CredentialError, match="no sign-in for --device") as raised:
        choose(("browser", "password"), "device", "auto", around({}))
    assert raised.value.code is Code.INTERACT_UNAVAILABLE
    assert raised.value.remedy == "use --browser or --password-file"
    with pytest.raises(CredentialError, match="no way of signing in that this program knows"):
        choose((), None, "auto", around({}))


@pytest.mark.parametrize(
    ("grants", "device", "ways"),
    [
        (("password",), None, ("password",)),
        (("password", "code", "device", "renewal"), "/d", ALL),
        (("code", "device"), None, ("browser",)),
        (("renewal", "telepathy"), "/d", ()),
    ],
)
def test_what_a_provider_has(
    grants: tuple[str, ...], device: str | None, ways: tuple[Way, ...]
) -> None:
    document = SupportDocument((), "/a", "/p", "/c", device, None, grants)
    assert ways_of(document) == ways
