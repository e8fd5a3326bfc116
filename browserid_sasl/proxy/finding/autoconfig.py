"""The document in which a domain tells mail programs its servers: Thunderbird's autoconfig, 1.1.

https://wiki.mozilla.org/Thunderbird:Autoconfiguration:ConfigFileFormat. It is fetched over HTTPS
only, by the rules for identity providers' documents: no redirects, public addresses unless
`private_hosts` says so, so many octets in so much time. No XML entity is expanded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from xml.etree.ElementTree import Element

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from browserid_sasl.discovery import HttpsFetcher
from browserid_sasl.errors import BrowserIDError, Code, DiscoveryError
from browserid_sasl.identity.addresses import domain_of, in_lower_case, is_host_name, read_port
from browserid_sasl.proxy.accounts import Kind, Security
from browserid_sasl.proxy.finding.candidates import Candidate, Source

PATH: Final = "/mail/config-v1.1.xml"
WELL_KNOWN: Final = f"/.well-known/autoconfig{PATH}"

_MOST: Final = 16
"""Servers of a document that are looked at."""

_KINDS: Final = {"imap": Kind.IMAP, "pop3": Kind.POP, "smtp": Kind.SUBMISSION}
_SECURITIES: Final = {"SSL": Security.TLS, "STARTTLS": Security.STARTTLS}


def fetch(fetcher: HttpsFetcher, address: str) -> list[Candidate]:
    """The servers that the domain of an address tells, in its order; empty for no document.

    Takes its time.
    """
    domain = domain_of(address)
    for host, path in ((f"autoconfig.{domain}", PATH), (f"{domain}", WELL_KNOWN)):
        try:
            answer = fetcher.ask(host, path, {"emailaddress": address})
            if answer.status == 200:
                return parse(answer.body, address)
        except BrowserIDError:
            continue
    return []


def parse(document: bytes, address: str) -> list[Candidate]:
    """The servers in a document that have TLS.

    :param document: of a size that was judged before.
    :raises DiscoveryError: invalid-parameter for what is no such document.
    """
    try:
        root = fromstring(document, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise _invalid(f"it is not XML that can be read ({type(error).__name__})") from None
    provider = root.find("emailProvider")
    if root.tag != "clientConfig" or provider is None:
        raise _invalid("it has no `emailProvider` in a `clientConfig`")
    return list(_candidates(provider, address))


def _candidates(provider: Element, address: str) -> Iterator[Candidate]:
    servers = (*provider.findall("incomingServer"), *provider.findall("outgoingServer"))
    for server in servers[:_MOST]:
        kind = _KINDS.get(server.get("type", ""))
        security = _SECURITIES.get(_text(server, "socketType"))
        host = in_lower_case(_filled(_text(server, "hostname"), address))
        port = read_port(_text(server, "port"))
        if kind and security and port and is_host_name(host):
            yield Candidate(kind, host, port, security, Source.AUTOCONFIG)


def _text(server: Element, name: str) -> str:
    return (server.findtext(name) or "").strip()


def _filled(text: str, address: str) -> str:
    local, _, domain = address.rpartition("@")
    named = {"EMAILADDRESS": address, "EMAILLOCALPART": local, "EMAILDOMAIN": domain}
    for name, value in named.items():
        text = text.replace(f"%{name}%", value)
    return text


def _invalid(why: str) -> DiscoveryError:
    return DiscoveryError(
        Code.INVALID_PARAMETER,
        f"the autoconfig document cannot be used: {why}",
        "tell the domain's administrator, or name the servers yourself",
    )
