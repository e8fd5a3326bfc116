"""The filter for fail2ban, the units for systemd and the rules for AppArmor."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from browserid_sasl.agent.service.place import socket_path
from tests.support.acceptor import Daemon, Host, Program
from tests.support.sample_programs import ROOT
from tests.support.services import AES128, run

FILTER = ROOT / "contrib" / "fail2ban" / "browserid-acceptor.conf"
UNITS = ROOT / "contrib" / "systemd"
APPARMOR = ROOT / "contrib" / "apparmor"

Start = Callable[..., Daemon]


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
            program.begin(
                id, AES128, client.start_with(AES128).step(None), bid="1", rip="192.0.2.1"
            )
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


def test_the_agents_socket_is_where_programs_look_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BROWSERID_AGENT", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    text = (UNITS / "browserid-agent.socket").read_text()
    [place] = re.findall(r"^ListenStream=%t(.*)$", text, re.MULTILINE)
    assert str(socket_path()) == f"{tmp_path}{place}"
    assert "SocketMode=0600\nDirectoryMode=0700\n" in text


@pytest.fixture
def parse(tmp_path: Path) -> Callable[[str], str]:
    """What AppArmor's parser makes of a profile, with our rules where a page puts them."""
    abstractions = tmp_path / "abstractions"
    shutil.copytree(APPARMOR, abstractions)

    def parse(profile: str) -> str:
        file = tmp_path / "profile"
        file.write_text(profile)
        folders = ("--Include", tmp_path, "--Include", "/etc/apparmor.d")
        checked = run(("apparmor_parser", "-QK", *folders, file))
        assert checked.returncode == 0, checked.stdout
        return run(("apparmor_parser", "--preprocess", *folders, file)).stdout

    return parse


def test_a_server_that_apparmor_confines_can_have_the_plugin(parse: Callable[[str], str]) -> None:
    text = parse(
        "include <tunables/global>\n"
        "profile slapd /usr/sbin/slapd {\n"
        "  include <abstractions/base>\n"
        "  include <abstractions/browserid-server>\n"
        "}\n"
    )
    assert "sasl2/libbrowserid.so mr," in text
    assert "run/browserid/* rw," in text


def test_so_can_a_mail_program_by_the_profile_that_its_package_has(
    tmp_path: Path, parse: Callable[[str], str]
) -> None:
    """Its file in local/ is the one that is there for what an administrator adds."""
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "usr.bin.msmtp").write_text("include <abstractions/browserid-client>\n")
    text = parse(Path("/etc/apparmor.d/usr.bin.msmtp").read_text())
    assert "browserid/agent rw," in text
    assert "/browserid-agent" not in re.sub("#.*", "", text), "it starts what is not confined"
