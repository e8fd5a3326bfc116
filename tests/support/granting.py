"""An identity provider that speaks all of PROTOCOL.md section 8 over TLS, as a test wants it."""

from __future__ import annotations

import hashlib
import json
import ssl
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import requests
import trustme

from browserid_sasl.config import AuthorityOverride, DiscoveryConfig
from browserid_sasl.discovery import HttpsFetcher
from browserid_sasl.errors import RemoteProtocolError
from browserid_sasl.identity import certificate
from browserid_sasl.jose import b64
from browserid_sasl.jose.jwt import Jwt
from browserid_sasl.jose.keys import PrivateKey, PublicKey, parse_public_key
from tests.support.provider import DOMAIN, PASSWORD

WAYS = ("password", "code", "device", "renewal")


@dataclass
class Grant:
    """A key that was certified."""

    email: str
    key: PublicKey
    machine: str = ""


@dataclass
class GrantingProvider:
    """What it does may be changed at any time.

    :param ways: its grant types; None for a document that says none.
    :param consent: what its page does at once: ``grant``, ``cancel``, or ``wait`` for nobody.
    :param approved: what happens to device codes: ``approved``, ``denied``, ``pending``.
    :param renewals: by their secret; ``refusal`` is answered for those that are not there.
    :param life: ms, of a certificate.
    :param identity: whom it certifies, in place of who asked.
    :param down: whether it answers with 503 only.
    """

    ca_file: Path
    url: str = ""
    ways: tuple[str, ...] | None = WAYS
    consent: str = "grant"
    approved: str = "approved"
    life: int = 3_600_000
    renewal_life: int = 30 * 86_400
    identity: str = ""
    refusal: str = "renewal-revoked"
    down: bool = False
    delay: float = 0.0
    seen: list[str] = field(default_factory=list)
    pages: list[dict[str, str]] = field(default_factory=list)
    renewals: dict[str, Grant] = field(default_factory=dict)
    codes: dict[str, tuple[Grant, str]] = field(default_factory=dict)
    devices: dict[str, Grant] = field(default_factory=dict)
    key: PrivateKey = field(default_factory=lambda: PrivateKey.generate("ES256"))

    @property
    def configuration(self) -> str:
        """What leads a person's programs here."""
        return f'[authorities."{DOMAIN}"]\nurl = "{self.url}"\nca_file = "{self.ca_file}"\n'

    def fetcher(self) -> HttpsFetcher:
        override = AuthorityOverride(url=self.url, ca_file=self.ca_file)
        return HttpsFetcher(DiscoveryConfig(), {DOMAIN: override})

    def visit(self, link: str) -> requests.Response:
        """Do as a browser does that opens a link, to the end."""
        return requests.get(link, verify=str(self.ca_file), timeout=30)

    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "public-key": self.key.public_key.to_json(),
            "authentication": "/authentication",
            "provisioning": "/provisioning",
            "certify": "/certify",
        }
        if self.ways is not None:
            document |= {
                "grant-types": list(self.ways),
                "device-authorization": "/device-authorization",
            }
        return document

    def authenticate(self, query: Mapping[str, str]) -> str | None:
        """Where the page leads."""
        self.pages.append(dict(query))
        sent = {"state": query["state"]}
        if self.consent == "wait":
            return None
        if self.consent == "grant":
            code = f"code-{len(self.pages)}"
            key = parse_public_key(json.loads(b64.decode(query["public-key"], "the key")))
            grant = Grant(self.identity or query["email"], key, query.get("machine", ""))
            self.codes[code] = grant, query["code_challenge"]
            sent["code"] = code
        else:
            sent["error"] = "access_denied"
        return f"{query['redirect_uri']}?{urlencode(sent)}"

    def certify(self, request: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        if "password" in request:
            if request["password"] != PASSWORD:
                return 401, {"error": "refused", "message": "There is no such account."}
            key = parse_public_key(request["public-key"])
            return 200, self._certified(Grant(request["email"], key), renewal=False)
        if "code" in request:
            grant, challenge = self.codes.pop(request["code"])
            digest = hashlib.sha256(request["code_verifier"].encode()).digest()
            assert b64.encode(digest) == challenge
            return 200, self._certified(grant, renewal=True)
        if "device_code" in request:
            return self._poll(request["device_code"])
        return self._renew(request)

    def begin_device(self, request: Mapping[str, Any]) -> dict[str, Any]:
        code = f"device-{len(self.devices)}"
        self.devices[code] = Grant(
            request["email"], parse_public_key(request["public-key"]), request.get("machine", "")
        )
        return {
            "device_code": code,
            "user_code": "BCDF-GHJK",
            "verification_uri": f"{self.url}/device",
            "verification_uri_complete": f"{self.url}/device?user_code=BCDF-GHJK",
            "interval": 1,
            "expires_in": 60,
        }

    def _poll(self, code: str) -> tuple[int, dict[str, Any]]:
        if self.approved == "pending":
            return 400, {"error": "authorization_pending"}
        if self.approved == "denied":
            return 400, {"error": "access_denied"}
        return 200, self._certified(self.devices.pop(code), renewal=True)

    def _renew(self, request: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        statement = Jwt.parse(request["renewal"], "the renewal")
        grant = self.renewals.get(statement.claims["renewal"])
        if grant is None:
            return 401, {"error": self.refusal, "message": "It is not renewed any more."}
        try:
            statement.verify(grant.key)
        except RemoteProtocolError:
            return 400, {"error": "invalid-signature"}
        assert statement.claims["aud"] == f"https://{DOMAIN}/certify"
        if request.get("revoke") is True:
            del self.renewals[statement.claims["renewal"]]
            return 200, {}
        return 200, self._certified(grant, renewal=False) | {
            "renewal_expires_in": self.renewal_life
        }

    def _certified(self, grant: Grant, *, renewal: bool) -> dict[str, Any]:
        now = time.time_ns() // 1_000_000
        text = certificate.issue(
            issuer=DOMAIN,
            email=grant.email,
            public_key=grant.key,
            issued_at=now - 1_000,
            expires=now + self.life,
            signing_key=self.key,
        )
        answer: dict[str, Any] = {"certificate": text}
        if renewal:
            secret = f"renewal-{len(self.renewals)}-{grant.email}"
            self.renewals[secret] = grant
            answer |= {"renewal": secret, "renewal_expires_in": self.renewal_life}
        return answer


@contextmanager
def granting_provider(folder: Path) -> Iterator[GrantingProvider]:
    """Run one on a free port of loopback until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    provider = GrantingProvider(ca_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = _Server(("127.0.0.1", 0), _handler_for(provider))
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    provider.url = f"https://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is none of ours."""


def _handler_for(provider: GrantingProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            provider.seen.append(f"GET {parts.path}")
            if parts.path == "/authentication":
                query = {name: value for name, [value] in parse_qs(parts.query).items()}
                target = provider.authenticate(query)
                self.send_response(303 if target else 200)
                if target:
                    self.send_header("Location", target)
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self._answer(200, provider.document())

        def do_POST(self) -> None:
            provider.seen.append(f"POST {self.path}")
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            time.sleep(provider.delay)
            if provider.down:
                self._answer(503, {"error": "down"})
            elif self.path == "/device-authorization":
                self._answer(200, provider.begin_device(request))
            else:
                self._answer(*provider.certify(request))

        def _answer(self, status: int, members: Mapping[str, Any]) -> None:
            body = json.dumps(members).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    return Handler


def fake_browser(folder: Path, *, follows: bool, ca_file: Path | None = None) -> tuple[Path, Path]:
    """A command that stands for a browser.

    :param follows: whether it goes where the link leads, or only notes it.
    :returns: the command, and the file in which it notes each link, one a line.
    """
    folder.mkdir(parents=True, exist_ok=True)
    notes, command = folder / "opened", folder / "browser"
    follow = (
        "import ssl, urllib.request\n"
        f"context = ssl.create_default_context(cafile={str(ca_file)!r})\n"
        "urllib.request.urlopen(sys.argv[1], context=context, timeout=60).read()\n"
    )
    command.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        f"notes = os.open({str(notes)!r}, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)\n"
        'os.write(notes, (" ".join(sys.argv[1:]) + "\\n").encode())\n' + (follow if follows else "")
    )
    command.chmod(0o755)
    notes.touch()
    return command, notes
