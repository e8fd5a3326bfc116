"""Identity providers' documents that the configuration pins to files.

They are read at each login, without the HTTP client that a process may otherwise never need.
"""

from __future__ import annotations

from collections.abc import Mapping

from browserid_sasl.config import AuthorityOverride
from browserid_sasl.errors import Code, DiscoveryError
from browserid_sasl.identity.authority import FetchedDocument


def pinned_domains(authorities: Mapping[str, AuthorityOverride]) -> list[str]:
    """The domains whose documents are pinned."""
    return [domain for domain, own in authorities.items() if own.keys_file is not None]


def read_pinned(
    authorities: Mapping[str, AuthorityOverride], domain: str, max_size: int
) -> FetchedDocument | None:
    """The document of a domain, None if it is not pinned.

    :param max_size: octets a document may have.
    :raises DiscoveryError: http-error when the file cannot be read, or is longer.
    """
    override = authorities.get(domain)
    if override is None or override.keys_file is None:
        return None
    try:
        with override.keys_file.open("rb") as file:
            body = file.read(max_size + 1)
    except OSError as error:
        raise DiscoveryError(
            Code.HTTP_ERROR,
            f"the document of {domain} cannot be read from {override.keys_file} ({error.strerror})",
            f'correct `keys_file` in [authorities."{domain}"]',
        ) from None
    if len(body) > max_size:
        raise DiscoveryError(
            Code.HTTP_ERROR,
            f"the document of {domain} in {override.keys_file} has more than the {max_size} octets"
            " permitted",
            f'correct `keys_file` in [authorities."{domain}"], or `max_size` in [discovery]',
        )
    return FetchedDocument(body, lifetime=None)
