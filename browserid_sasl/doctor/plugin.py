"""The plugin for Cyrus SASL: whether it is found, and of which release; and GS2's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from browserid_sasl.doctor.findings import Finding, Verdict, good
from browserid_sasl.doctor.gss_module import modules
from browserid_sasl.doctor.library import judged

NAME: Final = "libbrowserid.so"
GS2_NAME: Final = "libgs2.so"
FOLDERS: Final = ("/usr/lib/*/sasl2", "/usr/lib/sasl2", "/usr/local/lib/sasl2")


def plugin(environ: Mapping[str, str], release: str, missing: Verdict) -> Iterator[Finding]:
    """Whether programs with libsasl2 have the mechanisms.

    :param environ: where ``SASL_PATH`` is looked up.
    :param release: of this program.
    :param missing: how it is if there is no plugin, nor GS2 with the module.
    """
    check = "plugin"
    found = _found(environ, NAME)
    by_gs2 = gs2_plugin(environ)
    if found:
        yield judged(check, found, release, "libsasl2")
    elif by_gs2:
        yield good(check, f"{by_gs2} has the mechanisms by the module for GSS-API")
    else:
        where = " or ".join(map(str, _folders(environ))) or "any folder of libsasl2"
        remedy = "make install, in a checkout, as root" if missing else ""
        yield Finding(check, missing, f"there is no {NAME} in {where}", remedy)
    if found and by_gs2:
        yield good(check, f"{by_gs2} leaves the mechanisms to it")


def only_by_gs2(environ: Mapping[str, str]) -> bool:
    """Whether programs with libsasl2 have the mechanisms by Cyrus's own plugin and the module."""
    return gs2_plugin(environ) is not None and _found(environ, NAME) is None


def gs2_plugin(environ: Mapping[str, str]) -> Path | None:
    """Cyrus's plugin for GS2, where it is beside the module for GSS-API."""
    return _found(environ, GS2_NAME) if modules(environ) else None


def _found(environ: Mapping[str, str], name: str) -> Path | None:
    return next((each / name for each in _folders(environ) if (each / name).exists()), None)


def _folders(environ: Mapping[str, str]) -> Iterator[Path]:
    named = environ.get("SASL_PATH")
    if named:
        yield from (Path(each) for each in named.split(os.pathsep) if each)
        return
    for pattern in FOLDERS:
        yield from Path("/").glob(pattern.removeprefix("/"))
