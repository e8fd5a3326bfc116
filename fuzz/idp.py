"""What programs and browsers send to the identity provider."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlencode

from browserid_sasl.idp.accounts import Accounts
from browserid_sasl.idp.authorization_request import AuthorizationRequest
from browserid_sasl.idp.database import Database
from browserid_sasl.idp.devices import normal
from browserid_sasl.idp.grants import parse_grant, parse_question
from browserid_sasl.idp.renewals import Proof
from browserid_sasl.jose import b64, jwt
from browserid_sasl.jose import json as strict_json
from fuzz.jose import as_text
from fuzz.target import Target
from tests.support.world import key

_EMAIL: Final = "alice@idp.test"


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="fuzz-")


@cache
def _accounts() -> Accounts:
    return Accounts(Database(Path(_folder().name) / "accounts"), "idp.test")


def _question() -> dict[str, object]:
    public_key = key("alice", "ES256").public_key.to_json()
    return {"email": _EMAIL, "public-key": public_key, "machine": "laptop"}


def _statement() -> str:
    claims = {"renewal": "x" * 43, "aud": "https://idp.test/certify", "exp": 1_795_282_564_224}
    return jwt.sign(claims, key("alice", "ES256"))


def _grants() -> Iterator[bytes]:
    for grant in (
        _question() | {"password": "a long enough password", "duration": 3600},
        {"code": "x" * 43, "code_verifier": "y" * 43},
        {"device_code": "x" * 43},
        {"renewal": _statement()},
        {"renewal": _statement(), "revoke": True},
    ):
        yield strict_json.dumps(grant)


def _queries() -> Iterator[bytes]:
    public_key = strict_json.dumps(key("alice", "ES256").public_key.to_json())
    for back in ("http://127.0.0.1:49152/back", "http://[::1]/", "http://localhost:1/a"):
        yield urlencode(
            {
                "email": _EMAIL,
                "public-key": b64.encode(public_key),
                "state": "a state",
                "redirect_uri": back,
                "code_challenge": "x" * 43,
                "code_challenge_method": "S256",
                "machine": "laptop",
            }
        ).encode()


def _read_query(octets: bytes) -> None:
    """What is taken goes back to this machine, and is carried on as it is."""
    request = AuthorizationRequest.parse(as_text(octets), _accounts())
    assert request.granted("code").startswith(
        ("http://127.0.0.1:", "http://127.0.0.1/", "http://[::1]", "http://localhost")
    )
    assert AuthorizationRequest.parse(request.query, _accounts()) == request


TARGETS: Final = (
    Target("idp-grant", parse_grant, _grants),
    Target("idp-device", parse_question, lambda: (strict_json.dumps(_question()),)),
    Target("idp-authorization-request", _read_query, _queries),
    Target(
        "idp-renewal",
        lambda octets: Proof.parse(as_text(octets)),
        lambda: (_statement().encode(),),
    ),
    Target(
        "idp-user-code",
        lambda octets: normal(as_text(octets)),
        lambda: (b"BCDF-GHJK", b" bcdf ghjk "),
    ),
)
