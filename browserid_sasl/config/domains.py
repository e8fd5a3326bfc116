"""The domains of an identity provider, each with a configuration in which `idp` is its own."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import fields, replace
from typing import Any, Final
from urllib.parse import urlsplit

from browserid_sasl.config.configuration import Config
from browserid_sasl.config.options import Origin
from browserid_sasl.config.sections import DomainConfig, IdpConfig
from browserid_sasl.errors import ConfigurationError

_FOLDER: Final = "domains"
_OF_ONE: Final = (
    *("authority", "database", "key_encryption_file", "public_url", "rp_id"),
    *("name", "logo_file", "accent_colour", "embedders", "backends"),
    "fallback",
)
"""Options of [idp] that no other domain has from there: they would mix the two up."""

_USUAL: Final = IdpConfig()


def domains_of(config: Config) -> dict[str, Config]:
    """The configuration of each domain by its name, that of [idp] first; empty if none has a name.

    :raises ConfigurationError: two of them have something that each needs for itself.
    """
    first = {config.idp.domain: config} if config.idp.domain else {}
    for name in first.keys() & config.domain.keys():
        raise config.error(
            f"domain.{name}.",
            f"[idp] and a section of its own are both for the domain {name}",
            "leave the section out, or name another domain in [idp]",
        )
    domains = first | {name: _of(config, name, own) for name, own in config.domain.items()}
    for what, values in _APART.items():
        _check_apart(domains, what, values)
    return domains


def section_of(config: Config) -> str:
    """What the section is called that says how `idp` of a configuration is."""
    domain = config.idp.domain
    return f'[domain."{domain}"]' if domain in config.domain else "[idp]"


def hosts_of(options: IdpConfig) -> tuple[str, ...]:
    """The hosts at which a domain's provider is: for programs, and for people."""
    authority = options.authority or options.domain
    pages = urlsplit(options.public_url).hostname or authority
    return (authority,) if pages == authority else (authority, pages)


def _of(config: Config, name: str, own: DomainConfig) -> Config:
    if (own.tls_certificate is None) != (own.tls_key is None):
        given = "tls_key" if own.tls_certificate is None else "tls_certificate"
        raise config.error(
            f"domain.{name}.{given}",
            f'[domain."{name}"] has one of tls_certificate and tls_key',
            "give both or neither",
        )
    values: dict[str, Any] = {each: getattr(_USUAL, each) for each in _OF_ONE}
    values |= {"domain": name, "directory": config.idp.directory / _FOLDER / name}
    given_here = {each.name: getattr(own, each.name) for each in fields(own)}
    values |= {each: value for each, value in given_here.items() if value is not None}
    return replace(config, idp=replace(config.idp, **values), origins=_origins(config, name))


def _origins(config: Config, name: str) -> Mapping[str, Origin]:
    """Where options were given, with those of a domain in place of those of [idp]."""
    prefix = f"domain.{name}."
    theirs = {f"idp.{each}" for each in (*_OF_ONE, "domain", "directory")}
    origins = {each: origin for each, origin in config.origins.items() if each not in theirs}
    return origins | {
        f"idp.{each.removeprefix(prefix)}": origin
        for each, origin in config.origins.items()
        if each.startswith(prefix)
    }


_APART: Final[Mapping[str, Callable[[IdpConfig], tuple[Hashable, ...]]]] = {
    "host": hosts_of,
    "directory": lambda options: (options.directory,),
    "database": lambda options: (options.database,) if options.database else (),
    # Where none is written, passkeys are for the host of the pages.
    "RP ID": lambda options: (options.rp_id or hosts_of(options)[-1],),
}
"""What no two domains may have in common: else a browser, or a file, is of both."""


def _check_apart(
    domains: Mapping[str, Config], what: str, values: Callable[[IdpConfig], tuple[Hashable, ...]]
) -> None:
    whose: dict[Hashable, str] = {}
    for name, config in domains.items():
        for value in values(config.idp):
            if value in whose:
                raise _shared(config, what, value, (whose[value], name))
            whose[value] = name


def _shared(
    config: Config, what: str, value: object, domains: tuple[str, str]
) -> ConfigurationError:
    one, other = domains
    # A database may have names in it that are nobody's business.
    said = "" if what == "database" else f" {value}"
    return config.error(
        "idp.",
        f"{one} and {other} have the same {what}{said}",
        f'give each domain its own {what}: in [domain."{other}"] see `authority`, `public_url`,'
        " `rp_id`, `directory` and `database`",
    )
