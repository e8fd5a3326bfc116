"""Whether a person's certificate is good, whatever a front server has looked at already.

In this order: it is of now, it leads to a trust anchor, it is a person's and for signing in, its
key is strong, and it was not revoked. Nothing that it says is read before.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from browserid_sasl.idp.backends.certificate_lists import RevocationLists
from browserid_sasl.x509.names import UNREADABLE
from browserid_sasl.x509.paths import Anchors, UntrustedError, Use, check_signs, load_chain

_PURPOSES: Final = frozenset({ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SMARTCARD_LOGON})
_ISSUERS: Final = _PURPOSES | {ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
_LEAST_RSA: Final = 2048
_CURVES: Final = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


class RevokedError(UntrustedError):
    """A certificate was revoked, or that of an authority of it."""


class ExpiredError(UntrustedError):
    """A certificate is good no more, or not yet."""


Path = Sequence[x509.Certificate]
"""From a certificate to a trust anchor, both included."""


class PeopleTrust:
    """Which certificates are good. Safe for threads.

    :param anchors: certificates of the authorities that issue them.
    :param lists: of what they have revoked, None to let it be.
    """

    def __init__(self, anchors: Sequence[x509.Certificate], lists: RevocationLists | None) -> None:
        self._authorities = tuple(anchors)
        self._anchors = Anchors(anchors)
        self._lists = lists

    def probe(self, now: int) -> None:
        """See that it can be said which certificates were revoked.

        :raises UnavailableError: it cannot.
        """
        if self._lists is not None:
            self._lists.probe(self._authorities, now)

    def verify(self, chain: Sequence[bytes], now: int) -> Path:
        """See that a certificate is good.

        :param chain: it and those that came with it, in DER.
        :param now: ms.
        :returns: the path to its anchor.
        :raises RevokedError: it was revoked.
        :raises ExpiredError: it is not of now.
        :raises UntrustedError: it is not good for something else.
        :raises UnavailableError: it cannot be known whether it was revoked.
        """
        leaf, *others = load_chain(chain)
        _check_time(leaf, now)
        path = self._anchors.path(leaf, others, _USE, now)
        _check_kind(leaf)
        check_signs(leaf)
        _check_key(leaf)
        if self._lists is not None and self._lists.has_revoked(path, now):
            raise RevokedError("it was revoked, or the certificate of an authority of it")
        return path


def _check_time(leaf: x509.Certificate, now: int) -> None:
    time = datetime.fromtimestamp(now / 1000, UTC)
    if not leaf.not_valid_before_utc <= time <= leaf.not_valid_after_utc:
        raise ExpiredError(
            f"it is good from {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC to"
            f" {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        )


def _check_kind(leaf: x509.Certificate) -> None:
    try:
        if leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            raise UntrustedError("it is an authority's, and no person's")
    except x509.ExtensionNotFound:
        pass
    try:
        purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        raise UntrustedError("it has no extended key usage, so it is not for signing in") from None
    if not _PURPOSES & set(purposes):
        raise UntrustedError("its extended key usage has neither clientAuth nor smart card logon")


def _check_key(leaf: x509.Certificate) -> None:
    try:
        key = leaf.public_key()
    except UNREADABLE:
        raise UntrustedError("its key cannot be read") from None
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < _LEAST_RSA:
            raise UntrustedError(f"its RSA key has {key.key_size} bits, fewer than {_LEAST_RSA}")
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if not isinstance(key.curve, _CURVES):
            raise UntrustedError(f"its key is on the curve {key.curve.name}")
    elif not isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        raise UntrustedError("its key is of a kind that is not used for this")


def _may_issue(purposes: x509.ExtendedKeyUsage) -> bool:
    return not _ISSUERS.isdisjoint(purposes)


_USE: Final = Use(_may_issue, "people")
