"""A fresh Debian 12 with its own systemd, for packages to be installed on.

debootstrap makes the system once, with what apt has to install later on, in the user's cache. Each
machine begins with that, changes a copy in memory, and is gone with its processes. It has no
network: apt takes what was fetched.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

from tests.support.machine import HOME, Machine
from tests.support.patience import wait_until

PACKAGES: Final = "/srv/packages"
"""Where a machine sees the folder of packages."""

_GROUPS: Final = Path("/sys/fs/cgroup")
_SYSTEM: Final = "ca-certificates,dbus,libpam-systemd,procps,systemd,systemd-sysv"
_MAKE: Final = r"""
rm -rf "$1"
mkdir -p "$1"
debootstrap --variant=minbase --include="$2" bookworm "$1" $3
cp /etc/resolv.conf "$1/etc/resolv.conf"
cat >"$1/etc/apt/apt.conf.d/99trial" <<END
APT::Get::Assume-Yes "true";
APT::Install-Recommends "false";
END
mount --make-rprivate /
mount -t proc proc "$1/proc"
shift 3
for set; do chroot "$root" sh -c "apt-get -q --download-only install $set"; done
"""
_BEGIN: Final = r"""
mount --make-rprivate /
for group in "$@"; do [ ! -e "$group/cgroup.procs" ] || echo 0 >"$group/cgroup.procs"; done
mount -t tmpfs -o mode=755 machine "$1"
mount -t tmpfs -o mode=755 run /run
mkdir "$1/changes" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/changes,workdir=$1/work" "$1/root"
mkdir -p "$1/root$4"
exec systemd-nspawn --quiet --register=no --keep-unit --private-network --resolv-conf=off \
    --link-journal=no --console=pipe --machine=trial --bind-ro="$3:$4" --directory="$1/root" --boot
"""


def base(sets: Sequence[str]) -> Path:
    """The folder of the system that machines begin with.

    :param sets: of Debian packages that are to be installed on machines, each with spaces between.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "browserid-sasl" / "debian12"
    made_for, stamp = "\n".join((_SYSTEM, *sets)), folder.with_suffix(".made-for")
    if not stamp.exists() or stamp.read_text() != made_for:
        stamp.unlink(missing_ok=True)
        arguments = (str(folder), _SYSTEM, os.environ.get("DEBIAN12_MIRROR", ""), *sets)
        command = ("unshare", "--mount", "sh", "-euc", f"root=$1\n{_MAKE}", "sh", *arguments)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder.with_suffix(".log").open("w") as log:
            subprocess.run(command, stdout=log, stderr=log, timeout=1800, check=True)
        stamp.write_text(made_for)
    return folder


@contextmanager
def debian12(base: Path, packages: Path) -> Iterator[Machine]:
    """A machine, until the end of the block.

    :param base: the folder of the system that it begins with.
    :param packages: a folder that it sees as `PACKAGES`.
    """
    with tempfile.TemporaryDirectory(prefix="browserid-debian12-") as folder:
        spaces = ("--mount", "--net", "--pid", "--mount-proc", "--fork", "--kill-child")
        groups = _own_groups(Path(folder).name)
        arguments = (folder, str(base), str(packages), PACKAGES, *map(str, groups))
        command = ("unshare", *spaces, "sh", "-euc", _BEGIN, "sh", *arguments)
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
        )
        try:
            wait_until(lambda: _systemd_of(process.pid), "systemd's start")
            made = Machine(_systemd_of(process.pid), folder)
            made.path(HOME).mkdir(mode=0o700)
            made.wait_for("systemctl is-active multi-user.target")
            yield made
        finally:
            process.kill()
            process.wait()
            for group in groups:
                wait_until(partial(_is_removed, group), f"the end of {group}")


def _own_groups(name: str) -> list[Path]:
    """New control groups, in each hierarchy that systemd uses: it makes more below them."""
    hierarchies = [_GROUPS / name for name in ("", "systemd", "unified")]
    found = [each for each in hierarchies if (each / "cgroup.procs").exists()]
    made = [each / name for each in found]
    for group in made:
        group.mkdir()
    return made


def _is_removed(group: Path) -> bool:
    """Remove a control group, if nothing is left in it."""
    try:
        for folder, _, _ in os.walk(group, topdown=False):
            os.rmdir(folder)
    except OSError:
        return False
    return True


def _systemd_of(pid: int) -> int:
    """The process that is systemd among those that one has started; 0 as long as there is none."""
    with suppress(OSError):  # one may end while it is looked at
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with suppress(OSError):
                if os.readlink(f"/proc/{child}/exe") == "/usr/lib/systemd/systemd":
                    return int(child)
            if found := _systemd_of(int(child)):
                return found
    return 0
