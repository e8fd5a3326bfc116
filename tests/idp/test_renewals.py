"""Where certificates went, and how they are renewed and revoked."""

from __future__ import annotations

from pathlib import Path

import pytest

from browserid_sasl.identity.revocations import MAX_TICKET_LIFE_MS
from browserid_sasl.idp import renewals as module
from browserid_sasl.idp.folder import Provider
from browserid_sasl.idp.renewals import (
    MAX_AHEAD_MS,
    RENEWAL_LIFE_MS,
    SKEW_MS,
    Proof,
    Renewals,
)
from browserid_sasl.idp.revocations import DOCUMENT_LIFE_MS
from browserid_sasl.idp.wishes import Granted
from browserid_sasl.jose import jwt
from browserid_sasl.jose.jwt import Jwt
from browserid_sasl.web.refusal import RefusedError
from tests.support.grants import (
    ALICE,
    AUDIENCE,
    BOB,
    CLIENT,
    DAY_MS,
    HOUR_MS,
    NOW,
    Program,
    events,
    provider_in,
    put_on_list,
    wish_of,
)

MINUTE_MS = 60_000


@pytest.fixture
def provider(tmp_path: Path) -> Provider:
    return provider_in(tmp_path)


@pytest.fixture
def renewals(provider: Provider) -> Renewals:
    return provider.renewals


def issue(renewals: Renewals, program: Program, now: int = NOW, *, renewal: bool = True) -> str:
    granted = Granted(wish_of(program.key), renewal)
    return renewals.issue(granted, now + HOUR_MS, now, lambda: None)[0]


def use(renewals: Renewals, proof: str, now: int, client: str = CLIENT) -> int:
    parsed = Proof.parse(proof)
    renewals.find(parsed, now)
    return renewals.use(parsed, client, now + HOUR_MS, now, lambda: None)


def refusal(renewals: Renewals, proof: str, now: int = NOW) -> str:
    with pytest.raises(RefusedError) as refused:
        use(renewals, proof, now)
    definite = refused.value.word.startswith("renewal-")
    assert refused.value.status == (401 if definite else 400)
    return refused.value.word


def revoked(provider: Provider, now: int = NOW) -> list[str]:
    return list(Jwt.parse(provider.revocations.document(now)).claims["revoked"])


class TestRenewing:
    def test_goes_on_for_as_long_as_it_is_used(self, renewals: Renewals) -> None:
        program = Program()
        token = issue(renewals, program)
        now = NOW
        for _ in range(5):
            now += RENEWAL_LIFE_MS - 1
            assert use(renewals, program.renewal(token, now), now) == now + RENEWAL_LIFE_MS
        now += RENEWAL_LIFE_MS
        assert refusal(renewals, program.renewal(token, now), now) == "renewal-expired"

    def test_is_seen_in_the_list_with_time_and_place(self, renewals: Renewals) -> None:
        program = Program()
        token = issue(renewals, program)
        use(renewals, program.renewal(token, NOW + DAY_MS), NOW + DAY_MS, "198.51.100.1")
        [entry] = renewals.all(ALICE, NOW + DAY_MS)
        assert (entry.machine, entry.client) == ("laptop", "198.51.100.1")
        assert entry.key == wish_of(program.key).fingerprint
        assert (entry.created, entry.last) == (NOW, NOW + DAY_MS)
        assert entry.certificate == NOW + DAY_MS + HOUR_MS
        assert entry.expires == NOW + DAY_MS + RENEWAL_LIFE_MS

    def test_takes_the_key_it_was_given_for(self, renewals: Renewals) -> None:
        token = issue(renewals, Program())
        assert refusal(renewals, Program().renewal(token, NOW)) == "renewal-unknown"

    def test_takes_a_signature(self, renewals: Renewals) -> None:
        token = issue(renewals, Program())
        claims = {"renewal": token, "aud": AUDIENCE, "exp": NOW + 1}
        assert refusal(renewals, jwt.unsigned(claims)) == "renewal-unknown"

    def test_takes_a_secret_that_was_given(self, renewals: Renewals) -> None:
        program = Program()
        issue(renewals, program)
        for token in ("", "x" * 43):
            assert refusal(renewals, program.renewal(token, NOW)) == "renewal-unknown"

    def test_has_one_secret_at_a_time(self, renewals: Renewals) -> None:
        program = Program()
        first, second = issue(renewals, program), issue(renewals, program)
        assert refusal(renewals, program.renewal(first, NOW)) == "renewal-unknown"
        use(renewals, program.renewal(second, NOW), NOW)

    @pytest.mark.parametrize("audience", ["https://elsewhere.test/certify", AUDIENCE + "/", ""])
    def test_is_asked_of_this_provider(self, renewals: Renewals, audience: str) -> None:
        program = Program()
        token = issue(renewals, program)
        assert refusal(renewals, program.renewal(token, NOW, aud=audience)) == "bad-audience"

    @pytest.mark.parametrize("ahead", [-SKEW_MS, MAX_AHEAD_MS + SKEW_MS + 1])
    def test_is_asked_now(self, renewals: Renewals, ahead: int) -> None:
        program = Program()
        token = issue(renewals, program)
        statement = program.renewal(token, NOW, exp=NOW + ahead)
        assert refusal(renewals, statement) == "expired-assertion"

    @pytest.mark.parametrize("changes", [{"aud": 5}, {"exp": "soon"}, {"exp": True}])
    def test_is_asked_in_the_right_types(
        self, renewals: Renewals, changes: dict[str, object]
    ) -> None:
        program = Program()
        token = issue(renewals, program)
        assert refusal(renewals, program.renewal(token, NOW, **changes)) == "invalid-json"

    @pytest.mark.parametrize("text", ["", "a.b.c", "x" * 8_193, "..", "\u00e4.b.c"])
    def test_is_asked_with_a_token(self, text: str) -> None:
        with pytest.raises(RefusedError) as refused:
            Proof.parse(text)
        assert refused.value.status == 400

    def test_does_nothing_that_cannot_be_written_down(self, renewals: Renewals) -> None:
        program = Program()
        proof = Proof.parse(program.renewal(issue(renewals, program), NOW))

        def fail() -> None:
            raise OSError

        with pytest.raises(OSError):
            renewals.use(proof, CLIENT, NOW + DAY_MS, NOW + 1, fail)
        [entry] = renewals.all(ALICE, NOW)
        assert (entry.last, entry.certificate) == (NOW, NOW + HOUR_MS)


class TestTheList:
    def test_has_certificates_that_are_not_renewed_too(self, renewals: Renewals) -> None:
        """As long as one, or a ticket that was given for it, can be in force."""
        issue(renewals, Program(), renewal=False)
        assert len(renewals.all(ALICE, NOW + HOUR_MS + MAX_TICKET_LIFE_MS - 1)) == 1
        assert renewals.all(ALICE, NOW + HOUR_MS + MAX_TICKET_LIFE_MS) == []

    def test_is_an_accounts(self, renewals: Renewals) -> None:
        issue(renewals, Program())
        assert renewals.all(BOB, NOW) == []

    def test_has_no_more_keys_than_are_worth_revoking(
        self, renewals: Renewals, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "MOST_KEYS", 2)
        again = Program()
        for program in (Program(), again, again):
            issue(renewals, program, renewal=False)
        with pytest.raises(RefusedError) as refused:
            issue(renewals, Program())
        assert (refused.value.status, refused.value.word) == (429, "too-many-keys")
        later = NOW + HOUR_MS + MAX_TICKET_LIFE_MS + SKEW_MS
        issue(renewals, Program(), later)

    def test_shows_no_secret(self, renewals: Renewals, tmp_path: Path) -> None:
        token = issue(renewals, Program())
        for path in filter(Path.is_file, tmp_path.rglob("*")):
            assert token.encode() not in path.read_bytes()


class TestRevoking:
    def test_ends_the_renewal_at_once_and_puts_the_key_on_the_list(
        self, provider: Provider, tmp_path: Path
    ) -> None:
        renewals, program = provider.renewals, Program()
        statement = program.renewal(issue(renewals, program), NOW)
        [entry] = renewals.all(ALICE, NOW)
        assert renewals.revoke(entry.id, ALICE, NOW, client=CLIENT)
        assert refusal(renewals, statement) == "renewal-revoked"
        assert renewals.all(ALICE, NOW) == []
        assert revoked(provider) == [entry.key]
        line = events(tmp_path)[-1]
        assert (line["event"], line["email"], line["key"]) == ("revoked", ALICE, entry.key)
        assert not renewals.revoke(entry.id, ALICE, NOW)

    def test_is_an_accounts_own(self, renewals: Renewals) -> None:
        issue(renewals, Program())
        [entry] = renewals.all(ALICE, NOW)
        assert not renewals.revoke(entry.id, BOB, NOW)
        assert len(renewals.all(ALICE, NOW)) == 1

    def test_all_of_an_account(self, provider: Provider) -> None:
        renewals = provider.renewals
        for _ in range(3):
            issue(renewals, Program())
        assert renewals.revoke_all(BOB, NOW) == 0
        assert renewals.revoke_all(ALICE, NOW) == 3
        assert len(revoked(provider)) == 3

    def test_between_the_look_and_the_use(self, renewals: Renewals) -> None:
        program = Program()
        proof = Proof.parse(program.renewal(issue(renewals, program), NOW))
        renewals.find(proof, NOW)
        renewals.revoke_all(ALICE, NOW)
        with pytest.raises(RefusedError) as refused:
            renewals.use(proof, CLIENT, NOW + HOUR_MS, NOW, lambda: None)
        assert refused.value.word == "renewal-revoked"

    def test_by_the_machine_itself(self, provider: Provider) -> None:
        program = Program()
        statement = program.renewal(issue(provider.renewals, program), NOW)
        provider.renewals.end(Proof.parse(statement), CLIENT, NOW)
        assert refusal(provider.renewals, statement) == "renewal-revoked"
        assert revoked(provider) == [wish_of(program.key).fingerprint]

    def test_is_said_to_the_holder_of_the_key_only(self, renewals: Renewals) -> None:
        program = Program()
        token = issue(renewals, program)
        renewals.revoke_all(ALICE, NOW)
        assert refusal(renewals, Program().renewal(token, NOW)) == "renewal-unknown"

    def test_a_revoked_key_is_not_certified_again(self, renewals: Renewals) -> None:
        program = Program()
        issue(renewals, program)
        renewals.revoke_all(ALICE, NOW)
        with pytest.raises(RefusedError) as refused:
            issue(renewals, program)
        assert refused.value.word == "revoked-key"

    def test_nor_when_it_has_left_the_list(self, provider: Provider) -> None:
        program = Program()
        issue(provider.renewals, program)
        provider.renewals.revoke_all(ALICE, NOW)
        later = NOW + HOUR_MS + MAX_TICKET_LIFE_MS + SKEW_MS
        issue(provider.renewals, Program(), later)
        assert revoked(provider, later) == []
        with pytest.raises(RefusedError) as refused:
            issue(provider.renewals, program, later)
        assert refused.value.word == "revoked-key"

    def test_an_account_that_is_gone_renews_nothing(self, provider: Provider) -> None:
        program = Program()
        token = issue(provider.renewals, program)
        provider.accounts.remove(ALICE)
        proof = Proof.parse(program.renewal(token, NOW))
        with pytest.raises(RefusedError) as refused:
            provider.renewals.use(proof, CLIENT, NOW, NOW, lambda: None)
        assert refused.value.word == "renewal-revoked"
        with pytest.raises(RefusedError) as refused:
            issue(provider.renewals, Program())
        assert refused.value.word == "no-account"

    def test_nobody_has_anothers_key_certified(self, renewals: Renewals) -> None:
        """They could revoke it then."""
        program = Program()
        issue(renewals, program)
        granted = Granted(wish_of(program.key, BOB), False)
        with pytest.raises(RefusedError) as refused:
            renewals.issue(granted, NOW + HOUR_MS, NOW, lambda: None)
        assert refused.value.word == "invalid-key"


class TestTheRevocationList:
    def test_is_signed_and_says_whose_it_is_and_until_when(self, provider: Provider) -> None:
        token = Jwt.parse(provider.revocations.document(NOW))
        token.verify(provider.keys.active(NOW).private_key.public_key)
        assert token.claims == {
            "iss": provider.domain,
            "iat": NOW,
            "exp": NOW + DOCUMENT_LIFE_MS,
            "revoked": [],
        }

    def test_loses_an_entry_when_nothing_of_its_key_can_be_in_force(
        self, provider: Provider
    ) -> None:
        issue(provider.renewals, Program())
        provider.renewals.revoke_all(ALICE, NOW)
        end = NOW + HOUR_MS + MAX_TICKET_LIFE_MS + SKEW_MS
        assert len(revoked(provider, end - 1)) == 1
        assert revoked(provider, end + MINUTE_MS) == []

    def test_is_made_once_a_minute_or_when_something_is_revoked(
        self, provider: Provider, tmp_path: Path
    ) -> None:
        start = NOW - NOW % 60_000
        first = provider.revocations.document(start)
        assert provider.revocations.document(start + 59_999) == first
        assert provider.revocations.document(start + 60_000) != first
        put_on_list(tmp_path, "A" * 43, start + DAY_MS)
        assert revoked(provider, start + 60_000) == ["A" * 43]

    def test_is_signed_anew_when_the_key_that_signs_is_another(self, provider: Provider) -> None:
        provider.revocations.document(NOW)
        provider.keys.rotate(None, NOW, withdraw=True)
        token = Jwt.parse(provider.revocations.document(NOW))
        token.verify(provider.keys.active(NOW).private_key.public_key)

    def test_notices_what_another_process_revokes(self, provider: Provider, tmp_path: Path) -> None:
        assert revoked(provider) == []
        put_on_list(tmp_path, "B" * 43, NOW + DAY_MS)
        assert revoked(provider) == ["B" * 43]

    def test_an_entry_stays_for_the_longest_time_asked(
        self, provider: Provider, tmp_path: Path
    ) -> None:
        for minutes in (5, 9, 2):
            put_on_list(tmp_path, "A" * 43, NOW + minutes * MINUTE_MS)
        assert revoked(provider, NOW + 8 * MINUTE_MS) == ["A" * 43]
        assert revoked(provider, NOW + 9 * MINUTE_MS) == []

    def test_is_none_when_nobody_could_read_it(
        self, provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from browserid_sasl.errors import StoreError

        monkeypatch.setattr("browserid_sasl.idp.revocations.MAX_REVOKED", 1)
        for letter in "AB":
            put_on_list(tmp_path, letter * 43, NOW + 1)
        with pytest.raises(StoreError):
            provider.revocations.document(NOW)
