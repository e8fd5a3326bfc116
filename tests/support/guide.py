"""A page of docs/, followed on a machine to the letter.

A fenced block of such a page says in its first line what it is::

    ```sh                      commands, for root
    ```text                    what the last of them prints, among other things
    ```conf /etc/imapd.conf    lines to add to a file; so with toml, ldif and others
    ```log                     what is logged, which the tests of the page look for
    ```muttrc                  for a program that Debian does not have, only to be read; so with
                               dovecot-2.4, which Debian 12 does not have

Some things are done otherwise than a page says, since the test has no terminal, no internet, no
systemd and nobody who opens an invitation: passwords come from a file, which is what an invited
person chooses too, `apt install` only looks whether the packages are there, `make install` was done
once for all pages, and what `systemctl` does to a service is done to the command of its unit.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.machine import HOME, Machine
from tests.support.sample_programs import ROOT

PASSWORD_FILE: Final = f"{HOME}/password"
_FENCE: Final = re.compile(r"^```(\S+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_OURS: Final = "/usr/local/"
ACCEPTOR_LOG: Final = f"{HOME}/browserid-acceptor.log"
"""What browserid-acceptor has to say, which is the journal's where systemd runs."""
_READY: Final = {"browserid-acceptor": ": ready, with", "browserid-idp": "^serving "}
"""What the services say when they are."""
_PORTS: Final = {"cyrus-imapd": 143, "dovecot": 143, "exim4": 587, "postfix": 587, "slapd": 389}
"""Where each service listens once it has started."""


@dataclass(frozen=True)
class Block:
    """A fenced block.

    :param kind: the first word of its first line.
    :param file: the second one, empty for none.
    :param text: its lines.
    """

    kind: str
    file: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of a page, in their order."""
    return _blocks(page.read_text(encoding="utf-8"))


def _blocks(text: str) -> list[Block]:
    return [Block(kind, file, lines) for kind, file, lines in _FENCE.findall(text)]


class Guide:
    """A page that is being followed.

    :param machine: where.
    :param page: the page.
    :param title: of the one section that counts, empty for all of them.
    """

    def __init__(self, machine: Machine, page: Path, title: str = "") -> None:
        self._machine = machine
        text = page.read_text(encoding="utf-8")
        section = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
        self.blocks = _blocks(section if title else text)
        self._printed = ""

    def follow(self, kinds: Mapping[str, str] | None = None) -> None:
        """Do all that the page says, from its first block to its last.

        :param kinds: programs by kind of block, each given the block's text as a file.
        """
        for block in self.blocks:
            if block.kind == "sh":
                self._printed = "".join(map(self._do, _commands(block.text)))
            elif block.kind == "text":
                self._expect(block.text)
            elif block.kind in ("log", "muttrc", "dovecot-2.4"):
                continue
            elif kinds and block.kind in kinds:
                self._machine.write(f"{HOME}/example", block.text)
                self._printed = self._machine.do(f"{kinds[block.kind]} {HOME}/example")
            else:
                self._add(block)

    def _do(self, command: str) -> str:
        if command.startswith("apt install "):
            for package in command.split()[2:]:
                self._machine.do(f"dpkg --status {package} | grep 'Status: install ok installed'")
            return ""
        if command == "make install":
            return ""
        if command.startswith("systemctl "):
            return systemctl(self._machine, command)
        if command.startswith("install ") and " contrib/" in command:
            return self._machine.do(command, folder=str(ROOT))
        if command.startswith("browserid login "):
            command += f" --password-file {PASSWORD_FILE}"
        if command.startswith("doveadm auth test "):
            command += f" <{PASSWORD_FILE}"
        if command.startswith("browserid-idp invite "):
            said, address = self._machine.do(command), command.split()[-1]
            chosen = f"set-password {address} --password-file {PASSWORD_FILE}"
            self._machine.do(f"browserid-idp {chosen}")
            return said
        if "/imtest " in command:  # whose status says nothing: what it prints does
            return self._machine.run(command).stdout
        if command.startswith("service "):
            # Dovecot goes on with the descriptors that it was given.
            self._machine.do(f"{command} >said 2>&1 </dev/null || {{ cat said; false; }}")
            self._machine.wait_for_port(_PORTS[command.split()[1]])
            return ""
        return self._machine.do(command)

    def _add(self, block: Block) -> None:
        assert block.file, f"nobody knows what to do with:\n{block.text}"
        name = str(Path(HOME) / block.file.replace("~/", ""))
        file = self._machine.path(name)
        before = file.read_text() if file.exists() else ""
        self._machine.write(name, before + block.text)

    def _expect(self, text: str) -> None:
        for line in text.splitlines():
            assert line in self._printed, f"not {line!r}, but:\n{self._printed}"

    def commands_without_a_package(self) -> list[str]:
        """The programs of the page's commands that no package named on it provides."""
        named = {
            package
            for command in self._all_commands()
            if command.startswith("apt install ")
            for package in command.split()[2:]
        }
        return [name for name in self._programs() if not self._is_provided(name, named)]

    def _all_commands(self) -> Iterator[str]:
        for block in self.blocks:
            if block.kind == "sh":
                yield from _commands(block.text)

    def _programs(self) -> set[str]:
        return {shlex.split(command)[0] for command in self._all_commands()}

    def _is_provided(self, program: str, named: set[str]) -> bool:
        place = self._machine.do(f"readlink -e $(command -v {program})").strip()
        if place.startswith(_OURS):
            return True
        place = place.removeprefix("/usr")
        found = self._machine.do(f"dpkg --search /usr{place} {place} 2>/dev/null || true")
        owners = {line.partition(":")[0] for line in found.splitlines()}
        shown = "dpkg-query --show --showformat '${Priority}' "
        return any(
            owner in named or self._machine.do(shown + owner) in ("required", "important")
            for owner in owners
        )


def systemctl(machine: Machine, command: str) -> str:
    """Do to a service of ours what a command says, as far as its unit does."""
    action, *_, unit = command.split()[1:]
    log, pid = f"{HOME}/{unit}.log", f"{HOME}/{unit}.pid"
    ready = f"touch {log}; grep -c '{_READY[unit]}' {log} || true"
    before = machine.do(ready)
    if action == "reload":
        machine.do(f"kill -HUP $(cat {pid})")
    else:
        assert action in ("enable", "restart"), command
        unit_file = machine.path(f"/etc/systemd/system/{unit}.service").read_text()
        start = _as_the_unit_says(machine, unit_file)
        if action == "restart":
            machine.do(f"kill $(cat {pid})")
            machine.wait_for(f"! kill -0 $(cat {pid})")
        machine.do(f"setsid {start} >>{log} 2>&1 </dev/null & echo $! >{pid}")
    machine.wait_for(f"test $({ready}) -gt {before}")
    return ""


def _as_the_unit_says(machine: Machine, unit: str) -> str:
    """The command of a unit as its account, with its part of root's rights; makes its folders."""
    settings: dict[str, str] = dict(re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE))
    start, user = settings["ExecStart"], settings.get("User")
    if user is None:
        return start
    for place, mode in (
        ("RuntimeDirectory", "/run/{} -m 755"),
        ("StateDirectory", "/var/lib/{} -m 700"),
    ):
        if place in settings:
            machine.do(f"install -d -o {user} -g {user} {mode.format(settings[place])}")
    given = settings.get("AmbientCapabilities", "").lower().replace("cap_", "+").split()
    rights = ",".join(("-all", *given))
    own = f"--reuid={user} --regid={user} --init-groups --no-new-privs"
    home = machine.do(f"getent passwd {user} | cut -d: -f6").strip()
    return (
        f"setpriv {own} --inh-caps={rights} --ambient-caps={rights} --bounding-set={rights}"
        f" env HOME={home} {start}"
    )


def _commands(text: str) -> list[str]:
    """The commands of a block: each with what goes on in further lines, or is its input."""
    commands: list[str] = []
    goes_on, end = False, ""
    for line in text.splitlines():
        if goes_on or end:
            commands[-1] += f"\n{line}"
        else:
            commands.append(line)
        if end:
            end = "" if line == end else end
        elif heredoc := re.search(r"<<'?(\w+)'?$", line):
            end = heredoc[1]
        goes_on = line.endswith("\\")
    return commands
