"""Names of services and of people, and their GSS-API text forms.

A service is a service principal name (PROTOCOL.md, terms and section 3), a person an e-mail
address. Two names are the same when they compare equal.

In text, a backslash takes away the special meaning of the character after it, so that a name can
hold a separator (RFC 1964 section 2.1.1).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from browserid_sasl.errors import BrowserIDError, Code, LocalProtocolError, RemoteProtocolError
from browserid_sasl.identity.addresses import normal_address

MAX_LENGTH: Final = 512
HOST_SERVICE: Final = "host"

_SERVICE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", re.ASCII)
_HOST: Final = re.compile(r"[A-Za-z0-9_.:-]+", re.ASCII)
_SPECIFIC: Final = re.compile(r"[!-~]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class ServiceName:
    """A service on a host: ``service/host`` or ``service/host/specific``.

    :param service: for example ``imap``.
    :param host: in lower case.
    :param specific: a third component, or empty.
    """

    service: str
    host: str
    specific: str = ""

    @classmethod
    def make(cls, service: str, host: str, specific: str = "") -> ServiceName:
        """Build a name from its parts.

        :raises LocalProtocolError: bad-service-name.
        """
        problem = _problem(service, host, specific)
        if problem:
            raise _bad(LocalProtocolError, problem)
        return cls(service, host.lower().rstrip("."), specific)

    @classmethod
    def parse(cls, text: str) -> ServiceName:
        """Read ``service/host[/specific]``.

        :raises RemoteProtocolError: bad-service-name.
        """
        parts = text.split("/", 2) if len(text) <= MAX_LENGTH else []
        if not 2 <= len(parts) <= 3 or (len(parts) == 3 and not parts[2]):
            raise _bad(RemoteProtocolError, "it is not service/host")
        problem = _problem(*parts)
        if problem:
            raise _bad(RemoteProtocolError, problem)
        service, host, *rest = parts
        return cls(service, host.lower().rstrip("."), rest[0] if rest else "")

    def __str__(self) -> str:
        name = f"{self.service}/{self.host}"
        return f"{name}/{self.specific}" if self.specific else name

    def answers_to(self, claimed: ServiceName, *, host_alias: bool = False) -> bool:
        """Whether an acceptor of this name takes an assertion for the name `claimed`.

        :param host_alias: whether ``host/...`` stands for every service of the host.
        """
        if claimed == self:
            return True
        return host_alias and claimed == ServiceName(HOST_SERVICE, self.host, self.specific)


@dataclass(frozen=True, slots=True)
class UserName:
    """A person.

    :param email: the address, its domain in lower case.
    """

    email: str

    @classmethod
    def make(cls, email: str) -> UserName:
        """Build a name from an address.

        :raises LocalProtocolError: bad-initiator-name.
        """
        address = normal_address(email)
        if address is None:
            raise LocalProtocolError(
                Code.BAD_INITIATOR_NAME, "the name cannot be used: it is not an e-mail address"
            )
        return cls(address)

    def __str__(self) -> str:
        return self.email


def is_service(text: str) -> bool:
    """Whether `text` can be the first component of a `ServiceName` (RFC 4422 section 5)."""
    return _SERVICE.fullmatch(text) is not None


Name = ServiceName | UserName


class NameType(Enum):
    """How a text is to be read as a name, with the object identifier of that form."""

    HOSTBASED_SERVICE = (1, 2, 840, 113554, 1, 2, 1, 4)
    USER_NAME = (1, 2, 840, 113554, 1, 2, 1, 1)
    EMAIL_OR_SPN = (1, 3, 6, 1, 4, 1, 5322, 24, 2, 1)


def import_name(text: str, name_type: NameType, *, local_host: str = "") -> Name:
    """Read a name's text form (``GSS_Import_name``, RFC 2743 section 2.4.5).

    :param text: ``service@host`` for `NameType.HOSTBASED_SERVICE`, an e-mail address for
        `NameType.USER_NAME`, and for `NameType.EMAIL_OR_SPN` either an address or
        ``service/host[/specific]``: what `display_name` writes.
    :param local_host: what ``service`` without a host means.
    :raises LocalProtocolError: bad-service-name, bad-initiator-name, no-hostname,
        bad-name-token.
    """
    if name_type is NameType.HOSTBASED_SERVICE:
        return _import_hostbased(_split(text, "@"), local_host)
    if name_type is NameType.USER_NAME:
        return UserName.make(_split(text, "")[0])
    parts = _split(text, "/")
    if len(parts) == 1:
        return UserName.make(parts[0])
    if len(parts) > 3:
        raise _bad(LocalProtocolError, "it has more than three components")
    return ServiceName.make(*parts)


def display_name(name: Name) -> str:
    """A name's text form (``GSS_Display_name``), which `NameType.EMAIL_OR_SPN` reads again."""
    if isinstance(name, UserName):
        # Its one @ stands between the two parts of the address, where it needs no escape.
        return _escape(name.email, "/")
    specific = f"/{_escape(name.specific, '/@')}" if name.specific else ""
    return f"{name.service}/{name.host}{specific}"


def _import_hostbased(parts: Sequence[str], local_host: str) -> ServiceName:
    if len(parts) > 2:
        raise _bad(LocalProtocolError, "it has more than one @")
    if len(parts) == 1 and not local_host:
        raise LocalProtocolError(
            Code.NO_HOSTNAME, "the service name has no host", "write service@host"
        )
    return ServiceName.make(parts[0], parts[1] if len(parts) == 2 else local_host)


_CONTROLS: Final = {"n": "\n", "t": "\t", "b": "\b", "0": "\0"}


def _split(text: str, separator: str) -> list[str]:
    """The parts between separators that have no backslash before them, without backslashes."""
    if len(text) > MAX_LENGTH:
        raise _bad_text(f"it is longer than {MAX_LENGTH} characters")
    parts = [""]
    characters = iter(text)
    for character in characters:
        if character == "\\":
            escaped = next(characters, None)
            if escaped is None:
                raise _bad_text("it ends with a backslash")
            parts[-1] += _CONTROLS.get(escaped, escaped)
        elif character == separator:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _escape(text: str, separators: str) -> str:
    return "".join(f"\\{each}" if each in f"\\{separators}" else each for each in text)


def _problem(service: str, host: str, specific: str = "") -> str:
    if not is_service(service):
        return "the service has characters that are not permitted"
    if not _HOST.fullmatch(host) or not host.strip("."):
        return "the host is not a host name"
    if specific and not _SPECIFIC.fullmatch(specific):
        return "the third component has characters that are not permitted"
    return ""


def _bad(kind: type[BrowserIDError], why: str) -> BrowserIDError:
    return kind(Code.BAD_SERVICE_NAME, f"the service name cannot be used: {why}")


def _bad_text(why: str) -> LocalProtocolError:
    return LocalProtocolError(Code.BAD_NAME_TOKEN, f"the name cannot be read: {why}")
