"""Requests that another site makes a browser send (cross-site request forgery), and their refusal.

Every form has a token that is bound to the browser it was shown in: to its session, or before
somebody is signed in to a random cookie, which is signed so that none can be made up. Besides, the
browser's own word for where a request comes from has to be right if it gives it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

from starlette.requests import Request

from browserid_sasl.idp.server_secret import ServerSecret
from browserid_sasl.jose import b64
from browserid_sasl.web.refusal import RefusedError

FIELD: Final = "csrf"
"""Name of the field with the token."""

_OCTETS: Final = 16
_SAME: Final = ("same-origin", "none")


class ForgeryProtection:
    """Makes and checks the tokens of forms.

    :param secret: of the provider.
    :param origin: of its pages, such as `https://example.org`.
    """

    def __init__(self, secret: ServerSecret, origin: str) -> None:
        self._secret = secret
        self._origin = origin

    def new_visitor(self) -> str:
        """A cookie for a browser in which nobody is signed in."""
        name = secrets.token_urlsafe(_OCTETS)
        return f"{name}.{self._mac('visitor', name)}"

    def is_visitor(self, cookie: str) -> bool:
        """Whether `new_visitor` has made this."""
        name, _, mac = cookie.partition(".")
        return _equal(mac, self._mac("visitor", name))

    def token(self, binding: str) -> str:
        """The token of the forms of one browser.

        :param binding: the browser's secret: its session's token, or a visitor's cookie.
        """
        return self._mac("form", binding)

    def check(self, request: Request, binding: str, token: str) -> None:
        """See that a form was sent from a page of ours in the same browser.

        :param binding: empty if the browser has brought none.
        :raises RefusedError: form-expired, cross-site.
        """
        # The browser's word first: where it says that another site sends this, no token helps.
        self._check_origin(request)
        if not binding or not _equal(token, self.token(binding)):
            raise RefusedError(403, "form-expired", "this form is not valid any more")

    def _check_origin(self, request: Request) -> None:
        site = request.headers.get("Sec-Fetch-Site")
        origin = request.headers.get("Origin")
        if (site is not None and site not in _SAME) or origin not in (None, self._origin):
            raise RefusedError(403, "cross-site", "the form was sent from another site")

    def _mac(self, purpose: str, text: str) -> str:
        key = self._secret.key(f"pages: {purpose}")
        return b64.encode(hmac.digest(key, text.encode("utf-8", "replace"), hashlib.sha256))


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode())
