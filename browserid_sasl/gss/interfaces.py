"""What a context needs of the world, passed in so that this layer touches none of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from browserid_sasl.gss.agreement import EphemeralKeySource
from browserid_sasl.gss.names import ServiceName
from browserid_sasl.jose.jwt import SigningKey, VerificationKey

Clock = Callable[[], int]
"""The time in ms since the epoch."""

RandomSource = Callable[[int], bytes]
"""That many octets from a cryptographic generator."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The time and randomness of a context.

    :param clock: the time.
    :param random: random octets.
    :param ephemeral: key pairs for key agreement.
    """

    clock: Clock
    random: RandomSource
    ephemeral: EphemeralKeySource


class CredentialSource(Protocol):
    """A person's signing key and certificate, wherever they are kept."""

    @property
    def identity(self) -> str:
        """The person's e-mail address.

        :raises CredentialError: when nobody is signed in, or it is not clear who is meant.
        """

    def assertion(self, claims: bytes) -> str:
        """Sign an assertion; the key stays where it is.

        :param claims: the payload, ready-made JSON.
        :returns: the backed assertion, ``certificate~assertion``.
        :raises CredentialError: when signing in is needed first.
        """


class ServerTrust(Protocol):
    """An initiator's opinion on acceptors' X.509 certificates (PROTOCOL.md section 4.3)."""

    def verify(self, chain: tuple[bytes, ...], target: ServiceName, now: int) -> VerificationKey:
        """Check a chain, its validity, its purpose and its name.

        :param chain: DER certificates, the acceptor's own first.
        :param target: the service it has to be for.
        :param now: ms.
        :returns: the acceptor's public key.
        :raises RemoteProtocolError: untrusted-x509-cert, bad-subject.
        """


@dataclass(frozen=True, slots=True)
class ServerCredential:
    """An acceptor's X.509 key (PROTOCOL.md section 4.3).

    :param key: signs responses; RSA or P-256.
    :param chain: DER certificates, the key's own first, the trust anchor left out.
    """

    key: SigningKey
    chain: tuple[bytes, ...]
