"""The sample programs of Cyrus SASL itself, compiled from Debian's libsasl2-dev, against ours.

Without the plugin Cyrus's programs do not have our mechanisms, so what is compared here, octet
for octet, is what goes over the wire before the mechanism's own messages, and how both end.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from browserid_sasl.cli.sample.framing import Reply
from tests.support.patience import PATIENCE, wait_until
from tests.support.ports import listens
from tests.support.sample_programs import Lines, Realm, Wire

EXAMPLES = Path("/usr/share/doc/libsasl2-dev/examples")
OFFER = "BROWSERID-AES128 BROWSERID-AES256"
FAILED = 255


@pytest.fixture(scope="module")
def cyrus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Cyrus's `client` and `server`."""
    assert (EXAMPLES / "client.c").exists(), "the Debian package libsasl2-dev has to be installed"
    folder = tmp_path_factory.mktemp("cyrus")
    for name in ("client.c", "server.c", "common.c", "common.h", "config.h"):
        shutil.copy(EXAMPLES / name, folder)
    # Without this feature the server does not need the GSS-API library.
    feature = "#define HAVE_GSS_GET_NAME_ATTRIBUTE 1\n"
    config = (folder / "config.h").read_text()
    assert feature in config
    (folder / "config.h").write_text(config.replace(feature, ""))
    options = ["-w", "-I.", "-I/usr/include/sasl", "-Wl,--as-needed"]
    for program in ("client", "server"):
        sources = [f"{program}.c", "common.c"]
        subprocess.run(
            ["gcc", *options, "-o", program, *sources, "-lsasl2"], cwd=folder, check=True
        )
    return folder


def run_cyrus_client(folder: Path, *arguments: str, port: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [folder / "client", "-p", str(port), *arguments, "localhost"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


class TestCyrusClient:
    def test_reads_our_offer_and_misses_the_mechanism_it_needs(
        self, cyrus: Path, realm: Realm
    ) -> None:
        with realm.server() as server:
            client = run_cyrus_client(cyrus, "-m", "SCRAM-SHA-256", port=server.port)
            said = server.out.wait_for("closing connection")
        assert client.stdout == (
            f"receiving capability list... recv: {{{len(OFFER)}}}\n{OFFER}\n{OFFER}\n"
            "server doesn't offer mandatory mech 'SCRAM-SHA-256'\nclosing connection\n"
        )
        assert said == (
            f"accepted new connection\nsend: {{{len(OFFER)}}}\n{OFFER}\n"
            "client didn't choose mechanism\nclosing connection\n"
        )

    def test_and_ours_say_and_do_the_same_there(self, cyrus: Path, realm: Realm) -> None:
        with realm.server() as server:
            theirs = run_cyrus_client(cyrus, "-m", "SCRAM-SHA-256", port=server.port)
            ours = realm.run_client("-m", "SCRAM-SHA-256", port=server.port)
        assert ours.stdout == theirs.stdout
        assert ours.returncode == theirs.returncode == FAILED

    def test_has_no_mechanism_of_ours_and_says_so_as_ours_does(
        self, cyrus: Path, realm: Realm
    ) -> None:
        with realm.server() as server:
            client = run_cyrus_client(cyrus, port=server.port)
        assert client.stderr == "starting SASL negotiation: no mechanism available"
        assert client.returncode == FAILED

    def test_without_a_server_ends_as_ours_does(
        self, cyrus: Path, realm: Realm, unused_port: int
    ) -> None:
        theirs = run_cyrus_client(cyrus, port=unused_port)
        ours = realm.run_client(port=unused_port)
        assert ours.stderr == theirs.stderr == "connect: Connection refused\n"
        assert ours.returncode == theirs.returncode == os.EX_UNAVAILABLE


class TestCyrusServer:
    def test_lists_mechanisms_that_ours_reads(
        self, cyrus: Path, realm: Realm, unused_port: int
    ) -> None:
        with cyrus_server(cyrus, unused_port, "-m", "SCRAM-SHA-256") as said:
            ours = realm.run_client(port=unused_port)
            theirs = said.wait_for("closing connection")
        assert ours.stdout == (
            "receiving capability list... recv: {13}\nSCRAM-SHA-256\nSCRAM-SHA-256\n"
            "closing connection\n"
        )
        assert ours.stderr.startswith("starting SASL negotiation: no mechanism available\n")
        assert ours.returncode == FAILED
        assert theirs == (
            "accepted new connection\nsend: {13}\nSCRAM-SHA-256\n"
            "client didn't choose mechanism\nclosing connection\n"
        )

    @pytest.mark.parametrize(
        "strings",
        [
            [b""],
            [b"PLAIN"],
            [b"BROWSERID-AES128", b"YY"],
            [b"BROWSERID-AES128", b"N"],
        ],
    )
    def test_answers_with_the_same_octets_as_ours(
        self, cyrus: Path, realm: Realm, unused_port: int, strings: list[bytes]
    ) -> None:
        """Their server can be told to offer a mechanism that it does not have."""
        mechanism = ("-m", "BROWSERID-AES128")
        with cyrus_server(cyrus, unused_port, *mechanism), realm.server(*mechanism) as server:
            theirs, ours = (conversation(port, strings) for port in (unused_port, server.port))
        if strings[-1] == b"N":
            # Here ours goes on where theirs finds that it does not know the mechanism.
            assert ours == (b"BROWSERID-AES128", (Reply.CONTINUE, b""))
        else:
            assert ours == theirs
        assert theirs == (b"BROWSERID-AES128", (Reply.NO, b""))


def conversation(port: int, strings: list[bytes]) -> tuple[bytes, tuple[Reply, bytes]]:
    """What a server sends before and after these strings."""
    with Wire(port) as wire:
        offer = wire.string()
        wire.send(*strings)
        return offer, wire.reply()


@contextmanager
def cyrus_server(folder: Path, port: int, *arguments: str) -> Iterator[Lines]:
    """Run Cyrus's server on a port; what it writes to standard output."""
    process = subprocess.Popen(
        ["stdbuf", "-oL", folder / "server", "-h", "localhost", "-p", str(port), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said, complained = Lines(process.stdout), Lines(process.stderr)
    try:
        wait_until(lambda: listens(port), "listening")
        yield said
    finally:
        process.terminate()
        process.wait(PATIENCE)
        said.wait_for_end()
        complained.wait_for_end()
