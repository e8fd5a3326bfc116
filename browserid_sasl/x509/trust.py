"""Trust in acceptors' X.509 certificates (PROTOCOL.md section 4.3, RFC 5280).

Three questions, in this order: does the chain lead to a trust anchor, is the certificate meant
for a server, and is it for this service. The first is answered by `cryptography`'s path
validation, with rules for extensions that fit a private CA as well as a public one. Its idea of
a server's name is DNS alone, so names are compared here, by `service-identity`, and it is used as
for clients, whose names it leaves to its caller.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from browserid_sasl.errors import BrowserIDError, Code, LocalProtocolError, RemoteProtocolError
from browserid_sasl.gss.names import ServiceName
from browserid_sasl.jose.keys import PublicKey, public_key_from
from browserid_sasl.x509.names import UNREADABLE, check_name, show_name

MAX_CHAIN: Final = 10
"""Certificates in a chain, both ends included."""

SIGNING_ALGORITHMS: Final = frozenset({"RS256", "ES256"})
"""What a response may be signed with when it is signed by an X.509 key."""

_PURPOSES: Final = frozenset(
    {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
)
_SERVICE_PURPOSES: Final = {
    "sip": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.20"),  # id-kp-sipDomain, RFC 5924
    "ssh": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.22"),  # id-kp-secureShellServer, RFC 6187
}
"""Purposes registered for one service; the others share serverAuth."""

_WEAK_HASHES: Final = (hashes.MD5, hashes.SHA1, hashes.SHA224)
_NOISE: Final = re.compile(
    r"validation failed: |candidates exhausted: |Python extension validator failed: ValueError: "
    r"| \(encountered processing .*\)$",
    re.DOTALL,
)


class X509Trust:
    """An initiator's trust in acceptors that show an X.509 certificate; a `ServerTrust`.

    Safe for threads.

    :param anchors: certificates that are trusted to issue others, or to be an acceptor's own.
    :raises LocalProtocolError: invalid-parameter when there are none.
    """

    def __init__(self, anchors: Sequence[x509.Certificate]) -> None:
        if not anchors:
            raise LocalProtocolError(
                Code.INVALID_PARAMETER,
                "there are no trust anchors to check servers' certificates with",
                "set `trust_anchors`",
            )
        self._anchors = tuple(anchors)
        self._store = Store(list(anchors))

    def verify(self, chain: tuple[bytes, ...], target: ServiceName, now: int) -> PublicKey:
        """See `ServerTrust.verify`.

        :raises RemoteProtocolError: untrusted-x509-cert, bad-subject.
        """
        leaf, *others = _load_chain(chain)
        path = self._find_path(leaf, others, target.service, now)
        _check_key_usage(leaf)
        _check_purpose(target.service, leaf)
        key = _signing_key(leaf)
        check_name(leaf, path[1:], target)
        return key

    def _find_path(
        self, leaf: x509.Certificate, others: list[x509.Certificate], service: str, now: int
    ) -> Sequence[x509.Certificate]:
        """The certificates from the leaf to a trust anchor, both included."""
        time = datetime.fromtimestamp(now / 1000, UTC)
        verifier = (
            PolicyBuilder()
            .store(self._store)
            .time(time)
            .max_chain_depth(MAX_CHAIN - 2)
            .extension_policies(
                ca_policy=_issuer_policy(service), ee_policy=ExtensionPolicy.permit_all()
            )
            .build_client_verifier()
        )
        try:
            return verifier.verify(leaf, others).chain
        except VerificationError as error:
            raise _untrusted(self._reason([leaf, *others], time, error)) from None

    def _reason(
        self, chain: list[x509.Certificate], time: datetime, error: VerificationError
    ) -> str:
        """Why there is no path, in the terms of somebody who has to mend it."""
        for certificate in chain:
            who = _who(certificate)
            if time > certificate.not_valid_after_utc:
                return f"{who} expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
            if time < certificate.not_valid_before_utc:
                return (
                    f"{who} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M}"
                    " UTC"
                )
            if isinstance(_signature_hash(certificate), _WEAK_HASHES):
                return f"{who} is signed with a hash function that is too weak"
        subjects = {anchor.subject for anchor in self._anchors}
        if not any(certificate.issuer in subjects for certificate in chain):
            issuer = show_name(chain[-1].issuer)
            return f"it was issued by {issuer}, and no trust anchor stands behind that"
        return _NOISE.sub("", str(error))


def _load_chain(chain: tuple[bytes, ...]) -> list[x509.Certificate]:
    if not 1 <= len(chain) <= MAX_CHAIN:
        raise _untrusted(f"its chain has {len(chain)} certificates, not 1 to {MAX_CHAIN}")
    try:
        certificates = [x509.load_der_x509_certificate(der) for der in chain]
        for certificate in certificates:
            # Parsed here, once, because that is when what is wrong in them shows.
            _ = certificate.extensions, certificate.subject, certificate.issuer
    except UNREADABLE:
        raise _untrusted("a certificate in its chain cannot be read") from None
    return certificates


def _issuer_policy(service: str) -> ExtensionPolicy:
    """Rules for the extensions of certificates that issue others (RFC 5280 section 6.1.4).

    Name constraints and path lengths are checked by the library without being told.
    """
    return (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_issue)
        .may_be_present(
            x509.ExtendedKeyUsage, Criticality.AGNOSTIC, partial(_may_issue_for, service)
        )
    )


def _may_issue(_policy: Policy, certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError(f"{_who(certificate)} may not issue certificates, says its key usage")


def _may_issue_for(
    service: str,
    _policy: Policy,
    certificate: x509.Certificate,
    purposes: x509.ExtendedKeyUsage | None,
) -> None:
    if purposes is not None and not _serves(service, purposes):
        raise ValueError(f"{_who(certificate)} may not issue certificates for servers")


def _check_key_usage(leaf: x509.Certificate) -> None:
    try:
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not usage.digital_signature:
        raise _untrusted("its key usage does not permit signatures")


def _check_purpose(service: str, leaf: x509.Certificate) -> None:
    try:
        purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not _serves(service, purposes):
        raise _untrusted("its extended key usage does not permit to use it for a server")


def _serves(service: str, purposes: x509.ExtendedKeyUsage) -> bool:
    return any(
        purpose in _PURPOSES or purpose == _SERVICE_PURPOSES.get(service.lower())
        for purpose in purposes
    )


def _signing_key(leaf: x509.Certificate) -> PublicKey:
    try:
        key = public_key_from(leaf.public_key())
    except UNREADABLE:
        raise _untrusted("its key cannot be read") from None
    except BrowserIDError as error:
        raise _untrusted(error.message) from None
    if key.algorithm.name not in SIGNING_ALGORITHMS:
        raise _untrusted("its key is neither RSA nor P-256")
    return key


def _signature_hash(certificate: x509.Certificate) -> hashes.HashAlgorithm | None:
    try:
        return certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return None


def _who(certificate: x509.Certificate) -> str:
    return f"the certificate of {show_name(certificate.subject)}"


def _untrusted(why: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        Code.UNTRUSTED_X509_CERT,
        f"the server's certificate is not trusted: {why}",
        "its administrator has to replace it, or `trust_anchors` has to name its authority",
    )
