"""Signatures of SAML assertions, checked by `signxml` (the extra ``saml``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.verifier import SignatureConfiguration, VerifyResult, XMLVerifier

_EXPECTED: Final = SignatureConfiguration(
    # One signature, right inside of the assertion (SAML core section 5.4).
    location="./",
    expect_references=1,
    signature_methods=frozenset(
        {
            SignatureMethod.RSA_SHA256,
            SignatureMethod.RSA_SHA384,
            SignatureMethod.RSA_SHA512,
            SignatureMethod.ECDSA_SHA256,
            SignatureMethod.ECDSA_SHA384,
            SignatureMethod.ECDSA_SHA512,
        }
    ),
    digest_algorithms=frozenset(
        {DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512}
    ),
)


class SignatureVerifier:
    """A `SamlVerifier` with the certificates of SAML authorities.

    They are trusted as they are, as in SAML metadata, while they are valid. Certificates that
    come with a signature are not looked at.

    :param authorities: certificates by the authority's entity identifier.
    """

    def __init__(self, authorities: Mapping[str, Sequence[x509.Certificate]]) -> None:
        self._authorities = dict(authorities)

    def signed_part(self, xml: bytes, issuer: str, now: int) -> bytes | None:
        """See `SamlVerifier.signed_part`."""
        expected = replace(_EXPECTED, verification_time=datetime.fromtimestamp(now / 1000, UTC))
        for certificate in self._authorities.get(issuer, ()):
            try:
                result = XMLVerifier().verify(
                    xml, x509_cert=certificate, expect_config=expected, id_attribute="ID"
                )
            except Exception:  # noqa: S112
                # What a hostile document makes the library raise is written nowhere.
                continue
            if isinstance(result, VerifyResult):
                return bytes(result.signed_data)
        return None
