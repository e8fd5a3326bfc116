"""What pages of documentation show: blocks of code, and commands."""

from __future__ import annotations

import re
import shlex

import click

from browserid_sasl.cli import browserid
from browserid_sasl.cli.sample import client as sample_client
from browserid_sasl.cli.sample import server as sample_server
from browserid_sasl.idp import commands as browserid_idp

COMMANDS = {
    "browserid": browserid.command,
    "browserid-idp": browserid_idp.command,
    "./sample_client.py": sample_client.command,
    "./sample_server.py": sample_server.command,
}


def blocks(page: str, language: str) -> list[str]:
    """The blocks of code in a language."""
    return re.findall(rf"^```{language}(?: \S+)?\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[list[str]]:
    """The commands of this package that are shown, as words."""
    lines = "".join(blocks(page, "sh")).splitlines()
    return [words for words in map(shlex.split, lines) if words[0] in COMMANDS]


def check_command(words: list[str]) -> None:
    """See that a command exists with its options."""
    name, *arguments = words
    command = COMMANDS[name]
    context = click.Context(command)
    if isinstance(command, click.Group):
        found = command.get_command(context, arguments.pop(0))
        assert found is not None
        command = found
    known = {option for parameter in command.params for option in parameter.opts}
    options = {word for word in arguments if word.startswith("-")}
    assert options <= known
