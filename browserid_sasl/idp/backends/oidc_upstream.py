"""Another provider, as it describes itself, and what it answers (OpenID Connect Discovery 1.0)."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote_plus, urlsplit

from browserid_sasl.discovery.dialing import Dialer
from browserid_sasl.discovery.https import Answer, HttpsClient, Origin
from browserid_sasl.discovery.rooms import Room
from browserid_sasl.errors import DiscoveryError
from browserid_sasl.idp.backends import MOST_AT_ONCE, UnavailableError

Members = Mapping[str, Any]

_WELL_KNOWN: Final = "/.well-known/openid-configuration"
_GOOD_FOR_S: Final = 600.0
_ANEW_AFTER_S: Final = 30.0
_MAX_SIZE: Final = 262_144
_MOST_KEYS: Final = 64
_MAX_TOKEN: Final = 65_536


@dataclass(frozen=True, slots=True)
class Access:
    """How another provider is reached.

    :param issuer: its name, a URL.
    :param client_id: what it calls this provider.
    :param client_secret: what it knows this provider by, empty for nothing.
    :param ca_file: what its web server is believed by; None: what the system believes.
    :param timeout: ms that each of its answers may take.
    """

    issuer: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    ca_file: Path | None = None
    timeout: int = 5_000


@dataclass(frozen=True, slots=True)
class Described:
    """What another provider says of itself.

    :param authorization: where people sign in.
    :param token: where codes are redeemed.
    :param keys_at: where its keys are.
    :param userinfo: where more is said of somebody, empty for nowhere.
    :param names_itself: whether it says who it is when it sends somebody back (RFC 9207).
    :param by_form: whether it wants its client's secret in the form.
    """

    authorization: str
    token: str
    keys_at: str
    userinfo: str
    names_itself: bool
    by_form: bool


@dataclass(frozen=True, slots=True)
class Tokens:
    """What another provider gives for a code, or for a refresh token. All of it is secret."""

    access_token: str = field(default="", repr=False)
    id_token: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)


class GrantEndedError(Exception):
    """It does not take the code or the token (RFC 6749 section 5.2: invalid_grant)."""


class Upstream:
    """Asks another provider. Safe for threads.

    :param access: how it is reached.
    """

    def __init__(self, access: Access) -> None:
        self.access = access
        # The administrator has named it: nobody else's names are resolved here.
        room = Room(4 * MOST_AT_ONCE, 4 * MOST_AT_ONCE)
        self._client = HttpsClient(access.timeout / 1000, _MAX_SIZE, Dialer(), room)
        self._lock = threading.Lock()
        self._described: tuple[float, Described] | None = None
        self._keys: tuple[float, list[Members]] | None = None

    def describe(self) -> Described:
        """What it says of itself, of the last ten minutes.

        :raises UnavailableError: it says nothing, or what makes no sense.
        """
        with self._lock:
            known = self._described
        if known is None or known[0] + _GOOD_FOR_S <= time.monotonic():
            known = time.monotonic(), self._read_description()
            with self._lock:
                self._described = known
        return known[1]

    def keys(self, *, anew: bool = False) -> Sequence[Members]:
        """Its keys, of the last ten minutes.

        :param anew: as they are now; but they are not asked for all the time.
        :raises UnavailableError: see `describe`.
        """
        with self._lock:
            known = self._keys
        life = _ANEW_AFTER_S if anew else _GOOD_FOR_S
        if known is None or known[0] + life <= time.monotonic():
            known = time.monotonic(), self._read_keys(self.describe())
            with self._lock:
                self._keys = known
        return known[1]

    def probe(self) -> None:
        """See that it describes itself, and has keys, at this moment.

        :raises UnavailableError: see `describe`.
        """
        described = self._read_description()
        if not self._read_keys(described):
            raise UnavailableError("it has no keys")

    def give(self, **form: str) -> Tokens:
        """What it gives for a grant (RFC 6749 sections 4.1.3 and 6).

        :raises GrantEndedError: nothing.
        :raises UnavailableError: see `describe`.
        """
        described = self.describe()
        headers, own = self._credentials(described)
        origin, path = self._place(described.token)
        answer = self._ask(lambda: self._client.submit(origin, path, form | own, *headers))
        members = _members(answer)
        if answer.status == 400 and members.get("error") == "invalid_grant":
            raise GrantEndedError
        if answer.status != 200:
            word = ascii(str(members.get("error", "")))[1:41]
            raise UnavailableError(f"it answers with status {answer.status} ({word})")
        return Tokens(
            *(_token(members, name) for name in ("access_token", "id_token", "refresh_token"))
        )

    def userinfo(self, access_token: str) -> Members:
        """What it says of whom an access token is (OpenID Connect Core 1.0 section 5.3).

        :raises GrantEndedError: it does not take the token.
        :raises UnavailableError: see `describe`.
        """
        origin, path = self._place(self.describe().userinfo)
        bearer = ("Authorization", f"Bearer {access_token}")
        answer = self._ask(lambda: self._client.get(origin, path, {}, bearer))
        if answer.status == 401:
            raise GrantEndedError
        if answer.status != 200:
            raise UnavailableError(f"its userinfo answers with status {answer.status}")
        return _members(answer)

    def _read_description(self) -> Described:
        issuer = self.access.issuer
        members = self._document(issuer.rstrip("/") + _WELL_KNOWN)
        # Not less than all of it: whoever is named here signs for everybody.
        if members.get("issuer") != issuer:
            raise UnavailableError("its document is that of another issuer")
        methods = members.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        basic = isinstance(methods, list) and "client_secret_basic" in methods
        return Described(
            authorization=_url(members, "authorization_endpoint"),
            token=_url(members, "token_endpoint"),
            keys_at=_url(members, "jwks_uri"),
            userinfo=_url(members, "userinfo_endpoint") if "userinfo_endpoint" in members else "",
            names_itself=members.get("authorization_response_iss_parameter_supported") is True,
            by_form=not basic,
        )

    def _read_keys(self, described: Described) -> list[Members]:
        keys = self._document(described.keys_at).get("keys")
        if not isinstance(keys, list) or len(keys) > _MOST_KEYS:
            raise UnavailableError("its keys cannot be read")
        return [each for each in keys if isinstance(each, dict)]

    def _document(self, url: str) -> Members:
        origin, path = self._place(url)
        answer = self._ask(lambda: self._client.get(origin, path, {}))
        if answer.status != 200:
            raise UnavailableError(f"{path} answers with status {answer.status}")
        return _members(answer)

    def _place(self, url: str) -> tuple[Origin, str]:
        """Where a URL leads: to the network of our own only on the host that is configured."""
        parts, own = urlsplit(url), urlsplit(self.access.issuer)
        origin = Origin(
            f"https://{parts.netloc}", self.access.ca_file, private=parts.hostname == own.hostname
        )
        return origin, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    @staticmethod
    def _ask(question: Any) -> Answer:
        try:
            answer: Answer = question()
        except DiscoveryError as error:
            raise UnavailableError(error.message) from None
        return answer

    def _credentials(self, described: Described) -> tuple[list[tuple[str, str]], dict[str, str]]:
        name, secret = self.access.client_id, self.access.client_secret
        if not secret:
            return [], {"client_id": name}
        if described.by_form:
            return [], {"client_id": name, "client_secret": secret}
        both = f"{quote_plus(name)}:{quote_plus(secret)}".encode()
        return [("Authorization", f"Basic {base64.b64encode(both).decode()}")], {}


def _members(answer: Answer) -> Members:
    try:
        members = json.loads(answer.body)
    except (ValueError, RecursionError):
        raise UnavailableError(f"it answers with no JSON (status {answer.status})") from None
    if not isinstance(members, dict):
        raise UnavailableError("it answers with no object")
    return members


def _url(members: Members, name: str) -> str:
    url = members.get(name)
    if not isinstance(url, str) or not _is_https(url):
        raise UnavailableError(f"its {name} is no URL that begins with https://")
    return url


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        fine = parts.port != 0 and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False
    plain = url.isascii() and url.isprintable() and " " not in url
    return fine and plain and parts.scheme == "https" and not parts.fragment


def _token(members: Members, name: str) -> str:
    value = members.get(name, "")
    usable = isinstance(value, str) and value.isascii() and value.isprintable()
    if not usable or len(value) > _MAX_TOKEN:
        raise UnavailableError(f"its {name} cannot be read")
    return str(value)
