"""What hosts do to a plugin: threads, forks, repeated initialisation, odd environments."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from browserid_sasl.jose.keys import PrivateKey
from tests.support.patience import PATIENCE
from tests.support.sample_programs import ALICE, DOMAIN, ROOT
from tests.support.services import AES128, PADDING, Installation, Site, run

OTHER_MECHANISMS = ("BROWSERID-AES256", "BROWSERID-A128S2", "BROWSERID-A256S2")

SANITIZERS = ("libasan.so", "libubsan.so")

LATER = "can't request information until later in exchange"


class Driver:
    """driver.c at a site."""

    def __init__(self, program: Path, site: Site) -> None:
        self.program = program
        self.site = site
        site.configure("driver")

    def run(
        self, *arguments: str, timeout: float = 200, variables: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return self.site.run(self.program, *arguments, timeout=timeout, **variables or {})

    def run_in_time(
        self, *arguments: str, variables: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run it, again where a service has not greeted within its second on a busy machine."""
        for _ in range(3):
            done = self.run(*arguments, variables=variables)
            if "does not answer in time" not in done.stdout:
                break
        return done

    def succeeds(self, *arguments: str, **variables: str) -> int:
        """Run it; how many exchanges succeeded, none having failed."""
        done = self.run_in_time(*arguments, variables=variables)
        match = re.search(r"^ok (\d+) failed 0 ", done.stdout, re.MULTILINE)
        assert match, done.stdout[-2000:]
        assert done.returncode == 0
        return int(match[1])

    def fails(self, *arguments: str, **variables: str) -> str:
        """Run it; what it printed, no exchange having succeeded."""
        done = self.run(*arguments, variables=variables)
        assert "ok 0 failed" in done.stdout, done.stdout[-2000:]
        return done.stdout

    def under_valgrind(self, *arguments: str, **variables: str) -> str:
        """Run it where every access to memory is looked at; what it printed."""
        suppressions = Path(__file__).with_name("valgrind.supp")
        leaks = ("--leak-check=full", "--show-leak-kinds=definite")
        options = (*leaks, "--errors-for-leak-kinds=definite", f"--suppressions={suppressions}")
        valgrind = ("valgrind", "-q", "--error-exitcode=9", *options)
        done = self.site.run(*valgrind, self.program, *arguments, timeout=110, **variables)
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout


@pytest.fixture
def both(driver: Path, site: Site) -> Driver:
    return Driver(driver, site)


@pytest.mark.parametrize("mechanism", OTHER_MECHANISMS)
def test_every_mechanism_logs_in(both: Driver, mechanism: str) -> None:
    both.succeeds("-m", mechanism)


def test_the_mechanism_without_key_exchange_logs_in_where_configured(both: Driver) -> None:
    both.site.configure("driver", browserid_mechanisms="BROWSERID")
    both.succeeds("-m", "BROWSERID", BROWSERID_MECHANISMS="BROWSERID")


@pytest.mark.parametrize("options", [("-d",), ("-b",), ("-d", "-b")])
def test_success_data_and_channel_binding(both: Driver, options: tuple[str, ...]) -> None:
    both.succeeds(*options)


def test_threads_with_interleaved_exchanges(both: Driver) -> None:
    assert both.succeeds("-t", "8", "-n", "10", "-i", "5") == 160


def test_forks_before_and_after_the_first_use(both: Driver) -> None:
    both.succeeds("-t", "2", "-n", "2", "-f", "3", "-F", "3")


def test_repeated_initialisation(both: Driver) -> None:
    assert both.succeeds("-r", "5") == 10


@pytest.mark.parametrize(
    ("name", "value"), [("browserid-email", ALICE), ("browserid-issuer", DOMAIN)]
)
def test_a_property_that_the_server_requests(both: Driver, name: str, value: str) -> None:
    assert f"{name}={value}\n" in both.run("-p", name).stdout


def test_an_odd_environment_has_no_influence(both: Driver) -> None:
    both.succeeds(
        PYTHONHOME="/nonexistent", PYTHONPATH="/nonexistent", PYTHONMALLOC="x", LC_ALL="C"
    )


def test_memory_does_not_grow(both: Driver) -> None:
    """`make soak` does this 100,000 times; here often enough to see a leak of 110 octets."""
    done = both.run_in_time("-w", "600", "-n", "300")
    match = re.search(r"ok 1200 failed 0 grown (-?\d+) KiB", done.stdout)
    assert match, done.stdout
    # Pages come and go by the dozen.
    assert int(match[1]) < 128


def build_plugin(installation: Installation, folder: Path, **options: str | Path) -> None:
    """Build a plugin that is not the installed one, into a folder."""
    usual = {
        "BUILD": folder,
        "PYTHON": installation.environment / "bin" / "python3",
        "AGENT": installation.agent,
        "WERROR": "-Werror",
    }
    settings = (f"{name}={value}" for name, value in (usual | options).items())
    done = run(("make", "-C", ROOT / "plugin", *settings), timeout=100)
    assert done.returncode == 0, done.stdout


def test_valgrind_has_nothing_to_say(both: Driver) -> None:
    both.under_valgrind("-t", "2", "-n", "2", "-i", "2")


def test_the_sanitizers_have_nothing_to_say(both: Driver, tmp_path: Path) -> None:
    """The plugin as they build it, in a program that knows nothing of them."""
    flags = "-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined"
    build_plugin(
        both.site.installation,
        tmp_path,
        CFLAGS=f"{flags} -fno-sanitize-recover=all",
        LDFLAGS="-fsanitize=address,undefined",
    )
    libraries = [run(("cc", f"-print-file-name={name}")).stdout.strip() for name in SANITIZERS]
    variables = {
        "SASL_PATH": str(tmp_path),
        "LD_PRELOAD": " ".join(libraries),
        # libsasl2 and Debian's libraries leave some memory to the end of the process.
        "ASAN_OPTIONS": "detect_leaks=0",
    }
    both.succeeds("-t", "2", "-n", "3", "-i", "2", **variables)
    both.succeeds("-f", "2", "-F", "2", "-r", "2", "-d", **variables)
    both.site.kill_acceptor()
    said = both.fails("-n", "1", **variables)
    assert "remote authentication server unavailable" in said
    assert "Sanitizer" not in said


class TestLists:
    """libsasl2 2.1.28 makes no room for a list of which every mechanism has a -PLUS."""

    def listed(self, both: Driver, mech_list: str, binding: str = "-B") -> str:
        """What the server lists."""
        if mech_list:
            both.site.configure("driver", mech_list=mech_list)
        plugins = both.site.all_plugins
        said = both.under_valgrind("-l", "-n", "0", binding, SASL_PATH=plugins)
        match = re.search(r"^server lists \d+: (.*) SASL-IR$", said, re.MULTILINE)
        assert match, said
        return match[1].replace("AUTH=", "")

    def test_a_list_of_nothing_else_goes_without_plus(self, both: Driver) -> None:
        assert self.listed(both, AES128) == AES128

    def test_one_of_two_without_it_makes_room_for_the_other(self, both: Driver) -> None:
        listed = self.listed(both, "BROWSERID-AES128 BROWSERID-AES256")
        assert listed == "BROWSERID-AES128 BROWSERID-AES256-PLUS BROWSERID-AES256"

    def test_so_does_one_of_ours_for_others_that_have_a_plus(self, both: Driver) -> None:
        listed = self.listed(both, f"SCRAM-SHA-256 {AES128}")
        assert listed == f"SCRAM-SHA-256-PLUS SCRAM-SHA-256 {AES128}"

    def test_padding_makes_room(self, both: Driver) -> None:
        assert self.listed(both, f"{AES128} {PADDING}") == f"{AES128}-PLUS {AES128}"

    def test_so_does_any_mechanism_without_plus(self, both: Driver) -> None:
        assert self.listed(both, f"{AES128} PLAIN") == f"{AES128}-PLUS {AES128} PLAIN"

    def test_one_that_is_not_installed_makes_none(self, both: Driver) -> None:
        assert self.listed(both, f"{AES128} NO-SUCH") == AES128

    def test_without_a_list_there_is_room(self, both: Driver) -> None:
        names = self.listed(both, "").split()
        assert f"{AES128}-PLUS" in names
        assert PADDING not in names

    def test_where_binding_is_required_there_is_room(self, both: Driver) -> None:
        assert self.listed(both, AES128, "-b") == f"{AES128}-PLUS"

    def test_the_log_says_what_is_missing_and_how_to_have_it(self, both: Driver) -> None:
        both.site.configure("driver", mech_list=AES128)
        [line] = re.findall(r"^server log 3: .*-PLUS.*$", both.run("-l", "-B").stdout, re.M)
        assert f"add {PADDING} to mech_list" in line

    def test_a_client_that_could_bind_is_let_in_where_it_was_not_told(self, both: Driver) -> None:
        """Asked to choose from several without -PLUS, libsasl2 says that it would have bound."""
        both.site.configure("driver", mech_list=AES128)
        both.succeeds("-l", "-B", "-m", f"{AES128} ANOTHER")

    def test_nobody_logs_in_by_padding(self, both: Driver) -> None:
        both.site.configure("driver", mech_list=f"{AES128} {PADDING}")
        assert "No worthy mechs found" in both.fails("-m", PADDING)
        assert "server -4 " in both.fails("-M", PADDING)

    def test_padding_is_seen_only_where_it_is_named(self, both: Driver) -> None:
        assert PADDING not in both.run("-l").stdout
        both.site.configure("driver", mech_list=AES128)
        assert PADDING not in both.run("-l").stdout


class TestFailures:
    """Each with its code on both sides, and a detail that a person understands."""

    def test_nobody_is_signed_in(self, both: Driver) -> None:
        said = both.fails("-u", f"bob@{DOMAIN}")
        assert f"client -6 SASL(-6): {LATER}: " in said
        assert f"bob@{DOMAIN} is not signed in: sign in first: browserid login bob@{DOMAIN}" in said

    def test_a_name_is_nobody_s_who_is_signed_in(self, both: Driver) -> None:
        both.succeeds("-u", "alice", "-z", "alice")
        said = both.fails("-u", "bob", "-z", "bob")
        assert (
            f"client -6 SASL(-6): {LATER}: bob is nobody who is signed in: that is {ALICE}" in said
        )

    def test_a_certificate_that_another_key_signed(self, both: Driver) -> None:
        both.site.publish(PrivateKey.generate("RS256"))
        said = both.fails("-n", "1")
        assert "client -13 SASL(-13): authentication failure: the server said: invalid-sig" in said

    @pytest.mark.parametrize("name", ["browserid_config", "browserid_x509_key"])
    def test_an_option_that_is_the_acceptors(self, both: Driver, name: str) -> None:
        both.site.configure("driver", None, **{name: "/etc/passwd"})
        said = both.fails("-n", "1")
        assert f"imap/localhost: a program may not set {name}: it may set browserid_allow" in said
        assert "server -7 SASL(-7): invalid parameter supplied" in said

    def test_an_option_with_a_value_that_it_cannot_have(self, both: Driver) -> None:
        both.site.configure("driver", browserid_allow="*.example.test")
        assert "browserid_allow" in both.fails("-n", "1")

    def test_nobody_accepts(self, both: Driver) -> None:
        both.site.kill_acceptor()
        said = both.fails("-n", "1")
        where = f"the acceptor at {both.site.socket}: nobody answers there"
        assert f"server log 1: BROWSERID: {where}" in said
        assert "server -24 SASL(-24): remote authentication server unavailable" in said
        both.site.start_acceptor()
        both.succeeds()

    def test_the_acceptor_hangs(self, both: Driver, tmp_path: Path) -> None:
        """Here for a tenth of the time that is usual until a service greets."""
        build_plugin(both.site.installation, tmp_path, HANDSHAKE_MS="1000")
        for pid in (both.site.acceptor.pid, *both.site.workers()):
            os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        said = both.fails("-n", "1", SASL_PATH=str(tmp_path))
        assert "it does not answer in time" in said
        assert time.monotonic() - began < 25  # an answer on a connection may take longer
        for pid in (both.site.acceptor.pid, *both.site.workers()):
            os.kill(pid, signal.SIGCONT)
        both.succeeds()

    def test_another_kind_of_service_is_at_the_acceptors_socket(self, both: Driver) -> None:
        both.succeeds()
        both.site.configure("driver", browserid_socket=str(both.site.agent_socket))
        assert "what answers there is another kind of service" in both.fails("-n", "1")

    def test_the_agent_is_killed_and_the_next_login_starts_another(self, both: Driver) -> None:
        both.succeeds()
        both.site.kill_agent()
        both.succeeds()

    def test_the_agent_cannot_be_started(self, both: Driver, tmp_path: Path) -> None:
        agent = tmp_path / "browserid-agent"
        build_plugin(both.site.installation, tmp_path, AGENT=agent)
        said = both.fails("-n", "1", SASL_PATH=str(tmp_path))
        assert "client -24 " in said
        assert f"the agent, which {agent} starts, at {both.site.agent_socket}: nobody" in said
        agent.symlink_to(both.site.installation.agent)
        both.succeeds(SASL_PATH=str(tmp_path))

    def test_an_agent_that_was_named_is_not_replaced(self, both: Driver, tmp_path: Path) -> None:
        began = time.monotonic()
        said = both.fails("-n", "1", BROWSERID_AGENT=str(tmp_path / "gone"))
        assert f"{tmp_path}/gone: nobody answers there" in said
        assert not both.site.agent_socket.exists()
        assert time.monotonic() - began < 15  # starting one is waited for longer

    def test_the_agent_is_told_of_the_display(self, both: Driver, tmp_path: Path) -> None:
        asked = []

        def answer(listener: socket.socket) -> None:
            with suppress(OSError):  # it is shut down
                while True:
                    connection, _ = listener.accept()
                    # Somebody may have gone already.
                    with suppress(OSError), connection, connection.makefile("rw") as lines:
                        lines.write("VERSION\tbrowserid-agent\t1\nDONE\n")
                        lines.flush()
                        asked.extend([lines.readline(), lines.readline()])

        path = tmp_path / "agent"
        displays = {"DISPLAY": ":7", "WAYLAND_DISPLAY": "x" * 200}
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            thread = threading.Thread(target=answer, args=(listener,), daemon=True)
            thread.start()
            # It goes away without an answer, as often as it is asked: that is told and harms
            # nothing else.
            said = both.fails("-n", "1", BROWSERID_AGENT=str(path), **displays)
            assert f"{path}: the connection ended" in said
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)
        fields = asked[1].rstrip("\n").split("\t")
        assert fields[0] == "INIT"
        assert "display=:7" in fields
        assert not any(field.startswith("wayland_display") for field in fields)

    def test_somebody_else(self, both: Driver) -> None:
        """The driver's proxy policy lets everybody; the name asked for reaches it."""
        both.succeeds("-u", ALICE, "-z", f"bob@{DOMAIN}")
