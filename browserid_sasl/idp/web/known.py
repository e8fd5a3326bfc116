"""Browsers in which somebody has signed in before: guessers do not lock their people out.

Such a browser has a cookie with a random name of its own and, for each address, a proof of ours
that this address was signed in to there. Its wrong passwords are counted apart from strangers'.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Final

from browserid_sasl.idp.server_secret import ServerSecret
from browserid_sasl.jose import b64

_NAME_OCTETS: Final = 16
_PROOF_OCTETS: Final = 16
_MAX_PROOFS: Final = 5
_COOKIE: Final = re.compile(r"[A-Za-z0-9_-]{22}(?:\.[A-Za-z0-9_-]{22}){1,5}")


class KnownBrowsers:
    """Makes and reads these cookies.

    :param secret: of the provider.
    """

    def __init__(self, secret: ServerSecret) -> None:
        self._secret = secret

    def name(self, cookie: str, email: str) -> str:
        """The browser's name if this address was signed in to there, else empty."""
        name, *proofs = self._parts(cookie)
        proof = self._proof(name, email)
        matches = [hmac.compare_digest(each, proof) for each in proofs]
        return name if any(matches) else ""

    def remember(self, cookie: str, email: str) -> str:
        """The cookie for a browser in which this address is signed in now."""
        name, *proofs = self._parts(cookie)
        name = name or secrets.token_urlsafe(_NAME_OCTETS)
        proof = self._proof(name, email)
        others = [each for each in proofs if each != proof]
        return ".".join((name, *others[-_MAX_PROOFS + 1 :], proof))

    def _parts(self, cookie: str) -> list[str]:
        return cookie.split(".") if _COOKIE.fullmatch(cookie) else [""]

    def _proof(self, name: str, email: str) -> str:
        key = self._secret.key("pages: known browser")
        digest = hmac.digest(key, f"{name} {email}".encode(), hashlib.sha256)
        return b64.encode(digest[:_PROOF_OCTETS])
