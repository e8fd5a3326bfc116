"""OpenLDAP, whose server is threaded and whose clients ask by prompts."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.sample_programs import ALICE, DOMAIN
from tests.support.services import AES128, Site, Slapd

ALICE_DN = f"dn:uid=alice,ou=people,{Slapd.BASE}"


@pytest.fixture
def slapd(site: Site) -> Iterator[Slapd]:
    with Slapd(site).running() as slapd:
        yield slapd


def whoami(slapd: Slapd, *arguments: str, input: str = "") -> str:
    command = ("ldapwhoami", "-H", slapd.url, "-Y", AES128, *arguments)
    return slapd.site.run(*command, input=input).stdout


def test_the_mechanisms_are_announced(slapd: Slapd) -> None:
    attribute = "supportedSASLMechanisms"
    command = ("ldapsearch", "-x", "-LLL", "-H", slapd.url, "-s", "base", "-b", "", attribute)
    assert f"{attribute}: {AES128}\n" in slapd.site.run(*command).stdout


def test_ldapwhoami_returns_the_mapped_identity(slapd: Slapd) -> None:
    assert ALICE_DN in whoami(slapd, "-U", ALICE)


def test_an_empty_answer_to_the_prompt_means_the_default_identity(slapd: Slapd) -> None:
    said = whoami(slapd, input="\n")
    assert "E-mail address to log in with (empty for the default identity): " in said
    assert ALICE_DN in said


def test_a_missing_sign_in_names_the_command(slapd: Slapd) -> None:
    said = whoami(slapd, "-Q", "-U", f"bob@{DOMAIN}")
    assert f"bob@{DOMAIN} is not signed in: sign in first: browserid login bob@{DOMAIN}" in said


def test_acting_as_somebody_else_is_refused(slapd: Slapd) -> None:
    said = whoami(slapd, "-Q", "-U", ALICE, "-X", f"u:bob@{DOMAIN}")
    assert "Insufficient access" in said or "not authorized" in said.lower()


def test_500_logins_over_10_connections_at_a_time(slapd: Slapd) -> None:
    """One program that logs in 50 times, ten times at once."""
    logins = "; ".join(["ldapwhoami -Q -H $0 -Y $1 -U $2"] * 50)
    command = ("/bin/sh", "-c", logins, slapd.url, AES128, ALICE)
    with ThreadPoolExecutor(10) as pool:
        said = pool.map(lambda _: slapd.site.run(*command, timeout=110).stdout, range(10))
        assert [text.count(ALICE_DN) for text in said] == [50] * 10
