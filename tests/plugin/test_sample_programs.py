"""Cyrus's own sample programs on the plugin, and this project's, in every combination."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from browserid_sasl.gss.mechanisms import MECHANISMS
from browserid_sasl.jose.keys import PrivateKey
from tests.support.gss import gss_site
from tests.support.patience import wait_until
from tests.support.ports import free_port
from tests.support.sample_programs import (
    ALICE,
    DOMAIN,
    HOST,
    ROOT,
    RunningServer,
    scripted_server,
)
from tests.support.services import (
    AES128,
    Installation,
    Site,
    Syslog,
    folder_for_all,
    run,
    service,
)

EXAMPLES = Path("/usr/share/doc/libsasl2-dev/examples")
ALL = [row.name for row in MECHANISMS]
BOUND = ("-c", "-C")

Client = Callable[..., str]


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Cyrus's `client` and `server`, compiled."""
    folder = tmp_path_factory.mktemp("samples")
    for name in ("client.c", "server.c", "common.c", "common.h", "config.h"):
        shutil.copy(EXAMPLES / name, folder)
    config = folder / "config.h"
    # Without this feature the server does not need the GSS-API library.
    config.write_text(config.read_text().replace("#define HAVE_GSS_GET_NAME_ATTRIBUTE 1", ""))
    for program in ("client", "server"):
        sources = (f"{program}.c", "common.c")
        flags = ("-w", "-I.", "-I/usr/include/sasl", "-Wl,--as-needed")
        done = run(("cc", *flags, *sources, "-o", program, "-lsasl2"), cwd=folder)
        assert done.returncode == 0, done.stdout
    return folder


class Programs:
    """The four programs at one site; the clients print "authenticated" in their own words.

    :param sasl_paths: of kinds of Cyrus's programs beside "theirs", which have the site's.
    """

    def __init__(
        self, folder: Path, site: Site, sasl_paths: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.site = site
        self._sasl_paths = {"theirs": site.variables["SASL_PATH"], **(sasl_paths or {})}
        # Our own server has its own store, since it is no other account's.
        text = site.config_file.read_text()
        self.config_file = site.folder / "ours.toml"
        self.config_file.write_text(text.replace(f'{site.folder}/server"', f'{site.folder}/ours"'))

    @contextmanager
    def server(self, kind: str, *flags: str) -> Iterator[int]:
        """A server of one kind; its port."""
        if kind in self._sasl_paths:
            port = free_port()
            command: tuple[str | Path, ...]
            command = (self.folder / "server", "-h", HOST, "-s", "rcmd", "-p", str(port), *flags)
            variables = self.site.variables | {"SASL_PATH": self._sasl_paths[kind]}
            # Line by line, as on a terminal.
            lines = ("stdbuf", "-oL", "-eL")
            with service((*lines, *command), port, variables, self.log):
                yield port
            return
        options = ("--config", str(self.config_file), "-p", "0", "--listen", "127.0.0.1")
        with RunningServer((*options, "-h", HOST, *flags)) as server:
            yield server.port
        # All of it is here only once the server has ended.
        self.log.write_text(str(server.out) + str(server.err))

    @property
    def log(self) -> Path:
        """What the server said: whole only after its end."""
        return self.site.folder / "server.log"

    def client(self, kind: str, port: int, *flags: str, name: str = "", authzid: str = "") -> str:
        """Run a client of one kind; what it said."""
        if kind in self._sasl_paths:
            command: tuple[str | Path, ...]
            command = (self.folder / "client", "-p", str(port), "-s", "rcmd", *flags, HOST)
            done = self.site.run(
                *command,
                input=f"{name}\n{authzid}\n",
                BROWSERID_MECHANISMS=" ".join(ALL),
                SASL_PATH=self._sasl_paths[kind],
            )
            return done.stdout
        if any(flag in flags for flag in BOUND):
            flags = (*flags, "--cb-type", "sasl-sample")
        if authzid:
            flags = (*flags, "--authzid", authzid)
        done = self.site.realm.run_client("-s", "rcmd", *flags, port=port)
        return done.stdout + done.stderr


@pytest.fixture
def programs(samples: Path, site: Site) -> Programs:
    site.configure(
        "sample", browserid_mechanisms=",".join(ALL), mech_list=" ".join(ALL), log_level="5"
    )
    with site.config_file.open("a") as config:
        names = ", ".join(f'"{name}"' for name in ALL)
        config.write(f"[server]\nmechanisms = [{names}]\n[client]\nmechanisms = [{names}]\n")
    site.reload_acceptor()
    return Programs(samples, site)


def succeeded(said: str) -> bool:
    return "successful authentication" in said


def longest_sent(said: str) -> int:
    """The length of the longest string that a client has shown as sent: it tells a ticket."""
    return max(map(int, re.findall(r"^send: \{(\d+)\}", said, re.MULTILINE)))


@pytest.mark.parametrize(
    ("server", "client"), [("theirs", "theirs"), ("theirs", "ours"), ("ours", "theirs")]
)
class TestEveryCombination:
    """The fourth, of this project's with each other, is in tests/cli."""

    def test_logs_in_with_each_mechanism_afresh_and_by_ticket(
        self, programs: Programs, server: str, client: str
    ) -> None:
        with programs.server(server) as port:
            for mechanism in ALL:
                for _ in ("afresh", "by ticket"):
                    said = programs.client(client, port, "-m", mechanism)
                    assert succeeded(said), said

    @pytest.mark.parametrize("flag", BOUND)
    def test_binds_to_the_channel(
        self, programs: Programs, server: str, client: str, flag: str
    ) -> None:
        with programs.server(server, flag) as port:
            said = programs.client(client, port, flag, "-m", AES128)
            assert succeeded(said), said

    def test_a_client_that_does_not_bind_is_refused_where_that_is_critical(
        self, programs: Programs, syslog: Syslog, server: str, client: str
    ) -> None:
        mark = syslog.mark()
        with programs.server(server, "-C") as port:
            said = programs.client(client, port, "-m", AES128)
        assert not succeeded(said)
        assert "missing-channel-bindings" in said
        reason = "this server requires channel binding"
        if server == "theirs":
            syslog.wait_for(reason, mark)
        else:
            assert reason in programs.log.read_text()


@pytest.fixture(scope="module")
def by_gs2(
    samples: Path, installation: Installation, provider_key: PrivateKey
) -> Iterator[Programs]:
    """Where Cyrus's programs have our plugin, Debian's for GS2 with the module, or both."""
    with folder_for_all() as folder, gss_site(installation, folder, provider_key) as site:
        site.realm.sign_in()
        site.configure("sample")
        stock = str(site.stock_plugins)
        paths = {"gs2": stock, "both": f"{site.installation.plugins}:{stock}"}
        programs = Programs(samples, site, paths)
        # Its certificate is the acceptor's, and the key's copy is root's.
        text = programs.config_file.read_text()
        programs.config_file.write_text(text.replace("/server.key", "/tls.key"))
        yield programs


@pytest.mark.parametrize("server", ["theirs", "gs2", "both", "ours"])
@pytest.mark.parametrize("client", ["theirs", "gs2", "both", "ours"])
class TestOurPluginAndGs2:
    """Cyrus's programs with either and with both, and this project's, with each other."""

    def test_logs_in_afresh_and_by_ticket_bound_and_not(
        self, by_gs2: Programs, server: str, client: str
    ) -> None:
        with by_gs2.server(server, "-c") as port:
            for flags in ((), (), ("-c",)):
                said = by_gs2.client(client, port, *flags, "-m", AES128, name=ALICE)
                assert succeeded(said), said


class TestTheirServer:
    def test_refuses_an_assertion_for_another_service(
        self, programs: Programs, syslog: Syslog
    ) -> None:
        mark = syslog.mark()
        with programs.server("theirs") as port:
            command = ("-p", str(port), "-s", "imap", "-m", AES128)
            said = programs.site.run(
                programs.folder / "client", *command, HOST, input="\n\n"
            ).stdout
        assert not succeeded(said)
        assert "bad-audience" in said
        syslog.wait_for("this server is rcmd/localhost", mark)

    def test_refuses_to_let_one_act_as_another(self, programs: Programs, syslog: Syslog) -> None:
        mark = syslog.mark()
        with programs.server("theirs") as port:
            said = programs.client("theirs", port, "-m", AES128, authzid=f"bob@{DOMAIN}")
        assert not succeeded(said)
        assert "successful" not in programs.log.read_text()
        syslog.wait_for("Requested identity not authenticated identity", mark)

    def test_names_the_user(self, programs: Programs) -> None:
        with programs.server("theirs") as port:
            programs.client("theirs", port, "-m", AES128, name=ALICE, authzid=ALICE)
            # It says so only after it has told the client.
            said = f"successful authentication '{ALICE}'"
            wait_until(lambda: said in programs.log.read_text(), said)


@pytest.fixture
def on_python_sasl(programs: Programs, python_with_sasl: Path) -> Client:
    """Runs this project's client on python-sasl, libsasl2 and the plugin."""
    [packages] = python_with_sasl.parents[1].glob("lib/python*/site-packages")

    def run_client(port: int, *flags: str, sasl_path: Path | None = None) -> str:
        done = programs.site.run(
            sys.executable,
            ROOT / "sample_client.py",
            *("--sasl-library", "python-sasl", "--config", str(programs.site.config_file)),
            *("-p", str(port), *flags, HOST),
            PYTHONPATH=str(packages),
            BROWSERID_CONFIG="",
            BROWSERID_MECHANISMS=" ".join(ALL),
            SASL_PATH=str(sasl_path or programs.site.installation.plugins),
        )
        assert done.returncode == (0 if succeeded(done.stdout) else 255), done.stdout
        return done.stdout

    return run_client


class TestOurClientOnPythonSasl:
    @pytest.mark.parametrize("server", ["theirs", "ours"])
    def test_logs_in_with_each_mechanism(
        self, programs: Programs, on_python_sasl: Client, server: str
    ) -> None:
        with programs.server(server) as port:
            for mechanism in ALL:
                assert succeeded(said := on_python_sasl(port, "-m", mechanism)), said

    @pytest.mark.parametrize("server", ["theirs", "ours"])
    def test_logs_in_afresh_and_then_by_ticket(
        self, programs: Programs, on_python_sasl: Client, server: str
    ) -> None:
        with programs.server(server) as port:
            afresh, by_ticket = (on_python_sasl(port, "-m", AES128) for _ in range(2))
        assert succeeded(afresh), afresh
        assert succeeded(by_ticket), by_ticket
        assert longest_sent(by_ticket) < longest_sent(afresh)

    def test_takes_the_mechanism_that_libsasl2_prefers(
        self, programs: Programs, on_python_sasl: Client
    ) -> None:
        with programs.server("theirs") as port:
            said = on_python_sasl(port, "--verbose", "--identity", ALICE)
        assert "using mechanism BROWSERID-" in said
        assert f"authorization identity: {ALICE}\n" in said

    def test_shares_tickets_with_the_client_that_runs_without_it(
        self, programs: Programs, on_python_sasl: Client
    ) -> None:
        with programs.server("theirs") as port:
            afresh = programs.client("ours", port, "-m", AES128)
            by_ticket = on_python_sasl(port, "-m", AES128)
        assert longest_sent(by_ticket) < longest_sent(afresh)

    @pytest.mark.parametrize("flag", ["-c", "-d"])
    def test_binds_to_nothing(self, programs: Programs, on_python_sasl: Client, flag: str) -> None:
        with programs.server("theirs", "-c") as port:
            assert succeeded(on_python_sasl(port, flag))

    def test_is_refused_where_binding_is_critical(
        self, programs: Programs, on_python_sasl: Client
    ) -> None:
        with programs.server("theirs", "-C") as port:
            said = on_python_sasl(port, "-m", AES128)
        assert "missing-channel-bindings" in said

    def test_acts_for_oneself_by_name_and_not_for_others(
        self, programs: Programs, on_python_sasl: Client, syslog: Syslog
    ) -> None:
        mark = syslog.mark()
        with programs.server("theirs") as port:
            assert succeeded(on_python_sasl(port, "--authzid", ALICE))
            assert not succeeded(on_python_sasl(port, "--authzid", f"bob@{DOMAIN}"))
        syslog.wait_for("Requested identity not authenticated identity", mark)

    def test_says_what_libsasl2_says_of_a_refusal(
        self, programs: Programs, on_python_sasl: Client
    ) -> None:
        with programs.server("theirs") as port:
            said = on_python_sasl(port, "-m", AES128, "-s", "imap")
        assert "performing SASL negotiation: authentication failure\n" in said
        assert "bad-audience" in said

    def test_does_not_believe_a_success_before_the_end(self, on_python_sasl: Client) -> None:
        with scripted_server(b"{16}\r\n" + AES128.encode(), b"O") as port:
            said = on_python_sasl(port)
        assert "reported success before the exchange had come to its end" in said

    def test_says_who_has_to_sign_in(self, programs: Programs, on_python_sasl: Client) -> None:
        with programs.server("theirs") as port:
            said = on_python_sasl(port, "--identity", f"bob@{DOMAIN}")
        assert "starting SASL negotiation: can't request information until later" in said
        assert f"browserid login bob@{DOMAIN}" in said

    def test_says_where_the_plugin_has_to_be(
        self, programs: Programs, on_python_sasl: Client, tmp_path: Path
    ) -> None:
        with programs.server("ours") as port:
            said = on_python_sasl(port, sasl_path=tmp_path)
        assert "starting SASL negotiation: no mechanism available\n" in said
        assert "make install" in said


class TestDebiansSampleCommands:
    """sasl-sample-client and sasl-sample-server, which print and read what others would send.

    They read lines of at most 2047 octets, which is enough for a ticket only.
    """

    def test_log_in_with_each_other_by_ticket(self, site: Site, driver: Path) -> None:
        for application in ("sample", "driver"):
            site.configure(application)
        assert "failed 0" in site.run(driver, "-s", "rcmd", "-h", HOST).stdout
        server = self.start(site, "sasl-sample-server", "-d", HOST)
        client = self.start(site, "sasl-sample-client", "-n", HOST, "-a", ALICE, "-u", ALICE)
        with server, client:
            to_client = threading.Thread(target=relay, args=(server, client, "S: "))
            to_client.start()
            said = relay(client, server, "C: ", until="recieved decoded message")
            for program in (client, server):
                program.kill()
            to_client.join()
        assert "recieved decoded message 'srv message 1'" in said

    @staticmethod
    def start(site: Site, *command: str) -> subprocess.Popen[str]:
        plugins = str(site.installation.plugins)
        options = ("-p", plugins, "-s", "rcmd", "-m", AES128, "-f", "forwardsec")
        return subprocess.Popen(
            ("stdbuf", "-oL", *command, *options),
            env=site.variables,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )


def relay(
    source: subprocess.Popen[str], sink: subprocess.Popen[str], prefix: str, until: str = ""
) -> str:
    """Carry the lines that begin with `prefix`; everything the source said."""
    assert source.stdout is not None
    assert sink.stdin is not None
    said = ""
    for line in source.stdout:
        said += line
        if line.startswith(prefix):
            with contextlib.suppress(BrokenPipeError):
                sink.stdin.write(line)
                sink.stdin.flush()
        if until and until in line:
            break
    return said
