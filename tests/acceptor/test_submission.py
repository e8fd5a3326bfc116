"""Postfix, smtpd in its chroot as Debian has it, and Exim: without any plugin, as the pages say."""

from __future__ import annotations

import os
import pwd
import re
import signal
import smtplib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import pytest

from browserid_sasl.sasl.client import ClientMechanism
from tests.support import pages
from tests.support.acceptor import Daemon, Host, impatient
from tests.support.patience import wait_until
from tests.support.sample_programs import ALICE, ROOT
from tests.support.services import AES128, folder_for_all
from tests.support.submission import Exim, Postfix, Submission, log_in, relays

ACCOUNT = "nobody"
ELSEWHERE = "elsewhere.test"

Start = Callable[..., Daemon]


@dataclass
class Site:
    """A submission server, its acceptor, and what each says of a temporary failure.

    :param server: the submission server.
    :param host: the acceptor's.
    :param start: starts the acceptor.
    :param temporary: the reply's code.
    """

    server: Submission
    host: Host
    start: Start
    temporary: int

    def log_in(self, mechanism: ClientMechanism | None = None) -> int:
        """One login; the last reply's code."""
        with self.server.connection() as connection:
            return log_in(connection, mechanism or self.host.mechanism("smtp"))[0]


def read(page: str, replaced: dict[str, str]) -> str:
    """A page of the documentation.

    :param replaced: names that are others here.
    """
    text = (ROOT / "docs" / page).read_text()
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    return text


def configure(host: Host, page: str) -> None:
    """Write the acceptor's configuration in the words of a page."""
    [listener] = pages.blocks(page, "toml")
    account = pwd.getpwnam(ACCOUNT)
    (host.folder / "server").mkdir(mode=0o700)
    os.chown(host.folder / "server", account.pw_uid, account.pw_gid)
    # People of another domain have a provider that this host knows, too.
    pinned = f'[authorities."{ELSEWHERE}"]\nkeys_file = "{host.folder}/support.json"\n'
    host.configure(f"{listener}\n{pinned}", user=ACCOUNT)


def submission_service(page: str) -> str:
    """The options of the submission service, without TLS and who writes under which address."""
    options = re.findall(r"^  submission/inet/(\w+)=(\S*)", page, re.MULTILINE)
    assert {"smtpd_sasl_path", "smtpd_relay_restrictions"} < {name for name, _ in options}
    others = ("smtpd_tls_", "smtpd_sender_", "syslog_")
    lines = (f"{name} = {value}" for name, value in options if not name.startswith(others))
    return "\n".join(lines)


def authenticator(page: str) -> str:
    """Exim's authenticator, without TLS."""
    [found] = [text for text in pages.blocks(page, "conf") if "driver = dovecot" in text]
    lines = found.splitlines()
    kept = [line for line in lines if "server_advertise_condition" not in line]
    assert len(kept) == len(lines) - 1
    return "\n".join(kept)


@dataclass
class Served:
    """A submission server that runs.

    :param server: it.
    :param page: of the documentation, after which it was configured.
    :param temporary: the reply's code for a temporary failure.
    """

    server: Submission
    page: str
    temporary: int


@pytest.fixture(scope="module", params=["postfix", "exim"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    """No acceptor is running yet."""
    with folder_for_all() as folder:
        if request.param == "postfix":
            postfix = Postfix(folder)
            page = read("postfix.md", {"/var/spool/postfix": str(postfix.folder / "queue")})
            postfix.configure(submission_service(page))
            with postfix.running():
                yield Served(postfix, page, 454)
            return
        exim = Exim(folder)
        socket = str(folder / "exim-socket")
        page = read("exim.md", {"/run/browserid/exim": socket, "Debian-exim": Exim.GROUP})
        exim.configure(authenticator(page))
        with exim.running():
            yield Served(exim, page, 435)


@pytest.fixture
def site(served: Served, host: Host, start: Start) -> Site:
    """The submission server is running, the acceptor is not yet."""
    configure(host, served.page)
    return Site(served.server, host, partial(start, host), served.temporary)


def test_a_person_logs_in_with_a_key_and_then_by_ticket(site: Site) -> None:
    daemon = site.start()
    client = site.host.client("smtp")
    for how in ("certificate", "ticket"):
        with site.server.connection() as connection:
            assert log_in(connection, client.start_with(AES128))[0] == 235
            assert relays(connection)
        assert f"by={how} user=<{ALICE}>" in daemon.log
    assert "login succeeded: rip=127.0.0.1 service=smtp" in daemon.log


def test_a_client_that_waits_to_be_asked(site: Site) -> None:
    site.start()
    with site.server.connection() as connection:
        assert log_in(connection, site.host.mechanism("smtp"), initial=False)[0] == 235


def test_without_a_login_nothing_is_relayed(site: Site) -> None:
    site.start()
    with site.server.connection() as connection:
        assert not relays(connection)


def test_a_stranger_is_refused_and_relays_nothing(site: Site) -> None:
    daemon = site.start()
    stranger = site.host.realm.person(f"eve@{ELSEWHERE}")
    with site.server.connection() as connection:
        assert log_in(connection, site.host.mechanism("smtp", stranger))[0] == 535
        assert not relays(connection)
    line = "login refused: rip=127.0.0.1 service=smtp"
    assert line in daemon.log
    assert f"code=no-local-mapping claimed=<eve@{ELSEWHERE}>" in daemon.log


def test_of_many_replays_one_is_admitted(site: Site) -> None:
    site.start()
    mechanism = site.host.mechanism("smtp")
    message = mechanism.step(None)

    def replay(_: int) -> int:
        with site.server.connection() as connection:
            return log_in(connection, Parrot(mechanism, message))[0]

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(replay, range(8)))
    assert sorted(codes) == [235] + [535] * 7


class Parrot(ClientMechanism):
    """Says what somebody else has said.

    :param mechanism: its name is that of this one.
    :param message: what was said.
    """

    def __init__(self, mechanism: ClientMechanism, message: bytes) -> None:
        self.__name = mechanism.name
        self.__message = message

    @property
    def name(self) -> str:
        return self.__name

    def step(self, challenge: bytes | None = None) -> bytes:
        return self.__message if challenge is None else b""


@pytest.mark.parametrize("said", [b"\0alice\0secret", b"n,,c,", b"n,,c,x~y", b"\xff" * 900])
def test_whoever_says_something_else_is_refused(site: Site, said: bytes) -> None:
    daemon = site.start()
    assert site.log_in(Parrot(site.host.mechanism("smtp"), said)) == 535
    assert "login refused: rip=127.0.0.1" in daemon.log


def test_a_store_that_is_gone_is_a_temporary_failure(site: Site) -> None:
    daemon = site.start()
    store = site.host.folder / "server"
    assert site.log_in() == 235
    store.rename(store.with_name("away"))
    store.write_text("no folder")
    time.sleep(1.2)
    assert site.log_in() == site.temporary
    assert "login undecided: rip=127.0.0.1" in daemon.log
    assert "login refused" not in daemon.log
    store.unlink()
    store.with_name("away").rename(store)
    assert site.log_in() == 235


def test_without_an_acceptor_it_is_one_too_and_over_when_that_is_there(site: Site) -> None:
    assert first_word(site) in (site.temporary, 503)
    daemon = site.start()
    assert site.log_in() == 235
    daemon.kill()
    assert first_word(site) in (site.temporary, 503)
    site.start()
    assert site.log_in() == 235


def first_word(site: Site) -> int:
    """What a login comes to; Postfix without an acceptor hangs up, or offers none."""
    try:
        return site.log_in()
    except (smtplib.SMTPServerDisconnected, smtplib.SMTPConnectError):
        return site.temporary


def test_an_acceptor_that_dies_during_a_login(site: Site) -> None:
    daemon = site.start()

    def die() -> None:
        daemon.kill()

    with site.server.connection() as connection:
        code, _ = log_in(connection, site.host.mechanism("smtp"), before_answer=die)
        assert code == site.temporary
    site.start()
    assert site.log_in() == 235


def test_an_acceptor_that_hangs(site: Site) -> None:
    daemon = site.start(command=impatient(supervisor__HUNG_AFTER=4))

    def stop() -> None:
        for worker in daemon.workers():
            os.kill(worker, signal.SIGSTOP)

    with site.server.connection() as connection:
        code, _ = log_in(connection, site.host.mechanism("smtp"), before_answer=stop)
        assert code == site.temporary
    # The next begins with workers that are new, or about to be.
    wait_until(lambda: site.log_in() == 235, "a login")


def test_many_at_the_same_time(site: Site) -> None:
    site.start()
    person = site.host.realm.person()
    mechanisms = [site.host.mechanism("smtp", person) for _ in range(40)]
    with ThreadPoolExecutor(15) as pool:
        codes = list(pool.map(site.log_in, mechanisms))
    assert codes == [235] * 40


def test_a_reload_and_a_restart_in_between(site: Site) -> None:
    daemon = site.start()
    with site.server.connection() as connection:
        daemon.signal(signal.SIGHUP)
        assert log_in(connection, site.host.mechanism("smtp"))[0] == 235
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    site.start()
    assert site.log_in() == 235


def test_the_unit_and_the_filter_are_where_the_page_says() -> None:
    page = (ROOT / "docs" / "acceptor.md").read_text()
    for name in ("systemd/browserid-acceptor.service", "fail2ban/browserid-acceptor.conf"):
        assert f"contrib/{name}" in page
        assert (ROOT / "contrib" / name).exists()
