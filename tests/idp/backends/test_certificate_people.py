"""People with certificates at the provider: they sign in by what a web server hands on."""

from __future__ import annotations

import http.client
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from cryptography import x509

from browserid_sasl.idp.backends import (
    Backend,
    Carried,
    Denial,
    DeniedError,
    UnavailableError,
    Vouched,
)
from browserid_sasl.idp.backends.certificate import CertificateBackend, HandedOn
from browserid_sasl.idp.backends.certificate_headers import Form
from browserid_sasl.idp.backends.certificate_lists import RevocationLists
from browserid_sasl.idp.backends.certificate_names import (
    AddressName,
    Naming,
    PeopleFile,
    PersonName,
)
from browserid_sasl.idp.backends.certificate_trust import PeopleTrust
from browserid_sasl.idp.backends.front_server import FrontServer
from browserid_sasl.idp.backends.ldap import LdapBackend
from browserid_sasl.idp.rations import MOST_TOLD
from browserid_sasl.idp.upstream_tokens import UpstreamTokens
from browserid_sasl.store.base import system_clock
from tests.idp.backends.conftest import Serve
from tests.idp.backends.test_people import Machine, events
from tests.support.browser import Browser, Shown
from tests.support.cards import DAY, SECRET, SECRET_HEADER, Card, CardAuthority, now, upn
from tests.support.directory import Directory, Person
from tests.support.provider import ALICE, DOMAIN, RunningProvider

PREFIX = "/browserid"
DOOR = f"{PREFIX}/known/cards"
LENA = f"lena@{DOMAIN}"
MAIL = x509.RFC822Name(LENA)
MONTH_MS = 32 * 86_400_000


class Site:
    """An authority, its list, and a backend that takes its certificates."""

    def __init__(self, folder: Path) -> None:
        self.authority = CardAuthority()
        self.lists = folder / "lists.pem"
        self.ahead = 0
        self.publish()

    def publish(self) -> None:
        self.lists.write_bytes(self.authority.crl(ends=now() + 90 * DAY))

    def revoke(self, card: Card) -> None:
        self.authority.revoke(card)
        self.publish()

    def lena(self, **changed: object) -> Card:
        return self.authority.card(MAIL, **({"serial": "4711"} | changed))  # type: ignore[arg-type]

    def backend(
        self,
        *,
        form: Form = "rfc9440",
        chain_header: str = "",
        person: PersonName = "serial-number",
        address: AddressName = "email",
        people: Path | None = None,
        directory: Backend | None = None,
    ) -> CertificateBackend:
        anchors = [self.authority.issued.certificate]
        return CertificateBackend(
            "cards",
            label="",
            front=FrontServer("cards", SECRET_HEADER, SECRET),
            handed_on=HandedOn(form, "client-cert", chain_header),
            trust=PeopleTrust(anchors, RevocationLists(self.lists)),
            naming=Naming(person, address, DOMAIN, PeopleFile(people) if people else None),
            directory=directory,
            clock=lambda: system_clock() + self.ahead,
        )


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def served(serve: Serve, site: Site) -> RunningProvider:
    return serve(site.backend())


def headers(value: str) -> dict[str, str]:
    return {"Client-Cert": value, "Front-Server-Secret": SECRET}


def press(browser: Browser, given: dict[str, str]) -> Shown:
    """Press the button, behind a web server that says this."""
    page = browser.open(f"{PREFIX}/sign-in")
    return browser.post(DOOR, page.form(DOOR).fields, given)


def show(browser: Browser, card: Card) -> Shown:
    """Sign in with a certificate."""
    return press(browser, headers(card.rfc9440))


def is_signed_in(browser: Browser) -> bool:
    return browser.open(f"{PREFIX}/account").path == f"{PREFIX}/account"


class TestSigningIn:
    def test_a_card_makes_an_account(self, site: Site, served: RunningProvider) -> None:
        browser = Browser.at(served)
        page = browser.open(f"{PREFIX}/sign-in")
        assert "Sign in with a certificate or card" in page.text
        page = show(browser, site.lena())
        assert (page.status, page.path) == (200, f"{PREFIX}/account")
        assert LENA in page.text
        identity = served.provider.outside.identity(LENA)
        assert identity is not None
        assert (identity.backend, identity.subject) == ("cards", "serial-number:4711")

    @pytest.mark.parametrize("form", ["rfc9440", "nginx", "apache"])
    def test_each_web_server_hands_it_on_in_its_own_form(
        self, site: Site, serve: Serve, form: Form
    ) -> None:
        served = serve(site.backend(form=form))
        page = press(Browser.at(served), headers(getattr(site.lena(), form)))
        assert page.path == f"{PREFIX}/account"

    def test_the_authorities_may_come_with_it(self, site: Site, serve: Serve) -> None:
        below = CardAuthority("Below", site.authority)
        site.lists.write_bytes(site.authority.crl() + below.crl())
        served = serve(site.backend(chain_header="client-cert-chain"))
        card, issuer = (
            below.card(MAIL, serial="4711"),
            Card(below.issued.certificate, below.issued.key),
        )
        given = headers(card.rfc9440)
        assert press(Browser.at(served), given).status == 403
        given["Client-Cert-Chain"] = issuer.rfc9440
        assert press(Browser.at(served), given).path == f"{PREFIX}/account"

    @pytest.mark.parametrize("given", [{}, {"Client-Cert": ""}])
    def test_who_shows_none_is_asked_for_one(
        self, served: RunningProvider, given: dict[str, str]
    ) -> None:
        page = press(Browser.at(served), {"Front-Server-Secret": SECRET} | given)
        assert page.status == 401
        assert "Put your card in" in page.text

    def test_a_card_is_written_into_the_database_for_later(
        self, site: Site, served: RunningProvider
    ) -> None:
        show(Browser.at(served), site.lena())
        assert Machine(served, LENA).renew()[0] == 200


LIES: dict[str, Callable[[str], list[tuple[str, str]]]] = {
    "no secret": lambda value: [("Client-Cert", value)],
    "a wrong secret": lambda value: [("Client-Cert", value), ("Front-Server-Secret", SECRET[1:])],
    "an empty secret": lambda value: [("Client-Cert", value), ("Front-Server-Secret", "")],
    "two certificates": lambda value: [
        ("Client-Cert", value),
        ("Client-Cert", value),
        ("Front-Server-Secret", SECRET),
    ],
    "two secrets": lambda value: [
        ("Client-Cert", value),
        ("Front-Server-Secret", SECRET),
        ("Front-Server-Secret", SECRET),
    ],
    "a secret of another spelling": lambda value: [
        ("Client-Cert", value),
        ("Front_Server_Secret", SECRET),
    ],
    "a certificate of another spelling": lambda value: [
        ("Client_Cert", value),
        ("Front-Server-Secret", SECRET),
    ],
    "one of each spelling": lambda value: [
        ("Client-Cert", value),
        ("client_cert", value),
        ("Front-Server-Secret", SECRET),
    ],
    "an empty one beside it": lambda value: [
        ("Client-Cert", ""),
        ("Client-Cert", value),
        ("Front-Server-Secret", SECRET),
    ],
}


class TestWhoIsBelieved:
    """Anybody can write the header with a certificate: those are no secret."""

    @pytest.mark.parametrize("lie", LIES)
    def test_a_header_that_is_not_the_web_servers_alone(
        self, site: Site, served: RunningProvider, caplog: pytest.LogCaptureFixture, lie: str
    ) -> None:
        browser = Browser.at(served)
        fields = browser.open(f"{PREFIX}/sign-in").form(DOOR).fields
        with caplog.at_level(logging.WARNING):
            answer = raw_post(served, browser, fields, LIES[lie](site.lena().rfc9440))
        assert answer == 403
        assert not is_signed_in(browser)
        assert not served.provider.accounts.exists(LENA)
        assert "backend cards: a request" in caplog.text
        assert SECRET not in caplog.text

    def test_its_form_is_not_another_sites(self, site: Site, served: RunningProvider) -> None:
        browser = Browser.at(served)
        page = browser.post(DOOR, {"csrf": "guessed"}, headers(site.lena().rfc9440))
        assert page.status == 403
        assert not is_signed_in(browser)

    @pytest.mark.parametrize("value", ["x", ":AA==:", "(null)", ":%s:" % ("A" * 17_000)])
    def test_what_is_no_certificate(
        self, served: RunningProvider, caplog: pytest.LogCaptureFixture, value: str
    ) -> None:
        with caplog.at_level(logging.WARNING):
            page = press(Browser.at(served), headers(value))
        assert page.status == 403
        assert "This certificate is not taken here" in page.text
        assert "a certificate is not taken" in caplog.text

    @pytest.mark.parametrize(
        ("secret", "value"), [("", ""), (SECRET, "x")], ids=["another server", "no certificate"]
    )
    def test_strangers_do_not_fill_the_log(
        self, site: Site, caplog: pytest.LogCaptureFixture, secret: str, value: str
    ) -> None:
        backend = site.backend()
        carried = Carried((("client-cert", value), (SECRET_HEADER, secret)), "192.0.2.1")
        for _ in range(5 * MOST_TOLD):
            with pytest.raises(DeniedError):
                backend.look(carried)
        said = [each for each in caplog.messages if each.startswith("backend cards: ")]
        # Another minute may have begun.
        assert MOST_TOLD <= len(said) <= 2 * MOST_TOLD


def raw_post(
    served: RunningProvider,
    browser: Browser,
    fields: dict[str, str],
    given: list[tuple[str, str]],
) -> int:
    """Send a form with headers that may be there twice; the status of the answer."""
    parts = urlsplit(served.url)
    context = ssl.create_default_context(cafile=str(served.ca_file))
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=context)
    body = urlencode(fields).encode()
    cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    usual = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Content-Length": str(len(body)),
        "Origin": browser.origin,
        "Accept": "text/html",
        "Cookie": cookies,
    }
    connection.putrequest("POST", DOOR)
    for name, value in [*usual.items(), *given]:
        connection.putheader(name, value)
    connection.endheaders(body)
    try:
        return connection.getresponse().status
    finally:
        connection.close()


class TestWhichCertificates:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"ends": now() - DAY / 2}, "has expired"),
            ({"purposes": ()}, "is not taken here"),
            ({"serial": ""}, "does not say whose it is"),
        ],
    )
    def test_one_that_is_not_good(
        self, site: Site, served: RunningProvider, change: dict[str, object], words: str
    ) -> None:
        page = show(Browser.at(served), site.lena(**change))
        assert page.status == 403
        assert words in page.text

    def test_one_that_was_revoked(self, site: Site, served: RunningProvider) -> None:
        card = site.lena()
        site.revoke(card)
        page = show(Browser.at(served), card)
        assert (page.status, "was revoked" in page.text) == (403, True)

    def test_while_nobody_can_say_whether_it_was(self, site: Site, served: RunningProvider) -> None:
        site.lists.unlink()
        assert show(Browser.at(served), site.lena()).status == 503

    @pytest.mark.parametrize(
        ("names", "words"),
        [
            ((), "is none that is certified here"),
            (("lena@elsewhere.test",), "is none that is certified here"),
            ((f"lena@{DOMAIN}.evil.test",), "is none that is certified here"),
            ((f"lena@sub.{DOMAIN}",), "is none that is certified here"),
            ((f"lena\0@{DOMAIN}",), "is none that is certified here"),
            ((LENA, f"mia@{DOMAIN}"), "Several people have this address"),
        ],
    )
    def test_an_address_that_is_none_or_not_one(
        self, site: Site, served: RunningProvider, names: tuple[str, ...], words: str
    ) -> None:
        card = site.authority.card(*map(x509.RFC822Name, names), serial="4711")
        page = show(Browser.at(served), card)
        assert page.status == 403
        assert words in page.text

    def test_addresses_elsewhere_are_let_be(self, site: Site, served: RunningProvider) -> None:
        names = (f"LENA@{DOMAIN.upper()}", LENA, "lena@elsewhere.test")
        card = site.authority.card(*map(x509.RFC822Name, names), serial="4711")
        assert LENA in show(Browser.at(served), card).text

    def test_an_account_of_the_providers_own_is_not_taken_over(
        self, site: Site, served: RunningProvider
    ) -> None:
        card = site.authority.card(x509.RFC822Name(ALICE), serial="1")
        page = show(Browser.at(served), card)
        assert (page.status, "in another way" in page.text) == (403, True)


class TestWhoseTheyAre:
    def test_a_new_card_is_the_same_persons(self, site: Site, served: RunningProvider) -> None:
        show(Browser.at(served), site.lena())
        machine = Machine(served, LENA)
        assert show(Browser.at(served), site.lena(person="Lena Lang")).path == f"{PREFIX}/account"
        assert machine.renew()[0] == 200

    def test_an_address_that_somebody_else_gets_is_not_theirs(
        self, site: Site, served: RunningProvider
    ) -> None:
        show(Browser.at(served), site.lena())
        page = show(Browser.at(served), site.lena(serial="4712"))
        assert page.status == 403
        assert "somebody else" in page.text

    @pytest.mark.parametrize(
        ("person", "subject"),
        [
            ("user-id", "user-id:lla"),
            ("upn", f"upn:lla@{DOMAIN}"),
            ("address", f"address:{LENA}"),
        ],
    )
    def test_certificates_say_who_it_is_in_other_ways(
        self, site: Site, serve: Serve, person: PersonName, subject: str
    ) -> None:
        served = serve(site.backend(person=person))
        card = site.authority.card(MAIL, upn(f"LLA@{DOMAIN}"), user_id="lla")
        show(Browser.at(served), card)
        identity = served.provider.outside.identity(LENA)
        assert identity is not None
        assert identity.subject == subject

    def test_a_user_principal_name_may_be_the_address(self, site: Site, serve: Serve) -> None:
        served = serve(site.backend(person="upn", address="upn"))
        card = site.authority.card(x509.RFC822Name(f"other@{DOMAIN}"), upn(LENA))
        assert LENA in show(Browser.at(served), card).text
        for odd in ("\u212aelvin@" + DOMAIN, f"{LENA}\0", ""):
            assert show(Browser.at(served), site.authority.card(upn(odd))).status == 403

    def test_an_authority_that_may_name_some_only_names_them_by_mail(
        self, site: Site, serve: Serve
    ) -> None:
        """Name constraints do not bind user principal names."""
        permitted = x509.NameConstraints([x509.RFC822Name("other.test")], None)
        bound = CardAuthority("Bound", site.authority, permitted)
        site.lists.write_bytes(site.authority.crl() + bound.crl())
        served = serve(site.backend(person="upn", address="upn", chain_header="client-cert-chain"))
        given = headers(bound.card(upn(LENA)).rfc9440)
        given["Client-Cert-Chain"] = bound.itself.rfc9440
        assert press(Browser.at(served), given).status == 403

    def test_a_file_may_have_the_addresses(self, site: Site, serve: Serve, tmp_path: Path) -> None:
        people = tmp_path / "people"
        people.write_text(f"# people\n4711   {LENA} # Lena\n\n47 12 mia@{DOMAIN}\n")
        served = serve(site.backend(people=people))
        card = site.authority.card(serial="4711")
        assert LENA in show(Browser.at(served), card).text
        machine = Machine(served, LENA)
        assert show(Browser.at(served), site.authority.card(serial="1")).status == 403
        people.write_text(f"4711 lea@{DOMAIN}\n")
        assert machine.renew()[0] == 401
        for wrong in ("4711\n", "4711 lena\n", f"1 {LENA}\n1 {ALICE}\n", "\udce4"):
            people.write_bytes(wrong.encode(errors="surrogateescape"))
            assert show(Browser.at(served), card).status == 503
        people.unlink()
        assert show(Browser.at(served), card).status == 503


class TestWhomAnotherBackendKnows:
    """What is kept of them is another provider's refresh token, which may be any text."""

    @pytest.mark.parametrize(
        "token",
        [
            *("", "opaque", "4711", "null", '"text"', "{}", '{"a": 1, "b": ""}', "[]", "[1, 2]"),
            *('["v", 1]', '["v", ["x"]]', '["v", [[1]]]', '["v", [["\u00e4"]]]', "[" * 100_000),
        ],
        ids=lambda token: token[:20],
    )
    def test_their_address_is_not_their_cards(
        self, site: Site, served: RunningProvider, token: str
    ) -> None:
        outside = served.provider.outside
        outside.vouch("company", Vouched(LENA, "4711"), "192.0.2.1", 0)
        UpstreamTokens(served.provider.database).put(LENA, token, 0)
        page = show(Browser.at(served), site.lena())
        assert (page.status, "somebody else" in page.text) == (403, True)


ENDS: dict[str, tuple[Callable[[Site, Card], None], Denial]] = {
    "revoked": (lambda site, card: site.revoke(card), Denial.CERTIFICATE_REVOKED),
    "expired": (lambda site, card: setattr(site, "ahead", MONTH_MS), Denial.CERTIFICATE_EXPIRED),
}


class TestRenewals:
    @pytest.mark.parametrize("end", ENDS)
    def test_what_they_have_ends_with_the_card(
        self, site: Site, served: RunningProvider, end: str
    ) -> None:
        browser, card = Browser.at(served), site.lena()
        show(browser, card)
        machine = Machine(served, LENA)
        assert machine.renew()[0] == 200
        do, denial = ENDS[end]
        do(site, card)
        status, answered = machine.renew()
        assert (status, answered["error"]) == (401, "no-longer-vouched")
        assert machine.renew()[1]["error"] == "renewal-revoked"
        assert not is_signed_in(browser)
        [ended] = events(served, "vouching-ended")
        assert (ended["email"], ended["reason"]) == (LENA, denial.value)

    def test_while_nobody_can_say_nothing_is_made_and_nothing_ends(
        self, site: Site, served: RunningProvider
    ) -> None:
        browser = Browser.at(served)
        show(browser, site.lena())
        machine = Machine(served, LENA)
        site.lists.unlink()
        assert machine.renew()[0] == 503
        site.publish()
        assert machine.renew()[0] == 200
        assert is_signed_in(browser)

    def test_of_two_cards_the_one_that_is_revoked_ends_all(
        self, site: Site, served: RunningProvider
    ) -> None:
        first, second = site.lena(), site.lena()
        show(Browser.at(served), first)
        show(Browser.at(served), second)
        machine = Machine(served, LENA)
        site.revoke(first)
        assert machine.renew()[1]["error"] == "no-longer-vouched"
        browser = Browser.at(served)
        assert show(browser, second).path == f"{PREFIX}/account"
        assert Machine(served, LENA).renew()[0] == 200

    def test_so_does_the_next_sign_in_if_that_comes_before(
        self, site: Site, served: RunningProvider
    ) -> None:
        thief, first, second = Browser.at(served), site.lena(), site.lena()
        show(thief, first)
        machine = Machine(served, LENA)
        site.revoke(first)
        browser = Browser.at(served)
        show(browser, second)
        assert is_signed_in(browser)
        assert not is_signed_in(thief)
        assert machine.renew()[1]["error"] == "renewal-revoked"

    def test_of_two_cards_one_may_expire(self, site: Site, served: RunningProvider) -> None:
        show(Browser.at(served), site.lena(ends=now() + DAY))
        show(Browser.at(served), site.lena())
        machine = Machine(served, LENA)
        site.ahead = 2 * 86_400_000
        assert machine.renew()[0] == 200
        show(Browser.at(served), site.lena())
        assert machine.renew()[0] == 200

    def test_a_few_certificates_are_looked_at_again(
        self, site: Site, served: RunningProvider
    ) -> None:
        """With one more all begins anew, so that none is forgotten that something came of."""
        show(Browser.at(served), site.lena())
        machine = Machine(served, LENA)
        for _ in range(3):
            show(Browser.at(served), site.lena())
        assert machine.renew()[0] == 200
        show(Browser.at(served), site.lena())
        assert machine.renew()[0] == 401

    def test_an_account_that_was_removed_leaves_no_certificate_behind(
        self, site: Site, served: RunningProvider
    ) -> None:
        show(Browser.at(served), site.lena())
        served.provider.accounts.remove(LENA)
        assert show(Browser.at(served), site.lena(serial="4712")).path == f"{PREFIX}/account"
        assert Machine(served, LENA).renew()[0] == 200


def test_how_it_is(site: Site, served: RunningProvider) -> None:
    """An administrator sees that a list is missing before people do."""
    health = served.provider.health
    assert [state.faults for state in health.of_all()] == [(), ()]
    backend = site.backend()
    site.lists.write_bytes(CardAuthority("Other").crl())
    with pytest.raises(UnavailableError, match="no list"):
        backend.probe()
    site.publish()
    with pytest.raises(UnavailableError, match="cannot be read"):
        site.backend(people=site.lists.with_name("nobody")).probe()


class TestWithADirectory:
    def test_it_is_asked_besides(
        self,
        site: Site,
        serve: Serve,
        directory: Directory,
        backend: LdapBackend,
        person: Person,
    ) -> None:
        served = serve(site.backend(directory=backend))
        card = site.authority.card(x509.RFC822Name(person.mail), serial="1")
        page = show(Browser.at(served), card)
        assert (page.status, "not admitted here" in page.text) == (403, True)
        directory.add(person, more="displayName: Lena\n")
        assert show(Browser.at(served), card).path == f"{PREFIX}/account"
        machine = Machine(served, person.mail)
        assert machine.renew()[0] == 200
        directory.change_group("delete", person)
        assert machine.renew()[1]["error"] == "no-longer-vouched"

    def test_the_card_of_the_one_before_is_not_the_new_persons(
        self,
        site: Site,
        serve: Serve,
        directory: Directory,
        backend: LdapBackend,
        person: Person,
    ) -> None:
        served = serve(site.backend(directory=backend))
        mail = x509.RFC822Name(person.mail)
        before, after = (site.authority.card(mail, serial=each) for each in "12")
        directory.add(person)
        show(Browser.at(served), after)
        page = show(Browser.at(served), before)
        assert (page.status, "somebody else" in page.text) == (403, True)
