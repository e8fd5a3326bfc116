"""Manual pages, made of what ``--help`` is made of (man-pages(7), groff_man(7))."""

from __future__ import annotations

import re
from collections.abc import Iterator
from textwrap import wrap
from typing import Final

import click

from browserid_sasl import __version__
from browserid_sasl.cli.program import STATUSES
from browserid_sasl.cli.programs import PROGRAMS, Program

_OF_CYRUS = frozenset({"browserid-sample-client", "browserid-sample-server"})


_LONGEST: Final = 78
"""Characters of a line of the source, and two that may go before it."""


def page(program: Program) -> str:
    """The manual page of a program."""
    return "".join(f"{line}\n" for each in _lines(program) for line in _broken(each))


def _broken(line: str) -> Iterator[str]:
    """A line as several, as man-pages(7) wants the source to be."""
    if line.startswith("."):
        yield line
        return
    for part in wrap(line, _LONGEST, break_long_words=False, break_on_hyphens=False):
        yield rf"\&{part}" if part.startswith((".", "'")) else part


def _lines(program: Program) -> Iterator[str]:
    context = click.Context(program.command, info_name=program.name)
    yield f'.TH {_text(program.name.upper())} {program.section} "" "browserid-sasl {__version__}"'
    yield ".SH NAME"
    yield f"{_text(program.name)} \\- {_text(_summary(program.command))}"
    yield ".SH SYNOPSIS"
    yield from _usage(context)
    yield ".SH DESCRIPTION"
    yield from _description(program.command)
    yield from _options(context, ".SH OPTIONS")
    commands = list(_commands(context))
    if commands:
        yield ".SH COMMANDS"
    for each in commands:
        yield from _command(each)
    yield from _statuses(program)
    yield ".SH SEE ALSO"
    others = (f"{_text(each.name)}({each.section})" for each in PROGRAMS if each != program)
    yield ", ".join((*others, r"browserid\-sasl(8)"))


def _commands(context: click.Context) -> Iterator[click.Context]:
    """The commands of a program, and those below them that do something."""
    if not isinstance(context.command, click.Group):
        return
    for name in context.command.list_commands(context):
        command = context.command.get_command(context, name)
        if command is None or command.hidden:
            continue
        below = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from _commands(below)
        else:
            yield below


def _command(context: click.Context) -> Iterator[str]:
    yield f'.SS "{_text(context.command_path)}"'
    yield from _usage(context)
    yield ".PP"
    yield from _description(context.command)
    yield from _options(context, "")


def _usage(context: click.Context) -> Iterator[str]:
    pieces = " ".join(context.command.collect_usage_pieces(context))
    yield f".B {_text(context.command_path)}"
    if pieces:
        yield _text(pieces)


def _summary(command: click.Command) -> str:
    text = (command.help or "").strip().partition("\n\n")[0]
    sentence = " ".join(text.split()).partition(". ")[0].removesuffix(".")
    return sentence[:1].lower() + sentence[1:]


def _description(command: click.Command) -> Iterator[str]:
    paragraphs = re.split(r"\n\s*\n", (command.help or "").strip())
    for number, paragraph in enumerate(paragraphs):
        if number:
            yield ".PP"
        yield _text(" ".join(paragraph.split()))


def _options(context: click.Context, heading: str) -> Iterator[str]:
    records = [
        record
        for each in context.command.get_params(context)
        if (record := each.get_help_record(context)) is not None and record[1]
    ]
    if records and heading:
        yield heading
    for names, help in records:
        yield ".TP"
        yield f".B {_text(names)}"
        yield _text(" ".join(help.split()))


def _statuses(program: Program) -> Iterator[str]:
    if program.name in _OF_CYRUS:
        return
    yield ".SH EXIT STATUS"
    for number, meaning in STATUSES:
        yield ".TP"
        yield f".B {number}"
        yield _text(meaning[:1].upper() + meaning[1:] + ".")


def _text(text: str) -> str:
    """A text as roff reads it: no macro, no escape, and every hyphen one that can be copied."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-").replace("`", "")
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped
