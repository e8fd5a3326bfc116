"""What servers and clients have in common: the machine's time and randomness, and mechanisms."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from browserid_sasl.config import Config
from browserid_sasl.errors import LocalProtocolError
from browserid_sasl.gss.agreement import EcdhKey
from browserid_sasl.gss.interfaces import Environment
from browserid_sasl.gss.mechanisms import Mechanism, mechanism_by_name
from browserid_sasl.store.base import system_clock

now_ms: Final = system_clock
"""The system's clock, ms since the epoch."""

SYSTEM: Final = Environment(clock=now_ms, random=os.urandom, ephemeral=EcdhKey.generate)
"""The machine's own time and randomness."""


def configured_mechanisms(config: Config, section: str, names: Sequence[str]) -> list[Mechanism]:
    """The mechanisms that a section of the configuration names.

    :raises ConfigurationError: when there is no such mechanism.
    """
    try:
        return [mechanism_by_name(name) for name in names]
    except LocalProtocolError as error:
        raise config.error(f"{section}.mechanisms", error.message, error.remedy) from None
