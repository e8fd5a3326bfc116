"""From `browserid login` to programs that are logged in: the sample client, and mbsync with mail.

The provider, the agent, the commands, the sample programs, Cyrus imapd with its acceptor and the
browser are processes of their own; only their time and names are the test's.
"""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import jsonschema
import pytest
from cryptography import x509
from playwright.sync_api import Browser

from tests.browser.conftest import OpenWindow
from tests.conftest import SHARED
from tests.support import active_directory as ad
from tests.support import pam
from tests.support.active_directory import Controller, active_directory
from tests.support.card_fronts import Nginx, Office
from tests.support.chromium import Complaints, Window, at_a_desk, with_card
from tests.support.directory import (
    PEOPLE,
    SERVICE,
    SERVICE_PASSWORD,
    STAFF,
    Directory,
    Person,
    directory,
)
from tests.support.household import Authority, Household
from tests.support.household_mail import MailServer, mail_server
from tests.support.kdc import SERVICE as SERVICE_PRINCIPAL
from tests.support.kdc import Kdc, kdc
from tests.support.oidc import CLIENT, SECRET, OidcProvider, oidc_provider
from tests.support.pam import Accounts
from tests.support.patience import PATIENCE, wait_until
from tests.support.ports import free_port
from tests.support.provider import DOMAIN
from tests.support.resident import LoginCommand, Resident, sample_server
from tests.support.sample_programs import ROOT, RunningServer
from tests.support.services import Installation, Syslog, folder_for_all
from tests.support.tour import (
    PREFIX,
    STEPS,
    Guest,
    bring_letters,
    make_passkey,
    sign_in_elsewhere,
)

HOUR = 3600
SCHEMAS = json.loads((ROOT / "docs" / "schemas" / "output.json").read_text())
Doorway: TypeAlias = "Callable[[], AbstractContextManager[Doors]]"


@pytest.fixture
def household(authority: Authority) -> Iterator[Household]:
    """A provider that a test may stop, and whose time it may move."""
    with folder_for_all() as folder:
        household = Household(folder, authority)
        household.start()
        yield household
        household.stop()


@pytest.fixture
def guest(open_window: OpenWindow, provider: Household) -> Guest:
    """Somebody whose provider stays as it is."""
    return Guest(open_window(), provider)


@pytest.fixture
def visitor(open_window: OpenWindow, household: Household) -> Guest:
    """Somebody whose provider does not."""
    return Guest(open_window(), household)


@pytest.fixture
def new_resident(tmp_path: Path) -> Iterator[Callable[[Household], Resident]]:
    """Makes homes, whose agents end with the test."""
    with ExitStack() as stack:

        def make(provider: Household) -> Resident:
            resident = Resident(tmp_path / "home", provider, {"client.machine": "laptop"})
            # Not by the first command, whose patience with it is a person's.
            stack.enter_context(resident.agent())
            return resident

        yield make


@pytest.fixture
def resident(new_resident: Callable[[Household], Resident], provider: Household) -> Resident:
    return new_resident(provider)


@pytest.fixture
def mover(new_resident: Callable[[Household], Resident], household: Household) -> Resident:
    """Somebody of a household whose time moves."""
    return new_resident(household)


@pytest.fixture
def after(household: Household, mover: Resident) -> Iterator[Callable[[int], None]]:
    """Lets hours go by, in which all machines of a household are switched off."""
    with ExitStack() as stack:

        def go_by(hours: int) -> None:
            mover.stop_agent()
            leave_off(household, hours)
            stack.enter_context(mover.agent())

        yield go_by


def leave_off(household: Household, hours: int) -> None:
    """Switch the provider off for hours."""
    household.stop()
    household.surroundings.move_clock(hours * HOUR)
    household.start()


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, provider: Household
) -> Iterator[RunningServer]:
    with sample_server(tmp_path_factory.mktemp("server"), provider) as server:
        yield server


@pytest.fixture(scope="module")
def mail(installation: Installation, machine_log: Syslog) -> Iterator[MailServer]:
    """One for all of these: it believes the provider of who comes."""
    with mail_server(installation, machine_log) as server:
        yield server


@pytest.fixture(scope="module")
def mail_by_certificate(installation: Installation, machine_log: Syslog) -> Iterator[MailServer]:
    """One that gives no tickets: those may be used for a minute after they are revoked."""
    with mail_server(installation, machine_log, {"server.tickets": False}) as server:
        yield server


@dataclass(frozen=True)
class Doors:
    """What people log in to.

    :param server: the sample server of their domain.
    :param mail: the mail server.
    """

    server: RunningServer
    mail: MailServer

    def admit(self, resident: Resident, email: str) -> bool:
        """Whether somebody's programs log in; all of them or none."""
        done = resident.log_in(self.server)
        print(done.stderr)
        admitted = done.returncode == 0
        if admitted:
            self.server.out.wait_for(f".*successful authentication '{re.escape(email)}'.*")
        assert self.mail.admits(resident, email) is admitted
        return admitted


@pytest.fixture
def doors(server: RunningServer, mail: MailServer) -> Doors:
    """The doors of those whose provider stays as it is."""
    return Doors(server, mail)


@pytest.fixture
def doors_now(tmp_path: Path, household: Household, mail: MailServer) -> Doorway:
    """Opens the doors of the others, at the time that it is for them."""
    numbers = itertools.count()

    @contextmanager
    def make() -> Iterator[Doors]:
        with sample_server(tmp_path / f"server-{next(numbers)}", household) as server:
            yield Doors(server, mail)

    return make


def allow(guest: Guest, login: LoginCommand, *, renewal: bool = False) -> None:
    """Answer the question that a command has had asked, and see the command succeed."""
    if renewal:
        guest.page.check("main [name=renewal]")
    guest.press("Allow")
    assert login.finish() == 0, str(login.err)
    assert f"signed in as {guest.email}" in str(login.out)


def is_told_to_programs(guest: Guest, login: LoginCommand) -> None:
    """See a command with `--json` succeed, and print what docs/schemas say and nothing else."""
    assert login.finish() == 0, str(login.err)
    said = json.loads(str(login.out))
    jsonschema.validate(said, {**SCHEMAS, "$ref": "#/$defs/browserid login"})
    assert (said["identity"], said["state"]) == (guest.email, "good")


def sign_in(guest: Guest, resident: Resident, *, renewal: bool = False) -> None:
    """The whole of it, with a password."""
    login = resident.login(guest.email, "--browser")
    guest.open(login.link)
    guest.give_password()
    allow(guest, login, renewal=renewal)


@pytest.fixture
def people() -> Iterator[Directory]:
    """A directory of a domain's people."""
    with folder_for_all() as folder, directory(folder / "ldap") as made, made.running():
        yield made


@pytest.fixture
def office(people: Directory, authority: Authority, tmp_path: Path) -> Iterator[Household]:
    """A provider that asks the directory."""
    secret = tmp_path / "ldap-password"
    secret.touch(0o600)
    secret.write_text(SERVICE_PASSWORD)
    staff = {
        "servers": [people.ldap],
        "ca_file": str(people.ca_file),
        "bind_dn": SERVICE,
        "bind_password_file": str(secret),
        "base": PEOPLE,
        "groups": [STAFF],
        "timeout": 30,
    }
    named = {f'ldap."staff".{name}': each for name, each in staff.items()}
    with folder_for_all() as folder:
        office = Household(folder, authority, {"backends": ["staff", "accounts"]}, named)
        office.start()
        yield office
        office.stop()


def test_from_the_password_of_a_directory_to_mail_until_they_leave(
    open_window: OpenWindow,
    people: Directory,
    office: Household,
    new_resident: Callable[[Household], Resident],
    mail_by_certificate: MailServer,
) -> None:
    """They go on for an hour after they are put out of the group, and not an hour longer."""
    mail = mail_by_certificate
    lena = people.add(Person("lena", f"lena@{DOMAIN}"))
    guest, resident = Guest(open_window(), office, lena.mail), new_resident(office)
    login = resident.login(lena.mail, "--browser")
    guest.open(login.link)
    guest.give_password("not the password")
    guest.give_password(lena.password)
    allow(guest, login, renewal=True)
    mail.believe(office)
    mail.deliver(lena.mail, "good morning")
    assert mail.admits(resident, lena.mail)
    fetched = [file.read_text() for file in (resident.folder / "INBOX").rglob("*,*")]
    assert ["good morning" in text for text in fetched] == [True]
    people.change_group("delete", lena)
    resident.stop_agent()
    leave_off(office, 2)
    with resident.agent():
        assert not mail.admits(resident, lena.mail)
    assert '"reason":"not-admitted"' in office.audit_log()


@pytest.fixture
def controller(pytestconfig: pytest.Config) -> Iterator[Controller]:
    """A domain of Active Directory."""
    with folder_for_all() as folder:
        with active_directory(pytestconfig.stash[SHARED], folder / "ad") as controller:
            yield controller


@pytest.fixture
def desktops(controller: Controller, authority: Authority, tmp_path: Path) -> Iterator[Household]:
    """A provider that asks it."""
    secret = tmp_path / "ad-password"
    secret.touch(0o600)
    secret.write_text(ad.SERVICE_PASSWORD)
    windows = {
        "servers": [controller.ldaps],
        "ca_file": str(controller.ca_file),
        "bind_dn": ad.SERVICE_NAME,
        "bind_password_file": str(secret),
        "base": ad.BASE,
        "filter": "(&(objectCategory=person)(objectClass=user)(mail={address}))",
        "groups": [ad.STAFF],
        "timeout": 30,
    }
    named = {f'ldap."windows".{name}': each for name, each in windows.items()}
    with folder_for_all() as folder:
        house = Household(folder, authority, {"backends": ["windows"]}, named)
        house.start()
        yield house
        house.stop()


def test_from_the_password_of_active_directory_to_mail_until_they_are_disabled(
    open_window: OpenWindow,
    controller: Controller,
    desktops: Household,
    new_resident: Callable[[Household], Resident],
    mail_by_certificate: MailServer,
) -> None:
    """They are moved and renamed there meanwhile, which changes nothing."""
    mail, lena = mail_by_certificate, ad.Person("lena", f"lena.windows@{DOMAIN}")
    controller.add(lena)
    guest, resident = Guest(open_window(), desktops, lena.mail), new_resident(desktops)
    login = resident.login(lena.mail, "--browser")
    guest.open(login.link)
    guest.give_password(lena.password)
    allow(guest, login, renewal=True)
    mail.believe(desktops)
    mail.deliver(lena.mail, "good morning")
    assert mail.admits(resident, lena.mail)
    controller.rename(lena.dn, "CN=Lena B.", f"OU=Former,{ad.BASE}")
    resident.stop_agent()
    leave_off(desktops, 2)
    with resident.agent():
        assert mail.admits(resident, lena.mail)
    controller.set(f"CN=Lena B.,OU=Former,{ad.BASE}", "userAccountControl", "514")
    leave_off(desktops, 4)
    with resident.agent():
        assert not mail.admits(resident, lena.mail)
    assert '"reason":"account-disabled"' in desktops.audit_log()


@pytest.fixture
def branch(authority: Authority, tmp_path: Path) -> Iterator[tuple[Household, OidcProvider]]:
    """A provider whose people sign in at another one, and that one."""
    secret, elsewhere, port = tmp_path / "company-secret", tmp_path / "company", free_port()
    secret.touch(0o600)
    secret.write_text(SECRET)
    elsewhere.mkdir()
    company = {
        "issuer": f"https://localhost:{port}",
        "client_id": CLIENT,
        "client_secret_file": str(secret),
        "ca_file": str(authority.file),
        "timeout": 30,
    }
    named = {f'oidc."company".{name}': each for name, each in company.items()}
    with folder_for_all() as folder:
        branch = Household(folder, authority, {"backends": ["company"]}, named)
        with oidc_provider(
            elsewhere, origin=branch.url, authority=authority.ca, port=port
        ) as provider:
            branch.start()
            yield branch, provider
            branch.stop()


def test_from_another_provider_to_mail_until_it_has_them_no_longer(
    open_window: OpenWindow,
    branch: tuple[Household, OidcProvider],
    new_resident: Callable[[Household], Resident],
    mail_by_certificate: MailServer,
) -> None:
    """Nothing is typed but at that provider: the page goes there at once, and it leads back."""
    mail = mail_by_certificate
    household, company = branch
    email = f"olga@{DOMAIN}"
    company.put("olga", email=email, email_verified=True)
    guest, resident = Guest(open_window(), household, email), new_resident(household)
    bring_letters(guest)
    login = resident.login(email, "--browser")
    guest.open(login.link)
    sign_in_elsewhere(guest, company, "olga")
    guest.page.wait_for_selector("main [name=renewal]")
    allow(guest, login, renewal=True)
    mail.believe(household)
    mail.deliver(email, "good morning")
    assert mail.admits(resident, email)
    company.remove("olga")
    resident.stop_agent()
    leave_off(household, 2)
    with resident.agent():
        assert not mail.admits(resident, email)
    assert '"reason":"sign-in-over"' in household.audit_log()


@pytest.fixture
def desks(authority: Authority) -> Iterator[tuple[Household, Accounts]]:
    """A provider on a system that asks for a one-time password after the password."""
    with folder_for_all() as folder:
        accounts = Accounts(folder / "etc")
        accounts.serve_codes()
        named = {'pam."desks".groups': ["staff"], 'pam."desks".timeout': 60}
        options = {"backends": ["desks", "accounts"]}
        house = Household(folder, authority, options, named, accounts.program_before)
        house.start()
        yield house, accounts
        house.stop()


def test_from_what_pam_asks_to_a_login(
    open_window: OpenWindow,
    desks: tuple[Household, Accounts],
    new_resident: Callable[[Household], Resident],
    mail: MailServer,
) -> None:
    """A password that has expired, a code, the password before it, and a new one twice."""
    house, accounts = desks
    accounts.put_in_group("staff", accounts.add("otto"))
    accounts.give_secret("otto")
    accounts.expire_password("otto")
    otto = f"otto@{DOMAIN}"
    guest, resident = Guest(open_window(), house, otto), new_resident(house)
    login = resident.login(otto, "--browser")
    guest.open(login.link)
    guest.give_password(pam.PASSWORD)
    new = "quite another secret 42"
    for says, answer in (
        ("One-time password", pam.code(0)),
        ("Current password", pam.PASSWORD),
        ("New password", new),
        ("Retype new password", new),
    ):
        guest.page.wait_for_selector(f"label:has-text('{says}')")
        guest.page.fill("main [name=answer0]", answer)
        guest.press("Go on")
    allow(guest, login)
    mail.believe(house)
    mail.deliver(otto, "good morning")
    assert mail.admits(resident, otto)


@pytest.fixture
def domain_of_desks(authority: Authority) -> Iterator[tuple[Household, Kdc]]:
    """A provider whose people are signed in by their computers, and their KDC."""
    with folder_for_all() as folder:
        keytab = folder / "http.keytab"
        options = {"backends": ["desks"], "proxies": []}
        named = {
            'kerberos."desks".keytab': str(keytab),
            'kerberos."desks".principal': SERVICE_PRINCIPAL,
            'kerberos."desks".at_once': True,
            'kerberos."desks".timeout': 30,
        }
        house = Household(folder, authority, options, named)
        with kdc(house.surroundings.variables) as center:
            center.keytab().rename(keytab)
            house.start()
            yield house, center
            house.stop()


def test_from_a_desk_to_mail_until_they_are_disabled(
    browser: Browser,
    authority: Authority,
    domain_of_desks: tuple[Household, Kdc],
    new_resident: Callable[[Household], Resident],
    mail_by_certificate: MailServer,
    tmp_path: Path,
) -> None:
    """Nothing is typed at all. Their browser binds its ticket to the certificate that it sees."""
    mail = mail_by_certificate
    house, center = domain_of_desks
    email = f"dora@{DOMAIN}"
    principal = center.add("dora")
    tickets = center.at(center.sign_in(principal))
    resident = new_resident(house)
    login = resident.login(email, "--browser")
    complaints = Complaints()
    with at_a_desk(browser, tmp_path / "desk", authority.file, tickets) as context:
        guest = Guest(Window(context, complaints), house, email)
        guest.open(login.link)
        guest.page.wait_for_selector("main [name=renewal]")
        allow(guest, login, renewal=True)
    assert complaints.texts == []
    mail.believe(house)
    mail.deliver(email, "good morning")
    assert mail.admits(resident, email)
    fetched = [file.read_text() for file in (resident.folder / "INBOX").rglob("*,*")]
    assert ["good morning" in text for text in fetched] == [True]
    # They go on for an hour.
    resident.stop_agent()
    leave_off(house, 2)
    with resident.agent():
        assert mail.admits(resident, email)
    center.do("modprinc", "-allow_tix", principal)
    resident.stop_agent()
    leave_off(house, 4)
    with resident.agent():
        assert not mail.admits(resident, email)
    assert '"reason":"account-disabled"' in house.audit_log()


@pytest.fixture
def cards(authority: Authority) -> Iterator[Office]:
    """A provider of people with cards, and nginx before it."""
    with folder_for_all() as folder:
        office = Office(folder, authority)
        with office.running(), Nginx(office).running():
            yield office


def test_from_a_certificate_to_mail_until_it_is_revoked(
    browser: Browser,
    cards: Office,
    new_resident: Callable[[Household], Resident],
    mail_by_certificate: MailServer,
    tmp_path: Path,
) -> None:
    """Nothing is typed: the browser shows the certificate, and a button is pressed."""
    mail, house = mail_by_certificate, cards.household
    email = f"carla@{DOMAIN}"
    card = cards.cards.card(x509.RFC822Name(email), serial="4711")
    resident = new_resident(house)
    login = resident.login(email, "--browser")
    complaints = Complaints()
    home = tmp_path / "browser"
    with with_card(browser, home, cards.authority.file, card.pkcs12(), cards.url) as context:
        guest = Guest(Window(context, complaints), house, email)
        guest.open(login.link)
        guest.press("Sign in with a certificate or card")
        allow(guest, login, renewal=True)
    assert complaints.texts == []
    mail.believe(house)
    mail.deliver(email, "good morning")
    assert mail.admits(resident, email)
    # They go on for an hour.
    cards.revoke(card)
    resident.stop_agent()
    leave_off(house, 2)
    with resident.agent():
        assert not mail.admits(resident, email)
    assert '"reason":"certificate-revoked"' in house.audit_log()


def test_from_an_invitation_to_a_login_with_a_passkey(
    guest: Guest, resident: Resident, doors: Doors
) -> None:
    """First by a new passkey; then, in a browser that has forgotten all, by the same again."""
    guest.email = f"ines@{DOMAIN}"
    guest.open(guest.provider.command("invite", guest.email).strip())
    make_passkey(guest)
    login = resident.login(guest.email, "--browser")
    guest.open(login.link)
    allow(guest, login)
    doors.mail.deliver(guest.email, "good morning")
    assert doors.admit(resident, guest.email)
    fetched = [file.read_text() for file in (resident.folder / "INBOX").rglob("*,*")]
    assert ["good morning" in text for text in fetched] == [True]
    assert resident.run("logout", guest.email).returncode == 0
    assert not doors.admit(resident, guest.email)
    guest.window.context.clear_cookies()
    login = resident.login(guest.email, "--browser")
    guest.open(login.link)
    guest.page.bring_to_front()
    with guest.page.expect_navigation():
        guest.page.click("form[data-passkey=get] button")
    allow(guest, login)
    assert doors.admit(resident, guest.email)


def test_password_and_code(guest: Guest, resident: Resident, doors: Doors) -> None:
    app, _ = guest.set_up_second_factor()
    login = resident.login(guest.email, "--browser", "--json")
    guest.open(login.link)
    guest.give_password("not the password")
    guest.give_password()
    # The step that switched it on is used up; the next one is accepted ahead of its time.
    guest.page.fill("main [name=code]", app.generate(int(time.time()) + 30).decode())
    guest.submit("code")
    guest.press("Allow")
    is_told_to_programs(guest, login)
    assert doors.admit(resident, guest.email)


def test_cancelled_at_every_step(guest: Guest, resident: Resident, doors: Doors) -> None:
    for come in STEPS:
        guest.window.context.clear_cookies()
        login = resident.login(guest.email, "--browser")
        come(guest, login.link)
        guest.page.get_by_role("link", name="Cancel", exact=True).click()
        assert login.finish() != 0, come
        assert "cancelled" in str(login.err)
    assert not doors.admit(resident, guest.email)


def test_a_code_that_is_typed_in_another_browser(
    guest: Guest, resident: Resident, doors: Doors
) -> None:
    # The same mailbox as without the quotes.
    quoted = '"{}"@{}'.format(*guest.email.split("@"))
    login = resident.login(quoted, "--device", "--json")
    guest.sign_in()
    guest.open(f"{PREFIX}/device")
    guest.page.fill("main [name=user_code]", login.code)
    guest.submit("user_code")
    guest.press("Allow")
    is_told_to_programs(guest, login)
    assert doors.admit(resident, guest.email)


def test_the_person_is_not_locked_out_with_the_guesser(
    guest: Guest, resident: Resident, doors: Doors, open_window: OpenWindow
) -> None:
    guest.sign_in()
    guest.open(f"{PREFIX}/sign-out")
    with guest.page.expect_navigation():
        guest.page.locator("main form button").click()
    guesser = Guest(open_window(), guest.provider, guest.email)
    guess_for_a_while(guest)
    guesser.open(f"{PREFIX}/sign-in?email={guest.email}")
    guesser.give_password()
    assert "Too many" in guesser.page.inner_text("main")
    sign_in(guest, resident)
    assert doors.admit(resident, guest.email)


def guess_for_a_while(guest: Guest) -> None:
    """Fail to sign in from somewhere until there is more than a minute to wait."""
    limits, now = guest.provider.open().limits, time.time_ns() // 1_000_000
    moment = now - 880_000
    while moment < now:
        moment += limits.begin(guest.email, "198.51.100.9", moment).penalty or 1
    assert moment > now + 60_000


def test_renewed_when_the_hour_is_over_and_the_browser_closed(
    visitor: Guest, mover: Resident, doors_now: Doorway, after: Callable[[int], None]
) -> None:
    """And the next day: the person is not asked."""
    sign_in(visitor, mover, renewal=True)
    visitor.window.context.close()
    for hours in (2, 26):
        after(hours)
        with doors_now() as doors:
            assert doors.admit(mover, visitor.email)


def test_not_renewed_without_consent(
    visitor: Guest, mover: Resident, doors_now: Doorway, after: Callable[[int], None]
) -> None:
    sign_in(visitor, mover)
    after(2)
    with doors_now() as doors:
        assert not doors.admit(mover, visitor.email)


@pytest.mark.parametrize("button", ["Revoke laptop", "Sign out everywhere"])
def test_what_was_revoked_is_refused_within_a_minute_and_not_renewed(
    visitor: Guest, mover: Resident, doors_now: Doorway, after: Callable[[int], None], button: str
) -> None:
    sign_in(visitor, mover, renewal=True)
    with doors_now() as doors:
        assert doors.admit(mover, visitor.email)
        visitor.open(f"{PREFIX}/account")
        visitor.press(button)
        visitor.provider.surroundings.move_clock(61)
        assert not doors.admit(mover, visitor.email)
    after(2)
    with doors_now() as doors:
        assert not doors.admit(mover, visitor.email)


def test_five_programs_that_start_at_once_open_one_page(
    visitor: Guest, tmp_path: Path, doors_now: Doorway
) -> None:
    """An hour after the last sign-in, which was for that hour."""
    opened = tmp_path / "opened"
    browser = ["sh", "-c", 'echo "$1" >>"$0"', str(opened), "{link}"]
    options = {"client.browser": browser, "client.sign_in": "browser"}
    resident = Resident(tmp_path / "home", visitor.provider, options)
    with resident.agent():
        sign_in(visitor, resident)
    leave_off(visitor.provider, hours=2)
    opened.unlink(missing_ok=True)
    visitor.open(f"{PREFIX}/sign-in")
    visitor.sign_in()
    with resident.agent(DISPLAY=":0"), doors_now() as doors, ExitStack() as stack:
        doors.mail.believe(visitor.provider)
        # timsieved lets in only who has a mailbox.
        doors.mail.deliver(visitor.email, "good morning")
        login = resident.login(visitor.email, "--browser")
        mbsync, imtest, cyradm, sivtest = (
            stack.enter_context(program)
            for program in (
                doors.mail.program(resident, *doors.mail.mbsync(resident, visitor.email)),
                doors.mail.imtest(resident, visitor.email),
                doors.mail.cyradm(resident, visitor.email),
                doors.mail.sivtest(resident, visitor.email),
            )
        )
        wait_until(lambda: opened.exists() and bool(opened.read_text()), "the page")
        # Programs wait 25 s for the answer: what takes long on a busy machine goes on meanwhile.
        visitor.open(opened.read_text().strip())
        # It is the command's page, too, once that has got so far: afterwards it would ask anew.
        assert login.link == opened.read_text().strip()
        allow(visitor, login)
        said, _ = mbsync.communicate(timeout=2 * PATIENCE)
        assert mbsync.returncode == 0, said
        for program, last, shown in (
            (imtest, ". logout\r\n", "Authenticated."),
            (sivtest, "LOGOUT\r\n", "Authenticated."),
            (cyradm, "listmailbox\n", "INBOX"),
        ):
            said, _ = program.communicate(last, timeout=2 * PATIENCE)
            assert shown in said, said
        assert doors.admit(resident, visitor.email)
    assert opened.read_text().splitlines() == [login.link]
    certified = re.findall(f'"certified".*"{visitor.email}"', visitor.provider.audit_log())
    assert len(certified) == 2


def test_the_session_ends_in_the_middle(guest: Guest, resident: Resident, doors: Doors) -> None:
    """Between the question and the answer: who answers has to sign in again, and is asked again."""
    login = resident.login(guest.email, "--browser")
    guest.open(login.link)
    guest.give_password()
    guest.provider.open().sessions.end_all(guest.email)
    guest.press("Allow")
    guest.give_password()
    allow(guest, login)
    assert doors.admit(resident, guest.email)


def test_the_provider_is_started_anew_in_the_middle(
    visitor: Guest, mover: Resident, doors_now: Doorway
) -> None:
    login = mover.login(visitor.email, "--browser")
    visitor.open(login.link)
    visitor.provider.stop()
    visitor.provider.start()
    visitor.give_password()
    visitor.provider.stop()
    visitor.provider.start()
    allow(visitor, login)
    with doors_now() as doors:
        assert doors.admit(mover, visitor.email)


def test_the_key_is_changed_in_the_middle(
    visitor: Guest, mover: Resident, doors_now: Doorway
) -> None:
    """What was given before is good, and what is given after."""
    sign_in(visitor, mover)
    with doors_now() as doors:
        login = mover.login(visitor.email, "--browser")
        visitor.open(login.link)
        visitor.provider.command("rotate-key")
        assert doors.admit(mover, visitor.email)
        allow(visitor, login)
        assert doors.admit(mover, visitor.email)
