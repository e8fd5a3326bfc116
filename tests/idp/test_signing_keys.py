"""Signing keys: which one signs, which are published, and for how long."""

from __future__ import annotations

import os
import stat
from multiprocessing import get_context
from pathlib import Path

import pytest

from browserid_sasl.errors import Code, ConfigurationError, LocalProtocolError, StoreError
from browserid_sasl.identity.certificate import Certificate
from browserid_sasl.identity.support import MAX_KEYS
from browserid_sasl.idp.key_folder import KeyFolder
from browserid_sasl.idp.signing_keys import Algorithm, SigningKeys
from tests.support.provider import ALICE, PASSWORD, RunningProvider

HOUR = 3_600_000
DAY = 24 * HOUR
GRACE = 300_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def keys(folder: Path) -> SigningKeys:
    keys = SigningKeys(KeyFolder(folder))
    keys.create("ES256", 0)
    return keys


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_key_is_made_once(folder: Path, algorithm: Algorithm) -> None:
    keys = SigningKeys(KeyFolder(folder))
    keys.create(algorithm, 0)
    first = keys.active(0)
    assert first.private_key.algorithm.name == algorithm
    keys.create("ES256", 1)
    assert SigningKeys(KeyFolder(folder)).active(2).name == first.name


def test_only_the_owner_can_read_them(folder: Path, keys: SigningKeys) -> None:
    keys.rotate(None, 1)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_a_new_key_signs_at_once_and_the_old_one_stays_published(keys: SigningKeys) -> None:
    old = keys.active(0)
    new = keys.rotate(None, HOUR)
    assert keys.active(HOUR).name == new.name
    assert keys.published(HOUR) == (
        new.private_key.public_key,
        old.private_key.public_key,
    )


def test_the_old_key_is_published_until_its_last_certificate_has_expired(
    keys: SigningKeys,
) -> None:
    new = keys.rotate(None, HOUR)
    assert len(keys.published(HOUR + DAY + GRACE - 1)) == 2
    assert keys.published(HOUR + DAY + GRACE) == (new.private_key.public_key,)


def test_the_file_of_a_key_that_nobody_needs_is_deleted(folder: Path, keys: SigningKeys) -> None:
    keys.rotate(None, HOUR)
    assert len(list(folder.glob("*.pem"))) == 2
    keys.rotate(None, 3 * DAY)
    assert len(list(folder.glob("*.pem"))) == 2
    assert len(keys.published(3 * DAY)) == 2


def test_a_key_can_be_announced_before_it_signs(keys: SigningKeys) -> None:
    old = keys.active(0)
    new = keys.rotate(None, 0, lead=HOUR)
    assert keys.active(HOUR - 1).name == old.name
    assert keys.published(0) == (old.private_key.public_key, new.private_key.public_key)
    assert keys.active(HOUR).name == new.name
    assert len(keys.published(HOUR + DAY + GRACE - 1)) == 2
    assert len(keys.published(HOUR + DAY + GRACE)) == 1


def test_a_key_that_was_announced_and_never_signed_gives_way(keys: SigningKeys) -> None:
    old = keys.active(0)
    announced = keys.rotate(None, 0, lead=HOUR)
    new = keys.rotate(None, 1)
    for now in (1, HOUR, DAY):
        assert keys.active(now).name == new.name
        assert announced.private_key.public_key not in keys.published(now)
        assert old.private_key.public_key in keys.published(now)


def test_keys_that_were_stolen_are_withdrawn_at_once(folder: Path, keys: SigningKeys) -> None:
    keys.rotate(None, 1)
    new = keys.rotate(None, 2, withdraw=True)
    assert keys.published(2) == (new.private_key.public_key,)
    assert [path.stem for path in folder.glob("*.pem")] == [new.name]


def test_a_new_key_is_of_the_old_ones_type_unless_said_otherwise(keys: SigningKeys) -> None:
    assert keys.rotate(None, 1).private_key.algorithm.name == "ES256"
    assert keys.rotate("RS256", 2).private_key.algorithm.name == "RS256"
    assert keys.rotate(None, 3).private_key.algorithm.name == "RS256"


def test_there_are_never_more_than_a_support_document_can_have(keys: SigningKeys) -> None:
    for now in range(1, MAX_KEYS):
        keys.rotate(None, now)
    with pytest.raises(LocalProtocolError) as raised:
        keys.rotate(None, MAX_KEYS)
    assert raised.value.code is Code.INVALID_KEYSET
    assert len(keys.published(MAX_KEYS)) == MAX_KEYS
    keys.rotate(None, 2 * DAY)


def test_another_process_notices_a_rotation(folder: Path, keys: SigningKeys) -> None:
    reader = SigningKeys(KeyFolder(folder))
    before = reader.active(0).name
    process = get_context("spawn").Process(target=_rotate, args=(folder,))
    process.start()
    process.join()
    assert reader.active(1).name != before


def _rotate(folder: Path) -> None:
    SigningKeys(KeyFolder(folder)).rotate(None, 1)


def test_what_an_interruption_left_is_cleared_away(folder: Path, keys: SigningKeys) -> None:
    (folder / "0123456789abcdef.pem").write_bytes(b"half a key")
    assert len(keys.published(0)) == 1
    keys.rotate(None, 1)
    assert not (folder / "0123456789abcdef.pem").exists()


def test_an_interruption_before_the_manifest_changes_nothing(
    folder: Path, keys: SigningKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys.published(0)

    def interrupted(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.replace", interrupted)
        with pytest.raises(ConfigurationError, match="No space left"):
            keys.rotate(None, 1)
    assert SigningKeys(KeyFolder(folder)).published(1) == before
    assert not [path for path in folder.iterdir() if path.name.startswith(".keys")]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"keys":5}', b'{"keys":[5]}', b'{"keys":[{}]}'])
def test_a_damaged_manifest_is_an_error(folder: Path, keys: SigningKeys, content: bytes) -> None:
    (folder / "keys.json").write_bytes(content)
    with pytest.raises(StoreError, match="cannot be read"):
        keys.active(0)


def test_no_keys_at_all_are_an_error(folder: Path) -> None:
    with pytest.raises(StoreError) as raised:
        SigningKeys(KeyFolder(folder)).active(0)
    assert "browserid-idp init" in raised.value.remedy


class TestWhatIsMissing:
    """`create` mends it, and says what it made."""

    def test_is_named(self, folder: Path, keys: SigningKeys) -> None:
        [key] = folder.glob("*.pem")
        key.rename(folder / "elsewhere")
        with pytest.raises(StoreError, match=f"{key} .No such file or directory.") as raised:
            SigningKeys(KeyFolder(folder)).active(0)
        assert "browserid-idp init" in raised.value.remedy
        (folder / "elsewhere").rename(key)
        (folder / "keys.json").unlink()
        with pytest.raises(StoreError, match=r"keys\.json .No such file or directory."):
            SigningKeys(KeyFolder(folder)).active(0)

    def test_is_named_when_it_is_damaged(self, folder: Path, keys: SigningKeys) -> None:
        [key] = folder.glob("*.pem")
        key.write_bytes(b"not a key")
        with pytest.raises(StoreError, match=f"{key} is damaged"):
            SigningKeys(KeyFolder(folder)).active(0)
        with pytest.raises(StoreError, match=f"{key} is damaged"):
            keys.create("ES256", 1)

    def test_nothing(self, folder: Path, keys: SigningKeys) -> None:
        before = (folder / "keys.json").read_bytes()
        assert keys.create("RS256", 1) is None
        assert (folder / "keys.json").read_bytes() == before

    def test_the_key_that_signs(self, folder: Path, keys: SigningKeys) -> None:
        old = keys.active(0)
        lost = keys.rotate(None, HOUR)
        (folder / f"{lost.name}.pem").unlink()
        made = keys.create("ES256", 2 * HOUR)
        assert made is not None
        again = SigningKeys(KeyFolder(folder))
        assert again.active(2 * HOUR).name == made.name
        assert again.published(2 * HOUR) == (
            made.private_key.public_key,
            old.private_key.public_key,
        )

    def test_a_key_that_has_signed(self, folder: Path, keys: SigningKeys) -> None:
        old = keys.active(0)
        present = keys.rotate(None, HOUR)
        (folder / f"{old.name}.pem").unlink()
        assert keys.create("ES256", 2 * HOUR) is None
        assert SigningKeys(KeyFolder(folder)).published(2 * HOUR) == (
            present.private_key.public_key,
        )

    def test_the_manifest(self, folder: Path, keys: SigningKeys) -> None:
        old = keys.active(0)
        present = keys.rotate(None, HOUR)
        os.utime(folder / f"{old.name}.pem", (1, 1))
        (folder / "keys.json").unlink()
        assert SigningKeys(KeyFolder(folder)).create("RS256", 2 * HOUR) is None
        again = SigningKeys(KeyFolder(folder))
        assert again.active(2 * HOUR).name == present.name
        assert again.published(2 * HOUR + DAY) == (
            present.private_key.public_key,
            old.private_key.public_key,
        )
        assert len(again.published(3 * HOUR + DAY)) == 1

    def test_everything(self, folder: Path, keys: SigningKeys) -> None:
        for path in folder.iterdir():
            path.unlink()
        assert keys.create("RS256", 1) is not None
        assert SigningKeys(KeyFolder(folder)).active(1).algorithm == "RS256"


def test_a_private_key_is_in_no_representation(keys: SigningKeys) -> None:
    assert "PRIVATE" not in repr(keys.active(0))
    assert "d=" not in repr(keys.active(0))


def test_a_running_provider_takes_the_new_key_and_vouches_for_the_old(
    running: RunningProvider,
) -> None:
    request = {
        "email": ALICE,
        "password": PASSWORD,
        "public-key": running.provider.keys.published(0)[0].to_json(),
    }

    def certificate() -> Certificate:
        answer = running.post("/certify", json=request).json()
        return Certificate.parse(answer["certificate"])

    old = certificate()
    SigningKeys(KeyFolder(running.folder.path / "keys")).rotate("ES256", running.clock.now)
    new = certificate()
    document = running.get("/.well-known/browserid").json()
    active, previous = running.provider.keys.published(running.clock.now)
    assert document["public-key"] == active.to_json()
    assert document["keys"] == [active.to_json(), previous.to_json()]
    new.jwt.verify(active)
    old.jwt.verify(previous)
