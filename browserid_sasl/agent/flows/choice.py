"""Which way of signing in it is, by what the provider has, what is asked for, and where it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from browserid_sasl.errors import Code, CredentialError
from browserid_sasl.identity.support import SupportDocument

Way = Literal["browser", "device", "password"]
WAYS: Final[tuple[Way, ...]] = get_args(Way)

_SSH: Final = ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY")
_DISPLAYS: Final = ("WAYLAND_DISPLAY", "DISPLAY")
_CONTAINER: Final = "container"
_CONTAINER_MARKS: Final = (Path("/run/.containerenv"), Path("/.dockerenv"))

_OPTIONS: Final[Mapping[Way, str]] = {
    "browser": "--browser",
    "device": "--device",
    "password": "--password-file",
}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a program runs.

    :param remote: on another machine than the person sits at, as far as can be seen.
    :param contained: in a container, whose loopback and programs are not the desktop's.
    :param display: whether there is a graphical display.
    :param browser: whether there is a command that opens one.
    """

    remote: bool
    contained: bool
    display: bool
    browser: bool

    @classmethod
    def of(
        cls,
        environment: Mapping[str, str],
        *,
        browser: bool,
        marks: Collection[Path] = _CONTAINER_MARKS,
    ) -> Surroundings:
        """Look around.

        :param environment: the program's variables.
        :param browser: whether a command was found.
        :param marks: files that container engines leave.
        """
        return cls(
            remote=any(environment.get(name) for name in _SSH),
            contained=bool(environment.get(_CONTAINER)) or any(mark.exists() for mark in marks),
            display=any(environment.get(name) for name in _DISPLAYS),
            browser=browser,
        )

    @property
    def shows_pages(self) -> bool:
        """Whether a page can be opened here at all."""
        return self.display and self.browser

    @property
    def is_desktop(self) -> bool:
        """Whether a page that is opened here is seen by the person, and finds the way back."""
        return self.shows_pages and not self.remote and not self.contained


def ways_of(document: SupportDocument) -> tuple[Way, ...]:
    """The ways that a provider has."""
    has: Mapping[Way, bool] = {
        "browser": "code" in document.grant_types,
        "device": "device" in document.grant_types and document.device_authorization is not None,
        "password": "password" in document.grant_types,
    }
    return tuple(way for way in WAYS if has[way])


def demand(way: Way, offered: Collection[Way]) -> None:
    """See that a provider has a way of signing in.

    :raises CredentialError: interact-unavailable when it has not.
    """
    if way not in offered:
        raise _not_offered(offered, way)


def choose(
    offered: Collection[Way],
    forced: Way | None,
    preferred: Way | Literal["auto"],
    surroundings: Surroundings,
) -> Way:
    """The way to sign in.

    1. What the command line says, and nothing else.
    2. What the configuration says, if the provider has it.
    3. A browser where one can be seen, another device elsewhere.
    4. What there is. The link is printed in any case, so that a browser needs no display here.

    :param offered: what the provider has.
    :param forced: by the command line, None without.
    :param preferred: by the configuration.
    :raises CredentialError: interact-unavailable when the provider has none that will do.
    """
    if forced is not None:
        demand(forced, offered)
        return forced
    first: tuple[Way, ...] = ("browser", "device") if surroundings.is_desktop else ("device",)
    order: tuple[Way, ...] = (*first, *WAYS)
    if preferred != "auto":
        order = (preferred, *order)
    for way in order:
        if way in offered:
            return way
    raise CredentialError(
        Code.INTERACT_UNAVAILABLE,
        "the identity provider has no way of signing in that this program knows",
        "see whether there is a newer release of it",
    )


def _not_offered(offered: Collection[Way], forced: Way) -> CredentialError:
    others = " or ".join(_OPTIONS[way] for way in WAYS if way in offered)
    return CredentialError(
        Code.INTERACT_UNAVAILABLE,
        f"the identity provider has no sign-in for {_OPTIONS[forced]}",
        f"use {others}" if others else "see whether there is a newer release of this program",
    )
