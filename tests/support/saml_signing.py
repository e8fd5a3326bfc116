"""SAML assertions that their authority has signed. To import this takes the extra `saml`."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from lxml import etree  # type: ignore[import-untyped]
from signxml import methods
from signxml.algorithms import SignatureMethod
from signxml.signer import XMLSigner

from tests.support.certificates import Issued


def sign(xml: str, signer: Issued, **options: Any) -> str:
    """The assertion with a signature in it.

    :param options: of `XMLSigner`, in place of good ones.
    """
    is_rsa = isinstance(signer.key, rsa.RSAPrivateKey)
    settings: dict[str, Any] = {
        "method": methods.enveloped,
        "signature_algorithm": (
            SignatureMethod.RSA_SHA256 if is_rsa else SignatureMethod.ECDSA_SHA256
        ),
        "c14n_algorithm": "http://www.w3.org/2001/10/xml-exc-c14n#",
    }
    xml_signer = XMLSigner(**(settings | options))
    assert not isinstance(signer.key, ed25519.Ed25519PrivateKey)
    signed = xml_signer.sign(
        etree.fromstring(xml), key=signer.key, cert=[signer.certificate], reference_uri="_1"
    )
    return str(etree.tostring(signed, encoding="unicode"))
