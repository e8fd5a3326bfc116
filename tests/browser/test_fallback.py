"""From an address whose domain knows nothing of this to mail, by way of a fallback provider.

Its processes, the mail server that takes its mail, a browser, the person's agent and Cyrus imapd
are real; what the person's domain answers is the test's.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.browser.conftest import OpenWindow
from tests.support.fallback import Delivery, Mailbox, mail_server
from tests.support.household import Authority, Household
from tests.support.household_mail import MailServer
from tests.support.household_mail import mail_server as imap_server
from tests.support.https import answer, scripted_server
from tests.support.oidc import CLIENT, SECRET, OidcProvider, oidc_provider
from tests.support.ports import free_port
from tests.support.provider import DOMAIN
from tests.support.resident import LoginCommand, Resident
from tests.support.services import Installation, Syslog, folder_for_all
from tests.support.tour import Guest, bring_letters, sign_in_elsewhere
from tests.support.world import key, support_document

FAMILY: Final = "nobody.test"
BIG: Final = "bigmail.test"
FIVE_MINUTES: Final = 301
TWO_HOURS: Final = 7_200


@dataclass
class WebSite:
    """A domain's.

    :param has_provider: whether it says that the domain has one.
    """

    has_provider: bool = False

    def respond(self, connection: ssl.SSLSocket) -> None:
        """Answer, the same to everything."""
        if self.has_provider:
            body = json.dumps(support_document(key("own", "ES256"))).encode()
            answer(body)(connection)
        else:
            answer(b"no", status="404 Not Found", content_type="text/html")(connection)


@dataclass
class Town:
    """A fallback provider, and two domains that have none.

    :param web_site: of the domains.
    :param options: by which that is found.
    :param bigmail: the provider that stands for one of them.
    """

    provider: Household
    mailbox: Mailbox
    web_site: WebSite
    options: dict[str, object]
    bigmail: OidcProvider
    count: int = 0
    gone_by: int = 0

    def next_mail(self) -> Delivery:
        """The next mail that comes from the provider."""
        self.count += 1
        return self.mailbox.wait(self.count)

    def let_go_by(self, seconds: int) -> None:
        """Have it be later."""
        self.gone_by += seconds
        self.provider.surroundings.move_clock(self.gone_by)


@pytest.fixture(scope="module")
def town(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    mailbox, web_site = Mailbox(), WebSite()
    elsewhere, secret = tmp_path_factory.mktemp("bigmail"), tmp_path_factory.mktemp("s") / "secret"
    secret.touch(0o600)
    secret.write_text(SECRET)
    port = free_port()
    with ExitStack() as stack:
        domain = stack.enter_context(
            scripted_server(authority.ca.issue_cert("localhost"), web_site.respond)
        )
        options: dict[str, object] = {
            f'authorities."{name}".{option}': each
            for name in (FAMILY, BIG)
            for option, each in (
                ("url", f"https://localhost:{domain.port}"),
                ("ca_file", str(authority.file)),
            )
        }
        bigmail = {
            "issuer": f"https://localhost:{port}",
            "client_id": CLIENT,
            "client_secret_file": str(secret),
            "ca_file": str(authority.file),
            "timeout": 30,
            "domains": [BIG],
        }
        named = {f'oidc."bigmail".{name}': each for name, each in bigmail.items()}
        own: dict[str, object] = {
            "fallback": True,
            "backends": ["bigmail", "accounts"],
            "mail_server": "127.0.0.1",
            "mail_port": stack.enter_context(mail_server(mailbox)),
            "mail_tls": "loopback",
            "mail_bounces": f"bounces@{DOMAIN}",
        }
        folder = stack.enter_context(folder_for_all())
        provider = Household(folder, authority, own, options | named)
        there = stack.enter_context(
            oidc_provider(elsewhere, ["bigmail"], provider.url, authority.ca, port)
        )
        provider.start()
        stack.callback(provider.stop)
        yield Town(provider, mailbox, web_site, options, there)


@pytest.fixture
def resident(town: Town, tmp_path: Path) -> Iterator[Resident]:
    options = town.options | {"client.fallback": DOMAIN}
    resident = Resident(tmp_path / "home", town.provider, options)
    with resident.agent():
        yield resident


@pytest.fixture
def serve_mail(
    town: Town, authority: Authority, installation: Installation, machine_log: Syslog
) -> Iterator[Callable[[str], MailServer]]:
    """Runs a server for the people of a domain, until the test ends."""
    with ExitStack() as stack:

        def serve(domain: str) -> MailServer:
            folder = stack.enter_context(folder_for_all())
            anchor = folder / "ca.pem"
            anchor.write_bytes(authority.file.read_bytes())
            # The acceptor has an account of its own, which cannot read the original.
            elsewhere = {
                name: str(anchor) if name.endswith(".ca_file") else each
                for name, each in town.options.items()
            }
            own = {"server.secondary_authorities": [DOMAIN], "server.tickets": False}
            server = imap_server(installation, machine_log, elsewhere | own, domain)
            return stack.enter_context(server)

        yield serve


def ask(guest: Guest, login: LoginCommand) -> None:
    """Come from a program to the page that asks for the code in a mail."""
    guest.open(login.link)
    assert guest.page.input_value("main [name=email]") == guest.email
    guest.press("Go on")


def allow(guest: Guest, login: LoginCommand) -> None:
    guest.press("Allow")
    assert login.finish() == 0, str(login.err)


def test_the_link_is_opened_on_a_phone_which_asks_for_the_letters(
    town: Town, resident: Resident, open_window: OpenWindow
) -> None:
    guest = Guest(open_window(), town.provider, f"bob@{FAMILY}")
    login = resident.login(guest.email, "--browser")
    ask(guest, login)
    letters = guest.page.inner_text("main strong.whole")
    phone = Guest(open_window(), town.provider, guest.email)
    phone.open(town.provider.url + town.next_mail().link)
    phone.page.fill("main [name=letters]", letters)
    phone.press("Sign the other browser in")
    assert "The other browser may go on" in phone.page.inner_text("main")
    guest.press("Go on")
    allow(guest, login)


def test_a_machine_without_a_browser(
    town: Town, resident: Resident, open_window: OpenWindow
) -> None:
    guest = Guest(open_window(), town.provider, f"carol@{FAMILY}")
    login = resident.login(guest.email, "--device")
    guest.open("/browserid/device")
    guest.page.fill("main [name=email]", guest.email)
    guest.press("Go on")
    guest.page.fill("main [name=code]", town.next_mail().code)
    guest.submit("code")
    guest.page.fill("main [name=user_code]", login.code)
    guest.submit("user_code")
    allow(guest, login)


def test_nobody_is_found_without_the_option(town: Town, tmp_path: Path) -> None:
    resident = Resident(tmp_path / "home", town.provider, town.options)
    with resident.agent():
        done = resident.run("login", "--browser", f"dave@{FAMILY}")
    assert done.returncode != 0
    assert "has no support document" in done.stderr


def test_from_a_large_mail_domain_to_mail_until_it_has_them_no_longer(
    town: Town,
    resident: Resident,
    serve_mail: Callable[[str], MailServer],
    open_window: OpenWindow,
) -> None:
    """Who gives an address of it types nothing more here: its provider's page is next."""
    mail = serve_mail(BIG)
    email = f"olga@{BIG}"
    town.bigmail.put("olga", email=email, email_verified=True)
    guest = Guest(open_window(), town.provider, email)
    bring_letters(guest)
    login = resident.login(email, "--browser")
    guest.open("/browserid/sign-in")
    guest.page.fill("main [name=email]", email)
    guest.press("Go on")
    guest.page.wait_for_selector("[name=login]")
    guest.open(login.link)
    sign_in_elsewhere(guest, town.bigmail, "olga")
    guest.page.wait_for_selector("main [name=renewal]")
    guest.page.check("main [name=renewal]")
    allow(guest, login)
    mail.deliver(email, "good morning")
    assert mail.admits(resident, email)
    town.bigmail.remove("olga")
    resident.stop_agent()
    town.let_go_by(TWO_HOURS)
    with resident.agent():
        assert not mail.admits(resident, email)
    assert '"reason":"sign-in-over"' in town.provider.audit_log()
    # Of this domain nobody has had a mail.
    assert {each.recipient.rpartition("@")[2] for each in town.mailbox.deliveries} <= {FAMILY}


@pytest.mark.option("client.fallback")
def test_from_an_address_nobody_knows_to_mail_until_the_domain_speaks_for_itself(
    town: Town,
    resident: Resident,
    serve_mail: Callable[[str], MailServer],
    open_window: OpenWindow,
) -> None:
    mail = serve_mail(FAMILY)
    guest = Guest(open_window(), town.provider, f"alice@{FAMILY}")
    login = resident.login(guest.email, "--browser")
    ask(guest, login)
    guest.page.fill("main [name=code]", town.next_mail().code)
    guest.submit("code")
    allow(guest, login)
    mail.deliver(guest.email, "good morning")
    assert mail.admits(resident, guest.email)
    # The certificate is good for most of an hour yet.
    town.web_site.has_provider = True
    town.let_go_by(FIVE_MINUTES)
    assert not mail.admits(resident, guest.email)
    # Nor is there another one.
    guest.open("/browserid/sign-in?again=1&email=bob@nobody.test")
    guest.press("Go on")
    assert "Your domain has an identity provider of its own" in guest.page.inner_text("main")
