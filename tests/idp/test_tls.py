"""The private authority: what it certifies, and what it could not."""

from __future__ import annotations

import ipaddress
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from browserid_sasl.errors import ConfigurationError
from browserid_sasl.idp.tls import LocalTls

DAY = 24 * 3_600_000
NOW = 1_795_282_504_224


@pytest.fixture
def tls(tmp_path: Path) -> LocalTls:
    tls = LocalTls(tmp_path / "tls")
    tls.create("example.test", NOW)
    return tls


def test_a_new_authority_certifies_the_server_anew(tls: LocalTls) -> None:
    (tls.anchor.parent / "authority.pem").unlink()
    assert tls.create("example.test", NOW)
    assert not tls.create("example.test", NOW)
    load(tls.server).verify_directly_issued_by(load(tls.anchor))


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_the_server_is_the_domain_and_this_machine(tls: LocalTls) -> None:
    names = load(tls.server).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["example.test", "localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("127.0.0.1"),
        ipaddress.ip_address("::1"),
    ]


def test_the_authority_signed_it(tls: LocalTls) -> None:
    load(tls.server).verify_directly_issued_by(load(tls.anchor))
    key = load_pem_private_key(tls.server.read_bytes(), None)
    assert key.public_key() == load(tls.server).public_key()


def test_the_authority_can_vouch_for_nothing_else(tls: LocalTls) -> None:
    extensions = load(tls.anchor).extensions
    constraints = extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    permitted = constraints.value.permitted_subtrees or []
    assert [name.value for name in permitted] == [
        "example.test",
        "localhost",
        ipaddress.ip_network("127.0.0.0/8"),
        ipaddress.ip_network("::1/128"),
    ]
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0


def test_only_the_anchor_is_for_others_to_read(tls: LocalTls, tmp_path: Path) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "tls").iterdir()}
    assert modes == {"authority.pem": 0o600, "server.pem": 0o600, "ca.pem": 0o644}
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700
    assert b"PRIVATE" not in tls.anchor.read_bytes()


def test_what_is_there_is_kept(tls: LocalTls) -> None:
    before = tls.server.read_bytes(), tls.anchor.read_bytes()
    tls.create("example.test", NOW + 300 * DAY)
    assert (tls.server.read_bytes(), tls.anchor.read_bytes()) == before


def test_a_server_certificate_about_to_expire_is_renewed(tls: LocalTls) -> None:
    anchor = tls.anchor.read_bytes()
    tls.create("example.test", NOW + 380 * DAY)
    assert tls.anchor.read_bytes() == anchor
    renewed = datetime.fromtimestamp((NOW + 380 * DAY) / 1000, UTC)
    assert load(tls.server).not_valid_after_utc > renewed
    load(tls.server).verify_directly_issued_by(load(tls.anchor))


@pytest.mark.parametrize("missing", ["ca.pem", "server.pem"])
def test_what_an_interruption_left_out_is_made(tls: LocalTls, missing: str) -> None:
    (tls.anchor.parent / missing).unlink()
    tls.create("example.test", NOW)
    load(tls.server).verify_directly_issued_by(load(tls.anchor))


def test_a_damaged_authority_is_not_replaced_in_silence(tls: LocalTls) -> None:
    (tls.anchor.parent / "authority.pem").write_bytes(b"not PEM")
    with pytest.raises(ConfigurationError, match=r"authority\.pem is damaged") as raised:
        tls.create("example.test", NOW)
    assert "remove it" in raised.value.remedy


def test_a_long_domain_fits(tmp_path: Path) -> None:
    tls = LocalTls(tmp_path / "tls")
    tls.create(".".join(["a" * 60] * 4), NOW)
    load(tls.server).verify_directly_issued_by(load(tls.anchor))
