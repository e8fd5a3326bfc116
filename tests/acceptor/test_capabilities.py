"""What a unit gives the acceptor of root's rights, and how it gives them up."""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path

import pytest

from browserid_sasl.acceptor import capabilities
from browserid_sasl.acceptor.accounts import Account, acting_as, become
from tests.support.forks import in_child

NONE = "0" * 16
NOBODY = 65534
ACCOUNT = Account("somebody", NOBODY, NOBODY)


def held(kind: str) -> str:
    """This process's capabilities, in hexadecimal."""
    status = Path("/proc/self/status").read_text()
    found: list[str] = re.findall(rf"^Cap{kind}:\s*(\S+)$", status, re.MULTILINE)
    return found[0]


def keep_capabilities() -> None:
    """Be an account that is not root, with all that root may: what a unit does with a few."""
    keep, ambient, both = 8, 47, capabilities._Words()
    libc, header = capabilities._libc, capabilities._Header(0x20080522, 0)
    libc.prctl(keep, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    libc.capget(ctypes.byref(header), both)
    both[0] = both[2] = both[1]
    libc.capset(ctypes.byref(header), both)
    libc.prctl(ambient, 2, 0, 0, 0)


pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has any")


def test_they_are_given_up_for_good() -> None:
    def child() -> str:
        keep_capabilities()
        assert held("Eff") != NONE
        become(ACCOUNT)
        return " ".join(held(kind) for kind in ("Inh", "Prm", "Eff", "Amb"))

    assert in_child(child) == " ".join([NONE] * 4)


def test_they_take_no_effect_in_the_accounts_own_folders(tmp_path: Path) -> None:
    """As with root: what is there may be put there to have another file opened."""
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    tmp_path.chmod(0o711)

    def child() -> str:
        keep_capabilities()
        with acting_as(ACCOUNT):
            try:
                return secret.read_text()
            except PermissionError:
                pass
        return f"refused, and then {secret.read_text()}"

    assert in_child(child) == "refused, and then x"


def test_who_has_none_has_nothing_to_give_up() -> None:
    def child() -> str:
        with acting_as(ACCOUNT):
            pass
        become(ACCOUNT)
        return held("Eff")

    assert in_child(child, NOBODY) == NONE
