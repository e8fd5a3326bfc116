"""One assertion is good once, whoever presents it how often to which process."""

from __future__ import annotations

import multiprocessing
import signal
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from browserid_sasl import Client, Server
from browserid_sasl.cli.sample.framing import Reply
from browserid_sasl.config import Config
from browserid_sasl.errors import Code
from browserid_sasl.jose.keys import PrivateKey
from tests.support.sample_programs import Realm, Wire
from tests.support.site import Site

PROCESSES = 8
COPIES = 1000
NAME = "BROWSERID-AES128"


def present(config: Config, message: bytes, copies: int) -> list[str]:
    """Present copies of a first message to a server of this process; what became of each."""
    server = Server(config, "imap", "mail.example.com")
    outcomes = []
    for _ in range(copies):
        login = server.start(NAME, success_data=True)
        login.step(message)
        outcomes.append("accepted" if login.failure is None else login.failure.code.text)
    return outcomes


def test_of_a_thousand_copies_to_eight_processes_one_is_accepted(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.sign_in()
    for ticket_used in (False, True):
        client = Client(site.config, "imap", "mail.example.com").start_with(NAME)
        message = client.step()
        assert message.startswith(b"n,,c,~") == ticket_used
        with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
            share = COPIES // PROCESSES
            runs = [pool.submit(present, site.config, message, share) for _ in range(PROCESSES)]
            outcomes = [outcome for run in runs for outcome in run.result()]

        assert len(outcomes) == COPIES
        assert outcomes.count("accepted") == 1
        assert outcomes.count(Code.REPLAYED_ASSERTION.text) == COPIES - 1
        log_in_afresh(site)


def log_in_afresh(site: Site) -> None:
    """Get a ticket for what comes next."""
    client = Client(site.config, "imap", "mail.example.com").start_with(NAME)
    server = Server(site.config, "imap", "mail.example.com").start(NAME, success_data=True)
    client.step(server.step(client.step()))


def test_a_server_killed_right_after_its_answer_has_not_forgotten(tmp_path: Path) -> None:
    realm = Realm(tmp_path, PrivateKey.generate("ES256"))
    message = realm.client().start_with(NAME).step()
    with realm.server() as server, Wire(server.port) as wire:
        wire.string()
        wire.send(NAME.encode(), b"Y", message)
        reply, challenge = wire.reply()
        server.send_signal(signal.SIGKILL)
        assert reply is Reply.CONTINUE
        assert challenge.startswith(b"C,~")
        assert server.wait() == -signal.SIGKILL

    with realm.server() as server, Wire(server.port) as wire:
        wire.string()
        wire.send(NAME.encode(), b"Y", message)
        assert wire.reply()[0] is Reply.CONTINUE
        wire.send(b"")
        assert wire.reply()[0] is Reply.NO
        server.err.wait_for(r"the assertion was presented before.*")
