"""X.509 certificates that peers send."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from browserid_sasl.sasl.channel_binding import tls_server_end_point
from fuzz.target import Target
from tests.support.exchanges import root, server_certificate, server_trust
from tests.support.world import IMAP, START


def _certificates() -> Iterator[bytes]:
    for algorithm in ("ES256", "RS256"):
        yield server_certificate(algorithm).der


def _verify_issuer(octets: bytes) -> None:
    server_trust().verify((server_certificate().der, octets), IMAP, START)


TARGETS: Final = (
    Target(
        "x509-server",
        lambda octets: server_trust().verify((octets,), IMAP, START),
        _certificates,
    ),
    Target("x509-issuer", _verify_issuer, lambda: (root().der,)),
    Target("x509-end-point", tls_server_end_point, _certificates),
)
