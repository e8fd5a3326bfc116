"""Cards at a provider behind nginx and Apache, set up as docs/backends.md says."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping

import pytest
import requests
from cryptography import x509

from tests.support.browser import Browser, Shown
from tests.support.card_fronts import FRONTS, HOST, Front, Office
from tests.support.cards import DAY, Card, CardAuthority, now
from tests.support.household import Authority
from tests.support.patience import wait_until
from tests.support.provider import DOMAIN
from tests.support.services import folder_for_all

PREFIX = "/browserid"
DOOR = f"{PREFIX}/known/cards"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module", params=FRONTS)
def front(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Front]:
    with folder_for_all() as folder:
        office = Office(folder, authority, {"form": request.param})
        front: Front = FRONTS[request.param](office, "optional_no_ca")
        with office.running(), front.running():
            yield front


@pytest.fixture
def lena(front: Front) -> Card:
    return card(front, f"lena{secrets.token_hex(4)}")


def card(front: Front, name: str, **changed: object) -> Card:
    mail = x509.RFC822Name(f"{name}@{DOMAIN}")
    return front.office.cards.card(mail, serial=name, person=name, **changed)  # type: ignore[arg-type]


class ByName(requests.adapters.HTTPAdapter):
    """Reaches the host of the pages, whose name is in no table of hosts."""

    def get_connection_with_tls_context(self, request, verify, proxies=None, cert=None):  # type: ignore[no-untyped-def]
        host, pool = self.build_connection_pool_key_attributes(request, verify, cert)
        host["host"] = "127.0.0.1"
        return self.poolmanager.connection_from_host(
            **host, pool_kwargs=pool | {"server_hostname": HOST, "assert_hostname": HOST}
        )


def browser_at(front: Front, shown: Card | None = None) -> Browser:
    """A browser that shows a certificate to whoever asks for one."""
    office = front.office
    browser = Browser(office.url, office.authority.file, office.url)
    browser.session.mount("https://", ByName())
    if shown is not None:
        browser.session.cert = tuple(map(str, shown.write(front.folder)))  # type: ignore[assignment]
    return browser


def press(browser: Browser, headers: Mapping[str, str] | None = None) -> Shown:
    page = browser.open(f"{PREFIX}/sign-in")
    return browser.post(DOOR, page.form(DOOR).fields, headers or {})


def whose(browser: Browser) -> str:
    """Who is signed in, empty for nobody."""
    page = browser.open(f"{PREFIX}/account")
    return page.text if page.path == f"{PREFIX}/account" else ""


class TestThroughIt:
    def test_a_card_signs_its_person_in(self, front: Front, lena: Card) -> None:
        browser = browser_at(front, lena)
        assert press(browser).path == f"{PREFIX}/account"
        assert name_of(lena) in whose(browser)

    def test_who_has_none_is_asked_for_one(self, front: Front) -> None:
        assert press(browser_at(front)).status == 401

    def test_what_a_client_writes_into_the_headers_is_nobodys_word(
        self, front: Front, lena: Card
    ) -> None:
        """The certificate of somebody else, which is no secret, without its key."""
        value = getattr(lena, front.form)
        for headers in (
            {"Client-Cert": value},
            {"client-cert": value, "Front-Server-Secret": "x" * 32},
            {"Client_Cert": value},
            {"Client-Cert": "", "Client_Cert": value, "Front_Server_Secret": "x"},
            {"Client-Cert-Chain": lena.rfc9440, "Client-Cert": lena.rfc9440},
            {"Connection": "close, Client-Cert", "Client-Cert": value},
            {"Connection": "close, Front-Server-Secret", "Client-Cert": value},
        ):
            browser = browser_at(front)
            assert press(browser, headers).status in (401, 403), headers
            assert not whose(browser)

    def test_nor_that_of_somebody_who_has_a_card_of_their_own(
        self, front: Front, lena: Card
    ) -> None:
        otto = card(front, f"otto{secrets.token_hex(4)}")
        browser = browser_at(front, otto)
        assert press(browser, {"Client-Cert": getattr(lena, front.form)}).status == 200
        assert name_of(otto) in whose(browser)

    def test_the_provider_looks_at_it_itself(self, front: Front, lena: Card) -> None:
        """This web server lets all of them through, and has no list."""
        strangers = CardAuthority("Strangers").card(x509.RFC822Name(f"x@{DOMAIN}"))
        page = press(browser_at(front, strangers))
        assert (page.status, "is not taken here" in page.text) == (403, True)
        front.office.revoke(lena)
        page = press(browser_at(front, lena))
        assert (page.status, "was revoked" in page.text) == (403, True)


def name_of(shown: Card) -> str:
    return str(shown.certificate.subject.rdns[0].rfc4514_string()).removeprefix("CN=")


@pytest.mark.parametrize("form", FRONTS)
def test_as_it_is_on_the_page_the_web_server_verifies_too(authority: Authority, form: str) -> None:
    """And when it is down, nobody signs in by a card, nor past it."""
    with folder_for_all() as folder:
        office = Office(folder, authority, {"form": form})
        front: Front = FRONTS[form](office)
        good = card(front, "lena")
        with office.running():
            nobody_gets_in_past(front, good)
            with front.running():
                assert press(browser_at(front, good)).path == f"{PREFIX}/account"
                for bad in (CardAuthority().card(), card(front, "mia", ends=now() - DAY / 2)):
                    assert not is_let_through(browser_at(front, bad))
            with pytest.raises(requests.ConnectionError):
                browser_at(front, good).open(f"{PREFIX}/sign-in")


def nobody_gets_in_past(front: Front, shown: Card) -> None:
    """See that the provider does not believe who asks it without the web server, and says so."""
    office, household = front.office, front.office.household
    url = f"https://localhost:{household.port}"
    straight = Browser(url, household.authority.file, office.url)
    assert press(straight, {"Client-Cert": getattr(shown, front.form)}).status == 403
    said = "a request with the header client-cert does not have the secret"
    wait_until(lambda: said in str(household.err), "a line in the log")


def is_let_through(browser: Browser) -> bool:
    """Whether a web server shows a page: else it says so in one of its own, or hangs up."""
    try:
        return browser.open(f"{PREFIX}/sign-in").status == 200
    except requests.ConnectionError:
        return False
