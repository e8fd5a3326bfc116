"""All targets, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fuzz import (
    certificates,
    config,
    discovery,
    gss,
    identity,
    idp,
    jose,
    mail,
    negotiate,
    printer,
    sample,
    sasl,
    services,
    store,
    x509,
)
from fuzz.target import Target

_AREAS: Final = (
    certificates,
    config,
    discovery,
    gss,
    identity,
    idp,
    idp,
    jose,
    mail,
    negotiate,
    printer,
    sample,
    sasl,
    services,
    store,
    x509,
)

TARGETS: Final[Mapping[str, Target]] = {
    target.name: target for area in _AREAS for target in area.TARGETS
}
