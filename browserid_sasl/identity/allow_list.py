"""Which addresses may log in to a server.

That an identity provider vouches for an address says who somebody is, and not that they may come
in: everybody's domain may have one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from browserid_sasl.identity.addresses import normal_address

EVERYONE: Final = "*"
"""The entry that admits every address."""


@dataclass(frozen=True, slots=True)
class AllowList:
    """Exact domains and addresses. There are no patterns, so that none can match too much.

    :param entries: domains in lower case, addresses with their domain in lower case, or
        `EVERYONE`.
    """

    entries: frozenset[str]

    def admits(self, address: str) -> bool:
        """Whether an address is on the list, or its domain, of which subdomains are no part.

        The domain compares without regard to the case of ASCII, the part before it exactly.
        """
        normal = normal_address(address)
        if normal is None:
            return False
        domain = normal.rpartition("@")[2]
        return not self.entries.isdisjoint((domain, normal, EVERYONE))
