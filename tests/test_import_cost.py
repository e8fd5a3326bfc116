"""What a process loads for its first login, since services that fork feel every import in it.

Names are asserted and not times: a module that comes back into the path of a login is found on any
machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from browserid_sasl import cyrus
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.sasl.results import Sasl
from tests.support.sample_programs import DOMAIN, ROOT, Realm

AES128 = "BROWSERID-AES128"

NEVER = {
    # HTTP, HTML, databases and commands: other programs of this package.
    *("httpcore", "h11", "certifi", "http", "ssl", "starlette", "anyio", "uvicorn", "jinja2"),
    *("sqlalchemy", "argon2", "redis", "click", "rich", "cffi"),
    # X.509, ASN.1 and XML: mutual authentication, plain GSS-API framing and SAML.
    *("pyasn1", "cryptography.x509", "service_identity", "attr", "lxml", "defusedxml", "signxml"),
    # What reads or writes messages and exported contexts.
    *("browserid_sasl.gss.enctypes", "browserid_sasl.gss.message", "browserid_sasl.gss.prf"),
    *("browserid_sasl.gss.export", "browserid_sasl.gss.plain", "browserid_sasl.gss.x509"),
    # Stores of another kind, the options' reference page, and packages that others drag in.
    *("browserid_sasl.store.memory", "browserid_sasl.config.reference", "browserid_sasl.discovery"),
    *("logging", "asyncio", "email", "difflib", "importlib.metadata"),
}
ONLY_FOR_A_PERSON = {"platformdirs", "tempfile", "dataclasses", "inspect"}
ONLY_WITH_A_CERTIFICATE = {
    *("dataclasses", "inspect"),
    *("cryptography", "browserid_sasl.jose.keys", "browserid_sasl.gss.ecdh"),
    *("browserid_sasl.identity.certificate", "browserid_sasl.identity.authority"),
}
SERVER_ONLY = {
    *("browserid_sasl.api.server", "browserid_sasl.gss.acceptor", "browserid_sasl.sasl.server"),
}
CLIENT_ONLY = {
    *("browserid_sasl.api.client", "browserid_sasl.gss.initiator", "browserid_sasl.sasl.client"),
    "browserid_sasl.agent",
}

# Messages go to and fro in hexadecimal, a line each; the last line is the names of the modules.
PROGRAM = """
import sys
from browserid_sasl import cyrus
exchange = getattr(cyrus, sys.argv[1])(
    "BROWSERID-AES128", {options}, "imap", "localhost", None, b"", 0, 0, 0
)
while True:
    outcome = exchange.step(bytes.fromhex(sys.stdin.readline()))
    print(int(outcome.code), (outcome.output or b"").hex(), outcome.detail, sep="|", flush=True)
    if outcome.code != 1:
        break
names = sorted(sys.modules)
import json
print(json.dumps(names), flush=True)
"""


class Process:
    """One side of an exchange, in a process that has loaded nothing before."""

    def __init__(self, side: str, realm: Realm) -> None:
        options = server_options(realm) if side == "server" else {}
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", self._program(options), side],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"BROWSERID_CONFIG": str(realm.config_file)},
        )

    @staticmethod
    def _program(options: dict[str, str]) -> str:
        # Without `site`: an environment for tests has files of its own that load modules.
        path = [str(ROOT), *(entry for entry in sys.path if entry.endswith("-packages"))]
        return f"import sys; sys.path[:0] = {path!r}" + PROGRAM.format(options=repr(options))

    def step(self, message: bytes) -> cyrus.Outcome:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(message.hex(), file=self._process.stdin, flush=True)
        code, output, detail = self._process.stdout.readline().rstrip("\n").split("|", 2)
        return cyrus.Outcome(int(code), bytes.fromhex(output), detail=detail)

    def modules(self) -> set[str]:
        """What it has loaded by the end of the login."""
        assert self._process.stdout is not None
        names = json.loads(self._process.stdout.readline())
        self._process.communicate(timeout=20)
        return set(names)


@pytest.fixture
def realm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Realm:
    realm = Realm(tmp_path, PrivateKey.generate("ES256"))
    realm.sign_in()
    monkeypatch.setenv("BROWSERID_CONFIG", str(realm.config_file))
    # A login before, as on any machine in use: the stores are there. Its ticket is for another.
    log_in(new_client("other"), new_server(realm, "other"))
    return realm


def server_options(realm: Realm) -> dict[str, str]:
    return {"browserid_config": str(realm.config_file), "browserid_allow": DOMAIN}


def new_server(realm: Realm, service: str = "imap") -> cyrus.ServerExchange:
    return cyrus.server(AES128, server_options(realm), service, "localhost", None, b"", 0, 0, 0)


def new_client(service: str = "imap") -> cyrus.ClientExchange:
    return cyrus.client(AES128, {}, service, "localhost", None, b"", 0, 0, 0)


def log_in(client: Any, server: Any) -> None:
    sent = client.step(b"")
    while sent.code == Sasl.CONTINUE:
        answer = server.step(sent.output or b"")
        assert answer.code in (Sasl.OK, Sasl.CONTINUE), answer.detail
        sent = client.step(answer.output or b"")
    assert sent.code == Sasl.OK, sent.detail


def modules_of_a_server(realm: Realm) -> set[str]:
    process = Process("server", realm)
    log_in(new_client(), process)
    return process.modules()


def modules_of_a_client(realm: Realm) -> set[str]:
    process = Process("client", realm)
    log_in(process, new_server(realm))
    return process.modules()


def those_of(names: set[str], loaded: set[str]) -> set[str]:
    """What of the modules, or of modules in the packages, of these names is loaded."""
    return {name for name in loaded if any(f"{name}.".startswith(f"{one}.") for one in names)}


def test_a_server_loads_what_a_login_needs(realm: Realm) -> None:
    never = NEVER | CLIENT_ONLY | ONLY_FOR_A_PERSON
    assert those_of(never, modules_of_a_server(realm)) == set()
    by_ticket = modules_of_a_server(realm)
    assert those_of(never | ONLY_WITH_A_CERTIFICATE, by_ticket) == set()


def test_a_client_loads_what_a_login_needs(realm: Realm) -> None:
    never = NEVER | SERVER_ONLY
    assert those_of(never, modules_of_a_client(realm)) == set()
    by_ticket = modules_of_a_client(realm)
    assert those_of(never | ONLY_WITH_A_CERTIFICATE, by_ticket) == set()


def test_the_modules_of_this_package_that_are_named_exist() -> None:
    names = {name for name in NEVER | SERVER_ONLY | CLIENT_ONLY if name.startswith("browserid")}
    places = [ROOT / name.replace(".", "/") for name in names]
    missing = [
        place for place in places if not (place.is_dir() or place.with_suffix(".py").exists())
    ]
    assert missing == []
