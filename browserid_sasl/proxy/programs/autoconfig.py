"""The document in which mail programs look for settings: Thunderbird's autoconfig, 1.1.

https://wiki.mozilla.org/Thunderbird:Autoconfiguration:ConfigFileFormat. What a domain says of its
servers in the same format is read in `proxy.finding.autoconfig`.
"""

from __future__ import annotations

from typing import Final
from xml.etree.ElementTree import Element, SubElement, tostring

from browserid_sasl.identity.addresses import domain_of
from browserid_sasl.proxy.accounts import Account, Kind, Service
from browserid_sasl.proxy.programs.settings import LOOPBACK

EVERY_ADDRESS: Final = "%EMAILADDRESS%"
"""What stands in the document for the address that the person has given the mail program."""

_TYPES: Final = {Kind.IMAP: "imap", Kind.POP: "pop3", Kind.SUBMISSION: "smtp"}
"""ManageSieve has no name in this format."""


def document(account: Account, user: str) -> bytes:
    """The document for an account. No password is in it.

    :param user: the user's name that the mail program is to give.
    """
    domain = domain_of(account.identity) or ""
    root = Element("clientConfig", version="1.1")
    provider = SubElement(root, "emailProvider", id=domain)
    _put(provider, "domain", domain)
    _put(provider, "displayName", account.name)
    _put(provider, "displayShortName", account.name)
    for service in account.services:
        if service.kind in _TYPES:
            _put_server(provider, service, user)
    octets: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return octets + b"\n"


def _put_server(provider: Element, service: Service, user: str) -> None:
    name = "outgoingServer" if service.kind is Kind.SUBMISSION else "incomingServer"
    server = SubElement(provider, name, type=_TYPES[service.kind])
    _put(server, "hostname", LOOPBACK)
    _put(server, "port", str(service.local_port))
    _put(server, "socketType", "plain")
    _put(server, "authentication", "password-cleartext")
    _put(server, "username", user)


def _put(parent: Element, name: str, text: str) -> None:
    SubElement(parent, name).text = text
