"""A directory as a configuration describes it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import certifi

from browserid_sasl.config import Config, LdapConfig
from browserid_sasl.errors import ConfigurationError
from browserid_sasl.idp.backends.ldap import Directory, LdapBackend
from browserid_sasl.idp.backends.ldap_servers import MOST_SERVERS, Access, is_at_loopback
from browserid_sasl.private_files import read_secret


def ldap_backend(config: Config, name: str) -> LdapBackend:
    """The directory of a section.

    :raises ConfigurationError: it lacks something, or has too much.
    """
    options = config.ldap[name]
    _check(config, name, options)
    file = options.bind_password_file
    wrong = partial(config.error, f"ldap.{name}.bind_password_file")
    access = Access(
        servers=options.servers,
        ca_file=options.ca_file or Path(certifi.where()),
        plaintext=options.plaintext,
        bind_dn=options.bind_dn,
        bind_password=read_secret(file, "the password of bind_dn", wrong) if file else "",
        timeout=options.timeout_ms,
    )
    directory = Directory(
        base=options.base,
        filter=options.filter,
        dn_template=options.dn_template,
        address_attribute=options.address_attribute,
        groups=options.groups,
        claims=dict(options.claims),
    )
    return LdapBackend(name, access, directory)


def _check(config: Config, name: str, options: LdapConfig) -> None:
    def wrong(option: str, message: str, remedy: str) -> ConfigurationError:
        return config.error(f"ldap.{name}.{option}", f'[ldap."{name}"] {message}', remedy)

    if not 0 < len(options.servers) <= MOST_SERVERS:
        raise wrong(
            "servers",
            f"names {len(options.servers)} servers",
            f"name 1 to {MOST_SERVERS}, such as ldaps://ldap.example.org",
        )
    if bool(options.bind_dn) != bool(options.bind_password_file):
        # A name without a password would be bound, without either having been checked.
        raise wrong(
            "bind_dn",
            "has one of bind_dn and bind_password_file",
            "give both, or neither to look for people anonymously",
        )
    if bool(options.base) == bool(options.dn_template):
        raise wrong(
            "base", "has both or none of base and dn_template", "give one of them: base to search"
        )
    for server in options.servers if options.plaintext else ():
        if server.startswith("ldap://") and not is_at_loopback(server):
            raise wrong(
                "plaintext",
                f"has plaintext, and {server} is not at a loopback address",
                "leave plaintext out, or write 127.0.0.1 or [::1] for the host",
            )
