"""From a certificate to a trust anchor (RFC 5280 section 6), be it a server's or a person's.

`cryptography` validates the path, with rules for extensions that fit a private CA as well as a
public one. It is used as for clients, whose names it leaves to its caller.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from browserid_sasl.x509.names import UNREADABLE, show_name

MAX_CHAIN: Final = 10
"""Certificates in a chain, both ends included."""


_WEAK_HASHES: Final = (hashes.MD5, hashes.SHA1, hashes.SHA224)
_NOISE: Final = re.compile(
    r"validation failed: |candidates exhausted: |Python extension validator failed: ValueError: "
    r"| \(encountered processing .*\)$",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Use:
    """What a certificate is used for.

    :param permits: whether an extended key usage permits it.
    :param whom: for messages: whose certificates these are.
    """

    permits: Callable[[x509.ExtendedKeyUsage], bool]
    whom: str


class UntrustedError(Exception):
    """A certificate is not trusted.

    :param why: in the terms of somebody who has to mend it.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Anchors:
    """Certificates that are trusted to issue others, or to be somebody's own. Safe for threads.

    :param anchors: at least one.
    """

    def __init__(self, anchors: Sequence[x509.Certificate]) -> None:
        self._anchors = tuple(anchors)
        self._store = Store(list(anchors))

    def path(
        self, leaf: x509.Certificate, others: Sequence[x509.Certificate], use: Use, now: int
    ) -> Sequence[x509.Certificate]:
        """The certificates from the leaf to a trust anchor, both included.

        :param others: those that came with it.
        :param use: what those on the way have to be permitted to issue certificates for.
        :param now: ms.
        :raises UntrustedError: there is no such path.
        """
        time = datetime.fromtimestamp(now / 1000, UTC)
        verifier = (
            PolicyBuilder()
            .store(self._store)
            .time(time)
            .max_chain_depth(MAX_CHAIN - 2)
            .extension_policies(
                ca_policy=_issuer_policy(use), ee_policy=ExtensionPolicy.permit_all()
            )
            .build_client_verifier()
        )
        try:
            return verifier.verify(leaf, list(others)).chain
        except VerificationError as error:
            raise UntrustedError(self._reason([leaf, *others], time, error)) from None

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


def load_chain(chain: Sequence[bytes]) -> list[x509.Certificate]:
    """The certificates of a chain that somebody has sent, in DER.

    :raises UntrustedError: they are too many or none, or one of them cannot be read.
    """
    if not 1 <= len(chain) <= MAX_CHAIN:
        raise UntrustedError(f"its chain has {len(chain)} certificates, not 1 to {MAX_CHAIN}")
    try:
        certificates = [x509.load_der_x509_certificate(der) for der in chain]
        for certificate in certificates:
            # Parsed here, once, because that is when what is wrong in them shows.
            _ = certificate.extensions, certificate.subject, certificate.issuer
    except UNREADABLE:
        raise UntrustedError("a certificate in its chain cannot be read") from None
    return certificates


def check_signs(leaf: x509.Certificate) -> None:
    """See that a certificate's key may be used for signatures.

    :raises UntrustedError: it may not.
    """
    try:
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not usage.digital_signature:
        raise UntrustedError("its key usage does not permit signatures")


def _issuer_policy(use: Use) -> ExtensionPolicy:
    """Rules for the extensions of certificates that issue others (RFC 5280 section 6.1.4).

    Name constraints and path lengths are checked by the library without being told.
    """
    return (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_issue)
        .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, partial(_may_issue_for, use))
    )


def _may_issue(_policy: Policy, certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError(f"{_who(certificate)} may not issue certificates, says its key usage")


def _may_issue_for(
    use: Use,
    _policy: Policy,
    certificate: x509.Certificate,
    purposes: x509.ExtendedKeyUsage | None,
) -> None:
    if purposes is not None and not use.permits(purposes):
        raise ValueError(f"{_who(certificate)} may not issue certificates for {use.whom}")


def _signature_hash(certificate: x509.Certificate) -> hashes.HashAlgorithm | None:
    try:
        return certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return None


def _who(certificate: x509.Certificate) -> str:
    return f"the certificate of {show_name(certificate.subject)}"
