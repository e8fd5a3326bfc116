"""The optional parts of this package, which need Python packages that not everybody installs.

setup.cfg names them, as extras, with the packages they need.
"""

from __future__ import annotations


def not_installed(extra: str, missing: ModuleNotFoundError) -> tuple[str, str]:
    """What to say when a part cannot be used for want of a package.

    :param extra: the part's name.
    :param missing: what importing it raised.
    :returns: message and remedy of a `ConfigurationError`.
    """
    package = (missing.name or "that is needed").partition(".")[0]
    return (
        f"the Python package {package} is not installed, which the extra `{extra}` brings",
        f'in a checkout of this package, run pip install ".[{extra}]"',
    )
