"""The plugin installed in a folder of its own, and the real services that load it from there.

Each service runs with its own configuration on free ports of the loopback interface, in a session
of its own that is ended with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from browserid_sasl import config
from browserid_sasl.api import Client
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.sasl.channel_binding import ChannelBinding
from browserid_sasl.sasl.client import ClientMechanism
from tests.support.patience import PATIENCE, wait_until
from tests.support.ports import free_port, listens
from tests.support.sample_programs import DOMAIN, ROOT, Person, Realm

ADMIN: Final = f"admin@{DOMAIN}"
AES128: Final = "BROWSERID-AES128"
PADDING: Final = "BROWSERID-PADDING"
HOST: Final = "localhost"
SYSTEM_PLUGINS: Final = "/usr/lib/x86_64-linux-gnu/sasl2"
DEV_LOG: Final = "/dev/log"
_CLONE_NEWNS: Final = 0x20000


def run(
    command: Sequence[str | Path], *, timeout: float = 60, **further: object
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, without a terminal."""
    options = {"stdin": subprocess.DEVNULL} if "input" not in further else {}
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        command,
        text=True,
        timeout=timeout,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        **(options | further),
    )


@contextmanager
def folder_for_all() -> Iterator[Path]:
    """A folder that every user can read, as pytest's are not."""
    folder = Path(tempfile.mkdtemp(prefix="browserid-plugin-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def build_driver(folder: Path) -> Path:
    """Compile tests/plugin/driver.c, which says how it is used.

    :param folder: where to put the program.
    """
    source, program = ROOT / "tests" / "plugin" / "driver.c", folder / "driver"
    warnings = ("-Wall", "-Wextra", "-Werror")
    done = run(("cc", "-g", *warnings, source, "-o", program, "-lsasl2", "-lpthread"))
    assert done.returncode == 0, done.stdout
    return program


class Installation:
    """What `make install` makes, in a folder of its own.

    :param folder: an empty folder that every user can read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prefix = folder / "prefix"
        self.plugins = folder / "sasl2"
        self.man = folder / "man"
        self.library = self.plugins / "libbrowserid.so"
        self.dovecot_modules = folder / "dovecot"
        self.gss_module = self.prefix / "lib" / "browserid-sasl" / "mech_browserid.so"
        self.gss_mechanisms = folder / "gss" / "browserid.conf"
        self.environment = self.prefix / "lib" / "browserid-sasl" / "env"
        self.agent = self.prefix / "bin" / "browserid-agent"

    def make(self, target: str) -> None:
        """Make a target with this installation's folders."""
        folders = {
            "PREFIX": self.prefix,
            "PLUGIN_DIR": self.plugins,
            "PLUGIN_BUILD": self.folder / "build",
            "DOVECOT_MODULES": self.dovecot_modules,
            "GSS_MECH_DIR": self.gss_mechanisms.parent,
            "MAN_DIR": self.man,
        }
        settings = (f"{name}={folder}" for name, folder in folders.items())
        done = run(("make", target, *settings), cwd=ROOT, timeout=300)
        assert done.returncode == 0, done.stdout

    @property
    def variables(self) -> dict[str, str]:
        """The environment of a program that is to find the plugin, and nothing of the caller's."""
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "SASL_PATH": str(self.plugins),
            "GSS_MECH_CONFIG": str(self.gss_mechanisms),
        }


class Site:
    """A domain, people who are signed in, and a folder for a service's files.

    :param folder: an empty folder that every user can read.
    :param user: the account the service runs as.
    """

    ACCEPTOR_ACCOUNT: Final = "daemon"
    """Who the acceptor runs as: somebody without rights, and not the service."""

    def __init__(
        self,
        installation: Installation,
        folder: Path,
        user: str = "root",
        key: PrivateKey | None = None,
    ) -> None:
        self.installation = installation
        self.folder = folder
        self.user = user
        self.allow = DOMAIN
        self._socket = folder / "acceptor"
        self._acceptor: subprocess.Popen[bytes] | None = None
        self.realm = Realm(folder, key or PrivateKey.generate("RS256"), self.acceptor_sections)
        self.config_file = self.realm.config_file
        self.server_folder = folder / "server"
        self.give(self.server_folder, 0o700, self.ACCEPTOR_ACCOUNT)
        self.sasl_folder = folder / "sasl"
        self.sasl_folder.mkdir()
        self.output = folder / "acceptor.log"

    @property
    def acceptor_sections(self) -> str:
        """Sections of the acceptor's configuration that say who it serves."""
        return f"""
            [acceptor]
            user = "{self.ACCEPTOR_ACCOUNT}"
            hostname = "{HOST}"
            [listeners."{self._socket}"]
            owner = "{self.user}"
            """

    def give(self, folder: Path, mode: int = 0o755, user: str = "") -> None:
        """Make a folder that belongs to an account, the service's if none is named."""
        folder.mkdir(mode=mode)
        account = pwd.getpwnam(user or self.user)
        os.chown(folder, account.pw_uid, account.pw_gid)

    @contextmanager
    def accepting(self) -> Iterator[Site]:
        """The site until the end of the block: then acceptor and agent are gone."""
        try:
            yield self
        finally:
            self.stop_agent()
            self.stop_acceptor()

    @property
    def socket(self) -> Path:
        """Where the acceptor listens; it has been started when somebody needs to know."""
        assert self.acceptor
        return self._socket

    @property
    def acceptor(self) -> subprocess.Popen[bytes]:
        """The site's acceptor, started for the first who asks."""
        if self._acceptor is None:
            self.start_acceptor()
        assert self._acceptor is not None
        return self._acceptor

    def start_acceptor(self, **variables: str) -> None:
        """Start the acceptor that is installed, and wait until it is ready.

        :param variables: of its environment, on top of the usual.
        """
        ready = self._times_ready()
        with self.output.open("ab") as output:
            process = subprocess.Popen(
                (
                    self.installation.prefix / "bin" / "browserid-acceptor",
                    "--config",
                    self.config_file,
                ),
                env=self.installation.variables | variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        wait_until(
            lambda: self._times_ready() > ready or process.poll() is not None, "the acceptor"
        )
        assert process.poll() is None, self.output.read_text()
        self._acceptor = process

    def stop_acceptor(self) -> None:
        """End the acceptor, if it runs, as it wants to end."""
        if self._acceptor is None:
            return
        self._acceptor.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._acceptor.wait(5)
        self.kill_acceptor()
        self._acceptor = None

    def kill_acceptor(self) -> None:
        """End the acceptor and its workers without a word."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.acceptor.pid, signal.SIGKILL)
        self.acceptor.wait(5)
        wait_until(lambda: not _is_group(self.acceptor.pid), "the end of the workers")

    def workers(self) -> list[int]:
        """The acceptor's workers."""
        pid = self.acceptor.pid
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def agent_pid(self) -> int:
        """The agent that a program has started."""
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(self.agent_socket))
            option = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid, _, _ = struct.unpack("iII", option)
        return int(pid)

    def kill_agent(self) -> None:
        """End the agent without a word."""
        self._end_agent(signal.SIGKILL)

    def _end_agent(self, number: signal.Signals) -> None:
        pid = self.agent_pid()
        os.kill(pid, number)
        wait_until(lambda: not _is_alive(pid), "the end of the agent")

    def reload_acceptor(self) -> None:
        """Have the acceptor read its configuration again."""
        ready = self._times_ready()
        self.acceptor.send_signal(signal.SIGHUP)
        wait_until(lambda: self._times_ready() > ready, "the acceptor's reload")

    def _times_ready(self) -> int:
        return self.output.read_text().count(": ready, ") if self.output.exists() else 0

    @property
    def agent_socket(self) -> Path:
        """Where the agent of the site's people is, who have no other folder for it."""
        return self.folder / ".local" / "state" / "browserid" / "agent"

    def stop_agent(self) -> None:
        """End the agent that a program has started, if one has."""
        with contextlib.suppress(OSError):
            # It may be another account's, which takes no request from us.
            self._end_agent(signal.SIGTERM)

    def configure(self, program: str, folder: Path | None = None, **options: str) -> None:
        """Write a program's SASL configuration, into a folder other than usual if need be."""
        lines = {"browserid_socket": str(self.socket), "browserid_allow": self.allow} | options
        text = "".join(f"{name}: {value}\n" for name, value in lines.items())
        ((folder or self.sasl_folder) / f"{program}.conf").write_text(text)

    def pin(self, domain: str) -> None:
        """Know the key of another domain's identity provider, which is the same as ours."""
        with self.config_file.open("a") as config:
            document = self.folder / "support.json"
            config.write(f'\n[authorities."{domain}"]\nkeys_file = "{document}"\n')

    def publish(self, key: PrivateKey) -> None:
        """Replace the key in the identity provider's document."""
        path = self.folder / "support.json"
        document = json.loads(path.read_text()) | {"public-key": key.public_key.to_json()}
        path.write_text(json.dumps(document))

    @property
    def all_plugins(self) -> str:
        """SASL_PATH with ours and libsasl2's own mechanisms, but not ours if installed there."""
        folder = self.folder / "plugins-of-the-system"
        folder.mkdir(exist_ok=True)
        for library in Path(SYSTEM_PLUGINS).glob("*.so"):
            link = folder / library.name
            if library.name != self.installation.library.name and not link.is_symlink():
                link.symlink_to(library)
        return f"{self.installation.plugins}:{folder}"

    @property
    def variables(self) -> dict[str, str]:
        """The environment of programs and services at this site."""
        return self.installation.variables | {
            "HOME": str(self.folder),
            "SASL_CONF_PATH": str(self.sasl_folder),
            "BROWSERID_CONFIG": str(self.config_file),
        }

    def run(
        self, *command: str | Path, input: str = "", timeout: float = PATIENCE, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program here to its end."""
        return run(command, input=input, timeout=timeout, env=self.variables | variables)

    @property
    def config(self) -> config.Config:
        """This site's configuration, for a client that keeps nothing."""
        return config.load(self.config_file).with_options({"backend": "memory"}, section="store")

    def client(self, service: str, person: Person | None = None, host: str = HOST) -> Client:
        """A client in this process, without tickets from earlier logins."""
        return Client(self.config, service, host, credentials=person or self.realm.person())

    def mechanism(
        self,
        service: str,
        *,
        person: Person | None = None,
        host: str = HOST,
        mechanism: str = AES128,
        authzid: str = "",
        binding: ChannelBinding | None = None,
    ) -> ClientMechanism:
        """One login of this process, without a ticket."""
        return self.client(service, person, host).start_with(
            mechanism,
            authzid=authzid,
            channel_binding=binding,
            binding_critical=binding is not None,
        )


@contextmanager
def installed() -> Iterator[tuple[Installation, Path]]:
    """An installation, and a folder for a site, both of which are gone afterwards."""
    with folder_for_all() as folder:
        for name in ("installation", "site"):
            (folder / name).mkdir()
        installation = Installation(folder / "installation")
        installation.make("install")
        yield installation, folder / "site"


@contextmanager
def installed_site(user: str = "root") -> Iterator[Site]:
    """A site with an installation of its own, in a folder that is gone afterwards.

    :param user: the account the service runs as.
    """
    with (
        installed() as (installation, folder),
        Site(installation, folder, user).accepting() as site,
    ):
        yield site


def _is_in_use(place: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as caller:
        try:
            caller.connect(place)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True


def _is_alive(pid: int) -> bool:
    """Whether a process runs: one that has ended may be listed until its parent takes notice."""
    return _state_and_group(Path(f"/proc/{pid}/stat"))[0] not in ("", "Z")


def _is_group(number: int) -> bool:
    """Whether a process of a group runs."""
    found = map(_state_and_group, Path("/proc").glob("[0-9]*/stat"))
    return any(group == str(number) and state != "Z" for state, group in found)


def _state_and_group(file: Path) -> tuple[str, str]:
    """Of a process, by its file below /proc (proc_pid_stat(5)); both empty if it is gone."""
    try:
        state, _, group, *_ = file.read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "", ""
    return state, group


class Syslog:
    """What the services log: they know no other place than /dev/log.

    :param place: where that is seen from here.
    """

    def __init__(self, place: str = DEV_LOG) -> None:
        self._place = place
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._covered = ""
        self._folder = os.open(os.path.dirname(place), os.O_RDONLY)
        if self._is_alone() and not _is_in_use(place):
            Path(place).unlink(missing_ok=True)  # left behind by a run that was killed
            self._listen(place)
        else:
            self._cover_with_ours()
        fcntl.flock(self._folder, fcntl.LOCK_SH)
        self._lines: list[str] = []
        self._news = threading.Condition()
        threading.Thread(target=self._collect, daemon=True).start()

    def _is_alone(self) -> bool:
        """Whether no other process of the tests uses the place; if so none does until we do.

        One that covers it must not lose what it covers: it would be uncovered.
        """
        try:
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(self._folder, fcntl.LOCK_SH)
            return False
        return True

    def _listen(self, place: str) -> None:
        self._socket.bind(place)
        os.chmod(place, 0o666)

    def _cover_with_ours(self) -> None:
        """Put our socket in the place of the machine's, for what this thread starts from now on."""
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            ours = f"{folder}/log"
            self._listen(ours)
            if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS) != 0:
                raise OSError(ctypes.get_errno(), "a mount namespace cannot be made")
            self._covered = os.path.realpath(DEV_LOG)
            subprocess.run(["mount", "--make-rprivate", "/"], check=True)
            subprocess.run(["mount", "--bind", ours, self._covered], check=True)

    def _collect(self) -> None:
        with contextlib.suppress(OSError):
            while line := self._socket.recv(65536):
                with self._news:
                    self._lines.append(line.rstrip(b"\0\n").decode(errors="replace"))
                    self._news.notify_all()

    def mark(self) -> int:
        """Where the log is now, for `wait_for`."""
        self._catch_up()
        return len(self._lines)

    def wait_for(self, pattern: str, since: int = 0) -> str:
        """The first line after a mark that matches a regular expression."""
        expression = re.compile(pattern)
        with self._news:
            found = self._news.wait_for(lambda: self._find(expression, since), PATIENCE)
        assert found, f"{pattern!r} was not logged, this was:\n" + "\n".join(self._lines[since:])
        return found

    def _catch_up(self) -> None:
        """Wait until everything has been read that was sent before."""
        last = f"until here {secrets.token_hex(8)}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as caller:
            caller.sendto(last.encode(), self._place)
        self.wait_for(last)

    def _find(self, expression: re.Pattern[str], since: int) -> str | None:
        return next((line for line in self._lines[since:] if expression.search(line)), None)

    def text(self, since: int = 0) -> str:
        """Everything after a mark that has been logged until now."""
        self._catch_up()
        return "\n".join(self._lines[since:])

    def close(self) -> None:
        """Stop."""
        if self._covered:
            # It is gone already if the machine's own has been replaced meanwhile.
            subprocess.run(["umount", self._covered], check=False)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        if self._is_alone() and not _is_in_use(self._place):
            Path(self._place).unlink(missing_ok=True)
        os.close(self._folder)


@contextmanager
def service(
    command: Sequence[str | Path], port: int, variables: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A service in the foreground, from when it listens until the end of the block."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until(lambda: listens(port), f"{command[0]}: listening on {port}")
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(5)


class Imapd:
    """Cyrus imapd: its master, imapd, pop3d, lmtpd, timsieved and sync_server.

    :param tls: files of a certificate and its key; imapd and pop3d have ports for TLS then.
    :param options: lines of imapd.conf, on top of the usual.
    :param launcher: a command that runs imapd.
    :param plugins: SASL_PATH, the site's `all_plugins` if it is empty.
    """

    PROGRAMS: Final = Path("/usr/lib/cyrus/bin")

    def __init__(
        self,
        site: Site,
        *,
        tls: tuple[Path, Path] | None = None,
        options: Mapping[str, str] | None = None,
        launcher: str = "",
        plugins: str = "",
    ) -> None:
        self.site = site
        self.plugins = plugins or site.all_plugins
        self.port = free_port()
        self.pop3_port = free_port()
        self.tls_port, self.pop3s_port = free_port(), free_port()
        self.launcher = launcher
        self.sieve_port = free_port()
        self.sync_port = free_port()
        self.folder = site.folder / "imapd"
        self.lmtp = self.folder / "conf" / "socket" / "lmtp"
        site.give(self.folder)
        for name in ("conf", "spool", "sieve"):
            site.give(self.folder / name)
        for name in ("db", "lock", "log", "proc", "socket", "user"):
            site.give(self.folder / "conf" / name)
        self.config = self.folder / "imapd.conf"
        self._write_imapd_conf(options or {}, tls)
        self._write_cyrus_conf(tls is not None)

    def _write_imapd_conf(self, options: Mapping[str, str], tls: tuple[Path, Path] | None) -> None:
        settings = {
            "configdirectory": str(self.folder / "conf"),
            "defaultpartition": "default",
            "partition-default": str(self.folder / "spool"),
            "admins": "admin",
            "servername": HOST,
            "sievedir": str(self.folder / "sieve"),
            "unixhierarchysep": "yes",
            "delete_mode": "immediate",
            "lmtp_admins": "postman",
            # Who was refused is answered at once, and not after three seconds.
            "failedloginpause": "0",
            "sasl_mech_list": f"{AES128} {PADDING}",
            "sasl_browserid_socket": str(self.site.socket),
            "sasl_browserid_allow": self.site.allow,
            "sasl_browserid_strip_domain": DOMAIN,
        }
        if tls:
            certificate, key = map(str, tls)
            settings |= {"tls_server_cert": certificate, "tls_server_key": key}
        lines = (f"{name}: {value}\n" for name, value in {**settings, **options}.items())
        self.config.write_text("".join(lines))

    def _write_cyrus_conf(self, tls: bool) -> None:
        def command(program: str, arguments: str = "") -> str:
            launcher = f"{self.launcher} " if program == "imapd" else ""
            return f'cmd="{launcher}{self.PROGRAMS / program} -C {self.config} {arguments}"'

        encrypted = f"""
              imaps {command("imapd", "-s")} listen="127.0.0.1:{self.tls_port}"
              pop3s {command("pop3d", "-s")} listen="127.0.0.1:{self.pop3s_port}"
            """
        (self.folder / "cyrus.conf").write_text(
            f"""
            START {{
              recover {command("ctl_cyrusdb", "-r")}
            }}
            SERVICES {{
              imap {command("imapd")} listen="127.0.0.1:{self.port}"
              pop3 {command("pop3d")} listen="127.0.0.1:{self.pop3_port}"
              lmtp {command("lmtpd", "-a")} listen="{self.lmtp}"
              sieve {command("timsieved")} listen="localhost:{self.sieve_port}"
              sync {command("sync_server")} listen="localhost:{self.sync_port}"
              {encrypted if tls else ""}
            }}
            EVENTS {{
            }}
            """
        )

    @contextmanager
    def running(self) -> Iterator[Imapd]:
        """The service, from when it listens until the end of the block."""
        command = (
            *(self.PROGRAMS / "master", "-C", self.config, "-M", self.folder / "cyrus.conf"),
            *("-p", self.folder / "master.pid"),
        )
        variables = self.site.variables
        variables["SASL_PATH"] = self.plugins
        with service(command, self.port, variables, self.folder / "output") as process:
            self._master = process.pid
            yield self

    def end_processes(self) -> None:
        """End the imapds that wait for their next client; master starts new ones when needed."""
        for pid in self.processes():
            os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not self.processes(), "the end of the imapds")

    def wait_until_idle(self) -> None:
        """Wait until no client is connected, so that the next one gets a process that is there."""
        connected = self.folder / "conf" / "proc"
        wait_until(lambda: not any(connected.iterdir()), "the end of all connections")

    def processes(self) -> list[int]:
        """The imapds that run."""
        children = Path(f"/proc/{self._master}/task/{self._master}/children").read_text().split()
        return [pid for pid in map(int, children) if _is_running(pid, "imapd")]


def _is_running(pid: int, program: str) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == program
    except (FileNotFoundError, ProcessLookupError):
        return False


class Slapd:
    """OpenLDAP's server, which runs its operations in threads."""

    BASE: Final = "dc=example,dc=test"
    PAGE: Final = ROOT / "docs" / "openldap.md"

    def __init__(
        self,
        site: Site,
        tls: tuple[Path, Path] | None = None,
        domain: str = DOMAIN,
        *,
        plugins: str = "",
        further: str = "",
    ) -> None:
        """Write its configuration.

        :param domain: whose people are entries of the directory.
        :param plugins: SASL_PATH, that of our installation if it is empty.
        :param further: lines of the configuration, on top of the usual.
        """
        self.site = site
        self._variables = site.variables | ({"SASL_PATH": plugins} if plugins else {})
        self.port = free_port()
        self.url = f"ldap://{HOST}:{self.port}"
        self.folder = site.folder / "slapd"
        (self.folder / "db").mkdir(parents=True)
        site.configure("slapd")
        (self.folder / "slapd.conf").write_text(
            f"""
include /etc/ldap/schema/core.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {self.folder}/pid
sasl-host {HOST}
{further}
{self._tls(tls)}
{self._mapping(domain)}
database mdb
suffix "{self.BASE}"
directory {self.folder}/db
maxsize 10485760
"""
        )

    def _mapping(self, domain: str) -> str:
        """The rule of the page, for another domain and directory."""
        rule: str
        [rule] = re.findall(r"^olcAuthzRegexp: (.*)$", self.PAGE.read_text(), re.MULTILINE)
        for ours, theirs in (
            ("@example[.]org", f"@{domain.replace('.', '[.]')}"),
            ("dc=example,dc=org", self.BASE),
        ):
            assert ours in rule
            rule = rule.replace(ours, theirs)
        return f"authz-regexp {rule}"

    @staticmethod
    def _tls(files: tuple[Path, Path] | None) -> str:
        if files is None:
            return ""
        certificate, key = files
        return f"TLSCertificateFile {certificate}\nTLSCertificateKeyFile {key}"

    @contextmanager
    def running(self) -> Iterator[Slapd]:
        """The service, from when it listens until the end of the block."""
        # Debian's slapd looks for its SASL configuration here and nowhere else: in a view of the
        # file system of its own, it finds this site's.
        mount = f"mount --bind {self.site.sasl_folder} /etc/ldap/sasl2"
        own_view = ("unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh")
        slapd = ("/usr/sbin/slapd", "-d", "none", "-f", self.folder / "slapd.conf")
        command = (*own_view, *slapd, "-h", f"ldap://127.0.0.1:{self.port}")
        with service(command, self.port, self._variables, self.folder / "output"):
            yield self


class Postfix:
    """Postfix with a submission service, which hands what it takes to a Cyrus imapd by LMTP.

    :param lmtp: that imapd's socket.
    :param settings: lines of main.cf, on top of the usual.
    """

    DAEMONS: Final = Path("/usr/lib/postfix/sbin")
    INTERNAL: Final = (
        "pickup unix n - n 60 1 pickup",
        "cleanup unix n - n - 0 cleanup",
        "qmgr unix n - n 300 1 qmgr",
        "rewrite unix - - n - - trivial-rewrite",
        "bounce unix - - n - 0 bounce",
        "defer unix - - n - 0 bounce",
        "proxymap unix - - n - - proxymap",
        "anvil unix - - n - 1 anvil",
        "tlsmgr unix - - n 1000? 1 tlsmgr",
        "error unix - - n - - error",
        "retry unix - - n - - error",
        "lmtp unix - - n - - lmtp",
    )

    def __init__(self, site: Site, lmtp: Path, settings: Mapping[str, str] | None = None) -> None:
        self.site = site
        self.port = free_port()
        self.folder = site.folder / "postfix"
        for name in ("etc/sasl", "queue", "data"):
            (self.folder / name).mkdir(parents=True)
        account = pwd.getpwnam("postfix")
        os.chown(self.folder / "data", account.pw_uid, account.pw_gid)
        (self.folder / "etc" / "main.cf").write_text(
            f"""
compatibility_level = 3.6
queue_directory = {self.folder}/queue
data_directory = {self.folder}/data
command_directory = /usr/sbin
daemon_directory = {self.DAEMONS}
myhostname = {HOST}
mydestination = {DOMAIN}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks =
alias_maps =
local_recipient_maps =
local_transport = lmtp:unix:{lmtp}
import_environment = MAIL_CONFIG MAIL_LOGTAG LANG=C SASL_PATH={site.installation.plugins}
smtpd_sasl_auth_enable = yes
smtpd_sasl_path = smtpd
smtpd_relay_restrictions = permit_sasl_authenticated, reject
"""
        )
        with (self.folder / "etc" / "main.cf").open("a") as main:
            main.writelines(f"{name} = {value}\n" for name, value in (settings or {}).items())
        # Debian's smtpd looks for smtpd.conf in the folder `sasl` beside main.cf.
        site.configure("smtpd", self.folder / "etc" / "sasl", mech_list=AES128)
        services = (f"127.0.0.1:{self.port} inet n - n - - smtpd", *self.INTERNAL)
        (self.folder / "etc" / "master.cf").write_text("\n".join(services) + "\n")

    @contextmanager
    def running(self) -> Iterator[Postfix]:
        """The service, from when it listens until the end of the block."""
        etc = self.folder / "etc"
        run(("/usr/sbin/postfix", "-c", etc, "check"), env=self.site.variables)
        variables = self.site.variables | {"MAIL_CONFIG": str(etc)}
        command = (self.DAEMONS / "master", "-c", etc, "-d")
        with service(command, self.port, variables, self.folder / "output"):
            yield self
