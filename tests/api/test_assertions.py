"""Assertions without SASL: made for an audience, and verified by whom they are for."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from browserid_sasl import (
    AssertionVerifier,
    BrowserIDError,
    Client,
    get_assertion,
)
from browserid_sasl.api.authorities import resolver, revocation_lists
from browserid_sasl.errors import Code, CredentialError, LocalProtocolError
from browserid_sasl.jose import json as strict_json
from browserid_sasl.jose import jwt
from browserid_sasl.store import memory_acceptor
from browserid_sasl.store.base import system_clock
from browserid_sasl.store.memory import MemoryAuthorityCache
from tests.support.revocations import Lists, publishing
from tests.support.site import Site
from tests.support.world import ALICE, HOUR, key

ORIGIN = "https://site.test"
SERVICE = "imap/mail.site.test"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.sign_in(attributes={"name": "Alice"})
    return site


def refused(verifier: AssertionVerifier, assertion: str, audience: str = ORIGIN) -> Code:
    with pytest.raises(BrowserIDError) as caught:
        verifier.verify(assertion, audience)
    return caught.value.code


def with_claims(site: Site, **claims: object) -> str:
    """An assertion with other claims, which Alice has signed; None takes one away."""
    certificate, assertion = get_assertion(ORIGIN, site.config).split("~")
    members = {**jwt.Jwt.parse(assertion).claims, **claims}
    kept = {name: value for name, value in members.items() if value is not None}
    return f"{certificate}~{jwt.sign(strict_json.dumps(kept), key('alice'))}"


@pytest.mark.parametrize(
    ("made_for", "verified_for"),
    [
        (ORIGIN, ORIGIN),
        (ORIGIN, "https://SITE.test:443/"),
        ("https://site.test:443/", ORIGIN),
        (SERVICE, SERVICE),
        (SERVICE, "urn:x-gss:imap/MAIL.site.test"),
    ],
)
def test_who_it_was(site: Site, made_for: str, verified_for: str) -> None:
    before = time.time() * 1000
    verified = AssertionVerifier(site.config).verify(
        get_assertion(made_for, site.config), verified_for
    )
    assert (verified.email, verified.issuer) == (ALICE, "idp.test")
    assert verified.audience == verified_for
    assert before < verified.expires < before + HOUR
    assert verified.claims["name"] == "Alice"


@pytest.mark.parametrize("dialect", ["draft-04", "draft-07"])
def test_a_service_in_each_dialect(site: Site, dialect: str) -> None:
    config = site.config.with_options({"dialect": dialect}, section="client")
    assertion = get_assertion(SERVICE, config)
    assert AssertionVerifier(site.config).verify(assertion, SERVICE).email == ALICE


def test_it_ends_with_the_certificate(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.sign_in(life=60_000)
    verified = AssertionVerifier(site.config).verify(get_assertion(ORIGIN, site.config), ORIGIN)
    assert verified.expires <= time.time() * 1000 + 60_000


@pytest.mark.parametrize("audience", ["http://site.test", "https://www.site.test", SERVICE])
def test_another_s(site: Site, audience: str) -> None:
    verifier = AssertionVerifier(site.config)
    assert refused(verifier, get_assertion(ORIGIN, site.config), audience) is Code.BAD_AUDIENCE


@pytest.mark.parametrize("audience", ["", "site.test", "https://site.test/path", "urn:x:y"])
def test_no_audience(site: Site, audience: str) -> None:
    with pytest.raises(LocalProtocolError) as made:
        get_assertion(audience, site.config)
    assert made.value.code is Code.BAD_AUDIENCE
    with pytest.raises(LocalProtocolError):
        AssertionVerifier(site.config).verify(get_assertion(ORIGIN, site.config), audience)


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"aud": None}, Code.MISSING_AUDIENCE),
        ({"aud": 1}, Code.INVALID_JSON),
        ({"aud": "site.test"}, Code.BAD_SERVICE_NAME),
        ({"exp": None}, Code.UNKNOWN_JSON_KEY),
        ({"exp": 1_000}, Code.EXPIRED_ASSERTION),
        ({"exp": 2**50}, Code.INVALID_ASSERTION),
        ({"iat": 2**50}, Code.INVALID_ASSERTION),
        ({"nbf": 2**50}, Code.ASSERTION_NOT_YET_VALID),
        ({"cb": "bm9uZQ"}, Code.CHANNEL_BINDINGS_MISMATCH),
    ],
)
def test_claims_that_are_not_good(site: Site, claims: dict[str, object], code: Code) -> None:
    assert refused(AssertionVerifier(site.config), with_claims(site, **claims)) is code


def test_what_was_recorded_of_a_login_is_no_assertion(site: Site) -> None:
    client = Client(site.in_memory(), "imap", "mail.site.test", credentials=_Signer(site))
    message = client.start_with("BROWSERID-AES128").step(None).decode()
    assertion = message.partition(",c,")[2]
    verifier = AssertionVerifier(site.config)
    assert refused(verifier, assertion, SERVICE) is Code.CHANNEL_BINDINGS_MISMATCH


class _Signer:
    identity = ALICE

    def __init__(self, site: Site) -> None:
        self._certificate = get_assertion(ORIGIN, site.config).partition("~")[0]

    def assertion(self, claims: bytes) -> str:
        return f"{self._certificate}~{jwt.sign(claims, key('alice'))}"


@pytest.mark.parametrize("text", ["", "~", "a~b", "\udcff", "x" * 70_000, "~a.b.c"])
def test_what_is_none(site: Site, text: str) -> None:
    with pytest.raises(BrowserIDError):
        AssertionVerifier(site.config).verify(text, ORIGIN)


def test_somebody_else_s_signature(site: Site) -> None:
    certificate, assertion = get_assertion(ORIGIN, site.config).split("~")
    claims = strict_json.dumps(jwt.Jwt.parse(assertion).claims)
    forged = f"{certificate}~{jwt.sign(claims, key('mallory'))}"
    assert refused(AssertionVerifier(site.config), forged) is Code.INVALID_SIGNATURE


def test_a_revoked_key(site: Site) -> None:
    assertion = get_assertion(ORIGIN, site.config)
    config = replace(site.config, server=replace(site.config.server, revocations="required"))
    (site.folder / "support.json").write_text(json.dumps(publishing(key("idp"))))
    lists = Lists(system_clock)

    def verifier() -> AssertionVerifier:
        cache = MemoryAuthorityCache()
        authority = resolver(config, cache)
        return AssertionVerifier(
            config, authority=authority, revoked=revocation_lists(config, authority, cache, lists)
        )

    assert verifier().verify(assertion, ORIGIN).email == ALICE
    lists.revoke(key("alice").public_key)
    assert refused(verifier(), assertion) is Code.EXPIRED_CERT
    lists.answers = False
    assert refused(verifier(), assertion) is Code.UNAVAILABLE


def test_the_second_time_where_it_is_remembered(site: Site) -> None:
    assertion = get_assertion(ORIGIN, site.config)
    forgetful = AssertionVerifier(site.config)
    assert forgetful.verify(assertion, ORIGIN) == forgetful.verify(assertion, ORIGIN)
    mindful = AssertionVerifier(site.config, replay=memory_acceptor().replay)
    mindful.verify(assertion, ORIGIN)
    assert refused(mindful, assertion) is Code.REPLAYED_ASSERTION


def test_one_that_is_refused_is_not_remembered(site: Site) -> None:
    """Or whoever sees one could spoil it for its owner."""
    mindful = AssertionVerifier(site.config, replay=memory_acceptor().replay)
    assertion = get_assertion(ORIGIN, site.config)
    assert refused(mindful, assertion, "https://other.test") is Code.BAD_AUDIENCE
    assert mindful.verify(assertion, ORIGIN).email == ALICE


def test_nobody_is_signed_in(tmp_path: Path) -> None:
    with pytest.raises(CredentialError):
        get_assertion(ORIGIN, Site(tmp_path).config)


def test_one_of_two_identities(site: Site) -> None:
    site.sign_in("bob@idp.test")
    verifier = AssertionVerifier(site.config)
    bobs = get_assertion(ORIGIN, site.config, identity="bob@idp.test")
    assert verifier.verify(bobs, ORIGIN).email == "bob@idp.test"
    with pytest.raises(CredentialError):
        get_assertion(ORIGIN, site.config)


def test_an_issuer_that_vouches_for_others(site: Site) -> None:
    site.sign_in("bob@elsewhere.test")
    config = replace(site.config, server=replace(site.config.server, secondary_authorities=()))
    assertion = get_assertion(ORIGIN, config, identity="bob@elsewhere.test")
    with pytest.raises(BrowserIDError):
        AssertionVerifier(config).verify(assertion, ORIGIN)
