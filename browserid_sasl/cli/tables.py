"""Tables on standard output."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import click
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from browserid_sasl.printer.node import harmless
from browserid_sasl.printer.times import date

ANY_WIDTH: Final = 100_000
"""Columns of a terminal that breaks no line."""


def empty_table(*headings: str) -> Table:
    """A table without rows yet."""
    return Table(*headings, box=None, pad_edge=False)


def cell(text: str) -> Text:
    """Text for a table, harmless to a terminal and not taken for markup."""
    return Text(harmless(text))


def coloured(text: str, colour: str) -> str:
    """A text in a colour, on a terminal whose person wants colours (https://no-color.org)."""
    console = Console()
    wanted = console.color_system is not None and not console.no_color
    return click.style(text, fg=colour) if wanted else text


def show(table: Table, nothing: str) -> None:
    """Write a table.

    :param nothing: to say on standard error when it is empty.
    """
    if not table.row_count:
        click.echo(nothing, err=True)
        return
    # Wide enough for every cell, however narrow the terminal is: what is in them is for copying.
    wide = Console(width=ANY_WIDTH)
    width = Measurement.get(wide, wide.options, table).maximum
    Console(width=width, highlight=False).print(table)


def local_time(moment: int) -> str:
    """A time in ms as a date where this machine is. Whose word it is may name any."""
    try:
        here = datetime.fromtimestamp(moment / 1000, UTC).astimezone()
    except (ValueError, OverflowError):
        return date(moment)
    return f"{here:%Y-%m-%d %H:%M:%S %Z}"
