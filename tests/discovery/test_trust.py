"""TLS contexts: one for each file of trust anchors, as long as the file is the same."""

from __future__ import annotations

import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trustme

from browserid_sasl.discovery import trust
from browserid_sasl.discovery.trust import tls_context
from browserid_sasl.errors import Code, DiscoveryError
from browserid_sasl.x509.files import SYSTEM_BUNDLE
from tests.support.forks import in_child
from tests.support.https import answer, scripted_server
from tests.support.network import DOMAIN, PUBLIC, Network, fetcher
from tests.support.refusal import refused


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The files for which contexts are made during a test."""
    files: list[object] = []
    make = ssl.create_default_context

    def counting(*arguments: Any, **named: Any) -> ssl.SSLContext:
        files.append(named.get("cadata"))
        return make(*arguments, **named)

    monkeypatch.setattr(ssl, "create_default_context", counting)
    monkeypatch.setattr(trust._contexts.get(), "made", {})
    return files


@pytest.mark.parametrize("system", [True, False])
def test_one_is_made_for_all_threads(made: list[object], ca_file: Path, system: bool) -> None:
    anchors = None if system else ca_file
    with ThreadPoolExecutor(50) as pool:
        contexts = set(pool.map(lambda _: tls_context(anchors), range(200)))
    assert len(contexts) == 1
    assert made == [None if system else ca_file.read_text()]


def test_each_file_has_its_own(made: list[object], ca_file: Path) -> None:
    assert tls_context(ca_file) is not tls_context(None)


def test_it_verifies_servers_by_name(ca_file: Path) -> None:
    for anchors in (ca_file, None):
        context = tls_context(anchors)
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert not context.hostname_checks_common_name


def test_a_file_that_was_replaced_counts_at_once(
    ca_file: Path, certificate: trustme.LeafCert, tmp_path: Path
) -> None:
    anchors = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(anchors))
    with scripted_server(certificate, answer()) as server:
        own = fetcher(anchors, Network(server.port, {DOMAIN: [PUBLIC]}))
        with refused(Code.HTTP_ERROR, "cannot prove who it is"):
            own.fetch(DOMAIN, DOMAIN)
        (tmp_path / "new.pem").write_bytes(ca_file.read_bytes())
        (tmp_path / "new.pem").replace(anchors)
        assert own.fetch(DOMAIN, DOMAIN).body == b"{}"


def test_a_file_that_was_repaired_too(ca_file: Path, tmp_path: Path) -> None:
    anchors = tmp_path / "ca.pem"
    with refused(Code.HTTP_ERROR, "trust anchors", kind=DiscoveryError):
        tls_context(anchors)
    anchors.write_bytes(ca_file.read_bytes())
    assert tls_context(anchors) is tls_context(anchors)


def test_what_others_can_write_is_not_believed(ca_file: Path, tmp_path: Path) -> None:
    anchors, link = tmp_path / "ca.pem", tmp_path / "link.pem"
    anchors.write_bytes(ca_file.read_bytes())
    link.symlink_to(anchors)
    assert tls_context(link).get_ca_certs() != []
    anchors.chmod(0o646)
    for path in (anchors, link):
        with refused(Code.HTTP_ERROR, "others can write", kind=DiscoveryError) as caught:
            tls_context(path)
        assert f"chmod go-w {path}" in caught.value.remedy
    anchors.chmod(0o644)
    assert tls_context(link).get_ca_certs() != []


def test_the_systems_bundle_can_be_named() -> None:
    assert len(tls_context(SYSTEM_BUNDLE).get_ca_certs()) > 10


def test_a_forked_child_makes_its_own(ca_file: Path) -> None:
    tls_context(ca_file)
    with trust._contexts.get().lock:
        assert in_child(lambda: str(tls_context(ca_file).check_hostname)) == "True"
