"""What ends all that an account has ends what was consented to and not fetched, too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from browserid_sasl.idp.administration import Actor, Administration
from browserid_sasl.idp.backends import Denial
from browserid_sasl.idp.certification import Certifier
from browserid_sasl.idp.devices import INTERVAL_S
from browserid_sasl.idp.folder import Provider
from browserid_sasl.jose import json as strict_json
from browserid_sasl.web.refusal import RefusedError
from tests.support.grants import ALICE, BOB, CLIENT, HOUR_MS, NOW, Program, provider_in, wish_of

LATER = NOW + INTERVAL_S * 1_000

End = Callable[[Provider], object]


def by_the_operator(provider: Provider) -> None:
    Administration(provider, Actor("uid 0")).revoke_all(ALICE, NOW)


def by_a_reset(provider: Provider) -> None:
    Administration(provider, Actor("uid 0")).reset(ALICE, NOW)


def by_an_invitation(provider: Provider) -> None:
    token = provider.invitations.make(ALICE, "uid 0", NOW, HOUR_MS)
    provider.means.accept_with_password(token, "another one", CLIENT, NOW)


def by_a_backend(provider: Provider) -> None:
    provider.outside._end(ALICE, Denial.GONE, CLIENT, NOW)


ENDS = [by_the_operator, by_a_reset, by_an_invitation, by_a_backend]


@pytest.fixture
def provider(tmp_path: Path) -> Provider:
    return provider_in(tmp_path)


def by_code(provider: Provider, email: str = ALICE) -> dict[str, str]:
    """What a program asks with that has got a code."""
    program = Program()
    code = program.code(provider.codes, NOW, email=email)
    return {"code": code, "code_verifier": program.verifier}


def by_device(provider: Provider, email: str = ALICE) -> dict[str, str]:
    """What a program asks with whose person has approved it on another device."""
    devices = provider.devices
    code = devices.begin(wish_of(Program().key, email), NOW)
    pending = devices.find(code.user_code, email, CLIENT, NOW)
    assert pending is not None
    devices.approve(pending, True, NOW)
    return {"device_code": code.device_code}


CONSENTS = [by_code, by_device]


def asked(provider: Provider, members: dict[str, str]) -> str:
    """What comes of it: `certificate`, or why there is none."""
    try:
        body = strict_json.dumps(members)
        Certifier(provider, HOUR_MS).certify(body, CLIENT, LATER)
    except RefusedError as error:
        return error.word
    return "certificate"


@pytest.mark.parametrize("end", ENDS)
def test_what_was_consented_to_is_not_fetched_after_the_end(provider: Provider, end: End) -> None:
    code, device = by_code(provider), by_device(provider)
    end(provider)
    assert asked(provider, code) == "invalid-code"
    assert asked(provider, device) == "access_denied"
    assert provider.renewals.all(ALICE, NOW) == []


@pytest.mark.parametrize("consent", CONSENTS)
def test_nor_when_the_end_comes_while_it_is_fetched(
    provider: Provider,
    consent: Callable[[Provider], dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    members = consent(provider)
    issue = provider.renewals.issue

    def issue_too_late(*arguments: object) -> tuple[str, int]:
        by_the_operator(provider)
        return issue(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(provider.renewals, "issue", issue_too_late)
    assert asked(provider, members) in ("invalid-code", "access_denied")
    assert provider.renewals.all(ALICE, NOW) == []


@pytest.mark.parametrize("consent", CONSENTS)
def test_others_get_what_they_have_consented_to(
    provider: Provider, consent: Callable[[Provider, str], dict[str, str]]
) -> None:
    members = consent(provider, BOB)
    by_the_operator(provider)
    assert asked(provider, members) == "certificate"


def test_what_waits_for_its_person_goes_on_to(provider: Provider) -> None:
    code = provider.devices.begin(wish_of(Program().key), NOW)
    by_the_operator(provider)
    assert provider.devices.find(code.user_code, ALICE, CLIENT, NOW) is not None
