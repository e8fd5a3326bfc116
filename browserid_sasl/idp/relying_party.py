"""Whom passkeys are for: the RP ID and the origin of WebAuthn (Level 3, section 13.4.9).

Browsers use a passkey for one RP ID only, so another one breaks every passkey there is. It is
therefore recorded with the first, and a provider does not start with another until somebody who
knows what breaks has confirmed it.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from browserid_sasl.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """What passkeys are bound to.

    :param id: the RP ID, a domain.
    :param origin: of the pages that ask for them, as browsers write it.
    """

    id: str
    origin: str

    @classmethod
    def at(cls, public_url: str, rp_id: str = "") -> RelyingParty:
        """The party whose pages are at an address.

        :param public_url: ``https://HOST[:PORT]``.
        :param rp_id: the RP ID, empty for the host itself.
        :raises ConfigurationError: browsers would not use this RP ID there.
        """
        parts = urlsplit(public_url)
        host = parts.hostname or ""
        port = "" if parts.port in (None, 443) else f":{parts.port}"
        name = f"[{host}]" if ":" in host else host
        party = cls(rp_id or host, f"https://{name}{port}")
        if rp_id and not _covers(rp_id, host):
            raise ConfigurationError(
                f"the RP ID {rp_id} is not that of pages at {party.origin}: browsers would refuse"
                " every passkey",
                f"set `rp_id` in [idp] to {host} or to a domain above it, or leave it out",
            )
        return party


def _covers(rp_id: str, host: str) -> bool:
    if rp_id == host:
        return True
    # A domain of one label is nobody's: it is a registry.
    return "." in rp_id and host.endswith(f".{rp_id}") and not _is_address(host)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
