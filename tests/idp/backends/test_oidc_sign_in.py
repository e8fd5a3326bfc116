"""Signing in at another provider: a real one, on loopback."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from browserid_sasl.idp.backends.oidc_upstream import Upstream
from browserid_sasl.idp.upstream_tokens import UpstreamToken
from tests.idp.backends.conftest import Serve
from tests.idp.backends.test_people import Machine, events
from tests.support.browser import Browser, Shown
from tests.support.oidc import OTHER_CLIENT, OidcProvider, oidc_provider, path_of
from tests.support.provider import ALICE, DOMAIN, RunningProvider

PREFIX = "/browserid"
BEGIN, BACK = f"{PREFIX}/upstream/company", f"{PREFIX}/upstream/company/back"
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    """The other provider, with nobody in it yet."""
    folder = tmp_path_factory.mktemp("company")
    with oidc_provider(folder, ("company", "second")) as provider:
        yield provider


@pytest.fixture
def lena(company: OidcProvider) -> str:
    """Somebody who is known there; what they are called there is what is before the @."""
    name = f"lena{next(_NUMBERS)}"
    company.put(name, email=f"{name}@{DOMAIN}", email_verified=True, preferred_username=name)
    return name


@pytest.fixture
def served(serve: Serve, company: OidcProvider) -> RunningProvider:
    return serve(company.backend())


def address(name: str) -> str:
    return f"{name}@{DOMAIN}"


def sent(browser: Browser, page: str = BEGIN) -> str:
    """Where somebody is sent who begins."""
    shown = browser.open(page)
    assert shown.status == 303, shown.text
    return shown.location


def sign_in(browser: Browser, company: OidcProvider, name: str, page: str = BEGIN) -> Shown:
    return browser.open(path_of(company.visitor().sign_in(sent(browser, page), name)))


def is_signed_in(browser: Browser) -> bool:
    return browser.open(f"{PREFIX}/account").path == f"{PREFIX}/account"


class TestSigningIn:
    def test_the_first_one_makes_an_account(
        self, company: OidcProvider, served: RunningProvider, lena: str
    ) -> None:
        browser = Browser.at(served)
        page = sign_in(browser, company, lena)
        assert (page.status, page.path) == (200, f"{PREFIX}/account")
        assert address(lena) in page.text
        identity = served.provider.outside.identity(address(lena))
        assert identity is not None
        assert (identity.backend, identity.subject) == ("company", f"{company.issuer} {lena}")
        assert not served.provider.accounts.has_password(address(lena))
        assert Machine(served, address(lena)).renew()[0] == 200
