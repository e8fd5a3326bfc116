"""What a login costs the acceptor, for BROWSERID-AES128 with RSA keys of 2048 bits.

* An initial login, beside the same primitives called directly through `cryptography`: the
  provider's and the user's key loaded and one signature verified with each, a P-256 key made, the
  peer's point loaded and the secret agreed on, the HMACs, and one durable insert into SQLite.
* A re-authentication, with 1,000 and with 1,000,000 assertions in the replay store, beside its own
  primitives: the HMACs, one row looked up and two inserted.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hmac import HMAC

from bench.measure import WARM_UP, in_turns, verdict
from bench.store import filled
from browserid_sasl import store
from browserid_sasl.api import SYSTEM
from browserid_sasl.gss.acceptor import Acceptor, AcceptorOptions, ExchangeStores
from browserid_sasl.gss.states import AcceptorState
from browserid_sasl.identity.authority import AuthorityResolver
from browserid_sasl.identity.verifier import Verifier
from tests.support.world import IMAP, Clock, World, exchange

ROUNDS: Final = 60
CALLS: Final = 10
"""Logins that are timed together, as a server sees them one after the other."""
FEW: Final = 1_000
MANY: Final = 1_000_000

INITIAL_TARGET: Final = 1.6
"""Times the bare cost."""
REAUTHENTICATION_TARGET: Final = 3.7
"""Times the bare cost: what it was before there was an acceptor, and what medians differ by."""
GROWTH_TARGET: Final = 1.1
"""With many entries, times the cost with few: no slower, but for what medians differ anyway."""

HMACS: Final = 4
"""Keys for the response, the ticket and the context are derived, and the first of them signs."""
REAUTHENTICATION_HMACS: Final = 6
"""The ticket's key verifies and gives the session's, from which the same four follow."""


def run() -> list[str]:
    """Measure, and give the table as lines of text."""
    with (
        TemporaryDirectory() as folder,
        closing(filled(Path(folder, "few.db"), FEW)) as few_entries,
        closing(filled(Path(folder, "many.db"), MANY)) as many_entries,
        closing(BareStore(Path(folder, "bare.db"))) as bare_store,
    ):
        few, many = Service(few_entries), Service(many_entries)
        actions: dict[str, Callable[[], None]] = {
            "initial": few.logins(),
            "bare": BarePrimitives(bare_store),
            "bare by ticket": lambda: by_ticket(bare_store),
            "few": few.reauthentications(),
            "many": many.reauthentications(),
        }
        batches = in_turns({name: _repeated(actions[name]) for name in actions}, ROUNDS)
    times = {name: time / CALLS for name, time in batches.items()}
    ratio = times["initial"] / times["bare"]
    again = times["few"] / times["bare by ticket"]
    growth = times["many"] / times["few"]
    return [
        "login with BROWSERID-AES128 and RSA-2048, the acceptor's CPU time",
        f"{'initial login':<42} {times['initial']:>8.3f} ms",
        f"{'  bare primitives':<42} {times['bare']:>8.3f} ms",
        verdict(
            "  ratio", f"{ratio:.2f}", f"{INITIAL_TARGET} at most", met=ratio <= INITIAL_TARGET
        ),
        f"{f're-authentication, {FEW:,} entries':<42} {times['few']:>8.3f} ms",
        f"{f're-authentication, {MANY:,} entries':<42} {times['many']:>8.3f} ms",
        f"{'  bare primitives':<42} {times['bare by ticket']:>8.3f} ms",
        verdict(
            "  ratio",
            f"{again:.2f}",
            f"{REAUTHENTICATION_TARGET} at most",
            met=again <= REAUTHENTICATION_TARGET,
        ),
        verdict(
            "  many entries beside few",
            f"{growth:.2f}",
            f"{GROWTH_TARGET} at most",
            met=growth <= GROWTH_TARGET,
        ),
    ]


def _repeated(action: Callable[[], None]) -> Callable[[], None]:
    def repeat() -> None:
        for _ in range(CALLS):
            action()

    return repeat


class Service:
    """A server with a store of its own, and a person who logs in to it.

    :param stores: the server's.
    """

    def __init__(self, stores: store.AcceptorStores) -> None:
        self._world = World(clock=Clock(SYSTEM.clock()))
        self._stores = ExchangeStores(stores.replay, stores.tickets, stores.admission)
        self._verifier = Verifier(AuthorityResolver(self._world.provider, stores.authorities))
        self._options = AcceptorOptions((IMAP,))

    def logins(self) -> Callable[[], None]:
        """Accepts one initial login at each call."""
        return self._accepting(self._tokens())

    def reauthentications(self) -> Callable[[], None]:
        """Accepts one re-authentication at each call, all by the same ticket."""
        exchange(self._world.initiator(), self._acceptor())
        return self._accepting(self._tokens())

    def _tokens(self) -> list[bytes | None]:
        return [self._world.initiator().step() for _ in range((ROUNDS + WARM_UP) * CALLS)]

    def _accepting(self, tokens: list[bytes | None]) -> Callable[[], None]:
        pending = iter(tokens)

        def accept() -> None:
            acceptor = self._acceptor()
            acceptor.step(next(pending) or b"")
            if acceptor.state is not AcceptorState.ESTABLISHED:
                raise RuntimeError(f"a login was refused: {acceptor.failure}")

        return accept

    def _acceptor(self) -> Acceptor:
        world = self._world
        return Acceptor(
            *(world.mechanism, self._options, self._verifier, self._stores, world.environment),
            allow=lambda address: None,
        )


class BareStore:
    """A table in SQLite in which an insert survives the process.

    :param path: of its file.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
            "CREATE TABLE seen (digest BLOB PRIMARY KEY, not_after INTEGER) WITHOUT ROWID;"
        )

    def insert(self) -> None:
        """Insert one entry."""
        entry = (os.urandom(32), 1)
        self._connection.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", entry)

    def look_up(self) -> None:
        """Look for an entry that is not there."""
        statement = "SELECT * FROM seen WHERE digest = ?"
        self._connection.execute(statement, (os.urandom(32),)).fetchone()

    def close(self) -> None:
        """Close its file."""
        self._connection.close()


@dataclass(frozen=True)
class Signed:
    """A signature, and the numbers of the key that made it."""

    numbers: rsa.RSAPublicNumbers
    message: bytes
    signature: bytes

    @classmethod
    def make(cls, size: int) -> Signed:
        """A message of so many octets, signed with a new key."""
        key = rsa.generate_private_key(65537, 2048)
        message = os.urandom(size)
        signature = key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        return cls(key.public_key().public_numbers(), message, signature)

    def verify(self) -> None:
        """Load the key and verify."""
        key = self.numbers.public_key()
        key.verify(self.signature, self.message, padding.PKCS1v15(), hashes.SHA256())


class BarePrimitives:
    """The cryptography of one initial login, and the insert."""

    def __init__(self, bare_store: BareStore) -> None:
        self._store = bare_store
        # About as long as a certificate and an assertion.
        self._signed = [Signed.make(700), Signed.make(450)]
        self._point = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()

    def __call__(self) -> None:
        """Do it all once."""
        for signed in self._signed:
            signed.verify()
        key = ec.generate_private_key(ec.SECP256R1())
        secret = key.exchange(ec.ECDH(), self._point.public_key())
        _authenticate(secret, self._signed[0].message, HMACS)
        self._store.insert()


def by_ticket(bare_store: BareStore) -> None:
    """The cryptography of one re-authentication, one look into the store and two inserts."""
    secret = message = os.urandom(32)
    bare_store.look_up()
    _authenticate(secret, message, REAUTHENTICATION_HMACS)
    bare_store.insert()
    bare_store.insert()


def _authenticate(secret: bytes, message: bytes, times: int) -> None:
    for _ in range(times):
        mac = HMAC(secret, hashes.SHA256())
        mac.update(message)
        mac.finalize()


if __name__ == "__main__":
    print("\n".join(run()))
