"""Files of other accounts, and programs that run as one, without being root."""

from __future__ import annotations

import os
import stat

import pytest


def pretend_account(monkeypatch: pytest.MonkeyPatch, uid: int, gid: int | None = None) -> None:
    """Have this process run as an account, with a group of its own if none is given."""
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(os, "getegid", lambda: uid if gid is None else gid)


def pretend_status(monkeypatch: pytest.MonkeyPatch, *, mode: int, uid: int, gid: int) -> None:
    """Have every open file belong to somebody, with a mode."""
    real = os.fstat

    def pretended(descriptor: int) -> os.stat_result:
        fields = list(real(descriptor))
        fields[stat.ST_MODE] = stat.S_IFREG | mode
        fields[stat.ST_UID], fields[stat.ST_GID] = uid, gid
        return os.stat_result(fields)

    monkeypatch.setattr(os, "fstat", pretended)
