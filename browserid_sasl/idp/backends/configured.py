"""The backends that a configuration names. Whoever adds a kind adds it to `_BUILDERS`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from browserid_sasl.config import Config
from browserid_sasl.errors import ConfigurationError
from browserid_sasl.extras import not_installed
from browserid_sasl.idp.backends import OWN_ACCOUNTS, Backend
from browserid_sasl.idp.backends.certificate_configuration import certificate_backend
from browserid_sasl.idp.backends.pam import PamBackend, Service
from browserid_sasl.idp.outside import Backends


def configured_backends(config: Config) -> Backends:
    """What `backends` in [idp] names.

    :raises ConfigurationError: there is no such one, it lacks something, or what it needs is not
        installed.
    :raises StoreError: others have access to a secret.
    """
    order = config.idp.backends
    if config.idp.fallback:
        _check_fallback(config)
    return Backends(order, [_built(config, name) for name in order if name != OWN_ACCOUNTS])


def _check_fallback(config: Config) -> None:
    """See that a fallback provider has what it can use: mail, and other providers for domains."""
    order = config.idp.backends
    if OWN_ACCOUNTS not in order:
        raise config.error(
            "idp.backends",
            f"backends in [idp] has no {OWN_ACCOUNTS!r}, and it is a fallback provider",
            "add it: so are those called who sign in by mail",
        )
    if wrong := [name for name in order if name != OWN_ACCOUNTS and name not in config.oidc]:
        raise config.error(
            "idp.backends",
            f"backends in [idp] has {wrong[0]!r}, which a fallback provider cannot ask",
            'besides mail it has other providers only: sections [oidc."NAME"] with domains',
        )
    if config.idp.second_step != "code":
        raise config.error(
            "idp.second_step",
            "second_step is set in [idp], and a fallback provider has no second step",
            "leave it out",
        )
    _check_once(config)


def _check_once(config: Config) -> None:
    """See that no domain is said to be two providers'."""
    said: dict[str, str] = {}
    for name in filter(config.oidc.get, config.idp.backends):
        for domain in config.oidc[name].domains:
            if said.setdefault(domain, name) != name:
                raise config.error(
                    f"oidc.{name}.domains",
                    f'[oidc."{said[domain]}"] and [oidc."{name}"] both have {domain} in domains',
                    "leave it in one of them",
                )


def _built(config: Config, name: str) -> Backend:
    kinds = [kind for kind in _BUILDERS if name in getattr(config, kind)]
    if len(kinds) != 1:
        sections = " or ".join(f'[{kind}."{name}"]' for kind in kinds or _BUILDERS)
        raise config.error(
            "idp.backends",
            f"backends in [idp] has {name!r}, of which there are {len(kinds)} sections",
            f"have one section {sections}",
        )
    [kind] = kinds
    try:
        return _BUILDERS[kind](config, name)
    except ModuleNotFoundError as error:
        raise ConfigurationError(*not_installed(kind, error)) from None


def _kerberos(config: Config, name: str) -> Backend:
    from browserid_sasl.idp.backends.kerberos_configuration import (  # noqa: PLC0415
        kerberos_backend,
    )

    return kerberos_backend(config, name)


def _ldap(config: Config, name: str) -> Backend:
    from browserid_sasl.idp.backends.ldap_configuration import ldap_backend  # noqa: PLC0415

    return ldap_backend(config, name)


def _oidc(config: Config, name: str) -> Backend:
    from browserid_sasl.idp.backends.oidc_configuration import oidc_backend  # noqa: PLC0415

    return oidc_backend(config, name)


def _pam(config: Config, name: str) -> Backend:
    options = config.pam[name]
    service = Service(
        service=options.service,
        user_template=options.user_template,
        least_uid=options.least_uid,
        groups=options.groups,
        timeout=options.timeout_ms,
    )
    return PamBackend(name, service)


_BUILDERS: Final[dict[str, Callable[[Config, str], Backend]]] = {
    "kerberos": _kerberos,
    "certificate": certificate_backend,
    "ldap": _ldap,
    "oidc": _oidc,
    "pam": _pam,
}
"""By the kind of a section, which is also the name of the extra that it needs, if it does."""
