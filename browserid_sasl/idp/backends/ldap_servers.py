"""Connections to the servers of a directory, by python-ldap (the extra ``ldap``).

A connection is made for one question and closed after it. Each server has a time for all of it.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import ldap
from ldap.controls import DecodeControlTuples
from ldap.controls.libldap import SimplePagedResultsControl
from ldap.controls.ppolicy import PasswordPolicyControl

from browserid_sasl.discovery.public_addresses import is_loopback
from browserid_sasl.idp.backends import Denial, DeniedError, UnavailableError
from browserid_sasl.idp.backends.channels import MOST_HEARD, ChannelError, channel

MOST_SERVERS: Final = 4

_PAGE: Final = 500
_LISTING_S: Final = 3_600
_MOST_LISTED: Final = 1 << 30
"""What a list of all people may take: entries in an answer, seconds, and octets."""

_LAST_FOR_S: Final = 30
"""For how long a server that has failed is asked after the others."""

_PASSWORD_EXPIRED: Final = 0
_ACCOUNT_LOCKED: Final = 1
_CHANGE_AFTER_RESET: Final = 2
"""Errors of the control for password policies (draft-behera-ldap-password-policy, section 6.2)."""

_BY_POLICY: Final = {
    _PASSWORD_EXPIRED: Denial.PASSWORD_EXPIRED,
    _ACCOUNT_LOCKED: Denial.LOCKED,
    _CHANGE_AFTER_RESET: Denial.PASSWORD_RESET,
}

_BY_DATA: Final = {
    "530": Denial.NOT_NOW,
    "531": Denial.NOT_NOW,
    "532": Denial.PASSWORD_EXPIRED,
    "533": Denial.DISABLED,
    "701": Denial.EXPIRED,
    "773": Denial.PASSWORD_RESET,
    "775": Denial.LOCKED,
}
"""What Active Directory has as `data` in its message when it refuses a bind ([MS-ERREF] 2.2, the
numbers of Windows in hexadecimal)."""

_OPTIONS: Final = (
    (ldap.OPT_PROTOCOL_VERSION, ldap.VERSION3),
    # A server that is asked has to know: with a referral it could send a password anywhere.
    (ldap.OPT_REFERRALS, ldap.OPT_OFF),
    (ldap.OPT_DEREF, ldap.DEREF_NEVER),
)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How the servers are reached.

    :param servers: their URLs.
    :param ca_file: the authorities whose certificates are believed of them.
    :param plaintext: whether one at a loopback address is spoken to without TLS.
    :param bind_dn: who the provider is, empty for nobody.
    :param bind_password: secret.
    :param timeout: ms for all that one server is asked about one person.
    """

    servers: tuple[str, ...]
    ca_file: Path
    plaintext: bool
    bind_dn: str
    bind_password: str = field(repr=False)
    timeout: int


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the directory.

    :param dn: its name.
    :param attributes: the values of those that were asked for, by names in lower case.
    """

    dn: str
    attributes: dict[str, list[bytes]]

    def has_more(self, attribute: str) -> bool:
        """Whether there are more values than the server gives at once ([MS-ADTS] 3.1.1.3.1.3.3)."""
        return any(name.startswith(f"{attribute.lower()};range=") for name in self.attributes)


class NoSuchPlaceError(Exception):
    """The entry from which a search is to begin is not there, or not for who searches."""


class Servers:
    """The servers of a directory. Safe for threads.

    :param access: how they are reached.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._failed: dict[str, float] = {}

    def ask(self, question: Callable[[Connection], _T], *, at_length: bool = False) -> _T:
        """Ask the first server that answers.

        :param at_length: whether it is about all people: each answer has the time that one person
            has otherwise.
        :raises DeniedError: what `question` raises.
        :raises UnavailableError: none does.
        """
        faults = []
        for server in self._in_order():
            try:
                return self._ask(server, question, at_length=at_length)
            except ldap.LDAPError as error:
                self._failed[server] = time.monotonic()
                faults.append(f"{server}: {_described(error)}")
        raise UnavailableError("; ".join(faults))

    def ask_each(self, question: Callable[[Connection], object]) -> list[str]:
        """Ask all servers; what is wrong with those that do not answer as they should."""
        faults = []
        for server in self._access.servers:
            try:
                self._ask(server, question)
            except ldap.LDAPError as error:
                faults.append(f"{server}: {_described(error)}")
            except UnavailableError as error:
                faults.append(f"{server}: {error}")
        return faults

    def _ask(
        self, server: str, question: Callable[[Connection], _T], *, at_length: bool = False
    ) -> _T:
        seconds = _LISTING_S if at_length else self._access.timeout / 1000
        deadline = time.monotonic() + seconds
        most = _MOST_LISTED if at_length else MOST_HEARD
        with _connected(server, self._access, deadline, most) as connection:
            connection.bind(self._access.bind_dn, self._access.bind_password)
            answer = question(Connection(connection, server, self._access, deadline))
        self._failed.pop(server, None)
        return answer

    def _in_order(self) -> Sequence[str]:
        """Those that have failed of late come last."""
        now = time.monotonic()
        return sorted(
            self._access.servers,
            key=lambda each: now - self._failed.get(each, -_LAST_FOR_S) < _LAST_FOR_S,
        )


class Connection:
    """What one server can be asked.

    :param connection: on which the provider is who it is.
    :param server: its URL.
    :param access: how it is reached.
    :param deadline: by the monotonic clock.
    """

    def __init__(
        self, connection: _Connection, server: str, access: Access, deadline: float
    ) -> None:
        self._connection = connection
        self._server = server
        self._access = access
        self._deadline = deadline

    def search(self, base: str, scope: int, filter: str, attributes: Sequence[str]) -> list[Entry]:
        """Entries, two at the most.

        :param scope: one of python-ldap's.
        :raises NoSuchPlaceError: there is no `base`.
        """
        return self._connection.search(base, scope, filter, attributes)

    def pages(
        self, base: str, filter: str, attributes: Sequence[str]
    ) -> Iterator[tuple[list[Entry], bool]]:
        """All entries below one, some at a time, and whether the rest of these is elsewhere.

        :raises NoSuchPlaceError: there is no `base`.
        """
        return self._connection.pages(base, filter, attributes)

    def is_password(self, dn: str, password: str) -> bool:
        """Whether this is the password of an entry.

        On a connection of its own: on this one the provider stays who it is.

        :param password: secret, not empty: a server takes an empty one from anybody, and says yes.
        :raises DeniedError: it is, or would be, and the server does not let them in.
        """
        if not password:
            return False
        with _connected(self._server, self._access, self._deadline) as connection:
            return connection.is_password(dn, password)


class _Connection:
    """A connection, whoever one is on it."""

    def __init__(self, connection: Any, deadline: float, answer_s: float) -> None:
        self._ldap = connection
        self._deadline = deadline
        self._answer_s = answer_s

    def bind(self, dn: str, password: str) -> None:
        try:
            self._bound(dn, password)
        except ldap.INVALID_CREDENTIALS:
            raise ldap.LDAPError({"desc": f"the password of {dn} is not taken"}) from None

    def is_password(self, dn: str, password: str) -> bool:
        try:
            answered = self._bound(dn, password, PasswordPolicyControl())
        except (ldap.INVALID_CREDENTIALS, ldap.INSUFFICIENT_ACCESS) as error:
            _raise_denial(error)
            return False
        except ldap.CONSTRAINT_VIOLATION:
            # 389 Directory Server, for an entry that is locked.
            raise DeniedError(Denial.LOCKED) from None
        except ldap.UNWILLING_TO_PERFORM:
            raise DeniedError(Denial.DISABLED) from None
        except (ldap.NO_SUCH_OBJECT, ldap.INVALID_DN_SYNTAX, ldap.INAPPROPRIATE_AUTH):
            return False
        _raise_policy(answered)
        return True

    def search(self, base: str, scope: int, filter: str, attributes: Sequence[str]) -> list[Entry]:
        message = self._ldap.search_ext(
            base, scope, filter, list(attributes), sizelimit=2, timeout=self._left()
        )
        try:
            _, data, _, _ = self._ldap.result3(message, timeout=self._left())
        except ldap.NO_SUCH_OBJECT:
            raise NoSuchPlaceError(base) from None
        except ldap.SIZELIMIT_EXCEEDED:
            raise DeniedError(Denial.AMBIGUOUS) from None
        return _entries(data)

    def pages(
        self, base: str, filter: str, attributes: Sequence[str]
    ) -> Iterator[tuple[list[Entry], bool]]:
        # Critical: a server that knows no pages (RFC 2696) says so, and does not leave some out.
        control = SimplePagedResultsControl(True, size=_PAGE, cookie="")
        while True:
            message = self._ldap.search_ext(
                base, ldap.SCOPE_SUBTREE, filter, list(attributes), serverctrls=[control]
            )
            try:
                _, data, _, answered = self._ldap.result3(message, timeout=self._left())
            except ldap.NO_SUCH_OBJECT:
                raise NoSuchPlaceError(base) from None
            yield _entries(data), any(dn is None for dn, _ in data)
            cookies = [each.cookie for each in answered if each.controlType == control.controlType]
            if not any(cookies):
                return
            [control.cookie] = cookies

    def _bound(self, dn: str, password: str, *controls: Any) -> list[Any]:
        """The controls of a successful answer."""
        message = self._ldap.simple_bind(dn, password, serverctrls=list(controls))
        _, _, _, answered = self._ldap.result3(message, timeout=self._left())
        return list(answered)

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise ldap.TIMEOUT({"desc": "the time is over"})
        return min(left, self._answer_s)


def _entries(data: Iterable[tuple[str | None, Any]]) -> list[Entry]:
    # References to other servers are not followed: they have no name.
    return [
        Entry(dn, {name.lower(): each for name, each in values.items()})
        for dn, values in data
        if dn
    ]


@contextmanager
def _connected(
    server: str, access: Access, deadline: float, most: int = MOST_HEARD
) -> Iterator[_Connection]:
    """A connection that nobody else can read, to a server that is the one it is to be."""
    context = _context(access.ca_file) if _needs_tls(server, access) else None
    try:
        with channel(server, context, deadline, most) as end:
            connection = ldap.initialize("ldapi:///", fileno=end.detach())
            for option, value in _OPTIONS:
                connection.set_option(option, value)
            try:
                yield _Connection(connection, deadline, access.timeout / 1000)
            finally:
                connection.unbind_ext_s()
    except ChannelError as error:
        raise ldap.CONNECT_ERROR({"desc": str(error)}) from None


def _needs_tls(server: str, access: Access) -> bool:
    scheme = urlsplit(server).scheme
    plain = scheme == "ldap" and access.plaintext and is_at_loopback(server)
    return scheme != "ldapi" and not plain


def _context(ca_file: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def is_at_loopback(server: str) -> bool:
    """Whether the host in a server's URL is a loopback address."""
    return is_loopback(urlsplit(server).hostname or "")


def _raise_denial(error: ldap.LDAPError) -> None:
    """Raise what a refused bind says besides that."""
    described = error.args[0] if error.args else {}
    _raise_policy(DecodeControlTuples(described.get("ctrls") or []))
    words = str(described.get("info", "")).split()
    data = words[words.index("data") + 1 :] if "data" in words else []
    denial = _BY_DATA.get(data[0].rstrip(",").lower()) if data else None
    if denial:
        raise DeniedError(denial) from None


def _raise_policy(controls: Sequence[Any]) -> None:
    for control in controls:
        denial = _BY_POLICY.get(getattr(control, "error", None))  # type: ignore[arg-type]
        if denial:
            raise DeniedError(denial) from None


def _described(error: ldap.LDAPError) -> str:
    """What went wrong, without what somebody has typed."""
    described = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    words = [str(described.get(name, "")) for name in ("desc", "info")]
    return ascii(" ".join(filter(None, words)) or type(error).__name__)[1:-1]
