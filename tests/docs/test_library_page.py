"""The examples of docs/library.md, run as the one program they are."""

from __future__ import annotations

import ast
import importlib
import re
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from browserid_sasl import Config, adapters, errors, load
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.sasl.result import Result
from tests.support import pages
from tests.support.sample_programs import ALICE, ROOT, Realm

PAGE = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
EXAMPLES = pages.blocks(PAGE, "python")
CONFIGURATIONS = pages.blocks(PAGE, "toml")
PRINTED = re.compile(r"^ *print\(.*\)  # (.*)$", re.MULTILINE)


@pytest.fixture
def realm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Realm:
    realm = Realm(tmp_path, PrivateKey.generate("ES256"))
    realm.sign_in()
    monkeypatch.setenv("BROWSERID_CONFIG", str(realm.config_file))
    return realm


@pytest.mark.usefixtures("realm")
def test_the_examples_print_what_they_say(capsys: pytest.CaptureFixture[str]) -> None:
    program: dict[str, Any] = {}
    for example in EXAMPLES:
        exec(example, program)
        assert capsys.readouterr().out.splitlines() == PRINTED.findall(example), example


def test_every_block_of_code_is_an_example() -> None:
    assert PAGE.count("\n```") == 2 * (len(EXAMPLES) + len(CONFIGURATIONS))


@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_a_configuration_that_is_shown_is_valid(text: str, tmp_path: Path) -> None:
    file = tmp_path / "browserid.toml"
    file.write_text(text, encoding="utf-8")
    assert load(file) != Config()


@pytest.mark.usefixtures("realm")
@pytest.mark.parametrize(
    ("version", "binding"),
    [
        (ssl.TLSVersion.TLSv1_2, "tls-unique"),
        (ssl.TLSVersion.TLSv1_3, "tls-server-end-point"),
    ],
)
def test_the_example_of_channel_binding_works_on_tls(
    tmp_path: Path, version: ssl.TLSVersion, binding: str
) -> None:
    program: dict[str, Any] = {}
    for example in EXAMPLES:
        exec(example, program)
        if "def client_login" in example:
            break
    with tls_connection(tmp_path, version) as (client_end, server_end, certificate_file):
        ours = program["client_login"](client_end)
        theirs = program["server_login"](server_end, certificate_file, ours.name)
        program["log_in"](ours, theirs)

    assert theirs.result.identity == ALICE
    assert theirs.result.channel_binding == ours.result.channel_binding == binding


@contextmanager
def tls_connection(
    folder: Path, version: ssl.TLSVersion
) -> Iterator[tuple[ssl.SSLSocket, ssl.SSLSocket, Path]]:
    """Both ends of a connection, and the server's certificate with its key."""
    authority = trustme.CA()
    certificate = authority.issue_cert("mail.example.org")
    certificate_file = folder / "server.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(str(certificate_file))
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate_file)
    client_side = ssl.create_default_context()
    client_side.maximum_version = version
    authority.configure_trust(client_side)
    client_socket, server_socket = socket.socketpair()
    with client_socket, server_socket, ThreadPoolExecutor(1) as other_end:
        accepted = other_end.submit(server_side.wrap_socket, server_socket, server_side=True)
        client_end = client_side.wrap_socket(client_socket, server_hostname="mail.example.org")
        with client_end, accepted.result() as server_end:
            yield client_end, server_end, certificate_file


def test_the_table_of_the_result_has_all_its_properties() -> None:
    public = {name for name in dir(Result) if not name.startswith("_")}
    assert set(rows_of("The result")) == public


def test_the_table_of_exceptions_has_all_of_the_family() -> None:
    kinds = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}
    family = {name for name, kind in kinds.items() if issubclass(kind, errors.BrowserIDError)}
    assert set(rows_of("Exceptions")) == family - {"BrowserIDError"}


def test_the_table_of_adapters_has_them_all() -> None:
    assert sorted(rows_of("The client")) == sorted(adapters.__all__)


PROMISED = {
    module: set(re.findall(r"`(\w+)`", names))
    for module, names in re.findall(
        r"^\| `(browserid_sasl[\w.]*)` \| (.*) \|$", PAGE.partition("\n## What stays\n")[2], re.M
    )
}


@pytest.mark.parametrize("module", PROMISED)
def test_what_is_promised_is_there(module: str) -> None:
    there = importlib.import_module(module)
    assert PROMISED[module] <= set(vars(there))
    assert not {name for name in PROMISED[module] if name.startswith("_")}
    if hasattr(there, "__path__"):
        assert PROMISED[module] == set(there.__all__)


def test_every_exception_is_promised() -> None:
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    ours = {name for name in kinds if getattr(errors, name).__module__ == errors.__name__}
    assert PROMISED["browserid_sasl.errors"] == ours


def test_the_examples_use_what_is_promised() -> None:
    own_parts = PAGE.partition("\n## Your own parts\n")[2].partition("\n## ")[0]
    shown = [each for each in EXAMPLES if each not in own_parts]
    shown += [file.read_text("utf-8") for file in sorted((ROOT / "examples").glob("*.py"))]
    used = {name for example in shown for name in _imported(ast.parse(example))}
    assert len(used) > len(PROMISED)
    assert {name for name in used if not _is_promised(*name)} == set()


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Module and name of what is imported of this package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("browserid_sasl"):
            yield from ((node.module or "", each.name) for each in node.names)


def _is_promised(module: str, name: str) -> bool:
    return name in PROMISED.get(module, ()) or f"{module}.{name}" in PROMISED


def rows_of(heading: str) -> list[str]:
    """The first column of the table under a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
