"""The sections of the configuration and their options, each declared here and nowhere else.

A field whose name ends in ``_ms`` is in milliseconds; its option has no such ending and is in
seconds. A `Path` is absolute. A class's docstring is the section's introduction, and each
option's sentence its documentation, on the reference page.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

import platformdirs

from browserid_sasl.config import options, syntax
from browserid_sasl.config.kinds import Text
from browserid_sasl.identity.allow_list import EVERYONE

APPLICATION: Final = "browserid"

Backend = Literal["sqlite", "memory"]
Durability = Literal["process", "power", "replicas"]
Dialect = Literal["draft-04", "draft-07"]
Mutual = Literal["off", "preferred", "required"]
Log = Literal["stderr", "syslog"]
Revocations = Literal["ignore", "when-available", "required"]
Keys = Literal["file", "keyring"]
SignIn = Literal["auto", "browser", "device", "password"]
KeySpelling = Literal["2012.08.15", "classic", "jwk"]
SecondStep = Literal["code", "passkey", "required"]
LogFormat = Literal["text", "json"]
MailTls = Literal["starttls", "tls", "loopback"]
CertificateForm = Literal["rfc9440", "nginx", "apache"]
CertificatePerson = Literal["serial-number", "user-id", "upn", "address"]
CertificateAddress = Literal["email", "upn"]

_DOMAIN: Final = Text(syntax.domain, "a domain such as example.org")
_DOMAIN_OR_NONE: Final = Text(syntax.domain, "a domain such as example.org", optional=True)
_OWN_DOMAIN: Final = Text(syntax.own_domain, "a domain such as example.org", optional=True)
_HOST: Final = Text(syntax.host, "a host name or an IP address")
_NETWORK: Final = Text(syntax.network, "an IP address or a network such as 192.0.2.0/24")
_EMAIL: Final = Text(syntax.email, "an e-mail address such as alice@example.org", optional=True)
_NEEDED_ORIGIN: Final = Text(
    syntax.https_origin, "a URL https://HOST or https://HOST:PORT with no path"
)
_SOMEBODY: Final = Text(syntax.email, "an e-mail address such as alice@example.org")
_AUDIENCES: Final = Text(
    syntax.audience_pattern,
    "a service such as imap/mail.example.org, in which * stands for any service and for any part"
    " of the host",
)
_WORD: Final = Text(syntax.word, "a word of a command such as firefox")
_MACHINE: Final = Text(syntax.machine, "a name of at most 64 characters", optional=True)
_ORIGIN: Final = Text(
    syntax.https_origin, "a URL https://HOST or https://HOST:PORT with no path", optional=True
)
_PROVIDER_DATABASE: Final = Text(
    syntax.postgresql_uri,
    "a URI such as postgresql://browserid@db.example.org/browserid, without a password",
    optional=True,
)
_ALLOWED: Final = Text(
    syntax.allow_entry,
    "a domain such as example.org or @example.org, an address such as bob@example.com,"
    " or * alone for everybody; never a pattern",
)
_SERVICE_PRINCIPAL: Final = Text(
    syntax.service_principal, "a service principal name such as imap/mail.example.org"
)
_MECHANISM: Final = Text(syntax.mechanism, "a mechanism such as BROWSERID-AES128, without -PLUS")

_ACCOUNT: Final = Text(syntax.account, "the name of an account", optional=True)
_LOCAL_NAME: Final = Text(syntax.account, "the name of an account")
_GROUP: Final = Text(syntax.account, "the name of a group", optional=True)
_HOST_OR_NONE: Final = Text(syntax.host, "a host name", optional=True)
_SOCKET_MODE: Final = Text(syntax.socket_mode, 'octal digits that end in 0, such as "0660"')
_DATABASE_URL: Final = Text(
    syntax.database_url,
    "a URL of Redis or PostgreSQL such as rediss://redis.example.org:6379,"
    " rediss+sentinel://HOST,HOST/SERVICE, rediss+cluster://HOST,HOST or"
    " postgresql://browserid@db.example.org/browserid",
    optional=True,
)
_REALM: Final = Text(
    syntax.realm, "at most 32 letters of a to z, digits and _, with a letter at the front"
)
_BACKEND: Final = Text(syntax.backend, '"accounts" or the name of a section such as [ldap."staff"]')
_LDAP_URL: Final = Text(
    syntax.ldap_url,
    "a URL such as ldaps://ldap.example.org, ldap://ldap.example.org or ldapi://%2Frun%2Fldapi",
)
_DN: Final = Text(
    syntax.distinguished_name, "a distinguished name such as ou=people,dc=example,dc=org"
)
_DN_OR_NONE: Final = Text(
    syntax.distinguished_name,
    "a distinguished name such as cn=browserid,dc=example,dc=org",
    optional=True,
)
_BIND_NAME: Final = Text(
    syntax.bind_name,
    "a distinguished name such as cn=browserid,dc=example,dc=org, or in Active Directory a"
    " userPrincipalName such as browserid@ad.example.org",
    optional=True,
)
_DN_TEMPLATE: Final = Text(
    syntax.dn_template,
    "a distinguished name such as uid={user},ou=people,dc=example,dc=org",
    optional=True,
)
_FILTER: Final = Text(syntax.ldap_filter, "a filter such as (mail={address})")
_PRINCIPAL_FILTER: Final = Text(
    syntax.principal_filter, "a filter such as (krbPrincipalName={principal})", optional=True
)
_PAM_SERVICE: Final = Text(syntax.pam_service, "the name of a file in /etc/pam.d")
_PAM_USER: Final = Text(
    syntax.pam_user, "an account's name with a place for the address, such as {user}"
)
_KERBEROS_REALM: Final = Text(
    syntax.kerberos_realm, "a realm such as EXAMPLE.ORG, in capital letters as it is"
)
_PRINCIPAL: Final = Text(syntax.principal, "a principal with its realm such as lena@EXAMPLE.ORG")
_OWN_PRINCIPAL: Final = Text(
    syntax.principal,
    "a principal with its realm such as HTTP/login.example.org@EXAMPLE.ORG",
    optional=True,
)
_OWN_BACKEND: Final = Text(
    syntax.own_backend, 'the name of a section such as [ldap."staff"]', optional=True
)
_ATTRIBUTE: Final = Text(syntax.ldap_attribute, "the name of an attribute such as mail")
_CLAIM: Final = Text(syntax.claim, "the name of a claim such as groups")
_ISSUER: Final = Text(syntax.issuer, "a URL such as https://login.example.com", optional=True)
_LABEL: Final = Text(syntax.label, "at most 64 letters in one line", optional=True)
_NAME: Final = Text(
    syntax.label, "at most 64 letters in one line, such as Example Ltd", optional=True
)
_COLOUR: Final = Text(syntax.accent_colour, "a colour such as #0b57d0", optional=True)
_PARAMETER: Final = Text(syntax.parameter, "at most 256 letters of ASCII without a space")
_PARAMETER_OR_NONE: Final = Text(
    syntax.parameter, "at most 256 letters of ASCII without a space", optional=True
)
_HEADER: Final = Text(syntax.header, "the name of a header such as Client-Cert, without a _")
_HEADER_OR_NONE: Final = Text(
    syntax.header, "the name of a header such as Client-Cert-Chain, without a _", optional=True
)
_SERVICE: Final = Text(syntax.service, "the SASL name of a service such as imap")

_MECHANISMS: Final = ["BROWSERID-AES128", "BROWSERID-AES256"]


def _user_data() -> Path:
    return platformdirs.user_data_path(APPLICATION)


def _user_state() -> Path:
    return platformdirs.user_state_path(APPLICATION)


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """Where keys, certificates, tickets, seen assertions and identity providers' documents are."""

    directory: Path = options.folder(
        _user_data,
        "~/.local/share/browserid",
        "/var/lib/browserid/client",
        "Folder of a person's keys, certificates and tickets.",
    )
    server_directory: Path = options.folder(
        lambda: _user_state() / "server",
        "~/.local/state/browserid/server",
        "/var/lib/browserid",
        "Folder of a server's tickets and of the assertions it has seen."
        " All processes that serve one service principal have to share it.",
    )
    backend: Backend = options.choice(
        "sqlite",
        get_args(Backend),
        "What the stores are kept in. With `memory` they last as long as the process, and an"
        " assertion seen by one process is new to another: for tests and single processes only.",
    )
    durability: Durability = options.choice(
        "process",
        get_args(Durability),
        "What a store entry survives once it is made: the death of the `process`, or a loss of"
        " `power` too, which makes each login wait for the disk. With a database at `url`,"
        " `replicas` has its replicas confirm an assertion before it counts, so that one of them"
        " can take over; otherwise it is as durable as the database is set up to be.",
    )
    url: str = options.text(
        _DATABASE_URL,
        "Database that the servers of several hosts share, in place of a folder of each: see"
        " [Several hosts](several-hosts.md). A password may stand in it before the host, or in"
        " `password_file`. Over a network it is TLS, and certificate and name are verified. Where"
        " a person's keys, certificates and tickets are kept does not change.",
        secret=True,
    )
    password_file: Path | None = options.path(
        "File with the password of the account at `url`, for this account alone (mode 600), in"
        " place of one in the URL.",
    )
    key_file: Path | None = options.path(
        "File with the key that a shared store is encrypted with, for this account alone"
        " (mode 600), and the same on all hosts; `browserid store-key new` makes it. It has to be"
        " given with `url`.",
    )
    realm: str = options.text(
        _REALM,
        "Name of the site in a shared store, for sites that have one database together. Each has"
        " a key of its own.",
        "browserid",
    )
    ca_file: Path | None = options.path(
        "PEM file with the authorities that certify the servers at `url`, in place of the"
        " system's.",
    )
    timeout_ms: int = options.seconds(
        3,
        1,
        60,
        "How long a server at `url` may take to connect, and to answer. A login fails after a few"
        " times as much, as a failure that passes.",
    )
    replicas: int = options.count(
        1,
        1,
        9,
        'How many replicas have to confirm, with `durability = "replicas"`. With Redis it is all'
        " that it has, or one that has not confirmed could take its place. PostgreSQL knows by"
        " itself which they are (`synchronous_standby_names`).",
        unit="replicas",
    )

    @property
    def durability_of_files(self) -> str:
        """What an entry in a file survives: a person's are in one, whatever hosts share."""
        return "power" if self.durability == "power" else "process"


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """What a server accepts, and what it gives out."""

    allow: tuple[str, ...] = options.listing(
        [],
        _ALLOWED,
        "Who may log in. `example.org` or `@example.org` is every address of exactly that domain,"
        " and of no subdomain; `bob@example.com` is that address, spelled as its provider spells it"
        " but for the case of the domain; `*` is everybody whose domain has an identity provider,"
        " which is everybody. As long as neither this, nor `allow_file`,"
        " nor `strip_domain` is given, nobody may.",
        alone=EVERYONE,
    )
    allow_file: Path | None = options.path(
        "File of more that `allow` may have in it, one to a line; `#` begins a comment. A change"
        " takes effect with the next login. While the file cannot be read, or has a line that"
        " is no such thing, nobody may log in.",
    )
    mechanisms: tuple[str, ...] = options.listing(
        _MECHANISMS,
        _MECHANISM,
        "Mechanisms offered. `BROWSERID` alone has no key exchange and is offered only if it is"
        " in the list.",
        least=1,
    )
    audiences: tuple[str, ...] = options.listing(
        [],
        _SERVICE_PRINCIPAL,
        "Service principal names accepted in an assertion besides the server's own.",
    )
    host_spn_alias: bool = options.flag(
        False,
        "Whether an assertion for the service `host` on the server's host is accepted too.",
    )
    secondary_authorities: tuple[str, ...] = options.listing(
        [],
        _DOMAIN,
        "Domains of [fallback providers](fallback.md), trusted to vouch for the addresses of every"
        " domain that has no identity provider of its own. A domain is looked at first: as soon as"
        " it has one, or while it cannot be said, they vouch for none of its people.",
    )
    strip_domain: str = options.text(
        _DOMAIN_OR_NONE,
        "Domain whose addresses become user names by losing it: with `example.org`,"
        " alice@example.org is the user alice. Other addresses stay whole. Without `allow` and"
        " `allow_file` they may not log in at all.",
    )
    clock_skew_ms: int = options.seconds(
        300,
        0,
        3600,
        "How far the clocks of client, server and identity provider may disagree.",
    )
    max_certificate_life_ms: int = options.seconds(
        86_400,
        60,
        2_592_000,
        "Longest time from issue to expiry that a certificate may have.",
    )
    require_channel_binding: bool = options.flag(
        False,
        "Whether to refuse a login that is not bound to the channel it came through.",
    )
    allow_legacy_keys: bool = options.flag(
        False,
        "Whether RSA keys of fewer than 2047 bits and DSA keys of 1024 bits are accepted.",
    )
    tickets: bool = options.flag(
        True,
        "Whether a login gives the client a ticket for the next ones.",
    )
    ticket_lifetime_ms: int = options.seconds(
        36_000,
        60,
        2_592_000,
        "How long a ticket is good for.",
    )
    ticket_renew_limit_ms: int = options.seconds(
        604_800,
        0,
        31_536_000,
        "How long after the login with a certificate its ticket can be renewed by use; 0: never.",
    )
    cap_ticket_at_certificate: bool = options.flag(
        False,
        "Whether a ticket expires with the certificate it came from, if that is earlier.",
    )
    revocations: Revocations = options.choice(
        "ignore",
        get_args(Revocations),
        "Whether to look at the lists of revoked keys that identity providers publish, once a"
        " minute at the most for each provider: a login waits for one when it is due. What is on"
        " a list is refused, by certificate and by ticket. `ignore`: certificates and tickets are"
        " good until they expire. `when-available`: logins go on without a list that cannot be"
        " had, and whoever can keep it from this server keeps revoked keys in use. `required`:"
        " without one nobody logs in, so a provider that publishes none, or that does not answer"
        " until the last one has expired, which takes minutes, locks its people out.",
    )
    extra_round_trip: bool = options.flag(
        False,
        "Whether the client has to take part in one more exchange, which proves it is present"
        " and spares the store of seen assertions.",
    )
    x509_certificate: Path | None = options.path(
        "PEM file with the server's certificate and the chain to its trust anchor. With it the"
        " server authenticates itself to clients that ask for it.",
        together="x509_key",
    )
    x509_key: Path | None = options.path(
        "PEM file with the private key of `x509_certificate`, not encrypted.",
        together="x509_certificate",
    )


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """How a client logs in."""

    identity: str = options.text(
        _EMAIL,
        "Address to log in as when the program names none. Without it, the identity that is"
        " signed in if there is exactly one.",
    )
    identities: tuple[tuple[str, str], ...] = options.table(
        _AUDIENCES,
        _SOMEBODY,
        "Addresses to log in as at certain services, in place of `identity`: a table such as"
        ' `[client.identities]` with a line `"imap/*.example.org" = "alice@example.org"`. The'
        " first that fits counts.",
    )
    fallback: str = options.text(
        _DOMAIN_OR_NONE,
        "Domain of the [fallback provider](fallback.md) to sign in to with an address whose domain"
        " has no identity provider. Services let in whom it certifies only if they name it in"
        " `secondary_authorities`.",
    )
    sign_in: SignIn = options.choice(
        "auto",
        get_args(SignIn),
        "How to sign in where the command line does not say: in a `browser` on this machine, by"
        " any other `device`, or with a `password`. With `auto` it is the browser where there is a"
        " display and a browser, and the device under SSH, in a container and without a display."
        " A provider that has not got it is signed in to in the way it has. With `browser`"
        " programs have a page opened under SSH and in a container too, if there is a display.",
    )
    browser: tuple[str, ...] = options.listing(
        [],
        _WORD,
        "Command that opens a page in the browser, its words one by one, as in"
        ' `["firefox", "-P", "work", "{link}"]`. `{link}` stands for the page; without it the page'
        " comes last. No shell is in between. Empty: what the environment variable `BROWSER` names,"
        " if it needs no terminal, or the desktop's own.",
    )
    redirect_port: int = options.count(
        0,
        0,
        65_535,
        "TCP port on loopback at which the browser brings the result of a sign-in; 0: one that is"
        " free.",
    )
    machine: str = options.text(
        _MACHINE,
        "What this machine is called on the pages of the identity provider; without one, its host"
        " name.",
    )
    keys: Keys = options.choice(
        "file",
        get_args(Keys),
        "Where private keys, and what renews certificates, are kept: in the `file` of the store,"
        " which only its owner can read, or in the desktop's `keyring`. That needs the extra"
        " `keyring`; where the keyring does not answer within three seconds, it is the file.",
    )
    mechanisms: tuple[str, ...] = options.listing(
        _MECHANISMS,
        _MECHANISM,
        "Mechanisms used, the preferred one first.",
        least=1,
    )
    dialect: Dialect = options.choice(
        "draft-04",
        get_args(Dialect),
        "Generation of the protocol to speak. Servers of this project understand both.",
    )
    mutual: Mutual = options.choice(
        "off",
        get_args(Mutual),
        "Whether the server has to authenticate itself by an X.509 certificate: not asked for,"
        " asked for, or login refused without.",
    )
    trust_anchors: Path | None = options.path(
        "PEM file, or folder of them, with the authorities whose server certificates are"
        " believed when `mutual` is asked for; or the system's.",
        absent="system",
    )
    require_transcript_binding: bool = options.flag(
        False,
        "Whether a server's X.509 signature has to cover the message that it answers in every"
        " mechanism. Servers that do not write that are refused then; in `BROWSERID-A128S2` and"
        " `BROWSERID-A256S2` they are refused anyway.",
    )
    assertion_lifetime_ms: int = options.seconds(
        300,
        30,
        3600,
        "How long an assertion is good for after it is made.",
    )
    extra_round_trip: bool = options.flag(
        False,
        "Whether to ask for one more exchange, after which the server need not remember the"
        " assertion.",
    )


@dataclass(frozen=True, slots=True)
class DiscoveryConfig:
    """How identity providers' documents are fetched."""

    timeout_ms: int = options.seconds(
        10,
        1,
        300,
        "How long fetching one document may take in all.",
    )
    max_size: int = options.count(
        65_536,
        1024,
        1_048_576,
        "Size of the largest document read.",
        unit="octets",
    )
    max_lookups: int = options.count(
        64,
        1,
        1024,
        "How many documents a process fetches at once from providers that the configuration does"
        " not name; one domain with all that is below it gets a quarter. A login that would take"
        " one more is refused for now. As many again are for providers that it does name.",
    )
    ca_file: Path | None = options.path(
        "PEM file with the authorities whose certificates are believed of an identity"
        " provider's web server, in place of the usual ones.",
    )
    private_hosts: tuple[str, ...] = options.listing(
        [],
        _DOMAIN,
        "Domains whose provider may be at a private or loopback address. Others are not"
        " connected to there, so that a stranger's domain cannot point a server at its own"
        " network. A provider whose `url` is configured may be anywhere.",
    )


@dataclass(frozen=True, slots=True)
class AuthorityOverride:
    """What is different about the identity provider of one domain, for closed networks and tests.

    The domain stands in the section's name and needs quotes for its dots:
    `[authorities."example.org"]`. There may be any number of these sections.
    """

    url: str = options.text(
        _ORIGIN,
        "Where the provider is, in place of https://DOMAIN.",
    )
    ca_file: Path | None = options.path(
        "PEM file with the authorities whose certificates are believed of this provider's web"
        " server, in place of `ca_file` in `[discovery]`.",
    )
    keys_file: Path | None = options.path(
        "File with the provider's document, which is then never fetched.",
    )


@dataclass(frozen=True, slots=True)
class SamlAuthority:
    """A SAML authority whose assertions are believed when they come in a person's certificate.

    Its entity identifier, which its assertions have as their issuer, stands in the section's name
    and needs quotes: `[saml."https://idp.example.org/metadata"]`. There may be any number of these
    sections. They need the extra `saml`: in a checkout, `pip install ".[saml]"`; the [Debian
    packages](packages.md) have it.
    """

    certificate_file: Path | None = options.path(
        "PEM file with the certificate of the key that signs its assertions, or with several"
        " while it changes keys. They are believed as they are, while they are valid. Without one"
        " nothing it says is authenticated.",
    )


@dataclass(frozen=True, slots=True)
class AcceptorConfig:
    """The service `browserid-acceptor`, which accepts logins for the programs of this host."""

    user: str = options.text(
        _ACCOUNT,
        "Account it runs as once its sockets are there, if it is started as root. It owns the"
        " stores. Without one it stays who it is.",
    )
    hostname: str = options.text(
        _HOST_OR_NONE,
        "Name that clients know the host by, where neither the program nor its listener says it;"
        " without one, the machine's own.",
    )
    workers: int = options.count(
        0,
        0,
        256,
        "Number of processes that accept logins; 0: one for each processor.",
    )
    connections: int = options.count(
        4000,
        1,
        100_000,
        "How many connections one worker has at most. More of them wait.",
    )
    lookups: int = options.count(
        8,
        1,
        100,
        "How many documents of identity providers one worker fetches at the same time. As many"
        " again are for providers that the configuration names, and people whom it lets in by"
        " name.",
    )
    drain_ms: int = options.seconds(
        10,
        0,
        300,
        "How long logins under way may take to end when the service stops.",
    )
    log: Log = options.choice(
        "stderr",
        get_args(Log),
        "Where its log goes: standard error, which systemd passes on to its journal, or the"
        " machine's `syslog`, with the facility auth.",
    )


@dataclass(frozen=True, slots=True)
class ListenerConfig:
    """A Unix socket of `browserid-acceptor`, and what it is for.

    Its absolute path stands in the section's name and needs quotes:
    `[listeners."/var/spool/postfix/private/browserid"]`. There may be any number of these
    sections. Without any there is one socket, `/run/browserid/acceptor`.
    """

    owner: str = options.text(
        _ACCOUNT,
        "Account that the socket belongs to; without one, the service's own.",
    )
    group: str = options.text(
        _GROUP,
        "Group that the socket belongs to; without one, that of the service's account.",
    )
    mode: str = options.text(
        _SOCKET_MODE,
        "Permissions of the socket. Who may write to it may have logins decided; the world may"
        " not.",
        "0660",
    )
    services: tuple[str, ...] = options.listing(
        [],
        _SERVICE,
        "SASL services that logins are accepted for on this socket; empty: any.",
    )
    allow: tuple[str, ...] = options.listing(
        [],
        _ALLOWED,
        "Who may log in through this socket, in place of `allow` and `allow_file` in [server];"
        " empty: whom those name.",
        alone=EVERYONE,
    )
    strip_domain: str = options.text(
        _DOMAIN_OR_NONE,
        "Domain whose addresses become user names by losing it for programs that ask through this"
        " socket, in place of `strip_domain` in [server].",
    )
    hostname: str = options.text(
        _HOST_OR_NONE,
        "Name that clients know the host by, for programs that do not say it.",
    )


@dataclass(frozen=True, slots=True)
class ProgramsConfig:
    """GSS-API programs of one account, which accept security contexts through
    `browserid-acceptor`.

    The account's name stands in the section's name: `[programs."www-data"]`. There may be any
    number of these sections. Programs of an account without one may accept nothing, whoever may
    write to the socket.
    """

    services: tuple[str, ...] = options.listing(
        [],
        _SERVICE,
        "Services that they may accept contexts for, spelled as their clients spell them: the"
        " `HTTP` of a web server is another than `http`. Empty: none.",
    )
    keys: bool = options.flag(
        False,
        "Whether they are given an established context's key, by which they protect messages and"
        " derive keys of their own. Without it they learn who the person is and no more.",
    )
    local_names: tuple[tuple[str, str], ...] = options.table(
        _SOMEBODY,
        _LOCAL_NAME,
        "Accounts of this machine that people may use: a table such as"
        ' `[programs."www-data".local_names]` with a line `"alice@example.org" = "alice"`. Who is'
        " not in it has none.",
    )


@dataclass(frozen=True, slots=True)
class WebServerConfig:
    """What the services that are web servers have in common. Each has a port of its own."""

    listen: str = options.text(
        _HOST,
        "Address to accept connections on. `::` is every address of the host.",
        "127.0.0.1",
    )
    port: int = options.count(
        0,
        0,
        65_535,
        "TCP port to accept connections on; 0: one that is free.",
    )
    tls_certificate: Path | None = options.path(
        "PEM file with the web server's certificate and chain.",
        together="tls_key",
    )
    tls_key: Path | None = options.path(
        "PEM file with the private key of `tls_certificate`, not encrypted.",
        together="tls_certificate",
    )
    proxies: tuple[str, ...] = options.listing(
        [],
        _NETWORK,
        "Addresses and networks of proxies before the server. Where it matters who a client is,"
        " they are believed when they say so in X-Forwarded-For; nobody else is.",
    )
    max_connections: int = options.count(
        1000,
        1,
        100_000,
        "How many connections there may be at a time. When there are as many, the one that has"
        " waited for its client for longest is closed for a new one.",
    )
    max_connections_per_client: int = options.count(
        32,
        1,
        100_000,
        "How many of them one client may have: an IPv4 address, or the /64 of an IPv6 address."
        " Those of `proxies` may have all.",
    )


@dataclass(frozen=True, slots=True)
class IdpConfig(WebServerConfig):
    """The identity provider that `browserid-idp` runs for one domain."""

    domain: str = options.text(
        _OWN_DOMAIN,
        "Domain whose addresses the provider vouches for. It cannot run without one. Further ones"
        " have sections of their own: see [several domains](several-domains.md).",
    )
    authority: str = options.text(
        _DOMAIN_OR_NONE,
        "Host at which programs find the provider, where the domain's own web server only says that"
        " it is there, with what `browserid-idp delegation` prints. It is the issuer of all"
        " certificates. Without one, it is the domain itself.",
    )
    name: str = options.text(
        _NAME,
        "What the pages call the organisation, beside the domain.",
    )
    logo_file: Path | None = options.path(
        "PNG file, of at most 64 KiB, with a picture that the pages show before its name. It is"
        " read when the provider starts.",
    )
    accent_colour: str = options.text(
        _COLOUR,
        "Colour of buttons and links. It has to be dark enough for letters on a light page; on dark"
        " pages a lighter one is made of it.",
    )
    directory: Path = options.folder(
        lambda: _user_data() / "idp",
        "~/.local/share/browserid/idp",
        "/var/lib/browserid-idp",
        "Folder of its signing keys, accounts and audit log.",
    )
    database: str = options.text(
        _PROVIDER_DATABASE,
        "Database of PostgreSQL that the hosts of the provider share, in place of a file in"
        " `directory`: see [several hosts](idp-several-hosts.md). A password is in a file that"
        " `passfile` in the URI names. Over a network it is TLS, and certificate and name are"
        " verified, by the authorities that `sslrootcert` names.",
    )
    key_encryption_file: Path | None = options.path(
        "File with the key, 32 octets in base64, under which the database has the secrets of second"
        " factors, the provider's own, and the signing keys, in place of a folder in `directory`."
        " It is the same on all hosts, for the account of the provider alone (mode 600). Of several"
        " lines the first encrypts, and all decrypt.",
    )
    port: int = options.count(
        8443,
        0,
        65_535,
        "TCP port to accept connections on; 0: one that is free. Browsers and servers look for"
        " it on 443, from where a proxy may forward to it.",
    )
    status_port: int = options.count(
        0,
        0,
        65_535,
        "TCP port for monitoring, without TLS: `/health`, `/ready`, and `/metrics` as Prometheus"
        " reads them. 0: none.",
    )
    status_listen: str = options.text(
        _HOST,
        "Address of that port. Whoever reaches it can read the numbers, so it is none for"
        " strangers.",
        "127.0.0.1",
    )
    log_format: LogFormat = options.choice(
        "text",
        get_args(LogFormat),
        "How the lines on standard error are written: as text, or as one object of JSON each. The"
        " audit log is JSON in any case.",
    )
    audit_life_ms: int = options.seconds(
        34_560_000,
        86_400,
        315_360_000,
        "How long the database keeps an entry of the audit log, for `browserid-idp audit`. The file"
        " `audit.log` in `directory` is not shortened.",
    )
    audit_entries: int = options.count(
        1_000_000,
        1_000,
        100_000_000,
        "How many entries of it the database keeps at the most; the oldest go first.",
    )
    public_url: str = options.text(
        _ORIGIN,
        "Where people find the provider's pages, if that is not `https://DOMAIN`, where programs"
        " find the provider in any case. Browsers send its forms and passkeys to no other place.",
    )
    rp_id: str = options.text(
        _DOMAIN_OR_NONE,
        "Domain that passkeys are bound to: the host of `public_url`, which it is without one, or a"
        " domain above it. Another one breaks every passkey there is, so that the provider does not"
        " start with it until `browserid-idp confirm-rp-id` was run.",
    )
    embedders: tuple[str, ...] = options.listing(
        [],
        _NEEDED_ORIGIN,
        "Origins of old BrowserID clients that may frame the page `provisioning`, and to the first"
        " of which `authentication` leads back. Nothing else of the provider can be framed, ever.",
    )
    session_life_ms: int = options.seconds(
        43_200,
        300,
        2_592_000,
        "How long people stay signed in on the provider's pages.",
    )
    session_idle_ms: int = options.seconds(
        3_600,
        60,
        2_592_000,
        "How long they stay signed in there without opening any of them.",
    )
    fallback: bool = options.flag(
        False,
        "Whether it vouches for the addresses of every domain that has no identity provider, after"
        " a mail to the address: see [fallback providers](fallback.md). It has no passwords and"
        " passkeys then.",
    )
    mail_server: str = options.text(
        _HOST_OR_NONE,
        "Host of the site's mail server, which takes a fallback provider's mail. There is none"
        " without one.",
    )
    mail_port: int = options.count(
        587,
        1,
        65_535,
        "TCP port of that server.",
    )
    mail_tls: MailTls = options.choice(
        "starttls",
        get_args(MailTls),
        "How the way to it is protected: by `starttls`, or by `tls` from the beginning (port 465),"
        " with certificate and name verified in both cases. With `loopback` it is not, and the"
        " server has to be on this machine.",
    )
    mail_ca_file: Path | None = options.path(
        "PEM file with the authorities whose certificates are believed of that server, in place of"
        " the usual ones.",
    )
    mail_user: str = options.text(
        _MACHINE,
        "User name to log in to it as, if it takes that.",
    )
    mail_password_file: Path | None = options.path(
        "File with the password for that, and nothing else, for the account of the provider alone"
        " (mode 600).",
    )
    mail_sender: str = options.text(
        _EMAIL,
        "Address that a fallback provider's mail is from; without one, `no-reply@DOMAIN`.",
    )
    mail_bounces: str = options.text(
        _EMAIL,
        "Address that mail comes back to which cannot be delivered. A plus and a token are put"
        " before its @, and `browserid-idp bounce` takes what arrives there. Without one the"
        " envelope has no sender, and nothing comes back.",
    )
    mails_per_hour: int = options.count(
        600,
        1,
        1_000_000,
        "How many mails a fallback provider sends within an hour, in all.",
    )
    document_life_ms: int = options.seconds(
        3_600,
        0,
        86_400,
        "How long others may keep a copy of the support document.",
    )
    key_spelling: KeySpelling = options.choice(
        "2012.08.15",
        get_args(KeySpelling),
        "How RSA and DSA keys are written in the support document and in certificates. Old"
        " libraries read `classic` only, and it takes an RSA signing key: a P-256 key is written"
        " as `jwk` in any case.",
    )
    certificate_life_ms: int = options.seconds(
        3_600,
        300,
        86_400,
        "How long a person's certificate is good for. When its key is revoked it ends earlier, at"
        " services that look at the list of revoked keys.",
    )
    renewal_life_ms: int = options.seconds(
        2_592_000,
        3_600,
        31_536_000,
        "How long after each use a program may renew a certificate without its person, where the"
        " person has allowed it. After that they are asked to sign in.",
    )
    backends: tuple[str, ...] = options.listing(
        ["accounts"],
        _BACKEND,
        "What says who somebody is who signs in, in the order in which it is asked about an address"
        " that the provider does not know yet. `accounts` is its own accounts. Others are sections"
        " by their names: see [connect what you have](backends.md).",
        least=1,
    )
    second_step: SecondStep = options.choice(
        "code",
        get_args(SecondStep),
        "What is asked for after a password: a code, of those who have set up an app for it; with"
        " `passkey`, that or a passkey, of those who have one; with `required`, likewise, and who"
        " has neither gets no certificate until they have added one.",
    )
    password_memory: int = options.count(
        19,
        19,
        4096,
        "Memory in MiB that it takes to compare a password (argon2id, RFC 9106), at each sign-in"
        " and at each try of one. A hash of another cost is replaced when its password is used.",
    )
    password_passes: int = options.count(
        2,
        2,
        64,
        "How often that memory is gone through. 64 MiB and 3 passes are what RFC 9106 advises where"
        " memory is short; they take seven or eight times as long as the usual.",
    )
    failed_sign_ins: int = options.count(
        5,
        1,
        1000,
        "How many wrong passwords an account, or a client address, may give within"
        " `failed_sign_in_window` before it has to wait.",
    )
    failed_sign_in_window_ms: int = options.seconds(
        900,
        1,
        86_400,
        "How long a wrong password counts.",
    )


_AS_IN_IDP: Final = "as in `[idp]`"


@dataclass(frozen=True, slots=True)
class DomainConfig:
    """A further domain of the identity provider, with keys, people and pages of its own.

    Its name stands in the section's name: `[domain."example.net"]`. There may be any number of
    these sections, at hosts of their own. What one leaves out is as in `[idp]` where that is said,
    and where it is not said, as here; what is not here is as in `[idp]` for all domains. How to set
    them up is in [several domains](several-domains.md).
    """

    authority: str | None = options.inherited(IdpConfig, "authority", '`""`')
    directory: Path | None = options.inherited(
        IdpConfig, "directory", "`domains/DOMAIN` in the `directory` of `[idp]`"
    )
    database: str | None = options.inherited(IdpConfig, "database", '`""`')
    key_encryption_file: Path | None = options.inherited(IdpConfig, "key_encryption_file", '`""`')
    public_url: str | None = options.inherited(IdpConfig, "public_url", '`""`')
    rp_id: str | None = options.inherited(IdpConfig, "rp_id", '`""`')
    name: str | None = options.inherited(IdpConfig, "name", '`""`')
    logo_file: Path | None = options.inherited(IdpConfig, "logo_file", '`""`')
    accent_colour: str | None = options.inherited(IdpConfig, "accent_colour", '`""`')
    embedders: tuple[str, ...] | None = options.inherited(IdpConfig, "embedders", "`[]`")
    backends: tuple[str, ...] | None = options.inherited(IdpConfig, "backends", '`["accounts"]`')
    second_step: SecondStep | None = options.inherited(IdpConfig, "second_step", _AS_IN_IDP)
    tls_certificate: Path | None = options.path(
        "PEM file with the certificate and chain for whoever asks for one of the domain's hosts"
        " (SNI). Without one it is that of `[idp]`, or else what `init --local-tls` has made.",
        together="tls_key",
    )
    tls_key: Path | None = options.path(
        "PEM file with the private key of `tls_certificate`, not encrypted.",
        together="tls_certificate",
    )
    certificate_life_ms: int | None = options.inherited(IdpConfig, "certificate_life", _AS_IN_IDP)
    renewal_life_ms: int | None = options.inherited(IdpConfig, "renewal_life", _AS_IN_IDP)
    session_life_ms: int | None = options.inherited(IdpConfig, "session_life", _AS_IN_IDP)
    session_idle_ms: int | None = options.inherited(IdpConfig, "session_idle", _AS_IN_IDP)
    document_life_ms: int | None = options.inherited(IdpConfig, "document_life", _AS_IN_IDP)
    key_spelling: KeySpelling | None = options.inherited(IdpConfig, "key_spelling", _AS_IN_IDP)


@dataclass(frozen=True, slots=True)
class LdapConfig:
    """An LDAP directory, such as OpenLDAP or Active Directory, that knows who people are.

    `backends` in [idp] has its name: `[ldap."staff"]`. There may be any number of these sections.
    They need the extra `ldap`: in a checkout, `pip install ".[ldap]"`; of the [Debian
    packages](packages.md), `browserid-ldap`. What it takes to set one up is in [connect what you
    have](backends.md).
    """

    servers: tuple[str, ...] = options.listing(
        [],
        _LDAP_URL,
        "Its servers, at most 4. The next one is asked when one does not answer. With `ldap://` the"
        " connection is upgraded by StartTLS before anything is said on it.",
    )
    ca_file: Path | None = options.path(
        "PEM file with the authorities whose certificates are believed of the servers, in place of"
        " those that the system has.",
    )
    plaintext: bool = options.flag(
        False,
        "Whether `ldap://` is used without TLS, which is possible with servers at a loopback"
        " address only.",
    )
    bind_dn: str = options.text(
        _BIND_NAME,
        "Who the provider is when it looks for people, at sign-ins and before each renewal of a"
        " certificate. Without one, it looks anonymously, which Active Directory does not allow.",
    )
    bind_password_file: Path | None = options.path(
        "File with the password of `bind_dn`, for the account of the provider alone (mode 600).",
    )
    base: str = options.text(
        _DN_OR_NONE,
        "Below which entry people are looked for.",
    )
    filter: str = options.text(
        _FILTER,
        "How they are found there: `{address}` stands for the whole address, `{user}` for what is"
        " before its @. Who is found twice is not let in.",
        "(mail={address})",
    )
    dn_template: str = options.text(
        _DN_TEMPLATE,
        "What a person's entry is called, in place of looking for it below `base`.",
    )
    address_attribute: str = options.text(
        _ATTRIBUTE,
        "Attribute that has to have the address among its values. One without an @ is the part"
        " before it; `smtp:` before an address, as in `proxyAddresses`, does not count.",
        "mail",
    )
    groups: tuple[str, ...] = options.listing(
        [],
        _DN,
        "Groups in one of which somebody has to be, as a `member`, a `uniqueMember` or a"
        " `memberUid` of it, in Active Directory also by a group in it. Empty: nobody has to be in"
        " one.",
    )
    claims: tuple[tuple[str, str], ...] = options.table(
        _CLAIM,
        _ATTRIBUTE,
        "What certificates say of people besides the address: a table such as"
        ' `[ldap."staff".claims]` with a line `"name" = "displayName"`. Services read it as an'
        " attribute of the name. Every service that somebody logs in to can.",
    )
    timeout_ms: int = options.seconds(
        5,
        1,
        30,
        "How long a server has for all that it is asked about one sign-in or one renewal.",
    )


@dataclass(frozen=True, slots=True)
class OidcConfig:
    """Another provider, of OpenID Connect, at whose page people sign in.

    `backends` in [idp] has its name: `[oidc."company"]`. There may be any number of these sections.
    They need the extra `oidc`: in a checkout, `pip install ".[oidc]"`; the [Debian
    packages](packages.md) have it. What it takes to set one up is in [connect what you
    have](backends.md).
    """

    issuer: str = options.text(
        _ISSUER,
        "Its name, exactly as its document at ISSUER/.well-known/openid-configuration has it.",
    )
    client_id: str = options.text(
        _PARAMETER_OR_NONE,
        "What it calls this provider.",
    )
    client_secret_file: Path | None = options.path(
        "File with what it knows this provider by, for the account of the provider alone (mode"
        " 600). Without one, this provider has no secret there.",
    )
    ca_file: Path | None = options.path(
        "PEM file with the authorities whose certificates are believed of its web servers, in place"
        " of those that the system has.",
    )
    label: str = options.text(
        _LABEL,
        'What people call it: the button says "Sign in with" that, or "Mit ... anmelden".'
        " Empty: the section's name.",
    )
    scopes: tuple[str, ...] = options.listing(
        ["email"],
        _PARAMETER,
        "What it is asked for besides `openid`. Many providers give a refresh token, by which they"
        " can be asked before each renewal, with `offline_access` only; that token then outlives a"
        " log-out there.",
    )
    parameters: tuple[tuple[str, str], ...] = options.table(
        _PARAMETER,
        _PARAMETER,
        "Further parameters of the request with which people are sent there: a table such as"
        ' `[oidc."company".parameters]` with a line `"access_type" = "offline"`.',
    )
    acr_values: tuple[str, ...] = options.listing(
        [],
        _PARAMETER,
        "Of which kinds a sign-in there has to be, as its claim `acr` says. Empty: of any.",
    )
    max_age_ms: int = options.seconds(
        0,
        0,
        31_536_000,
        "For how long a sign-in there is good: nobody gets in by an older one, and nothing is"
        " certified by it later. 0: as long as a refresh token is, or ten minutes without one.",
    )
    local_part_claim: str = options.text(
        _PARAMETER_OR_NONE,
        "Claim that has the part of the address before the @, such as `preferred_username`. It has"
        " to be one that people cannot change themselves. Empty: `email` has the whole address,"
        " which has to be verified.",
    )
    domains: tuple[str, ...] = options.listing(
        [],
        _DOMAIN,
        "At a [fallback provider](fallback.md#large-mail-domains): the domains whose people sign in"
        " there in place of a mail, such as those of a large mail provider. Other providers have"
        " none.",
    )
    mail_too: bool = options.flag(
        False,
        "Whether people of these domains may choose a mail instead. Then whoever reads somebody's"
        " mail signs in as them, whatever that provider asks for.",
    )
    timeout_ms: int = options.seconds(
        5,
        1,
        30,
        "How long each of its answers may take.",
    )


@dataclass(frozen=True, slots=True)
class PamConfig:
    """A service of PAM, by which the system of the provider's host knows who people are.

    `backends` in [idp] has its name: `[pam."desks"]`. There may be any number of these sections.
    What it takes to set one up is in [connect what you have](backends.md#pam).
    """

    service: str = options.text(
        _PAM_SERVICE,
        "The file in `/etc/pam.d` that says how people sign in. It is for the provider alone: there"
        " is no other that is taken in its place.",
        "browserid-idp",
    )
    user_template: str = options.text(
        _PAM_USER,
        "What a person's account is called: `{user}` stands for what is before the @ of the"
        " address, `{address}` for all of it. It is as `getent passwd` has it.",
        "{user}",
    )
    least_uid: int = options.count(
        1000,
        1,
        2**32 - 2,
        "Number of the first account that is a person's. PAM is never asked about root, or about"
        " another one below.",
    )
    groups: tuple[str, ...] = options.listing(
        [],
        _LOCAL_NAME,
        "Groups of the system, in one of which somebody has to be. Empty: nobody has to be in one.",
    )
    timeout_ms: int = options.seconds(
        20,
        2,
        60,
        "How long PAM may take until it asks something or has a result. What takes longer is"
        " killed.",
    )


@dataclass(frozen=True, slots=True)
class KerberosConfig:
    """Realms of Kerberos, whose people are signed in by the computers at their desks.

    `backends` in [idp] has its name: `[kerberos."desks"]`. There may be any number of these
    sections. They need the extra `kerberos`: in a checkout, `pip install ".[kerberos]"`, and with
    Debian's packages browserid-kerberos. What it takes to set one up is in
    [connect what you have](backends.md#kerberos).
    """

    keytab: Path | None = options.path(
        "File with the keys of `principal`, for the account of the provider alone (mode 600). It is"
        " read at each sign-in, so that new keys count at once.",
    )
    principal: str = options.text(
        _OWN_PRINCIPAL,
        "The service that browsers get a ticket for: `HTTP/` and the host at which people find the"
        " provider's pages.",
    )
    realms: tuple[str, ...] = options.listing(
        [],
        _KERBEROS_REALM,
        "Realms whose people may sign in. Empty: that of `principal`. Nobody of a name in one of"
        " them is to be somebody else than who has the same name in another.",
    )
    any_case: bool = options.flag(
        False,
        "Whether names that differ in capital letters only are the same person's, as with Active"
        " Directory. Otherwise nobody with a capital letter in the name may sign in. It needs a"
        " `directory_filter`, as a name alone proves nothing there"
        " ([why](backends.md#kerberos-of-active-directory)).",
    )
    addresses: tuple[tuple[str, str], ...] = options.table(
        _PRINCIPAL,
        _SOMEBODY,
        "Addresses of those for whom it is not the name before the @ of the principal, with the"
        ' domain of [idp]: a table such as `[kerberos."desks".addresses]` with a line'
        ' `"lena/admin@EXAMPLE.ORG" = "lena-admin@example.org"`.',
    )
    ask_kdc: bool = options.flag(
        True,
        "Whether the KDC is asked, at sign-ins and before each certificate, if it would still give"
        " somebody tickets (S4U2Self). Without it, there has to be a `directory`.",
    )
    asks_as: str = options.text(
        _OWN_PRINCIPAL,
        "The principal of `keytab` that asks it. Without one it is `principal`, which with Active"
        " Directory is not possible: there it is the service's account, and a `directory_filter` is"
        " needed.",
    )
    directory: str = options.text(
        _OWN_BACKEND,
        'Name of a section `[ldap."NAME"]`, whose directory is asked about the address, at the'
        " same times: whether somebody is there, in a group, and what certificates say of them.",
    )
    directory_filter: str = options.text(
        _PRINCIPAL_FILTER,
        "How people are found in that directory, if not by the address that belongs to their name,"
        " such as `(uid={user})`, or `(&(objectCategory=person)(sAMAccountName={user}))`:"
        " `{principal}` stands for the principal, `{user}` for what is before its @. Their address"
        " is then the one of this domain that the entry has.",
    )
    label: str = options.text(
        _LABEL,
        "What the button on the sign-in page is for, after `Sign in with`. Without one it says that"
        " it is this computer's account.",
    )
    at_once: bool = options.flag(
        False,
        "Whether the sign-in page presses that button by itself, where it is the only way.",
    )
    timeout_ms: int = options.seconds(
        5,
        1,
        30,
        "How long the KDC has for an answer.",
    )


@dataclass(frozen=True, slots=True)
class CertificateConfig:
    """TLS certificates of people, such as those on smart cards, which a web server hands on.

    `backends` in [idp] has its name: `[certificate."cards"]`. There may be any number of these
    sections. What it takes to set one up, with the web server's side of it, is in
    [connect what you have](backends.md#client-certificates-and-smart-cards).
    """

    form: CertificateForm = options.choice(
        "rfc9440",
        get_args(CertificateForm),
        "How the web server writes a certificate into a header: as RFC 9440 says, as nginx has it"
        " in `$ssl_client_escaped_cert`, or as Apache has it in `SSL_CLIENT_CERT`.",
    )
    header: str = options.text(
        _HEADER,
        "The header with the certificate. The web server has to take it out of what clients send.",
        "Client-Cert",
    )
    chain_header: str = options.text(
        _HEADER_OR_NONE,
        "The header with the certificates of the authorities that came with it, for the form"
        " `rfc9440`, there called `Client-Cert-Chain`. Without one they have to be in"
        " `authorities_file`.",
    )
    secret_header: str = options.text(
        _HEADER,
        "The header in which the web server sends the secret. Without it the others say nothing.",
        "Front-Server-Secret",
    )
    secret_file: Path | None = options.path(
        "File with that secret, at least 32 characters, for the account of the provider alone (mode"
        " 600).",
    )
    authorities_file: Path | None = options.path(
        "PEM file with the authorities whose certificates are taken.",
    )
    crl_file: Path | None = options.path(
        "File with the lists of revoked certificates of all of these authorities, in PEM one after"
        " another. It is read again when it has changed. While the list of an authority is missing"
        " or too old, none of its certificates is taken, and nothing is ended. Without a file,"
        " certificates are good until they expire.",
    )
    person: CertificatePerson = options.choice(
        "serial-number",
        get_args(CertificatePerson),
        "What of a certificate is the same in all that its person ever gets, and in nobody else's:"
        " `serialNumber` or `UID` of the subject, the user principal name (`upn`), or, where there"
        " is nothing of the kind, the address.",
    )
    address: CertificateAddress = options.choice(
        "email",
        get_args(CertificateAddress),
        "What of a certificate has the address: its names for mail (`rfc822Name`), or the user"
        " principal name.",
    )
    people_file: Path | None = options.path(
        "File that has the addresses in place of certificates: lines with what `person` says, and"
        " an address. It is read again when it has changed. Who is not in it does not get in.",
    )
    directory: str = options.text(
        _OWN_BACKEND,
        "Directory that has to have the address as well, at a sign-in and before each certificate:"
        ' the name of a section such as `[ldap."staff"]`, with its `groups` and `claims`.',
    )
    label: str = options.text(
        _LABEL,
        'What people call it: the button says "Sign in with" that. Empty: "Sign in with a'
        ' certificate or card".',
    )


@dataclass(frozen=True, slots=True)
class VerifierConfig(WebServerConfig):
    """The service `browserid-verifier`, which verifies assertions for web sites.

    What it takes for good is in [server], [discovery] and [authorities]. It cannot run without a
    TLS certificate.
    """

    port: int = options.count(
        8444,
        0,
        65_535,
        "TCP port to accept connections on; 0: one that is free.",
    )
    remember: bool = options.flag(
        False,
        "Whether an assertion that was verified is refused when it comes again. It is remembered in"
        " the folder `server_directory`. Web sites that ask twice about one need `false`.",
    )
