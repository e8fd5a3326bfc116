"""From a sign-in in a browser to the mail: Chromium, provider, agent, mbsync and Cyrus imapd."""

from __future__ import annotations

import imaplib
import json
from collections.abc import Callable
from pathlib import Path

import requests

from tests.support.chromium import Complaints, Window, chromium
from tests.support.household import Authority, Household
from tests.support.provider import ALICE
from tests.support.resident import Resident
from tests.support.services import ADMIN, AES128, HOST, Imapd, Site, Syslog, run
from tests.support.tour import Guest, make_passkey


def know(site: Site, household: Household) -> None:
    """Have a site believe a household's provider, beside the one that it has."""
    path = site.folder / "support.json"
    ours = json.loads(path.read_text())["public-key"]
    url = f"https://localhost:{household.port}/.well-known/browserid"
    theirs = requests.get(url, verify=str(household.authority.file), timeout=60).json()
    path.write_text(json.dumps(theirs | {"keys": [theirs["public-key"], ours]}))


def sign_in(tmp_path: Path, household: Household, resident: Resident) -> None:
    """By a passkey that is made with the administrator's link."""
    with chromium(tmp_path / "browser", household.authority.file) as browser:
        window = Window(browser.new_context(), Complaints())
        guest = Guest(window, household, ALICE)
        guest.open(household.command("invite", ALICE).strip())
        make_passkey(guest)
        login = resident.login(ALICE, "--browser")
        guest.open(login.link)
        guest.press("Allow")
        assert login.finish() == 0, str(login.err)
        assert window.complaints.texts == []


def test_mail_is_fetched_by_who_has_signed_in_in_a_browser(
    new_site: Callable[[str], Site], syslog: Syslog, tmp_path: Path
) -> None:
    site = new_site("cyrus")
    household = Household(tmp_path, Authority(tmp_path / "authority"))
    household.start()
    resident = Resident(tmp_path / "home", household)
    try:
        know(site, household)
        with resident.agent(), Imapd(site).running() as imapd:
            make_mailbox(site, imapd)
            sign_in(tmp_path, household, resident)
            mark = syslog.mark()
            done = mbsync(site, imapd, resident)
            assert done == 0
            syslog.wait_for(rf"login: .* alice {AES128} User logged in", mark)
    finally:
        household.stop()
    fetched = [path for path in (resident.folder / "INBOX").rglob("*") if path.is_file()]
    assert any("good morning" in path.read_text(errors="replace") for path in fetched)


def make_mailbox(site: Site, imapd: Imapd) -> None:
    mechanism = site.mechanism("imap", person=site.realm.person(ADMIN))
    with imaplib.IMAP4("127.0.0.1", imapd.port, 20) as admin:
        admin.authenticate(AES128, mechanism.step)
        assert admin.create("user/alice")[0] == "OK"
        admin.setacl("user/alice", "admin", "lrswipkxtecda")
        message = b"Subject: hello\r\n\r\ngood morning\r\n"
        assert admin.append("user/alice", "", "", message)[0] == "OK"


def mbsync(site: Site, imapd: Imapd, resident: Resident) -> int:
    folder = resident.folder
    (folder / "mbsyncrc").write_text(
        f"""
IMAPAccount server
Host {HOST}
Port {imapd.port}
SSLType None
User {ALICE}
Pass none
AuthMechs {AES128}

IMAPStore far
Account server

MaildirStore near
Path {folder}/
Inbox {folder}/INBOX
SubFolders Verbatim

Channel inbox
Far :far:
Near :near:
Create Near
"""
    )
    command = ("mbsync", "-c", folder / "mbsyncrc", "inbox")
    # The agent knows the provider's name; libnss_wrapper in mbsync itself is more than that takes.
    own = set(resident.variables) - set(resident.provider.surroundings.variables)
    variables = {name: resident.variables[name] for name in own}
    done = run(command, env=variables | {"SASL_PATH": site.all_plugins})
    print(done.stdout)
    return done.returncode
