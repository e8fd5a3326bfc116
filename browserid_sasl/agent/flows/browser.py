"""Signing in in a browser on this machine (PROTOCOL.md section 8, RFC 8252, RFC 7636)."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from typing import Final
from urllib.parse import urlencode

from browserid_sasl.agent.apart import apart
from browserid_sasl.agent.application import Application, shown
from browserid_sasl.agent.flows.loopback import Loopback, Result
from browserid_sasl.agent.flows.prompt import Prompt, Show, not_that_address
from browserid_sasl.errors import BrowserIDError, Code, CredentialError
from browserid_sasl.identity.ports import IdentityRecord
from browserid_sasl.jose import b64

_SECRET_OCTETS: Final = 32
_CLOSE: Final = "You can close this page."


class BrowserFlow:
    """A sign-in in the browser. Implements `flows.prompt.Flow`.

    The browser comes back to a port of loopback; where it cannot, the person pastes the address
    that it shows.

    :param application: the key, and who certifies it.
    :param port: TCP port to listen on; 0 for any.
    :param life: seconds to wait for an answer.
    """

    def __init__(self, application: Application, port: int, life: int) -> None:
        self._application = application
        self._port = port
        self._life = life
        self._loopback: Loopback | None = None

    async def run(self, show: Show) -> IdentityRecord:
        """See `Flow.run`."""
        state, verifier = _secret(), _secret()
        async with Loopback(state, self._port) as loopback:
            self._loopback = loopback
            link = self._link(state, verifier, loopback.uri)
            show(Prompt(link, self._life, heard=loopback.heard))
            try:
                async with asyncio.timeout(self._life):
                    result = await loopback.result()
            except TimeoutError:
                raise self._unanswered() from None
            try:
                record = await apart(self._redeem, result, verifier)
            except BrowserIDError as error:
                loopback.show("You are not signed in", f"{error}. {_CLOSE}")
                raise
            loopback.show(f"You are signed in as {record.identity}", _CLOSE)
            return record

    def paste(self, address: str) -> None:
        """See `Flow.paste`."""
        result = self._loopback.read(address.strip()) if self._loopback else None
        if self._loopback is None or result is None:
            raise not_that_address("it belongs to no sign-in, or to another one")
        self._loopback.take(result)

    def _link(self, state: str, verifier: str, redirect_uri: str) -> str:
        application = self._application
        challenge = b64.encode(hashlib.sha256(verifier.encode()).digest())
        query = {
            "email": application.identity,
            "public-key": application.public_key,
            "state": state,
            "redirect_uri": redirect_uri,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        if application.machine:
            query["machine"] = application.machine
        provider = application.provider
        page = provider.http.address(provider.domain, provider.document.authentication)
        return f"{page}?{urlencode(query)}"

    def _redeem(self, result: Result, verifier: str) -> IdentityRecord:
        if result.error:
            raise _denied(result, self._application.provider.domain)
        return self._application.certified({"code": result.code, "code_verifier": verifier})

    def _unanswered(self) -> CredentialError:
        return CredentialError(
            Code.INTERACT_FAILURE,
            f"nobody has signed in as {self._application.identity} within {self._life} s",
            f"try again: browserid login {self._application.identity}",
        )


def _denied(result: Result, domain: str) -> CredentialError:
    if result.error == "access_denied":
        return CredentialError(
            Code.INTERACT_FAILURE, "the sign-in was cancelled in the browser", "begin it again"
        )
    said = shown(result.description) or shown(result.error) or "something that cannot be shown"
    return CredentialError(Code.INTERACT_FAILURE, f"{domain} refused the sign-in (it said: {said})")


def _secret() -> str:
    return b64.encode(secrets.token_bytes(_SECRET_OCTETS))
