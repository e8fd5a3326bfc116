"""TLS contexts, made once for each file of trust anchors: reading the system's takes 40 ms."""

from __future__ import annotations

import ssl
import threading
from pathlib import Path

from browserid_sasl.errors import Code, DiscoveryError
from browserid_sasl.forks import PerProcess
from browserid_sasl.private_files import stamp_if_there


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
    :raises DiscoveryError: http-error when the file cannot be read.
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
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise DiscoveryError(
            Code.HTTP_ERROR,
            f"the trust anchors in {ca_file} cannot be read ({error.strerror})",
            "`ca_file` has to name a file of PEM certificates",
        ) from None
    context.hostname_checks_common_name = False
    if protocol:
        context.set_alpn_protocols([protocol])
    return context


def _version(ca_file: Path | None) -> object:
    system = ssl.get_default_verify_paths()
    paths = (system.cafile, system.capath) if ca_file is None else (ca_file,)
    return tuple(stamp_if_there(path) for path in paths if path is not None)
