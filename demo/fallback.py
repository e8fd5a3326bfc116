"""From an address that nobody knows to a login: `python -m demo.fallback`, or `make demo-fallback`.

A fallback provider, the mail that it sends, a server that trusts it for whoever has no provider,
and what becomes of that trust when the domain gets one. Like the other demonstration it leaves
nothing behind, and exits with status 1 if a step does not show what it has to.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Final

from browserid_sasl.cli.sample.options import NOT_AUTHENTICATED
from browserid_sasl.idp.app import support_document
from browserid_sasl.jose.keys import PrivateKey
from demo.performance import authority_of, free_port, perform
from demo.postbox import Postbox, postbox
from demo.stage import Program, Stage, StepFailedError, explain, headline, show
from demo.visitor import Visitor

FALLBACK: Final = "fallback.test"
FAMILY: Final = "nobody.test"
ALICE: Final = f"alice@{FAMILY}"
FILE: Final = "browserid.toml"
PORT: Final = 5557
PROVIDER_PORT: Final = 8444

CONFIGURATION: Final = f"""\
[client]
fallback = "{FALLBACK}"

[server]
allow = ["{FAMILY}"]
secondary_authorities = ["{FALLBACK}"]
tickets = false

[store]
directory = "alice"
server_directory = "server"

[idp]
fallback = true
directory = "idp"
port = {{port}}
public_url = "{{url}}"
mail_server = "127.0.0.1"
mail_port = {{mail}}
mail_tls = "loopback"

[authorities."{FAMILY}"]
keys_file = "{FAMILY}.json"
"""


class Demonstration:
    """The steps, in their order.

    :param folder: empty.
    :param mail: where the provider's mail goes.
    """

    def __init__(self, folder: Path, stage: Stage, mail: Postbox) -> None:
        self._folder = folder
        self._stage = stage
        self._mail = mail

    def run(self) -> None:
        """Show it all.

        :raises StepFailedError: a step does not show what it has to.
        """
        self._start_provider()
        self._sign_in()
        server, port = self._start_server()
        self._log_in(server, port)
        self._get_a_provider()
        self._refuse(server, port)

    def _start_provider(self) -> None:
        headline(f"1. {FALLBACK} vouches for whoever has no identity provider")
        port = free_port(PROVIDER_PORT)
        url = f"https://localhost:{port}"
        text = CONFIGURATION.format(port=port, url=url, mail=self._mail.port)
        (self._folder / FILE).write_text(text)
        show(text.splitlines(), f"{FILE} | ")
        explain(f"What {FAMILY} says of itself is in a file here, as no name leads there:")
        self._publish({"disabled": True})
        self._stage.run("browserid-idp", "init", "--domain", FALLBACK, "--local-tls")
        provider = self._stage.start("idp", "browserid-idp", "serve")
        with (self._folder / FILE).open("a") as file:
            file.write(authority_of(provider, FALLBACK, "idp", url))

    def _publish(self, document: dict[str, object]) -> None:
        file = self._folder / f"{FAMILY}.json"
        file.write_text(json.dumps(document))
        show([file.read_text()], f"{file.name} | ")

    def _sign_in(self) -> None:
        headline("2. Alice, whom nobody knows, signs in by a mail to her address")
        login = self._stage.start("login", "browserid", "login", "--device", ALICE)
        link = login.wait_for(r"^  (https://\S+)$")[1]
        login.wait_for(r"^The code is ")
        login.show()
        explain("This demonstration stands for her phone: it opens the page and asks for the mail.")
        phone = Visitor(self._folder / "idp" / "tls" / "ca.pem")
        phone.open(link)
        phone.press("Send the mail", email=ALICE)
        phone.press("Go on", code=self._read_mail())
        phone.press("Continue")
        show([phone.headline])
        phone.press("Allow")
        explain("She has typed the code of the mail, and presses Allow.")
        login.wait_for(f"^signed in as {re.escape(ALICE)}")
        login.show()

    def _read_mail(self) -> str:
        """Show the mail; the code in it."""
        mail = self._mail.wait()
        text = mail.get_content()
        lines = [f"{name}: {value}" for name, value in mail.items()]
        show([*lines, "", *text.splitlines()], "mail | ")
        found = re.search(r"^ +(\d{3} \d{3})$", text, re.MULTILINE)
        if found is None:
            raise StepFailedError("there is no code in the mail")
        return found[1]

    def _start_server(self) -> tuple[Program, int]:
        headline(f"3. A server that trusts {FALLBACK} for such people lets her in")
        port = free_port(PORT)
        server = self._stage.start(
            "server",
            *("./sample_server.py", "-h", "localhost", "--listen", "127.0.0.1"),
            *("-p", str(port), "--quiet"),
        )
        server.wait_for(f"^listening on .* port {port}$")
        server.show()
        return server, port

    def _log_in(self, server: Program, port: int) -> None:
        self._stage.run("./sample_client.py", "-p", str(port), "localhost")
        server.wait_for(f"^successful authentication '{re.escape(ALICE)}'$")
        server.show()

    def _get_a_provider(self) -> None:
        headline(f"4. {FAMILY} gets a provider of its own: nobody stands in for it any more")
        key = PrivateKey.generate("ES256").public_key
        self._publish(support_document([key.to_json()]))

    def _refuse(self, server: Program, port: int) -> None:
        explain("Her certificate is good for most of an hour yet. The server looks first:")
        lines = self._stage.run(
            "./sample_client.py", "-p", str(port), "localhost", status=NOT_AUTHENTICATED
        )
        if not any("untrusted-issuer" in line for line in lines):
            raise StepFailedError("the server did not say why")
        server.wait_for(f"^{FALLBACK} may not certify addresses of {FAMILY}")
        server.show()


def main() -> int:
    """Run the demonstration; the exit status."""
    with postbox() as mail:
        return perform(lambda folder, stage: Demonstration(folder, stage, mail).run(), FILE)


if __name__ == "__main__":
    sys.exit(main())
