"""What the texts in a configuration have to look like: domains, addresses, names, networks, URLs.

Every function takes a text and returns it in its normal spelling, or raises `Unfit`.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import SplitResult, parse_qs, urlsplit

from browserid_sasl.config.colours import LEAST_CONTRAST, least_contrast
from browserid_sasl.database_url import BadDatabaseUrl, parse_database_url
from browserid_sasl.errors import RemoteProtocolError
from browserid_sasl.gss.names import ServiceName, is_service
from browserid_sasl.identity.addresses import is_domain, is_host_name
from browserid_sasl.identity.allow_list import EVERYONE
from browserid_sasl.identity.look_alikes import ACE_PREFIX, letters_of

_SHOWN_LENGTH: Final = 60
_MAX_EMAIL: Final = 254
_MAX_URL: Final = 300
_MAX_MECHANISM: Final = 20
_MAX_WORD: Final = 1024
MAX_MACHINE: Final = 64
"""Characters of a machine's name at the most."""

_MAX_ENTITY: Final = 1024
_MAX_SOCKET_PATH: Final = 107

# Compiled when they are used, as most are not in most processes.
_LOCAL_PART: Final = r"[^\s@]{1,64}"
_NEVER_LITERAL: Final = r'[*?%^$|(){}[\]<>\\",;:]'
_NEVER_FIRST: Final = (".", "!", "-")
_ACCOUNT: Final = r"[A-Za-z_][A-Za-z0-9_.-]{0,31}"
_SOCKET_MODE: Final = r"0?[0-7][0-7]0"
_HOST_PATTERN: Final = r"[a-z0-9*:.-]{1,253}"
_REALM: Final = r"[a-z][a-z0-9_]{0,31}"
_BACKEND: Final = r"[a-z][a-z0-9_-]{0,31}"
_PAM_SERVICE: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
_KERBEROS_REALM: Final = r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?"
_KERBEROS_PRINCIPAL: Final = rf"[\x21-\x3f\x41-\x5b\x5d-\x7e]{{1,255}}@{_KERBEROS_REALM}"
"""Without what would have to be escaped."""

_MAX_DN: Final = 1024
_MAX_LABEL: Final = 64
_PARAMETER: Final = r"[\x21\x23-\x5b\x5d-\x7e]{1,256}"
_PRINCIPAL: Final = r"[^\s@=,]{1,64}@[A-Za-z0-9.-]{1,253}"
_HEADER: Final = r"[A-Za-z][A-Za-z0-9-]{0,63}"
_DN_BEGINS: Final = r"(?:[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)+)="
_ATTRIBUTE: Final = r"[A-Za-z][A-Za-z0-9-]{0,63}"
_CLAIM: Final = r"[a-z][a-z0-9_-]{0,31}"
_RESERVED_CLAIMS: Final = frozenset(
    {"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "principal", "public-key", "email", "saml"}
)
_COLOUR: Final = r"#[0-9A-Fa-f]{6}"
_MECHANISM: Final = r"BROWSERID(?:-[A-Z0-9]+)?"


class Unfit(ValueError):
    """A value that an option cannot have; the caller knows which option and where it stands.

    :param reason: what follows the option's name in the message, for example ``is -1, ...``.
    :param element: index of the offending element when the value is an array.
    """

    def __init__(self, reason: str, element: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.element = element


def shown(text: str) -> str:
    """`text` quoted for a message: printable, and no longer than a line."""
    if len(text) > _SHOWN_LENGTH:
        text = text[: _SHOWN_LENGTH - 3] + "..."
    return ascii(text)


def domain(text: str) -> str:
    """A DNS name of two labels or more, in letters, digits and hyphens, in lower case.

    RFC 1123 section 2.1; `identity.addresses` has the rule.
    """
    name = _host_name(text)
    if not is_domain(name):
        raise Unfit(f"is {shown(text)}, which has no dot in it and so is no domain")
    return name


def own_domain(text: str) -> str:
    """A domain that is looked after here. Of one in other letters there is one spelling only.

    What begins with ``xn--`` has to be what such letters are written as (RFC 3492): anything else
    is shown to people as it is, or as another domain.
    """
    name = domain(text)
    for label in name.split("."):
        if label.startswith(ACE_PREFIX) and letters_of(label) is None:
            raise Unfit(f"is {shown(text)}, in which {shown(label)} stands for no letters")
    return name


def host(text: str) -> str:
    """A DNS name of any number of labels, or an IPv4 or IPv6 address without brackets."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return _host_name(text)


def _host_name(text: str) -> str:
    if not text.isascii():
        raise Unfit(f'is {shown(text)}, which is not in the ASCII ("xn--") form of its name')
    name = text.lower()
    if is_host_name(name):
        return name
    if is_host_name(f"{name}.example"):
        raise Unfit(f"is {shown(text)}, which is an address and not a domain name")
    raise Unfit(f"is {shown(text)}, which is not a domain name")


def network(text: str) -> str:
    """An IP address, or a network such as 192.0.2.0/24 (its host part zero), without a zone."""
    try:
        ipaddress.ip_network(text if "%" not in text else "")
    except ValueError:
        raise Unfit(f"is {shown(text)}, which is not an IP address or network") from None
    return text


def email(text: str) -> str:
    """An e-mail address with an ASCII domain; the domain is put in lower case."""
    local, at, of_domain = text.rpartition("@")
    well_formed = re.fullmatch(_LOCAL_PART, local) and local.isprintable()
    if not at or not well_formed or len(text) > _MAX_EMAIL:
        raise Unfit(f"is {shown(text)}, which is not an e-mail address")
    return f"{local}@{domain(of_domain)}"


def allow_entry(text: str) -> str:
    """Who may log in: a domain, with or without an ``@`` before it, an address, or ``*``.

    Somebody who writes a pattern means more than one address, and with a sign in front of one means
    all others. It would be taken for the one that is spelled like it, which nobody has; so it is
    refused.
    """
    local, _, of_domain = text.rpartition("@")
    if text == EVERYONE:
        return text
    if not local:
        return domain(of_domain)
    if re.search(_NEVER_LITERAL, local) or local.startswith(_NEVER_FIRST):
        raise Unfit(f"is {shown(text)}, and patterns mean nothing here")
    return email(text)


def postgresql_uri(text: str) -> str:
    """The URI of a database of PostgreSQL, as libpq takes it, in which is no secret.

    Whoever can read the configuration would have that; nothing of it is repeated here.
    """
    try:
        parts = urlsplit(text)
        password = parts.password is not None or "password" in parse_qs(parts.query)
    except ValueError:
        raise Unfit("is no URI") from None
    if parts.scheme not in ("postgresql", "postgres"):
        raise Unfit("does not begin with postgresql://")
    if password:
        raise Unfit("has a password in it, which belongs into a file: ?passfile=/path/of/it")
    return text


def database_url(text: str) -> str:
    """The URL of a database that several hosts share; see `database_url`.

    There can be a password in it, so nothing of it is repeated.
    """
    try:
        parse_database_url(text)
    except BadDatabaseUrl as error:
        raise Unfit(str(error)) from None
    return text


def realm(text: str) -> str:
    """A site's name in a database that sites share."""
    if not re.fullmatch(_REALM, text):
        raise Unfit(f"is {shown(text)}, which is no such name")
    return text


def service_principal(text: str) -> str:
    """A service principal name `service/host[/specific]`; the host is put in lower case.

    PROTOCOL.md section 3: the host part compares without regard to case.
    """
    if text.startswith("urn:"):
        raise Unfit(f"is {shown(text)}, which has a dialect's prefix before its service")
    try:
        name = ServiceName.parse(text)
    except RemoteProtocolError:
        raise Unfit(f"is {shown(text)}, which is not of the form service/host") from None
    return str(ServiceName(name.service, host(name.host), name.specific))


def audience_pattern(text: str) -> str:
    """Services: ``imap/mail.example.org``, with ``*`` for any service and within the host's name.

    The host is put in lower case.
    """
    of_service, slash, of_host = text.partition("/")
    if not slash or (of_service != "*" and not is_service(of_service)):
        raise Unfit(f"is {shown(text)}, which is not of the form service/host")
    of_host = of_host.lower()
    if not re.fullmatch(_HOST_PATTERN, of_host):
        raise Unfit(f"is {shown(text)}, whose host is no name, nor one with * in it")
    return f"{of_service}/{of_host}"


def word(text: str) -> str:
    """The name of a command, or an argument of one."""
    if not text.isprintable() or len(text) > _MAX_WORD:
        raise Unfit(f"is {shown(text)}, which is no word of a command")
    return text


def machine(text: str) -> str:
    """What a machine is called, for people."""
    if not is_machine_name(text):
        raise Unfit(f"is {shown(text)}, which is longer than {MAX_MACHINE} characters or no text")
    return text


def is_machine_name(text: str) -> bool:
    """Whether a machine can be called so before people; empty where it has no name."""
    return len(text) <= MAX_MACHINE and text.isprintable() and not text.isspace()


def mechanism(text: str) -> str:
    """A mechanism's SASL name without ``-PLUS`` (PROTOCOL.md section 4.1).

    Which names exist is the mechanism table's business; what is checked here is their form.
    """
    if text.endswith("-PLUS"):
        raise Unfit(f"is {shown(text)}, but channel binding is no part of the name here")
    if len(text) > _MAX_MECHANISM or not re.fullmatch(_MECHANISM, text):
        raise Unfit(f"is {shown(text)}, which is not the name of a BROWSERID mechanism")
    return text


def service(text: str) -> str:
    """A service's SASL name (RFC 4422 section 5)."""
    if not is_service(text):
        raise Unfit(f"is {shown(text)}, which is not the name of a service")
    return text


def account(text: str) -> str:
    """The name of an account or a group of this machine."""
    if not re.fullmatch(_ACCOUNT, text):
        raise Unfit(f"is {shown(text)}, which cannot be such a name")
    return text


def socket_mode(text: str) -> str:
    """A socket's permissions in octal. Others than owner and group have none, ever."""
    if not re.fullmatch(_SOCKET_MODE, text):
        raise Unfit(f"is {shown(text)}, which is not a mode that leaves others out")
    return text


def socket_path(text: str) -> str:
    """The path of a Unix socket, which is absolute and short (unix(7))."""
    if not text.startswith("/") or not text.isprintable():
        raise Unfit(f"is {shown(text)}, which is not an absolute path")
    if len(text.encode()) > _MAX_SOCKET_PATH:
        raise Unfit(f"is {shown(text)}, which is longer than the {_MAX_SOCKET_PATH} octets of one")
    return text


def entity_id(text: str) -> str:
    """The entity identifier of a SAML authority, which compares as it is spelled.

    SAML 2.0 core section 8.3.6: a URI of 1024 characters at the most. That it is a URI is not
    insisted on, because not every authority does.
    """
    if not text or len(text) > _MAX_ENTITY or not text.isprintable() or " " in text:
        raise Unfit(f"is {shown(text)}, which is not an entity identifier")
    return text


def https_origin(text: str) -> str:
    """``https://HOST[:PORT]`` as browsers write it, without the slash that may follow.

    A text that holds a password is refused without being repeated.
    """
    if "@" in text:
        raise Unfit("has a user name or password in it")
    parts = _split_url(text)
    if parts.scheme != "https":
        raise Unfit(f"is {shown(text)}, which does not begin with https://")
    if parts.path not in ("", "/") or parts.query or parts.fragment or text[-1] in "?#":
        raise Unfit(f"is {shown(text)}, which has more in it than a host and a port")
    if not parts.hostname:
        raise Unfit(f"is {shown(text)}, which has no host")
    name = host(parts.hostname)
    if "[" in text and ":" not in name:
        raise Unfit(f"is {shown(text)}, which has no IPv6 address between its brackets")
    bracketed = f"[{name}]" if ":" in name else name
    return f"https://{bracketed}" + (f":{parts.port}" if parts.port not in (None, 443) else "")


def backend(text: str) -> str:
    """The name of something that knows people."""
    if not re.fullmatch(_BACKEND, text):
        raise Unfit(f"is {shown(text)}, which is no such name")
    return text


def own_backend(text: str) -> str:
    """Such a name that is not that of the provider's own accounts."""
    if text == "accounts":
        raise Unfit(f"is {shown(text)}, which the provider's own accounts are called")
    return backend(text)


def ldap_url(text: str) -> str:
    """``ldaps://HOST[:PORT]``, ``ldap://`` likewise, or ``ldapi://%2FPATH``."""
    if "@" in text:
        raise Unfit("has a user name or password in it")
    parts = _split_url(text)
    if parts.scheme not in ("ldap", "ldaps", "ldapi"):
        raise Unfit(f"is {shown(text)}, which begins with none of ldaps://, ldap:// and ldapi://")
    if parts.path not in ("", "/") or parts.query or parts.fragment or not parts.netloc:
        raise Unfit(f"is {shown(text)}, which is not a server and no more")
    if parts.scheme == "ldapi":
        return f"ldapi://{parts.netloc}"
    return f"{parts.scheme}://{parts.netloc.lower()}"


def distinguished_name(text: str) -> str:
    """The name of an entry of a directory (RFC 4514), as far as it can be seen that it is one."""
    if not text.isprintable() or len(text) > _MAX_DN or not re.match(_DN_BEGINS, text):
        raise Unfit(f"is {shown(text)}, which is not of the form attribute=value,...")
    return text


def bind_name(text: str) -> str:
    """Such a name, or a `userPrincipalName`, which Active Directory takes in its place."""
    is_principal = text.isprintable() and re.fullmatch(_PRINCIPAL, text)
    return text if is_principal else distinguished_name(text)


def dn_template(text: str) -> str:
    """A distinguished name with a place in it for the address, or what is before its @."""
    return distinguished_name(_with_place(text))


def ldap_filter(text: str) -> str:
    """A search filter (RFC 4515) with such a place in it."""
    return _with_place(_filter(text))


def principal_filter(text: str) -> str:
    """A search filter with a place for a principal of Kerberos, or what is before its @."""
    return _with_place(_filter(text), "{principal}")


def _filter(text: str) -> str:
    nested = text.startswith("(") and text.endswith(")") and text.count("(") == text.count(")")
    if not nested or not text.isprintable() or len(text) > _MAX_DN:
        raise Unfit(f"is {shown(text)}, which is not a filter in parentheses")
    return text


def _with_place(text: str, whole: str = "{address}") -> str:
    places = re.findall(r"\{[^{}]*\}", text)
    if not places or not set(places) <= {whole, "{user}"}:
        raise Unfit(f"is {shown(text)}, which has to have {whole} or {{user}}, and no other {{")
    return text


def ldap_attribute(text: str) -> str:
    """The name of an attribute of a directory's entries (RFC 4512 section 1.4)."""
    if not re.fullmatch(_ATTRIBUTE, text):
        raise Unfit(f"is {shown(text)}, which is not the name of an attribute")
    return text


def pam_service(text: str) -> str:
    """The name of a service of PAM, which is that of a file."""
    if not re.fullmatch(_PAM_SERVICE, text):
        raise Unfit(f"is {shown(text)}, which is not the name of a service")
    return text


def pam_user(text: str) -> str:
    """The name of an account with a place in it for the address, or what is before its @."""
    if (
        not text.isprintable()
        or not text.isascii()
        or text.startswith("-")
        or set(text) & set("/: ")
    ):
        raise Unfit(f"is {shown(text)}, which is not the name of an account")
    return _with_place(text)


def kerberos_realm(text: str) -> str:
    """A realm of Kerberos, in which capital letters matter (RFC 4120 section 6.1)."""
    if not re.fullmatch(_KERBEROS_REALM, text):
        raise Unfit(f"is {shown(text)}, which is not the name of a realm")
    return text


def principal(text: str) -> str:
    """A principal of Kerberos with its realm."""
    if not re.fullmatch(_KERBEROS_PRINCIPAL, text):
        raise Unfit(f"is {shown(text)}, which is not of the form name@REALM")
    return text


def claim(text: str) -> str:
    """The name of something that certificates say besides what every certificate says."""
    if not re.fullmatch(_CLAIM, text) or text in _RESERVED_CLAIMS:
        raise Unfit(f"is {shown(text)}, which is not the name of a further claim")
    return text


def issuer(text: str) -> str:
    """The name of a provider of OpenID Connect: an https URL (Core 1.0 section 2), as it is."""
    if "@" in text:
        raise Unfit("has a user name or password in it")
    parts = _split_url(text)
    if parts.scheme != "https" or not parts.hostname:
        raise Unfit(f"is {shown(text)}, which does not begin with https:// and a host")
    if parts.query or parts.fragment or text[-1] in "?#":
        raise Unfit(f"is {shown(text)}, which has a query or a fragment")
    return text


def label(text: str) -> str:
    """What a button says."""
    if not text.isprintable() or text != text.strip() or not 0 < len(text) <= _MAX_LABEL:
        raise Unfit(f"is {shown(text)}, which is no such text")
    return text


def accent_colour(text: str) -> str:
    """A colour `#rrggbb` in which letters can be read on the pages (WCAG 2.2, section 1.4.3)."""
    if not re.fullmatch(_COLOUR, text):
        raise Unfit(f"is {shown(text)}, which is not of the form #rrggbb")
    found = least_contrast(text)
    if found < LEAST_CONTRAST:
        raise Unfit(
            f"is {shown(text)}, whose contrast with the pages is {found:.1f} to 1: letters in it"
            f" are read from {LEAST_CONTRAST} to 1 on, which a darker one has"
        )
    return text.lower()


def parameter(text: str) -> str:
    """A word, or the name of something, in a request of OAuth: without a space in it."""
    if not re.fullmatch(_PARAMETER, text):
        raise Unfit(f"is {shown(text)}, which is no such word")
    return text


def header(text: str) -> str:
    """The name of a header of HTTP, without a _, which some servers take for a -."""
    if not re.fullmatch(_HEADER, text):
        raise Unfit(f"is {shown(text)}, which is not the name of a header")
    return text


def _split_url(text: str) -> SplitResult:
    if len(text) > _MAX_URL or not text.isascii() or not text.isprintable() or " " in text:
        raise Unfit(f"is {shown(text)}, which is not a URL")
    try:
        parts = urlsplit(text)
        valid = parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise Unfit(f"is {shown(text)}, which is not a URL")
    return parts
