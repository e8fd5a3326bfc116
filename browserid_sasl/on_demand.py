"""Packages that offer names of their modules and load a module when a name of it is used.

A service that uses a part, or that starts a process for each connection, pays for no more.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping


def names_of(package: str, homes: Mapping[str, tuple[str, ...]]) -> Callable[[str], object]:
    """A package's ``__getattr__`` (PEP 562).

    :param package: its name.
    :param homes: the names that each module, called by its full name, has to offer.
    """
    home_of = {name: module for module, names in homes.items() for name in names}

    def __getattr__(name: str) -> object:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(home_of[name]), name)

    return __getattr__
