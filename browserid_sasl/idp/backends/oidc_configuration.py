"""Another provider as a configuration describes it."""

from __future__ import annotations

from functools import partial
from typing import Final

from browserid_sasl.config import Config
from browserid_sasl.idp.backends.oidc import OidcBackend, Terms
from browserid_sasl.idp.backends.oidc_upstream import Access, Upstream
from browserid_sasl.private_files import read_secret

_OURS: Final = frozenset(
    {
        *("response_type", "response_mode", "client_id", "redirect_uri", "scope", "state"),
        *("nonce", "code_challenge", "code_challenge_method", "max_age", "acr_values"),
        *("login_hint", "request", "request_uri"),
    }
)
"""Parameters that are not the administrator's to choose."""


def oidc_backend(config: Config, name: str) -> OidcBackend:
    """The provider of a section.

    :raises ConfigurationError: it lacks something, or has too much.
    """
    options = config.oidc[name]
    for option in ("issuer", "client_id"):
        if not getattr(options, option):
            raise config.error(
                f"oidc.{name}.{option}",
                f'[oidc."{name}"] has no {option}',
                "give it, as that provider calls itself, or calls this one",
            )
    if options.local_part_claim and not config.idp.domain:
        raise config.error(
            "idp.domain",
            f'[oidc."{name}"] has local_part_claim, and [idp] has no domain',
            "give the domain, which comes after the @",
        )
    if wrong := sorted(_OURS & {each for each, _ in options.parameters}):
        raise config.error(
            f"oidc.{name}.parameters",
            f'[oidc."{name}"] has {wrong[0]} in parameters, which is set by this provider',
            "leave it out, or see whether there is an option for it",
        )
    _check_domains(config, name)
    file = options.client_secret_file
    unfit = partial(config.error, f"oidc.{name}.client_secret_file")
    access = Access(
        options.issuer,
        options.client_id,
        read_secret(file, "the secret of this client", unfit) if file else "",
        options.ca_file,
        options.timeout_ms,
    )
    terms = Terms(
        label=options.label or name,
        scopes=options.scopes,
        parameters=dict(options.parameters),
        acr_values=options.acr_values,
        max_age=options.max_age_ms,
        local_part_claim=options.local_part_claim,
        domain=config.idp.domain,
        domains=options.domains,
        mail_too=options.mail_too,
    )
    return OidcBackend(name, Upstream(access), terms)


def _check_domains(config: Config, name: str) -> None:
    """See that it is said for which domains it is, where and only where that has to be said."""
    options, option = config.oidc[name], f"oidc.{name}.domains"
    if config.idp.fallback and not options.domains:
        raise config.error(
            option,
            f'[oidc."{name}"] has no domains, and [idp] is a fallback provider',
            "say for the addresses of which domains it is",
        )
    if options.domains and not config.idp.fallback:
        raise config.error(
            option,
            f'[oidc."{name}"] has domains, and [idp] is no fallback provider',
            "leave them out: it is for addresses of `domain` in [idp]",
        )
    if options.domains and options.local_part_claim:
        raise config.error(
            f"oidc.{name}.local_part_claim",
            f'[oidc."{name}"] has domains and local_part_claim, which does not say the domain',
            "leave out local_part_claim: the claim `email` has the whole address",
        )
