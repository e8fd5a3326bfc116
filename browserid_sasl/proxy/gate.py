"""Who may come in on loopback: the right account of the machine, and the right password."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Final

from browserid_sasl.proxy.accounts import Account, is_same_name
from browserid_sasl.proxy.credentials import Credentials
from browserid_sasl.proxy.failures import WrongPasswordError

_FIRST_DELAY_S: Final = 0.5
LONGEST_DELAY_S: Final = 8
_FORGIVEN_S: Final = 300.0

_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


class Gate:
    """Judges the passwords of all accounts, and slows down who guesses.

    :param sleep: waits so many s.
    :param clock: s, monotonic.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._wrong: dict[str, tuple[int, float]] = {}

    async def check(self, account: Account, password: str, given: Credentials) -> None:
        """Judge a login. The right one never waits, whatever others have tried.

        :param password: the account's.
        :raises WrongPasswordError: it is not the account's name and password.
        """
        # Both are looked at in any case: the answer's time tells nothing of either.
        right = _is_equal(given.password, password)
        named = any(is_same_name(given.user, each) for each in (account.name, account.identity))
        acts = given.authzid in ("", given.user, account.authzid)
        if not (right and named and acts):
            await self._sleep(self._delay(account.name))
            raise WrongPasswordError(account.name)

    def _delay(self, name: str) -> float:
        count, last = self._wrong.get(name, (0, 0.0))
        now = self._clock()
        count = count if now < last + _FORGIVEN_S else 0
        self._wrong[name] = count + 1, now
        return min(_FIRST_DELAY_S * 2.0 ** min(count, 10), LONGEST_DELAY_S)


def _is_equal(one: str, other: str) -> bool:
    digests = (hashlib.sha256(each.encode(errors="replace")).digest() for each in (one, other))
    return hmac.compare_digest(*digests)


def is_own(connection: socket.socket) -> bool:
    """Whether the other end of a connection on loopback belongs to this account of the machine.

    Where the kernel does not say (there is no /proc), the password alone decides. A connection that
    it does not list is gone already.
    """
    tables = [each for each in _TABLES if each.exists()]
    if not tables:
        return True
    try:
        wanted = {_pair(connection, mapped=mapped) for mapped in (False, True)}
    except OSError:
        return False
    own = str(os.geteuid()).encode()
    for table in tables:
        for line in table.read_bytes().splitlines()[1:]:
            fields = line.split()
            if (fields[1], fields[2]) in wanted:
                return fields[7] == own
    return False


def _pair(connection: socket.socket, *, mapped: bool) -> tuple[bytes, bytes]:
    """The addresses as /proc/net has them for the other end: its own, then ours."""
    other, ours = connection.getpeername(), connection.getsockname()
    return _as_listed(other, mapped=mapped), _as_listed(ours, mapped=mapped)


def _as_listed(address: tuple[str, int], *, mapped: bool) -> bytes:
    host = ip_address(address[0])
    if mapped and host.version == 4:
        host = IPv6Address(f"::ffff:{host}")
    words = [host.packed[at : at + 4] for at in range(0, len(host.packed), 4)]
    # The kernel prints each word as a number of this machine's.
    numbers = "".join(f"{socket.ntohl(int.from_bytes(word, 'big')):08X}" for word in words)
    return f"{numbers}:{address[1]:04X}".encode()
