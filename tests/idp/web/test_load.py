"""The pages while many people sign in at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, as_completed

import pytest

from browserid_sasl.idp.web import paths
from tests.support.browser import Browser
from tests.support.patience import PATIENCE
from tests.support.provider import PASSWORD, RunningProvider

SIGN_IN = paths.SIGN_IN
CROWD = 12


def test_who_hashes_holds_no_other_page_up_and_too_many_are_sent_away(
    running: RunningProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("browserid_sasl.idp.web.site._MAX_WAITING", 1)
    may_go_on = threading.Event()

    def slow(*_: object) -> bool:
        return not may_go_on.wait(PATIENCE)

    monkeypatch.setattr(type(running.provider.accounts), "verify", slow)
    browsers = [Browser.at(running) for _ in range(CROWD)]
    pages = [
        browser.open(f"{SIGN_IN}?email=guest{number}@example.test")
        for number, browser in enumerate(browsers)
    ]

    def sign_in(number: int) -> int:
        return browsers[number].submit(pages[number], SIGN_IN, password=PASSWORD).status

    with ThreadPoolExecutor(CROWD) as pool:
        answers = [pool.submit(sign_in, number) for number in range(CROWD)]
        try:
            # Nobody else is answered as long as nothing is compared.
            assert next(as_completed(answers, PATIENCE)).result() == 503
            assert Browser.at(running).open(SIGN_IN).status == 200
        finally:
            may_go_on.set()
    assert {answer.result() for answer in answers} <= {401, 429, 503}
