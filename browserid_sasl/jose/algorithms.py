"""The table of signature algorithms (PROTOCOL.md section 1.1).

A row names what a key of a certain kind and size signs with. The algorithm always follows from
the key that is trusted, never from the token: a token's header has to agree with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from browserid_sasl.errors import Code, RemoteProtocolError


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A signature algorithm.

    :param name: its name in a header's `alg`.
    :param family: ``RS``, ``DS``, ``ES`` or ``HS``, as keys spell it in `algorithm`.
    :param sizes: bits of the modulus (RSA, DSA) or field (EC) that take this algorithm,
        both ends included.
    :param subgroup: bits of DSA's `q`; 0 for the others.
    :param digest: the hash function, as `hashlib` spells it.
    :param legacy: whether it has to be permitted explicitly.
    """

    name: str
    family: str
    sizes: tuple[int, int]
    subgroup: int
    digest: str
    legacy: bool = False


HS256: Final = Algorithm("HS256", "HS", (256, 256), 0, "sha256")

# A widely used implementation makes a third of its RSA keys one bit short of the size it names
# the algorithm by, so each class of RSA keys begins a bit below its number.
ALGORITHMS: Final = (
    Algorithm("RS256", "RS", (2047, 8192), 0, "sha256"),
    Algorithm("DS256", "DS", (2048, 2048), 256, "sha256"),
    Algorithm("ES256", "ES", (256, 256), 0, "sha256"),
    # SHA-256 in spite of the names.
    Algorithm("RS128", "RS", (1023, 2046), 0, "sha256", legacy=True),
    Algorithm("RS64", "RS", (511, 1022), 0, "sha256", legacy=True),
    Algorithm("DS128", "DS", (1024, 1024), 160, "sha1", legacy=True),
)


def algorithm_for(family: str, bits: int, subgroup: int, *, allow_legacy: bool) -> Algorithm:
    """The algorithm of a key of this kind and size.

    :raises RemoteProtocolError: key-too-short, or invalid-key when no algorithm has such keys.
    """
    for row in ALGORITHMS:
        low, high = row.sizes
        if row.family == family and low <= bits <= high and row.subgroup == subgroup:
            if row.legacy and not allow_legacy:
                raise too_short(f"a {family} key of {bits} bits")
            return row
    raise RemoteProtocolError(
        Code.INVALID_KEY, f"no signature algorithm takes a {family} key of {bits} bits"
    )


def is_legacy(name: str) -> bool:
    """Whether a header's `alg` names an algorithm that has to be permitted explicitly."""
    return any(row.legacy for row in ALGORITHMS if row.name == name)


def too_short(what: str) -> RemoteProtocolError:
    """The error to raise for a key that is legacy, where that is not permitted."""
    return RemoteProtocolError(
        Code.KEY_TOO_SHORT,
        f"{what} is too short to be trusted",
        "use a key of the current size, or set `allow_legacy_keys` if the other side cannot be "
        "changed",
    )


def bad_signature() -> RemoteProtocolError:
    """The error to raise for a signature that does not verify."""
    return RemoteProtocolError(
        Code.INVALID_SIGNATURE,
        "the signature does not verify",
        "what arrived was altered on the way, or signed by another key",
    )
