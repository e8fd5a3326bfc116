"""docs/mail-clients.md, followed with the servers that two other pages have made."""

from __future__ import annotations

import pytest

from tests.support.guide import Guide
from tests.support.machine import HOME, Machine
from tests.support.services import Syslog

MESSAGE = "From: bob@example.org\nSubject: for alice\n\nthe body of it\n"


def test_the_packages_that_it_names_have_its_commands(mail_clients: Guide) -> None:
    assert mail_clients.commands_without_a_package() == []


@pytest.mark.usefixtures("mail_clients")
class TestWhatItMakes:
    def test_what_is_in_the_inbox_is_fetched_and_read(self, computer: Machine) -> None:
        """By mbsync, and by a mutt that has only GNU SASL."""
        computer.write(f"{HOME}/message", MESSAGE)
        computer.do("/usr/lib/cyrus/bin/deliver alice <message")
        computer.do("mbsync work")
        read = "<pipe-message>cat >read<enter><quit>"
        mutt = f"mutt -R -e 'set wait_key=no quit=yes' -e 'push \"{read}\"'"
        computer.write(f"{HOME}/read.sh", mutt)
        computer.do("TERM=vt100 script -qec 'sh read.sh' /dev/null </dev/null")
        assert "the body of it" in computer.do("cat read")

    def test_bobs_mail_is_not_fetched_by_alice(self, computer: Machine, log: Syslog) -> None:
        computer.do("sed 's/^User .*/User bob/' .mbsyncrc >bobs")
        mark = log.mark()
        tried = computer.run("mbsync -c bobs work")
        assert tried.returncode != 0
        assert "bob is nobody who is signed in" in tried.stdout + log.text(mark)
