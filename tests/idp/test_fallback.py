"""What a fallback provider certifies, and for how long: as long as the domain has no other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from browserid_sasl.agent.application import Application
from browserid_sasl.agent.flows.renewal import RenewalOverError, renew
from browserid_sasl.config import AuthorityOverride, DiscoveryConfig
from browserid_sasl.discovery import HttpsFetcher
from browserid_sasl.errors import Code, CredentialError, DiscoveryError
from browserid_sasl.identity.certificate import Certificate
from browserid_sasl.identity.ports import IdentityRecord
from browserid_sasl.idp.renewals import RENEWAL_LIFE_MS
from browserid_sasl.idp.wishes import Granted, Wish
from browserid_sasl.jose import b64
from browserid_sasl.jose.keys import PrivateKey
from tests.support.fallback import FALLBACK, NOBODY, UNCLEAR, RunningFallback, running_fallback

DAY_MS = 86_400_000
DISABLED = '{"disabled": true}'


@pytest.fixture
def site(tmp_path: Path) -> Iterator[RunningFallback]:
    with running_fallback(tmp_path / "provider") as site:
        yield site


@dataclass
class Machine:
    """Somebody's machine.

    :param site: the provider.
    :param document: what their domain publishes, in a file.
    """

    site: RunningFallback
    document: Path

    @property
    def http(self) -> HttpsFetcher:
        running = self.site.running
        domains = {
            FALLBACK: AuthorityOverride(url=running.url, ca_file=running.ca_file),
            "nobody.test": AuthorityOverride(keys_file=self.document),
        }
        return HttpsFetcher(DiscoveryConfig(), domains)

    def signed_in(self) -> IdentityRecord:
        """What is kept after a sign-in by code that allows renewals."""
        site = self.site
        provider, now = site.provider, site.clock.now
        provider.accounts.add_without_password(NOBODY, now)
        application = Application.make(NOBODY, self.http, site.clock, fallback=FALLBACK)
        wish = Wish(NOBODY, application.key.public_key, "", "192.0.2.1")
        granted = Granted(wish, renewal=True)
        verifier = "v" * 43
        code = provider.codes.grant(wish, challenge(verifier), granted.renewal, now)
        return application.certified({"code": code, "code_verifier": verifier})

    def renew(self, record: IdentityRecord) -> IdentityRecord:
        return renew(record, self.http, self.site.clock, FALLBACK)


def challenge(verifier: str) -> str:
    return b64.encode(hashlib.sha256(verifier.encode()).digest())


@pytest.fixture
def machine(site: RunningFallback, tmp_path: Path) -> Machine:
    document = tmp_path / "nobody.json"
    document.write_text(DISABLED)
    return Machine(site, document)


class TestCertificates:
    def test_are_the_fallbacks_for_the_person_s_address(self, machine: Machine) -> None:
        certificate = Certificate.parse(machine.signed_in().certificate)
        assert (certificate.issuer, certificate.email) == (FALLBACK, NOBODY)

    def test_there_are_none_for_a_domain_that_has_a_provider(
        self, site: RunningFallback, machine: Machine
    ) -> None:
        site.domains["nobody.test"] = "nobody.test"
        with pytest.raises(CredentialError, match=r"has an identity provider of its own") as raised:
            machine.signed_in()
        assert "browserid login" in str(raised.value)

    def test_nor_while_it_cannot_be_said(self, site: RunningFallback, machine: Machine) -> None:
        site.domains["nobody.test"] = UNCLEAR
        with pytest.raises(CredentialError, match="cannot be said") as raised:
            machine.signed_in()
        assert raised.value.code is Code.INTERACT_UNAVAILABLE

    def test_there_is_no_password_for_them(self, site: RunningFallback) -> None:
        document = site.running.get("/.well-known/browserid").json()
        assert document["grant-types"] == ["code", "device", "renewal"]
        key = PrivateKey.generate("ES256").public_key.to_json()
        request = {"email": f"alice@{FALLBACK}", "public-key": key}
        answer = site.running.post(
            "/certify", json=request | {"password": "correct horse battery staple"}
        )
        assert (answer.status_code, answer.json()["error"]) == (403, "no-passwords")


class TestRenewal:
    def test_as_long_as_the_domain_has_none(self, machine: Machine) -> None:
        record = machine.renew(machine.signed_in())
        assert Certificate.parse(record.certificate).issuer == FALLBACK

    def test_ends_for_good_when_it_has_one(self, site: RunningFallback, machine: Machine) -> None:
        record = machine.signed_in()
        site.domains["nobody.test"] = "nobody.test"
        with pytest.raises(RenewalOverError, match="renewal-revoked"):
            machine.renew(record)
        # And stays so, with what its services might still take.
        site.domains.clear()
        with pytest.raises(RenewalOverError):
            machine.renew(record)
        key = PrivateKey.from_pem(record.private_key_pem).public_key
        published = site.provider.revocations.published(site.clock.now)
        assert published.version != "0"
        assert site.provider.renewals.all(NOBODY, site.clock.now) == []
        assert '"event":"own-provider"' in site.running.audit_log()
        assert Wish(NOBODY, key, "", "").fingerprint in site.running.audit_log()

    def test_waits_while_it_cannot_be_said(self, site: RunningFallback, machine: Machine) -> None:
        record = machine.signed_in()
        site.domains["nobody.test"] = UNCLEAR
        with pytest.raises(CredentialError) as raised:
            machine.renew(record)
        assert not isinstance(raised.value, RenewalOverError)
        site.domains.clear()
        machine.renew(record)

    def test_is_not_asked_of_another_provider(self, machine: Machine) -> None:
        record = machine.signed_in()
        machine.document.write_text(f'{{"authority": "{FALLBACK}"}}')
        machine.renew(record)
        # What renews it is told to nobody but who gave it.
        machine.document.unlink()
        with pytest.raises(DiscoveryError):
            machine.renew(record)

    def test_does_not_go_on_for_ever(self, site: RunningFallback, machine: Machine) -> None:
        """A mailbox may be somebody else's by now: it is looked at again."""
        record = machine.signed_in()
        begun = site.clock.now
        for day in range(1, 30):
            site.clock.now = begun + day * DAY_MS
            machine.renew(record)
        site.clock.now = begun + RENEWAL_LIFE_MS
        with pytest.raises(RenewalOverError, match="renewal-expired"):
            machine.renew(record)
