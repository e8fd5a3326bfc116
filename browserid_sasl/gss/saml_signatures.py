"""Signatures of SAML assertions, checked by `signxml` (the extra ``saml``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from cryptography import x509
from lxml.etree import LxmlError
from signxml import DigestAlgorithm, SignatureConfiguration, SignatureMethod, XMLVerifier
from signxml.exceptions import SignXMLException

_METHODS: Final = frozenset(
    {
        SignatureMethod.RSA_SHA256,
        SignatureMethod.RSA_SHA384,
        SignatureMethod.RSA_SHA512,
        SignatureMethod.ECDSA_SHA256,
        SignatureMethod.ECDSA_SHA384,
        SignatureMethod.ECDSA_SHA512,
    }
)
_DIGESTS: Final = frozenset(
    {DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512}
)
_EXPECTED: Final = SignatureConfiguration(
    location="./", signature_methods=_METHODS, digest_algorithms=_DIGESTS
)
"""One signature, right inside of the assertion (SAML core section 5.4)."""


class SignatureVerifier:
    """A `SamlVerifier` with the certificates of SAML authorities.

    The certificates stand for their keys, as in SAML metadata: neither their names nor their
    times are looked at, nor are certificates that come with a signature.

    :param authorities: certificates by the authority's entity identifier.
    """

    def __init__(self, authorities: Mapping[str, Sequence[x509.Certificate]]) -> None:
        self._authorities = dict(authorities)

    def signed_part(self, xml: bytes, issuer: str) -> bytes | None:
        """See `SamlVerifier.signed_part`."""
        for certificate in self._authorities.get(issuer, ()):
            try:
                result = XMLVerifier().verify(
                    xml, x509_cert=certificate, expect_config=_EXPECTED, id_attribute="ID"
                )
            except (SignXMLException, LxmlError, ValueError):
                continue
            return bytes(result.signed_data)
        return None
