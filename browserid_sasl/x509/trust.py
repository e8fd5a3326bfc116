"""Trust in acceptors' X.509 certificates (PROTOCOL.md section 4.3, RFC 5280).

Three questions, in this order: does the chain lead to a trust anchor, is the certificate meant
for a server, and is it for this service. The first is answered in `paths`. A server's name is DNS
alone for `cryptography`, so names are compared by `service-identity`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from browserid_sasl.errors import BrowserIDError, Code, LocalProtocolError, RemoteProtocolError
from browserid_sasl.gss.names import ServiceName
from browserid_sasl.jose.keys import PublicKey, public_key_from
from browserid_sasl.x509.names import UNREADABLE, check_name
from browserid_sasl.x509.paths import Anchors, UntrustedError, Use, check_signs, load_chain

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
        self._anchors = Anchors(anchors)

    def verify(self, chain: tuple[bytes, ...], target: ServiceName, now: int) -> PublicKey:
        """See `ServerTrust.verify`.

        :raises RemoteProtocolError: untrusted-x509-cert, bad-subject.
        """
        use = Use(partial(_serves, target.service), "servers")
        try:
            leaf, *others = load_chain(chain)
            path = self._anchors.path(leaf, others, use, now)
            check_signs(leaf)
        except UntrustedError as error:
            raise _untrusted(error.why) from None
        _check_purpose(target.service, leaf)
        key = _signing_key(leaf)
        check_name(leaf, path[1:], target)
        return key


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


def _untrusted(why: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        Code.UNTRUSTED_X509_CERT,
        f"the server's certificate is not trusted: {why}",
        "its administrator has to replace it, or `trust_anchors` has to name its authority",
    )
