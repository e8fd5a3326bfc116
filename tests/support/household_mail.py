"""A mail server that people with an account at a household's provider log in to, and their program.

Cyrus imapd and its acceptor are one for many households: the acceptor believes one at a time, and
lives in its time.
"""

from __future__ import annotations

import re
import shutil
import smtplib
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, TypeAlias

from tests.support.configured import toml
from tests.support.household import Household
from tests.support.patience import wait_until
from tests.support.provider import DOMAIN
from tests.support.resident import Resident, running
from tests.support.sample_programs import Lines
from tests.support.services import (
    AES128,
    HOST,
    Imapd,
    Installation,
    Site,
    Syslog,
    folder_for_all,
)

_REFUSED: Final = "Error performing SASL authentication step"
Process: TypeAlias = AbstractContextManager[subprocess.Popen[str]]


class MailServer:
    """Cyrus imapd, where everybody who logs in has a mailbox.

    :param site: whose acceptor it asks.
    :param syslog: where it logs.
    :param options: of the acceptor's configuration, besides those of a household.
    :param domain: whose people are let in, as users without it.
    """

    def __init__(
        self,
        site: Site,
        syslog: Syslog,
        options: Mapping[str, object] | None = None,
        domain: str = DOMAIN,
    ) -> None:
        self._site = site
        self._syslog = syslog
        self._options = options or {}
        self._household: Household | None = None
        whose = {"sasl_browserid_allow": domain, "sasl_browserid_strip_domain": domain}
        made = {"autocreate_quota": "0", "autocreate_post": "yes"}
        self.imapd = Imapd(site, options=made | whose)

    def believe(self, household: Household) -> None:
        """Let in the people of a household's domain, and nobody else any more.

        Who has signed out or was revoked is refused within a minute.
        """
        if household is self._household:
            return
        self._site.stop_acceptor()
        self._site.config_file.write_text(self._configuration(household))
        # A jump of the clock is none of the time that goes by.
        variables = household.surroundings.variables | {"DONT_FAKE_MONOTONIC": "1"}
        self._site.start_acceptor(**variables)
        self._household = household

    def _configuration(self, household: Household) -> str:
        store = self._site.folder / f"store-{household.port}"
        if not store.exists():
            self._site.give(store, 0o700, self._site.ACCEPTOR_ACCOUNT)
        authority = self._site.folder / f"authority-{household.port}.pem"
        shutil.copy(household.authority.file, authority)
        options: dict[str, object] = {
            f'authorities."{DOMAIN}".url': household.url,
            f'authorities."{DOMAIN}".ca_file': str(authority),
            "store.server_directory": str(store),
            "server.revocations": "required",
        }
        return toml(options | dict(self._options)) + self._site.acceptor_sections

    def deliver(self, email: str, text: str) -> None:
        """Put a message into somebody's mailbox."""
        with smtplib.LMTP(str(self.imapd.lmtp)) as lmtp:
            local = email.partition("@")[0]
            lmtp.sendmail("sender@elsewhere.test", [local], f"Subject: hello\r\n\r\n{text}\r\n")

    def admits(self, resident: Resident, email: str) -> bool:
        """Whether somebody's mbsync logs in and fetches their mail; what it logs says the same."""
        self.believe(resident.provider)
        mark = self._syslog.mark()
        with self.program(resident, *self.mbsync(resident, email)) as program:
            said = Lines(program.stdout)
            wait_until(lambda: program.poll() is not None or _REFUSED in str(said), "mbsync")
            admitted = program.poll() == 0
            # It does not end by itself when it is refused in the middle.
            program.kill()
            said.wait_for_end()
        print(said)
        local = re.escape(email.partition("@")[0])
        logged_in = rf"login: .* {local} {AES128} User logged in"
        if admitted:
            self._syslog.wait_for(logged_in, mark)
        else:
            log = self._syslog.text(mark)
            assert re.search(logged_in, log) is None, log
            assert "signaled to death" not in log
            assert str(said), "it was refused without a word"
        return admitted

    @contextmanager
    def program(self, resident: Resident, *command: str | Path) -> Iterator[subprocess.Popen[str]]:
        """Somebody's program that loads the plugin and has their agent log it in."""
        # The agent knows the provider's name and the time; in these programs both are ours.
        own = set(resident.variables) - set(resident.provider.surroundings.variables)
        variables = {name: resident.variables[name] for name in own}
        with running(
            command, variables | {"SASL_PATH": self._site.all_plugins, "TERM": "dumb"}
        ) as process:
            yield process

    def mbsync(self, resident: Resident, email: str) -> tuple[str | Path, ...]:
        """The command that fetches somebody's mail."""
        file = resident.folder / "mbsyncrc"
        file.write_text(_MBSYNCRC.format(port=self.imapd.port, email=email, folder=resident.folder))
        return ("mbsync", "-c", file, "inbox")

    def imtest(self, resident: Resident, email: str) -> Process:
        """Cyrus's own client for IMAP."""
        return self._cyrus(resident, "imtest", self.imapd.port, email)

    def cyradm(self, resident: Resident, email: str) -> Process:
        """Cyrus's shell for those who look after mailboxes, be it their own."""
        options = ("--auth", AES128, "--user", email, "--port", str(self.imapd.port))
        return self.program(resident, "cyradm", *options, HOST)

    def sivtest(self, resident: Resident, email: str) -> Process:
        """Cyrus's own client for ManageSieve."""
        return self._cyrus(resident, "sivtest", self.imapd.sieve_port, email)

    def _cyrus(self, resident: Resident, name: str, port: int, email: str) -> Process:
        options = ("-m", AES128, "-a", email, "-p", str(port))
        return self.program(resident, Imapd.PROGRAMS / name, *options, HOST)


_MBSYNCRC = f"""
IMAPAccount server
Host {HOST}
Port {{port}}
SSLType None
User {{email}}
Pass none
AuthMechs {AES128}

IMAPStore far
Account server

MaildirStore near
Path {{folder}}/
Inbox {{folder}}/INBOX
SubFolders Verbatim

Channel inbox
Far :far:
Near :near:
Create Near
"""


@contextmanager
def mail_server(
    installation: Installation,
    syslog: Syslog,
    options: Mapping[str, object] | None = None,
    domain: str = DOMAIN,
) -> Iterator[MailServer]:
    """A mail server until the end of the block. For the parameters see `MailServer`."""
    with folder_for_all() as folder, Site(installation, folder, "cyrus").accepting() as site:
        server = MailServer(site, syslog, options, domain)
        with server.imapd.running():
            yield server
