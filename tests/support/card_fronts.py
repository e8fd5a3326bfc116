"""A provider of cards behind a web server of Debian's, both set up as docs/backends.md says."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.support.cards import Card, CardAuthority
from tests.support.household import Authority, Household
from tests.support.pages import blocks
from tests.support.ports import free_port
from tests.support.provider import DOMAIN
from tests.support.sample_programs import ROOT
from tests.support.services import service

PAGE: Final = (ROOT / "docs" / "backends.md").read_text(encoding="utf-8")
HOST: Final = f"id.{DOMAIN}"
_APACHE: Final = ROOT / ".unpacked" / "apache"
_MODULES: Final = (
    *("mpm_event", "authz_core", "mime", "setenvif", "socache_shmcb", "ssl", "headers", "proxy"),
    "proxy_http",
)
_TEMPORARY: Final = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Office:
    """The provider, and the authority of the cards.

    :param folder: an empty one that every account can look into.
    :param authority: of web servers' certificates.
    :param options: of the section about the cards, in place of those on the page.
    """

    def __init__(
        self, folder: Path, authority: Authority, options: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.authority = authority
        self.cards = CardAuthority()
        self.port = free_port()
        self.url = f"https://{HOST}:{self.port}"
        (folder / "etc").mkdir()
        self.revoke()
        (folder / "etc" / "cards-ca.pem").write_bytes(self.cards.issued.pem)
        (folder / "etc" / "provider-ca.pem").write_bytes(authority.file.read_bytes())
        self._make_secret()
        self.household = self._household(dict(options or {}))

    @contextmanager
    def running(self) -> Iterator[Office]:
        """The provider, until the end of the block."""
        self.household.start()
        try:
            yield self
        finally:
            self.household.stop()

    def revoke(self, *cards: Card) -> None:
        """Have these be on the list, which may be none."""
        for card in cards:
            self.cards.revoke(card)
        (self.folder / "etc" / "cards-crl.pem").write_bytes(self.cards.crl())

    def here(self, text: str) -> str:
        """What the page says, with this machine's names for what it is about."""
        for there, ours in {
            "/etc/browserid": f"{self.folder}/etc",
            "/etc/nginx/browserid-secret.conf": f"{self.folder}/etc/nginx-secret.conf",
            "/etc/apache2/browserid-secret.conf": f"{self.folder}/etc/apache-secret.conf",
            "/etc/ssl/certs/id.example.org.pem": str(self.authority.certificate(HOST)[0]),
            "/etc/ssl/private/id.example.org.key": str(self.authority.certificate(HOST)[1]),
            "chown browserid-idp": "chown root",
            "443 ssl": f"127.0.0.1:{self.port} ssl",
            "*:443": f"127.0.0.1:{self.port}",
            "https://id.example.org": self.url,
            "example.org": DOMAIN,
        }.items():
            text = text.replace(there, ours)
        return text

    def _make_secret(self) -> None:
        [script] = [each for each in blocks(PAGE, "sh") if each.startswith("# The secret")]
        subprocess.run(("sh", "-eu", "-c", self.here(script)), check=True, timeout=60)
        secret = (self.folder / "etc" / "front-server-secret").read_text().strip()
        line = f'RequestHeader set Front-Server-Secret "{secret}"\n'
        assert 'RequestHeader set Front-Server-Secret "..."' in PAGE
        (self.folder / "etc" / "apache-secret.conf").write_text(line)

    def _household(self, options: dict[str, str]) -> Household:
        [shown] = [each for each in blocks(PAGE, "toml") if each.startswith("# Certificates")]
        settings = tomllib.loads(self.here(shown))
        cards = settings["certificate"]["cards"] | options
        named = {f'certificate."cards".{name}': value for name, value in cards.items()}
        folder = self.folder / "provider"
        folder.mkdir()
        return Household(folder, self.authority, settings["idp"], named)


class Front(ABC):
    """A web server before the provider of an office.

    :param office: whose it is.
    :param verify: in place of `optional`, what it does about certificates.
    """

    form = ""

    def __init__(self, office: Office, verify: str = "optional") -> None:
        self.office = office
        self._verify = verify
        self.folder = office.folder / self.form
        self.folder.mkdir()

    def site(self) -> str:
        """Its configuration on the page, made this machine's."""
        kind = self.form
        [shown] = [each for each in blocks(PAGE, kind) if "sites-available" in each]
        assert " optional" in shown
        shown = shown.replace(" optional", f" {self._verify}")
        return self.office.here(shown).replace("8443", str(self.office.household.port))

    @abstractmethod
    def command(self) -> tuple[list[str | Path], Mapping[str, str]]:
        """What starts it, and the environment for that."""

    @contextmanager
    def running(self) -> Iterator[None]:
        """The server, until the end of the block."""
        command, variables = self.command()
        with service(command, self.office.port, variables, self.folder / "output"):
            yield


class Nginx(Front):
    """With Debian's nginx.conf, and the page's site."""

    form = "nginx"

    def command(self) -> tuple[list[str | Path], Mapping[str, str]]:
        """See `Front`."""
        for name in ("log", "conf.d", "sites-enabled"):
            (self.folder / name).mkdir()
        temporary = "".join(f"{name}_temp_path {self.folder}/{name};\n" for name in _TEMPORARY)
        (self.folder / "conf.d" / "temporary.conf").write_text(temporary)
        (self.folder / "sites-enabled" / HOST).write_text(self.site())
        main = Path("/etc/nginx/nginx.conf").read_text()
        for there, ours in {
            "/run/nginx.pid": f"{self.folder}/pid",
            "/var/log/nginx": f"{self.folder}/log",
            "/etc/nginx/conf.d": f"{self.folder}/conf.d",
            "/etc/nginx/sites-enabled": f"{self.folder}/sites-enabled",
        }.items():
            assert there in main
            main = main.replace(there, ours)
        file = self.folder / "nginx.conf"
        file.write_text(main)
        # Modules are looked for below the prefix, where Debian has them by a link.
        options: list[str | Path] = ["-c", file, "-p", "/usr/share/nginx", "-e", "stderr"]
        command = ["/usr/sbin/nginx", *options, "-g", "daemon off;"]
        return command, {"PATH": "/usr/bin:/bin"}


class Apache(Front):
    """With Debian's apache2.conf and its modules' configuration, and the page's site."""

    form = "apache"

    def command(self) -> tuple[list[str | Path], Mapping[str, str]]:
        """See `Front`."""
        etc = self.folder / "apache2"
        shutil.copytree(_APACHE / "etc" / "apache2", etc, symlinks=True)
        for file in (etc / "mods-available").iterdir():
            text = re.sub("/usr/(lib|share)/apache2", rf"{_APACHE}\g<0>", file.read_text())
            file.write_text(text)
        enabled = [etc / "mods-available" / f"{name}.{end}" for name in _MODULES for end in _ENDS]
        for file in filter(Path.exists, enabled):
            (etc / "mods-enabled" / file.name).symlink_to(file)
        ports = etc / "ports.conf"
        ports.write_text(re.sub(r"^\s*Listen 80$", "", ports.read_text(), flags=re.MULTILINE))
        ports.write_text(
            ports.read_text().replace("Listen 443", f"Listen 127.0.0.1:{self.office.port}")
        )
        (etc / "sites-enabled" / f"{HOST}.conf").write_text(self.site())
        variables = {
            "PATH": "/usr/bin:/bin",
            "APACHE_RUN_DIR": str(self.folder),
            "APACHE_PID_FILE": str(self.folder / "pid"),
            "APACHE_LOG_DIR": str(self.folder),
            "APACHE_RUN_USER": "www-data",
            "APACHE_RUN_GROUP": "www-data",
        }
        program = _APACHE / "usr/sbin/apache2"
        return [program, "-d", etc, "-f", etc / "apache2.conf", "-DFOREGROUND"], variables


_ENDS: Final = ("load", "conf")
FRONTS: Final[Mapping[str, Any]] = {each.form: each for each in (Nginx, Apache)}
