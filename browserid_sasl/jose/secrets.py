"""HMAC keys.

Apart from `keys`, because a login by ticket takes no other: a process that sees only such logins
does not load asymmetric cryptography.
"""

from __future__ import annotations

import hmac

from browserid_sasl.jose.algorithms import HS256, Algorithm, bad_signature


class SecretKey:
    """An HMAC-SHA256 key (RFC 7518 section 3.2), always one derived by PROTOCOL.md section 5.

    :param secret: its octets.
    """

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @property
    def algorithm(self) -> Algorithm:
        """Always the row of HS256."""
        return HS256

    def sign(self, data: bytes) -> bytes:
        """The MAC over `data`."""
        return hmac.digest(self._secret, data, HS256.digest)

    def verify(self, signature: bytes, data: bytes) -> None:
        """Compare a MAC in constant time.

        :raises RemoteProtocolError: invalid-signature.
        """
        if not hmac.compare_digest(self.sign(data), signature):
            raise bad_signature()
