"""Several domains in one file: what each has from [idp], and what no two may share."""

from __future__ import annotations

from pathlib import Path

import pytest

from browserid_sasl.config import Config, IdpConfig, load
from browserid_sasl.config.domains import domains_of, hosts_of, section_of
from browserid_sasl.errors import ConfigurationError

FIRST = '[idp]\ndomain = "example.org"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "browserid.toml"


def read(file: Path, text: str) -> dict[str, Config]:
    file.write_text(text)
    return domains_of(load(file))


def refused(file: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(file, text)
    return str(caught.value)


def test_without_a_name_there_is_none(file: Path) -> None:
    assert read(file, "[idp]\nport = 1\n") == {}


def test_that_of_idp_comes_first_and_is_as_it_was(file: Path) -> None:
    domains = read(file, f'[domain."example.net"]\n{FIRST}[domain."a.test"]\n')
    assert list(domains) == ["example.org", "example.net", "a.test"]
    assert domains["example.org"] == load(file)
    assert [section_of(each) for each in domains.values()][:2] == [
        "[idp]",
        '[domain."example.net"]',
    ]


def test_further_ones_have_lives_from_idp_and_nothing_that_is_its_own(file: Path) -> None:
    of_idp = (
        f'{FIRST}directory = "idp"\nport = 9\nrenewal_life = 3600\nsecond_step = "passkey"\n'
        'public_url = "https://id.example.org"\nrp_id = "example.org"\nname = "First"\n'
        'backends = ["staff"]\nauthority = "id.example.org"\naccent_colour = "#000000"\n'
        'database = "postgresql://a@db/a"\nkey_encryption_file = "key"\nfallback = true\n'
        'embedders = ["https://x.test"]\ntls_certificate = "chain.pem"\ntls_key = "key.pem"\n'
    )
    text = f'{of_idp}[domain."example.net"]\ncertificate_life = 600\n'
    options = read(file, text)["example.net"].idp
    usual = IdpConfig()
    assert (options.domain, options.port) == ("example.net", 9)
    assert options.directory == file.parent / "idp" / "domains" / "example.net"
    assert (options.renewal_life_ms, options.certificate_life_ms) == (3_600_000, 600_000)
    assert options.second_step == "passkey"
    # What it presents may be for both.
    assert options.tls_certificate == file.parent / "chain.pem"
    for name in (
        *("public_url", "rp_id", "name", "backends", "authority", "accent_colour", "database"),
        *("key_encryption_file", "fallback", "embedders", "logo_file"),
    ):
        assert getattr(options, name) == getattr(usual, name), name


def test_errors_name_the_line_of_the_section(file: Path) -> None:
    text = f'{FIRST}[domain."example.net"]\nbackends = ["none"]\n'
    error = read(file, text)["example.net"].error("idp.backends", "no")
    assert (error.file, error.line) == (str(file), 4)


@pytest.mark.parametrize(
    ("options", "hosts"),
    [
        ({}, ("example.org",)),
        ({"authority": "at.test"}, ("at.test",)),
        ({"public_url": "https://id.example.org:8443"}, ("example.org", "id.example.org")),
        ({"authority": "at.test", "public_url": "https://[::1]"}, ("at.test", "::1")),
    ],
)
def test_hosts_are_those_of_programs_and_of_people(
    options: dict[str, str], hosts: tuple[str, ...]
) -> None:
    assert hosts_of(IdpConfig(domain="example.org", **options)) == hosts  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("of_idp", "of_net", "shared"),
    [
        ("", 'authority = "example.org"', "host example.org"),
        ("", 'public_url = "https://example.org:8443"', "host example.org"),
        ('public_url = "https://id.test"', 'authority = "ID.test"', "host id.test"),
        ('directory = "x"', 'directory = "x"', "directory "),
        ('database = "postgresql:///x"', 'database = "postgresql:///x"', "database"),
        (
            'rp_id = "test"\npublic_url = "https://a.test"'.replace('"test"', '"login.test"'),
            'rp_id = "login.test"',
            "RP ID login.test",
        ),
        # Passkeys are for the host of the pages where nothing else is said.
        ("", 'public_url = "https://a.example.org"\nrp_id = "example.org"', "RP ID example.org"),
        (
            'public_url = "https://a.example.net"\nrp_id = "example.net"',
            "",
            "RP ID example.net",
        ),
    ],
)
def test_no_two_share_what_would_mix_them_up(
    file: Path, of_idp: str, of_net: str, shared: str
) -> None:
    said = refused(file, f'{FIRST}{of_idp}\n[domain."example.net"]\n{of_net}\n')
    assert f"example.org and example.net have the same {shared}" in said
    assert "postgresql" not in said


def test_two_sections_for_one_domain_are_refused(file: Path) -> None:
    assert "a section of its own" in refused(file, f'{FIRST}[domain."Example.ORG"]\n')
    twice = '[domain."example.net"]\n[domain."EXAMPLE.net"]\n'
    assert "two sections for example.net" in refused(file, twice)


def test_a_certificate_needs_its_key(file: Path) -> None:
    said = refused(file, f'{FIRST}[domain."example.net"]\ntls_key = "key.pem"\n')
    assert "browserid.toml:4" in said
    assert "give both or neither" in said


@pytest.mark.parametrize(
    "name",
    [
        *("bücher.example", "example.net.", "example", "127.0.0.1", "a_b.test", "exam ple.net"),
        # These stand for no letters, or for others than they say.
        *("xn--.example", "xn--a.example", "xn--example-.test", "x.xn--abc"),
    ],
)
def test_what_is_no_domain_in_its_one_spelling_is_refused(file: Path, name: str) -> None:
    assert "in the name of the section" in refused(file, f'{FIRST}[domain."{name}"]\n')
    assert "idp.domain is" in refused(file, f'[idp]\ndomain = "{name}"\n')


def test_other_letters_are_written_in_their_ascii_form(file: Path) -> None:
    assert "xn--bcher-kva.example" in read(file, f'{FIRST}[domain."XN--Bcher-kva.example"]\n')
