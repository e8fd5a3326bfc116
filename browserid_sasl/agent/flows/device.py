"""Signing in on another device (PROTOCOL.md section 8, RFC 8628)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from browserid_sasl.agent.apart import apart
from browserid_sasl.agent.application import Application, RefusedError
from browserid_sasl.agent.flows.prompt import Pace, Prompt, Show, not_that_address
from browserid_sasl.errors import (
    Code,
    CredentialError,
    DiscoveryError,
    RemoteProtocolError,
)
from browserid_sasl.identity.ports import IdentityRecord
from browserid_sasl.jose import json as strict_json

_WHAT: Final = "the identity provider's answer"
_MAX_DEVICE_CODE: Final = 1_024
_MAX_USER_CODE: Final = 64
_MAX_LINK: Final = 2_048
_INTERVAL_S: Final = 5
_SLOWER_S: Final = 5
_MAX_INTERVAL_S: Final = 300
_MAX_LIFE_S: Final = 3_600
_BUSY: Final = (429, 503)


@dataclass(frozen=True, slots=True)
class _Grant:
    """What the provider gave to begin with (RFC 8628 section 3.2)."""

    device_code: str = field(repr=False)
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    interval: int
    expires_in: int

    @classmethod
    def parse(cls, members: strict_json.Object) -> _Grant:
        def text(name: str, most: int) -> str:
            value = strict_json.string(members, name, _WHAT, max_length=most)
            if not value.isprintable() or not value:
                raise _unusable(name)
            return value

        def number(name: str, usual: int | None, most: int) -> int:
            value = members.get(name, usual)
            if type(value) is not int or not 1 <= value <= most:
                raise _unusable(name)
            return value

        page = _page(text("verification_uri", _MAX_LINK), "verification_uri")
        whole = "verification_uri_complete"
        return cls(
            text("device_code", _MAX_DEVICE_CODE),
            text("user_code", _MAX_USER_CODE),
            page,
            _page(text(whole, _MAX_LINK), whole) if whole in members else page,
            number("interval", _INTERVAL_S, _MAX_INTERVAL_S),
            number("expires_in", None, _MAX_LIFE_S),
        )


class DeviceFlow:
    """A sign-in on any device that has a browser. Implements `flows.prompt.Flow`.

    :param application: the key, and who certifies it.
    :param pace: tells how time passes; the event loop's when None.
    """

    def __init__(self, application: Application, pace: Pace | None = None) -> None:
        self._application = application
        self._pace = pace

    async def run(self, show: Show) -> IdentityRecord:
        """See `Flow.run`."""
        pace = self._pace or Pace.real()
        grant = await apart(self._begin)
        show(
            Prompt(
                grant.verification_uri_complete,
                grant.expires_in,
                grant.user_code,
                grant.verification_uri,
            )
        )
        end, interval = pace.now() + grant.expires_in, grant.interval
        while pace.now() + interval < end:
            await pace.sleep(interval)
            try:
                return await apart(self._application.certified, {"device_code": grant.device_code})
            except DiscoveryError:
                # Half way through somebody's sign-in the network may be gone for a moment.
                interval = min(interval * 2, _MAX_INTERVAL_S)
            except RefusedError as error:
                interval += self._slower(error)
        await pace.sleep(max(0.0, end - pace.now()))
        raise self._over("the code has expired and nobody approved it")

    def paste(self, address: str) -> None:
        """See `Flow.paste`."""
        raise not_that_address("nothing has to be pasted when another device approves")

    def _begin(self) -> _Grant:
        application = self._application
        provider = application.provider
        path = provider.document.device_authorization
        if path is None:
            raise CredentialError(
                Code.INTERACT_UNAVAILABLE,
                f"{provider.domain} has no sign-in on another device",
                "use --browser or a password",
            )
        request: dict[str, object] = {
            "email": application.identity,
            "public-key": application.key.public_key.to_json("jwk"),
        }
        if application.machine:
            request["machine"] = application.machine
        granted = provider.ask(path, request)
        try:
            return _Grant.parse(granted)
        except RemoteProtocolError as error:
            raise DiscoveryError(error.code, error.message) from None

    def _slower(self, error: RefusedError) -> int:
        """By how many seconds to ask less often; raises where there is nothing more to ask for."""
        if error.word == "authorization_pending":
            return 0
        if error.word == "slow_down" or error.status in _BUSY:
            return _SLOWER_S
        if error.word == "access_denied":
            raise self._over("it was refused on the other device") from None
        if error.word == "expired_token":
            raise self._over("the code has expired and nobody approved it") from None
        raise error

    def _over(self, why: str) -> CredentialError:
        return CredentialError(
            Code.INTERACT_FAILURE,
            f"the sign-in as {self._application.identity} has ended: {why}",
            f"begin it again: browserid login --device {self._application.identity}",
        )


def _page(link: str, name: str) -> str:
    """A link that a person may be shown: over TLS, and to nobody by a name before an at sign."""
    try:
        parts = urlsplit(link)
    except ValueError:
        raise _unusable(name) from None
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc or " " in link:
        raise _unusable(name)
    return link


def _unusable(name: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        Code.INVALID_JSON, f"{_WHAT} is not usable: its `{name}` is not what RFC 8628 says"
    )
