"""A machine of its own for what pages of documentation say to do on one.

It is this machine, as it is installed, with a view of the file system in which everything can be
changed and of which nothing stays: an overlay in a mount namespace. It has a network of its own, in
which every port is free and a name leads to where the test wants.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support.patience import PATIENCE
from tests.support.sample_programs import ROOT

_BEGIN: Final = r"""
mount --make-rprivate /
mount -t tmpfs -o mode=755 machine "$1"
mkdir "$1/changes" "$1/work" "$1/root"
[ -z "$4" ] || tar -C "$1/changes" --xattrs --xattrs-include="*" -xpf "$4"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/changes,workdir=$1/work" "$1/root"
cd "$1/root"
if [ ! -e "$1/root$2/setup.cfg" ]; then mkdir -p "$1/root$2"; mount --bind "$2" "$1/root$2"; fi
mount -t proc proc proc
mount -t tmpfs -o mode=755 run run
mkdir -m 1777 run/lock
mount -t tmpfs -o mode=755 dev dev
for device in null zero full random urandom tty; do
    touch "dev/$device"; mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/pts; mkdir -m 1777 dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ip link set lo up
hostname "$3"
# Takes leave of processes that nobody waits for, as scripts that look for a daemon expect.
exec chroot . bash -c 'echo ready; while :; do sleep 5; done'
"""
HOME: Final = "/srv/home"
"""Of the person at the machine, who is root: nothing that is in root's own is there."""

_ENVIRONMENT: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": HOME,
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}


class Machine:
    """A machine that runs.

    :param pid: of its first process.
    :param folder: where its file system is, as that process sees it.
    """

    def __init__(self, pid: int, folder: str) -> None:
        self._pid = pid
        self._folder = folder

    def path(self, name: str) -> Path:
        """Where a file of this machine is seen from outside."""
        return Path(f"/proc/{self._pid}/root{name}")

    def write(self, name: str, text: str, *, mode: int = 0o644) -> None:
        """Make or replace a file."""
        file = self.path(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def run(
        self,
        command: str,
        *,
        input: str = "",
        network: bool = False,
        folder: str = HOME,
        home: str = HOME,
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        """Run a line of shell as root, to its end.

        :param folder: where.
        :param home: whose home folder it has.
        :param network: whether on the network of the tests, to fetch packages, in place of its own.
        """
        return subprocess.run(
            self.entering(command, network=network, folder=folder),
            env=(dict(os.environ) if network else {}) | _ENVIRONMENT | {"HOME": home},
            input=input,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            text=True,
            check=False,
        )

    def entering(self, command: str, *, network: bool = False, folder: str = HOME) -> list[str]:
        """The words of a command that runs a line of shell here; see `run`."""
        spaces = ["--mount", "--uts", "--pid", *([] if network else ["--net"])]
        enter = ["nsenter", "--target", str(self._pid), *spaces, "--root", "--wd=/"]
        return [*enter, "env", f"--chdir={folder}", "bash", "-ec", command]

    def do(self, command: str, **further: object) -> str:
        """Run a line of shell that has to succeed; what it printed."""
        done = self.run(command, **further)  # type: ignore[arg-type]
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout

    def keep(self, file: Path) -> None:
        """Pack what has been changed on it, for `machine` to make others that begin with it."""
        enter = ("nsenter", "--target", str(self._pid), "--mount")
        pack = ("tar", "-C", f"{self._folder}/changes", "--xattrs", "--xattrs-include=*", "-c", ".")
        with file.open("wb") as packed:
            subprocess.run((*enter, *pack), stdout=packed, timeout=120, check=True)

    def wait_for(self, command: str, patience: float = PATIENCE) -> None:
        """Wait until a command succeeds."""
        end = time.monotonic() + patience
        while (done := self.run(command)).returncode != 0:
            assert time.monotonic() < end, f"{command}\n{done.stdout}"
            time.sleep(0.1)

    def wait_for_port(self, port: int) -> None:
        """Wait until somebody listens on a port."""
        self.wait_for(f"exec 3<>/dev/tcp/127.0.0.1/{port}")


@contextmanager
def machine(name: str, hosts: Mapping[str, str], changes: Path | None = None) -> Iterator[Machine]:
    """A machine, until the end of the block.

    :param name: of its own.
    :param hosts: addresses by name.
    :param changes: what was kept of another.
    """
    folder = tempfile.mkdtemp(prefix="browserid-machine-")
    spaces = ("--mount", "--net", "--uts", "--pid", "--fork", "--kill-child")
    arguments = (folder, str(ROOT), name, str(changes or ""))
    command = ("unshare", *spaces, "sh", "-euc", _BEGIN, "sh", *arguments)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        made = Machine(int(children[0]), folder)
        made.write("/etc/hosts", "".join(f"{ip} {host}\n" for host, ip in hosts.items()))
        made.path(HOME).mkdir(mode=0o700, exist_ok=True)
        # What Debian's packages do when they are configured, but for starting their daemons.
        made.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", mode=0o755)
        # And but for an index of all manual pages, made anew whenever a package comes or goes.
        made.path("/var/lib/man-db/auto-update").unlink(missing_ok=True)
        yield made
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
