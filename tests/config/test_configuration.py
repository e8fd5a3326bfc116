"""Options given as text, and errors that show when an option is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from browserid_sasl.config import Config, load
from browserid_sasl.errors import ConfigurationError

FILE = Path("/etc/example/browserid.toml")
ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "configuration.md"

Write = Callable[..., Path]


@pytest.mark.parametrize(
    ("name", "text", "field", "expected"),
    [
        ("audiences", "imap/a.test, imap/B.test  smtp/a.test", "audiences", None),
        ("audiences", "", "audiences", ()),
        ("mechanisms", "BROWSERID-AES256", "mechanisms", ("BROWSERID-AES256",)),
        ("clock_skew", " 60 ", "clock_skew_ms", 60_000),
        ("tickets", "no", "tickets", False),
        ("tickets", "0", "tickets", False),
        ("tickets", "Off", "tickets", False),
        ("extra_round_trip", "1", "extra_round_trip", True),
        ("extra_round_trip", "TRUE", "extra_round_trip", True),
        ("strip_domain", "Example.org", "strip_domain", "example.org"),
    ],
)
def test_an_option_given_as_text_replaces_the_files(
    name: str, text: str, field: str, expected: object, write: Write
) -> None:
    base = load(write("[server]\nclock_skew = 7\n[idp]\nport = 443\n"))
    config = base.with_options({name: text})
    if expected is None:
        expected = ("imap/a.test", "imap/b.test", "smtp/a.test")
    assert getattr(config.server, field) == expected
    assert config.idp == base.idp
    assert base.server.clock_skew_ms == 7_000
    assert ("server.clock_skew" in config.origins) == (name != "clock_skew")


def test_options_of_another_section_can_be_given_as_text() -> None:
    config = Config().with_options(
        {"dialect": "draft-07", "trust_anchors": "/etc/anchors"}, section="client"
    )
    assert config.client.dialect == "draft-07"
    assert config.client.trust_anchors == Path("/etc/anchors")


@pytest.mark.parametrize(
    ("name", "text", "message", "remedy"),
    [
        (
            "clock_skew",
            "5m",
            "browserid_clock_skew is '5m', which is not a whole number",
            "give a whole number of seconds from 0 to 3600",
        ),
        (
            "clock_skew",
            "9" * 100,
            f"browserid_clock_skew is '{'9' * 57}...', which is not a whole number",
            "give a whole number of seconds from 0 to 3600",
        ),
        ("clock_skew", "-5", "browserid_clock_skew is less than 0", "give a whole number"),
        (
            "tickets",
            "maybe",
            "browserid_tickets is 'maybe', which is neither yes nor no",
            "give true or false",
        ),
        (
            "audiences",
            "imap/a.test imap",
            "element 2 of browserid_audiences is 'imap', which is not of the form service/host",
            "give an array",
        ),
        ("mechanisms", " ", "browserid_mechanisms is empty", "give an array, not empty"),
        (
            "audience",
            "imap/a.test",
            "there is no option 'browserid_audience'",
            "did you mean browserid_audiences?",
        ),
        (
            "x509_key",
            "key.pem",
            "browserid_x509_key is 'key.pem', which is relative, and there is no file's folder"
            " here",
            "give a path",
        ),
        (
            "x509_key",
            "/etc/key.pem",
            "server.x509_key is given without server.x509_certificate",
            "give both or neither",
        ),
    ],
)
def test_a_mistake_in_an_option_given_as_text(
    name: str, text: str, message: str, remedy: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Config().with_options({name: text}, prefix="browserid_")
    assert caught.value.message == message
    assert caught.value.remedy.startswith(remedy)
    assert (caught.value.file, caught.value.line) == ("", 0)


def test_who_uses_an_option_can_name_its_line(write: Write) -> None:
    file = write('[discovery]\n\nca_file = "none.pem"\n')
    error = load(file).error("discovery.ca_file", "there is no none.pem", "make one")
    assert str(error) == f"{file}:3: there is no none.pem: make one"


def test_an_option_that_no_file_gives_has_no_line() -> None:
    assert str(Config().error("discovery.ca_file", "there is no file")) == "there is no file"
