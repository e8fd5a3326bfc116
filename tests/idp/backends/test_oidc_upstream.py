"""Other providers that are slow, broken, or lie about themselves."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from browserid_sasl.idp.backends import Journey, UnavailableError
from browserid_sasl.idp.backends.oidc import OidcBackend, Terms
from browserid_sasl.idp.backends.oidc_tokens import Claims
from browserid_sasl.idp.backends.oidc_upstream import Access, Described, Tokens, Upstream
from tests.support.https import Respond, answer, scripted_server, write_ca

JOURNEY = Journey("https://example.test/back", "state", "nonce", "verifier")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


Ask = Callable[..., Upstream]


def documented(issuer: str, /, **changed: object) -> bytes:
    members: dict[str, object] = {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/keys",
        "userinfo_endpoint": f"{issuer}/userinfo",
    } | changed
    return json.dumps({name: each for name, each in members.items() if each is not None}).encode()


def described(
    authority: trustme.CA,
    folder: Path,
    respond: Callable[[str], Respond],
    *,
    timeout: int = 5_000,
    question: Callable[[Upstream], object] = Upstream.describe,
) -> object:
    """What comes of a question to a server that answers everything alike."""
    certificate = authority.issue_cert("localhost")
    issuers: list[str] = []

    def reply(connection: ssl.SSLSocket) -> None:
        respond(issuers[0])(connection)

    with scripted_server(certificate, reply) as server:
        issuers.append(f"https://localhost:{server.port}")
        access = Access(issuers[0], "client", "secret", write_ca(authority, folder), timeout)
        return question(Upstream(access))


def test_what_it_says_of_itself(authority: trustme.CA, tmp_path: Path) -> None:
    found = described(authority, tmp_path, lambda issuer: answer(documented(issuer)))
    assert isinstance(found, Described)
    assert found.token.endswith("/token")
    assert not found.by_form
    assert not found.names_itself


LIES: dict[str, Callable[[str], Respond]] = {
    "another issuer": lambda issuer: answer(documented(issuer, issuer="https://evil.test")),
    "an issuer with a slash": lambda issuer: answer(documented(issuer, issuer=f"{issuer}/")),
    "no issuer": lambda issuer: answer(documented(issuer, issuer=None)),
    "no page": lambda issuer: answer(documented(issuer, authorization_endpoint=None)),
    "a page without TLS": lambda issuer: answer(
        documented(issuer, authorization_endpoint="http://localhost/")
    ),
    "a page that is a script": lambda issuer: answer(
        documented(issuer, authorization_endpoint="javascript:alert(1)")
    ),
    "a page with a line's end": lambda issuer: answer(
        documented(issuer, authorization_endpoint="https://localhost/\r\nX: y")
    ),
    "a name and password": lambda issuer: answer(
        documented(issuer, token_endpoint="https://a:b@localhost/")
    ),
    "a port that is none": lambda issuer: answer(
        documented(issuer, token_endpoint="https://localhost:x/")
    ),
    "tokens that are a list": lambda issuer: answer(documented(issuer, token_endpoint=[])),
    "a redirect": lambda issuer: answer(
        status="302 Found", headers={"Location": f"{issuer}/elsewhere"}
    ),
    "an error": lambda _: answer(status="500 Internal Server Error"),
    "no JSON": lambda _: answer(b"<html>"),
    "no object": lambda _: answer(b"[]"),
    "depth": lambda _: answer(b"[" * 200_000),
    "too much": lambda issuer: answer(documented(issuer, more="x" * 300_000)),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_is_not_believed(authority: trustme.CA, tmp_path: Path, lie: str) -> None:
    with pytest.raises(UnavailableError) as caught:
        described(authority, tmp_path, LIES[lie])
    # The server has said all that it had to say.
    assert "broke off" not in str(caught.value)


def test_nothing_is_wrong_with_one_that_has_keys(authority: trustme.CA, tmp_path: Path) -> None:
    def respond(issuer: str) -> Respond:
        return answer(documented(issuer, keys=[{"kty": "EC"}]))

    assert described(authority, tmp_path, respond, question=Upstream.probe) is None
    with pytest.raises(UnavailableError, match="keys"):
        described(authority, tmp_path, lambda x: answer(documented(x)), question=Upstream.probe)


def test_one_that_is_slow(authority: trustme.CA, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(UnavailableError):
        described(authority, tmp_path, lambda _: lambda _: time.sleep(3), timeout=1_000)
    # The server's end is waited for, too.
    assert time.monotonic() - began < 60


def test_a_server_that_somebody_else_vouches_for(authority: trustme.CA, tmp_path: Path) -> None:
    certificate = trustme.CA().issue_cert("localhost")
    with scripted_server(certificate, answer(documented("x"))) as server:
        ca_file = write_ca(authority, tmp_path)
        access = Access(f"https://localhost:{server.port}", "client", "secret", ca_file)
        with pytest.raises(UnavailableError):
            Upstream(access).describe()
        assert server.requests == []


def test_it_does_not_lead_us_into_our_own_network(authority: trustme.CA, tmp_path: Path) -> None:
    """Its own host is the administrator's choice. Others, that it names, have to be public."""
    document = lambda issuer: answer(  # noqa: E731
        documented(issuer, jwks_uri=issuer.replace("localhost", "127.0.0.1"))
    )
    with pytest.raises(UnavailableError, match="not a public one"):
        described(authority, tmp_path, document, question=Upstream.keys)


@pytest.mark.parametrize(
    "members",
    [
        {"access_token": 1},
        {"id_token": ["x"]},
        {"refresh_token": "a\nb"},
        {"refresh_token": "x" * 65_537},
    ],
)
def test_tokens_that_cannot_be_kept(
    authority: trustme.CA, tmp_path: Path, members: dict[str, object]
) -> None:
    def give(upstream: Upstream) -> Tokens:
        return upstream.give(grant_type="refresh_token", refresh_token="x")

    with pytest.raises(UnavailableError):
        described(
            authority,
            tmp_path,
            lambda issuer: answer(documented(issuer, **members)),
            question=give,
        )


@pytest.mark.parametrize("keys", [None, {}, [{}] * 65, "x"])
def test_keys_that_cannot_be_read(authority: trustme.CA, tmp_path: Path, keys: object) -> None:
    with pytest.raises(UnavailableError):
        described(
            authority,
            tmp_path,
            lambda issuer: answer(documented(issuer, keys=keys)),
            question=Upstream.keys,
        )


def test_userinfo_about_somebody_else(authority: trustme.CA, tmp_path: Path) -> None:
    """The access token that came with an ID token may be that of another."""

    def respond(issuer: str) -> Respond:
        return answer(documented(issuer, sub="mallory", email="m@x", email_verified=True))

    def ask(upstream: Upstream) -> object:
        backend = OidcBackend("company", upstream, Terms("x"))
        return backend._with_address({"sub": "lena"}, Tokens("access"))

    with pytest.raises(UnavailableError, match="somebody else"):
        described(authority, tmp_path, respond, question=ask)


def test_what_userinfo_says_is_not_mixed_with_what_is_signed(
    authority: trustme.CA, tmp_path: Path
) -> None:
    """An address is verified if that is said where the address is."""

    def respond(issuer: str) -> Respond:
        return answer(documented(issuer, sub="lena", email="lena@example.test", auth_time=9e12))

    def ask(upstream: Upstream) -> Claims:
        backend = OidcBackend("company", upstream, Terms("x"))
        return backend._with_address({"sub": "lena", "email_verified": True}, Tokens("access"))

    said = described(authority, tmp_path, respond, question=ask)
    assert isinstance(said, dict)
    assert said["email"] == "lena@example.test"
    assert "email_verified" not in said


def test_a_word_of_another_error_is_for_the_log(authority: trustme.CA, tmp_path: Path) -> None:
    def ask(upstream: Upstream) -> object:
        backend = OidcBackend("company", upstream, Terms("x"))
        return backend.arrive(JOURNEY, {"error": "server_error\n" + "x" * 100})

    with pytest.raises(UnavailableError, match="server_error") as caught:
        described(authority, tmp_path, lambda issuer: answer(documented(issuer)), question=ask)
    assert len(str(caught.value)) < 120
    assert "\n" not in str(caught.value)


def test_a_secret_is_shown_nowhere(tmp_path: Path) -> None:
    access = Access("https://x.test", "client", "the secret")
    shown = repr((access, Tokens("the secret", "the secret", "the secret"), JOURNEY))
    assert "the secret" not in shown
    assert "verifier'" not in shown
