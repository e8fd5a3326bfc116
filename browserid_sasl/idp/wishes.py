"""What a person is asked to consent to, and what they have consented to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from browserid_sasl.config.syntax import MAX_MACHINE, is_machine_name
from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.jose import b64
from browserid_sasl.jose import json as strict_json
from browserid_sasl.jose.keys import PublicKey, parse_public_key
from browserid_sasl.web.refusal import RefusedError

MAX_KEY: Final = 4_096
"""Octets of a key, as JSON, at the most."""

_KEY: Final = "the public key"


@dataclass(frozen=True, slots=True)
class Wish:
    """That a key be certified as a person's.

    :param email: the person's address, in lower case.
    :param public_key: the key.
    :param machine: what the machine that has the key calls itself, empty if it did not say.
        Anybody can have written it.
    :param client: IP address the wish came from.
    """

    email: str
    public_key: PublicKey
    machine: str
    client: str

    @property
    def fingerprint(self) -> str:
        """The key's RFC 7638 thumbprint in base64url, as people compare it and logs have it."""
        return b64.encode(self.public_key.thumbprint)

    @property
    def details(self) -> dict[str, str]:
        """It, as the audit log has it."""
        return {
            "email": self.email,
            "client": self.client,
            "key": self.fingerprint,
            "machine": self.machine,
        }


@dataclass(frozen=True, slots=True)
class Granted:
    """A wish that the person has consented to.

    :param wish: the wish.
    :param renewal: whether the certificate may be renewed without another question.
    """

    wish: Wish
    renewal: bool


def check_machine(name: str) -> str:
    """A machine's name, if it can be shown as it is.

    :raises RefusedError: invalid-machine.
    """
    if not is_machine_name(name):
        raise RefusedError(
            400,
            "invalid-machine",
            f"the machine's name is not one of at most {MAX_MACHINE} printable characters",
        )
    return name


def key_to_text(key: PublicKey) -> str:
    """A key as the database has it."""
    return strict_json.dumps(key.to_json()).decode("utf-8")


def key_from_text(text: str) -> PublicKey:
    """The key that `key_to_text` wrote, or that a client did as JSON.

    :raises RemoteProtocolError: invalid-json, invalid-key, unknown-algorithm, buffer-too-long.
    """
    if len(text) > MAX_KEY:
        raise RemoteProtocolError(
            Code.BUFFER_TOO_LONG, f"{_KEY} has more than {MAX_KEY} characters"
        )
    return parse_public_key(strict_json.parse_object(text, _KEY, MAX_KEY))
