"""Realms of Kerberos as a configuration describes them."""

from __future__ import annotations

from pathlib import Path

from browserid_sasl.config import Config, KerberosConfig
from browserid_sasl.idp.backends.directory_configuration import directory_of
from browserid_sasl.idp.backends.kerberos import Kdc, KerberosBackend
from browserid_sasl.idp.backends.kerberos_directory import People
from browserid_sasl.idp.backends.kerberos_principals import Principals
from browserid_sasl.idp.backends.kerberos_tickets import Acceptor
from browserid_sasl.private_files import read_private


def kerberos_backend(config: Config, name: str) -> KerberosBackend:
    """The realms of a section.

    :raises ConfigurationError: it lacks something, or has too much.
    :raises StoreError: others have access to its keytab.
    """
    options = config.kerberos[name]
    keytab = _keytab(config, name, options)
    _check_active_directory(config, name, options)
    principals = Principals(
        realms=options.realms or (options.principal.rpartition("@")[2],),
        domain=config.idp.domain,
        any_case=options.any_case,
        addresses=dict(options.addresses),
    )
    kdc = Kdc(
        keytab=keytab,
        service=options.asks_as or options.principal,
        timeout=options.timeout_ms,
    )
    return KerberosBackend(
        name,
        Acceptor(name, keytab, options.principal, _certificate(config)),
        principals,
        kdc if options.ask_kdc else None,
        _people(config, name, options),
        label=options.label,
        at_once=options.at_once,
    )


def _keytab(config: Config, name: str, options: KerberosConfig) -> Path:
    """The file, in which there is something that nobody else can read."""
    for option in ("keytab", "principal"):
        if not getattr(options, option):
            raise config.error(
                f"kerberos.{name}.{option}",
                f'[kerberos."{name}"] has no {option}',
                "give the file with the service's keys, and what the service is called in it",
            )
    if not config.idp.domain:
        raise config.error(
            "idp.domain",
            f'[kerberos."{name}"] makes addresses of names, and [idp] has no domain',
            "give the domain, which comes after the @",
        )
    keytab = options.keytab or Path()
    try:
        read_private(keytab)
    except OSError as error:
        raise config.error(
            f"kerberos.{name}.keytab",
            f"{keytab} cannot be read ({error.strerror})",
            f"have the keys of {options.principal} written there, with `ktadd` of kadmin",
        ) from None
    return keytab


def _check_active_directory(config: Config, name: str, options: KerberosConfig) -> None:
    """See that an account called `lena$` gets nobody in as lena.

    A KDC of Active Directory that finds no account NAME takes NAME$, and the ticket says NAME. Its
    people can make computers, and so accounts, of names that they choose. So a name proves somebody
    only where an account is called exactly that, which a directory has to say.
    """
    filter = options.directory_filter
    by_second_name = "userprincipalname" in filter.lower()
    # Only there is a name in any case, an account of a machine, and a second name of everybody.
    is_there = options.any_case or "$@" in options.asks_as or by_second_name
    # The second name may be asked for besides, and is not enough.
    is_open = "={user})" not in filter or (by_second_name and "(|" in filter)
    if is_there and is_open:
        raise config.error(
            f"kerberos.{name}.directory_filter",
            f'[kerberos."{name}"] is for Active Directory, where somebody who makes a computer'
            " `lena$` gets tickets of lena, and has no directory_filter that finds the account of"
            " that very name",
            "name a directory, and give"
            ' directory_filter = "(&(objectCategory=person)(sAMAccountName={user}))"',
        )


def _certificate(config: Config) -> Path | None:
    """What browsers bind their tickets to, if it is this server's own: not behind a proxy."""
    return None if config.idp.proxies else config.idp.tls_certificate


def _people(config: Config, name: str, options: KerberosConfig) -> People | None:
    if options.directory_filter and (options.addresses or not options.directory):
        raise config.error(
            f"kerberos.{name}.directory_filter",
            f'[kerberos."{name}"] has directory_filter, and no directory or addresses as well',
            "with it, people's addresses are what the directory has: leave addresses out",
        )
    if not options.directory and not options.ask_kdc:
        raise config.error(
            f"kerberos.{name}.ask_kdc",
            f'[kerberos."{name}"] has ask_kdc = false and no directory: nobody would be asked'
            " whether somebody is still there",
            "name a directory, or leave ask_kdc out",
        )
    directory = directory_of(config, "kerberos", name)
    if directory is None:
        return None
    if options.directory_filter and not config.ldap[options.directory].base:
        raise config.error(
            f"ldap.{options.directory}.base",
            f'[ldap."{options.directory}"] has no base, below which directory_filter could find'
            " anybody",
            "give it, in place of dn_template",
        )
    return People(directory, options.directory_filter, config.idp.domain)
