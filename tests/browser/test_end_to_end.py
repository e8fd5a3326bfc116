"""From `browserid login` to a program that is logged in: each ends in the sample client's success.

The provider, the agent, the commands, the sample programs and the browser are processes of their
own; only their time and names are the test's.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import jsonschema
import pytest

from tests.browser.conftest import OpenWindow
from tests.support.household import Authority, Household
from tests.support.provider import DOMAIN
from tests.support.resident import LoginCommand, Resident, sample_server
from tests.support.sample_programs import ROOT, RunningServer
from tests.support.tour import PREFIX, Guest, make_passkey

HOUR = 3600
SCHEMAS = json.loads((ROOT / "docs" / "schemas" / "output.json").read_text())


@pytest.fixture
def household(tmp_path: Path, authority: Authority) -> Iterator[Household]:
    """A provider that a test may stop, and whose time it may move."""
    folder = tmp_path / "household"
    folder.mkdir()
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


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, provider: Household
) -> Iterator[RunningServer]:
    with sample_server(tmp_path_factory.mktemp("server"), provider) as server:
        yield server


def is_admitted(resident: Resident, server: RunningServer, email: str) -> bool:
    """Whether the sample client logs in, and the server says as whom."""
    done = resident.log_in(server)
    print(done.stderr)
    if done.returncode == 0:
        server.out.wait_for(f".*successful authentication '{re.escape(email)}'.*")
    return done.returncode == 0


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


def test_from_an_invitation_to_a_login_with_a_passkey(
    guest: Guest, resident: Resident, server: RunningServer
) -> None:
    """First by a new passkey; then, in a browser that has forgotten all, by the same again."""
    guest.email = f"ines@{DOMAIN}"
    guest.open(guest.provider.command("invite", guest.email).strip())
    make_passkey(guest)
    login = resident.login(guest.email, "--browser")
    guest.open(login.link)
    allow(guest, login)
    assert is_admitted(resident, server, guest.email)
    assert resident.run("logout", guest.email).returncode == 0
    assert not is_admitted(resident, server, guest.email)
    guest.window.context.clear_cookies()
    login = resident.login(guest.email, "--browser")
    guest.open(login.link)
    guest.page.bring_to_front()
    with guest.page.expect_navigation():
        guest.page.click("form[data-passkey=get] button")
    allow(guest, login)
    assert is_admitted(resident, server, guest.email)


def test_password_and_code(guest: Guest, resident: Resident, server: RunningServer) -> None:
    _, [code, *_] = guest.set_up_second_factor()
    login = resident.login(guest.email, "--browser", "--json")
    guest.open(login.link)
    guest.give_password("not the password")
    guest.give_password()
    guest.page.fill("main [name=code]", code)
    guest.submit("code")
    guest.press("Allow")
    is_told_to_programs(guest, login)
    assert is_admitted(resident, server, guest.email)


def test_cancelled(guest: Guest, resident: Resident, server: RunningServer) -> None:
    login = resident.login(guest.email, "--browser")
    guest.open(login.link)
    guest.page.get_by_role("link", name="Cancel", exact=True).click()
    assert login.finish() != 0
    assert "cancelled" in str(login.err)
    assert not is_admitted(resident, server, guest.email)


def test_a_code_that_is_typed_in_another_browser(
    guest: Guest, resident: Resident, server: RunningServer
) -> None:
    login = resident.login(guest.email, "--device", "--json")
    guest.sign_in()
    guest.open(f"{PREFIX}/device")
    guest.page.fill("main [name=user_code]", login.code)
    guest.submit("user_code")
    guest.press("Allow")
    is_told_to_programs(guest, login)
    assert is_admitted(resident, server, guest.email)


def test_the_person_is_not_locked_out_with_the_guesser(
    guest: Guest, resident: Resident, server: RunningServer, open_window: OpenWindow
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
    assert is_admitted(resident, server, guest.email)


def guess_for_a_while(guest: Guest) -> None:
    """Fail to sign in from somewhere until there is more than a minute to wait."""
    limits, now = guest.provider.open().limits, time.time_ns() // 1_000_000
    moment = now - 880_000
    while moment < now:
        moment += limits.begin(guest.email, "198.51.100.9", moment).penalty or 1
    assert moment > now + 60_000


def test_renewed_when_the_hour_is_over_and_the_browser_closed(
    visitor: Guest, mover: Resident, tmp_path: Path
) -> None:
    """And the next day: the person is not asked."""
    sign_in(visitor, mover, renewal=True)
    visitor.window.context.close()
    for hours in (2, 26):
        after(hours, visitor.provider, mover)
        with sample_server(tmp_path / f"server-{hours}", visitor.provider) as server:
            assert is_admitted(mover, server, visitor.email)


def test_not_renewed_without_consent(visitor: Guest, mover: Resident, tmp_path: Path) -> None:
    sign_in(visitor, mover)
    after(2, visitor.provider, mover)
    with sample_server(tmp_path / "server", visitor.provider) as server:
        assert not is_admitted(mover, server, visitor.email)


def after(hours: int, household: Household, resident: Resident) -> None:
    """Let time go by, in which all machines are switched off."""
    resident.stop_agent()
    household.stop()
    household.surroundings.move_clock(hours * HOUR)
    household.start()


@pytest.mark.parametrize("button", ["Revoke laptop", "Sign out everywhere"])
def test_what_was_revoked_is_not_renewed(
    visitor: Guest, mover: Resident, tmp_path: Path, button: str
) -> None:
    sign_in(visitor, mover, renewal=True)
    visitor.open(f"{PREFIX}/account")
    visitor.press(button)
    after(2, visitor.provider, mover)
    with sample_server(tmp_path / "server", visitor.provider) as server:
        assert not is_admitted(mover, server, visitor.email)


def test_five_that_start_at_once_open_one_page(
    guest: Guest, resident: Resident, server: RunningServer
) -> None:
    logins = [resident.login(guest.email, "--browser") for _ in range(5)]
    [link] = {login.link for login in logins}
    guest.open(link)
    guest.give_password()
    guest.press("Allow")
    assert [login.finish() for login in logins] == [0] * 5
    certified = re.findall(f'"certified".*"{guest.email}"', guest.provider.audit_log())
    assert len(certified) == 1
    assert is_admitted(resident, server, guest.email)


def test_the_session_ends_in_the_middle(
    guest: Guest, resident: Resident, server: RunningServer
) -> None:
    """Between the question and the answer: who answers has to sign in again, and is asked again."""
    login = resident.login(guest.email, "--browser")
    guest.open(login.link)
    guest.give_password()
    guest.provider.open().sessions.end_all(guest.email)
    guest.press("Allow")
    guest.give_password()
    allow(guest, login)
    assert is_admitted(resident, server, guest.email)


def test_the_provider_is_started_anew_in_the_middle(
    visitor: Guest, mover: Resident, tmp_path: Path
) -> None:
    login = mover.login(visitor.email, "--browser")
    visitor.open(login.link)
    visitor.provider.stop()
    visitor.provider.start()
    visitor.give_password()
    visitor.provider.stop()
    visitor.provider.start()
    allow(visitor, login)
    with sample_server(tmp_path / "server", visitor.provider) as server:
        assert is_admitted(mover, server, visitor.email)


def test_the_key_is_changed_in_the_middle(visitor: Guest, mover: Resident, tmp_path: Path) -> None:
    """What was given before is good, and what is given after."""
    sign_in(visitor, mover)
    with sample_server(tmp_path / "server", visitor.provider) as server:
        login = mover.login(visitor.email, "--browser")
        visitor.open(login.link)
        visitor.provider.command("rotate-key")
        assert is_admitted(mover, server, visitor.email)
        allow(visitor, login)
        assert is_admitted(mover, server, visitor.email)
