"""What a program shows for a certificate: a password, a code, a device's code, or a renewal.

docs/identity-provider.md describes the requests with all their answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from browserid_sasl.errors import BrowserIDError, Code
from browserid_sasl.identity.addresses import MAX_ADDRESS
from browserid_sasl.idp.accounts import MAX_PASSWORD, check_password
from browserid_sasl.idp.codes import MAX_VERIFIER
from browserid_sasl.idp.renewals import MAX_STATEMENT, Proof
from browserid_sasl.idp.signing_keys import MAX_CERTIFICATE_LIFE_MS
from browserid_sasl.idp.tokens import MAX_TOKEN
from browserid_sasl.idp.wishes import check_machine
from browserid_sasl.jose import json as strict_json
from browserid_sasl.jose.keys import PublicKey, parse_public_key
from browserid_sasl.web.bodies import MAX_SIZE
from browserid_sasl.web.refusal import RefusedError

_WHAT: Final = "the request"


@dataclass(frozen=True, slots=True)
class Question:
    """Whose key is to be certified, as far as a program can say.

    :param email: the address, as it was spelled.
    :param public_key: the key.
    :param machine: what the program's machine calls itself, may be empty.
    """

    email: str
    public_key: PublicKey
    machine: str

    @classmethod
    def read(cls, members: strict_json.Object) -> Question:
        """Read the members of a request.

        :raises BrowserIDError: what is wrong with them.
        """
        if "public-key" not in members:
            raise RefusedError(400, "no-key", "the request has no `public-key`", Code.NO_KEY)
        machine = strict_json.optional_string(members, "machine", _WHAT) or ""
        return cls(
            strict_json.string(members, "email", _WHAT, max_length=MAX_ADDRESS),
            parse_public_key(members["public-key"]),
            check_machine(machine),
        )


@dataclass(frozen=True, slots=True)
class PasswordGrant:
    """A person's password.

    :param question: whose key.
    :param password: secret.
    :param duration: ms the certificate is to live, None for as long as is usual.
    """

    question: Question
    password: str = field(repr=False)
    duration: int | None

    @classmethod
    def read(cls, members: strict_json.Object) -> PasswordGrant:
        """See `Question.read`."""
        question = Question.read(members)
        password = strict_json.string(members, "password", _WHAT, max_length=MAX_PASSWORD)
        return cls(question, check_password(password), _duration(members))


@dataclass(frozen=True, slots=True)
class CodeGrant:
    """What a person's browser has brought (RFC 6749 section 4.1.3).

    :param code: secret.
    :param verifier: what its challenge was made from (RFC 7636).
    """

    code: str = field(repr=False)
    verifier: str = field(repr=False)

    @classmethod
    def read(cls, members: strict_json.Object) -> CodeGrant:
        """See `Question.read`."""
        return cls(
            strict_json.string(members, "code", _WHAT, max_length=MAX_TOKEN),
            strict_json.string(members, "code_verifier", _WHAT, max_length=MAX_VERIFIER),
        )


@dataclass(frozen=True, slots=True)
class DeviceGrant:
    """What a program that waits polls with (RFC 8628 section 3.4).

    :param device_code: secret.
    """

    device_code: str = field(repr=False)

    @classmethod
    def read(cls, members: strict_json.Object) -> DeviceGrant:
        """See `Question.read`."""
        return cls(strict_json.string(members, "device_code", _WHAT, max_length=MAX_TOKEN))


@dataclass(frozen=True, slots=True)
class RenewalGrant:
    """What a program that may renew has kept.

    :param proof: signed by the person's key.
    :param revoke: whether it is to be ended instead.
    """

    proof: Proof = field(repr=False)
    revoke: bool

    @classmethod
    def read(cls, members: strict_json.Object) -> RenewalGrant:
        """See `Question.read`."""
        revoke = members.get("revoke", False)
        if not isinstance(revoke, bool):
            raise RefusedError(400, "invalid-json", "`revoke` is neither true nor false")
        text = strict_json.string(members, "renewal", _WHAT, max_length=MAX_STATEMENT)
        return cls(Proof.parse(text), revoke)


Grant = PasswordGrant | CodeGrant | DeviceGrant | RenewalGrant


def parse_grant(body: bytes) -> Grant:
    """Read a request for a certificate.

    :raises RefusedError: what is wrong with it.
    """
    try:
        members = strict_json.parse_object(body, _WHAT, MAX_SIZE)
        given = [name for name in _READERS if name in members]
        if len(given) > 1:
            raise RefusedError(
                400, "several-grants", f"the request has both `{given[0]}` and `{given[1]}`"
            )
        # What is missing of the first generation's request is said in its terms.
        return _READERS[given[0] if given else "password"](members)
    except BrowserIDError as error:
        raise refused(error) from None


def parse_question(body: bytes) -> Question:
    """Read what a program that waits for its person asks.

    :raises RefusedError: what is wrong with it.
    """
    try:
        return Question.read(strict_json.parse_object(body, _WHAT, MAX_SIZE))
    except BrowserIDError as error:
        raise refused(error) from None


def refused(error: BrowserIDError) -> RefusedError:
    """What is wrong with a request, as its client learns it."""
    if isinstance(error, RefusedError):
        return error
    return RefusedError(400, error.code.text, str(error), error.code)


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


_READERS: Final[dict[str, Callable[[strict_json.Object], Grant]]] = {
    "password": PasswordGrant.read,
    "code": CodeGrant.read,
    "device_code": DeviceGrant.read,
    "renewal": RenewalGrant.read,
}

GRANT_TYPES: Final = ("password", "code", "device", "renewal")
"""What a support document says that is taken."""
