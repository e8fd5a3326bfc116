"""A provider's list of revoked keys, without a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from browserid_sasl.errors import Code, DiscoveryError
from browserid_sasl.identity.revocation_lists import RevocationLists
from browserid_sasl.jose import b64, jwt
from browserid_sasl.jose.keys import PrivateKey, PublicKey
from tests.support.world import World, key, support_document

PATH = "/revoked"
LIFE = 300_000


def thumbprint(of: PublicKey) -> str:
    return b64.encode(of.thumbprint)


class Lists:
    """A `ListFetcher` of what `idp.test` has revoked.

    :param clock: ms.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self.key: PrivateKey = key("idp")
        self.revoked: list[str] = []
        self.claims: dict[str, Any] = {}
        self.octets: bytes | None = None
        self.answers = True
        self.fetched: list[tuple[str, str]] = []
        self.told: list[str] = []

    def revoke(self, public_key: PublicKey) -> None:
        """Put a key on the list."""
        self.revoked.append(thumbprint(public_key))

    def fetch_list(self, domain: str, principal_domain: str, path: str) -> bytes:
        self.fetched.append((domain, path))
        if not self.answers:
            raise DiscoveryError(Code.HTTP_ERROR, f"nobody answers at {domain}")
        return self.list() if self.octets is None else self.octets

    def list(self) -> bytes:
        """The list as it is now."""
        now = self._clock()
        claims = {"iss": "idp.test", "iat": now, "exp": now + LIFE, "revoked": self.revoked}
        return jwt.sign(claims | self.claims, self.key).encode()


def watching(world: World, *, required: bool = False) -> Lists:
    """Have a world's server look at the list that its provider publishes."""
    lists = Lists(world.clock)
    world.verifier_options["revoked"] = RevocationLists(
        world.resolver,
        lists,
        world.server_stores.authorities,
        required=required,
        skew=300_000,
        wait=5,
        tell=lists.told.append,
    )
    return lists


def publishing(*keys: PrivateKey) -> dict[str, Any]:
    """The document of a provider that has a list."""
    return support_document(*keys) | {"revocations": PATH}
