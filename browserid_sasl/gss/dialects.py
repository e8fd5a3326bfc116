"""The two generations of the protocol in circulation (PROTOCOL.md section 7)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from browserid_sasl.errors import Code, LocalProtocolError, RemoteProtocolError
from browserid_sasl.gss.names import ServiceName


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a generation spells what both say.

    :param name: as the configuration has it.
    :param audience_prefix: what stands before the service principal name in `aud`.
    :param agreement: the member that carries the public point.
    :param has_key_type: whether that member has a `kty` in assertions.
    """

    name: str
    audience_prefix: str
    agreement: str
    has_key_type: bool

    def audience(self, name: ServiceName) -> str:
        """The `aud` claim for a service."""
        return f"{self.audience_prefix}{name}"


DRAFT_04: Final = Dialect("draft-04", "urn:x-gss:", "ecdh", has_key_type=False)
DRAFT_07: Final = Dialect("draft-07", "", "epk", has_key_type=True)
DIALECTS: Final = {dialect.name: dialect for dialect in (DRAFT_04, DRAFT_07)}


def dialect_by_name(name: str) -> Dialect:
    """The dialect of this name.

    :raises LocalProtocolError: invalid-parameter.
    """
    if name not in DIALECTS:
        raise LocalProtocolError(
            Code.INVALID_PARAMETER,
            f"there is no dialect {name[:40]!r}",
            "the dialects are " + ", ".join(DIALECTS),
        )
    return DIALECTS[name]


@lru_cache(maxsize=256)
def read_audience(text: str) -> tuple[Dialect, ServiceName]:
    """Take an `aud` claim apart.

    :raises RemoteProtocolError: invalid-audience-urn, bad-service-name.
    """
    if text.startswith(DRAFT_04.audience_prefix):
        return DRAFT_04, ServiceName.parse(text.removeprefix(DRAFT_04.audience_prefix))
    if text.startswith("urn:"):
        raise RemoteProtocolError(
            Code.INVALID_AUDIENCE_URN, "the audience is a URN of a kind that is not known"
        )
    return DRAFT_07, ServiceName.parse(text)
