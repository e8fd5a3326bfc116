"""Linux capabilities (capabilities(7)), which a unit may give to a service that is not root.

They are a thread's: what is called here is called while there is one.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_VERSION_3: Final = 0x20080522
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4

_Words = ctypes.c_uint32 * 6
"""Effective, permitted and inheritable ones, twice: the lower 32 and the upper 32."""

_libc: Final = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


def give_up() -> None:
    """Be without capabilities from now on.

    :raises OSError: if that is not possible.
    """
    _succeed(_libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
    _set(_Words())


@contextmanager
def do_without() -> Iterator[None]:
    """Have no capability take effect within the block.

    :raises OSError: if that is not possible.
    """
    before = _Words()
    _succeed(_libc.capget(ctypes.byref(_Header(_VERSION_3, 0)), before))
    _, permitted, inheritable, _, permitted_above, inheritable_above = before
    _set(_Words(0, permitted, inheritable, 0, permitted_above, inheritable_above))
    try:
        yield
    finally:
        _set(before)


def _set(words: ctypes.Array[ctypes.c_uint32]) -> None:
    _succeed(_libc.capset(ctypes.byref(_Header(_VERSION_3, 0)), words))


def _succeed(status: int) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
