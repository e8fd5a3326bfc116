"""TLS contexts, made once for each file of trust anchors: reading the system's takes 40 ms."""

from __future__ import annotations

import ssl
import threading
from pathlib import Path

from browserid_sasl.errors import Code, ConfigurationError, DiscoveryError
from browserid_sasl.forks import PerProcess
from browserid_sasl.private_files import stamp_if_there
from browserid_sasl.trusted_files import read_anchors


class _Contexts:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.made: dict[tuple[Path | None, str], tuple[object, ssl.SSLContext]] = {}


_contexts = PerProcess(_Contexts)


def tls_context(ca_file: Path | None, protocol: str = "http/1.1") -> ssl.SSLContext:
    """A context that verifies servers, for all threads of the process.

    It is made anew when the file has changed.

    :param ca_file: PEM file of trust anchors; None for the system's.
    :param protocol: to ask for (RFC 7301); empty for whatever the port is for.
    :raises DiscoveryError: http-error when the file cannot be read, or is not to be trusted.
    """
    contexts = _contexts.get()
    version = _version(ca_file)
    with contexts.lock:
        known, context = contexts.made.get((ca_file, protocol), (None, None))
        if context is None or known != version:
            context = _make(ca_file, protocol)
            contexts.made[ca_file, protocol] = version, context
        return context


def _make(ca_file: Path | None, protocol: str) -> ssl.SSLContext:
    try:
        anchors = None if ca_file is None else read_anchors(ca_file)
        context = ssl.create_default_context(cadata=anchors)
    except ConfigurationError as error:
        raise _unusable(ca_file, error.message, f"{error.remedy}; `ca_file` names it") from None
    except (OSError, ssl.SSLError) as error:
        remedy = "`ca_file` has to name a file of PEM certificates"
        raise _unusable(ca_file, str(error.strerror), remedy) from None
    context.hostname_checks_common_name = False
    if protocol:
        context.set_alpn_protocols([protocol])
    return context


def _unusable(ca_file: Path | None, why: str, remedy: str) -> DiscoveryError:
    what = f"the trust anchors in {ca_file} cannot be used ({why})"
    return DiscoveryError(Code.HTTP_ERROR, what, remedy)


def _version(ca_file: Path | None) -> object:
    system = ssl.get_default_verify_paths()
    paths = (system.cafile, system.capath) if ca_file is None else (ca_file,)
    return tuple(stamp_if_there(path) for path in paths if path is not None)
