"""Mails that come back: which ones say that an address cannot be delivered to."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from browserid_sasl.errors import Code
from browserid_sasl.idp.bounces import MAX_SIZE, is_failure, token_of
from browserid_sasl.idp.mail_limits import BOUNCED_MS, MINUTE_MS
from tests.support.fallback import FALLBACK, NOBODY, RunningFallback, running_fallback
from tests.support.patience import PATIENCE
from tests.support.refusal import refused

Run: TypeAlias = Callable[..., dict[str, object]]

REPORT = """\
From: MAILER-DAEMON@mx.test
To: {to}
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: {type}; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

Sorry.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.test

Final-Recipient: rfc822; alice@nobody.test
Action: {action}
Status: {status}

--b--
"""


def report(
    action: str = "failed",
    status: str = "5.1.1",
    type: str = "multipart/report",
    to: str = "somebody@x.test",
) -> bytes:
    return REPORT.format(action=action, status=status, type=type, to=to).encode()


@pytest.mark.parametrize(
    ("octets", "failure"),
    [
        (report(), True),
        (report().replace(b"\n", b"\r\n"), True),
        (report("Failed", "5.7.26 (blocked)"), True),
        (report("failed", "4.4.7"), False),
        (report("delayed", "4.4.1"), False),
        (report("delivered", "2.0.0"), False),
        (report(type="multipart/mixed"), False),
        (b"Subject: I am on holiday\n\nAction: failed\nStatus: 5.1.1\n", False),
        (b"", False),
        (b"\xff\x00" * 10_000, False),
        (b"Content-Type: multipart/report; boundary=b\n\n" + b"--b\n" * 50_000, False),
        (b" " * MAX_SIZE + report(), False),
    ],
)
def test_what_is_a_failure(octets: bytes, failure: bool) -> None:
    assert is_failure(octets) is failure


@pytest.mark.parametrize("recipient", ["", "bounces@x.test", "bounces+@x.test", "x"])
def test_an_address_without_a_token(recipient: str) -> None:
    with refused(Code.INVALID_PARAMETER):
        token_of(recipient)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[RunningFallback]:
    with running_fallback(tmp_path / "provider") as site:
        yield site


def asked_again(site: RunningFallback, later: int) -> bool:
    """Whether an address would get a mail that is asked for some ms later."""
    return site.fallback.limits.ask(NOBODY, "192.0.2.1", site.clock.now + later) is not None


def test_an_address_that_cannot_be_delivered_to_gets_none_for_a_week(
    site: RunningFallback,
) -> None:
    limits, now = site.fallback.limits, site.clock.now
    token = limits.ask(NOBODY, "192.0.2.1", now) or ""
    assert limits.bounced(token.upper(), now) == NOBODY
    assert not asked_again(site, 2 * MINUTE_MS)
    assert not asked_again(site, BOUNCED_MS - 1)
    assert asked_again(site, BOUNCED_MS)


@pytest.mark.parametrize("token", ["", "x", "0" * 32, "\0", "9" * 10_000])
def test_a_token_of_no_mail_blocks_nobody(site: RunningFallback, token: str) -> None:
    limits = site.fallback.limits
    assert limits.bounced(token, site.clock.now) is None
    assert asked_again(site, 0)


def test_it_does_not_shorten_a_wish_for_no_mail(site: RunningFallback) -> None:
    limits, now = site.fallback.limits, site.clock.now
    token = limits.ask(NOBODY, "192.0.2.1", now) or ""
    limits.not_me(NOBODY, "192.0.2.1", now)
    limits.bounced(token, now)
    assert not asked_again(site, BOUNCED_MS)


class TestCommand:
    """`browserid-idp bounce`, as a mail server's pipe runs it, and `allow-mail`."""

    @pytest.fixture
    def run(self, site: RunningFallback, tmp_path: Path) -> Iterator[Run]:
        file = tmp_path / "browserid.toml"
        file.write_text(
            f'[idp]\nfallback = true\ndirectory = "{site.running.folder.path}"\n'
            f'mail_bounces = "bounces@{FALLBACK}"\n'
        )

        def run(*arguments: str, octets: bytes = b"") -> dict[str, object]:
            command = str(Path(sys.executable).with_name("browserid-idp"))
            done = subprocess.run(
                [command, *arguments[:1], "--config", str(file), "--json", *arguments[1:]],
                input=octets,
                capture_output=True,
                timeout=PATIENCE,
                check=False,
            )
            result: dict[str, object] = json.loads(done.stdout or b"{}")
            return result | {"status": done.returncode}

        yield run

    def test_takes_in_what_has_come_back(self, site: RunningFallback, run: Run) -> None:
        token = site.fallback.limits.ask(NOBODY, "192.0.2.1", site.clock.now) or ""
        to = site.fallback.envelope_sender(token)
        assert run("bounce", to, octets=report("delayed", "4.4.1"))["identity"] == ""
        assert asked_again(site, 2 * MINUTE_MS)
        assert run("bounce", to, octets=report(to=to))["identity"] == NOBODY
        assert not asked_again(site, 4 * MINUTE_MS)
        assert "mail-bounced" in site.running.audit_log()

    def test_and_an_administrator_undoes_it(self, site: RunningFallback, run: Run) -> None:
        site.fallback.limits.not_me(NOBODY, "192.0.2.1", site.clock.now)
        assert run("allow-mail", NOBODY)["identity"] == NOBODY
        assert asked_again(site, 0)
        assert run("allow-mail", NOBODY)["status"] == 1

    def test_nobody_is_invited_to_it(self, run: Run) -> None:
        assert run("invite", NOBODY)["status"] == 78
