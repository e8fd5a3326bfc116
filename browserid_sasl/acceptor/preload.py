"""Everything that a login may need, loaded before the first.

Workers share what their parent has loaded, none of them begins slowly, and an installation that is
replaced or removed below the service changes nothing until it is started again.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import browserid_sasl
from browserid_sasl import api, config, discovery, gss, identity, jose, sasl, store


def load_all() -> None:
    """Load every module that has to do with logins."""
    for package in (api, config, discovery, gss, identity, jose, sasl, store):
        _load_below(package)
    _load_below(browserid_sasl, packages=False)


def _load_below(package: ModuleType, *, packages: bool = True) -> None:
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if module.name.endswith("__main__") or (module.ispkg and not packages):
            continue
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError:
            continue  # what it needs is an extra that is not installed
