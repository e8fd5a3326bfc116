"""An authenticator and the browser around it, as far as a provider sees them (WebAuthn Level 3)."""

from __future__ import annotations

import hashlib
import json
import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from webauthn.helpers import encode_cbor

from browserid_sasl.jose import b64

PRESENT, VERIFIED, ELIGIBLE, BACKED_UP, ATTESTED = 1, 4, 8, 16, 64

SigningKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def new_key(algorithm: int) -> SigningKey:
    """A key for an algorithm of COSE."""
    if algorithm == -8:
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm == -257:
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1())


def cose(key: SigningKey, algorithm: int) -> dict[int, Any]:
    """The public half, as COSE has it (RFC 9053)."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return {1: 1, 3: algorithm, -1: 6, -2: key.public_key().public_bytes_raw()}
    numbers = key.public_key().public_numbers()
    if isinstance(numbers, rsa.RSAPublicNumbers):
        size = (numbers.n.bit_length() + 7) // 8
        return {1: 3, 3: algorithm, -1: numbers.n.to_bytes(size, "big"), -2: b"\1\0\1"}
    size = (numbers.curve.key_size + 7) // 8
    curve = {256: 1, 384: 2}[numbers.curve.key_size]
    coordinates = (numbers.x.to_bytes(size, "big"), numbers.y.to_bytes(size, "big"))
    return {1: 2, 3: algorithm, -1: curve, -2: coordinates[0], -3: coordinates[1]}


@dataclass
class Authenticator:
    """A key of somebody's with one passkey, in a browser. What it does wrong can be set.

    :param origin: of the page that the browser says it is on.
    :param algorithm: of COSE.
    :param flags: what it says of each use.
    :param counter: how often it says it was used.
    :param step: by how much it counts on at each use, if it counts.
    :param discoverable: what the browser says, None for nothing.
    """

    origin: str = "https://example.test"
    algorithm: int = -7
    flags: int = PRESENT | VERIFIED
    counter: int = 0
    step: int = 1
    discoverable: bool | None = True
    credential: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    rp_id: str | None = None
    handle: str = ""
    key: SigningKey | None = None

    def __post_init__(self) -> None:
        self.key = self.key or new_key(self.algorithm)

    def create(self, options: Mapping[str, Any], **attestation: Any) -> str:
        """What `navigator.credentials.create` gives, as JSON."""
        assert self.key
        self.handle = options["user"]["id"]
        self.rp_id = self.rp_id or options["rp"]["id"]
        public_key = encode_cbor(cose(self.key, self.algorithm))
        head = bytes(16) + struct.pack(">H", len(self.credential)) + self.credential
        data = self._data(ATTESTED) + head + public_key
        statement = {"fmt": "none", "attStmt": {}, "authData": data} | attestation
        answer = self._answer(
            {
                "clientDataJSON": self._client_data("webauthn.create", options),
                "attestationObject": b64.encode(encode_cbor(statement)),
                "transports": ["internal"],
            }
        )
        says = {} if self.discoverable is None else {"rk": self.discoverable}
        return json.dumps(answer | {"clientExtensionResults": {"credProps": says}})

    def get(self, options: Mapping[str, Any]) -> str:
        """What `navigator.credentials.get` gives, as JSON."""
        if self.counter:
            self.counter += self.step
        self.rp_id = self.rp_id or options["rpId"]
        data = self._data()
        client_data = self._client_data("webauthn.get", options)
        digest = hashlib.sha256(b64.decode(client_data, "client data")).digest()
        return json.dumps(
            self._answer(
                {
                    "clientDataJSON": client_data,
                    "authenticatorData": b64.encode(data),
                    "signature": b64.encode(self._sign(data + digest)),
                    "userHandle": self.handle,
                }
            )
        )

    def _answer(self, response: Mapping[str, Any]) -> dict[str, Any]:
        identifier = b64.encode(self.credential)
        return {
            "id": identifier,
            "rawId": identifier,
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "response": response,
            "clientExtensionResults": {},
        }

    def _client_data(self, kind: str, options: Mapping[str, Any]) -> str:
        members = {"type": kind, "challenge": options["challenge"], "origin": self.origin}
        return b64.encode(json.dumps(members | {"crossOrigin": False}).encode())

    def _data(self, more: int = 0) -> bytes:
        rp_id = hashlib.sha256((self.rp_id or "").encode()).digest()
        return rp_id + struct.pack(">BI", self.flags | more, self.counter)

    def _sign(self, data: bytes) -> bytes:
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            return self.key.sign(data)
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(data, padding.PKCS1v15(), SHA256())
        assert self.key
        return self.key.sign(data, ec.ECDSA(SHA256()))
