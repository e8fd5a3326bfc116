"""The files of stores, as something has left them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from browserid_sasl.identity.ports import CachedDocument
from browserid_sasl.store import open_acceptor, open_initiator
from fuzz.target import Target
from tests.support.tickets import NOW, acceptor_ticket, identity_record, initiator_ticket

_DOCUMENT: Final = CachedDocument(b'{"public-key": {}}', NOW)


def _file(fill: Callable[[Path], None]) -> bytes:
    """The file that is there after everything is closed."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        fill(path)
        return path.read_bytes()


def _fill_acceptor(path: Path) -> None:
    stores = open_acceptor(path)
    for number in range(5):
        stores.replay.insert(bytes([number] * 32), NOW)
        stores.tickets.put(acceptor_ticket(attributes={"groups": ["staff"] * number}))
    stores.authorities.put("example.org", _DOCUMENT)
    stores.close()


def _fill_initiator(path: Path) -> None:
    stores = open_initiator(path)
    stores.tickets.put(initiator_ticket())
    stores.identities.put(identity_record())
    stores.authorities.put("example.org", _DOCUMENT)
    stores.close()


def _open(octets: bytes, read: Callable[[Path], None]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        path.write_bytes(octets)
        path.chmod(0o600)
        read(path)


def _read_acceptor(path: Path) -> None:
    stores = open_acceptor(path)
    try:
        stores.replay.insert(bytes(32), NOW)
        for ticket in stores.tickets.all(NOW):
            stores.tickets.get(ticket.tid, NOW)
        stores.authorities.all(NOW)
        stores.tickets.put(acceptor_ticket())
    finally:
        stores.close()


def _read_initiator(path: Path) -> None:
    stores = open_initiator(path)
    try:
        list(stores.tickets.all(NOW))
        stores.identities.all()
        stores.authorities.all(NOW)
        stores.identities.put(identity_record())
    finally:
        stores.close()


TARGETS: Final = (
    Target(
        "store-acceptor",
        lambda octets: _open(octets, _read_acceptor),
        lambda: (_file(_fill_acceptor),),
    ),
    Target(
        "store-initiator",
        lambda octets: _open(octets, _read_initiator),
        lambda: (_file(_fill_initiator),),
    ),
)
