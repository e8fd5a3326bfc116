"""A program that asks a provider for a certificate, as PROTOCOL.md section 8 says and no better."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import queue
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests

from browserid_sasl.jose.keys import PrivateKey
from tests.support.household import Household
from tests.support.patience import PATIENCE


class Applicant:
    """A program on somebody's machine, with a key of theirs.

    :param provider: who is asked.
    :param email: whose key it is to be.
    """

    def __init__(self, provider: Household, email: str, machine: str = "laptop") -> None:
        self.provider = provider
        self.email = email
        self.machine = machine
        self.key = PrivateKey.generate("ES256")
        self.state = secrets.token_urlsafe(16)
        self.verifier = secrets.token_urlsafe(32)
        self.redirect_uri = ""
        self._answers: queue.Queue[dict[str, str]] = queue.Queue()

    @contextmanager
    def listening(self, host: str = "127.0.0.1") -> Iterator[Applicant]:
        """Wait for the browser on a port of loopback until the block ends.

        :param host: as the browser is to call it.
        """
        answers = self._answers

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                if parts.path == "/done":
                    answers.put(dict(parse_qsl(parts.query)))
                self.send_response(200 if parts.path == "/done" else 404)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(
                    b"<!doctype html><html lang=en><link rel=icon href=data:,>"
                    b"<title>Done</title><h1>Done</h1>"
                )

            def log_message(self, *_: object) -> None:
                pass

        class Listener(http.server.ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        with Listener((host.strip("[]"), 0), Handler) as server:
            self.redirect_uri = f"http://{host}:{server.server_port}/done"
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join(PATIENCE)

    def page(self, **changed: str) -> str:
        """The address to open in a browser.

        :param changed: fields in place of the right ones; empty to leave one out.
        """
        public_key = json.dumps(self.key.public_key.to_json("jwk")).encode()
        fields = {
            "email": self.email,
            "public-key": _base64url(public_key),
            "state": self.state,
            "redirect_uri": self.redirect_uri,
            "code_challenge": _base64url(hashlib.sha256(self.verifier.encode()).digest()),
            "code_challenge_method": "S256",
            "machine": self.machine,
        } | changed
        query = urlencode({name: value for name, value in fields.items() if value})
        return f"{self.provider.url}/authentication?{query}"

    def answer(self) -> dict[str, str]:
        """What the browser brings."""
        return self._answers.get(timeout=PATIENCE)

    def has_answer(self) -> bool:
        """Whether it has brought something."""
        return not self._answers.empty()

    def redeem(self, code: str, **changed: str) -> requests.Response:
        """Exchange a code."""
        return self.post("/certify", {"code": code, "code_verifier": self.verifier} | changed)

    def begin_on_device(self) -> dict[str, Any]:
        """Ask for a code that is typed on another device."""
        answer = self.post(
            "/device-authorization",
            {
                "email": self.email,
                "public-key": self.key.public_key.to_json("jwk"),
                "machine": self.machine,
            },
        )
        assert answer.status_code == 200, answer.text
        grant: dict[str, Any] = answer.json()
        return grant

    def poll(self, grant: Mapping[str, Any]) -> requests.Response:
        """Ask whether somebody has approved, no earlier than that may be asked."""
        time.sleep(grant["interval"])
        return self.post("/certify", {"device_code": grant["device_code"]})

    def post(self, path: str, content: Mapping[str, object]) -> requests.Response:
        """Send something to the provider."""
        return requests.post(
            f"https://localhost:{self.provider.port}{path}",
            json=content,
            verify=str(self.provider.authority.file),
            timeout=PATIENCE,
        )


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
