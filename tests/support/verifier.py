"""A verifier that really runs: on loopback, with TLS, in this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import trustme

from browserid_sasl.config import Config
from browserid_sasl.store.base import AcceptorStores
from browserid_sasl.store.memory import memory_acceptor
from browserid_sasl.verifier.app import create_app
from browserid_sasl.verifier.verification import Verification
from browserid_sasl.web.clients import Proxies
from browserid_sasl.web.door import Capacity
from browserid_sasl.web.server import Listener, Terms, make_server, url_of
from browserid_sasl.web.server_certificate import ServerCertificate


@dataclass(frozen=True)
class RunningVerifier:
    """A verifier and where it is.

    :param url: of its server.
    :param ca_file: what to believe its server by.
    """

    url: str
    ca_file: Path

    def post(self, path: str = "/verify", **content: Any) -> requests.Response:
        """Send something."""
        return requests.post(self.url + path, verify=str(self.ca_file), timeout=60, **content)

    def judge(self, assertion: str, audience: str) -> dict[str, Any]:
        """Have an assertion verified; the answer."""
        answer = self.post(data={"assertion": assertion, "audience": audience})
        content: dict[str, Any] = answer.json()
        return content


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for loopback with its key, and its authority, as files."""
    authority = trustme.CA()
    both, anchor = folder / "tls.pem", folder / "tls-ca.pem"
    both.touch(0o600)
    authority.issue_cert(
        "127.0.0.1", "::1", "localhost"
    ).private_key_and_cert_chain_pem.write_to_path(str(both))
    authority.cert_pem.write_to_path(str(anchor))
    return both, anchor


@contextmanager
def running_verifier(
    folder: Path, config: Config, stores: AcceptorStores | None = None
) -> Iterator[RunningVerifier]:
    """Run a verifier until the block ends."""
    both, anchor = write_certificate(folder)
    app = create_app(Verification(config, stores or memory_acceptor()))
    terms = Terms(ServerCertificate(both, both), Capacity(), Proxies())
    ready = threading.Event()
    server = make_server(app, terms, ready.set)
    with Listener("127.0.0.1", 0).open() as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            assert ready.wait(60)
            yield RunningVerifier(url_of(listening), anchor)
        finally:
            server.stop()
            thread.join(60)
