"""What servers and clients have in common: the machine's time and randomness, and mechanisms."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from browserid_sasl.config import Config
from browserid_sasl.errors import LocalProtocolError
from browserid_sasl.gss.agreement import EphemeralKey
from browserid_sasl.gss.interfaces import Environment
from browserid_sasl.gss.mechanisms import Curve, Mechanism, mechanism_by_name
from browserid_sasl.store.base import system_clock


def _ephemeral(curve: Curve) -> EphemeralKey:
    from browserid_sasl.gss.ecdh import EcdhKey  # noqa: PLC0415 - a login by ticket makes no key

    return EcdhKey.generate(curve)


SYSTEM: Final = Environment(clock=system_clock, random=os.urandom, ephemeral=_ephemeral)
"""The machine's own time and randomness."""


def configured_mechanisms(config: Config, section: str, names: Sequence[str]) -> list[Mechanism]:
    """The mechanisms that a section of the configuration names.

    :raises ConfigurationError: when there is no such mechanism.
    """
    try:
        return [mechanism_by_name(name) for name in names]
    except LocalProtocolError as error:
        raise config.error(f"{section}.mechanisms", error.message, error.remedy) from None
