"""Every option of `[verifier]`, from the file to what the service does; and the command's own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from browserid_sasl import get_assertion, load
from browserid_sasl.verifier.cli import main
from tests.support.patience import PATIENCE
from tests.support.ports import free_port
from tests.support.site import Site
from tests.support.verifier import RunningVerifier, write_certificate

ORIGIN = "https://site.test"


class Place:
    """A folder with a configuration file, a certificate, and somebody who has signed in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site = Site(folder)
        self.site.sign_in()
        assert self.site.config  # writes the document that is pinned
        self.both, self.anchor = write_certificate(folder)
        self.file = folder / "browserid.toml"

    def configure(self, *options: str, tls: bool = True) -> None:
        """Write the file."""
        here = ["port = 0"]
        if tls:
            here += ['tls_certificate = "tls.pem"', 'tls_key = "tls.pem"']
        given = {option.partition(" = ")[0] for option in options}
        lines = [line for line in here if line.partition(" = ")[0] not in given]
        self.file.write_text(
            "\n".join(
                [
                    '[store]\ndirectory = "client"\nserver_directory = "server"',
                    '[authorities."idp.test"]\nkeys_file = "support.json"',
                    "[verifier]",
                    *lines,
                    *options,
                    "",
                ]
            )
        )

    @contextmanager
    def served(self, *arguments: str) -> Iterator[RunningVerifier]:
        """Run the command with the file."""
        program = Path(sys.executable).with_name("browserid-verifier")
        command = [str(program), "--config", str(self.file), *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout
                line = process.stdout.readline()
                assert line.startswith("verifying at https://"), line
                yield RunningVerifier(line.split()[-1].removesuffix("/verify"), self.anchor)
            finally:
                process.terminate()
        assert process.returncode in (0, -15)

    def assertion(self) -> str:
        return get_assertion(ORIGIN, load(self.file))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.option("verifier.listen", "verifier.port")
def test_the_place(place: Place) -> None:
    place.configure('listen = "127.0.0.9"')
    with place.served() as verifier:
        assert verifier.url.startswith("https://127.0.0.9:")
    port = free_port()
    place.configure(f"port = {port}")
    with place.served() as verifier:
        assert verifier.url == f"https://127.0.0.1:{port}"
        assert verifier.judge(place.assertion(), ORIGIN)["status"] == "okay"


@pytest.mark.option("verifier.tls_certificate", "verifier.tls_key")
def test_the_certificate(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.configure('tls_certificate = "chain.pem"', 'tls_key = "key.pem"')
    for name in ("chain.pem", "key.pem"):
        (place.folder / name).write_bytes(place.both.read_bytes())
        (place.folder / name).chmod(0o600)
    place.both.unlink()
    with place.served() as verifier:
        assert verifier.judge(place.assertion(), ORIGIN)["status"] == "okay"
    place.configure(tls=False)
    assert main(["--config", str(place.file)]) == os.EX_CONFIG
    assert "no TLS certificate" in capsys.readouterr().err


@pytest.mark.option("verifier.remember")
def test_what_was_verified_is_refused_from_then_on(place: Place) -> None:
    place.configure("remember = true")
    assertion = place.assertion()
    with place.served() as verifier:
        assert verifier.judge(assertion, ORIGIN)["status"] == "okay"
    with place.served() as verifier:
        assert "presented before" in verifier.judge(assertion, ORIGIN)["reason"]
    with place.served("--forget") as verifier:
        assert verifier.judge(assertion, ORIGIN)["status"] == "okay"


@pytest.mark.option(
    "verifier.max_connections", "verifier.max_connections_per_client", "verifier.proxies"
)
def test_there_are_as_many_connections_as_it_says(place: Place) -> None:
    place.configure(
        "max_connections = 4", "max_connections_per_client = 2", 'proxies = ["127.0.0.4"]'
    )
    with place.served() as verifier, ExitStack() as open_ones:
        port = int(verifier.url.rpartition(":")[2])

        def connect(address: str) -> socket.socket:
            return open_ones.enter_context(
                socket.create_connection(("127.0.0.1", port), PATIENCE, source_address=(address, 0))
            )

        silent = [connect("127.0.0.2") for _ in range(3)]
        assert silent[2].recv(1) == b""
        proxied = [connect("127.0.0.4") for _ in range(3)]
        # One more than there may be in all: the one that waited for longest went.
        assert silent[0].recv(1) == b""
        proxied[2].settimeout(0.2)
        with pytest.raises(TimeoutError):
            proxied[2].recv(1)
        assert verifier.judge(place.assertion(), ORIGIN)["status"] == "okay"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--tls-key", "tls.pem"], os.EX_USAGE, "--tls-key needs --tls-certificate"),
        (["--tls-certificate", "nowhere.pem"], os.EX_CONFIG, "cannot be read"),
        (["--port", "70000"], os.EX_USAGE, "70000"),
        (["--listen", "192.0.2.1"], os.EX_CONFIG, "cannot listen on 192.0.2.1"),
    ],
)
def test_what_does_not_work(
    place: Place,
    arguments: list[str],
    status: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place.configure()
    assert main(["--config", str(place.file), *arguments]) == status
    assert said in capsys.readouterr().err
