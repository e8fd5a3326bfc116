"""Service principal names (PROTOCOL.md, terms and section 3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from browserid_sasl.errors import BrowserIDError, Code, LocalProtocolError, RemoteProtocolError

MAX_LENGTH: Final = 512
HOST_SERVICE: Final = "host"

_SERVICE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)
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


def _problem(service: str, host: str, specific: str = "") -> str:
    if not _SERVICE.fullmatch(service):
        return "the service has characters that are not permitted"
    if not _HOST.fullmatch(host) or not host.strip("."):
        return "the host is not a host name"
    if specific and not _SPECIFIC.fullmatch(specific):
        return "the third component has characters that are not permitted"
    return ""


def _bad(kind: type[BrowserIDError], why: str) -> BrowserIDError:
    return kind(Code.BAD_SERVICE_NAME, f"the service name can not be used: {why}")
