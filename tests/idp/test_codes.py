"""One-time codes, which a browser carries to the program that made the key."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from browserid_sasl.idp.codes import CODE_LIFE_MS
from browserid_sasl.idp.folder import Provider
from browserid_sasl.idp.wishes import Granted
from browserid_sasl.web.refusal import RefusedError
from tests.support.grants import ALICE, BOB, CLIENT, NOW, Program, events, provider_in, wish_of


@pytest.fixture
def provider(tmp_path: Path) -> Provider:
    return provider_in(tmp_path)


def refusal(provider: Provider, code: str, verifier: str, now: int = NOW) -> str:
    with pytest.raises(RefusedError) as refused:
        provider.codes.redeem(code, verifier, CLIENT, now)
    assert (refused.value.status, refused.value.word) == (400, "invalid-code")
    return refused.value.message


@pytest.mark.parametrize("renewal", [True, False])
def test_a_code_stands_for_what_was_consented_to(provider: Provider, renewal: bool) -> None:
    program = Program()
    code = program.code(provider.codes, NOW, renewal=renewal)
    granted = provider.codes.redeem(code, program.verifier, CLIENT, NOW + CODE_LIFE_MS - 1)
    assert granted == Granted(wish_of(program.key), renewal)


def test_it_is_good_for_a_minute(provider: Provider) -> None:
    program = Program()
    code = program.code(provider.codes, NOW)
    assert CODE_LIFE_MS == 60_000
    assert "expired" in refusal(provider, code, program.verifier, NOW + CODE_LIFE_MS)


def test_an_unknown_one_is_refused(provider: Provider) -> None:
    refusal(provider, "x" * 43, Program().verifier)


@pytest.mark.parametrize("verifier", ["", "x", "x" * 43, "x" * 129, "\u00e4" * 43, "\ud800" * 43])
def test_it_is_worth_nothing_without_the_verifier(provider: Provider, verifier: str) -> None:
    program = Program()
    refusal(provider, program.code(provider.codes, NOW), verifier)


def test_the_challenge_is_no_verifier(provider: Provider) -> None:
    program = Program()
    refusal(provider, program.code(provider.codes, NOW), program.challenge)


def test_any_try_spends_it(provider: Provider) -> None:
    program = Program()
    code = program.code(provider.codes, NOW)
    refusal(provider, code, Program().verifier)
    assert "before" in refusal(provider, code, program.verifier)


def test_of_many_tries_at_once_one_succeeds(provider: Provider) -> None:
    program = Program()
    code = program.code(provider.codes, NOW)

    def redeem(_: int) -> bool:
        try:
            provider.codes.redeem(code, program.verifier, CLIENT, NOW)
        except RefusedError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(redeem, range(16))) == 1


class TestTheSecondTry:
    def test_revokes_what_the_first_one_gave(self, provider: Provider, tmp_path: Path) -> None:
        program = Program()
        code = program.code(provider.codes, NOW)
        granted = provider.codes.redeem(code, program.verifier, CLIENT, NOW)
        token, _ = provider.renewals.issue(granted, NOW + 1000, NOW, lambda: None)
        refusal(provider, code, program.verifier, NOW + 500_000)
        assert provider.renewals.all(ALICE, NOW) == []
        assert wish_of(program.key).fingerprint in revoked(provider)
        assert token
        assert events(tmp_path)[-1]["event"] == "code-used-twice"

    def test_revokes_what_the_first_one_is_just_getting(self, provider: Provider) -> None:
        program = Program()
        code = program.code(provider.codes, NOW)
        granted = provider.codes.redeem(code, program.verifier, CLIENT, NOW)
        refusal(provider, code, program.verifier)
        with pytest.raises(RefusedError) as refused:
            provider.renewals.issue(granted, NOW + 1000, NOW, lambda: None)
        assert refused.value.word == "revoked-key"

    def test_revokes_no_other_accounts_key(self, provider: Provider) -> None:
        """Whoever has seen Alice's key can wish for it, too."""
        program = Program()
        provider.renewals.issue(Granted(wish_of(program.key), True), NOW + 1000, NOW, lambda: None)
        code = program.code(provider.codes, NOW, email=BOB)
        provider.codes.redeem(code, program.verifier, CLIENT, NOW)
        refusal(provider, code, program.verifier)
        assert len(provider.renewals.all(ALICE, NOW)) == 1
        assert revoked(provider) == []


def revoked(provider: Provider) -> list[str]:
    from browserid_sasl.jose.jwt import Jwt

    claims = Jwt.parse(provider.revocations.document(NOW)).claims
    return list(claims["revoked"])


def test_the_database_has_no_code(provider: Provider, tmp_path: Path) -> None:
    code = Program().code(provider.codes, NOW)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(code.encode() in path.read_bytes() for path in files)


def test_a_consent_is_written_down(provider: Provider, tmp_path: Path) -> None:
    program = Program()
    program.code(provider.codes, NOW)
    line = events(tmp_path)[-1]
    assert (line["event"], line["email"], line["client"]) == ("consented", ALICE, CLIENT)
    assert (line["key"], line["machine"]) == (wish_of(program.key).fingerprint, "laptop")
