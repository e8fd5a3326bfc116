"""The filter for fail2ban and the unit for systemd."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.support.acceptor import Daemon, Host, Program
from tests.support.sample_programs import ROOT
from tests.support.services import AES128, run

FILTER = ROOT / "contrib" / "fail2ban" / "browserid-acceptor.conf"
UNIT = ROOT / "contrib" / "systemd" / "browserid-acceptor.service"

Start = Callable[[Host], Daemon]


def banned(host: Host) -> list[str]:
    """The addresses that fail2ban counts in the acceptor's log."""
    done = run(("fail2ban-regex", "--out", "ip", host.output, FILTER))
    assert done.returncode == 0, done.stdout
    return done.stdout.split()


def test_a_hundred_good_logins_ban_nobody(host: Host, start: Start) -> None:
    daemon = start(host)
    client = host.client()
    with Program(host.socket) as program:
        for id in range(100):
            program.begin(id, AES128, client.start(AES128).step(None), bid="1", rip="192.0.2.1")
            assert program.reply().verb == "OK"
    assert daemon.log.count("login succeeded: rip=192.0.2.1") == 100
    assert banned(host) == []


def test_who_is_refused_counts_and_nobody_else_does(host: Host, start: Start) -> None:
    daemon = start(host)
    evil = "x: login refused: rip=198.51.100.1 service=imap"
    with Program(host.socket) as program:
        program.begin(1, AES128, b"n,,c,garbage", rip="192.0.2.7")
        program.begin(2, AES128, b"n,,c,garbage", rip="2001:db8::7")
        program.begin(3, evil, b"x", service=evil)
        mechanism = host.mechanism(authzid=evil)
        program.begin(4, AES128, mechanism.step(None), rip="192.0.2.8")
        for _ in range(4):
            program.reply()
        program.begin(5, AES128, None, rip="192.0.2.9")
        program.reply()
        program.send("CANCEL\t5")
        option = {"bid": "1", "bid_opt.nonsense": "1", "rip": "192.0.2.1"}
        program.begin(7, AES128, host.mechanism().step(None), **option)
        assert program.reply().verb == "FAIL"
    assert "login undecided: rip=192.0.2.1" in daemon.log
    assert sorted(banned(host)) == ["192.0.2.7", "192.0.2.8", "2001:db8::7"]


def test_the_unit_is_one_and_leaves_the_service_little() -> None:
    done = run(("systemd-analyze", "security", "--offline=true", "--threshold=30", UNIT))
    assert done.returncode == 0, done.stdout[-300:]
    text = UNIT.read_text()
    [command] = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    assert command == "/usr/local/bin/browserid-acceptor"
    assert "Type=notify\n" in text
