"""Verification of assertions by a service that somebody runs: `browserid-verifier`, or another.

It is asked as Persona's verifier was: by a POST of `assertion` and `audience`, which it answers
with a `status` of ``okay`` or ``failure``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from browserid_sasl.api.assertions import VerifiedAssertion, read
from browserid_sasl.api.environment import SYSTEM
from browserid_sasl.discovery.dialing import Dialer
from browserid_sasl.discovery.https import HttpsClient, Origin
from browserid_sasl.discovery.rooms import rooms_for_configured
from browserid_sasl.errors import BrowserIDError, Code, DiscoveryError, RemoteProtocolError
from browserid_sasl.jose import json as strict_json

MAX_ANSWER: Final = 65_536

_WHAT: Final = "the verifier's answer"
_TIMEOUT_S: Final = 10.0
_AT_ONCE: Final = 64
_SHOWN: Final = 240


class RemoteVerifier:
    """Has assertions verified by a service, which is believed. Safe for threads.

    :param url: of the service, ``https://host[:port]/path``. It is believed for what it says, so
        there is no way to reach it without TLS.
    :param ca_file: PEM file of its trust anchors; None for the system's.
    :param timeout: s for an answer.
    :raises ValueError: `url` is none of that form.
    """

    def __init__(
        self, url: str, *, ca_file: Path | None = None, timeout: float = _TIMEOUT_S
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"{url[:_SHOWN]!a} is not the URL of a verifier, https://host/path")
        self._origin = Origin(f"https://{parts.netloc}", ca_file, private=True)
        self._path = parts.path or "/"
        rooms = rooms_for_configured(_AT_ONCE)
        self._client = HttpsClient(timeout, MAX_ANSWER, Dialer(names=rooms.names), rooms.documents)

    def verify(self, assertion: str, audience: str) -> VerifiedAssertion:
        """Have a backed assertion verified; see `AssertionVerifier.verify`.

        :raises RemoteProtocolError: remote-verify-failure with the service's reason, or when its
            answer is not about this audience or has expired.
        :raises DiscoveryError: http-error, unavailable.
        """
        body = strict_json.dumps({"assertion": assertion, "audience": audience})
        answer = self._client.post(self._origin, self._path, body)
        try:
            members = strict_json.parse_object(answer.body, _WHAT, MAX_ANSWER)
        except BrowserIDError:
            raise DiscoveryError(
                Code.HTTP_ERROR,
                f"{self._origin.host} answered with status {answer.status} and no JSON",
                "see that the URL is that of a verifier",
            ) from None
        if members.get("status") != "okay":
            reason = members.get("reason")
            raise _failure(reason if isinstance(reason, str) else f"status {answer.status}")
        return _read(members, audience)


def _read(members: Mapping[str, Any], audience: str) -> VerifiedAssertion:
    said = strict_json.string(members, "audience", _WHAT)
    if read(said) != read(audience):
        raise _failure(f"the answer is about {said[:60]!a}")
    expires = strict_json.time(members, "expires", _WHAT)
    if expires <= SYSTEM.clock():
        raise _failure("the assertion has expired")
    return VerifiedAssertion(
        email=strict_json.string(members, "email", _WHAT),
        audience=audience,
        expires=expires,
        issuer=strict_json.string(members, "issuer", _WHAT),
    )


def _failure(reason: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        Code.REMOTE_VERIFY_FAILURE, f"the verifier refused: {reason[:_SHOWN]}"
    )
