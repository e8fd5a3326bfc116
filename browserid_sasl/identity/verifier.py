"""Verification of what an initiator presents (PROTOCOL.md section 3)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Protocol

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.identity.authority import Authority
from browserid_sasl.identity.backed import BackedAssertion
from browserid_sasl.identity.certificate import Certificate
from browserid_sasl.jose import b64
from browserid_sasl.jose.algorithms import is_legacy, too_short
from browserid_sasl.jose.keys import PublicKey

DEFAULT_SKEW_MS: Final = 300_000
DEFAULT_MAX_LIFE_MS: Final = 24 * 3_600_000

_CLOCK_REMEDY: Final = "compare the clocks of both machines"


@dataclass(frozen=True, slots=True)
class Validity:
    """When an assertion says it is valid; all in ms.

    :param expires: `exp`, or `iat` of a re-authentication that has no `exp`.
    :param issued_at: `iat`, None when absent.
    :param not_before: `nbf`, None when absent.
    """

    expires: int
    issued_at: int | None = None
    not_before: int | None = None


class RevokedKeys(Protocol):
    """Says which keys their providers have revoked; `RevocationLists` does."""

    def has(self, issuer: str, email: str, thumbprint: str, now: int) -> bool:
        """Whether a key was revoked, see `RevocationLists.has`."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """Checks times, certificates and signatures; the audience and bindings are checked before.

    :param authority: says which keys may sign for an address.
    :param skew: ms by which clocks may differ.
    :param max_life: ms a certificate may live at most; an assertion neither.
    :param allow_legacy: whether short keys are taken (PROTOCOL.md section 1.1).
    :param revoked: what their providers have revoked, None where nobody looks.
    """

    authority: Authority
    skew: int = DEFAULT_SKEW_MS
    max_life: int = DEFAULT_MAX_LIFE_MS
    allow_legacy: bool = False
    revoked: RevokedKeys | None = None

    def is_revoked(self, issuer: str, email: str, thumbprint: str, now: int) -> bool:
        """Whether a key was revoked, as far as this service looks (PROTOCOL.md section 8).

        :param thumbprint: of the key (RFC 7638), in base64url; empty where it is not known any
            more, which counts as revoked where anybody looks.
        :raises DiscoveryError: the provider's list cannot be had, and is required.
        """
        if self.revoked is None:
            return False
        return not thumbprint or self.revoked.has(issuer, email, thumbprint, now)

    def check_times(self, validity: Validity, now: int) -> None:
        """Check an assertion's own times.

        :raises RemoteProtocolError: expired-assertion, invalid-assertion,
            assertion-not-yet-valid.
        """
        if validity.expires + self.skew < now:
            raise RemoteProtocolError(
                Code.EXPIRED_ASSERTION,
                f"the assertion expired {_seconds(now - validity.expires)} ago",
                _CLOCK_REMEDY,
            )
        if validity.expires > now + self.max_life + self.skew:
            # Bounds what the replay store has to remember.
            raise RemoteProtocolError(
                Code.INVALID_ASSERTION, "the assertion expires implausibly far in the future"
            )
        if validity.issued_at is not None and validity.issued_at > now + self.skew:
            raise RemoteProtocolError(
                Code.INVALID_ASSERTION, "the assertion was issued in the future", _CLOCK_REMEDY
            )
        if validity.not_before is not None and validity.not_before > now + self.skew:
            raise RemoteProtocolError(
                Code.ASSERTION_NOT_YET_VALID, "the assertion is not valid yet", _CLOCK_REMEDY
            )

    def certificate_of(self, backed: BackedAssertion) -> Certificate:
        """The certificate that comes with an assertion. Nothing in it is proven yet.

        :raises RemoteProtocolError: missing-cert, too-many-certs, and the errors of
            `Certificate.parse`.
        """
        if not backed.certificates:
            raise RemoteProtocolError(Code.MISSING_CERT, "the assertion has no certificate")
        if len(backed.certificates) > 1:
            raise RemoteProtocolError(
                Code.TOO_MANY_CERTS, f"{len(backed.certificates)} certificates came instead of one"
            )
        return Certificate.parse(backed.certificates[0], allow_legacy=self.allow_legacy)

    def verify_signatures(
        self, backed: BackedAssertion, certificate: Certificate, now: int
    ) -> None:
        """Check the certificate and, with its key, the assertion.

        This asks the network about the certificate's issuer and address, whoever wrote them.

        :param certificate: the assertion's, from `certificate_of`.
        :raises RemoteProtocolError: untrusted-issuer, expired-cert, cert-not-yet-valid,
            cred-expired, missing-signature, key-too-short, unknown-algorithm,
            invalid-signature; expired-cert for a revoked key, too.
        :raises DiscoveryError: when the issuer's document cannot be had, or its list of revoked
            keys, if that is required.
        """
        # Whether the issuer may speak for the address is decided before any of its keys is tried.
        keys = self.authority.keys_for(certificate.issuer, certificate.email, now)
        # An old certificate is no reason to ask for newer keys.
        self._check_certificate_times(certificate, now)
        if self._signature_problem(certificate, keys) is not None:
            keys = self.authority.refreshed_keys_for(certificate.issuer, certificate.email, now)
            problem = self._signature_problem(certificate, keys)
            if problem is not None:
                raise problem
        # The person's key is the certificate's word, so that comes first.
        backed.assertion.verify(certificate.public_key, "the assertion")
        # Last: whose list is fetched is a provider that has proven to have certified somebody.
        if self.revoked is not None:
            thumbprint = b64.encode(certificate.key_thumbprint)
            if self.is_revoked(certificate.issuer, certificate.email, thumbprint, now):
                raise key_revoked(certificate.email)

    def _signature_problem(
        self, certificate: Certificate, keys: tuple[PublicKey, ...]
    ) -> RemoteProtocolError | None:
        """Why the certificate is not signed by any of the keys, None if it is."""
        algorithm = certificate.jwt.header.alg
        if not certificate.jwt.is_signed:
            return RemoteProtocolError(Code.MISSING_SIGNATURE, "the certificate is not signed")
        if is_legacy(algorithm) and not self.allow_legacy:
            return too_short(f"the key of {algorithm} that {certificate.issuer} signed with")
        fitting = [key for key in keys if key.algorithm.name == algorithm]
        if not fitting:
            return _no_such_key(certificate.issuer, algorithm, keys)
        if any(_is_signed_by(certificate, key) for key in fitting):
            return None
        return RemoteProtocolError(
            Code.INVALID_SIGNATURE,
            f"the certificate is not signed by a key that {certificate.issuer} publishes",
            "it was altered on the way, or its key was withdrawn: sign in again",
        )

    def _check_certificate_times(self, certificate: Certificate, now: int) -> None:
        if certificate.expires + self.skew < now:
            raise RemoteProtocolError(
                Code.EXPIRED_CERT,
                f"the certificate expired {_seconds(now - certificate.expires)} ago",
                _sign_in_again(certificate),
            )
        if certificate.expires <= now:
            raise RemoteProtocolError(
                Code.CRED_EXPIRED,
                "the certificate has just expired",
                _sign_in_again(certificate),
            )
        begins = max(certificate.issued_at, certificate.not_before or 0)
        if begins > now + self.skew:
            raise RemoteProtocolError(
                Code.CERT_NOT_YET_VALID, "the certificate is not valid yet", _CLOCK_REMEDY
            )
        if certificate.expires - certificate.issued_at > self.max_life:
            raise RemoteProtocolError(
                Code.INVALID_ASSERTION,
                f"the certificate lives longer than {_seconds(self.max_life)}",
                "the identity provider has to issue it for less, or `max_certificate_life` "
                "has to permit it",
            )


def replay_digest(backed: BackedAssertion, certificate: Certificate | None) -> bytes:
    """What the replay store remembers of an assertion (PROTOCOL.md section 5.3).

    It covers what was signed and whose key signed it, and nothing else. The whole text would not
    do: an ECDSA signature has a twin that verifies too, base64url can be padded, and another
    certificate for the same key can be put in front, so that a replay would look like news.

    :param certificate: the assertion's certificate, None for a re-authentication, whose
        payload names its key (the ticket).
    """
    signer = certificate.key_thumbprint if certificate else b""
    return hashlib.sha256(signer + backed.assertion.signing_input).digest()


def key_revoked(email: str) -> RemoteProtocolError:
    """Why a certificate whose key was revoked is not taken (PROTOCOL.md section 8)."""
    return RemoteProtocolError(
        Code.EXPIRED_CERT,
        "the certificate is not good any more: its key was revoked",
        f"sign in again: browserid login {email}",
    )


def _is_signed_by(certificate: Certificate, key: PublicKey) -> bool:
    try:
        certificate.jwt.verify(key, "the certificate")
    except RemoteProtocolError:
        return False
    return True


def _no_such_key(issuer: str, algorithm: str, keys: tuple[PublicKey, ...]) -> RemoteProtocolError:
    there = ", ".join(sorted({key.algorithm.name for key in keys}))
    return RemoteProtocolError(
        Code.UNKNOWN_ALGORITHM,
        f"the certificate claims the algorithm {algorithm[:16]!r}, and the keys of {issuer} that "
        f"can be used here take {there}",
        "the identity provider has to publish the key it signs with",
    )


def _sign_in_again(certificate: Certificate) -> str:
    return f"sign in again: browserid login {certificate.email}"


def _seconds(duration: int) -> str:
    return f"{duration // 1000} s"
