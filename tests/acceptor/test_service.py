"""The processes: their sockets, their start and end, reload, and what happens when one dies."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.acceptor import Daemon, Host, Program, impatient
from tests.support.patience import PATIENCE, wait_until
from tests.support.sample_programs import ALICE, DOMAIN
from tests.support.services import AES128, Syslog, run

ACCOUNT = "nobody"

Start = Callable[..., Daemon]


def admits(host: Host, **parameters: str) -> bool:
    with Program(host.socket) as program:
        return program.log_in(host.mechanism(), 1, "imap", **{"bid": "1"} | parameters).verb == "OK"


HURRY = impatient(supervisor__HUNG_AFTER=4)
"""A worker that hangs is noticed sooner."""


def refused_start(host: Host) -> str:
    """What the command says when it does not start. It does not wait long for another to end."""
    done = run((*impatient(supervisor__PATIENCE=0.5), "--config", host.config_file))
    assert done.returncode == os.EX_CONFIG, done.stdout
    return done.stdout


def give_to(folder: Path, account: str) -> None:
    entry = pwd.getpwnam(account)
    folder.mkdir(mode=0o700)
    os.chown(folder, entry.pw_uid, entry.pw_gid)


# Sockets


@pytest.mark.option("listeners.owner", "listeners.group", "listeners.mode")
def test_each_socket_has_its_owner_group_and_mode(host: Host, start: Start) -> None:
    other = host.folder / "other"
    host.configure(
        f"""
        [listeners."{host.socket}"]
        [listeners."{other}"]
        owner = "daemon"
        group = "mail"
        mode = "0620"
        """
    )
    start(host)
    status = host.socket.stat()
    assert stat.S_IMODE(status.st_mode) == 0o660
    assert (status.st_uid, status.st_gid) == (0, 0)
    status = other.stat()
    assert stat.S_IMODE(status.st_mode) == 0o620
    assert status.st_uid == pwd.getpwnam("daemon").pw_uid
    assert status.st_gid == grp.getgrnam("mail").gr_gid


@pytest.mark.parametrize("mode", ["0666", "0662", "0601", "abc", "01660"])
def test_a_socket_is_never_for_everybody(host: Host, mode: str) -> None:
    host.configure(f'[listeners."{host.socket}"]\nmode = "{mode}"\n')
    assert "which is not a mode that leaves others out" in refused_start(host)


@pytest.mark.option("listeners.services")
def test_a_socket_answers_for_its_services_alone(host: Host, start: Start) -> None:
    host.configure(f'[listeners."{host.socket}"]\nservices = ["smtp", "imap"]\n')
    daemon = start(host)
    with Program(host.socket) as program:
        assert program.log_in(host.mechanism("imap")).verb == "OK"
        program.begin(2, AES128, host.mechanism("ldap").step(None), service="ldap", bid="1")
        reply = program.reply()
    assert (reply.verb, reply.parameters["bid_code"]) == ("FAIL", "wrong-acceptor-name")
    assert "this socket is not for the service 'ldap'" in daemon.log


def test_audiences_that_a_program_sets_are_of_the_sockets_services(
    host: Host, start: Start
) -> None:
    host.configure(f'[listeners."{host.socket}"]\nservices = ["imap"]\n')
    start(host)
    with Program(host.socket) as program:
        option = {"bid": "1", "bid_opt.audiences": "ldap/ldap.example.org"}
        program.begin(1, AES128, host.mechanism().step(None), **option)
        assert "temp" in program.reply().parameters
        option = {"bid": "1", "bid_opt.audiences": "imap/elsewhere.test"}
        elsewhere = host.client(host="elsewhere.test").start_with(AES128)
        assert program.log_in(elsewhere, 2, "imap", **option).verb == "OK"


@pytest.mark.option("listeners.allow")
def test_a_socket_may_be_for_other_people(host: Host, start: Start) -> None:
    other = host.folder / "other"
    host.configure(
        f"""
        [listeners."{host.socket}"]
        [listeners."{other}"]
        allow = ["bob@{DOMAIN}"]
        """
    )
    daemon = start(host)
    bob = host.realm.person(f"bob@{DOMAIN}")
    for path, person, admitted in (
        (host.socket, None, True),
        (host.socket, bob, True),
        (other, None, False),
        (other, bob, True),
    ):
        with Program(path) as program:
            reply = program.log_in(host.mechanism(person=person), bid="1")
            assert (reply.verb == "OK") is admitted
    assert f"code=no-local-mapping claimed=<{ALICE}>" in daemon.log


def test_where_it_is_not_said_who_may_log_in_nobody_may(host: Host, start: Start) -> None:
    host.configure(allow=())
    daemon = start(host)
    with Program(host.socket) as program:
        program.begin(1, AES128, host.mechanism().step(None), bid="1")
        reply = program.reply()
        assert (reply.verb, reply.parameters["bid_code"]) == ("FAIL", "no-local-mapping")
        option = {"bid": "1", "bid_opt.allow": ALICE}
        program.begin(2, AES128, host.mechanism().step(None), **option)
        assert program.reply().verb == "OK"
    assert "set `allow` in [server]" in daemon.log


@pytest.mark.option("listeners.hostname")
def test_a_sockets_host_name_is_for_programs_that_say_none(host: Host, start: Start) -> None:
    host.configure(f'[listeners."{host.socket}"]\nhostname = "mx.example.org"\n')
    start(host)
    named = host.client(host="mx.example.org").start_with(AES128)
    with Program(host.socket) as program:
        assert program.log_in(named).verb == "OK"
        assert program.log_in(host.mechanism(), 2).verb == "FAIL"


@pytest.mark.option("acceptor.hostname")
def test_the_services_host_name_is_for_all_others(host: Host, start: Start) -> None:
    host.configure(hostname="mail.example.org")
    start(host)
    with Program(host.socket) as program:
        named = host.client(host="mail.example.org").start_with(AES128)
        assert program.log_in(named).verb == "OK"


def test_what_a_dead_acceptor_left_behind_is_replaced(host: Host, start: Start) -> None:
    start(host).kill()
    assert host.socket.is_socket()
    start(host)
    assert admits(host)


def test_a_socket_that_somebody_listens_on_is_theirs(host: Host) -> None:
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(str(host.socket))
        theirs.listen()
        said = refused_start(host)
        assert f"somebody else listens on {host.socket}" in said
        assert str(host.config_file) in said
        assert host.socket.is_socket()


def test_a_file_in_the_place_of_a_socket_is_left_alone(host: Host) -> None:
    host.socket.write_text("precious")
    assert "is no socket" in refused_start(host)
    assert host.socket.read_text() == "precious"


def test_two_acceptors_do_not_fight(host: Host, daemon: Daemon) -> None:
    host.socket.unlink()  # it would look free
    assert "another browserid-acceptor has the socket" in refused_start(host)


def test_one_that_takes_over_waits_for_the_other_to_end(host: Host, start: Start) -> None:
    first = start(host)
    with Program(host.socket) as program:
        program.begin(1, AES128, None)
        program.reply()
        first.signal(signal.SIGTERM)
        second = subprocess.Popen(
            (sys.executable, "-m", "browserid_sasl.acceptor", "--config", host.config_file)
        )
        try:
            time.sleep(1.0)
            program.proceed(1, host.mechanism().step(None))
            assert program.reply().data
            program.socket.close()
            assert first.wait() == 0
            wait_until(lambda: host.socket.exists() and _answers(host), "taking over")
            assert admits(host)
        finally:
            second.terminate()
            second.wait(PATIENCE)


def _answers(host: Host) -> bool:
    try:
        Program(host.socket, timeout=1).socket.close()
    except OSError:
        return False
    return True


def test_a_folder_that_is_not_there_is_an_error(host: Host) -> None:
    host.configure(f'[listeners."{host.folder}/nowhere/acceptor"]\n')
    assert "cannot be made: No such file or directory" in refused_start(host)


@pytest.mark.parametrize("option", ["owner", "group"])
def test_an_account_or_group_that_is_not_there_is_an_error(host: Host, option: str) -> None:
    host.configure(f'[listeners."{host.socket}"]\n{option} = "no-such-account"\n')
    assert "there is no such account or group" in refused_start(host)


# Who it runs as


@pytest.mark.option("acceptor.user")
def test_it_gives_up_roots_rights(host: Host, start: Start) -> None:
    give_to(host.folder / "server", ACCOUNT)
    host.configure(user=ACCOUNT)
    daemon = start(host)
    account = pwd.getpwnam(ACCOUNT)
    for process in (daemon.process.pid, *daemon.workers()):
        status = Path(f"/proc/{process}/status").read_text()
        uids = next(line for line in status.splitlines() if line.startswith("Uid:"))
        assert set(uids.split()[1:]) == {str(account.pw_uid)}
        groups = next(line for line in status.splitlines() if line.startswith("Groups:"))
        assert "0" not in groups.split()[1:]
    assert admits(host)
    for file in (host.folder / "server").iterdir():
        assert file.stat().st_uid == account.pw_uid
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_folder_for_the_stores_is_made_for_that_account(host: Host, start: Start) -> None:
    host.configure(user=ACCOUNT)
    host.folder.chmod(0o755)
    start(host)
    status = (host.folder / "server").stat()
    assert status.st_uid == pwd.getpwnam(ACCOUNT).pw_uid
    assert stat.S_IMODE(status.st_mode) == 0o700
    assert admits(host)


def test_an_account_that_is_not_there_is_named(host: Host) -> None:
    host.configure(user="no-such-account")
    said = refused_start(host)
    assert "there is no account no-such-account" in said
    assert "adduser" in said


# Workers


@pytest.mark.option("acceptor.workers")
@pytest.mark.parametrize("count", [1, 3])
def test_there_are_as_many_workers_as_configured(host: Host, start: Start, count: int) -> None:
    host.configure(workers=count)
    assert len(start(host).workers()) == count


def test_there_is_a_worker_for_each_processor(host: Host, daemon: Daemon) -> None:
    assert len(daemon.workers()) == len(os.sched_getaffinity(0))


def connected(host: Host, least: int, workers: int) -> list[Program]:
    """Connections that stay, of which each worker has one at the least.

    A connection is left to the worker that has the fewest for two milliseconds only: on a busy
    machine that may be too short for it, so that others get more than their share.
    """
    programs = [Program(host.socket) for _ in range(least)]

    def each_has_one() -> bool:
        if len({each.worker for each in programs}) == workers:
            return True
        programs.append(Program(host.socket))
        return False

    wait_until(each_has_one, "a connection for each worker")
    return programs


def test_connections_that_stay_are_shared_among_the_workers(host: Host, start: Start) -> None:
    host.configure(workers=4)
    daemon = start(host)
    programs = connected(host, 40, workers=4)
    counts = [sum(each.worker == pid for each in programs) for pid in daemon.workers()]
    for program in programs:
        program.socket.close()
    # Nobody has nearly all of them, as whoever wakes first would have.
    assert max(counts) <= len(programs) // 2


def test_of_all_who_replay_at_once_one_is_admitted(host: Host, start: Start) -> None:
    host.configure(workers=4)
    start(host)
    message = host.mechanism().step(None)
    programs = connected(host, 16, workers=4)
    for program in programs:
        program.begin(1, AES128, message, bid="1")
    verbs = [program.reply().verb for program in programs]
    assert sorted(verbs) == ["FAIL"] * (len(programs) - 1) + ["OK"]


def test_two_acceptors_with_one_store_admit_an_assertion_once(host: Host, start: Start) -> None:
    start(host)
    first = host.socket
    host.socket = host.folder / "second"
    host.configure()
    start(host)
    message = host.mechanism().step(None)
    verbs = []
    for path in (first, host.socket, first, host.socket):
        with Program(path) as program:
            program.begin(1, AES128, message, bid="1")
            verbs.append(program.reply().verb)
    assert verbs == ["OK", "FAIL", "FAIL", "FAIL"]


def test_a_worker_that_dies_is_replaced(host: Host, start: Start) -> None:
    host.configure(workers=1)
    daemon = start(host)
    [worker] = daemon.workers()
    with Program(host.socket) as program:
        program.begin(1, AES128, None)
        program.reply()
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(ConnectionError):
            program.line()
    assert admits(host)
    assert daemon.workers() != [worker]
    wait_until(lambda: f"worker {worker} has ended by signal 9" in daemon.log, "the line")


def test_what_was_admitted_before_a_death_is_a_replay_after_it(host: Host, start: Start) -> None:
    daemon = start(host)
    message = host.mechanism().step(None)
    for expected in ("OK", "FAIL"):
        with Program(host.socket) as program:
            program.begin(1, AES128, message, bid="1")
            assert program.reply().verb == expected
        for worker in daemon.workers():
            os.kill(worker, signal.SIGKILL)
    daemon.kill()
    start(host)
    with Program(host.socket) as program:
        program.begin(1, AES128, message, bid="1")
        assert program.reply().parameters["bid_code"] == "replayed-assertion"


def test_a_worker_that_does_nothing_any_more_is_ended(host: Host, start: Start) -> None:
    host.configure(workers=1)
    daemon = start(host, command=HURRY)
    [worker] = daemon.workers()
    os.kill(worker, signal.SIGSTOP)
    assert admits(host)
    assert "does nothing any more" in daemon.log


def test_a_worker_that_hangs_does_not_keep_others_from_working(host: Host, start: Start) -> None:
    host.configure(workers=2)
    daemon = start(host)
    hung = daemon.workers()[0]
    os.kill(hung, signal.SIGSTOP)
    assert all(admits(host) for _ in range(5))
    assert hung in daemon.workers()
    os.kill(hung, signal.SIGCONT)


def test_workers_end_with_their_parent(host: Host, start: Start) -> None:
    daemon = start(host)
    workers = daemon.workers()
    os.kill(daemon.process.pid, signal.SIGKILL)
    daemon.process.wait()
    wait_until(lambda: not any(map(_lives, workers)), "the workers' end")
    start(host)
    assert admits(host)


def _lives(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


def test_stores_in_memory_are_for_one_worker(host: Host, start: Start) -> None:
    text = host.config_file.read_text()
    host.config_file.write_text(text.replace("[store]", '[store]\nbackend = "memory"'))
    if len(os.sched_getaffinity(0)) > 1:
        assert "several workers cannot share stores in memory" in refused_start(host)
    host.config_file.write_text(
        host.config_file.read_text().replace("[acceptor]", "[acceptor]\nworkers = 1")
    )
    start(host)
    assert admits(host)


# Reload


def reload(daemon: Daemon) -> None:
    count = daemon.log.count(": ready, ")
    daemon.signal(signal.SIGHUP)
    daemon.wait_ready(count + 1)


def test_a_reload_changes_what_is_new_and_cuts_off_nothing(host: Host, daemon: Daemon) -> None:
    client = host.client()
    with Program(host.socket) as program:
        before = client.start_with(AES128)
        program.begin(1, AES128, None, bid="1")
        program.reply()
        host.configure('[server]\nmechanisms = ["BROWSERID-AES256"]\n')
        reload(daemon)
        program.begin(2, AES128, host.mechanism().step(None), bid="1")
        assert program.reply().parameters["bid_code"] == "wrong-mech"
        program.proceed(1, before.step(None))
        assert program.reply().verb == "OK"
    with Program(host.socket) as program:
        assert program.mechanisms == ["BROWSERID-AES256"]


def test_a_reload_adds_and_removes_sockets(host: Host, daemon: Daemon) -> None:
    old, new = host.socket, host.folder / "new"
    with Program(old) as program:
        host.configure(f'[listeners."{new}"]\nservices = ["smtp"]\n')
        reload(daemon)
        assert not old.exists()
        # Who is connected stays so.
        assert program.log_in(host.mechanism()).verb == "OK"
    with Program(new) as program:
        assert program.log_in(host.mechanism("smtp"), service="smtp").verb == "OK"
        assert program.log_in(host.mechanism(), 2).verb == "FAIL"


def test_a_reload_changes_modes_and_the_number_of_workers(host: Host, daemon: Daemon) -> None:
    host.configure(f'[listeners."{host.socket}"]\nmode = "0600"\n', workers=3)
    reload(daemon)
    assert stat.S_IMODE(host.socket.stat().st_mode) == 0o600
    assert len(daemon.workers()) == 3
    host.configure(workers=1)
    reload(daemon)
    wait_until(lambda: len(daemon.workers()) == 1, "the end of two workers")
    assert admits(host)


def test_a_configuration_that_is_broken_leaves_the_old_one_in_force(
    host: Host, daemon: Daemon
) -> None:
    workers = daemon.workers()
    host.config_file.write_text("[acceptor\n")
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: "the configuration stays as it is" in daemon.log, "the complaint")
    host.configure()
    assert admits(host)
    assert daemon.workers() == workers


def test_a_socket_whose_file_is_gone_is_made_again(host: Host, daemon: Daemon) -> None:
    with Program(host.socket) as program:
        host.socket.unlink()
        reload(daemon)
        assert host.socket.is_socket()
        assert admits(host)
        assert program.log_in(host.mechanism()).verb == "OK"


def test_a_socket_that_another_has_made_in_its_place_is_theirs(host: Host, daemon: Daemon) -> None:
    host.socket.unlink()
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(str(host.socket))
        theirs.listen()
        daemon.signal(signal.SIGHUP)
        wait_until(lambda: "somebody else listens" in daemon.log, "the complaint")
    reload(daemon)
    assert admits(host)


def test_a_reload_changes_the_hosts_name(host: Host, daemon: Daemon) -> None:
    host.configure(hostname="mail.example.org")
    reload(daemon)
    with Program(host.socket) as program:
        named = host.client(host="mail.example.org").start_with(AES128)
        assert program.log_in(named).verb == "OK"


def test_what_others_put_in_a_sockets_place_is_left_alone(host: Host, daemon: Daemon) -> None:
    """Its folder may be another account's, and the service root."""
    precious = host.folder / "precious"
    precious.write_text("precious")
    precious.chmod(0o600)
    host.socket.unlink()
    host.socket.symlink_to(precious)
    host.configure(f'[listeners."{host.socket}"]\nmode = "0660"\nowner = "{ACCOUNT}"\n')
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: "is there, and is no socket" in daemon.log, "the complaint")
    assert stat.S_IMODE(precious.stat().st_mode) == 0o600
    assert precious.stat().st_uid == 0


def test_what_the_service_puts_in_a_locks_place_gains_it_nothing(host: Host, start: Start) -> None:
    precious = host.folder / "precious"
    precious.write_text("precious")
    give_to(host.folder / "server", ACCOUNT)
    name = hashlib.sha256(str(host.socket).encode()).hexdigest()[:16]
    (host.folder / "server" / f"acceptor-{name}.lock").symlink_to(precious)
    host.configure(user=ACCOUNT)
    assert "Too many levels of symbolic links" in start(host).log
    assert precious.stat().st_uid == 0


def test_it_begins_whatever_is_the_matter_with_its_store(host: Host, start: Start) -> None:
    (host.folder / "server").write_text("no folder")
    daemon = start(host)
    assert "has to be a folder of the account" in daemon.log
    with Program(host.socket) as program:
        program.begin(1, AES128, host.mechanism().step(None), bid="1")
        assert "temp" in program.reply().parameters
    (host.folder / "server").unlink()
    assert admits(host)


# End


@pytest.mark.option("acceptor.drain")
def test_a_stop_waits_for_logins_under_way(host: Host, start: Start) -> None:
    host.configure(drain=10, workers=1)
    daemon = start(host)
    with Program(host.socket) as idle, Program(host.socket) as program:
        program.begin(1, AES128, None, bid="1")
        program.reply()
        daemon.signal(signal.SIGTERM)
        with pytest.raises(ConnectionError):
            idle.line()
        wait_until(lambda: "stopping, within 10 s" in daemon.log, "the stop")
        assert not daemon.ended
        program.proceed(1, host.mechanism().step(None))
        assert program.reply().verb == "OK"
        assert daemon.wait() == 0
    assert not host.socket.exists()


def test_a_program_that_stays_connected_is_served_until_then(host: Host, start: Start) -> None:
    """Prosody has one connection for everybody."""
    host.configure(workers=1)
    daemon = start(host)
    with Program(host.socket) as idle, Program(host.socket) as program:
        program.begin(1, AES128, None, bid="1")
        program.reply()
        daemon.signal(signal.SIGTERM)
        with pytest.raises(ConnectionError):
            idle.line()
        program.begin(2, AES128, host.mechanism().step(None), bid="1")
        assert program.reply().verb == "OK"
        program.proceed(1, host.mechanism().step(None))
        assert program.reply().verb == "OK"
        assert daemon.wait() == 0


def test_what_has_come_before_it_stops_is_answered(host: Host, start: Start) -> None:
    host.configure(workers=1)
    daemon = start(host)
    [worker] = daemon.workers()
    with Program(host.socket) as program:
        os.kill(worker, signal.SIGSTOP)
        daemon.signal(signal.SIGTERM)
        wait_until(lambda: "stopping" in daemon.log, "the stop")
        program.begin(1, AES128, host.mechanism().step(None), bid="1")
        os.kill(worker, signal.SIGCONT)
        assert program.reply().verb == "OK"
        assert daemon.wait() == 0


def test_but_not_for_ever(host: Host, start: Start) -> None:
    host.configure(drain=1)
    daemon = start(host)
    with Program(host.socket) as program:
        program.begin(1, AES128, None)
        program.reply()
        daemon.signal(signal.SIGTERM)
        begun = time.monotonic()
        assert daemon.wait() == 0
        assert 0.5 < time.monotonic() - begun < 25  # without the option it is 30


def test_a_second_signal_ends_it_at_once(host: Host, start: Start) -> None:
    host.configure(drain=300)
    daemon = start(host)
    with Program(host.socket) as program:
        program.begin(1, AES128, None)
        program.reply()
        daemon.signal(signal.SIGTERM)
        wait_until(lambda: "stopping" in daemon.log, "the stop")
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0


def test_ctrl_c_ends_it(host: Host, daemon: Daemon) -> None:
    os.killpg(daemon.process.pid, signal.SIGINT)
    assert daemon.wait() == 0


# Log


def test_each_outcome_is_one_line(host: Host, start: Start) -> None:
    daemon = start(host)
    assert admits(host, rip="192.0.2.1")
    assert f"user=<{ALICE}>" in daemon.log
    # Which program it was, by the kernel's word.
    assert f"program={os.getpid()}/{os.getuid()}" in daemon.log


@pytest.mark.option("acceptor.log")
def test_it_logs_to_syslog_where_that_is_wanted(host: Host, syslog: Syslog) -> None:
    mark = syslog.mark()
    host.configure(log="syslog")
    daemon = Daemon(host.config_file, host.output)
    try:
        syslog.wait_for(r"<38>.*browserid-acceptor\[\d+\]: ready, ", mark)
        with Program(host.socket) as program:
            program.begin(1, "PLAIN", b"x", rip="192.0.2.1")
            program.reply()
        syslog.wait_for(r"<37>.*browserid-acceptor\[\d+\]: login refused: rip=192.0.2.1", mark)
        assert not daemon.log
    finally:
        daemon.kill()


def test_systemds_journal_is_told_priorities(host: Host) -> None:
    daemon = Daemon(host.config_file, host.output, environment={"JOURNAL_STREAM": "1:2"})
    try:
        wait_until(lambda: "<6>ready, " in daemon.log, "the start")
        with Program(host.socket) as program:
            program.begin(1, "PLAIN", b"x", rip="192.0.2.1")
            program.reply()
        assert "<5>login refused: rip=192.0.2.1" in daemon.log
    finally:
        daemon.kill()


def test_nobody_writes_a_line_of_the_log(host: Host, daemon: Daemon) -> None:
    evil = "x\nlogin refused: rip=198.51.100.1 \x1b[2J"
    with Program(host.socket) as program:
        program.begin(1, evil, b"n,,c,x", service=evil, rip=evil)
        assert program.reply().verb == "FAIL"
        mechanism = host.mechanism(authzid=f"eve\nlogin refused: rip=198.51.100.2 @{DOMAIN}")
        program.begin(2, AES128, mechanism.step(None), bid="1")
        assert program.reply().verb == "FAIL"
    for line in daemon.log.splitlines()[1:]:
        assert "browserid-acceptor[" in line
        assert not line.partition("]: ")[2].startswith("login refused: rip=198")
    assert "\x1b" not in daemon.log


def test_no_key_and_no_message_is_in_the_log(host: Host, daemon: Daemon) -> None:
    message = host.mechanism().step(None)
    with Program(host.socket) as program:
        program.begin(1, AES128, message, bid="1")
        program.reply()
        program.begin(2, AES128, message, bid="1")
        program.reply()
    parts = message.decode().replace("~", ".").split(".")
    assert not any(part in daemon.log for part in parts if len(part) > 20)


# systemd


def test_systemd_is_told_how_it_stands(host: Host) -> None:
    place = host.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(place))
        notify.settimeout(PATIENCE)
        variables = {"NOTIFY_SOCKET": str(place), "WATCHDOG_USEC": "1000000"}
        daemon = Daemon(host.config_file, host.output, environment=variables)
        try:
            told = _told(notify, "READY=1")
            assert "WATCHDOG=1" in _told(notify, "WATCHDOG=1")
            daemon.signal(signal.SIGHUP)
            told = _told(notify, "RELOADING=1")
            assert "MONOTONIC_USEC=" in told
            _told(notify, "READY=1")
            daemon.signal(signal.SIGTERM)
            _told(notify, "STOPPING=1")
            daemon.wait()
        finally:
            daemon.kill()


def _told(notify: socket.socket, what: str) -> str:
    while what not in (text := notify.recv(4096).decode()).splitlines():
        pass
    return text


_INHERIT = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_FDNAMES=sys.argv[2], LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", "browserid_sasl.acceptor", *sys.argv[3:]])
"""
"""Starts the acceptor as systemd does, with a descriptor and its name."""


def _start_with(host: Host, descriptor: int, name: str) -> subprocess.Popen[bytes]:
    command = (sys.executable, "-c", _INHERIT, str(descriptor), name, "--config", host.config_file)
    with host.output.open("ab") as file:
        return subprocess.Popen(
            command, stdout=file, stderr=file, pass_fds=(descriptor, 3), start_new_session=True
        )


def _stored(notify: socket.socket) -> tuple[int, str]:
    """The descriptor that systemd is to keep, and by which name."""
    descriptors: list[int] = []
    while not descriptors:
        message, descriptors, _, _ = socket.recv_fds(notify, 4096, 1)
    [name] = re.findall(r"^FDNAME=(.*)$", message.decode(), re.MULTILINE)
    assert message.startswith(b"FDSTORE=1\n")
    return descriptors[0], name


def _kept(host: Host, notify: socket.socket) -> tuple[int, str]:
    """What is kept of an acceptor that has ended."""
    place = host.folder / "notify"
    notify.bind(str(place))
    notify.settimeout(PATIENCE)
    daemon = Daemon(host.config_file, host.output, environment={"NOTIFY_SOCKET": str(place)})
    try:
        stored = _stored(notify)
        _told(notify, "READY=1")
        daemon.signal(signal.SIGTERM)
        daemon.wait()
    finally:
        daemon.kill()
    return stored


def test_who_comes_while_systemd_starts_it_again_waits_and_is_let_in(host: Host) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        descriptor, name = _kept(host, notify)
    try:
        with socket.socket(socket.AF_UNIX) as early:
            early.settimeout(PATIENCE)
            early.connect(str(host.socket))
            process = _start_with(host, descriptor, name)
            try:
                assert early.recv(7) == b"VERSION"
                assert admits(host)
            finally:
                process.kill()
                process.wait()
    finally:
        os.close(descriptor)


def test_a_socket_that_was_kept_and_is_not_wanted_any_more_goes(host: Host) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        descriptor, name = _kept(host, notify)
    before = host.socket
    other = host.folder / "other"
    text = host.config_file.read_text().replace(f'"{before}"', f'"{other}"')
    host.config_file.write_text(text)
    process = _start_with(host, descriptor, name)
    os.close(descriptor)
    try:
        wait_until(other.exists, "the new socket")
        assert not before.exists()
    finally:
        process.kill()
        process.wait()


def test_systemd_may_have_made_the_sockets(host: Host) -> None:
    """As systemd-socket-activate does it: from descriptor 3 on, for a process by its number."""
    host.configure(f'[listeners."{host.socket}"]\nservices = ["imap"]\n')
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(host.socket))
        listening.listen()
        os.set_inheritable(listening.fileno(), True)
        process = _start_with(host, listening.fileno(), "browserid-acceptor.socket")
        try:
            assert admits(host)
            with Program(host.socket) as program:
                reply = program.log_in(host.mechanism("smtp"), service="smtp")
                assert reply.verb == "FAIL"
            process.terminate()
            assert process.wait(PATIENCE) == 0
            # It is systemd's, which may start us again.
            assert host.socket.exists()
        finally:
            process.kill()
