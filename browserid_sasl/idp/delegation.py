"""What a domain publishes whose provider is elsewhere (PROTOCOL.md section 2)."""

from __future__ import annotations

from browserid_sasl.config import IdpConfig
from browserid_sasl.errors import ConfigurationError


def delegation_document(options: IdpConfig) -> dict[str, str]:
    """The document for the web server of a domain.

    :raises ConfigurationError: it has no name, or its provider is not elsewhere.
    """
    if not options.domain:
        raise ConfigurationError("no domain is given", "name one with --domain example.org")
    if options.authority in ("", options.domain):
        raise ConfigurationError(
            f"programs find the provider of {options.domain} at the domain itself, which then has"
            " nothing to delegate",
            "give the host at which it is as `authority`, or have the domain's web server pass on"
            " to the provider what it is asked",
        )
    return {"authority": options.authority}
