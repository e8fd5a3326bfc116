"""What a command prints: text for people, or one JSON object for programs.

The objects are described by docs/schemas/: members are added to them, and none is taken away or
means something else from one release to the next.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar, cast

import click

from browserid_sasl.cli.progress import shown
from browserid_sasl.printer.node import inert

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Output:
    """How much is printed, and in which form.

    :param as_json: an object in place of text.
    :param quiet: nothing but what was asked for, and errors.
    """

    as_json: bool = False
    quiet: bool = False

    @property
    def is_text(self) -> bool:
        """Whether people read it."""
        return not self.as_json

    def say(self, text: str) -> None:
        """Tell what was done."""
        if self.is_text and not self.quiet:
            click.echo(inert(text))

    def working(self, text: str) -> AbstractContextManager[None]:
        """Show on a terminal what is being done if it takes longer than a second."""
        return shown(text) if self.is_text and not self.quiet else nullcontext()

    def note(self, text: str) -> None:
        """Tell something beside it, on standard error."""
        if not self.quiet:
            click.echo(inert(text), err=True)

    def announce(self, text: str, members: Mapping[str, object]) -> None:
        """Tell in one line that a service is ready: the object is in one line too.

        Whoever has started it reads a line, and what may follow is none of that.
        """
        self.say(text)
        self.give_line(members)

    def give_line(self, members: Mapping[str, object]) -> None:
        """Print the object in one line, if that is what is wanted."""
        if self.as_json:
            click.echo(json.dumps(members))

    def give(self, members: Mapping[str, object]) -> None:
        """Print the object, if that is what is wanted."""
        if self.as_json:
            click.echo(json.dumps(members, indent=2))


def output_options(function: F) -> F:
    """Add ``--json`` and ``--quiet``, as the argument `output`."""

    @wraps(function)
    def with_output(*arguments: Any, as_json: bool, quiet: bool, **options: Any) -> Any:
        return function(*arguments, output=Output(as_json, quiet), **options)

    as_json = click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
    quiet = click.option("--quiet", is_flag=True, help="Print what was asked for, and errors.")
    return cast(F, as_json(quiet(with_output)))
