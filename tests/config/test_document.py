"""What a file may say, and how a mistake in it is reported."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from browserid_sasl.config import AuthorityOverride, Config, SamlAuthority, load, options_of
from browserid_sasl.config.configuration import NAMED_SECTIONS, SECTIONS
from browserid_sasl.config.document import read_settings
from browserid_sasl.config.options import SECTION_ITSELF
from browserid_sasl.errors import BrowserIDError, Code, ConfigurationError

FILE = Path("/etc/example/browserid.toml")
ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "configuration.md"

Write = Callable[..., Path]


def option_names() -> set[str]:
    sections = SECTIONS | {name: named.of for name, named in NAMED_SECTIONS.items()}
    return {f"{section}.{name}" for section, of in sections.items() for name in options_of(of)}


def header(section: str) -> str:
    """What begins a section, with a name of its own where it has to have one."""
    named = NAMED_SECTIONS.get(section)
    return f'[{section}."{named.example}"]' if named else f"[{section}]"


VALID: list[tuple[str, str, object]] = [
    ("store.directory", '"/srv/keys"', Path("/srv/keys")),
    ("store.directory", '"keys/mine"', FILE.parent / "keys/mine"),
    ("store.server_directory", '"../state"', FILE.parent / "../state"),
    ("store.backend", '"memory"', "memory"),
    ("store.durability", '"power"', "power"),
    ("store.url", '"rediss://me@r.example.org"', "rediss://me@r.example.org"),
    ("store.password_file", '"password"', FILE.parent / "password"),
    ("store.key_file", '"store-key"', FILE.parent / "store-key"),
    ("store.realm", '"site_1"', "site_1"),
    ("store.ca_file", '"ca.pem"', FILE.parent / "ca.pem"),
    ("store.timeout", "5", 5000),
    ("store.replicas", "2", 2),
    ("server.mechanisms", '["BROWSERID"]', ("BROWSERID",)),
    ("server.allow", "[]", ()),
    (
        "server.allow",
        '["Example.ORG", "@staff.example.net", "Bob@Example.COM", "o\'brien+x#1@example.com"]',
        (
            "example.org",
            "staff.example.net",
            "Bob@example.com",
            "o'brien+x#1@example.com",
        ),
    ),
    ("server.allow", '["*"]', ("*",)),
    ("server.allow_file", '"people"', FILE.parent / "people"),
    ("server.allow_file", '""', None),
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
    (
        "client.identities",
        '{ "imap/*.Example.ORG" = "alice@Example.org", "*/*" = "bob@example.net" }',
        (("imap/*.example.org", "alice@example.org"), ("*/*", "bob@example.net")),
    ),
    ("client.identities", "{}", ()),
    ("client.fallback", '"Fallback.example"', "fallback.example"),
    ("client.sign_in", '"device"', "device"),
    ("client.browser", '["firefox", "-P", "work", "{link}"]', ("firefox", "-P", "work", "{link}")),
    ("client.redirect_port", "8765", 8765),
    ("client.machine", '"the attic"', "the attic"),
    ("client.machine", '""', ""),
    ("client.keys", '"keyring"', "keyring"),
    ("client.mechanisms", "['BROWSERID-A256S2', '''BROWSERID-AES256''']", None),
    ("client.dialect", '"draft-07"', "draft-07"),
    ("client.mutual", '"required"', "required"),
    ("client.trust_anchors", '"system"', None),
    ("client.trust_anchors", '"anchors.pem"', FILE.parent / "anchors.pem"),
    ("client.require_transcript_binding", "true", True),
    ("client.assertion_lifetime", "60", 60_000),
    ("client.extra_round_trip", "true", True),
    ("discovery.timeout", "5", 5_000),
    ("discovery.max_size", "4096", 4096),
    ("discovery.max_lookups", "100", 100),
    ("discovery.ca_file", '"/etc/ssl/example.pem"', Path("/etc/ssl/example.pem")),
    ("discovery.private_hosts", '["idp.corp"]', ("idp.corp",)),
    ("acceptor.user", '"browserid"', "browserid"),
    ("acceptor.user", '""', ""),
    ("acceptor.hostname", '"mail.example.org"', "mail.example.org"),
    ("acceptor.workers", "0", 0),
    ("acceptor.connections", "10", 10),
    ("acceptor.lookups", "1", 1),
    ("acceptor.drain", "0", 0),
    ("acceptor.log", '"syslog"', "syslog"),
    ("server.revocations", '"required"', "required"),
    ("idp.domain", '"Example.ORG"', "example.org"),
    ("idp.directory", '"idp"', FILE.parent / "idp"),
    ("idp.listen", '"::"', "::"),
    ("idp.listen", '"localhost"', "localhost"),
    ("idp.port", "0", 0),
    ("idp.tls_certificate", '""', None),
    ("idp.tls_key", '""', None),
    ("idp.proxies", '["192.0.2.1", "2001:db8::/32"]', ("192.0.2.1", "2001:db8::/32")),
    ("idp.max_connections", "50", 50),
    ("idp.max_connections_per_client", "5", 5),
    ("idp.database", '"postgresql://me@db/it"', "postgresql://me@db/it"),
    ("idp.key_encryption_file", '"key"', FILE.parent / "key"),
    ("idp.status_port", "9443", 9443),
    ("idp.status_listen", '"192.0.2.1"', "192.0.2.1"),
    ("idp.log_format", '"json"', "json"),
    ("idp.audit_life", "86_400", 86_400_000),
    ("idp.audit_entries", "1000", 1_000),
    ("idp.public_url", '"https://ID.example.org/"', "https://id.example.org"),
    ("idp.public_url", '"https://id.example.org:443"', "https://id.example.org"),
    ("idp.rp_id", '"Example.org"', "example.org"),
    ("idp.embedders", '["https://dialog.example.org"]', ("https://dialog.example.org",)),
    ("idp.fallback", "true", True),
    ("idp.mail_server", '"mail.example.org"', "mail.example.org"),
    ("idp.mail_port", "465", 465),
    ("idp.mail_tls", '"tls"', "tls"),
    ("idp.mail_ca_file", '"ca.pem"', FILE.parent / "ca.pem"),
    ("idp.mail_user", '"provider"', "provider"),
    ("idp.mail_password_file", '"password"', FILE.parent / "password"),
    ("idp.mail_sender", '"sign-in@example.org"', "sign-in@example.org"),
    ("idp.mail_bounces", '"bounces@example.org"', "bounces@example.org"),
    ("idp.mails_per_hour", "100", 100),
    ("idp.session_life", "600", 600_000),
    ("idp.session_idle", "60", 60_000),
    ("idp.document_life", "0", 0),
    ("idp.key_spelling", '"classic"', "classic"),
    ("idp.certificate_life", "86400", 86_400_000),
    ("idp.renewal_life", "86400", 86_400_000),
    ("idp.password_memory", "64", 64),
    ("idp.password_passes", "3", 3),
    ("idp.second_step", '"required"', "required"),
    ("idp.backends", '["staff", "accounts"]', ("staff", "accounts")),
    ("idp.authority", '"Login.example.org"', "login.example.org"),
    ("idp.name", '"Example Ltd, Größe"', "Example Ltd, Größe"),
    ("idp.logo_file", '"logo.png"', FILE.parent / "logo.png"),
    ("idp.accent_colour", '"#0B57D0"', "#0b57d0"),
    ("idp.failed_sign_ins", "3", 3),
    ("idp.failed_sign_in_window", "60", 60_000),
    ("verifier.listen", '"::"', "::"),
    ("verifier.port", "0", 0),
    ("verifier.tls_certificate", '""', None),
    ("verifier.tls_key", '""', None),
    ("verifier.proxies", '["192.0.2.1"]', ("192.0.2.1",)),
    ("verifier.max_connections", "50", 50),
    ("verifier.max_connections_per_client", "5", 5),
    ("verifier.remember", "true", True),
]
VALID_NAMED: list[tuple[str, str, object]] = [
    ("authorities.url", '"https://IDP.example.org"', "https://idp.example.org"),
    ("authorities.url", '"https://idp.example.org/"', "https://idp.example.org"),
    ("authorities.url", '"https://127.0.0.1:8443"', "https://127.0.0.1:8443"),
    ("authorities.url", '"https://[0:0::1]:8443"', "https://[::1]:8443"),
    ("authorities.url", '""', ""),
    ("authorities.ca_file", '"ca.pem"', FILE.parent / "ca.pem"),
    ("authorities.keys_file", '"keys.json"', FILE.parent / "keys.json"),
    ("saml.certificate_file", '"saml.pem"', FILE.parent / "saml.pem"),
    ("saml.certificate_file", '""', None),
    ("listeners.owner", '"_postfix"', "_postfix"),
    ("listeners.group", '"postfix"', "postfix"),
    ("listeners.mode", '"0600"', "0600"),
    ("listeners.mode", '"660"', "660"),
    ("listeners.services", '["smtp", "imap"]', ("smtp", "imap")),
    ("listeners.allow", '["Example.org"]', ("example.org",)),
    ("listeners.strip_domain", '"Example.org"', "example.org"),
    ("listeners.hostname", '"MX.example.org"', "mx.example.org"),
    ("programs.services", '["HTTP", "imap"]', ("HTTP", "imap")),
    ("programs.keys", "true", True),
    ("programs.local_names", '{"al@Example.org" = "al"}', (("al@example.org", "al"),)),
    (
        "ldap.servers",
        '["ldaps://LDAP.example.org", "ldap://[::1]:1389", "ldapi://%2Frun%2FLDAPI"]',
        ("ldaps://ldap.example.org", "ldap://[::1]:1389", "ldapi://%2Frun%2FLDAPI"),
    ),
    ("ldap.ca_file", '"ca.pem"', FILE.parent / "ca.pem"),
    ("ldap.plaintext", "true", True),
    ("ldap.bind_dn", '"cn=Reader,dc=example"', "cn=Reader,dc=example"),
    ("ldap.bind_dn", '"reader@ad.example"', "reader@ad.example"),
    ("ldap.bind_password_file", '"password"', FILE.parent / "password"),
    ("ldap.base", '"dc=example,dc=org"', "dc=example,dc=org"),
    ("ldap.filter", '"(&(mail={address})(uid={user}))"', "(&(mail={address})(uid={user}))"),
    ("ldap.dn_template", '"2.5.4.3={user},o=x"', "2.5.4.3={user},o=x"),
    ("ldap.address_attribute", '"proxyAddresses"', "proxyAddresses"),
    ("ldap.groups", '["cn=staff,dc=example"]', ("cn=staff,dc=example",)),
    ("ldap.claims", '{"groups" = "memberOf"}', (("groups", "memberOf"),)),
    ("ldap.timeout", "2", 2_000),
    ("oidc.issuer", '"https://login.Example.com/x/"', "https://login.Example.com/x/"),
    ("oidc.client_id", '"browserid"', "browserid"),
    ("oidc.client_secret_file", '"secret"', FILE.parent / "secret"),
    ("oidc.ca_file", '"ca.pem"', FILE.parent / "ca.pem"),
    ("oidc.label", '"the Company, Größe"', "the Company, Größe"),
    ("oidc.scopes", '["email", "offline_access"]', ("email", "offline_access")),
    ("oidc.parameters", '{"access_type" = "offline"}', (("access_type", "offline"),)),
    ("oidc.acr_values", '["urn:strong"]', ("urn:strong",)),
    ("oidc.max_age", "60", 60_000),
    ("oidc.local_part_claim", '"preferred_username"', "preferred_username"),
    ("oidc.domains", '["BigMail.example"]', ("bigmail.example",)),
    ("oidc.mail_too", "true", True),
    ("oidc.timeout", "2", 2_000),
    ("kerberos.keytab", '"http.keytab"', FILE.parent / "http.keytab"),
    (
        "kerberos.principal",
        '"HTTP/login.example.org@EXAMPLE.ORG"',
        "HTTP/login.example.org@EXAMPLE.ORG",
    ),
    ("kerberos.realms", '["EXAMPLE.ORG", "example.net"]', ("EXAMPLE.ORG", "example.net")),
    ("kerberos.any_case", "true", True),
    (
        "kerberos.addresses",
        '{"lena/admin@EXAMPLE.ORG" = "lena-admin@example.org"}',
        (("lena/admin@EXAMPLE.ORG", "lena-admin@example.org"),),
    ),
    ("kerberos.ask_kdc", "false", False),
    ("kerberos.asks_as", '"LOGIN$@EXAMPLE.ORG"', "LOGIN$@EXAMPLE.ORG"),
    ("kerberos.directory", '"staff"', "staff"),
    (
        "kerberos.directory_filter",
        '"(|(uid={user})(krbPrincipalName={principal}))"',
        "(|(uid={user})(krbPrincipalName={principal}))",
    ),
    ("kerberos.label", '"the desk"', "the desk"),
    ("kerberos.at_once", "true", True),
    ("kerberos.timeout", "2", 2_000),
    ("pam.service", '"imap.d"', "imap.d"),
    ("pam.user_template", r'"EXAMPLE\\{user}"', "EXAMPLE\\{user}"),
    ("pam.least_uid", "500", 500),
    ("pam.groups", '["staff"]', ("staff",)),
    ("pam.timeout", "3", 3_000),
    ("domain.authority", '"Net.login.example"', "net.login.example"),
    ("domain.directory", '"net"', FILE.parent / "net"),
    ("domain.database", '"postgresql://me@db/net"', "postgresql://me@db/net"),
    ("domain.key_encryption_file", '"key"', FILE.parent / "key"),
    ("domain.public_url", '"https://id.Example.net"', "https://id.example.net"),
    ("domain.rp_id", '"Example.net"', "example.net"),
    ("domain.name", '"Netz"', "Netz"),
    ("domain.logo_file", '""', None),
    ("domain.accent_colour", '"#000000"', "#000000"),
    ("domain.embedders", '["https://dialog.example.net"]', ("https://dialog.example.net",)),
    ("domain.backends", '["staff"]', ("staff",)),
    ("domain.second_step", '"passkey"', "passkey"),
    ("domain.tls_certificate", '"chain.pem"', FILE.parent / "chain.pem"),
    ("domain.tls_key", '"key.pem"', FILE.parent / "key.pem"),
    ("domain.certificate_life", "600", 600_000),
    ("domain.renewal_life", "3600", 3_600_000),
    ("domain.session_life", "600", 600_000),
    ("domain.session_idle", "60", 60_000),
    ("domain.document_life", "0", 0),
    ("domain.key_spelling", '"jwk"', "jwk"),
    ("certificate.form", '"nginx"', "nginx"),
    ("certificate.header", '"X-SSL-Cert"', "X-SSL-Cert"),
    ("certificate.chain_header", '"Client-Cert-Chain"', "Client-Cert-Chain"),
    ("certificate.secret_header", '"X-Secret"', "X-Secret"),
    ("certificate.secret_file", '"secret"', FILE.parent / "secret"),
    ("certificate.authorities_file", '"ca.pem"', FILE.parent / "ca.pem"),
    ("certificate.crl_file", '"crl.pem"', FILE.parent / "crl.pem"),
    ("certificate.person", '"upn"', "upn"),
    ("certificate.address", '"upn"', "upn"),
    ("certificate.people_file", '"people"', FILE.parent / "people"),
    ("certificate.directory", '"staff"', "staff"),
    ("certificate.label", '"your card"', "your card"),
]


@pytest.mark.parametrize(("option", "value", "expected"), VALID)
def test_a_valid_value_is_read(option: str, value: str, expected: object) -> None:
    section, _, name = option.partition(".")
    read = read_settings(f"[{section}]\n{name} = {value}\n".encode(), FILE)
    assert list(read) == [(section, name)]
    if option == "client.mechanisms":
        expected = ("BROWSERID-A256S2", "BROWSERID-AES256")
    assert read[section, name].value == expected


@pytest.mark.parametrize(("option", "value", "expected"), VALID_NAMED)
def test_a_valid_value_in_a_section_with_a_name_is_read(
    option: str, value: str, expected: object
) -> None:
    section, _, name = option.partition(".")
    read = read_settings(f"{header(section)}\n{name} = {value}\n".encode(), FILE)
    assert read[section, NAMED_SECTIONS[section].example, name].value == expected


def test_a_table_of_a_section_with_a_name_can_stand_by_itself() -> None:
    text = '[programs."www-data".local_names]\n"al@example.org" = "al"\n'
    read = read_settings(text.encode(), FILE)
    assert read["programs", "www-data", "local_names"].value == (("al@example.org", "al"),)


@pytest.mark.parametrize(
    ("section", "given", "read_as"),
    [
        ("authorities", "Example.Test", "example.test"),
        ("saml", "https://IDP.example.org/Metadata", "https://IDP.example.org/Metadata"),
        ("saml", "urn:example:idp", "urn:example:idp"),
        ("saml", "idp", "idp"),
        ("saml", "x" * 1024, "x" * 1024),
    ],
)
def test_a_domain_compares_without_regard_to_case_and_an_entity_identifier_does_not(
    section: str, given: str, read_as: str
) -> None:
    [name] = list(options_of(NAMED_SECTIONS[section].of))[:1]
    read = read_settings(f'[{section}."{given}"]\n{name} = ""\n'.encode(), FILE)
    assert list(read) == [(section, read_as, SECTION_ITSELF), (section, read_as, name)]


def test_there_is_a_valid_value_of_every_option_above() -> None:
    shown = {option for option, _, _ in VALID}
    shown |= {option for option, _, _ in VALID_NAMED}
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
        [saml."https://idp.example.org/metadata"]
        certificate_file = "idp.pem"
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
    assert config.saml == {
        "https://idp.example.org/metadata": SamlAuthority(file.parent / "idp.pem")
    }


@pytest.mark.parametrize("text", ["", "# nothing\n", "\ufeff[server]\n", "[server]\r\n", "[store]"])
def test_a_file_may_set_nothing(text: str, write: Write) -> None:
    assert load(write(text)) == Config()


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
        "known are store, server, client, discovery, acceptor, idp, verifier, authorities, saml,"
        " listeners",
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
    "no service in a table of identities": (
        '[client.identities]\n"imap" = "alice@example.org"\n',
        1,
        "client.identities has a name that is 'imap', which is not of the form service/host",
        "give a table, each name in it a service such as imap/mail.example.org",
    ),
    "no host in a table of identities": (
        '[client.identities]\n"imap/a b" = "alice@example.org"\n',
        1,
        "client.identities has a name that is 'imap/a b', whose host is no name, nor one with"
        " * in it",
        "give a table",
    ),
    "nobody in a table of identities": (
        '[client.identities]\n"imap/*" = "alice"\n',
        1,
        "client.identities has something under 'imap/*' that is 'alice', which is not an e-mail"
        " address",
        "give a table",
    ),
    "a service twice in a table of identities": (
        '[client.identities]\n"imap/A.test" = "a@b.test"\n"imap/a.test" = "c@b.test"\n',
        1,
        "client.identities has 'imap/a.test' twice",
        "give a table",
    ),
    "a table of identities that is none": (
        "[client]\nidentities = []\n",
        2,
        "client.identities has to be a table, not an array",
        "give a table",
    ),
    "a word of a command that cannot be one": (
        '[client]\nbrowser = ["a\\u0007"]\n',
        2,
        "element 1 of client.browser is 'a\\x07', which is no word of a command",
        "give an array",
    ),
    "a machine's name that cannot be shown": (
        '[client]\nmachine = "a\\u0007"\n',
        2,
        "client.machine is 'a\\x07', which is longer than 64 characters or no text",
        "give a name of at most 64 characters",
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
    "host in place of a network": (
        '[idp]\nproxies = ["192.0.2.1/24"]\n',
        2,
        "element 1 of idp.proxies is '192.0.2.1/24', which is not an IP address or network",
        "give an array, each element an IP address or a network such as 192.0.2.0/24",
    ),
    "network with a zone": (
        '[idp]\nproxies = ["fe80::1%eth0"]\n',
        2,
        "element 1 of idp.proxies is 'fe80::1%eth0', which is not an IP address or network",
        "give an array, each element an IP address or a network such as 192.0.2.0/24",
    ),
    "brackets around a name": (
        '[authorities."example.test"]\nurl = "https://[v1.example]"\n',
        2,
        "authorities.example.test.url is 'https://[v1.example]', which has no IPv6 address between"
        " its brackets",
        "give a URL https://HOST or https://HOST:PORT with no path",
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
    "everybody and somebody": (
        '[server]\nallow = ["example.org",\n"*"]\n',
        3,
        "element 2 of server.allow is '*', which has to be the only one",
        "give an array, each element a domain such as example.org",
    ),
    "domain twice in two spellings": (
        '[server]\nallow = ["example.org",\n"@EXAMPLE.org"]\n',
        3,
        "element 2 of server.allow is 'example.org', which is there already",
        "give an array, each element a domain such as example.org",
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
    "SAML authority without quotes": (
        '[saml.idp.example]\ncertificate_file = "idp.pem"\n',
        1,
        "the entity identifier in the name of the section is not in quotes",
        'write the whole entity identifier in quotes, as in [saml."https://idp.example.org/',
    ),
    "SAML authority with a blank": (
        '[saml."https://idp.example.org/ "]\ncertificate_file = "idp.pem"\n',
        1,
        "the entity identifier in the name of the section is 'https://idp.example.org/ ', which is"
        " not an entity identifier",
        "write the whole entity identifier in quotes",
    ),
    "SAML authority without a name": (
        '[saml.""]\ncertificate_file = "idp.pem"\n',
        1,
        "the entity identifier in the name of the section is '', which is not an entity identifier",
        "write the whole entity identifier in quotes",
    ),
    "SAML authority with too long a name": (
        f'[saml."{"x" * 1025}"]\ncertificate_file = "idp.pem"\n',
        1,
        f"the entity identifier in the name of the section is '{'x' * 57}...', which is not an"
        " entity identifier",
        "write the whole entity identifier in quotes",
    ),
    "SAML authority that is a value": (
        'saml.idp = "idp.pem"\n',
        1,
        'saml."idp" is not a section',
        'begin the section with [saml."idp"]',
    ),
    "unknown option of a SAML authority": (
        '[saml."https://idp.test/"]\ncertificates = "idp.pem"\n',
        2,
        "there is no option 'saml.https://idp.test/.certificates'",
        "did you mean saml.https://idp.test/.certificate_file?",
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
        "client.trust_anchors is 'a\\x00b', which cannot be a path",
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


@pytest.mark.parametrize(
    "entry",
    [
        *(
            "*.example.org",
            "*example.org",
            ".example.org",
            "example.*",
            "example.org.",
            "exam?le.org",
        ),
        *("**", "?", "%", "*@example.org", "@*", "@*.example.org", "bob@*", "?ob@example.org"),
        *(
            ".*@example.org",
            ".+@example.org",
            "^bob@example.org",
            "bob$@example.org",
            "@",
            "@@a.test",
        ),
        *("(bob|eve)@example.org", "[bB]ob@example.org", "%@example.org", "{a,b}@example.org"),
        *("!eve@example.org", "-eve@example.org"),
        *("/example.org/", "example.org$", "^example.org", "example\\.org", "EXAMPLE.ORG\n", ""),
        *("bob @example.org", "bob@eve@example.org", "a.test@b.test@c.test", "<bob@example.org>"),
        *("mailto:bob@example.org", "bob@example.org,eve@example.org", "bob@example.org.", "bob@"),
        *(
            "bücher.example",
            "bob@bücher.example",
            "example。org",
            "\u0435xample.org",
            "\u212a.test",
        ),
        *("127.0.0.1", "bob@127.0.0.1", "bob@[127.0.0.1]", "example.org:993", " example.org"),
    ],
)
def test_who_may_log_in_is_never_a_pattern(entry: str) -> None:
    document = f"[server]\nallow = [{json.dumps(entry)}]\n"
    with pytest.raises(ConfigurationError) as caught:
        read_settings(document.encode(), FILE)
    assert caught.value.line == 2
    assert caught.value.message.startswith("element 1 of server.allow is ")
    assert caught.value.remedy.endswith("never a pattern")


def test_there_are_enough_mistakes_above() -> None:
    assert len(INVALID) >= 60


def test_every_option_refuses_a_value_of_another_type() -> None:
    for option in sorted(option_names()):
        section, _, name = option.partition(".")
        with pytest.raises(ConfigurationError, match=rf"{name} has to be .*, not a number with"):
            read_settings(f"{header(section)}\n{name} = 0.5\n".encode(), FILE)


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
                    with pytest.raises(ConfigurationError, match=r"less than|more than"):
                        Config().with_options({name: str(number)}, section=section)


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


PUNCTUATION = [
    *"[]{}=.,#\"'\n \\\t\r\0-",
    '"""',
    "'''",
    "[[",
    "]]",
    "= [",
    "= {",
    ' = "',
    "\\u0041",
]
WORDS = [
    "a = ",
    "a.b",
    "server",
    "client",
    "authorities",
    "saml",
    '"example.test"',
    "audiences",
    "url",
    "é",
]
SCALARS = ["1", "0x", "true", "nan", "1e9", "2030-01-01", "07:00:00", "\ufeff"]
FRAGMENTS = st.sampled_from(PUNCTUATION + WORDS + SCALARS)


@given(st.lists(FRAGMENTS, max_size=40).map("".join))
@example("\r\r\n")
@example("[server]\r\ntickets = true\r\n")
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
    try:
        read_settings(f"# one\n{header(section)}\n{name} = {value}\n".encode(), FILE)
    except ConfigurationError as error:
        assert error.line == 3


@given(st.sampled_from(sorted(options_of(SECTIONS["server"]))), st.text(max_size=60))
def test_any_text_for_any_option_is_read_or_refused(name: str, text: str) -> None:
    try:
        Config().with_options({name: text})
    except ConfigurationError as error:
        assert str(error).isprintable()
