"""What stands behind the identity provider's grants, in a folder of the test's."""

from __future__ import annotations

import hashlib
import json
import secrets
from pathlib import Path
from typing import Any

from browserid_sasl.idp.codes import Codes
from browserid_sasl.idp.database import Database
from browserid_sasl.idp.folder import Provider, ProviderFolder
from browserid_sasl.idp.revocations import add_to
from browserid_sasl.idp.wishes import Wish
from browserid_sasl.jose import b64, jwt
from browserid_sasl.jose.keys import PrivateKey

DOMAIN = "example.test"
ALICE = f"alice@{DOMAIN}"
BOB = f"bob@{DOMAIN}"
CLIENT = "192.0.2.7"
NOW = 1_700_000_000_000
AUDIENCE = f"https://{DOMAIN}/certify"

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def provider_in(path: Path, now: int = NOW) -> Provider:
    """A provider that is not served, with accounts of Alice and Bob."""
    folder = ProviderFolder(path)
    folder.create(DOMAIN, "ES256", now, local_tls=False)
    provider = folder.open()
    for email in (ALICE, BOB):
        provider.accounts.add_without_password(email, now)
    return provider


def put_on_list(folder: Path, thumbprint: str, until: int) -> None:
    """Have a provider's list of revoked keys name one, as another process would."""
    with Database(folder / "provider.sqlite").transaction() as session:
        add_to(session, thumbprint, until)


def wish_of(key: PrivateKey, email: str = ALICE, client: str = CLIENT) -> Wish:
    return Wish(email, key.public_key, "laptop", client)


class Program:
    """What a program on a person's machine has: a key, and a verifier (RFC 7636)."""

    def __init__(self) -> None:
        self.key = PrivateKey.generate("ES256")
        self.verifier = secrets.token_urlsafe(32)

    @property
    def challenge(self) -> str:
        return b64.encode(hashlib.sha256(self.verifier.encode()).digest())

    @property
    def public_key(self) -> str:
        """As the page `authentication` takes it."""
        return b64.encode(json.dumps(self.key.public_key.to_json()).encode())

    def code(self, codes: Codes, now: int, *, email: str = ALICE, renewal: bool = True) -> str:
        """What its person's consent gives."""
        return codes.grant(wish_of(self.key, email), self.challenge, renewal, now)

    def renewal(self, token: str, now: int, **changes: Any) -> str:
        """What it asks for a renewal with."""
        claims = {"renewal": token, "aud": AUDIENCE, "exp": now + 60_000} | changes
        return jwt.sign(claims, self.key)


def events(path: Path) -> list[dict[str, Any]]:
    """The lines of the audit log."""
    return [json.loads(line) for line in (path / "audit.log").read_text().splitlines()]
