"""What a program may ask of the page where a person signs in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from browserid_sasl.idp.accounts import Accounts
from browserid_sasl.idp.authorization_request import AuthorizationRequest
from browserid_sasl.idp.database import Database
from browserid_sasl.jose import b64
from browserid_sasl.web.refusal import RefusedError
from tests.support.grants import ALICE, CLIENT, DOMAIN, Program

PROGRAM = Program()
GOOD: Mapping[str, str] = {
    "email": ALICE,
    "public-key": PROGRAM.public_key,
    "state": "a state, with = and &",
    "redirect_uri": "http://127.0.0.1:49152/back",
    "code_challenge": PROGRAM.challenge,
    "machine": "Alice's laptop",
}


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    return Accounts(Database(tmp_path / "database"), DOMAIN)


def parse(accounts: Accounts, **changes: str) -> AuthorizationRequest:
    return AuthorizationRequest.parse(urlencode({**GOOD, **changes}), accounts)


def refusal(accounts: Accounts, query: str) -> str:
    with pytest.raises(RefusedError) as refused:
        AuthorizationRequest.parse(query, accounts)
    assert refused.value.status == 400
    return refused.value.word


def refusal_of(accounts: Accounts, name: str, value: str) -> str:
    return refusal(accounts, urlencode({**GOOD, name: value}))


def test_what_is_asked(accounts: Accounts) -> None:
    request = parse(accounts, email=f"ALICE@{DOMAIN}".upper())
    wish = request.wish(CLIENT)
    assert (wish.email, wish.machine, wish.client) == (ALICE, "Alice's laptop", CLIENT)
    assert wish.public_key == PROGRAM.key.public_key
    assert wish.fingerprint == b64.encode(PROGRAM.key.public_key.thumbprint)
    assert request.code_challenge == PROGRAM.challenge


def test_it_is_carried_from_page_to_page_as_it_is(accounts: Accounts) -> None:
    request = parse(accounts, further="ignored")
    assert AuthorizationRequest.parse(request.query, accounts) == request
    assert "further" not in request.query


def test_the_machine_and_the_method_may_be_missing(accounts: Accounts) -> None:
    query = urlencode({name: value for name, value in GOOD.items() if name != "machine"})
    request = AuthorizationRequest.parse(query + "&code_challenge_method=S256", accounts)
    assert request.machine == ""


def test_the_way_back_has_the_state_as_it_was(accounts: Accounts) -> None:
    request = parse(accounts)
    for address, expected in (
        (request.granted("the code"), {"code": ["the code"]}),
        (request.refused(), {"error": ["access_denied"]}),
    ):
        base, _, query = address.partition("?")
        assert base == GOOD["redirect_uri"]
        assert parse_qs(query, strict_parsing=True) == expected | {"state": [GOOD["state"]]}


@pytest.mark.parametrize("name", ["email", "public-key", "state", "redirect_uri", "code_challenge"])
def test_the_rest_is_needed(accounts: Accounts, name: str) -> None:
    without = {key: value for key, value in GOOD.items() if key != name}
    assert refusal(accounts, urlencode(without)) == "missing-parameter"
    assert refusal_of(accounts, name, "") == "missing-parameter"


@pytest.mark.parametrize("name", GOOD)
def test_nothing_is_there_twice(accounts: Accounts, name: str) -> None:
    query = urlencode([*GOOD.items(), (name, GOOD[name])])
    assert refusal(accounts, query) == "invalid-query"


@pytest.mark.parametrize("query", ["&".join("abc" * 20), "x=%ff", "x=" + "y" * 8_192])
def test_a_query_that_is_none(accounts: Accounts, query: str) -> None:
    assert refusal(accounts, query) in ("invalid-query", "missing-parameter")


def test_too_many_parameters(accounts: Accounts) -> None:
    assert refusal(accounts, "&".join(f"a{n}=1" for n in range(100))) == "invalid-query"


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:1/",
        "http://127.0.0.1:65535/a/b.c-d_e~f",
        "http://127.0.0.1/back",
        "http://[::1]:8080/back",
        "http://localhost:8080/back",
    ],
)
def test_it_goes_back_to_loopback(accounts: Accounts, uri: str) -> None:
    request = parse(accounts, redirect_uri=uri)
    assert request.redirect_uri == uri
    assert urlsplit(request.granted("c")).hostname in ("127.0.0.1", "::1", "localhost")


@pytest.mark.parametrize(
    "uri",
    [
        "https://evil.example/",
        "https://127.0.0.1:1/",
        "http://evil.example:1/",
        "http://127.0.0.1.evil.example:1/",
        "http://localhost.evil.example/",
        "http://evillocalhost/",
        "http://127.0.0.1@evil.example/",
        "http://user@127.0.0.1/",
        "http://user:pass@localhost:1/",
        "http://127.0.0.1:1@evil.example/",
        "http://evil.example#@127.0.0.1/",
        "http://evil.example?@127.0.0.1/",
        "http://evil.example\\@127.0.0.1/",
        "http://127.0.0.1\\.evil.example/",
        "http://127.0.0.1:1\\@evil.example/",
        "http://127.0.0.1:1/..",
        "http://127.0.0.1:1/../x",
        "http://127.0.0.1:1/a/./b",
        "http://127.0.0.1:1/%2e%2e/x",
        "http://127.0.0.1:1/%2fx",
        "http://127.0.0.1:1/a?b=c",
        "http://127.0.0.1:1/a#b",
        "http://127.0.0.1:1/a b",
        "http://127.0.0.1:1/a\nb",
        "http://127.0.0.1:1/a\r\nSet-Cookie: x",
        "http://127.0.0.1:1/\u00e4",
        "http://127.0.0.1:1",
        "http://127.0.0.1:/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:00080/",
        "http://127.0.0.1:65536/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:123456/",
        "http://127.0.0.1:-1/",
        "http://127.0.0.1:+80/",
        "http://127.0.0.1:8\u0660/",
        "HTTP://127.0.0.1:1/",
        "Http://127.0.0.1:1/",
        "http://LOCALHOST:1/",
        "http://localhost.:1/",
        "http://127.1:1/",
        "http://127.0.0.2:1/",
        "http://0.0.0.0:1/",
        "http://2130706433:1/",
        "http://0x7f.0.0.1:1/",
        "http://0177.0.0.1:1/",
        "http://%3127.0.0.1:1/",
        "http://\uff11\uff12\uff17.0.0.1:1/",
        "http://[::1%25lo]:1/",
        "http://[::ffff:127.0.0.1]:1/",
        "http://[0:0:0:0:0:0:0:1]:1/",
        "http://::1:1/",
        "http:/127.0.0.1:1/",
        "http:127.0.0.1:1/",
        "http:///127.0.0.1:1/",
        "//127.0.0.1:1/",
        "javascript://127.0.0.1/%0aalert(1)",
        "file://localhost/etc/passwd",
        "data:text/html,x",
        "app.example:/back",
        " http://127.0.0.1:1/",
        "http://127.0.0.1:1/ ",
        "http://127.0.0.1:1/\n",
        "\thttp://127.0.0.1:1/",
        "ht\ntp://127.0.0.1:1/",
        "http://127.0.0.1:1/" + "a" * 256,
    ],
)
def test_and_nowhere_else(accounts: Accounts, uri: str) -> None:
    assert refusal_of(accounts, "redirect_uri", uri) == "invalid-redirect-uri"


def test_where_it_goes_back_is_looked_at_first(accounts: Accounts) -> None:
    changes = {"redirect_uri": "https://evil.example/", "state": "\n", "email": "nobody"}
    assert refusal(accounts, urlencode({**GOOD, **changes})) == "invalid-redirect-uri"


@pytest.mark.parametrize("state", ["\n", "a\r\nb", "\u00e4", "x" * 513, "\x7f"])
def test_a_state_that_is_none(accounts: Accounts, state: str) -> None:
    assert refusal_of(accounts, "state", state) == "invalid-state"


@pytest.mark.parametrize(
    "challenge",
    [PROGRAM.challenge[:-1], PROGRAM.challenge + "A", PROGRAM.challenge[:-1] + "=", "+" * 43],
    ids=["short", "long", "padded", "other letters"],
)
def test_a_challenge_that_is_none(accounts: Accounts, challenge: str) -> None:
    assert refusal_of(accounts, "code_challenge", challenge) == "invalid-challenge"


@pytest.mark.parametrize("method", ["plain", "s256", ""])
def test_a_challenge_of_another_method(accounts: Accounts, method: str) -> None:
    assert refusal_of(accounts, "code_challenge_method", method) == "invalid-challenge"


@pytest.mark.parametrize(
    ("key", "word"),
    [
        ("!", "invalid-base64"),
        (b64.encode(b"{}"), "invalid-key"),
        (b64.encode(b"[]"), "invalid-json"),
        (b64.encode(b"\xff"), "invalid-key"),
        (b64.encode(b'{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}'), "unknown-ec-curve"),
        ("A" * 8_192, "invalid-query"),
        (b64.encode(b'{"a":"' + b"a" * 4_096 + b'"}'), "buffer-too-long"),
    ],
)
def test_a_key_that_is_none(accounts: Accounts, key: str, word: str) -> None:
    assert refusal_of(accounts, "public-key", key) == word


@pytest.mark.parametrize(
    "email", ["alice", "alice@elsewhere.test", f"a b@{DOMAIN}", "a" * 300 + f"@{DOMAIN}"]
)
def test_an_address_that_is_none_of_the_domain(accounts: Accounts, email: str) -> None:
    assert refusal_of(accounts, "email", email) == "invalid-address"


def test_an_address_need_not_be_an_accounts(accounts: Accounts) -> None:
    assert parse(accounts, email=f"nobody@{DOMAIN}").email == f"nobody@{DOMAIN}"


@pytest.mark.parametrize("machine", ["x" * 65, "a\nb", "a\x00b", "evil\u202egnp.exe", "\ud800"])
def test_a_machines_name_that_cannot_be_shown(accounts: Accounts, machine: str) -> None:
    changes = urlencode({**GOOD, "machine": machine}, errors="surrogatepass")
    assert refusal(accounts, changes) in ("invalid-machine", "invalid-query")


def test_neither_state_nor_query_is_shown_by_accident(accounts: Accounts) -> None:
    assert GOOD["state"] not in repr(parse(accounts))
