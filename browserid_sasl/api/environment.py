"""What servers and clients have in common: the machine's time and randomness, and mechanisms."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from browserid_sasl.config import Config
from browserid_sasl.errors import (
    ConfigurationError,
    DamagedStoreError,
    LocalProtocolError,
    StoreError,
)
from browserid_sasl.gss.ecdh import EcdhKey
from browserid_sasl.gss.mechanisms import Mechanism, mechanism_by_name
from browserid_sasl.gss.ports import Environment
from browserid_sasl.store.base import system_clock

SYSTEM: Final = Environment(clock=system_clock, random=os.urandom, ephemeral=EcdhKey.generate)
"""The machine's own time and randomness."""


@contextmanager
def stores_in(config: Config, option: str) -> Iterator[None]:
    """Open stores in the block.

    :param option: that says in which folder, for example ``store.directory``.
    :raises ConfigurationError: they cannot be opened, and are where they are for want of a home.
    :raises StoreError: they cannot be opened.
    """
    try:
        yield
    except StoreError as error:
        if isinstance(error, DamagedStoreError) or not config.lacks_home(option):
            raise
        raise no_home(config, option, error.message) from None


def no_home(config: Config, option: str, so: str) -> ConfigurationError:
    """The error that something is where it is for want of a home folder.

    :param option: that says in which folder.
    :param so: what comes of it.
    """
    return config.error(
        option,
        f"this account has no home folder, and {so}",
        f"set HOME to a folder of its own, or give {option} in a configuration file that"
        " --config or BROWSERID_CONFIG names",
    )


def configured_mechanisms(config: Config, section: str, names: Sequence[str]) -> list[Mechanism]:
    """The mechanisms that a section of the configuration names.

    :raises ConfigurationError: when there is no such mechanism.
    """
    try:
        return [mechanism_by_name(name) for name in names]
    except LocalProtocolError as error:
        raise config.error(f"{section}.mechanisms", error.message, error.remedy) from None
