"""A provider whose pages are at another host than the domain, before it nginx as the page says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.browser.conftest import OpenWindow
from tests.support import pages
from tests.support.front import front
from tests.support.household import Authority, Household
from tests.support.ports import free_port
from tests.support.provider import DOMAIN
from tests.support.resident import Resident
from tests.support.sample_programs import ROOT
from tests.support.tour import PREFIX, Guest, make_passkey

PAGE = (ROOT / "docs" / "identity-provider.md").read_text(encoding="utf-8")
HOST = f"id.{DOMAIN}"


@pytest.fixture(scope="module")
def household(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[Household]:
    """Its domain and its other host are one web server's."""
    _, at_domain, at_host = pages.blocks(PAGE, "nginx")
    port = free_port()
    own = {"public_url": f"https://{HOST}:{port}", "rp_id": DOMAIN}
    household = Household(tmp_path_factory.mktemp("household"), authority, own)
    household.start()
    servers = {
        name: text.replace("example.org", DOMAIN)
        .replace("8443", str(household.port))
        .replace(f"{HOST}$", f"{HOST}:{port}$")
        for name, text in ((DOMAIN, at_domain), (HOST, at_host))
    }
    household.url = f"https://{DOMAIN}:{port}"
    with front(tmp_path_factory.mktemp("front"), authority, port, servers):
        yield household
    household.stop()


@pytest.fixture
def guest(open_window: OpenWindow, household: Household) -> Guest:
    return Guest(open_window(), household)


def host_of(guest: Guest) -> str:
    return urlsplit(guest.page.url).hostname or ""


def test_a_program_that_knows_the_domain_signs_in_there(
    guest: Guest, household: Household, tmp_path: Path
) -> None:
    resident = Resident(tmp_path / "home", household)
    with resident.agent():
        command = resident.login(guest.email, "--browser")
        assert urlsplit(command.link).hostname == DOMAIN
        guest.open(command.link)
        assert host_of(guest) == HOST
        guest.give_password()
        guest.press("Allow")
        assert guest.headline == f"You are signed in as {guest.email}"
        assert command.finish() == 0


def test_passkeys_are_of_the_domain_there_too(guest: Guest) -> None:
    guest.open(guest.invitation())
    assert host_of(guest) == HOST
    make_passkey(guest)
    assert guest.headline == "Your account"


def test_somebody_who_types_the_domain_gets_to_the_account(guest: Guest) -> None:
    guest.open(f"{guest.provider.url}{PREFIX}")
    assert host_of(guest) == HOST
    guest.give_address()
    guest.give_password()
    assert guest.headline == "Your account"


def test_who_comes_in_by_another_name_is_shown_the_right_page(
    guest: Guest, household: Household
) -> None:
    """Not through the web server, but straight at the provider."""
    straight = f"https://{DOMAIN}:{household.port}{PREFIX}/sign-in?email={guest.email}"
    guest.open(straight)
    guest.page.fill("main [name=password]", "x")
    guest.submit("password")
    assert guest.headline == "This request came from another website"
    guest.page.get_by_role("link", name="Open the page again").click()
    assert host_of(guest) == HOST
    guest.give_password()
    assert guest.headline == "Your account"
