"""Identity providers without a network, which say what a test has them say."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from browserid_sasl.discovery import Answer
from browserid_sasl.errors import Code, DiscoveryError
from browserid_sasl.identity import certificate
from browserid_sasl.identity.authority import FetchedDocument
from browserid_sasl.jose.keys import PrivateKey, PublicKey, parse_public_key
from tests.support.provider import ALICE, DOMAIN

NOW = 1_795_282_504_224
HOUR = 3_600_000
PROVIDER_KEY = PrivateKey.generate("ES256")


def support(**changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = {
        "public-key": PROVIDER_KEY.public_key.to_json(),
        "authentication": "/a",
        "provisioning": "/p",
        "certify": "/certify",
    }
    return document | changes


def granted(**changes: Any) -> Callable[[PublicKey], Answer]:
    """An answer with a certificate, of which something is different."""

    def answer(public_key: PublicKey) -> Answer:
        claims: dict[str, Any] = {
            "issuer": DOMAIN,
            "email": ALICE,
            "public_key": public_key,
            "issued_at": NOW,
            "expires": NOW + HOUR,
            "signing_key": PROVIDER_KEY,
        }
        text = certificate.issue(**(claims | changes))
        return said(200, {"certificate": text})

    return answer


def said(status: int, members: object) -> Answer:
    return Answer(status, {}, json.dumps(members).encode())


@dataclass
class PretendedProvider:
    """Providers by domain, without a network.

    :param answer: what `certify` says to a public key.
    :param respond: what any path says to a request, in place of `answer`.
    :param offline: whether nobody can be reached.
    """

    documents: dict[str, dict[str, Any]] = field(default_factory=lambda: {DOMAIN: support()})
    answer: Callable[[PublicKey], Answer] = field(default_factory=granted)
    posts: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    respond: Callable[[str, dict[str, Any]], Answer] | None = None
    offline: bool = False

    def fetch(self, domain: str, principal_domain: str) -> FetchedDocument:
        self._reach(domain)
        return FetchedDocument(json.dumps(self.documents[domain]).encode(), HOUR)

    def post(self, domain: str, path: str, body: bytes) -> Answer:
        self._reach(domain)
        request = json.loads(body)
        self.posts.append((domain, path, request))
        if self.respond is not None:
            return self.respond(path, request)
        return self.answer(parse_public_key(request["public-key"]))

    def address(self, domain: str, path: str) -> str:
        return f"https://{domain}{path}"

    def _reach(self, domain: str) -> None:
        if self.offline:
            raise DiscoveryError(Code.HTTP_ERROR, f"no connection to {domain}")
