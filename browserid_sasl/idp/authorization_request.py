"""What a program asks of the page `authentication` in a person's browser (PROTOCOL.md section 8).

The query of the page's address is all there is: nothing is kept for a stranger. So it is read and
checked anew for each page, and a bad one gets an error page and never a redirect.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlencode

from browserid_sasl.errors import BrowserIDError, Code, LocalProtocolError
from browserid_sasl.identity.addresses import MAX_ADDRESS, MAX_PORT
from browserid_sasl.idp.accounts import Accounts
from browserid_sasl.idp.wishes import MAX_KEY, Wish, check_machine, key_from_text
from browserid_sasl.jose import b64
from browserid_sasl.jose.keys import PublicKey
from browserid_sasl.web.refusal import RefusedError

MAX_QUERY: Final = 8_192
"""Characters of a query at the most."""

_PARAMETERS: Final[tuple[str, ...]] = (
    "email",
    "public-key",
    "state",
    "redirect_uri",
    "code_challenge",
    "code_challenge_method",
    "machine",
)
_MAX_PARAMETERS: Final = 32

# RFC 8252 section 7.3, in one spelling only: whatever a browser would read as another host, or
# turn into another path, is none of it. There is no %, no \, no @ and no upper case scheme.
_LOOPBACK: Final = re.compile(
    r"http://(?:127\.0\.0\.1|\[::1\]|localhost)(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<path>/[A-Za-z0-9._~!$&'()*+,;=:/-]*)"
)
_DOTS: Final = re.compile(r"/\.{1,2}(?:/|\Z)")
_MAX_REDIRECT: Final = 256
# RFC 6749 appendix A.5.
_STATE: Final = re.compile(r"[\x20-\x7e]{1,512}")
# RFC 7636 section 4.2: base64url of SHA-256.
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A program's request, checked.

    :param email: the address that is to be certified, in lower case.
    :param public_key: the program's key.
    :param state: what it wants to see again.
    :param redirect_uri: where it listens, on loopback.
    :param code_challenge: base64url of SHA-256 of what it will show with the code (RFC 7636).
    :param machine: what its machine calls itself, empty if it did not say.
    :param query: the request in one spelling, to be carried from page to page.
    """

    email: str
    public_key: PublicKey
    state: str = field(repr=False)
    redirect_uri: str
    code_challenge: str
    machine: str
    query: str = field(repr=False)

    @classmethod
    def parse(cls, query: str, accounts: Accounts) -> AuthorizationRequest:
        """Read the query of an address, without its question mark.

        :param accounts: says which addresses can have one. Whether this one does is not looked at.
        :raises RefusedError: with the word `invalid-query`, `missing-parameter`,
            `invalid-redirect-uri`, `invalid-state`, `invalid-challenge`, `invalid-address`,
            `invalid-machine`, or a code's text for what is wrong with the key.
        """
        values = _values(query)
        # First: as long as it is not known where to, nothing else may be answered by a redirect.
        redirect_uri = _redirect_uri(_needed(values, "redirect_uri"))
        state = _state(_needed(values, "state"))
        challenge = _challenge(_needed(values, "code_challenge"), values)
        machine = check_machine(values.get("machine", ""))
        key = _public_key(_needed(values, "public-key"))
        email = _address(_needed(values, "email"), accounts)
        known = [(name, values[name]) for name in _PARAMETERS if name in values]
        return cls(email, key, state, redirect_uri, challenge, machine, urlencode(known))

    def wish(self, client: str) -> Wish:
        """What the person is asked.

        :param client: IP address of their browser.
        """
        return Wish(self.email, self.public_key, self.machine, client)

    def granted(self, code: str) -> str:
        """Where the browser goes after consent.

        :param code: the one-time code.
        """
        return f"{self.redirect_uri}?{urlencode({'code': code, 'state': self.state})}"

    def refused(self) -> str:
        """Where the browser goes when the person does not consent (RFC 6749 section 4.1.2.1)."""
        return f"{self.redirect_uri}?{urlencode({'error': 'access_denied', 'state': self.state})}"


def _values(query: str) -> dict[str, str]:
    if len(query) > MAX_QUERY:
        raise _refused("invalid-query", f"the request has more than {MAX_QUERY} characters")
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS
        )
    except ValueError:
        raise _refused("invalid-query", "the request's parameters cannot be read") from None
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in values and name in _PARAMETERS:
            # Who reads the first one and who reads the last one would not mean the same.
            raise _refused("invalid-query", f"the request has `{name}` twice")
        values[name] = value
    return values


def _needed(values: Mapping[str, str], name: str) -> str:
    if not values.get(name):
        raise _refused("missing-parameter", f"the request has no `{name}`")
    return values[name]


def _redirect_uri(text: str) -> str:
    match = _LOOPBACK.fullmatch(text)
    if (
        match is None
        or len(text) > _MAX_REDIRECT
        or int(match["port"] or 80) > MAX_PORT
        or _DOTS.search(match["path"])
    ):
        raise _refused(
            "invalid-redirect-uri",
            "the request's `redirect_uri` is not an address on this machine: it has to be"
            " http://127.0.0.1:PORT/PATH, with [::1] or localhost in place of 127.0.0.1 if wanted",
        )
    return text


def _state(text: str) -> str:
    if not _STATE.fullmatch(text):
        raise _refused(
            "invalid-state", "the request's `state` is not 1 to 512 printable ASCII characters"
        )
    return text


def _challenge(text: str, values: Mapping[str, str]) -> str:
    if values.get("code_challenge_method", "S256") != "S256" or not _CHALLENGE.fullmatch(text):
        raise _refused(
            "invalid-challenge", "the request's `code_challenge` is not one for the method S256"
        )
    return text


def _public_key(text: str) -> PublicKey:
    try:
        if len(text) > MAX_KEY * 2:
            raise _refused("invalid-key", "the request's `public-key` is too long")
        octets = b64.decode(text, "the request's `public-key`")
        return key_from_text(octets.decode("utf-8"))
    except UnicodeDecodeError:
        raise _refused("invalid-key", "the request's `public-key` is not JSON") from None
    except RefusedError:
        raise
    except BrowserIDError as error:
        raise RefusedError(400, error.code.text, str(error), error.code) from None


def _address(text: str, accounts: Accounts) -> str:
    try:
        if len(text) > MAX_ADDRESS:
            raise _refused("invalid-address", "the request's `email` is too long")
        return accounts.address(text)
    except LocalProtocolError as error:
        raise RefusedError(400, "invalid-address", str(error)) from None


def _refused(word: str, message: str) -> RefusedError:
    return RefusedError(400, word, message, Code.INVALID_PARAMETER)
