"""A site for programs of GSS-API, and such programs."""

from __future__ import annotations

import base64
import os
import pwd
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from browserid_sasl.jose.keys import PrivateKey
from tests.support.certificates import authority, issue, names
from tests.support.patience import PATIENCE
from tests.support.ports import free_port
from tests.support.sample_programs import ALICE, DOMAIN, HOST, ROOT
from tests.support.services import (
    AES128,
    SYSTEM_PLUGINS,
    Installation,
    Site,
    installed,
    run,
    service,
)

GS2_PLUGINS: Final = ROOT / ".unpacked" / "gs2" / "usr" / "lib" / "x86_64-linux-gnu" / "sasl2"
SERVICES: Final = ("rcmd", "host", "HTTP", "http", "imap", "ldap", "postgres")


class GssSite(Site):
    """A site whose services have a certificate, and where an account's programs accept contexts.

    :param user: that account.
    """

    def __init__(
        self, installation: Installation, folder: Path, key: PrivateKey, user: str = "root"
    ) -> None:
        super().__init__(installation, folder, user, key)
        ours = authority("ours")
        server = issue(HOST, ours, names([HOST]))
        (folder / "ours.pem").write_bytes(ours.pem)
        (folder / "server.pem").write_bytes(server.pem + ours.pem)
        key_file = folder / "server.key"
        key_file.touch(0o600)
        key_file.write_bytes(server.key_pem)
        os.chown(key_file, pwd.getpwnam(self.ACCEPTOR_ACCOUNT).pw_uid, 0)
        # The services' own copy, for TLS.
        tls_key = folder / "tls.key"
        tls_key.touch(0o600)
        tls_key.write_bytes(server.key_pem)
        os.chown(tls_key, pwd.getpwnam(user).pw_uid, 0)
        services = ", ".join(f'"{each}"' for each in SERVICES)
        self.add(
            f'''
            [server]
            allow = ["{DOMAIN}"]
            x509_certificate = "{folder}/server.pem"
            x509_key = "{folder}/server.key"
            [client]
            trust_anchors = "{folder}/ours.pem"
            [programs."{user}"]
            services = [{services}]
            keys = true
            '''
        )

    def add(self, sections: str) -> None:
        """Add to the configuration."""
        with self.config_file.open("a") as config:
            config.write(sections)

    @property
    def tls_files(self) -> tuple[Path, Path]:
        """Files of the certificate and its key, for a service that has TLS."""
        return self.folder / "server.pem", self.folder / "tls.key"

    def forget_tickets(self) -> None:
        """Have the next login of everybody be one by certificate."""
        done = self.run(self.installation.prefix / "bin" / "bidtool", "tdestroy")
        assert done.returncode == 0, done.stdout

    @property
    def stock_plugins(self) -> Path:
        """libsasl2's own plugins, Debian's GS2 and what comes with it, and none of ours."""
        folder = self.folder / "stock-plugins"
        folder.mkdir(exist_ok=True)
        for library in (*Path(SYSTEM_PLUGINS).glob("*.so"), *GS2_PLUGINS.glob("*.so")):
            link = folder / library.name
            if library.name != self.installation.library.name and not link.is_symlink():
                link.symlink_to(library)
        return folder

    @property
    def variables(self) -> dict[str, str]:
        """The environment of programs here."""
        return super().variables | {"BROWSERID_ACCEPTOR": str(self.socket)}


@contextmanager
def gss_site(
    installation: Installation, folder: Path, key: PrivateKey, user: str = "root"
) -> Iterator[GssSite]:
    """A site until the end of the block."""
    with GssSite(installation, folder, key, user).accepting() as site:
        yield site  # type: ignore[misc]


def build_gss_driver(folder: Path, *flags: str) -> Path:
    """Compile tests/plugin/gss_driver.c, which says how it is used.

    :param folder: where to put the program.
    :param flags: further ones for the compiler.
    """
    source, program = ROOT / "tests" / "plugin" / "gss_driver.c", folder / "gss_driver"
    warnings = ("-Wall", "-Wextra", "-Werror")
    libraries = ("-lgssapi_krb5", "-lpthread")
    done = run(("cc", "-g", *flags, *warnings, source, "-o", program, *libraries))
    assert done.returncode == 0, done.stdout
    return program


@contextmanager
def installed_gss_site() -> Iterator[GssSite]:
    """A site with an installation of its own, where somebody is signed in."""
    key = PrivateKey.generate("RS256")
    with installed() as (installation, folder), gss_site(installation, folder, key) as site:
        site.realm.sign_in()
        yield site


class Gs2:
    """Debian's sample programs of Cyrus SASL, which by default know the GS2 plugin and not ours.

    :param client_plugins: what the client finds its mechanisms in.
    :param server_plugins: likewise.
    :param variables: of the programs' environment, on top of the site's.
    """

    def __init__(
        self,
        site: GssSite,
        client_plugins: object = None,
        server_plugins: object = None,
        **variables: str,
    ) -> None:
        self._variables = site.variables | variables
        self._client_plugins = str(client_plugins or site.stock_plugins)
        self._server_plugins = str(server_plugins or site.stock_plugins)

    def listed(self) -> list[str]:
        """The mechanisms that a server with these plugins lists."""
        with self._server() as server:
            return _list_of(server)

    def log_in(self, mechanism: str = AES128, service: str = "rcmd") -> tuple[str, str]:
        """Log in, client to server; what either has said."""
        with self._server(service) as server, self._client(mechanism, service) as client:
            return _introduce(server, client)

    def _server(self, service: str = "rcmd") -> subprocess.Popen[str]:
        command = ("sasl-sample-server", "-s", service, "-d", HOST, "-p", self._server_plugins)
        return self._start(command)

    def _client(self, mechanism: str, service: str) -> subprocess.Popen[str]:
        command = ("sasl-sample-client", "-m", mechanism, "-s", service, "-n", HOST, "-a", ALICE)
        return self._start((*command, "-p", self._client_plugins))

    def _start(self, command: Sequence[str]) -> subprocess.Popen[str]:
        return _start(command, self._variables)


def talk(server: Sequence[str], client: Sequence[str]) -> tuple[str, str]:
    """What the client and the server of Cyrus SASL's samples say when they log in.

    :param server: its command, wherever it runs.
    """
    with _start(server) as serving, _start(client) as asking:
        return _introduce(serving, asking)


def _start(
    command: Sequence[str], variables: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ("stdbuf", "-oL", "-eL", *command),
        env=variables,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _introduce(server: subprocess.Popen[str], client: subprocess.Popen[str]) -> tuple[str, str]:
    """Carry lines to and fro until one of them is done; what client and server have said."""
    _send(client, b" ".join(name.encode() for name in _list_of(server)))
    said: dict[str, list[str]] = {"client": [], "server": []}
    speaker, listener, who = client, server, "client"
    while line := _next_message(speaker, said[who]):
        _write(listener, line)
        speaker, listener = listener, speaker
        who = "server" if who == "client" else "client"
    for process, name in ((client, "client"), (server, "server")):
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        said[name].append(process.stdout.read())
        process.wait(PATIENCE)
    return "".join(said["client"]), "".join(said["server"])


def _list_of(server: subprocess.Popen[str]) -> list[str]:
    assert server.stdout is not None
    for line in server.stdout:
        if line.startswith("S: "):
            return base64.b64decode(line.removeprefix("S: ")).decode().split()
    raise AssertionError("the server lists nothing")


def _next_message(process: subprocess.Popen[str], said: list[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line)
        if re.match(r"[CS]: ", line):
            return line
    return ""


def _write(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line)
    process.stdin.flush()


def _send(client: subprocess.Popen[str], octets: bytes) -> None:
    _write(client, f"S: {base64.b64encode(octets).decode()}\n")


class MitSamples:
    """MIT's gss-server, and gss-client against it."""

    def __init__(self, site: GssSite, *flags: str) -> None:
        self._site = site
        self._flags = flags
        self.log = site.folder / f"gss-server-{os.urandom(4).hex()}.log"

    @contextmanager
    def server(self) -> Iterator[int]:
        """The server, until the end of the block; its port."""
        port = free_port()
        command = ("stdbuf", "-oL", "gss-server", "-port", str(port), "-verbose", *self._flags)
        with service((*command, f"host@{HOST}"), port, self._site.variables, self.log):
            yield port

    def client(
        self, port: int, *flags: str, message: str = "a message"
    ) -> subprocess.CompletedProcess[str]:
        """Run the client to its end."""
        command = ("gss-client", "-port", str(port), *flags)
        return self._site.run(*command, HOST, f"host@{HOST}", message)
