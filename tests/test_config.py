"""The configuration: what is read, from where, and how mistakes in it are reported."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import re
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from browserid_sasl.config import AuthorityOverride, Config, files, load, options_of
from browserid_sasl.config.configuration import SECTIONS
from browserid_sasl.config.document import read_settings
from browserid_sasl.config.location import Location, locate
from browserid_sasl.config.reference import reference_page
from browserid_sasl.errors import BrowserIDError, Code, ConfigurationError

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "configuration.md"

FILE = Path("/etc/example/browserid.toml")

Write = Callable[[str], Path]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, and a system without configuration."""
    for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", files.VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(files, "SYSTEM_FILE", tmp_path / "etc" / "browserid.toml")
    return tmp_path / "home"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A function that makes a configuration file and returns its path."""

    def write_file(text: str) -> Path:
        return write_to(tmp_path / "explicit.toml", text)

    return write_file


def write_to(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    return file


def option_names() -> set[str]:
    return {f"{section}.{name}" for section, of in SECTIONS.items() for name in options_of(of)} | {
        f"authorities.{name}" for name in options_of(AuthorityOverride)
    }


# --- defaults ------------------------------------------------------------------------------


def test_without_a_file_everything_has_its_default(home: Path) -> None:
    config = load()
    assert config == Config()
    assert config.server.mechanisms == ("BROWSERID-AES128", "BROWSERID-AES256")
    assert config.server.clock_skew_ms == 300_000
    assert config.server.max_certificate_life_ms == 86_400_000
    assert config.server.ticket_lifetime_ms == 36_000_000
    assert config.server.ticket_renew_limit_ms == 604_800_000
    assert config.server.secondary_authorities == ()
    assert not config.server.allow_legacy_keys
    assert config.client.dialect == "draft-04"
    assert config.client.assertion_lifetime_ms == 300_000
    assert config.client.trust_anchors is None
    assert config.authorities == {}
    assert config.store.directory == home / ".local/share/browserid"
    assert config.store.server_directory == home / ".local/state/browserid/server"
    assert config.idp.directory == home / ".local/share/browserid/idp"


def test_a_daemon_keeps_its_things_below_var_lib() -> None:
    config = load(user=False)
    assert config.store.server_directory == Path("/var/lib/browserid")
    assert config.store.directory == Path("/var/lib/browserid/client")
    assert config.idp.directory == Path("/var/lib/browserid-idp")
    assert dataclasses.replace(config, store=Config().store, idp=Config().idp) == Config()


def test_a_process_without_a_home_keeps_its_things_where_a_daemon_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("platformdirs.user_data_path", lambda _: Path("~/.local/share/browserid"))
    assert load().store.directory == Path("/var/lib/browserid/client")


def test_a_configuration_is_immutable_and_can_be_sent_to_another_process(write: Write) -> None:
    config = load(write('[authorities."example.test"]\nurl = "https://127.0.0.1:8443"\n'))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.server = config.server  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.server.tickets = False  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(config)) == config


# --- values that are allowed -----------------------------------------------------------------

VALID: list[tuple[str, str, object]] = [
    ("store.directory", '"/srv/keys"', Path("/srv/keys")),
    ("store.directory", '"keys/mine"', FILE.parent / "keys/mine"),
    ("store.server_directory", '"../state"', FILE.parent / "../state"),
    ("store.backend", '"memory"', "memory"),
    ("store.durability", '"power"', "power"),
    ("server.mechanisms", '["BROWSERID"]', ("BROWSERID",)),
    ("server.audiences", "[]", ()),
    ("server.audiences", '["imap/MAIL.Example.org"]', ("imap/mail.example.org",)),
    (
        "server.audiences",
        '["ldap/localhost/dc=example,dc=org", "rcmd/192.0.2.1"]',
        ("ldap/localhost/dc=example,dc=org", "rcmd/192.0.2.1"),
    ),
    ("server.host_spn_alias", "true", True),
    ("server.secondary_authorities", '["Login.Example"]', ("login.example",)),
    ("server.strip_domain", '"example.org"', "example.org"),
    ("server.strip_domain", '""', ""),
    ("server.clock_skew", "0", 0),
    ("server.clock_skew", "3_600", 3_600_000),
    ("server.max_certificate_life", "3600", 3_600_000),
    ("server.require_channel_binding", "true", True),
    ("server.allow_legacy_keys", "true", True),
    ("server.tickets", "false", False),
    ("server.ticket_lifetime", "0x3c", 60_000),
    ("server.ticket_renew_limit", "0", 0),
    ("server.cap_ticket_at_certificate", "true", True),
    ("server.extra_round_trip", "true", True),
    ("server.x509_certificate", '""', None),
    ("server.x509_key", '""', None),
    ("client.identity", '"Alice.O\'Hara+x@Example.ORG"', "Alice.O'Hara+x@example.org"),
    ("client.identity", '"zoë@example.org"', "zoë@example.org"),
    ("client.mechanisms", "['BROWSERID-A256S2', '''BROWSERID-AES256''']", None),
    ("client.dialect", '"draft-07"', "draft-07"),
    ("client.mutual", '"required"', "required"),
    ("client.trust_anchors", '"system"', None),
    ("client.trust_anchors", '"anchors.pem"', FILE.parent / "anchors.pem"),
    ("client.assertion_lifetime", "60", 60_000),
    ("client.extra_round_trip", "true", True),
    ("discovery.timeout", "5", 5_000),
    ("discovery.max_size", "4096", 4096),
    ("discovery.ca_file", '"/etc/ssl/example.pem"', Path("/etc/ssl/example.pem")),
    ("discovery.private_hosts", '["idp.corp"]', ("idp.corp",)),
    ("idp.domain", '"Example.ORG"', "example.org"),
    ("idp.directory", '"idp"', FILE.parent / "idp"),
    ("idp.listen", '"::"', "::"),
    ("idp.listen", '"localhost"', "localhost"),
    ("idp.port", "0", 0),
    ("idp.tls_certificate", '""', None),
    ("idp.tls_key", '""', None),
    ("idp.certificate_life", "86400", 86_400_000),
    ("idp.failed_sign_ins", "3", 3),
    ("idp.failed_sign_in_window", "60", 60_000),
]
VALID_AUTHORITY: list[tuple[str, str, object]] = [
    ("url", '"https://IDP.example.org"', "https://idp.example.org"),
    ("url", '"https://idp.example.org/"', "https://idp.example.org"),
    ("url", '"https://127.0.0.1:8443"', "https://127.0.0.1:8443"),
    ("url", '"https://[0:0::1]:8443"', "https://[::1]:8443"),
    ("url", '""', ""),
    ("ca_file", '"ca.pem"', FILE.parent / "ca.pem"),
    ("keys_file", '"keys.json"', FILE.parent / "keys.json"),
]


@pytest.mark.parametrize(("option", "value", "expected"), VALID)
def test_a_valid_value_is_read(option: str, value: str, expected: object) -> None:
    section, _, name = option.partition(".")
    read = read_settings(f"[{section}]\n{name} = {value}\n".encode(), FILE)
    assert list(read) == [(section, name)]
    if option == "client.mechanisms":
        expected = ("BROWSERID-A256S2", "BROWSERID-AES256")
    assert read[section, name].value == expected


@pytest.mark.parametrize(("name", "value", "expected"), VALID_AUTHORITY)
def test_a_valid_value_for_an_authority_is_read(name: str, value: str, expected: object) -> None:
    read = read_settings(f'[authorities."Example.Test"]\n{name} = {value}\n'.encode(), FILE)
    assert read["authorities", "example.test", name].value == expected


def test_there_is_a_valid_value_of_every_option_above() -> None:
    shown = {option for option, _, _ in VALID}
    shown |= {f"authorities.{name}" for name, _, _ in VALID_AUTHORITY}
    assert shown == option_names()


def test_a_whole_file_becomes_a_configuration(write: Write) -> None:
    file = write(
        """\
        server.x509_certificate = "tls/chain.pem"
        server.x509_key = "/etc/ssl/private/mail.pem"
        [client]
        identity = "alice@example.org"
        [authorities]
        "one.test" = { url = "https://127.0.0.1:8443", ca_file = "one.pem" }
        [authorities."two.test"]
        keys_file = "two.json"
        """
    )
    config = load(file)
    assert config.server.x509_certificate == file.parent / "tls/chain.pem"
    assert config.server.x509_key == Path("/etc/ssl/private/mail.pem")
    assert config.client.identity == "alice@example.org"
    assert config.authorities == {
        "one.test": AuthorityOverride("https://127.0.0.1:8443", ca_file=file.parent / "one.pem"),
        "two.test": AuthorityOverride(keys_file=file.parent / "two.json"),
    }


@pytest.mark.parametrize("text", ["", "# nothing\n", "\ufeff[server]\n", "[server]\r\n", "[store]"])
def test_a_file_may_set_nothing(text: str, write: Write) -> None:
    assert load(write(text)) == Config()


# --- mistakes ----------------------------------------------------------------------------------

# In each: the file's text, the line at fault, the message, and the remedy or its beginning.
INVALID: dict[str, tuple[str, int, str, str]] = {
    "unknown section": (
        "[store]\n\n[severs]\n",
        3,
        "there is no section 'severs'",
        "did you mean server?",
    ),
    "section like no other": (
        "[tls]\n",
        1,
        "there is no section 'tls'",
        "known are store, server, client, discovery, idp, authorities",
    ),
    "option outside any section": (
        "clock_skew = 3\n[server]\n",
        1,
        "clock_skew is outside any section",
        "put it below [server]",
    ),
    "section that is a value": (
        "# the server\nserver = 3\n",
        2,
        "server is not a section",
        "begin the section with [server]",
    ),
    "section that is an array of tables": (
        "[[server]]\n",
        1,
        "server is not a section",
        "begin the section with [server]",
    ),
    "unknown option": (
        "[server]\ntickets = true\naudience = []\n",
        3,
        "there is no option 'server.audience'",
        "did you mean server.audiences?",
    ),
    "unknown option, dotted": (
        "\nserver.clock_skew = 3\nserver . 'clok_skew' = 3\n",
        3,
        "there is no option 'server.clok_skew'",
        "did you mean server.clock_skew?",
    ),
    "unknown option, inline": (
        'client = { dialect = "draft-07", identify = "" }\n',
        1,
        "there is no option 'client.identify'",
        "did you mean client.identity?",
    ),
    "unknown option below a subsection": (
        "[server.tickets]\n",
        1,
        "server.tickets has to be true or false, not a table",
        "give true or false",
    ),
    "unknown option of an authority": (
        '[authorities."example.test"]\nuri = "https://idp.test"\n',
        2,
        "there is no option 'authorities.example.test.uri'",
        "did you mean authorities.example.test.url?",
    ),
    "option given twice": (
        "[server]\ntickets = true\ntickets = true\n",
        3,
        "a section or option is given twice",
        "leave one of the two",
    ),
    "section given twice": (
        "[server]\n[client]\n[server]\n",
        3,
        "a section or option is given twice",
        "leave one of the two",
    ),
    "option given twice inline": (
        "server = { tickets = true, tickets = true }\n",
        1,
        "a section or option is given twice",
        "leave one of the two",
    ),
    "no value": (
        "[server]\ntickets\n",
        2,
        "not valid TOML at column 8: expected '=' after a key in a key/value pair",
        "the syntax is described at",
    ),
    "text without quotes": (
        "[client]\n\nidentity = alice@example.org\n",
        3,
        "not valid TOML at column 12: invalid value",
        "the syntax is described at",
    ),
    "no end": (
        '[client]\nmechanisms = [\n"BROWSERID",\n',
        3,
        "not valid TOML at the end of the file: invalid value",
        "the syntax is described at",
    ),
    "text for truth": (
        '[server]\ntickets = "no"\n',
        2,
        "server.tickets has to be true or false, not text",
        "give true or false",
    ),
    "number for truth": (
        "[server]\ntickets = 1\n",
        2,
        "server.tickets has to be true or false, not a whole number",
        "give true or false",
    ),
    "truth for a number": (
        "[idp]\nport = true\n",
        2,
        "idp.port has to be a whole number, not true or false",
        "give a whole number from 0 to 65535",
    ),
    "text for a time": (
        '[server]\nclock_skew = "5 min"\n',
        2,
        "server.clock_skew has to be a whole number, not text",
        "give a whole number of seconds from 0 to 3600",
    ),
    "fraction of a second": (
        "[discovery]\ntimeout = 2.5\n",
        2,
        "discovery.timeout has to be a whole number, not a number with a fraction",
        "give a whole number of seconds from 1 to 300",
    ),
    "time of day for a time": (
        "[discovery]\ntimeout = 00:00:10\n",
        2,
        "discovery.timeout has to be a whole number, not a time of day",
        "give a whole number of seconds from 1 to 300",
    ),
    "date for a number": (
        "[discovery]\nmax_size = 2030-01-01\n",
        2,
        "discovery.max_size has to be a whole number, not a date",
        "give a whole number of octets from 1024 to 1048576",
    ),
    "date and time for text": (
        "[client]\nidentity = 2030-01-01 00:00:00\n",
        2,
        "client.identity has to be text, not a date and time",
        "give an e-mail address",
    ),
    "negative time": (
        "[server]\nclock_skew = -1\n",
        2,
        "server.clock_skew is less than 0",
        "give a whole number of seconds from 0 to 3600",
    ),
    "time too long": (
        "[idp]\ncertificate_life = 86401\n",
        2,
        "idp.certificate_life is more than 86400",
        "give a whole number of seconds from 300 to 86400",
    ),
    "port too large": (
        "[idp]\nport = 65536\n",
        2,
        "idp.port is more than 65535",
        "give a whole number from 0 to 65535",
    ),
    "number of too many digits": (
        f"[idp]\n\nport = {'1' * 5000}\n",
        3,
        "a number has too many digits",
        "no option needs them",
    ),
    "unknown word": (
        '[store]\nbackend = "redis"\n',
        2,
        "store.backend is 'redis', which is unknown",
        'give "sqlite" or "memory"',
    ),
    "word in capitals": (
        '[client]\ndialect = "DRAFT-07"\n',
        2,
        "client.dialect is 'DRAFT-07', which is unknown",
        'give "draft-04" or "draft-07"',
    ),
    "text for an array": (
        '[server]\naudiences = "imap/mail.example.org"\n',
        2,
        "server.audiences has to be an array, not text",
        "give an array, each element a service principal name such as imap/mail.example.org",
    ),
    "number in an array": (
        "[server]\naudiences = [\n  # none\n  3,\n]\n",
        4,
        "element 1 of server.audiences has to be text, not a whole number",
        "give an array, each element a service principal name",
    ),
    "service principal without host": (
        '[server]\naudiences = [\n  "imap/mail.example.org",\n\n  "imap",\n]\n',
        5,
        "element 2 of server.audiences is 'imap', which is not of the form service/host",
        "give an array, each element a service principal name",
    ),
    "service principal with a dialect's prefix": (
        '[server]\naudiences = ["urn:x-gss:imap/mail.example.org"]\n',
        2,
        "element 1 of server.audiences is 'urn:x-gss:imap/mail.example.org', which has a dialect's"
        " prefix before its service",
        "give an array, each element a service principal name",
    ),
    "service principal with an odd host": (
        '[server]\naudiences = ["imap/mail_1.example.org"]\n',
        2,
        "element 1 of server.audiences is 'mail_1.example.org', which is not a domain name",
        "give an array, each element a service principal name",
    ),
    "same element twice": (
        '[server]\naudiences = [\n"imap/a.test",\n"imap/b.test",\n"imap/A.test" ]\n',
        5,
        "element 3 of server.audiences is 'imap/a.test', which is there already",
        "give an array",
    ),
    "no mechanism": (
        "[server]\nmechanisms = []\n",
        2,
        "server.mechanisms is empty",
        "give an array, not empty, each element a mechanism such as",
    ),
    "mechanism with -PLUS": (
        '[client]\nmechanisms = ["BROWSERID-AES128-PLUS"]\n',
        2,
        "element 1 of client.mechanisms is 'BROWSERID-AES128-PLUS', but channel binding is no"
        " part of the name here",
        "give an array, not empty, each element a mechanism such as BROWSERID-AES128, without",
    ),
    "another family's mechanism": (
        '[client]\nmechanisms = ["BROWSERID", "PLAIN"]\n',
        2,
        "element 2 of client.mechanisms is 'PLAIN', which is not the name of a BROWSERID mechanism",
        "give an array, not empty",
    ),
    "too many elements": (
        f"[server]\nsecondary_authorities = {json.dumps([f'd{n}.test' for n in range(1001)])}\n",
        2,
        "server.secondary_authorities has more than 1000 elements",
        "give an array",
    ),
    "address without domain": (
        '[client]\nidentity = "alice"\n',
        2,
        "client.identity is 'alice', which is not an e-mail address",
        'give an e-mail address such as alice@example.org, or "" for none',
    ),
    "address with a blank": (
        '[client]\nidentity = "alice smith@example.org"\n',
        2,
        "client.identity is 'alice smith@example.org', which is not an e-mail address",
        "give an e-mail address",
    ),
    "address with an odd domain": (
        '[client]\nidentity = "alice@example..org"\n',
        2,
        "client.identity is 'example..org', which is not a domain name",
        "give an e-mail address",
    ),
    "domain with a scheme": (
        '[server]\nsecondary_authorities = ["https://login.example"]\n',
        2,
        "element 1 of server.secondary_authorities is 'https://login.example', which is not a"
        " domain name",
        "give an array, each element a domain such as example.org",
    ),
    "domain that is an address": (
        '[idp]\ndomain = "192.0.2.1"\n',
        2,
        "idp.domain is '192.0.2.1', which is an address and not a domain name",
        "give a domain",
    ),
    "domain not in ASCII": (
        '[idp]\ndomain = "bücher.example"\n',
        2,
        "idp.domain is 'b\\xfccher.example', which is not in the ASCII (\"xn--\") form of its name",
        "give a domain",
    ),
    "domain too long": (
        f'[idp]\ndomain = "{"a." * 126}example"\n',
        2,
        f"idp.domain is '{'a.' * 28}a...', which is not a domain name",
        "give a domain",
    ),
    "host that is empty": (
        '[idp]\nlisten = ""\n',
        2,
        "idp.listen is empty",
        "give a host name or an IP address",
    ),
    "URL without TLS": (
        '[authorities."example.test"]\nurl = "http://idp.test"\n',
        2,
        "authorities.example.test.url is 'http://idp.test', which does not begin with https://",
        "give a URL https://HOST or https://HOST:PORT with no path",
    ),
    "URL with a path": (
        '[authorities."example.test"]\nurl = "https://idp.test/browserid"\n',
        2,
        "authorities.example.test.url is 'https://idp.test/browserid', which has more in it than"
        " a host and a port",
        "give a URL",
    ),
    "URL with a query": (
        '[authorities."example.test"]\nurl = "https://idp.test?"\n',
        2,
        "authorities.example.test.url is 'https://idp.test?', which has more in it than a host"
        " and a port",
        "give a URL",
    ),
    "URL without host": (
        '[authorities."example.test"]\nurl = "https://:443"\n',
        2,
        "authorities.example.test.url is 'https://:443', which has no host",
        "give a URL",
    ),
    "URL with an odd port": (
        '[authorities."example.test"]\nurl = "https://idp.test:99999"\n',
        2,
        "authorities.example.test.url is 'https://idp.test:99999', which is not a URL",
        "give a URL",
    ),
    "URL with an odd address": (
        '[authorities."example.test"]\nurl = "https://[::1"\n',
        2,
        "authorities.example.test.url is 'https://[::1', which is not a URL",
        "give a URL",
    ),
    "URL with a control character": (
        '[authorities."example.test"]\nurl = "https://idp.test\\n"\n',
        2,
        "authorities.example.test.url is 'https://idp.test\\n', which is not a URL",
        "give a URL",
    ),
    "URL with a password": (
        '[authorities."example.test"]\nurl = "https://admin:hunter2@idp.test"\n',
        2,
        "authorities.example.test.url has a user name or password in it",
        "give a URL",
    ),
    "authority without quotes": (
        '[authorities.example.test]\nurl = "https://idp.test"\n',
        1,
        "the domain in the name of the section is not in quotes",
        'write the whole domain in quotes, as in [authorities."example.org"]',
    ),
    "authority that is no domain": (
        '[authorities."*.test"]\nurl = "https://idp.test"\n',
        1,
        "the domain in the name of the section is '*.test', which is not a domain name",
        "write the whole domain in quotes",
    ),
    "authority that is a value": (
        '[authorities]\n"example.test" = "https://idp.test"\n',
        2,
        'authorities."example.test" is not a section',
        'begin the section with [authorities."example.test"]',
    ),
    "authority given twice": (
        '[authorities."example.test"]\n[authorities."EXAMPLE.test"]\n',
        2,
        "there are two sections for example.test",
        "make them one",
    ),
    "empty path": (
        '[store]\ndirectory = ""\n',
        2,
        "store.directory is empty",
        "give a path, absolute or relative to the file's folder",
    ),
    "path with a tilde": (
        '[store]\ndirectory = "~/keys"\n',
        2,
        "store.directory is '~/keys', and \"~\" means nothing here",
        "give a path",
    ),
    "path with a NUL": (
        '[client]\ntrust_anchors = "a\\u0000b"\n',
        2,
        "client.trust_anchors is 'a\\x00b', which can not be a path",
        'give a path, absolute or relative to the file\'s folder, or "system"',
    ),
    "certificate without key": (
        '[server]\nx509_certificate = "chain.pem"\n',
        2,
        "server.x509_certificate is given without server.x509_key",
        "give both or neither",
    ),
    "key without certificate": (
        '[idp]\nport = 443\ntls_key = "key.pem"\n',
        3,
        "idp.tls_key is given without idp.tls_certificate",
        "give both or neither",
    ),
    "after text of many lines that looks like the same": (
        '[client]\nidentity = """\n[server]\ntickets = 3\n""" # "\n',
        2,
        "client.identity is '[server]\\ntickets = 3\\n', which is not an e-mail address",
        "give an e-mail address",
    ),
    "control characters and length in names": (
        f'["{"x" * 100}\\u0007"]\n',
        1,
        f"there is no section '{'x' * 57}...'",
        "known are",
    ),
}


@pytest.mark.parametrize("case", INVALID)
def test_a_mistake_is_reported_with_its_line_and_a_remedy(case: str, write: Write) -> None:
    text, line, message, remedy = INVALID[case]
    file = write(text)
    with pytest.raises(ConfigurationError) as caught:
        load(file)
    error = caught.value
    assert error.message == message
    assert error.line == line
    assert error.remedy.startswith(remedy)
    assert error.file == str(file)
    assert error.code is Code.INVALID_PARAMETER
    assert str(error) == f"{file}:{line}: {message}: {error.remedy}"


def test_there_are_enough_mistakes_above() -> None:
    assert len(INVALID) >= 60


def test_every_option_refuses_a_value_of_another_type() -> None:
    for option in sorted(option_names()):
        section, _, name = option.partition(".")
        header = section if section != "authorities" else 'authorities."example.test"'
        with pytest.raises(ConfigurationError, match=rf"{name} has to be .*, not a number with"):
            read_settings(f"[{header}]\n{name} = 0.5\n".encode(), FILE)


def test_the_remedy_for_a_value_can_be_followed() -> None:
    """Every bound a remedy tells is accepted, and what is beyond it is not."""
    for section, of in SECTIONS.items():
        for name, option in options_of(of).items():
            bounds = re.fullmatch(r"a whole number.* from (\d+) to (\d+)", option.kind.allowed)
            if bounds:
                least, most = map(int, bounds.groups())
                Config().with_options({name: str(least)}, section=section)
                Config().with_options({name: str(most)}, section=section)
                for number in (least - 1, most + 1):
                    with pytest.raises(ConfigurationError, match="less than|more than"):
                        Config().with_options({name: str(number)}, section=section)


# --- files that can not be used ------------------------------------------------------------------


def refusal(file: Path, **arguments: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        load(file, **arguments)
    assert caught.value.file == str(file)
    assert caught.value.remedy
    return caught.value


def test_an_explicit_file_has_to_exist(tmp_path: Path) -> None:
    error = refusal(tmp_path / "none.toml")
    assert error.message == "the configuration file can not be read: No such file or directory"


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    error = refusal(tmp_path)
    assert error.message == "the configuration file can not be read: Is a directory"


def test_a_path_that_can_not_be() -> None:
    error = refusal(Path("/etc/a\0b"))
    assert error.message == "the configuration file can not be read: its path is not valid"


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert refusal(tmp_path / "pipe").message == "the configuration file is not an ordinary file"


def test_a_file_without_permission(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write("")

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files, "_open_without_waiting", refuse)
    error = refusal(file)
    assert error.message == "the configuration file can not be read: Permission denied"
    assert "readable" in error.remedy


def test_a_file_of_one_mebibyte_is_read_and_no_larger_one(write: Write) -> None:
    file = write("#" * files.MAX_SIZE)
    assert load(file) == Config()
    error = refusal(write("#" * (files.MAX_SIZE + 1)))
    assert error.message == "the configuration file is too large"


def test_a_large_file_is_read_in_reasonable_time(write: Write) -> None:
    sections = (f'[authorities."d{n}.test"]\nurl = "https://d{n}.test"\n' for n in range(18_000))
    file = write("".join(sections))
    assert 900_000 < file.stat().st_size < files.MAX_SIZE
    before = time.process_time()
    assert len(load(file).authorities) == 18_000
    assert time.process_time() - before < 10


def test_a_file_has_to_be_utf_8(write: Write) -> None:
    file = write("")
    file.write_bytes(b"[server]\n# caf\xe9\n")
    error = refusal(file)
    assert (error.message, error.line) == ("the file is not UTF-8 text", 2)


@pytest.mark.parametrize("opening", ["[", "{a="])
def test_a_file_may_not_be_nested_without_end(opening: str, write: Write) -> None:
    error = refusal(write("a = " + opening * 50_000))
    assert error.message == "arrays or tables are nested too deeply"


# --- precedence ------------------------------------------------------------------------------------


@pytest.fixture
def places(tmp_path: Path, home: Path) -> Mapping[str, Path]:
    """A file in each place, with a clock skew of its own."""
    system = write_to(
        tmp_path / "etc/browserid.toml",
        """\
        [server]
        clock_skew = 1
        audiences = ["imap/system.test"]
        ticket_lifetime = 111
        [authorities."example.test"]
        url = "https://system.test"
        ca_file = "system.pem"
        """,
    )
    user = write_to(
        home / ".config/browserid/browserid.toml",
        """\
        [server]
        clock_skew = 2
        audiences = []
        [authorities."EXAMPLE.test"]
        url = "https://user.test"
        """,
    )
    variable = write_to(tmp_path / "variable.toml", "[server]\nclock_skew = 3\n")
    explicit = write_to(tmp_path / "argument.toml", "[server]\nclock_skew = 4\n")
    return {"system": system, "user": user, "variable": variable, "explicit": explicit}


def test_the_users_file_replaces_options_of_the_systems(places: Mapping[str, Path]) -> None:
    config = load(environ={})
    assert config.server.clock_skew_ms == 2_000
    assert config.server.audiences == ()
    assert config.server.ticket_lifetime_ms == 111_000
    assert config.authorities == {
        "example.test": AuthorityOverride(
            "https://user.test", ca_file=places["system"].parent / "system.pem"
        )
    }
    assert config.origins["server.clock_skew"] == (str(places["user"]), 2)
    assert config.origins["server.ticket_lifetime"] == (str(places["system"]), 4)
    assert config.origins["authorities.example.test.url"] == (str(places["user"]), 5)


@pytest.mark.usefixtures("places")
def test_the_users_file_is_looked_for_where_xdg_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_to(tmp_path / "xdg/browserid/browserid.toml", "[server]\nclock_skew = 5\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert load(environ={}).server.clock_skew_ms == 5_000


def test_the_file_of_the_variable_is_read_alone(places: Mapping[str, Path]) -> None:
    config = load(environ={files.VARIABLE: str(places["variable"])})
    assert config.server.clock_skew_ms == 3_000
    assert config.server.ticket_lifetime_ms == 36_000_000


def test_the_process_environment_is_the_default(
    places: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(files.VARIABLE, str(places["variable"]))
    assert load().server.clock_skew_ms == 3_000


@pytest.mark.usefixtures("places")
def test_an_empty_variable_is_none() -> None:
    assert load(environ={files.VARIABLE: ""}).server.clock_skew_ms == 2_000


def test_the_file_of_the_variable_has_to_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        load(environ={files.VARIABLE: str(tmp_path / "none.toml")})


def test_an_explicit_file_is_read_alone(places: Mapping[str, Path]) -> None:
    config = load(places["explicit"], environ={files.VARIABLE: str(places["variable"])})
    assert config.server.clock_skew_ms == 4_000
    assert config.server.audiences == ()


def test_a_relative_file_is_where_the_process_is(
    places: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(places["explicit"].parent)
    config = load(Path("argument.toml"))
    assert config.origins["server.clock_skew"].file == str(places["explicit"])


def test_a_daemon_reads_the_systems_file_only(places: Mapping[str, Path]) -> None:
    config = load(environ={files.VARIABLE: str(places["variable"])}, user=False)
    assert config.server.clock_skew_ms == 1_000
    assert load(places["explicit"], user=False).server.clock_skew_ms == 4_000


@pytest.mark.parametrize("identifier", ["getuid", "getgid"])
def test_a_set_user_id_process_is_treated_as_a_daemon(
    identifier: str, places: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, identifier, lambda: 4711)
    config = load(environ={files.VARIABLE: str(places["variable"])})
    assert config.server.clock_skew_ms == 1_000
    assert config.store.server_directory == Path("/var/lib/browserid")


@pytest.mark.usefixtures("places")
def test_a_process_without_a_home_reads_no_users_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_config_path", lambda _: Path("~/.config/browserid"))
    assert load(environ={}).server.clock_skew_ms == 1_000


def test_options_that_need_each_other_may_be_in_different_files(
    places: Mapping[str, Path],
) -> None:
    write_to(places["system"], '[server]\nx509_certificate = "/a.pem"\n')
    write_to(places["user"], '[server]\nx509_key = "/b.pem"\n')
    config = load(environ={})
    assert config.server.x509_certificate == Path("/a.pem")
    assert config.server.x509_key == Path("/b.pem")


# --- trust -------------------------------------------------------------------------------------


def pretend_status(monkeypatch: pytest.MonkeyPatch, *, mode: int, uid: int, gid: int) -> None:
    real = os.fstat

    def pretended(descriptor: int) -> os.stat_result:
        fields = list(real(descriptor))
        fields[stat.ST_MODE] = stat.S_IFREG | mode
        fields[stat.ST_UID], fields[stat.ST_GID] = uid, gid
        return os.stat_result(fields)

    monkeypatch.setattr(files.os, "fstat", pretended)


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "message", "remedy"),
    [
        (0o646, 0, 0, "the configuration file is read as root but others can write to it", "chmod"),
        (0o660, 0, 8, "the configuration file is read as root but others can write to it", "chmod"),
        (
            0o600,
            1000,
            0,
            "the configuration file is read as root but belongs to another account",
            "chown",
        ),
    ],
)
def test_root_reads_no_file_that_others_can_write(
    mode: int,
    uid: int,
    gid: int,
    message: str,
    remedy: str,
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = write("")
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    pretend_status(monkeypatch, mode=mode, uid=uid, gid=gid)
    error = refusal(file)
    assert error.message == message
    assert error.remedy.startswith(remedy)
    assert error.remedy.endswith(str(file))


def test_root_reads_a_file_that_only_root_can_write(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    pretend_status(monkeypatch, mode=0o664, uid=0, gid=0)
    assert load(write(""), user=False)


def test_others_read_a_file_that_their_group_can_write(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    pretend_status(monkeypatch, mode=0o664, uid=1000, gid=1000)
    assert load(write(""), user=False)


# --- options given as text -----------------------------------------------------------------------


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


# --- errors that show later ----------------------------------------------------------------------


def test_who_uses_an_option_can_name_its_line(write: Write) -> None:
    file = write('[discovery]\n\nca_file = "none.pem"\n')
    error = load(file).error("discovery.ca_file", "there is no none.pem", "make one")
    assert str(error) == f"{file}:3: there is no none.pem: make one"


def test_an_option_that_no_file_gives_has_no_line() -> None:
    assert str(Config().error("discovery.ca_file", "there is no file")) == "there is no file"


# --- the reference page --------------------------------------------------------------------------


def test_the_page_in_docs_is_the_one_the_code_writes() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference_page(), (
        "run: python -m browserid_sasl.config > docs/configuration.md"
    )


def test_the_module_prints_the_page() -> None:
    command = [sys.executable, "-m", "browserid_sasl.config"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60).stdout
    assert printed.decode() == reference_page()


def test_the_page_has_every_option_with_its_default() -> None:
    page = reference_page()
    for section in (*SECTIONS.values(), AuthorityOverride):
        for name, option in options_of(section).items():
            assert f"### `{name}`\n\n{option.doc}\n\n* Value: {option.kind.allowed}\n" in page
            assert option.doc.endswith(".")


def test_a_default_on_the_page_is_the_one_that_holds() -> None:
    for section, of in SECTIONS.items():
        for name, option in options_of(of).items():
            if option.daemon is None:
                text = f"[{section}]\n{name} = {option.default.strip('`')}\n"
                [setting] = read_settings(text.encode(), FILE).values()
                assert setting.value == getattr(of(), name + option.kind.suffix)


def test_the_examples_on_the_page_are_valid(write: Write) -> None:
    [example] = re.findall(r"```toml\n(.*?)```", reference_page(), re.S)
    assert load(write(example)).server.strip_domain == "example.org"
    given_as_text = dict(re.findall(r"^browserid_(\w+): (.*)$", reference_page(), re.M))
    assert not Config().with_options(given_as_text).server.tickets


# --- any input -----------------------------------------------------------------------------------


def settle(data: bytes) -> None:
    try:
        read_settings(data, FILE)
    except BrowserIDError as error:
        assert isinstance(error, ConfigurationError)
        assert str(error).isprintable()
        assert len(str(error)) < 1000


@given(st.binary(max_size=200))
def test_any_octets_are_settings_or_a_configuration_error(data: bytes) -> None:
    settle(data)


FRAGMENTS = st.sampled_from(
    [*"[]{}=.,#\"'\n \\\t\r", '"""', "'''", "[[", "]]", "\\u0041", "é", "\ufeff", "\0", "1", "-"]
    + ["true", "nan", "1e9", "2030-01-01", "07:00:00", "server", "client", "authorities", "a.b"]
    + ['"example.test"', "audiences", "tickets", "url", "= [", "= {", ' = "', " = 0x", "a = "]
)


@given(st.lists(FRAGMENTS, max_size=40).map("".join))
def test_any_text_like_toml_is_settings_or_a_configuration_error(text: str) -> None:
    settle(text.encode())


VALUES = st.recursive(
    st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=6,
).map(lambda value: json.dumps(value, ensure_ascii=False))


@given(st.sampled_from(sorted(option_names())), VALUES)
def test_any_value_of_any_option_is_read_or_refused_with_its_line(option: str, value: str) -> None:
    section, _, name = option.partition(".")
    header = section if section != "authorities" else 'authorities."example.test"'
    try:
        read_settings(f"# one\n[{header}]\n{name} = {value}\n".encode(), FILE)
    except ConfigurationError as error:
        assert error.line == 3


@given(st.sampled_from(sorted(options_of(SECTIONS["server"]))), st.text(max_size=60))
def test_any_text_for_any_option_is_read_or_refused(name: str, text: str) -> None:
    try:
        Config().with_options({name: text})
    except ConfigurationError as error:
        assert str(error).isprintable()


# --- lines ---------------------------------------------------------------------------------------


def keys_of(value: object, location: Location = ()) -> set[Location]:
    """Every key and array index in a parsed document."""
    items: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    found = {location} - {()}
    for key, inner in items:
        found |= keys_of(inner, (*location, key))
    return found


@pytest.mark.parametrize(
    "text",
    [
        'a = """"quoted""""" # "\nb = 1',
        "a = ''''quoted'''''\nb = 1",
        'a = "\\"]#"\nb = 1',
        "a = '\\'\nb = 1",
        'a = """\\\n  "" \\"""\n"""\nb = 1',
        "a = [ # ]\n'#]', [[], {}], {b = ']', c.d = [1,\n2]},\n]\nb = 2030-01-01 07:00:00 # =",
        "a.b.c = 1\na.b.d = 2\n[a.e]\n[a.'e'.\"f\\u0067\"]\ng = 1",
        '[ a . "b.c" ] # [d]\nd = {}\n"" = {"" = 1}\n',
        "a = {b = {c = 1}, d = [{e = 1}]}",
        "a=1#b=2\nc=[1,2]#]\n\td\t=\t'x'\t\n1 = 1.0\n-=1\n_ = inf",
    ],
)
def test_the_lines_are_those_of_the_keys_that_the_parser_finds(text: str) -> None:
    lines = locate(text)
    assert set(lines) == keys_of(tomllib.loads(text))
    rows = text.split("\n")
    for location, line in lines.items():
        key = location[-1]
        if isinstance(key, str) and re.fullmatch("[a-e]", key):
            assert key in rows[line - 1]


def test_the_line_is_that_of_the_first_mention() -> None:
    text = 'a = """\nb = 1\n"""\n\n[c]\n\n[c.d]\ne = [\n1,\n\n2]\nf = 3 # g = 4\n'
    assert locate(text) == {
        ("a",): 1,
        ("c",): 5,
        ("c", "d"): 7,
        ("c", "d", "e"): 8,
        ("c", "d", "e", 0): 9,
        ("c", "d", "e", 1): 11,
        ("c", "d", "f"): 12,
    }


KEYS = st.one_of(
    st.from_regex(r"[A-Za-z0-9_-]{1,4}", fullmatch=True),
    st.text(st.characters(exclude_categories=["C"]), max_size=4).map(json.dumps),
    st.text('a#[]={}." \\', max_size=4).map(lambda text: f"'{text}'"),
).filter(lambda key: "\\ud" not in key)
SCALARS = st.one_of(
    st.sampled_from(["1", "true", "-0.5e3", "2030-01-01 07:00:00Z", "07:00:00", "0xff", "nan"]),
    st.text("a#[]={},'\"\n", max_size=8).map(json.dumps),
    st.text('a#[]={},"', max_size=6).map(lambda text: f"'{text}'"),
    st.text("a#[]={},'\n=", max_size=12).map(lambda text: f'"""{text}"""'),
    st.text('a#[]={},"\n=', max_size=12).map(lambda text: f"'''{text}'''"),
)
BREAKS = st.sampled_from(["", " ", "\n", " # ]}\n", "\n\n\t"])


def compound(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    element = st.builds("{}{}{}".format, BREAKS, values, BREAKS)
    array = st.lists(element, max_size=3).map(lambda items: f"[{','.join(items)}]")
    pairs = st.dictionaries(KEYS, values, max_size=3)
    table = pairs.map(lambda items: "{ %s }" % " , ".join(f"{k} = {v}" for k, v in items.items()))
    return array | table


STATEMENTS = st.one_of(
    st.builds("{}{}={}".format, KEYS, st.sampled_from(["", " "]), st.recursive(SCALARS, compound)),
    st.lists(KEYS, min_size=1, max_size=3).map(lambda keys: f"[ {' . '.join(keys)} ]"),
    st.lists(KEYS, min_size=1, max_size=2).map(lambda keys: f"[[{'.'.join(keys)}]]"),
    st.sampled_from(["", "# a = [", "\t"]),
)


@settings(max_examples=300)
@given(st.lists(STATEMENTS, max_size=6))
def test_any_document_that_the_parser_accepts_has_its_lines(statements: list[str]) -> None:
    text = ""
    starts: list[int] = []
    for statement in statements:
        try:
            tomllib.loads(f"{text}{statement}\n")
        except tomllib.TOMLDecodeError:
            continue
        starts.append(text.count("\n") + 1)
        text += f"{statement}\n"
    document = tomllib.loads(text)
    lines = locate(text)
    # In an array of tables the tables share their lines: an index is found for none.
    without_index = {tuple(k for k in key if isinstance(k, str)) for key in keys_of(document)}
    assert {tuple(k for k in key if isinstance(k, str)) for key in lines} == without_index - {()}
    for location, line in lines.items():
        if len(location) == 1:
            assert line in starts
