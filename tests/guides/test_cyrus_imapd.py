"""docs/cyrus-imapd.md, followed on a machine as Debian's packages leave it."""

from __future__ import annotations

import pytest

from tests.support.guide import PASSWORD_FILE, Guide
from tests.support.machine import Machine
from tests.support.services import AES128, Syslog

IMTEST = f"/usr/lib/cyrus/bin/imtest -m {AES128}"


def test_the_packages_that_it_names_have_its_commands(cyrus_imapd: Guide) -> None:
    assert cyrus_imapd.commands_without_a_package() == []


@pytest.mark.usefixtures("cyrus_imapd")
class TestWhatItMakes:
    def test_a_stranger_is_refused(self, computer: Machine, log: Syslog) -> None:
        mark = log.mark()
        computer.do(f"browserid login eve@stranger.example --password-file {PASSWORD_FILE}")
        tried = computer.run(f'{IMTEST} -t "" -a eve@stranger.example mail.example.org')
        assert "Authenticated." not in tried.stdout
        log.wait_for("eve@stranger.example may not log in to this service", mark)

    def test_nobody_logs_in_by_a_password_without_tls(self, computer: Machine) -> None:
        said = computer.run(
            "exec 3<>/dev/tcp/mail.example.org/143; echo '. login alice x' >&3; head -2 <&3"
        ).stdout
        assert "LOGINDISABLED" in said

    def test_its_socket_is_cyruss_alone(self, computer: Machine) -> None:
        assert computer.do("stat -c '%U %a' /run/browserid/imap") == "cyrus 600\n"

    def test_imapd_has_no_interpreter_in_it(self, computer: Machine) -> None:
        computer.do("exec 3<>/dev/tcp/mail.example.org/143; head -1 <&3")
        maps = computer.do("cat $(pgrep -x imapd | sed 's:.*:/proc/&/maps:')")
        assert "libpython" not in maps
