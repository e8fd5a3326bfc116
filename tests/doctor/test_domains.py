"""`browserid doctor --provider`: what it says of a provider, and of what is wrong with domains."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from browserid_sasl.idp.cli import main
from browserid_sasl.jose.keys import PrivateKey
from tests.support import ailments
from tests.support.ailments import Report
from tests.support.domains import AT, ONE, TWO, Domains, now
from tests.support.https import Respond, answer, scripted_server
from tests.support.world import support_document

POINTS = json.dumps({"authority": AT}).encode()
CHECK = f"domain {TWO}"
MENDS = f"`browserid-idp delegation --domain {TWO}` prints"


@pytest.fixture(scope="module")
def domains(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Domains]:
    """Two domains that are served, of which the second points to the provider."""
    sections = {TWO: [f'authority = "{AT}"']}
    domains = Domains(tmp_path_factory.mktemp("doctor"), sections, at_addresses=True)
    with domains.served():
        yield domains


def looked_at(domains: Domains, port: int, *options: str, text: str = "") -> Report:
    """What the doctor says of the provider.

    :param port: of localhost where the second domain's own document is.
    :param text: of another configuration.
    """
    file = domains.path / "doctor.toml"
    file.write_text((text or domains.file.read_text()) + domains.authorities(port))
    arguments = ("--provider", "--config", str(file), *options)
    return ailments.examine(*arguments, environment={"HOME": str(domains.path)})


@contextmanager
def publishing(domains: Domains, respond: Respond) -> Iterator[int]:
    certificate = domains.authority.ca.issue_cert("localhost")
    with scripted_server(certificate, respond) as server:
        yield server.port


def key_of(domains: Domains, domain: str) -> str:
    return domains.folder(domain).keys.active(now()).name


def test_all_is_well(domains: Domains) -> None:
    with publishing(domains, answer(POINTS)) as port:
        report = looked_at(domains, port)
    assert report.complaints() == []
    said = [(each["check"], each["message"]) for each in report.findings]
    assert (CHECK, f"{TWO} says that its provider is {AT}") in said
    assert (CHECK, f"{AT} publishes its key {key_of(domains, TWO)}") in said
    assert (f"domain {ONE}", f"{ONE} publishes its key {key_of(domains, ONE)}") in said


def test_one_of_them_can_be_looked_at_alone(domains: Domains) -> None:
    with publishing(domains, answer(POINTS)) as port:
        report = looked_at(domains, port, "--domain", TWO.upper())
        none = looked_at(domains, port, "--domain", "other.test")
    assert {each["check"] for each in report.findings} == {"configuration", CHECK}
    none.says("domains", "bad", "is none of the domains of the provider")


@pytest.mark.parametrize(
    ("respond", "said"),
    [
        (answer(b'{"authority": "else.test"}'), "says that its provider is else.test, and not"),
        (answer(b'{"disabled": true}'), "says that it has no provider, and not"),
        (
            answer(json.dumps(support_document(PrivateKey.generate("ES256"))).encode()),
            "publishes keys of its own, and not",
        ),
        (answer(status="404 Not Found"), f"does not say that its provider is {AT}"),
        (
            answer(POINTS, status="301 Moved", headers={"Location": "https://localhost/"}),
            f"does not say that its provider is {AT}",
        ),
        (answer(POINTS, content_type="text/html"), f"does not say that its provider is {AT}"),
        (answer(b"{"), f"does not say that its provider is {AT}"),
    ],
)
def test_a_domain_that_does_not_point_here_is_told_what_to_publish(
    domains: Domains, respond: Respond, said: str
) -> None:
    with publishing(domains, respond) as port:
        report = looked_at(domains, port, "--domain", TWO)
    report.says(CHECK, "bad", f"{TWO} {said}")
    [remedy] = {each["remedy"] for each in report.findings if each["verdict"] == "bad"}
    assert MENDS in remedy


def test_keys_that_are_not_those_here_are_named(domains: Domains, tmp_path: Path) -> None:
    """What answers is another provider than the one that is looked at."""
    text = domains.file.read_text().replace('directory = "idp"', f'directory = "{tmp_path}/idp"')
    other = tmp_path / "browserid.toml"
    other.write_text(text)
    assert main(["init", "--config", str(other), "--domain", TWO]) == 0
    assert main(["init", "--config", str(other), "--domain", ONE]) == 0
    with publishing(domains, answer(POINTS)) as port:
        report = looked_at(domains, port, "--domain", TWO, text=text)
    published = key_of(domains, TWO)
    report.says(CHECK, "bad", f"{AT} does not publish its key ")
    report.says(CHECK, "bad", f"{AT} publishes the key {published}, which is not here")
    assert "Host $host" in report.findings[-1]["remedy"]


def test_a_key_of_two_domains_is_named_with_the_other(domains: Domains, tmp_path: Path) -> None:
    shutil.copytree(domains.path / "idp", tmp_path / "idp")
    two = tmp_path / "idp" / "domains" / TWO / "keys"
    shutil.rmtree(two)
    shutil.copytree(tmp_path / "idp" / "keys", two)
    text = domains.file.read_text().replace('directory = "idp"', f'directory = "{tmp_path}/idp"')
    with publishing(domains, answer(POINTS)) as port:
        report = looked_at(domains, port, text=text)
    key = key_of(domains, ONE)
    report.says(CHECK, "bad", f"its key {key} is one of {ONE}, too")
    report.says(f"domain {ONE}", "bad", f"its key {key} is one of {TWO}, too")


def test_names_that_look_alike_are_doubtful(domains: Domains) -> None:
    text = domains.file.read_text() + '\n[domain."0ne.test"]\n'
    with publishing(domains, answer(POINTS)) as port:
        report = looked_at(domains, port, text=text)
    report.says("domains", "doubtful", f"people may take {ONE} and 0ne.test for one another")


def test_where_no_domain_is_named_it_says_so(tmp_path: Path) -> None:
    file = tmp_path / "browserid.toml"
    file.write_text("[idp]\n")
    report = ailments.examine("--provider", "--config", str(file), environment={"HOME": "/"})
    report.says("domains", "bad", "no domain is configured")
