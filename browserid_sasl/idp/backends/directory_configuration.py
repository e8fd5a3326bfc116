"""The directory that a backend of another kind asks besides, as a configuration describes it."""

from __future__ import annotations

from browserid_sasl.config import Config
from browserid_sasl.errors import ConfigurationError
from browserid_sasl.extras import not_installed
from browserid_sasl.idp.backends import DirectoryBackend


def directory_of(config: Config, kind: str, name: str) -> DirectoryBackend | None:
    """The directory that a section names, None if it names none.

    :param kind: of the section.
    :param name: of it.
    :raises ConfigurationError: there is no such one, or what it needs is not installed.
    """
    wanted = getattr(config, kind)[name].directory
    if not wanted:
        return None
    if wanted not in config.ldap:
        raise config.error(
            f"{kind}.{name}.directory",
            f'[{kind}."{name}"] has the directory {wanted!r}, and there is no [ldap."{wanted}"]',
            "write that section, or leave directory out",
        )
    try:
        from browserid_sasl.idp.backends.ldap_configuration import ldap_backend  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(*not_installed("ldap", error)) from None
    return ldap_backend(config, wanted)
