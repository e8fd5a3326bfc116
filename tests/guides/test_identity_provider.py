"""The commands of docs/identity-provider.md, run in its order; those that serve, too."""

from __future__ import annotations

import pytest

from tests.guides.test_readme import Reader
from tests.support.guide import blocks_of
from tests.support.machine import Machine
from tests.support.sample_programs import ROOT

PORT = 8443
BLOCKS = blocks_of(ROOT / "docs" / "identity-provider.md")
[PEOPLE] = [block.text for block in BLOCKS if block.kind == "csv"]
COMMANDS = [line for block in BLOCKS if block.kind == "sh" for line in block.text.splitlines()]


@pytest.fixture
def reader(computer: Machine) -> Reader:
    reader = Reader(computer, "provider")
    reader.do("browserid-idp init --domain example.org --local-tls")
    return reader


def test_they_work_in_the_order_of_the_page(reader: Reader) -> None:
    kept = f"{reader.home}/.local/share/browserid/idp"
    place = kept
    reader.computer.write(f"{kept}/people.csv", f"{PEOPLE}\n")
    for command in COMMANDS:
        if "restore" in command:
            # As the page says: after the folder was moved away, in which the backup is here.
            place = f"{kept}.before"
            reader.do(f"mv {kept} {place}")
        reader.do(command, folder=place)
        if command.startswith("browserid-idp serve"):
            reader.computer.wait_for_port(PORT)
            document = f"https://localhost:{PORT}/.well-known/browserid"
            shown = reader.do(f'/usr/bin/python3 -c "{FETCH}" {document} {kept}/tls/ca.pem')
            assert "public-key" in shown
            reader.end()
    assert "provider.sqlite" in reader.do(f"ls {kept}")


FETCH = (
    "import ssl, sys, urllib.request as r; "
    "print(r.urlopen(sys.argv[1], context=ssl.create_default_context(cafile=sys.argv[2])).read())"
)
