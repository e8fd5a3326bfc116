"""Certificates for people's keys: what is asked, and whether it is granted.

The request is a JSON object with `email`, `password`, `public-key` and, if wanted, `duration` in
seconds; docs/identity-provider.md describes it with all its answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from browserid_sasl.errors import BrowserIDError, Code, LocalProtocolError, RemoteProtocolError
from browserid_sasl.identity import certificate
from browserid_sasl.identity.addresses import MAX_ADDRESS
from browserid_sasl.idp.accounts import MAX_PASSWORD, check_password
from browserid_sasl.idp.attempts import Attempts
from browserid_sasl.idp.audit import Event
from browserid_sasl.idp.bodies import MAX_SIZE
from browserid_sasl.idp.folder import Provider
from browserid_sasl.idp.refusal import RefusedError
from browserid_sasl.idp.signing_keys import MAX_CERTIFICATE_LIFE_MS
from browserid_sasl.idp.weak_keys import check_strength
from browserid_sasl.jose import b64
from browserid_sasl.jose import json as strict_json
from browserid_sasl.jose.keys import PublicKey, Spelling, parse_public_key

_WHAT: Final = "the request"


@dataclass(frozen=True, slots=True)
class Request:
    """A person's wish to have a key certified.

    :param email: the address, as it was spelled.
    :param password: secret.
    :param public_key: the key.
    :param duration: ms the certificate is to live, None for as long as is usual.
    """

    email: str
    password: str = field(repr=False)
    public_key: PublicKey
    duration: int | None = None

    @classmethod
    def parse(cls, body: bytes) -> Request:
        """Read a request.

        :raises BrowserIDError: what is wrong with it.
        """
        members = strict_json.parse_object(body, _WHAT, MAX_SIZE)
        if "public-key" not in members:
            raise RefusedError(400, "no-key", "the request has no `public-key`", Code.NO_KEY)
        password = strict_json.string(members, "password", _WHAT, max_length=MAX_PASSWORD)
        return cls(
            strict_json.string(members, "email", _WHAT, max_length=MAX_ADDRESS),
            check_password(password),
            parse_public_key(members["public-key"]),
            _duration(members),
        )


class Certifier:
    """Decides on requests. Safe for threads.

    :param provider: whose people may ask.
    :param life: ms a certificate lives at the most.
    :param spelling: how people's keys are written in certificates.
    """

    def __init__(self, provider: Provider, life: int, spelling: Spelling = "2012.08.15") -> None:
        self._spelling = spelling
        self._provider = provider
        self._life = min(life, MAX_CERTIFICATE_LIFE_MS)

    def certify(self, body: bytes, client: str, now: int) -> str:
        """The certificate that is asked for.

        :param body: the request's octets.
        :param client: IP address it came from.
        :param now: ms.
        :raises RefusedError: it is not granted.
        :raises StoreError: something of the provider is broken.
        """
        request = _parse(body)
        email = self._address(request.email)
        self._authenticate(email, request.password, client, now)
        # Not before: it takes a while, and nobody but the provider's people may cause that.
        _check_strength(request.public_key)
        expires = now + min(request.duration or self._life, self._life)
        signing_key = self._provider.keys.active(now).private_key
        text = certificate.issue(
            self._provider.domain,
            email,
            request.public_key,
            issued_at=now,
            expires=expires,
            signing_key=signing_key,
            spelling=self._spelling,
        )
        thumbprint = b64.encode(request.public_key.thumbprint)
        self._provider.audit.write(
            Event.CERTIFIED, now, email=email, client=client, key=thumbprint, expires=expires
        )
        return text

    def _address(self, text: str) -> str:
        try:
            return self._provider.accounts.address(text)
        except LocalProtocolError as error:
            raise RefusedError(400, "invalid-address", str(error)) from None

    def _authenticate(self, email: str, password: str, client: str, now: int) -> None:
        provider = self._provider
        attempts = Attempts(provider.limits, provider.audit)
        attempts.check(email, client, now, lambda: provider.accounts.verify(email, password, now))
        attempts.succeeded(email, client, now)


def _parse(body: bytes) -> Request:
    try:
        return Request.parse(body)
    except RefusedError:
        raise
    except BrowserIDError as error:
        raise RefusedError(400, error.code.text, str(error), error.code) from None


def _check_strength(key: PublicKey) -> None:
    try:
        check_strength(key)
    except RemoteProtocolError as error:
        raise RefusedError(400, error.code.text, str(error), error.code) from None


def _duration(members: strict_json.Object) -> int | None:
    if "duration" not in members:
        return None
    duration = members["duration"]
    longest = MAX_CERTIFICATE_LIFE_MS // 1000
    if isinstance(duration, bool) or not isinstance(duration, int) or not 1 <= duration <= longest:
        raise RefusedError(
            400, "invalid-duration", f"`duration` is not a number of seconds from 1 to {longest}"
        )
    return duration * 1000
