"""Contexts of GSS-API by ticket: by the module and the services, beside the Python library.

Both sides of a context are in one process: in C, where the agent and the acceptor are asked by the
module, and in Python, where the library does the same work in the process. Both keep tickets and
assertions in SQLite on the same disk. Measured in turns.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Final

from browserid_sasl.api import Client, Server
from browserid_sasl.config import load
from tests.support.gss import GssSite, build_gss_driver, installed_gss_site
from tests.support.sample_programs import DOMAIN, HOST

ROUNDS: Final = 7
CONTEXTS: Final = 100
"""In each round, after a tenth of them to warm up."""
SERVICE: Final = "rcmd"


def run() -> list[str]:
    """Measure, and give the table as lines of text."""
    with installed_gss_site() as site:
        module, library = _module(site), _library(site)
        rounds = [(module(), library()) for _ in range(ROUNDS)]
    ours, pythons = (median(times) for times in zip(*rounds, strict=True))
    ratio = ours / pythons
    return [
        f"contexts of both sides: module {ours:.2f} ms, Python library {pythons:.2f} ms",
        f"module / library: {ratio:.2f}, as it asks two services, each a process of its own",
    ]


def _module(site: GssSite) -> Callable[[], float]:
    """One round of the module's: ms for a context."""
    driver = build_gss_driver(site.folder)
    command = (driver, "-w", str(CONTEXTS // 10), "-n", str(CONTEXTS), f"{SERVICE}@{HOST}")

    def measure() -> float:
        done = site.run(*map(str, command))
        match = re.search(r"^took: (\d+) ms$", done.stdout, re.MULTILINE)
        if not match:
            raise RuntimeError(done.stdout[-1000:])
        return int(match[1]) / CONTEXTS

    return measure


def _library(site: GssSite) -> Callable[[], float]:
    """One round of the library's."""
    folders = {name: _new(site.folder / name) for name in ("directory", "server_directory")}
    places = {name: str(path) for name, path in folders.items()}
    stored = load(site.config_file).with_options(places, section="store")
    client = Client(stored, SERVICE, HOST, credentials=site.realm.person())
    server = Server(stored, SERVICE, HOST, allow=[DOMAIN])

    def measure() -> float:
        for _ in range(CONTEXTS // 10):
            _establish(client, server)
        began = time.perf_counter()
        for _ in range(CONTEXTS):
            _establish(client, server)
        return (time.perf_counter() - began) * 1000 / CONTEXTS

    return measure


def _new(folder: Path) -> Path:
    folder.mkdir(0o700)
    return folder


def _establish(client: Client, server: Server) -> None:
    ours, theirs = client.initiate(), server.accept()
    answer = theirs.step(ours.step() or b"")
    ours.step(answer)
    if not (ours.complete and theirs.complete):
        raise RuntimeError("a context is not established")
