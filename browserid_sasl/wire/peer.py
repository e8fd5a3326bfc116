"""Who is at the other end of a Unix socket (unix(7), SO_PEERCRED)."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import Final

_UCRED: Final = struct.Struct("iII")


@dataclass(frozen=True, slots=True)
class Peer:
    """A program as the kernel knows it.

    :param pid: its process when it connected.
    :param uid: its account.
    """

    pid: int
    uid: int

    def __str__(self) -> str:
        return f"{self.pid}/{self.uid}"


def peer_of(connection: socket.socket) -> Peer:
    """The program at the other end.

    :raises OSError: if the kernel does not say.
    """
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, _ = _UCRED.unpack(data)
    return Peer(pid, uid)
