"""Identity providers' documents that the configuration pins to files, read at each login."""

from __future__ import annotations

from collections.abc import Mapping

from browserid_sasl.config import AuthorityOverride
from browserid_sasl.errors import Code, ConfigurationError, DiscoveryError
from browserid_sasl.identity.authority import FetchedDocument
from browserid_sasl.trusted_files import read_trusted, unreadable


def pinned_domains(authorities: Mapping[str, AuthorityOverride]) -> list[str]:
    """The domains whose documents are pinned."""
    return [domain for domain, own in authorities.items() if own.keys_file is not None]


def read_pinned(
    authorities: Mapping[str, AuthorityOverride], domain: str, max_size: int
) -> FetchedDocument | None:
    """The document of a domain, None if it is not pinned.

    :param max_size: octets a document may have.
    :raises DiscoveryError: http-error when the file cannot be read, is longer, or is not to be
        trusted.
    """
    override = authorities.get(domain)
    if override is None or override.keys_file is None:
        return None
    what = f"the document of {domain}"
    try:
        # Whoever writes it can let in whom they like, as anybody of that domain.
        body = read_trusted(override.keys_file, what, max_size)
    except OSError as error:
        raise _unusable(unreadable(override.keys_file, what, error)) from None
    except ConfigurationError as error:
        raise _unusable(error) from None
    return FetchedDocument(body, lifetime=None)


def _unusable(error: ConfigurationError) -> DiscoveryError:
    remedy = f"{error.remedy}; `keys_file` in [authorities] names it"
    return DiscoveryError(Code.HTTP_ERROR, f"{error.file}: {error.message}", remedy)
