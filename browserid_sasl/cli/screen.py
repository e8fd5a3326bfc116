"""What a person sees of a sign-in, and what they type meanwhile."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Final

import click
import segno

from browserid_sasl.agent.flows.choice import Surroundings
from browserid_sasl.agent.flows.opening import Browser
from browserid_sasl.agent.flows.prompt import Prompt
from browserid_sasl.config import ClientConfig
from browserid_sasl.printer.node import inert

_MOST_TYPED: Final = 8_192


class Screen:
    """The terminal, or whatever stands for it, and the person's browser.

    :param options: which browser it is.
    :param environment: the program's variables.
    """

    def __init__(self, options: ClientConfig, environment: Mapping[str, str]) -> None:
        self._configured = options.browser
        self._browser = Browser.find(options.browser, environment)
        self.surroundings = Surroundings.of(environment, browser=self._browser is not None)
        self._listens = False

    def show(self, identity: str, prompt: Prompt, *, open_now: bool) -> None:
        """Print where to sign in, and then try to open it.

        :param open_now: whether to open it.
        """
        if prompt.code:
            self._show_code(identity, prompt)
            return
        say(f"To sign in as {identity}, open this page in a browser:\n\n  {prompt.link}\n")
        if open_now:
            self._open(prompt.link)
        self._listens = sys.stdin is not None and sys.stdin.isatty()
        # In any case: a browser that opens may be another machine's, or may not be let back here.
        if self._listens:
            say(
                "Where the browser cannot come back to this program, paste the address that it"
                " shows in the end, and press Enter."
            )
        say(f"Waiting for {_minutes(prompt.expires_in)}; Ctrl-C cancels.")

    @property
    def input(self) -> int | None:
        """The descriptor of what the person types, None where nobody is listened to."""
        return sys.stdin.fileno() if self._listens else None

    def read(self) -> str:
        """What the person has typed; empty for nothing."""
        octets = os.read(sys.stdin.fileno(), _MOST_TYPED)
        if not octets:
            self._listens = False
        return octets.decode(errors="replace").strip()

    def _show_code(self, identity: str, prompt: Prompt) -> None:
        say(f"To sign in as {identity}, open this page on any device:\n\n  {prompt.link}\n")
        if sys.stderr.isatty():
            segno.make(prompt.link, error="l").terminal(sys.stderr, compact=True)
        say(f"The code is  {prompt.code}  (the page to type it in: {prompt.entry})")
        say(f"Waiting for {_minutes(prompt.expires_in)}; Ctrl-C cancels.")

    def _open(self, link: str) -> None:
        if self._browser is None and self._configured:
            say(f"There is no browser {self._configured[0]!r}: open the page yourself.")
        if self._browser is None or not self.surroundings.shows_pages:
            return
        if not self._browser.open(link):
            say("The browser could not be opened: open the page yourself.")


def say(text: str) -> None:
    """Tell the person something beside the result. A provider's words may be in it."""
    click.echo("\n".join(map(inert, text.split("\n"))), err=True)


def _minutes(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} minutes"
