"""An identity provider, a sign-in, two logins, a replay, a forgery, a stranger, over real sockets;
and a server and a client that are nobody's of this project.

Everything runs in a temporary folder, as an empty home, and is gone at the end. Exits with status 1
as soon as a step does not show what it has to.
"""

from __future__ import annotations

import json
import re
import secrets
import socket
import sys
import time
from pathlib import Path
from typing import Final

from browserid_sasl.cli.sample.framing import FrameReader, Reply, encode_string
from browserid_sasl.cli.sample.options import NOT_AUTHENTICATED
from browserid_sasl.jose import b64
from demo import headless
from demo.performance import authority_of, free_port, perform
from demo.stage import (
    PATIENCE,
    ROOT,
    Program,
    Stage,
    StepFailedError,
    explain,
    headline,
    show,
)
from demo.visitor import Visitor

DOMAIN: Final = "example.test"
ALICE: Final = f"alice@{DOMAIN}"
STRANGERS_DOMAIN: Final = "stranger.test"
MALLORY: Final = f"mallory@{STRANGERS_DOMAIN}"
MECHANISM: Final = "BROWSERID-AES128"
PORT: Final = 5556
PROVIDER_PORT: Final = 8443
HOUR_MS: Final = 3_600_000
WELCOME: Final = f"^successful authentication '{re.escape(ALICE)}'$"

CONFIGURATION_FILE: Final = "browserid.toml"
STRANGERS_FILE: Final = "stranger.toml"
CONFIGURATION: Final = f"""\
[server]
allow = ["{DOMAIN}"]

[store]
directory = "alice"
server_directory = "server"

[idp]
directory = "idp"
"""
PUBLIC: Final = """\
port = {port}
public_url = "{url}"
"""
LISTENER: Final = """
[listeners."{socket}"]
services = ["svn"]
"""
PLUGINS: Final = "plugins"
SASL_CONFIGURATION: Final = """\
mech_list: BROWSERID-AES128
browserid_socket: {socket}
browserid_audiences: svn/localhost
"""
SVNSERVE_CONFIGURATION: Final = f"""\
[general]
anon-access = none
auth-access = write
realm = {DOMAIN}
[sasl]
use-sasl = true
"""
STRANGERS_CONFIGURATION: Final = """\
[store]
directory = "mallory"

[idp]
directory = "strangers-idp"
"""


class Demonstration:
    """The steps, in their order.

    :param folder: empty.
    :param uses_browser: whether to sign in in a browser on this machine.
    """

    def __init__(self, folder: Path, stage: Stage, *, uses_browser: bool) -> None:
        self._folder = folder
        self._uses_browser = uses_browser
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
        self._log_in_by_ticket(provider, server, port)
        self._replay(first, server, port)
        self._tamper(first, server, port)
        server.stop()
        self._refuse_stranger()
        self._build_plugin()
        self._start_services()
        self._log_in_to_subversion()

    def _start_provider(self) -> Program:
        headline(f"1. An identity provider for {DOMAIN} starts")
        self._append(CONFIGURATION, CONFIGURATION_FILE)
        self._stage.run("browserid-idp", "init", "--domain", DOMAIN, "--local-tls")
        self._stage.run(
            "browserid-idp", "add-user", "--password-fd", "0", ALICE, keyboard=self._password
        )
        port = free_port(PROVIDER_PORT)
        # No name leads there, and browsers permit no passkeys at an address of numbers.
        url = f"https://localhost:{port}"
        self._append(PUBLIC.format(port=port, url=url), CONFIGURATION_FILE)
        provider = self._stage.start("idp", "browserid-idp", "serve")
        authority = authority_of(provider, DOMAIN, "idp", url)
        self._append(authority, CONFIGURATION_FILE)
        explain("As no domain name leads there, the other programs are told where it is:")
        show(authority.splitlines(), f"{CONFIGURATION_FILE} | ")
        return provider

    def _append(self, text: str, *names: str) -> None:
        """Add a section to configuration files."""
        for name in names:
            with (self._folder / name).open("a") as file:
                file.write(f"{text}\n")

    def _sign_in(self) -> None:
        headline("2. Alice signs in to it, once")
        if self._uses_browser:
            self._sign_in_in_browser()
        else:
            self._sign_in_on_device()
        explain(
            "Her key was made here and stays here. The provider has certified it; the server knows "
            "nothing of her yet."
        )

    def _sign_in_in_browser(self) -> None:
        login = self._stage.start("login", "browserid", "login", "--browser", ALICE)
        link = login.wait_for(r"^  (https://\S+)$")[1]
        login.show()
        explain("A browser without a window opens the page. She types her password, and is asked:")
        authority = self._folder / "idp" / "tls" / "ca.pem"
        show([headless.allow(link, self._password, self._folder / "browser", authority)])
        explain("She presses Allow, and the browser goes back to the program with a code.")
        self._finish(login)

    def _sign_in_on_device(self) -> None:
        explain("There is no browser here that can be told what to do: another device has one.")
        login = self._stage.start("login", "browserid", "login", "--device", ALICE)
        link = login.wait_for(r"^  (https://\S+)$")[1]
        login.wait_for(r"^The code is ")
        login.show()
        explain("This demonstration stands for it: it opens the page, signs in, and is asked:")
        phone = Visitor(self._folder / "idp" / "tls" / "ca.pem")
        phone.open(link)
        phone.press("Continue", email=ALICE)
        phone.press("Sign in with the password", password=self._password)
        phone.press("Continue")
        show([phone.headline])
        phone.press("Allow")
        explain("It presses Allow. The program hears of it when it asks the next time:")
        self._finish(login)

    def _finish(self, login: Program) -> None:
        login.wait_for(f"^signed in as {re.escape(ALICE)}")
        login.show()

    def _start_server(self) -> tuple[Program, int]:
        headline("3. A server starts, and alice logs in with her certificate")
        explain(f"Who may log in to it is in {CONFIGURATION_FILE}:")
        show(CONFIGURATION.splitlines()[:2], f"{CONFIGURATION_FILE} | ")
        return self._serve()

    def _serve(self) -> tuple[Program, int]:
        port = free_port(PORT)
        server = self._stage.start(
            "server",
            *("./sample_server.py", "-h", "localhost", "--listen", "127.0.0.1"),
            *("-p", str(port), "--quiet"),
        )
        server.wait_for(f"^listening on .* port {port}$")
        server.show()
        return server, port

    def _log_in(self, server: Program, port: int) -> str:
        """Log alice in by her certificate; her first message."""
        message = self._run_client(server, port)
        if not re.fullmatch(r"n,,c,[^~]+~[^~]+", message):
            raise StepFailedError("the first login had no certificate")
        return message

    def _log_in_by_ticket(self, provider: Program, server: Program, port: int) -> None:
        headline("4. The identity provider stops, and alice logs in again")
        provider.stop()
        provider.show()
        explain(f"The identity provider has stopped, with status {provider.status}.")
        message = self._run_client(server, port)
        if not re.fullmatch(r"n,,c,~[^~]+", message):
            raise StepFailedError("the second login did not use the ticket")
        explain(
            f"Nobody was asked: her message has {len(message)} octets and no certificate, but the "
            "ticket that the first login gave her."
        )

    def _run_client(self, server: Program, port: int) -> str:
        lines = self._stage.run(
            "./sample_client.py", "--show-tokens", "-p", str(port), "-m", MECHANISM, "localhost"
        )
        server.wait_for(WELCOME)
        _show_connection(server)
        sent = [line for line in lines if line.startswith("n,,c,")]
        if len(sent) != 1 or "successful authentication" not in lines:
            raise StepFailedError("the client did not show its message and its success")
        return sent[0]

    def _replay(self, message: str, server: Program, port: int) -> None:
        headline("5. An eavesdropper sends the first message of her first login again")
        _present(message, port)
        server.wait_for("presented before")
        _show_connection(server)

    def _tamper(self, message: str, server: Program, port: int) -> None:
        headline("6. An eavesdropper sends it with an hour added to its time of expiry")
        _present(_with_later_expiry(message), port)
        server.wait_for("signature")
        _show_connection(server)

    def _refuse_stranger(self) -> None:
        headline(f"7. Mallory signs in at an identity provider of her own, {STRANGERS_DOMAIN}")
        self._append(STRANGERS_CONFIGURATION, STRANGERS_FILE)
        with_hers = ("--config", STRANGERS_FILE)
        password = ("--password-fd", "0")
        init = ("init", *with_hers, "--domain", STRANGERS_DOMAIN, "--local-tls")
        self._stage.run("browserid-idp", *init)
        add_user = ("add-user", *with_hers, *password, MALLORY)
        self._stage.run("browserid-idp", *add_user, keyboard=self._password)
        serve = ("serve", *with_hers, "--port", "0")
        provider = self._stage.start("strangers-idp", "browserid-idp", *serve)
        authority = authority_of(provider, STRANGERS_DOMAIN, "strangers-idp")
        self._append(authority, STRANGERS_FILE, CONFIGURATION_FILE)
        login = ("login", *with_hers, *password, MALLORY)
        self._stage.run("browserid", *login, keyboard=self._password)
        explain("All of that is genuine, and the server knows where to ask. It is started anew:")
        server, port = self._serve()
        arguments = (*with_hers, "-p", str(port), "-m", MECHANISM, "localhost")
        self._stage.run("./sample_client.py", *arguments, status=NOT_AUTHENTICATED)
        server.wait_for(f"^{re.escape(MALLORY)} may not log in")
        _show_connection(server)
        explain("Everybody can have a domain. Who may log in, the server has to be told.")

    def _build_plugin(self) -> None:
        headline("8. Subversion, as Debian has it, gets a plugin of 60 KB that holds no protocol")
        agent = Path(sys.executable).with_name("browserid-agent")
        folders = (f"BUILD={self._folder / PLUGINS}", f"PYTHON={sys.executable}", f"AGENT={agent}")
        self._stage.run("make", "-s", "-C", str(ROOT / "plugin"), *folders)

    def _start_services(self) -> None:
        socket = self._folder / "acceptor"
        self._append(LISTENER.format(socket=socket), CONFIGURATION_FILE)
        acceptor = self._stage.start(
            "acceptor", "browserid-acceptor", "--config", CONFIGURATION_FILE
        )
        acceptor.wait_for(": ready, ")
        agent = self._stage.start("agent", "browserid-agent")
        agent.wait_for("^listening on ")
        explain("What decides about logins runs in one place, and so does what holds alice's key:")
        for service in (acceptor, agent):
            service.show()
        self._acceptor = acceptor
        (self._folder / "sasl").mkdir()
        self._append(SASL_CONFIGURATION.format(socket=socket), "sasl/svn.conf")

    def _log_in_to_subversion(self) -> None:
        self._stage.run("svnadmin", "create", "repository")
        (self._folder / "repository/conf/svnserve.conf").write_text(SVNSERVE_CONFIGURATION)
        port = str(free_port(3690))
        listen = ("--listen-host", "localhost", "--listen-port", port)
        self._stage.start("svnserve", "svnserve", "-d", "--foreground", *listen, "-r", ".")
        _wait_until_it_listens(int(port))
        explain("Subversion insists on some password. Nobody looks at it.")
        svn = ("--non-interactive", "--no-auth-cache", "--password", "unused", "--username")
        url = f"svn://localhost:{port}/repository"
        make_folder = ("svn", "mkdir", *svn, ALICE, "-m", "Hello", f"{url}/hello")
        self._stage.run(*make_folder)
        self._acceptor.wait_for(rf"login succeeded: .* by=\w+ user=<{re.escape(ALICE)}>")
        self._acceptor.show()
        if not any(
            " | alice | " in line for line in self._stage.run("svn", "log", *svn, ALICE, url)
        ):
            raise StepFailedError("the repository does not know who wrote to it")
        self._acceptor.wait_for(" by=ticket ")
        self._acceptor.show()
        explain("The second login was by ticket again. Somebody who has not signed in:")
        self._stage.run("svn", "log", *svn, f"bob@{DOMAIN}", url, status=1)


def _wait_until_it_listens(port: int) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            socket.create_connection(("localhost", port), PATIENCE).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise StepFailedError(f"nobody listens on port {port}")


def _show_connection(server: Program) -> None:
    server.wait_for("closing connection")
    server.show()


def _with_later_expiry(message: str) -> str:
    certificate, assertion = message.rsplit("~", 1)
    header, payload, signature = assertion.split(".")
    claims = json.loads(b64.decode(payload, "the payload"))
    explain(f'"exp":{claims["exp"]} becomes "exp":{claims["exp"] + HOUR_MS}, which is in ms.')
    claims["exp"] += HOUR_MS
    forged = b64.encode(json.dumps(claims, separators=(",", ":")).encode())
    return f"{certificate}~{header}.{forged}.{signature}"


def _present(message: str, port: int) -> None:
    """Send a first message from nowhere, and see the server refuse it.

    :raises StepFailedError: it does not.
    """
    explain(f"{len(message)} octets over a plain connection to port {port}:")
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


def main(arguments: list[str]) -> int:
    """Run the demonstration; the exit status.

    :param arguments: `--device` for a sign-in without a browser, whether or not there is one.
    """
    uses_browser = "--device" not in arguments and headless.is_here()

    def run(folder: Path, stage: Stage) -> None:
        Demonstration(folder, stage, uses_browser=uses_browser).run()

    def variables(folder: Path) -> dict[str, str]:
        # Where libsasl2 looks, for Subversion.
        return {"SASL_PATH": str(folder / PLUGINS), "SASL_CONF_PATH": str(folder / "sasl")}

    return perform(run, CONFIGURATION_FILE, variables)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
