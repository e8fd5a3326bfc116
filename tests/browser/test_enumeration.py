"""A stranger does not learn who has an account, by what is said or by how long it takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import requests

from browserid_sasl.idp.passwords import Cost
from tests.support.household import Authority, Household
from tests.support.provider import DOMAIN
from tests.support.timing import ratio_of_times

ROUNDS = 7
SIGN_IN = "/browserid/sign-in"


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Household]:
    """One on which nobody's password is hashed in no time, as it is elsewhere in these tests."""
    household = Household(tmp_path_factory.mktemp("enumerated"), authority)
    household.start()
    yield household
    household.stop()


@pytest.fixture(scope="module")
def people(provider: Household) -> list[str]:
    """Some with accounts, whose passwords are hashed as everybody's are."""
    people = [f"resident{number}@{DOMAIN}" for number in range(ROUNDS)]
    provider.add_many(people, Cost().hasher())
    return people


STRANGERS = [f"nobody{number:02}@{DOMAIN}" for number in range(ROUNDS)]


class Guesser:
    """Somebody in a network of their own."""

    def __init__(self, provider: Household, network: str) -> None:
        self._place = f"https://localhost:{provider.port}"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(provider.authority.file)
        self._session.headers.update({"X-Forwarded-For": network, "Accept": "text/html"})

    def address_page(self, email: str) -> requests.Response:
        return self._session.get(self._place + SIGN_IN, params={"email": email}, timeout=60)

    def guess(self, email: str, token: str) -> requests.Response:
        form = {"email": email, "password": "not the password", "csrf": token}
        return self._session.post(self._place + SIGN_IN, data=form, timeout=60)


def token_in(answer: requests.Response) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', answer.text)
    assert found, answer.text
    return found[1]


def without_what_differs(answer: requests.Response, email: str) -> str:
    """The page without the address that was asked for, its token and its nonce."""
    text = re.sub(r'(nonce|value)="[A-Za-z0-9_-]{20,}"', "", answer.text)
    return text.replace(email, "").replace(email.replace("@", "%40"), "")


def test_the_page_for_an_address_is_the_same(provider: Household, people: list[str]) -> None:
    guesser = Guesser(provider, "198.51.100.1")
    pages = [
        without_what_differs(guesser.address_page(email), email)
        for email in (people[0], STRANGERS[0])
    ]
    assert pages[0] == pages[1]


def test_a_wrong_password_is_answered_the_same(provider: Household, people: list[str]) -> None:
    texts = []
    for number, email in enumerate((people[0], STRANGERS[0])):
        guesser = Guesser(provider, f"198.51.100.{10 + number}")
        answer = guesser.guess(email, token_in(guesser.address_page(email)))
        texts.append((answer.status_code, without_what_differs(answer, email)))
    assert texts[0] == texts[1]
    assert texts[0][0] == 401


def test_a_wrong_password_takes_the_same_time(provider: Household, people: list[str]) -> None:
    """Without a hash for nobody it would be a tenth."""

    def guesses(emails: list[str], block: int) -> list[Callable[[], object]]:
        guessers = [Guesser(provider, f"198.51.{block}.{number}") for number in range(len(emails))]
        tokens = [
            token_in(guesser.address_page(email))
            for guesser, email in zip(guessers, emails, strict=True)
        ]
        return [
            partial(guesser.guess, email, token)
            for guesser, email, token in zip(guessers, emails, tokens, strict=True)
        ]

    ratio = ratio_of_times(guesses(people, 101), guesses(STRANGERS, 102))
    assert 0.5 < ratio < 2
