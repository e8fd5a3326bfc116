"""Passkeys: which are taken, what they let in, and what is refused in which words."""

from __future__ import annotations

import copy
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from webauthn.helpers import encode_cbor

from browserid_sasl.errors import ConfigurationError
from browserid_sasl.idp.accounts import Accounts
from browserid_sasl.idp.audit import Question
from browserid_sasl.idp.challenges import LIFE_MS, AnsweredChallenge
from browserid_sasl.idp.database import Database
from browserid_sasl.idp.passkey_answers import MAX_RESPONSE
from browserid_sasl.idp.passkeys import MOST_PASSKEYS, Passkeys
from browserid_sasl.idp.relying_party import RelyingParty
from browserid_sasl.idp.schema import bring_up_to_date
from browserid_sasl.idp.server_secret import ServerSecret
from browserid_sasl.jose import b64
from browserid_sasl.web.refusal import RefusedError
from tests.support.auditing import audit_log
from tests.support.authenticator import (
    BACKED_UP,
    ELIGIBLE,
    PRESENT,
    VERIFIED,
    Authenticator,
)
from tests.support.provider import ALICE, CHEAP_HASHER, DOMAIN

BOB = f"bob@{DOMAIN}"
NOBODY = f"nobody@{DOMAIN}"
CLIENT = "192.0.2.1"
NOW = 1_800_000_000_000
DATA = Path(__file__).with_name("data")


class Site:
    """The passkeys of a provider with two accounts, and what its log says of them."""

    def __init__(self, path: Path, rp_id: str = "", url: str = f"https://{DOMAIN}") -> None:
        self.path = path
        self.database = Database(path / "provider.sqlite")
        bring_up_to_date(self.database)
        self.accounts = Accounts(self.database, DOMAIN, hasher=CHEAP_HASHER)
        for address in (ALICE, BOB):
            self.accounts.add_without_password(address, NOW)
        self.audit = audit_log(self.database, path)
        self.passkeys = Passkeys(
            self.database,
            ServerSecret(self.database),
            self.audit,
            RelyingParty.at(url, rp_id),
            "The test",
        )

    def enrol(
        self, device: Authenticator, email: str = ALICE, name: str = "", now: int = NOW
    ) -> Authenticator:
        options = self.passkeys.registration_options(email, now)
        self.passkeys.register(email, device.create(options), name, CLIENT, now)
        return device

    def sign_in(self, device: Authenticator, now: int = NOW) -> str:
        options = self.passkeys.authentication_options(None, now)
        return self.passkeys.authenticate(device.get(options), CLIENT, now)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.path / "audit.log").read_text().splitlines()]

    def answered(self) -> int:
        with self.database.transaction() as session:
            return session.query(AnsweredChallenge).count()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def refusal(caught: pytest.ExceptionInfo[RefusedError]) -> tuple[int, str]:
    return caught.value.status, caught.value.word


class TestEnrolment:
    def test_what_browsers_are_asked_for(self, site: Site) -> None:
        options = site.passkeys.registration_options(ALICE, NOW)
        assert options["rp"] == {"id": DOMAIN, "name": "The test"}
        assert options["attestation"] == "none"
        assert options["timeout"] == 60_000
        assert options["authenticatorSelection"] == {
            "residentKey": "required",
            "requireResidentKey": True,
            "userVerification": "required",
        }
        assert [each["alg"] for each in options["pubKeyCredParams"]] == [-7, -8, -257]
        assert options["extensions"] == {"credProps": True}
        assert options["excludeCredentials"] == []

    @pytest.mark.parametrize("algorithm", [-7, -8, -257])
    def test_a_passkey_of_each_algorithm_signs_in(self, site: Site, algorithm: int) -> None:
        device = site.enrol(Authenticator(algorithm=algorithm))
        assert site.sign_in(device) == ALICE

    def test_its_owner_sees_it(self, site: Site) -> None:
        device = site.enrol(Authenticator(flags=PRESENT | VERIFIED | ELIGIBLE), name=" My  phone ")
        site.sign_in(device, NOW + 5)
        (passkey,) = site.passkeys.all(ALICE)
        assert (passkey.name, passkey.rp_id, passkey.synced) == ("My phone", DOMAIN, False)
        assert (passkey.created, passkey.used) == (NOW, NOW + 5)
        assert site.passkeys.usable(ALICE) == 1
        assert site.passkeys.all(BOB) == []

    def test_it_is_logged(self, site: Site) -> None:
        site.enrol(Authenticator(), name="phone")
        (event,) = site.events()
        assert (event["event"], event["email"], event["client"], event["name"]) == (
            "passkey-added",
            ALICE,
            CLIENT,
            "phone",
        )

    def test_the_user_handle_is_random_and_stays(self, site: Site) -> None:
        mine, again, bobs = (
            site.passkeys.registration_options(email, NOW)["user"]["id"]
            for email in (ALICE, ALICE, BOB)
        )
        assert mine == again != bobs
        assert len(b64.decode(mine, "handle")) == 32

    def test_an_authenticator_is_told_what_it_has(self, site: Site) -> None:
        device = site.enrol(Authenticator())
        excluded = site.passkeys.registration_options(ALICE, NOW)["excludeCredentials"]
        assert excluded == [{"id": b64.encode(device.credential), "type": "public-key"}]

    @pytest.mark.parametrize(
        ("device", "word"),
        [
            (Authenticator(flags=PRESENT), "not-verified"),
            (Authenticator(discoverable=False), "not-discoverable"),
            (Authenticator(discoverable=None), "unknown-discoverable"),
            (Authenticator(flags=VERIFIED), "invalid-passkey"),
            (Authenticator(origin="https://evil.test"), "invalid-passkey"),
            (Authenticator(origin=f"https://{DOMAIN}:8443"), "invalid-passkey"),
            (Authenticator(origin=f"http://{DOMAIN}"), "invalid-passkey"),
            (Authenticator(rp_id="evil.test"), "invalid-passkey"),
            (Authenticator(algorithm=-35, key=ec.generate_private_key(ec.SECP384R1())), None),
            (Authenticator(key=ec.generate_private_key(ec.SECP384R1())), None),
            (Authenticator(algorithm=-257, key=rsa.generate_private_key(65537, 1024)), None),
            (Authenticator(algorithm=-257, key=ec.generate_private_key(ec.SECP256R1())), None),
            (Authenticator(credential=bytes(1024)), "invalid-passkey"),
        ],
    )
    def test_what_is_no_passkey_is_refused(
        self, site: Site, device: Authenticator, word: str | None
    ) -> None:
        with pytest.raises(RefusedError) as caught:
            site.enrol(copy.copy(device))
        assert refusal(caught) == (400, word or "invalid-passkey")
        assert site.passkeys.all(ALICE) == []
        assert site.answered() == 0

    def test_the_words_say_what_to_do(self, site: Site) -> None:
        with pytest.raises(RefusedError, match="give it a PIN"):
            site.enrol(Authenticator(flags=PRESENT))
        with pytest.raises(RefusedError, match="a newer or another browser"):
            site.enrol(Authenticator(discoverable=None))

    def test_what_an_authenticator_says_of_its_make_is_not_looked_at(self, site: Site) -> None:
        device = Authenticator()
        options = site.passkeys.registration_options(ALICE, NOW)
        answer = device.create(
            options, fmt="packed", attStmt={"alg": -7, "sig": b"x", "x5c": [b""]}
        )
        site.passkeys.register(ALICE, answer, "", CLIENT, NOW)
        assert site.sign_in(device) == ALICE

    def test_a_challenge_is_for_one_account(self, site: Site) -> None:
        answer = Authenticator().create(site.passkeys.registration_options(BOB, NOW))
        with pytest.raises(RefusedError) as caught:
            site.passkeys.register(ALICE, answer, "", CLIENT, NOW)
        assert refusal(caught) == (400, "stale-challenge")

    def test_a_challenge_for_signing_in_enrols_nothing(self, site: Site) -> None:
        options = site.passkeys.registration_options(ALICE, NOW)
        other = site.passkeys.authentication_options(ALICE, NOW)["challenge"]
        answer = Authenticator().create(options | {"challenge": other})
        with pytest.raises(RefusedError) as caught:
            site.passkeys.register(ALICE, answer, "", CLIENT, NOW)
        assert refusal(caught) == (400, "stale-challenge")

    def test_one_that_takes_the_place_of_all(self, site: Site) -> None:
        for _ in range(MOST_PASSKEYS):
            site.enrol(Authenticator())
        options = site.passkeys.registration_options(ALICE, NOW, afresh=True)
        assert options["excludeCredentials"] == []

    def test_a_passkey_is_one_account_s(self, site: Site) -> None:
        device = site.enrol(Authenticator())
        for email in (ALICE, BOB):
            with pytest.raises(RefusedError) as caught:
                site.enrol(device, email)
            assert refusal(caught) == (409, "known-passkey")

    def test_there_is_a_limit(self, site: Site) -> None:
        options = site.passkeys.registration_options(ALICE, NOW)
        for _ in range(MOST_PASSKEYS):
            site.enrol(Authenticator())
        with pytest.raises(RefusedError) as caught:
            site.passkeys.registration_options(ALICE, NOW)
        assert refusal(caught) == (409, "too-many-passkeys")
        with pytest.raises(RefusedError) as caught:
            site.passkeys.register(ALICE, Authenticator().create(options), "", CLIENT, NOW)
        assert refusal(caught) == (409, "too-many-passkeys")

    def test_there_is_none_without_an_account(self, site: Site) -> None:
        with pytest.raises(RefusedError) as caught:
            site.passkeys.registration_options(NOBODY, NOW)
        assert refusal(caught) == (404, "no-account")

    @pytest.mark.parametrize("name", ["x" * 65, "a\x00b", "a\u202eb"])
    def test_some_names_are_none(self, site: Site, name: str) -> None:
        with pytest.raises(RefusedError) as caught:
            site.enrol(Authenticator(), name=name)
        assert refusal(caught) == (400, "invalid-name")


class TestSigningIn:
    def test_what_browsers_are_asked_for(self, site: Site) -> None:
        options = site.passkeys.authentication_options(ALICE, NOW)
        assert options["rpId"] == DOMAIN
        assert options["userVerification"] == "required"
        assert options["timeout"] == 60_000

    def test_that_does_not_tell_who_has_an_account(self, site: Site) -> None:
        site.enrol(Authenticator())
        alice, bob, nobody = (
            site.passkeys.authentication_options(email, NOW) for email in (ALICE, BOB, NOBODY)
        )
        lengths = {len(options.pop("challenge")) for options in (alice, bob, nobody)}
        assert len(lengths) == 1
        assert alice == bob == nobody
        assert alice["allowCredentials"] == []

    def test_strangers_who_ask_fill_no_table(self, site: Site) -> None:
        for _ in range(10):
            site.passkeys.authentication_options(NOBODY, NOW)
        assert site.answered() == 0

    def test_an_answer_is_good_once(self, site: Site) -> None:
        device = site.enrol(Authenticator())
        answer = device.get(site.passkeys.authentication_options(None, NOW))
        assert site.passkeys.authenticate(answer, CLIENT, NOW) == ALICE
        with pytest.raises(RefusedError) as caught:
            site.passkeys.authenticate(answer, CLIENT, NOW + LIFE_MS - 1)
        assert refusal(caught) == (400, "stale-challenge")
        assert site.answered() == 2
        site.sign_in(device, NOW + LIFE_MS)
        assert site.answered() == 1

    def test_an_answer_is_good_for_two_minutes(self, site: Site) -> None:
        device = site.enrol(Authenticator())
        answer = device.get(site.passkeys.authentication_options(None, NOW))
        with pytest.raises(RefusedError, match="took too long") as caught:
            site.passkeys.authenticate(answer, CLIENT, NOW + LIFE_MS)
        assert refusal(caught) == (400, "stale-challenge")
        assert site.passkeys.authenticate(answer, CLIENT, NOW + LIFE_MS - 1) == ALICE

    def test_a_challenge_of_somebody_s_own_is_none(self, site: Site) -> None:
        device = site.enrol(Authenticator())
        options = site.passkeys.authentication_options(None, NOW)
        challenge = bytearray(b64.decode(options["challenge"], "challenge"))
        challenge[20] ^= 1
        for forged in (bytes(challenge), b"", bytes(56)):
            answer = device.get(options | {"challenge": b64.encode(forged)})
            with pytest.raises(RefusedError) as caught:
                site.passkeys.authenticate(answer, CLIENT, NOW)
            assert refusal(caught) == (400, "stale-challenge")

    def test_a_page_for_one_person_takes_no_other(self, site: Site) -> None:
        device = site.enrol(Authenticator(), BOB)
        answer = device.get(site.passkeys.authentication_options(ALICE, NOW))
        with pytest.raises(RefusedError, match=f"for {BOB}, not for {ALICE}") as caught:
            site.passkeys.authenticate(answer, CLIENT, NOW, email=ALICE)
        assert refusal(caught) == (403, "other-account")
        with pytest.raises(RefusedError) as caught:
            site.passkeys.authenticate(answer, CLIENT, NOW)
        assert refusal(caught) == (400, "stale-challenge")

    def test_somebody_s_passkey_under_another_s_handle(self, site: Site) -> None:
        alices, bobs = site.enrol(Authenticator()), site.enrol(Authenticator(), BOB)
        bobs.handle = alices.handle
        with pytest.raises(RefusedError) as caught:
            site.sign_in(bobs)
        assert refusal(caught) == (400, "invalid-passkey")

    def test_somebody_s_identifier_with_another_s_key(self, site: Site) -> None:
        alices, bobs = site.enrol(Authenticator()), site.enrol(Authenticator(), BOB)
        bobs.credential, bobs.handle = alices.credential, alices.handle
        with pytest.raises(RefusedError) as caught:
            site.sign_in(bobs)
        assert refusal(caught) == (400, "invalid-passkey")

    @pytest.mark.parametrize(
        ("change", "word"),
        [
            ({"origin": "https://evil.test"}, "invalid-passkey"),
            ({"rp_id": "evil.test"}, "invalid-passkey"),
            ({"flags": PRESENT}, "not-verified"),
            ({"flags": VERIFIED}, "invalid-passkey"),
            ({"handle": ""}, "invalid-passkey"),
        ],
    )
    def test_what_a_passkey_may_not_say(
        self, site: Site, change: dict[str, Any], word: str
    ) -> None:
        device = site.enrol(Authenticator())
        for name, value in change.items():
            setattr(device, name, value)
        with pytest.raises(RefusedError) as caught:
            site.sign_in(device)
        assert refusal(caught) == (400, word)
        assert site.answered() == 1

    def test_an_unknown_one(self, site: Site) -> None:
        with pytest.raises(RefusedError) as caught:
            site.sign_in(Authenticator())
        assert refusal(caught) == (401, "unknown-passkey")

    def test_one_that_was_removed(self, site: Site) -> None:
        device = site.enrol(Authenticator())
        (passkey,) = site.passkeys.all(ALICE)
        site.passkeys.remove(ALICE, passkey.id, CLIENT, NOW)
        with pytest.raises(RefusedError) as caught:
            site.sign_in(device)
        assert refusal(caught) == (401, "unknown-passkey")
        assert site.events()[-1]["event"] == "passkey-removed"

    def test_those_of_an_account_go_with_it(self, site: Site) -> None:
        device = site.enrol(Authenticator())
        handle = device.handle
        site.accounts.remove(ALICE)
        site.accounts.add_without_password(ALICE, NOW)
        assert site.passkeys.all(ALICE) == []
        assert site.passkeys.registration_options(ALICE, NOW)["user"]["id"] != handle
        with pytest.raises(RefusedError):
            site.sign_in(device)


class TestCounters:
    def test_a_key_that_counts(self, site: Site) -> None:
        device = site.enrol(Authenticator(counter=7))
        assert [site.sign_in(device) for _ in range(3)] == [ALICE] * 3
        assert [event["event"] for event in site.events()] == ["passkey-added"]

    @pytest.mark.parametrize("again", [9, 8, 1])
    def test_a_copy_of_it_is_refused_and_logged(self, site: Site, again: int) -> None:
        device = site.enrol(Authenticator(counter=8))
        site.sign_in(device)
        device.step, device.counter = 0, again
        with pytest.raises(RefusedError, match="counted backwards") as caught:
            site.sign_in(device)
        assert refusal(caught) == (403, "cloned-passkey")
        event = site.events()[-1]
        assert (event["event"], event["last_counter"]) == ("passkey-cloned", 9)
        # In the database, too, although nothing else was changed.
        (entry,) = site.audit.search(Question("passkey-cloned"), 10)
        assert (entry.email, entry.details["last_counter"]) == (ALICE, 9)
        device.counter = 10
        assert site.sign_in(device) == ALICE

    def test_an_answer_sent_again_is_no_copy(self, site: Site) -> None:
        device = site.enrol(Authenticator(counter=8))
        answer = device.get(site.passkeys.authentication_options(None, NOW))
        site.passkeys.authenticate(answer, CLIENT, NOW)
        with pytest.raises(RefusedError) as caught:
            site.passkeys.authenticate(answer, CLIENT, NOW)
        assert refusal(caught) == (400, "stale-challenge")
        assert [event["event"] for event in site.events()] == ["passkey-added"]

    def test_a_key_that_stops_to_count_and_begins_again(self, site: Site) -> None:
        device = site.enrol(Authenticator(counter=5))
        device.counter = 0
        assert site.sign_in(device) == ALICE
        assert site.events()[-1]["event"] == "passkey-changed"
        assert site.events()[-1]["counter"] == 0
        device.counter = 2
        assert site.sign_in(device) == ALICE
        assert site.events()[-1]["counter"] == 3

    def test_backup_flags_that_change(self, site: Site) -> None:
        device = site.enrol(Authenticator())
        for more, synced in ((ELIGIBLE, False), (ELIGIBLE | BACKED_UP, True), (0, False)):
            device.flags = PRESENT | VERIFIED | more
            assert site.sign_in(device) == ALICE
            assert site.passkeys.all(ALICE)[0].synced is synced
            assert site.events()[-1]["event"] == "passkey-changed"
        count = len(site.events())
        assert site.sign_in(device) == ALICE
        assert len(site.events()) == count


class TestNames:
    def test_a_passkey_is_renamed(self, site: Site) -> None:
        site.enrol(Authenticator())
        (passkey,) = site.passkeys.all(ALICE)
        assert passkey.name == "Passkey"
        site.passkeys.rename(ALICE, passkey.id, "<b>Phone", CLIENT, NOW)
        assert site.passkeys.all(ALICE)[0].name == "<b>Phone"
        assert site.events()[-1]["event"] == "passkey-renamed"

    def test_another_s_is_not(self, site: Site) -> None:
        site.enrol(Authenticator(), BOB)
        (passkey,) = site.passkeys.all(BOB)
        with pytest.raises(RefusedError) as caught:
            site.passkeys.rename(ALICE, passkey.id, "x", CLIENT, NOW)
        assert refusal(caught) == (404, "no-passkey")
        with pytest.raises(RefusedError) as caught:
            site.passkeys.remove(ALICE, passkey.id, CLIENT, NOW)
        assert refusal(caught) == (404, "no-passkey")
        assert site.passkeys.all(BOB) == [passkey]

    def test_all_go_at_once(self, site: Site) -> None:
        for _ in range(3):
            site.enrol(Authenticator())
        site.enrol(Authenticator(), BOB)
        site.passkeys.remove_all(ALICE, CLIENT, NOW)
        assert site.passkeys.all(ALICE) == []
        assert site.passkeys.usable(BOB) == 1


class TestGarbage:
    """Whatever a browser sends, the answer is an error of ours, and soon."""

    @pytest.mark.parametrize(
        "octets",
        [
            b"",
            b"\x5b" + b"\xff" * 8,
            b"\x9b" + b"\xff" * 8,
            b"\x9b\x00\x00\x00\x00\x7f\xff\xff\xff",
            b"\xbb" + b"\xff" * 8,
            b"\x81" * 10_000,
            b"\xa1\x68authData" * 500,
            b"\xd8\x1c" * 5_000 + b"\x00",
            b"\xc2\x59\x20\x00" + b"\xff" * 8_192,
            encode_cbor({"fmt": "none", "attStmt": {}, "authData": b"x" * 37}),
            encode_cbor({"fmt": "none", "attStmt": {}, "authData": 1}),
            encode_cbor([1]),
            encode_cbor({"authData": bytes(32) + b"\xff" * 60}),
        ],
    )
    def test_cbor(self, site: Site, octets: bytes) -> None:
        answer = json.loads(Authenticator().create(site.passkeys.registration_options(ALICE, NOW)))
        answer["response"]["attestationObject"] = b64.encode(octets)
        with pytest.raises(RefusedError) as caught:
            site.passkeys.register(ALICE, json.dumps(answer), "", CLIENT, NOW)
        assert refusal(caught) == (400, "invalid-passkey")
        assert len(str(caught.value)) < 400

    @pytest.mark.parametrize(
        "members",
        [
            {"id": None},
            {"id": 7},
            {"id": "?"},
            {"id": "A" * 3000},
            {"type": "password"},
            {"response": None},
            {"response": []},
            {"response": {"clientDataJSON": 1}},
            {"response": {"clientDataJSON": "e30"}},
            {"response": {"clientDataJSON": b64.encode(b"[" * 10_000)}},
            {"response": {"clientDataJSON": b64.encode(b'{"type":1,"challenge":2,"origin":3}')}},
            {"response": {"clientDataJSON": b64.encode(b"\xff")}},
            {"response": {"clientDataJSON": b64.encode(b"1" * 10_000)}},
            {"clientExtensionResults": 5},
            {"clientExtensionResults": {"credProps": {"rk": "yes"}}},
        ],
    )
    def test_json(self, site: Site, members: dict[str, Any]) -> None:
        answer = json.loads(Authenticator().create(site.passkeys.registration_options(ALICE, NOW)))
        with pytest.raises(RefusedError) as caught:
            site.passkeys.register(ALICE, json.dumps(answer | members), "", CLIENT, NOW)
        assert caught.value.status == 400
        device = site.enrol(Authenticator())
        if "clientExtensionResults" not in members:
            answer = json.loads(device.get(site.passkeys.authentication_options(None, NOW)))
            with pytest.raises(RefusedError):
                site.passkeys.authenticate(json.dumps(answer | members), CLIENT, NOW)

    @pytest.mark.parametrize(
        "text", ["", "null", "[]", b"\xff", "{" * 40, " " * (MAX_RESPONSE + 1)]
    )
    def test_no_json(self, site: Site, text: str | bytes) -> None:
        with pytest.raises(RefusedError) as caught:
            site.passkeys.register(ALICE, text, "", CLIENT, NOW)
        assert refusal(caught) == (400, "invalid-passkey")
        with pytest.raises(RefusedError) as caught:
            site.passkeys.authenticate(text, CLIENT, NOW)
        assert refusal(caught) == (400, "invalid-passkey")

    def test_a_page_inside_of_another_site_s(self, site: Site) -> None:
        device = site.enrol(Authenticator())
        answer = json.loads(device.get(site.passkeys.authentication_options(None, NOW)))
        said = json.loads(b64.decode(answer["response"]["clientDataJSON"], "it"))
        answer["response"]["clientDataJSON"] = b64.encode(
            json.dumps(said | {"crossOrigin": True}).encode()
        )
        with pytest.raises(RefusedError, match="inside of another site's page"):
            site.passkeys.authenticate(json.dumps(answer), CLIENT, NOW)


class TestRpId:
    @pytest.mark.parametrize(
        ("url", "rp_id", "party"),
        [
            ("https://example.test", "", ("example.test", "https://example.test")),
            ("https://example.test:443", "", ("example.test", "https://example.test")),
            (
                "https://id.example.test:8443",
                "",
                ("id.example.test", "https://id.example.test:8443"),
            ),
            (
                "https://id.example.test",
                "example.test",
                ("example.test", "https://id.example.test"),
            ),
            ("https://localhost:1", "localhost", ("localhost", "https://localhost:1")),
        ],
    )
    def test_it_is_the_host_or_a_domain_above(
        self, url: str, rp_id: str, party: tuple[str, str]
    ) -> None:
        assert RelyingParty.at(url, rp_id) == RelyingParty(*party)

    @pytest.mark.parametrize(
        ("url", "rp_id"),
        [
            ("https://example.test", "id.example.test"),
            ("https://example.test", "other.test"),
            ("https://example.test", "test"),
            ("https://notexample.test", "example.test"),
            ("https://192.0.2.1", "0.2.1"),
        ],
    )
    def test_or_none(self, url: str, rp_id: str) -> None:
        with pytest.raises(ConfigurationError, match="browsers would refuse every passkey"):
            RelyingParty.at(url, rp_id)

    def test_one_that_breaks_passkeys_is_to_be_confirmed(self, tmp_path: Path) -> None:
        before = Site(tmp_path)
        device = before.enrol(Authenticator())
        before.enrol(Authenticator(), BOB)
        before.passkeys.check_rp_id()
        after = Site(tmp_path, url=f"https://id.{DOMAIN}")
        assert after.passkeys.count_of_other_rp_id() == 2
        with pytest.raises(ConfigurationError, match="2 passkeys work no longer") as caught:
            after.passkeys.check_rp_id()
        assert "confirm-rp-id" in caught.value.remedy
        assert after.passkeys.confirm_rp_id("root", NOW) == 2
        after.passkeys.check_rp_id()
        assert after.events()[-1]["event"] == "rp-id-confirmed"
        assert after.passkeys.usable(ALICE) == 0
        assert len(after.passkeys.all(ALICE)) == 1
        device.origin = f"https://id.{DOMAIN}"
        with pytest.raises(RefusedError) as refused:
            after.sign_in(device)
        assert refusal(refused) == (401, "unknown-passkey")

    def test_and_so_is_the_way_back(self, tmp_path: Path) -> None:
        Site(tmp_path).enrol(Authenticator())
        after = Site(tmp_path, url=f"https://id.{DOMAIN}")
        after.passkeys.confirm_rp_id("root", NOW)
        Site(tmp_path).passkeys.confirm_rp_id("root", NOW)
        Site(tmp_path).passkeys.check_rp_id()

    def test_what_was_broken_before_is_not_counted_again(self, tmp_path: Path) -> None:
        Site(tmp_path).enrol(Authenticator())
        url = f"https://id.{DOMAIN}"
        second = Site(tmp_path, url=url)
        second.passkeys.confirm_rp_id("root", NOW)
        third = Site(tmp_path, url=f"https://login.{DOMAIN}")
        third.passkeys.check_rp_id()
        second.enrol(Authenticator(origin=url), BOB)
        with pytest.raises(ConfigurationError, match="1 passkey works no longer"):
            third.passkeys.check_rp_id()

    def test_one_that_breaks_none_is_not(self, tmp_path: Path) -> None:
        before = Site(tmp_path)
        before.enrol(Authenticator())
        before.passkeys.remove_all(ALICE, CLIENT, NOW)
        url = f"https://id.{DOMAIN}"
        after = Site(tmp_path, url=url)
        after.passkeys.check_rp_id()
        after.enrol(Authenticator(origin=url))
        with pytest.raises(ConfigurationError, match="1 passkey works no longer"):
            before.passkeys.check_rp_id()

    def test_a_parent_of_the_host_is_what_passkeys_are_for(self, tmp_path: Path) -> None:
        url = f"https://id.{DOMAIN}"
        site = Site(tmp_path, rp_id=DOMAIN, url=url)
        device = site.enrol(Authenticator(origin=url))
        assert device.rp_id == DOMAIN
        assert site.sign_in(device) == ALICE


class TestUpgrade:
    """`data/passkeys.sqlite` was made by the first release that has passkeys (`data/make.py`)."""

    def test_passkeys_of_the_first_release_sign_in(self, tmp_path: Path) -> None:
        shutil.copy(DATA / "passkeys.sqlite", tmp_path / "provider.sqlite")
        (tmp_path / "provider.sqlite").chmod(0o600)
        site = Site(tmp_path)
        recorded = json.loads((DATA / "passkeys.json").read_text())
        site.passkeys.check_rp_id()
        for each in recorded:
            answer = json.dumps(each["answer"])
            assert site.passkeys.authenticate(answer, CLIENT, each["now"]) == each["email"]
        assert [passkey.name for passkey in site.passkeys.all(ALICE)] == ["Phone", "Key"]
        site.enrol(Authenticator())

    def test_the_file_is_as_that_release_made_it(self) -> None:
        with closing(sqlite3.connect(f"file:{DATA / 'passkeys.sqlite'}?mode=ro", uri=True)) as file:
            names = {row[1] for row in file.execute("PRAGMA table_info(passkeys)")}
        assert names == {
            *("id", "credential", "email", "public_key", "rp_id", "name"),
            *("counter", "eligible", "backed_up", "created", "used"),
        }
