"""How programs that start no Python learn that somebody has signed in."""

from __future__ import annotations

from pathlib import Path

import pytest

from browserid_sasl.agent import presence
from browserid_sasl.errors import StoreError
from browserid_sasl.identity.ports import IdentityRecord, IdentityStore
from browserid_sasl.store.sqlite import open_initiator
from tests.support.tickets import identity_record


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "client.db"


@pytest.fixture
def identities(file: Path) -> IdentityStore:
    return open_initiator(file).identities


def links(home: Path) -> list[Path]:
    """Those that lead somewhere."""
    return [
        link for link in home.glob(".local/share/browserid/signed-in/*") if link.resolve().is_file()
    ]


def test_each_store_with_an_identity_has_a_link(
    home: Path, file: Path, identities: IdentityStore
) -> None:
    identities.put(identity_record())
    for _ in range(2):
        presence.tell(identities, file)
        assert [link.resolve() for link in links(home)] == [file]
    other = open_initiator(file.with_name("other.db")).identities
    other.put(identity_record())
    presence.tell(other, file.with_name("other.db"))
    assert len(links(home)) == 2


def test_the_last_that_goes_takes_the_link(
    home: Path, file: Path, identities: IdentityStore
) -> None:
    for identity in ("alice@example.org", "bob@example.org"):
        identities.put(identity_record(identity=identity))
    presence.tell(identities, file)
    identities.delete("alice@example.org")
    presence.tell(identities, file)
    assert links(home)
    identities.delete("bob@example.org")
    for _ in range(2):
        presence.tell(identities, file)
        assert not links(home)


def test_a_certificate_that_has_expired_counts_and_a_key_without_does_not(
    home: Path, file: Path, identities: IdentityStore
) -> None:
    identities.put(IdentityRecord("alice@example.org", b"pem", "", 0))
    presence.tell(identities, file)
    assert not links(home)
    identities.put(identity_record(expires=1))
    presence.tell(identities, file)
    assert links(home)


def test_the_folder_is_private(home: Path, file: Path, identities: IdentityStore) -> None:
    identities.put(identity_record())
    presence.tell(identities, file)
    assert (home / ".local/share/browserid/signed-in").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_made_is_told(
    home: Path, file: Path, identities: IdentityStore
) -> None:
    identities.put(identity_record())
    home.write_text("no folder")
    with pytest.raises(StoreError, match="signed-in"):
        presence.tell(identities, file)
