"""From an address whose domain knows nothing of this to mail, by way of a fallback provider.

Its processes, the mail server that takes its mail, a browser, the person's agent and Cyrus imapd
are real; what the person's domain answers is the test's.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
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
from tests.support.provider import DOMAIN
from tests.support.resident import LoginCommand, Resident
from tests.support.services import Installation, Syslog, folder_for_all
from tests.support.tour import Guest
from tests.support.world import key, support_document

FAMILY: Final = "nobody.test"
FIVE_MINUTES: Final = 301


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
    """A fallback provider, and a domain that has none.

    :param web_site: of the domain.
    :param options: by which that is found.
    """

    provider: Household
    mailbox: Mailbox
    web_site: WebSite
    options: dict[str, object]
    count: int = 0

    def next_mail(self) -> Delivery:
        """The next mail that comes from the provider."""
        self.count += 1
        return self.mailbox.wait(self.count)


@pytest.fixture(scope="module")
def town(authority: Authority) -> Iterator[Town]:
    mailbox, web_site = Mailbox(), WebSite()
    with ExitStack() as stack:
        domain = stack.enter_context(
            scripted_server(authority.ca.issue_cert("localhost"), web_site.respond)
        )
        elsewhere: dict[str, object] = {
            f'authorities."{FAMILY}".url': f"https://localhost:{domain.port}",
            f'authorities."{FAMILY}".ca_file': str(authority.file),
        }
        own: dict[str, object] = {
            "fallback": True,
            "mail_server": "127.0.0.1",
            "mail_port": stack.enter_context(mail_server(mailbox)),
            "mail_tls": "loopback",
            "mail_bounces": f"bounces@{DOMAIN}",
        }
        folder = stack.enter_context(folder_for_all())
        provider = Household(folder, authority, own, elsewhere)
        provider.start()
        stack.callback(provider.stop)
        yield Town(provider, mailbox, web_site, elsewhere)


@pytest.fixture
def resident(town: Town, tmp_path: Path) -> Iterator[Resident]:
    options = town.options | {"client.fallback": DOMAIN}
    resident = Resident(tmp_path / "home", town.provider, options)
    with resident.agent():
        yield resident


@pytest.fixture
def mail(
    town: Town, authority: Authority, installation: Installation, machine_log: Syslog
) -> Iterator[MailServer]:
    with folder_for_all() as folder:
        anchor = folder / "ca.pem"
        anchor.write_bytes(authority.file.read_bytes())
        options = town.options | {
            f'authorities."{FAMILY}".ca_file': str(anchor),
            "server.secondary_authorities": [DOMAIN],
            "server.tickets": False,
        }
        with imap_server(installation, machine_log, options, FAMILY) as server:
            yield server


def ask(guest: Guest, login: LoginCommand) -> None:
    """Come from a program to the page that asks for the code in a mail."""
    guest.open(login.link)
    assert guest.page.input_value("main [name=email]") == guest.email
    guest.press("Send the mail")


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
    guest.press("Send the mail")
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


@pytest.mark.option("client.fallback")
def test_from_an_address_nobody_knows_to_mail_until_the_domain_speaks_for_itself(
    town: Town, resident: Resident, mail: MailServer, open_window: OpenWindow
) -> None:
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
    town.provider.surroundings.move_clock(FIVE_MINUTES)
    assert not mail.admits(resident, guest.email)
    # Nor is there another one.
    guest.open("/browserid/sign-in?again=1&email=bob@nobody.test")
    guest.press("Send the mail")
    assert "Your domain has an identity provider of its own" in guest.page.inner_text("main")
