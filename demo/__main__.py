"""An identity provider, one sign-in, two logins, a replay and a forgery, over real sockets.

Everything runs in a temporary folder, as an empty home, and is gone at the end. Exits with status 1
as soon as a step does not show what it has to.
"""

from __future__ import annotations

import json
import re
import secrets
import signal
import socket
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NoReturn

from browserid_sasl.cli.sample.framing import FrameReader, Reply, encode_string
from browserid_sasl.jose import b64
from demo.stage import PATIENCE, Running, Stage, StepFailedError, explain, headline, show

DOMAIN: Final = "example.test"
ALICE: Final = f"alice@{DOMAIN}"
MECHANISM: Final = "BROWSERID-AES128"
PORT: Final = 5556
HOUR_MS: Final = 3_600_000
WELCOME: Final = f"(successful authentication '{re.escape(ALICE)}')"

CONFIGURATION: Final = """\
[store]
directory = "alice"
server_directory = "server"

[discovery]
private_hosts = ["127.0.0.1"]

[authorities."{domain}"]
url = "{url}"
ca_file = "idp/tls/ca.pem"
"""


class Demonstration:
    """The steps, in their order.

    :param folder: empty.
    """

    def __init__(self, folder: Path, stage: Stage) -> None:
        self._folder = folder
        self._stage = stage
        self._password = secrets.token_urlsafe(16)

    def run(self) -> None:
        """Show it all.

        :raises StepFailedError: a step does not show what it has to.
        """
        provider = self._start_provider()
        self._sign_in()
        server, port = self._start_server()
        first = self._log_in(server, port)
        if "~" not in first.removeprefix("n,,c,~"):
            raise StepFailedError("the first login had no certificate")
        self._log_in_by_ticket(provider, server, port)
        self._replay(first, server, port)
        self._tamper(first, server, port)

    def _start_provider(self) -> Running:
        headline(f"An identity provider for {DOMAIN}")
        idp = ("--directory", "idp")
        self._stage.run("browserid-idp", "init", *idp, "--domain", DOMAIN, "--local-tls")
        self._stage.run(
            "browserid-idp", "add-user", *idp, "--password-fd", "0", ALICE, keyboard=self._password
        )
        provider = self._stage.start("idp", "browserid-idp", "serve", *idp, "--port", "0")
        url = provider.recording.wait_for(rf"serving {re.escape(DOMAIN)} at (https://\S+)")
        provider.show()
        configuration = CONFIGURATION.format(domain=DOMAIN, url=url)
        (self._folder / "browserid.toml").write_text(configuration)
        explain(
            f"For the other programs {DOMAIN} is at this address, and its TLS certificate good:"
        )
        show(configuration.splitlines()[-3:], "browserid.toml | ")
        return provider

    def _sign_in(self) -> None:
        headline("Alice signs in, once")
        self._stage.run("browserid", "login", "--password-fd", "0", ALICE, keyboard=self._password)
        explain(
            "Her key was made here and stays here. The provider has certified it; the server knows "
            "nothing of her yet."
        )

    def _start_server(self) -> tuple[Running, int]:
        headline("A server")
        port = _free_port()
        server = self._stage.start(
            "server",
            *("./sample_server.py", "-h", "localhost", "--listen", "127.0.0.1"),
            *("-p", str(port), "--quiet"),
        )
        server.recording.wait_for(f"(listening on .* port {port})")
        server.show()
        return server, port

    def _log_in(self, server: Running, port: int) -> str:
        """Log alice in by the sample client; her first message."""
        headline("Alice logs in with her certificate")
        return self._run_client(server, port)

    def _log_in_by_ticket(self, provider: Running, server: Running, port: int) -> None:
        headline("The identity provider stops, and alice logs in again")
        provider.stop()
        provider.show()
        message = self._run_client(server, port)
        if not message.startswith("n,,c,~") or message.count("~") != 1:
            raise StepFailedError("the second login did not use the ticket")
        explain(
            f"Nobody was asked: her message has {len(message)} octets and no certificate, but the "
            "ticket from the first login."
        )

    def _run_client(self, server: Running, port: int) -> str:
        lines = self._stage.run("./sample_client.py", "-p", str(port), "-m", MECHANISM, "localhost")
        server.recording.wait_for(WELCOME)
        server.show()
        sent = [line for line in lines if line.startswith("n,,c,")]
        if len(sent) != 1 or "successful authentication" not in lines:
            raise StepFailedError("the client did not show its message and its success")
        return sent[0]

    def _replay(self, message: str, server: Running, port: int) -> None:
        headline("An eavesdropper sends the first message of her first login again")
        _present(message, port)
        server.recording.wait_for("(presented before)")
        server.show()

    def _tamper(self, message: str, server: Running, port: int) -> None:
        headline("An eavesdropper sends it with an hour added to its time of expiry")
        _present(_with_later_expiry(message), port)
        server.recording.wait_for("(signature)")
        server.show()


def _with_later_expiry(message: str) -> str:
    certificate, assertion = message.rsplit("~", 1)
    header, payload, signature = assertion.split(".")
    claims = json.loads(b64.decode(payload, "the payload"))
    claims["exp"] += HOUR_MS
    forged = b64.encode(json.dumps(claims, separators=(",", ":")).encode())
    return f"{certificate}~{header}.{forged}.{signature}"


def _present(message: str, port: int) -> None:
    """Send a first message from nowhere, and see the server refuse it.

    :raises StepFailedError: it does not.
    """
    explain(f"{len(message)} octets to port {port}, by a socket and no program of this package:")
    show([message])
    frames = FrameReader()
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:

        def receive_reply() -> tuple[Reply, bytes]:
            while (reply := frames.read_reply()) is None:
                frames.feed(connection.recv(65536))
            return reply

        while frames.read_string() is None:
            frames.feed(connection.recv(65536))
        opening = (MECHANISM.encode(), b"Y", message.encode())
        connection.sendall(b"".join(map(encode_string, opening)))
        reply, _error_token = receive_reply()
        if reply is Reply.CONTINUE:
            connection.sendall(encode_string(b""))
            reply, _ = receive_reply()
    explain(f"The server's verdict: {reply.name}")
    if reply is not Reply.NO:
        raise StepFailedError("the server did not refuse")


def _free_port() -> int:
    for port in (PORT, 0):
        try:
            with socket.create_server(("127.0.0.1", port)) as taken:
                found: int = taken.getsockname()[1]
        except OSError:
            explain(f"Port {PORT} is taken by another program: using a free one instead.")
        else:
            return found
    raise StepFailedError("there is no free port")


def _stop(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def main() -> int:
    """Run the demonstration; the exit status."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        with TemporaryDirectory(prefix="browserid-demo-") as name:
            folder = Path(name)
            variables = {"BROWSERID_CONFIG": str(folder / "browserid.toml")}
            with Stage(folder, variables) as stage:
                Demonstration(folder, stage).run()
    except StepFailedError as error:
        print(f"\nThe demonstration failed: {error}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    headline("That was all of it. Nothing is left running, and the folder it ran in is gone.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
