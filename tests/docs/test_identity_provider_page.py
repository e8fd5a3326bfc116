"""docs/identity-provider.md: its commands run, and a provider answers as it says."""

from __future__ import annotations

import json
import re
import shlex
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
import requests

from browserid_sasl.config import load
from browserid_sasl.identity.certificate import Certificate, issue
from browserid_sasl.identity.revocations import MAX_REVOKED
from browserid_sasl.idp.audit import Event
from browserid_sasl.idp.authorization_request import AuthorizationRequest
from browserid_sasl.idp.backends import Denial
from browserid_sasl.idp.codes import CODE_LIFE_MS
from browserid_sasl.idp.devices import LETTERS
from browserid_sasl.idp.limits import Policy
from browserid_sasl.jose import jwt
from browserid_sasl.jose.keys import PrivateKey
from tests.support import pages
from tests.support.grants import Program
from tests.support.patience import PATIENCE, wait_until
from tests.support.provider import ALICE, PASSWORD, RunningProvider, running_provider
from tests.support.sample_programs import ROOT

PAGE = (ROOT / "docs" / "identity-provider.md").read_text(encoding="utf-8")
SHOWN: list[dict[str, Any]] = [json.loads(block) for block in pages.blocks(PAGE, "json")]
DOCUMENT, REQUEST, ANSWER, *FLOWS, ERROR = SHOWN
BY_CODE, GRANTED, DEVICE, BEGUN, POLL, STATEMENT, RENEWAL, RENEWED, LIST = FLOWS
KEY = PrivateKey.generate("ES256").public_key.to_json("jwk")
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningProvider]:
    with running_provider(tmp_path / "provider", policy=Policy(free=2)) as provider:
        yield provider


# Commands and configuration


@pytest.mark.parametrize("words", pages.commands(PAGE), ids=" ".join)
def test_the_commands_exist_with_their_options(words: list[str]) -> None:
    pages.check_command(words)


def test_the_commands_work_in_the_order_of_the_page(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    password.chmod(0o600)
    [people] = pages.blocks(PAGE, "csv")
    (tmp_path / "people.csv").write_text(people)
    home = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    for name, command, *arguments in pages.commands(PAGE):
        if command == "serve":
            continue
        if command in ("add-user", "set-password"):
            arguments += ["--password-file", str(password)]
        if command == "restore":
            provider = tmp_path / ".local/share/browserid/idp"
            provider.rename(provider.with_name("before"))
        program = str(Path(sys.executable).with_name(name))
        whole = [program, command, *arguments]
        subprocess.run(whole, env=home, cwd=tmp_path, check=True, timeout=60)
    links = (tmp_path / "invitations.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in links] == ["address", "bob@example.org"]


def test_the_configuration_is_valid(tmp_path: Path) -> None:
    example, elsewhere = pages.blocks(PAGE, "toml")
    file = tmp_path / "browserid.toml"
    file.write_text(example + elsewhere.removeprefix("[idp]\n"))
    options = load(file).idp
    assert (options.domain, options.port) == ("example.org", 443)
    assert (options.public_url, options.rp_id) == ("https://id.example.org", "example.org")
    assert options.directory == load(user=False).idp.directory


def test_the_unit_starts_the_command() -> None:
    [unit] = pages.blocks(PAGE, "ini")
    [line] = re.findall(r"^ExecStart=/usr/local/bin/(.*)$", unit, re.MULTILINE)
    pages.check_command(shlex.split(line))


def test_the_web_server_passes_on_every_path_of_the_provider(running: RunningProvider) -> None:
    # The other two are tried with a web server: tests/browser/test_another_host.py.
    configuration, *_ = pages.blocks(PAGE, "nginx")
    [pattern] = re.findall(r"^location ~ (\S+) \{$", configuration, re.MULTILINE)
    members = [path for path in DOCUMENT.values() if isinstance(path, str)]
    for path in ("/.well-known/browserid", *members, "/browserid", "/browserid/account"):
        assert re.search(pattern, path)
        assert running.get(path).status_code != 404
    for path in (
        "/xwell-known/browserid",
        "/.well-known/browserids",
        "/certifyx",
        "/browseridx",
        "/x/certify",
        "/",
    ):
        assert not re.search(pattern, path)


# What it keeps


def test_the_folder_has_what_is_listed(tmp_path: Path) -> None:
    with running_provider(tmp_path / "provider") as running:
        running.get("/.well-known/browserid")
    kept = {entry.name for entry in (tmp_path / "provider").iterdir()}
    assert {name.rstrip("/") for name in first_column("Making it")} == {
        name for name in kept if not name.startswith("provider.sqlite-")
    }


def test_the_audit_log_has_the_events_that_are_listed(running: RunningProvider) -> None:
    assert set(first_column("Audit log")) == {event.value for event in Event}
    ask(running, REQUEST | {"email": ALICE, "password": "wrong", "public-key": KEY})
    ask(running, REQUEST | {"email": ALICE, "password": PASSWORD, "public-key": KEY})
    for entry in map(json.loads, running.audit_log().splitlines()):
        row = re.search(rf"^\|[^|]*`{entry['event']}`[^|]*\| (.*) \|$", PAGE, re.MULTILINE)
        assert row
        assert [*entry][2:] == re.findall(r"`([\w-]+)`", row[1])


def test_another_tls_certificate_is_presented_within_a_second(running: RunningProvider) -> None:
    before = certificate_of(running)
    running.folder.tls.server.unlink()
    running.folder.tls.create(running.provider.domain, running.clock.now)
    wait_until(lambda: certificate_of(running) != before, "presenting it", 10)


def certificate_of(running: RunningProvider) -> str:
    """The certificate that the web server presents."""
    port = int(running.url.rpartition(":")[2])
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=PATIENCE)


def test_certificates_are_as_long_as_it_says() -> None:
    keys = {"ES256": PrivateKey.generate("ES256"), "RS256": PrivateKey.generate("RS256")}
    for of_provider, signing_key in keys.items():
        lengths = []
        for of_person in keys.values():
            text = issue(
                "example.org",
                "alice@example.org",
                of_person.public_key,
                issued_at=1_795_282_504_224,
                expires=1_795_286_104_224,
                signing_key=signing_key,
            )
            lengths.append(f"{len(text):,}")
        assert f"\n| {of_provider} | {' | '.join(lengths)} |\n" in PAGE


# The interface


def ask(running: RunningProvider, request: Any) -> requests.Response:
    return running.post(DOCUMENT["certify"], json=request)


def good(**changes: Any) -> dict[str, Any]:
    return REQUEST | {"email": ALICE, "password": PASSWORD, "public-key": KEY} | changes


def without(member: str) -> dict[str, Any]:
    return {name: value for name, value in good().items() if name != member}


def test_the_support_document_has_the_members_that_are_shown(running: RunningProvider) -> None:
    answer = running.get("/.well-known/browserid")
    document = answer.json()
    assert {**document, "public-key": None} == {**DOCUMENT, "public-key": None}
    shown = DOCUMENT["public-key"]
    assert document["public-key"] == {**document["public-key"], "kty": shown["kty"]}
    assert list(document["public-key"]) == list(shown)
    assert f"`Cache-Control: {answer.headers['Cache-Control']}`" in PAGE


def test_the_request_that_is_shown_gets_the_answer_that_is_shown(running: RunningProvider) -> None:
    assert list(REQUEST["public-key"]) == list(KEY)
    answer = ask(running, good())
    assert answer.status_code == 200
    assert list(answer.json()) == list(ANSWER)
    assert answer.headers["Cache-Control"] == "no-store"
    certificate = Certificate.parse(answer.json()["certificate"])
    assert certificate.expires == running.clock.now + REQUEST["duration"] * 1000


def test_the_members_of_a_request_are_those_that_are_listed() -> None:
    assert first_column("Getting a certificate") == list(REQUEST)


def test_the_error_that_is_shown_is_the_one_that_comes(running: RunningProvider) -> None:
    assert ask(running, good(password="wrong")).json() == ERROR


PROGRAM = Program()


def by_code(running: RunningProvider) -> requests.Response:
    code = PROGRAM.code(running.provider.codes, running.clock.now)
    return ask(running, BY_CODE | {"code": code, "code_verifier": PROGRAM.verifier})


def statement(running: RunningProvider, **changes: Any) -> str:
    audience = f"{running.provider.public_url}/certify"
    claims = STATEMENT | {"aud": audience, "exp": running.clock.now + 60_000} | changes
    return jwt.sign(claims, PROGRAM.key)


def test_a_code_gets_what_is_shown(running: RunningProvider) -> None:
    answer = by_code(running).json()
    assert list(answer) == list(GRANTED)
    assert answer["renewal_expires_in"] == GRANTED["renewal_expires_in"]
    assert "A code is good for 60 seconds and one try" in PAGE
    assert CODE_LIFE_MS == 60_000


def test_the_parameters_of_the_page_are_those_that_are_listed(running: RunningProvider) -> None:
    values = {
        "email": ALICE,
        "public-key": PROGRAM.public_key,
        "state": "x",
        "redirect_uri": "http://127.0.0.1:1/",
        "code_challenge": PROGRAM.challenge,
        "code_challenge_method": "S256",
        "machine": "laptop",
    }
    assert first_column("In a browser") == list(values)
    request = AuthorizationRequest.parse(urlencode(values), running.provider.accounts)
    assert dict(parse_qsl(request.query)) == values


def test_a_device_begins_and_polls_as_is_shown(running: RunningProvider) -> None:
    request = DEVICE | {"email": ALICE, "public-key": KEY}
    begun = running.post(DOCUMENT["device-authorization"], json=request).json()
    assert list(begun) == list(BEGUN)
    for name in ("interval", "expires_in"):
        assert begun[name] == BEGUN[name]
    page = BEGUN["verification_uri"].replace("example.org", running.provider.domain)
    assert begun["verification_uri"] == page
    typed = {"user_code": begun["user_code"]}
    assert begun["verification_uri_complete"] == f"{page}?{urlencode(typed)}"
    assert set(BEGUN["user_code"]) <= {*LETTERS, "-"}
    assert len(BEGUN["user_code"]) == len(begun["user_code"])
    poll = ask(running, POLL | {"device_code": begun["device_code"]})
    assert poll.json()["error"] == "slow_down"


def test_a_renewal_is_asked_for_as_is_shown(running: RunningProvider) -> None:
    secret = by_code(running).json()["renewal"]
    answer = ask(running, RENEWAL | {"renewal": statement(running, renewal=secret)})
    assert list(answer.json()) == list(RENEWED)
    assert answer.json()["renewal_expires_in"] == RENEWED["renewal_expires_in"]
    again = {"renewal": statement(running, renewal=secret), "revoke": True}
    assert ask(running, again).json() == {}


def test_the_list_of_revoked_keys_has_what_is_shown(running: RunningProvider) -> None:
    by_code(running)
    running.provider.renewals.revoke_all(ALICE, running.clock.now)
    answer = running.get(DOCUMENT["revocations"])
    claims = jwt.Jwt.parse(answer.text).claims
    assert list(claims) == list(LIST)
    assert claims["exp"] - claims["iat"] == LIST["exp"] - LIST["iat"]
    assert [len(key) for key in claims["revoked"]] == [len(LIST["revoked"][0])]
    assert f"`Cache-Control: {answer.headers['Cache-Control']}`" in PAGE
    assert f"{MAX_REVOKED:,} keys" in PAGE


SHORT = {"kty": "RSA", "n": "w" + "A" * 169 + "Q", "e": "AQAB"}
REFUSED: dict[tuple[int, str], Any] = {
    (400, "invalid-json"): good(email=5),
    (400, "unknown-json-key"): without("email"),
    (400, "no-key"): without("public-key"),
    (400, "invalid-key"): good(**{"public-key": {}}),
    (400, "key-too-short"): good(**{"public-key": SHORT}),
    (400, "unknown-ec-curve"): good(**{"public-key": KEY | {"crv": "P-521"}}),
    (400, "invalid-base64"): good(**{"public-key": KEY | {"x": "!"}}),
    (400, "invalid-address"): good(email="alice@other.test"),
    (400, "invalid-parameter"): good(password=""),
    (400, "invalid-duration"): good(duration=86_401),
    (400, "invalid-machine"): good(machine="\n"),
    (400, "several-grants"): good(code="x"),
    (400, "invalid-code"): BY_CODE,
    (400, "expired_token"): POLL,
    (400, "invalid-json-web-token"): RENEWAL,
    (400, "missing-algorithm"): {"renewal": "e30.e30.AA"},
    (400, "missing-signature"): {"renewal": "eyJhbGciOiJFUzI1NiJ9.e30."},
    (401, "renewal-unknown"): {"renewal": jwt.sign(STATEMENT, PROGRAM.key)},
    (401, "wrong-credentials"): good(password="wrong"),
    (413, "too-large"): good(padding="x" * 16_384),
}
OTHERWISE = {
    (400, "revoked-key"),
    (400, "bad-request"),
    (421, "misdirected"),
    (400, "authorization_pending"),
    (400, "slow_down"),
    (400, "access_denied"),
    (400, "bad-audience"),
    (400, "expired-assertion"),
    (401, "renewal-expired"),
    (401, "renewal-revoked"),
    (401, "no-account"),
    (403, "more-asked"),
    (403, "second-factor-needed"),
    (429, "too-many-devices"),
    (429, "too-many-keys"),
    (404, "not-found"),
    (405, "method-not-allowed"),
    (408, "timeout"),
    (415, "unsupported-media-type"),
    (429, "too-many-attempts"),
    (500, "internal"),
    (503, "busy"),
    (503, "backend-unavailable"),
    (403, "second-step-missing"),
    (401, "no-longer-vouched"),
    *(
        (403, each.value)
        for each in Denial
        if each
        not in (
            Denial.WRONG_PASSWORD,
            Denial.PASSWORD_CHANGED,
            Denial.GONE,
            Denial.NOT_CONFIGURED,
            # Of who signs in at another provider, so on pages only.
            Denial.UNVERIFIED,
            Denial.FOREIGN,
            Denial.WEAK,
            Denial.CANCELLED,
            Denial.OVER,
            # Of who shows a certificate, likewise.
            Denial.UNPROVEN,
            Denial.UNTRUSTED,
            Denial.CERTIFICATE_EXPIRED,
            Denial.CERTIFICATE_REVOKED,
            Denial.UNIDENTIFIED,
            Denial.OTHER_WAY,
        )
    ),
}
"""Each has a test of its own, here or in tests/idp."""


def test_the_errors_are_those_that_are_listed() -> None:
    rows = re.findall(r"^\| (\d{3}) \| (.*?) \|", PAGE, re.MULTILINE)
    listed = {(int(row[0]), word) for row in rows for word in re.findall(r"`([\w-]+)`", row[1])}
    assert listed == OTHERWISE | set(REFUSED)


@pytest.mark.parametrize(("status", "error"), REFUSED)
def test_a_request_is_refused_as_it_is_listed(
    running: RunningProvider, status: int, error: str
) -> None:
    answer = ask(running, REFUSED[status, error])
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_so_are_requests_for_something_else(running: RunningProvider) -> None:
    body = json.dumps(good())
    elsewhere = running.post("/elsewhere", json=good())
    got = running.get("/certify")
    as_text = running.post("/certify", data=body, headers={"Content-Type": "text/plain"})
    packed = running.post("/certify", data=body, headers=JSON | {"Content-Encoding": "gzip"})
    answers = [(each.status_code, each.json()["error"]) for each in (elsewhere, got, as_text)]
    assert answers == [
        (404, "not-found"),
        (405, "method-not-allowed"),
        (415, "unsupported-media-type"),
    ]
    assert packed.status_code == 415


def test_so_are_guesses(running: RunningProvider) -> None:
    answers = [ask(running, good(password="wrong")) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert answers[-1].json()["error"] == "too-many-attempts"
    assert int(answers[-1].headers["Retry-After"]) >= 1


def first_column(heading: str) -> list[str]:
    """What is in backticks in the first column of the tables under a heading."""
    section = re.split(rf"^##+ {heading}$", PAGE, flags=re.MULTILINE)[1]
    section = re.split(r"^##+ ", section, flags=re.MULTILINE)[0]
    cells = re.findall(r"^\| (`[^|]*?) \|", section, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
