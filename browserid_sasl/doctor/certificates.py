"""TLS certificates of others: whether they prove who they are, and for how long."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from browserid_sasl.discovery.trust import tls_context
from browserid_sasl.doctor import starttls
from browserid_sasl.doctor.findings import Finding, bad, doubtful, good

_TIMEOUT_S: Final = 10
_SOON_S: Final = 14 * 86_400


def listens(host: str, port: int) -> bool:
    """Whether anybody does on a port."""
    try:
        socket.create_connection((host, port), _TIMEOUT_S).close()
    except OSError:
        return False
    return True


def certificate(
    check: str, host: str, port: int, ca_file: Path | None, service: str = ""
) -> Iterator[Finding]:
    """What a server presents on a port.

    :param ca_file: PEM file of trust anchors; None for the system's.
    :param service: what speaks there, where it may begin in the clear; see `starttls.PORTS`.
    """
    where = f"{host} port {port}"
    try:
        presented = _presented(host, port, ca_file, service)
    except ssl.SSLCertVerificationError as error:
        yield bad(
            check,
            f"{where} cannot prove who it is: {error.verify_message}",
            "renew its TLS certificate, for this name, of an authority that is trusted here",
        )
        return
    except starttls.NotOfferedError as error:
        yield bad(
            check,
            f"{where} does not begin TLS: {error}",
            "set its TLS certificate: the guide of the service has the lines",
        )
        return
    except ssl.SSLError as error:
        yield bad(check, f"{where} speaks no TLS ({error.reason})", "see what listens on that port")
        return
    except OSError as error:
        yield bad(
            check,
            f"nobody answers at {where}: {error.strerror or error}",
            f"start it, or see what is between it and this machine: nc -vz {host} {port}",
        )
        return
    yield _until(check, where, ssl.cert_time_to_seconds(str(presented["notAfter"])))


def _presented(host: str, port: int, ca_file: Path | None, service: str) -> Mapping[str, object]:
    plain = socket.create_connection((host, port), _TIMEOUT_S)
    with plain:
        if service:
            starttls.begin(plain, service, _TIMEOUT_S)
            plain.settimeout(_TIMEOUT_S)
        with tls_context(ca_file).wrap_socket(plain, server_hostname=host) as connection:
            return connection.getpeercert() or {}


def _until(check: str, where: str, end: float) -> Finding:
    days = int((end - time.time()) // 86_400)
    said = f"the TLS certificate of {where} is good for {days} days more"
    if end - time.time() < _SOON_S:
        return doubtful(check, said, "renew it, and have that done by itself: certbot renew")
    return good(check, said)


def addresses(check: str, host: str) -> Iterator[Finding]:
    """Whether a name leads anywhere."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        yield bad(
            check,
            f"the name {host} leads nowhere: {error.strerror or error}",
            f"correct the name, or add it to DNS: getent hosts {host}",
        )
        return
    yield good(check, f"{host} is {', '.join(sorted({str(each[4][0]) for each in found}))}")
