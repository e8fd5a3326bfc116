"""What docs/several-domains.md shows is what works."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from browserid_sasl.config import Config, load
from browserid_sasl.config.domains import domains_of
from browserid_sasl.identity.authority import AuthorityResolver
from browserid_sasl.idp.folder import ProviderFolder
from browserid_sasl.store.base import system_clock
from browserid_sasl.store.memory import MemoryAuthorityCache
from tests.support.front import front
from tests.support.guide import blocks_of
from tests.support.household import Authority
from tests.support.network import PUBLIC, Network, fetcher
from tests.support.patience import PATIENCE
from tests.support.ports import free_port
from tests.support.sample_programs import ROOT

PAGE: Final = ROOT / "docs" / "several-domains.md"
ORG, NET, OTHER = "example.org", "example.net", "xn--bcher-kva.example"
AT: Final = "example-net.login.example.org"


def shown(kind: str) -> list[str]:
    """The page's blocks of a kind."""
    return [block.text for block in blocks_of(PAGE) if block.kind == kind]


@dataclass(frozen=True)
class Reader:
    """Somebody who does as the page says, in a folder of their own."""

    home: Path

    @property
    def file(self) -> Path:
        return self.home / "browserid.toml"

    @property
    def domains(self) -> dict[str, Config]:
        return domains_of(load(self.file))

    def do(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a block of the page."""
        return subprocess.run(
            ["sh", "-c", script],
            cwd=self.home,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(self.home),
            "BROWSERID_CONFIG": str(self.file),
        }

    @contextmanager
    def serving(self, *options: str) -> Iterator[int]:
        """Run the provider; its port."""
        command = ["browserid-idp", "serve", "--port", "0", *options]
        with subprocess.Popen(
            command, cwd=self.home, env=self.environment, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout
                line = process.stdout.readline()
                assert line.startswith(f"serving {ORG}, {NET}, {OTHER} at "), line
                yield int(line.rpartition(":")[2])
            finally:
                process.terminate()


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    """With the page's configuration, but for where things are."""
    reader = Reader(tmp_path)
    [text] = shown("toml")
    assert text.count("/var/lib/browserid-idp") == 1
    # The directory of the page is nobody's here: the first certificate is not that person's.
    reader.file.write_text(text.replace("/var/lib/browserid-idp", str(tmp_path / "idp")))
    return reader


def test_the_page_s_own_steps_lead_to_people_s_programs(reader: Reader, tmp_path: Path) -> None:
    making, delegating, _ = shown("sh")
    made = reader.do(making)
    assert (made.returncode, made.stderr) == (0, "")
    for domain, place in ((ORG, ""), (NET, f"/domains/{NET}"), (OTHER, f"/domains/{OTHER}")):
        assert f"made an identity provider for {domain} in {tmp_path}/idp{place}\n" in made.stdout
    # The pages are where programs find it, too.
    assert f"https://{AT}/browserid/invitation?token=" in made.stdout
    assert reader.do(delegating).stdout.splitlines()[0] == json.dumps({"authority": AT})
    published, handed_on = shown("nginx")
    published = published.replace("/srv/example-net.json", str(tmp_path / "example-net.json"))
    authority, port = Authority(tmp_path / "ca"), free_port()
    chain, key = authority.certificate("localhost")
    tls = ("--tls-certificate", str(chain), "--tls-key", str(key))
    with reader.serving(*tls) as behind:
        handed_on = handed_on.replace("127.0.0.1:8443", f"127.0.0.1:{behind}")
        places = {NET: published, AT: handed_on, ORG: handed_on, OTHER: handed_on}
        (tmp_path / "nginx").mkdir()
        with front(tmp_path / "nginx", authority, port, places):
            check_found(reader, authority, port)


def check_found(reader: Reader, authority: Authority, port: int) -> None:
    """See that programs find each domain's provider, and its keys."""
    network = Network(port, {name: [PUBLIC] for name in (ORG, NET, AT, OTHER)})
    resolver = AuthorityResolver(fetcher(authority.file, network), MemoryAuthorityCache())
    now = system_clock()
    for domain, issuer in ((ORG, ORG), (NET, AT), (OTHER, OTHER)):
        assert resolver.authority_of(domain, now) == issuer
        folder = ProviderFolder(reader.domains[domain].idp.directory)
        assert resolver.keys_for(issuer, f"alice@{domain}", now) == folder.keys.published(now)


def test_the_doctor_says_what_the_page_shows(reader: Reader) -> None:
    *_, looking = shown("sh")
    whole, one = looking.splitlines()
    # Nobody has made them, and names of documentation lead nowhere.
    assert f"domain {OTHER}: " in reader.do(whole).stdout
    found = reader.do(one)
    assert found.returncode == 2
    assert f"domain {NET}: " in found.stdout
    assert f"domain {ORG}: " not in found.stdout
    [said] = [line for line in PAGE.read_text().splitlines() if line.startswith("    bad ")]
    assert f"publishes keys of its own, and not that its provider is {AT}" in said


def test_what_is_configured_is_as_the_page_says(reader: Reader) -> None:
    options = {name: each.idp for name, each in reader.domains.items()}
    lives = [options[each].certificate_life_ms for each in (ORG, NET, OTHER)]
    assert lives == [1_800_000, 1_800_000, 600_000]
    assert options[NET].backends == ("network-staff", "accounts")
    assert options[OTHER].backends == ("accounts",)


def test_paths_are_those_of_one_domain() -> None:
    """What is handed on is what the page for one domain has, and the host."""
    _, handed_on = shown("nginx")
    of_one = next(
        block.text
        for block in blocks_of(ROOT / "docs" / "identity-provider.md")
        if block.kind == "nginx"
    )
    lines = handed_on.splitlines()
    assert [each for each in lines if "Host " not in each] == of_one.splitlines()
    assert re.search(r"proxy_set_header Host \$host;", handed_on)


def test_a_first_domain_has_to_be_named_when_a_second_one_comes(reader: Reader) -> None:
    place = f"--config {reader.file} --domain {ORG}"
    assert reader.do(f"browserid-idp init {place}").returncode == 0
    text = reader.file.read_text()
    reader.file.write_text(text.replace(f'domain = "{ORG}"\n', "", 1))
    assert reader.do("browserid-idp serve").returncode == os.EX_CONFIG
