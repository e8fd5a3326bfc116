"""Keys in the desktop's keyring, and what happens where it does not work."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from browserid_sasl.agent import keyring
from browserid_sasl.agent.credential import AgentCredentialSource
from browserid_sasl.agent.keyring import Keyring, KeyringIdentityStore, has_bus
from browserid_sasl.agent.naming import SignInRequiredError
from browserid_sasl.api import CLIENT_DATABASE, initiator_stores
from browserid_sasl.config import load
from browserid_sasl.identity.ports import IdentityRecord
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.store import open_initiator
from browserid_sasl.store.memory import MemoryIdentityStore
from tests.support import keyrings

KEY = PrivateKey.generate("ES256")
RECORD = IdentityRecord("alice@example.org", KEY.to_pem(), "certificate", 5_000, "secret", 9_000)
PATIENT = 60.0
"""Seconds: what works on a busy machine too."""


@pytest.fixture(autouse=True)
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A keyring that works, and the file it keeps its secrets in."""
    return keyrings.use(monkeypatch.setenv, tmp_path)


def wrapped(
    inner: MemoryIdentityStore, *, use: bool = True, limit: float = PATIENT
) -> KeyringIdentityStore:
    return KeyringIdentityStore(inner, Keyring(limit), "here", use=use)


class TestWorking:
    def test_secrets_are_in_the_keyring_and_nowhere_else(self, backend: Path) -> None:
        inner = MemoryIdentityStore()
        outer = wrapped(inner)
        outer.put(RECORD)
        assert inner.get(RECORD.identity) == replace(RECORD, private_key_pem=b"", renewal="")
        assert "PRIVATE KEY" in backend.read_text()
        assert outer.get(RECORD.identity) == RECORD
        # Another process has to ask for them.
        assert wrapped(inner).get(RECORD.identity) == RECORD
        # It is found there when new ones go to the file, too.
        assert wrapped(inner, use=False).get(RECORD.identity) == RECORD

    def test_it_is_asked_once_for_a_certificate(
        self, backend: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        inner = MemoryIdentityStore()
        wrapped(inner).put(RECORD)
        outer = wrapped(inner)
        assert outer.get(RECORD.identity) == RECORD
        keyrings.choose(monkeypatch.setenv, "Broken")
        assert outer.get(RECORD.identity) == RECORD

    def test_signing_out_takes_them_away(self, backend: Path) -> None:
        inner = MemoryIdentityStore()
        outer = wrapped(inner)
        outer.put(RECORD)
        assert outer.delete(RECORD.identity)
        assert backend.read_text() == "{}"
        assert not outer.delete(RECORD.identity)

    def test_going_back_to_the_file_takes_them_away(self, backend: Path) -> None:
        inner = MemoryIdentityStore()
        wrapped(inner).put(RECORD)
        wrapped(inner, use=False).put(RECORD)
        assert inner.get(RECORD.identity) == RECORD
        assert backend.read_text() == "{}"

    def test_two_stores_do_not_share(self) -> None:
        first, second = MemoryIdentityStore(), MemoryIdentityStore()
        other = replace(RECORD, renewal="other")
        KeyringIdentityStore(first, Keyring(PATIENT), "first", use=True).put(RECORD)
        KeyringIdentityStore(second, Keyring(PATIENT), "second", use=True).put(other)
        found = KeyringIdentityStore(first, Keyring(PATIENT), "first", use=True)
        assert found.get(RECORD.identity) == RECORD

    @pytest.mark.option("client.keys")
    def test_the_configuration_says_where(
        self, tmp_path: Path, backend: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(keyring, "LIMIT_S", PATIENT)
        file = tmp_path / "browserid.toml"
        for keys, kept in (("file", KEY.to_pem()), ("keyring", b"")):
            file.write_text(
                f'[store]\ndirectory = "{tmp_path}/{keys}"\n[client]\nkeys = "{keys}"\n'
            )
            stores = initiator_stores(load(file))
            stores.identities.put(RECORD)
            assert stores.identities.get(RECORD.identity) == RECORD
            plain = open_initiator(tmp_path / keys / CLIENT_DATABASE).identities
            record = plain.get(RECORD.identity)
            assert record is not None and record.private_key_pem == kept


class TestNotWorking:
    @pytest.mark.parametrize("name", ["Locked", "Broken", "Forgetful", "Absent"])
    def test_keys_stay_in_the_file_and_one_line_says_so(
        self, name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        keyrings.choose(monkeypatch.setenv, name)
        inner = MemoryIdentityStore()
        outer = wrapped(inner)
        for _ in range(3):
            outer.put(RECORD)
        assert inner.get(RECORD.identity) == outer.get(RECORD.identity) == RECORD
        said = capfd.readouterr()
        assert said.err.count("keyring") == 1
        assert "PRIVATE" not in said.out + said.err

    def test_one_that_hangs_costs_its_limit_once(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        keyrings.choose(monkeypatch.setenv, "Hanging")
        inner = MemoryIdentityStore()
        outer = wrapped(inner, limit=1.0)
        began = time.monotonic()
        for _ in range(20):
            outer.put(RECORD)
        assert time.monotonic() - began < 15
        assert inner.get(RECORD.identity) == RECORD
        assert capfd.readouterr().err.count("keyring") == 1

    def test_three_seconds_are_its_limit(self) -> None:
        assert keyring.LIMIT_S == 3.0

    @pytest.mark.parametrize("address", ["", "autolaunch:"])
    def test_no_bus_is_started(
        self, address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        started = tmp_path / "started"
        program = tmp_path / "program"
        program.write_text(f"#!/bin/sh\ntouch {started}\n")
        program.chmod(0o755)
        monkeypatch.setattr("sys.executable", str(program))
        inner = MemoryIdentityStore()
        wrapped(inner).put(RECORD)
        assert inner.get(RECORD.identity) == RECORD
        assert not started.exists()
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
        wrapped(inner).put(RECORD)
        assert started.exists()
        assert not has_bus({"DBUS_SESSION_BUS_ADDRESS": address})
        assert has_bus({"DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/user/1000/bus"})

    def test_a_key_that_it_does_not_give_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        inner = MemoryIdentityStore()
        wrapped(inner).put(RECORD)
        keyrings.choose(monkeypatch.setenv, "Locked")
        source = AgentCredentialSource(wrapped(inner), "", lambda: 0)
        assert source.identity == RECORD.identity
        with pytest.raises(SignInRequiredError, match="is in the keyring") as raised:
            source.assertion(b"{}")
        assert "unlock the keyring" in raised.value.remedy

    def test_what_it_gives_may_be_nonsense(self, backend: Path) -> None:
        inner = MemoryIdentityStore()
        wrapped(inner).put(RECORD)
        for nonsense in ("", "[]", "{}", '{"key": 1, "renewal": ""}'):
            text = backend.read_text()
            name = next(iter(json.loads(text)))
            backend.write_text(json.dumps({name: nonsense}))
            assert wrapped(inner).get(RECORD.identity) is None
