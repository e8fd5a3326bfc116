"""The commands of docs/acceptor.md, but for those of systemd, which the machine does not run."""

from __future__ import annotations

from tests.support.guide import blocks_of
from tests.support.machine import Machine
from tests.support.sample_programs import ROOT


def test_its_commands_make_the_account_and_put_the_files_in_place(computer: Machine) -> None:
    shown = [block.text for block in blocks_of(ROOT / "docs" / "acceptor.md") if block.kind == "sh"]
    commands = [line for text in shown for line in text.splitlines()]
    for command in commands:
        if command.startswith("systemctl "):
            continue
        target = command.split()[-1]
        if target.startswith("/etc/fail2ban"):
            computer.do(f"mkdir -p {target}")  # as the package fail2ban has
        computer.do(command, folder=str(ROOT))
    assert computer.do("id -gn browserid") == "browserid\n"
    assert computer.do("stat -c %a /etc/systemd/system/browserid-acceptor.service") == "644\n"
    assert computer.do("stat -c %a /etc/fail2ban/filter.d/browserid-acceptor.conf") == "644\n"
