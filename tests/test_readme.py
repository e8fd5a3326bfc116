"""What README.md shows works as it stands there."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from browserid_sasl import BrowserIDError
from browserid_sasl.config import load
from browserid_sasl.jose.keys import PrivateKey
from tests.support import pages
from tests.support.sample_programs import ALICE, ROOT, Realm

README = (ROOT / "README.md").read_text()
EXAMPLES = pages.blocks(README, "python")


@pytest.fixture
def realm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Realm:
    realm = Realm(tmp_path, PrivateKey.generate("ES256"))
    monkeypatch.setenv("BROWSERID_CONFIG", str(realm.config_file))
    return realm


def run_example(number: int) -> dict[str, Any]:
    namespace: dict[str, Any] = {}
    exec(EXAMPLES[number], namespace)
    return namespace


def log_in_by_examples() -> tuple[object, object]:
    """What the server's and the client's function give for one connection between them."""
    authenticate: Callable[[socket.socket], object] = run_example(0)["authenticate"]
    log_in: Callable[[socket.socket], object] = run_example(1)["log_in"]
    server_end, client_end = socket.socketpair()
    with server_end, client_end, ThreadPoolExecutor(1) as server:
        identity = server.submit(authenticate, server_end)
        try:
            return log_in(client_end), identity.result()
        finally:
            client_end.shutdown(socket.SHUT_RDWR)


def test_there_are_two_library_examples_of_about_twenty_lines() -> None:
    assert [len(block.splitlines()) <= 27 for block in EXAMPLES] == [True, True]


def test_the_examples_log_in_with_a_certificate_and_then_by_ticket(realm: Realm) -> None:
    realm.sign_in()
    assert log_in_by_examples() == (True, ALICE)
    assert log_in_by_examples() == (True, ALICE)


def test_the_example_client_says_that_somebody_has_to_sign_in(realm: Realm) -> None:
    with pytest.raises(BrowserIDError, match="browserid login"):
        log_in_by_examples()


@pytest.mark.parametrize("sent", ["", "BROWSERID-AES128\n!\n", "PLAIN\n", "BROWSERID-AES128\n"])
def test_the_example_server_refuses_what_is_no_login(realm: Realm, sent: str) -> None:
    authenticate = run_example(0)["authenticate"]
    server_end, client_end = socket.socketpair()
    with server_end, client_end:
        client_end.sendall(sent.encode())
        client_end.shutdown(socket.SHUT_WR)
        assert authenticate(server_end) is None
        server_end.close()
        assert client_end.makefile().readlines()[-1] == "NO\n"


@pytest.mark.parametrize("words", pages.commands(README), ids=" ".join)
def test_the_commands_exist_with_their_options(words: list[str]) -> None:
    pages.check_command(words)


def test_one_person_can_run_the_provider_and_sign_in(tmp_path: Path) -> None:
    """Both keep what they have below the same folder of an empty home."""
    home = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8"}

    def run(name: str, *arguments: str) -> None:
        command = [str(Path(sys.executable).with_name(name)), *arguments]
        subprocess.run(command, env=home, check=True, timeout=60)

    run("browserid-idp", "init", "--domain", "example.test", "--local-tls")
    try:
        run("browserid", "list")
    finally:
        [place] = tmp_path.glob(".local/state/browserid/agent")
        with socket.socket(socket.AF_UNIX) as agent:
            agent.connect(str(place))
            agent.sendall(b"VERSION\tbrowserid-agent\t1\nSTOP\t1\n")
            while agent.recv(4096):
                pass


def test_the_configuration_is_valid(tmp_path: Path) -> None:
    [example] = pages.blocks(README, "toml")
    folder = tmp_path / ".config" / "browserid"
    folder.mkdir(parents=True)
    (folder / "browserid.toml").write_text(example)
    config = load(folder / "browserid.toml")
    authority = config.authorities["example.test"]
    assert authority.url == tomllib.loads(example)["authorities"]["example.test"]["url"]
    expected = tmp_path / ".local/share/browserid/idp/tls/ca.pem"
    assert authority.ca_file is not None
    assert authority.ca_file.resolve() == expected.resolve()


def test_the_folders_and_files_exist() -> None:
    table = README.partition("## Where things are")[2]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert names
    for name in names:
        assert (ROOT / name).exists() or (ROOT / "browserid_sasl" / name).exists(), name
    packages = {path.parent.name for path in (ROOT / "browserid_sasl").glob("*/__init__.py")}
    assert {f"browserid_sasl/{package}/" for package in packages} <= set(names)


def test_the_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_targets_are_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"^make ([a-z0-9]+)|`make ([a-z0-9]+)", README, re.MULTILINE)):
        assert re.search(rf"^{''.join(target)}:", makefile, re.MULTILINE), target
