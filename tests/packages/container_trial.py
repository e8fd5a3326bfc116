"""docs/containers.md, followed with podman: `make container-trial` runs this.

The base image is Debian 12 made by debootstrap, since no registry is asked. Somebody signs in to
the one container and logs in at the other.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from browserid_sasl import Client
from browserid_sasl.config import load
from tests.support.acceptor import Program
from tests.support.guide import blocks_of
from tests.support.patience import wait_until
from tests.support.ports import free_port
from tests.support.sample_programs import ROOT
from tests.support.services import AES128, run

CONTEXT = Path(os.environ.get("CONTEXT", ROOT / "build" / "container" / "context"))
BASE = Path(os.environ.get("BASE", ROOT / "build" / "container" / "debian"))
PAGE = ROOT / "docs" / "containers.md"
PASSWORD = "correct horse battery staple"

pytestmark = pytest.mark.timeout(1800)

# One with a hierarchy of each version stops crun: the container sees none of them in any case.
PODMAN = """\
#!/bin/sh
exec unshare --mount sh -euc '
    mount --make-rprivate /
    while umount /sys/fs/cgroup/unified 2>/dev/null; do :; done
    exec /usr/bin/podman "$@"' sh "$@"
"""
ENGINE = """\
[containers]
cgroups = "disabled"
netns = "host"
default_ulimits = ["nofile={soft}:{hard}", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "crun"
"""
STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{images}"
runroot = "{folder}/run"
"""


@dataclass(frozen=True)
class Containers:
    """podman with images of its own.

    :param folder: of them and of what the page has in /etc/browserid.
    :param port: where the identity provider is.
    """

    folder: Path
    port: int

    @property
    def etc(self) -> Path:
        """What the page has in /etc/browserid."""
        return self.folder / "etc"

    @property
    def _variables(self) -> dict[str, str]:
        return os.environ | {
            "PATH": f"{self.folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "CONTAINERS_CONF": f"{self.folder}/containers.conf",
            "CONTAINERS_STORAGE_CONF": f"{self.folder}/storage.conf",
            "BUILDAH_ISOLATION": "chroot",
            # podman has systemd run the health checks, which is not there.
            "DISABLE_HC_SYSTEMD": "true",
        }

    def run(self, commands: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run lines of shell."""
        return subprocess.run(
            ("bash", "-euc", commands),
            cwd=CONTEXT,
            env=self._variables,
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1500,
            check=False,
        )

    def do(self, commands: str, text: str = "") -> str:
        """Run lines of shell that succeed; what they print."""
        done = self.run(commands, text)
        assert done.returncode == 0, f"{commands}\n{done.stdout[-3000:]}"
        return done.stdout

    def follow(self, title: str) -> None:
        """Do what a section of the page says."""
        text = PAGE.read_text(encoding="utf-8").partition(f"\n## {title}\n")[2]
        section = text.partition("\n## ")[0]
        for block in blocks_of(PAGE):
            if block.text not in section:
                continue
            if block.file:
                with (self.etc / "browserid.toml").open("a") as file:
                    file.write("\n" + block.text.replace("8443", str(self.port)))
            else:
                self.do(self._here(block.text))

    def _here(self, commands: str) -> str:
        """The page's commands, with the base and the places of this test."""
        commands = commands.replace("podman build", f"podman build --build-arg BASE={IMAGE}")
        commands = commands.replace("--volume /etc/browserid:", f"--volume {self.etc}:")
        commands = commands.replace("/etc/browserid/", f"{self.etc}/")
        typed = f"alice@example.org --password-fd 0 <<<'{PASSWORD}'"
        commands = commands.replace("--interactive --tty", "--interactive")
        commands = commands.replace("alice@example.org", typed)
        return commands.replace("browserid-sockets:", f"{self.folder}/sockets:")


IMAGE = "localhost/debian:12-slim"


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    made = Containers(tmp_path_factory.mktemp("c"), free_port())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for folder in ("bin", "etc", "sockets"):
        (made.folder / folder).mkdir(mode=0o755)
    (made.folder / "bin" / "podman").write_text(PODMAN)
    (made.folder / "bin" / "podman").chmod(0o755)
    (made.folder / "containers.conf").write_text(ENGINE.format(soft=soft, hard=hard))
    (made.folder / "storage.conf").write_text(
        STORAGE.format(folder=made.folder, images=BASE.parent / "images")
    )
    os.chown(made.folder / "sockets", 10002, 10002)
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "example.org")
    authority.cert_pem.write_to_path(made.etc / "authority.pem")
    chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
    (made.etc / "example.org.pem").write_bytes(chain)
    (made.etc / "example.org.key").write_bytes(issued.private_key_pem.bytes())
    (made.etc / "example.org.key").chmod(0o600)
    made.do(f"podman image exists {IMAGE} || tar -C '{BASE}' -c . | podman import -q - {IMAGE}")
    try:
        yield made
    finally:
        made.run("podman rm --force --all --time 2; podman volume rm --all --force")


def test_the_images_are_made(containers: Containers) -> None:
    containers.follow("Making them")
    for name, user in (("browserid-idp", "10001"), ("browserid-acceptor", "10002")):
        assert containers.do(f"podman inspect --format '{{{{.User}}}}' {name}") == f"{user}\n"
        size = int(containers.do(f"podman inspect --format '{{{{.Size}}}}' {name}"))
        print(f"{name}: {size // 1_000_000} MB")


def test_somebody_signs_in_to_the_one_and_logs_in_at_the_other(
    containers: Containers, tmp_path: Path
) -> None:
    containers.follow("An identity provider")
    wait_until(lambda: is_healthy(containers, "browserid-idp"), "the identity provider")
    place = (
        f'[authorities."example.org"]\nurl = "https://localhost:{containers.port}"\n'
        'ca_file = "{folder}/authority.pem"\n'
    )
    with (containers.etc / "browserid.toml").open("a") as file:
        file.write("\n" + place.format(folder="/etc/browserid"))
    containers.follow("An acceptor")
    wait_until(lambda: is_healthy(containers, "browserid-acceptor"), "the acceptor")
    config = tmp_path / "person.toml"
    mine = f'[store]\ndirectory = "{tmp_path}/keys"\n'
    config.write_text(mine + place.format(folder=containers.etc))
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    password.chmod(0o600)
    command = (ROOT / ".venv" / "bin" / "browserid", "login", "--config", config)
    words = ("alice@example.org", "--password-file", password)
    done = run((*command, *words))
    assert done.returncode == 0, done.stdout
    client = Client(load(config), "imap", "mail.example.org")
    with Program(containers.folder / "sockets" / "imap") as program:
        for id in (1, 2):  # with a certificate, and by ticket
            reply = program.log_in(client.start_with(AES128), id, bid="1")
            assert reply.verb == "OK", reply.parameters
            assert reply.parameters["user"] == "alice@example.org"


def is_healthy(containers: Containers, name: str) -> bool:
    return containers.run(f"podman healthcheck run {name}").returncode == 0


@pytest.mark.parametrize("name", ["browserid-idp", "browserid-acceptor"])
def test_a_container_has_no_rights_and_a_file_system_to_be_read(
    containers: Containers, name: str
) -> None:
    look = "touch /usr/x /etc/x || true; cat /proc/1/status"
    said = containers.do(f"podman exec {name} sh -c '{look}' 2>&1")
    assert said.count("Read-only file system") == 2
    assert re.search(r"^CapPrm:\s*0{16}$", said, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s*1$", said, re.MULTILINE)
    assert re.search(rf"^Uid:\s*{10001 + (name == 'browserid-acceptor')}\b", said, re.MULTILINE)


def test_one_that_does_not_answer_is_ill(containers: Containers) -> None:
    (containers.etc / "browserid.toml").write_text(
        '[listeners."/run/browserid/other"]\nmode = "0660"\n'
    )
    assert not is_healthy(containers, "browserid-acceptor")


def test_they_end_when_they_are_told(containers: Containers) -> None:
    containers.do("podman stop --time 30 browserid-acceptor browserid-idp")
    for name in ("browserid-acceptor", "browserid-idp"):
        assert containers.do(f"podman inspect --format '{{{{.State.ExitCode}}}}' {name}") == "0\n"
