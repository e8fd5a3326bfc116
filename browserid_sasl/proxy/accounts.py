"""The accounts that mail programs use through the agent, and the passwords of their loopback side.

They are in one file beside the person's keys. A password is in that file, which only its owner can
read, or in the desktop's keyring, as keys are (`keys` in the configuration). It lets a program of
this machine in, and means nothing to any server.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import string
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

from browserid_sasl.agent.keyring import Keyring, Verb
from browserid_sasl.config import Config
from browserid_sasl.errors import (
    BrowserIDError,
    Code,
    ConfigurationError,
    LocalProtocolError,
    StoreError,
)
from browserid_sasl.identity.addresses import MAX_PORT, domain_of, in_lower_case, is_host_name
from browserid_sasl.jose import json as strict
from browserid_sasl.private_files import (
    Stamp,
    create_private,
    make_private_folder,
    read_private,
    stamp_if_there,
    write_atomically,
)

FILE: Final = "mail.json"
MAX_ACCOUNTS: Final = 64

_VERSION: Final = 1
_MAX_SIZE: Final = 262_144
_MAX_NAME: Final = 254
_MAX_PASSWORD: Final = 256
_PASSWORD_LENGTH: Final = 24
_PASSWORD_ALPHABET: Final = string.ascii_letters + string.digits


class Kind(StrEnum):
    """What a mail program does at a service."""

    IMAP = "imap"
    POP = "pop"
    SUBMISSION = "submission"
    SIEVE = "sieve"

    @property
    def sasl_service(self) -> str:
        """The service's name in an audience (GSSAPI/SASL service name registry of IANA)."""
        return "smtp" if self is Kind.SUBMISSION else self.value


class Security(StrEnum):
    """How TLS begins on the way to a server. There is no way without."""

    TLS = "tls"
    STARTTLS = "starttls"


_Word = TypeVar("_Word", Kind, Security)


@dataclass(frozen=True, slots=True)
class Service:
    """A server, and where on loopback it is reached.

    :param host: its name, in lower case.
    :param local_port: TCP port on loopback, of this service alone.
    """

    kind: Kind
    host: str
    port: int
    security: Security
    local_port: int


@dataclass(frozen=True, slots=True)
class Account:
    """A mailbox of the person's.

    :param name: what commands call it, and the mail program's user name.
    :param identity: the address that logs in.
    :param authzid: what the server calls the user where that is something else; else empty.
    :param services: at most one of a kind.
    """

    name: str
    identity: str
    authzid: str
    services: tuple[Service, ...]

    def service(self, kind: Kind) -> Service | None:
        """Its service of a kind, None if it has none."""
        return next((each for each in self.services if each.kind is kind), None)

    def socket_name(self, kind: Kind) -> str:
        """The file name of the Unix socket of one of its services."""
        return f"{quote(self.name, safe='@+')}.{kind}"


def is_same_name(one: str, other: str) -> bool:
    """Whether two names are those of the same account: the case of ASCII letters is nothing."""
    return in_lower_case(one) == in_lower_case(other)


def make_password() -> str:
    """A random password that no program, shell or format has to quote (143 bits)."""
    return "".join(secrets.choice(_PASSWORD_ALPHABET) for _ in range(_PASSWORD_LENGTH))


def check(account: Account) -> None:
    """See that an account can be kept.

    :raises LocalProtocolError: invalid-parameter, with what is wrong with it.
    """
    if not _is_name(account.name):
        raise _refused(
            f"{account.name[:_MAX_NAME]!r} cannot be the name of an account",
            f"it has 1 to {_MAX_NAME} characters that can be shown, and at its beginning no hyphen"
            " and no space, nor one at its end",
        )
    if domain_of(account.identity) is None:
        raise _refused(
            f"{account.identity[:_MAX_NAME]!r} is not an e-mail address such as you@example.org",
            "give the address that you sign in with",
        )
    if account.authzid and not _is_name(account.authzid):
        raise _refused(f"{account.authzid[:_MAX_NAME]!r} cannot be a user's name on a server", "")
    for service in account.services:
        _check_service(service)
    kinds = [each.kind for each in account.services]
    ports = [each.local_port for each in account.services]
    if not kinds or len(set(kinds)) < len(kinds) or len(set(ports)) < len(ports):
        raise _refused(
            f"the account {account.name} has no service, two of a kind, or two at one local port",
            "give it one service of each kind, each with a local port of its own",
        )


class Accounts:
    """The accounts of one person. Safe for threads and for several processes.

    :param folder: of the person's keys.
    :param use_keyring: whether passwords of new accounts go to the keyring.
    :param keyring: the desktop's; None for that of the session.
    """

    def __init__(
        self, folder: Path, *, use_keyring: bool = False, keyring: Keyring | None = None
    ) -> None:
        self.path: Final = folder / FILE
        self._use_keyring = use_keyring
        self._keyring = keyring or Keyring()
        self._lock = threading.Lock()
        self._stamp: Stamp | None = None
        self._known: dict[str, str] = {}

    @classmethod
    def of(cls, config: Config) -> Self:
        """Those of the person whose configuration it is."""
        return cls(config.store.directory, use_keyring=config.client.keys == "keyring")

    def read(self) -> tuple[Account, ...]:
        """All of them.

        :raises ConfigurationError: the file is damaged, or of a later release.
        :raises StoreError: it cannot be read, or is not the person's alone.
        """
        return tuple(each.account for each in self._read().kept)

    @property
    def answer_port(self) -> int | None:
        """The port of loopback at which mail programs are told of the accounts; None for none yet.

        :raises BrowserIDError: what `read` raises.
        """
        return self._read().answer_port

    def keep_answer_port(self, port: int) -> None:
        """Have that port from now on: mail programs are told it once.

        :raises LocalProtocolError: it is no port, or that of an account.
        :raises StoreError: it cannot be written; or what `read` raises.
        """
        with self._changing() as contents:
            changed = replace(contents, answer_port=port)
            changed.check()
            self._write(changed)

    def get(self, name: str) -> Account:
        """One of them, by its name.

        :raises LocalProtocolError: there is none of that name; or what `read` raises.
        """
        return _find(self._read().kept, name).account

    def add(self, account: Account, password: str) -> None:
        """Keep an account. It is there whole or not at all.

        :param password: for its loopback side, see `make_password`.
        :raises LocalProtocolError: it is no account, or its name or one of its local ports is that
            of another.
        :raises StoreError: it cannot be written; or what `read` raises.
        """
        check(account)
        with self._changing() as contents:
            changed = replace(contents, kept=(*contents.kept, _Kept(account, password)))
            changed.check()
            stored = password if not self._put(account.name, password) else ""
            try:
                self._write(replace(changed, kept=(*contents.kept, _Kept(account, stored))))
            except BaseException:
                if not stored:
                    self._ask_keyring("delete", account.name)
                raise

    def remove(self, name: str) -> Account:
        """Forget an account and its password.

        :returns: what it was.
        :raises LocalProtocolError: there is none of that name.
        :raises StoreError: it cannot be written; or what `read` raises.
        """
        with self._changing() as contents:
            gone = _find(contents.kept, name)
            left = tuple(each for each in contents.kept if each is not gone)
            self._write(replace(contents, kept=left))
            if not gone.password:
                self._ask_keyring("delete", gone.account.name)
        return gone.account

    def password(self, name: str) -> str:
        """The password of an account's loopback side.

        :raises LocalProtocolError: there is no account of that name.
        :raises StoreError: the keyring that has it does not answer; or what `read` raises.
        """
        kept = _find(self._read().kept, name)
        return kept.password or self._password_in_keyring(kept.account.name)

    def _password_in_keyring(self, name: str) -> str:
        stamp = stamp_if_there(self.path)
        with self._lock:
            if stamp == self._stamp and name in self._known:
                return self._known[name]
        password = self._ask_keyring("get", name)
        if not password:
            raise StoreError(
                Code.CACHE_ERROR,
                f"the password of the account {name} is in the desktop's keyring, which does not"
                " give it",
                "unlock the keyring; or `browserid mail remove` the account and add it again",
            )
        with self._lock:
            if stamp != self._stamp:
                self._known.clear()
            self._stamp = stamp
            self._known[name] = password
        return password

    def _put(self, name: str, password: str) -> bool:
        return self._use_keyring and self._ask_keyring("put", name, password) is not None

    def _ask_keyring(self, verb: Verb, name: str, secret: str = "") -> str | None:
        return self._keyring.ask(verb, f"mail {name} ({self.path})", secret)

    def _read(self) -> _Contents:
        try:
            octets = read_private(self.path)
        except FileNotFoundError:
            return _Contents()
        except OSError as error:
            raise _unusable(self.path, "read", error) from None
        try:
            return _parse(octets)
        except BrowserIDError as error:
            raise ConfigurationError(
                f"the file of mail accounts cannot be used: {error.message}",
                error.remedy
                or "move it away, `browserid mail add` your accounts again, and give your mail"
                " programs the new passwords",
                file=str(self.path),
            ) from None

    def _write(self, contents: _Contents) -> None:
        octets = json.dumps(contents.members, indent=2, ensure_ascii=False).encode() + b"\n"
        try:
            write_atomically(self.path, octets)
        except OSError as error:
            raise _unusable(self.path, "written", error) from None

    @contextmanager
    def _changing(self) -> Iterator[_Contents]:
        """What is kept, and nobody else changes it meanwhile."""
        lock = self.path.with_suffix(".lock")
        try:
            make_private_folder(self.path.parent)
            create_private(lock)
            descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise _unusable(lock, "made", error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield self._read()
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class _Kept:
    """An account as the file has it.

    :param password: empty if it is in the keyring.
    """

    account: Account
    password: str = field(repr=False)

    @property
    def members(self) -> dict[str, object]:
        members = asdict(self.account)
        return members | {"password": self.password} if self.password else members


@dataclass(frozen=True, slots=True)
class _Contents:
    """What the file has.

    :param answer_port: of loopback, for who asks what accounts there are; None if none was chosen.
    """

    kept: tuple[_Kept, ...] = ()
    answer_port: int | None = None

    @property
    def members(self) -> dict[str, object]:
        members: dict[str, object] = {"version": _VERSION}
        if self.answer_port is not None:
            members["answer_port"] = self.answer_port
        return members | {"accounts": [each.members for each in self.kept]}

    def check(self) -> None:
        """See that no two accounts have a name or a local port in common.

        :raises LocalProtocolError: they have, or there are too many.
        """
        for number, each in enumerate(self.kept):
            _see_that_it_is_new(each.account, self.kept[:number])
        if self.answer_port is None:
            return
        _check_port(self.answer_port)
        if self.answer_port in _taken(self.kept):
            raise _refused(
                f"the local port {self.answer_port} belongs to the answer to mail programs that"
                " ask for an account's settings",
                "choose another one",
            )


def _taken(kept: Sequence[_Kept]) -> dict[int, Account]:
    return {port.local_port: each.account for each in kept for port in each.account.services}


def _find(kept: Sequence[_Kept], name: str) -> _Kept:
    for each in kept:
        if is_same_name(each.account.name, name):
            return each
    names = ", ".join(each.account.name for each in kept)
    raise _refused(
        f"there is no mail account called {name[:_MAX_NAME]!r}",
        f"there are {names}" if names else "`browserid mail add ADDRESS` makes one",
    )


def _see_that_it_is_new(account: Account, kept: Sequence[_Kept]) -> None:
    if len(kept) >= MAX_ACCOUNTS:
        raise _refused(f"there are {MAX_ACCOUNTS} accounts already", "remove one first")
    taken = _taken(kept)
    for each in kept:
        if is_same_name(each.account.name, account.name):
            raise _refused(
                f"there is an account called {each.account.name} already",
                "`browserid mail remove` it first, or give this one another name",
            )
    for service in account.services:
        if service.local_port in taken:
            raise _refused(
                f"the local port {service.local_port} belongs to the account"
                f" {taken[service.local_port].name}",
                "choose another one",
            )


def _parse(octets: bytes) -> _Contents:
    what = "the file"
    document = strict.parse_object(octets, what, _MAX_SIZE)
    version = document.get("version")
    if version != _VERSION or isinstance(version, bool):
        later = isinstance(version, int) and version > _VERSION
        raise _refused(
            "it was written by a later release" if later else "it does not say its version",
            "use that release, or move the file away" if later else "",
        )
    accounts = _objects(document, "accounts", what)
    port = _number(document, "answer_port", what) if "answer_port" in document else None
    contents = _Contents(tuple(map(_parse_account, accounts)), port)
    contents.check()
    return contents


def _parse_account(value: Mapping[str, Any]) -> _Kept:
    what = "an account"
    account = Account(
        strict.string(value, "name", what),
        strict.string(value, "identity", what),
        strict.string(value, "authzid", what),
        tuple(_parse_service(each) for each in _objects(value, "services", what)),
    )
    check(account)
    password = strict.optional_string(value, "password", what, max_length=_MAX_PASSWORD) or ""
    return _Kept(account, password)


def _parse_service(value: Mapping[str, Any]) -> Service:
    what = "a service"
    return Service(
        _parse_word(Kind, value, "kind"),
        strict.string(value, "host", what),
        _number(value, "port", what),
        _parse_word(Security, value, "security"),
        _number(value, "local_port", what),
    )


def _parse_word(kind: Callable[[str], _Word], value: Any, name: str) -> _Word:
    word = strict.string(value, name, "a service")
    try:
        return kind(word)
    except ValueError:
        raise _refused(f"{word[:32]!r} is no `{name}` of a service", "") from None


def _objects(value: Mapping[str, Any], name: str, what: str) -> list[Mapping[str, Any]]:
    members = value.get(name)
    if not isinstance(members, list) or not all(isinstance(each, dict) for each in members):
        raise _refused(f"{what} has no list of {name}", "")
    return members


def _number(value: Mapping[str, Any], name: str, what: str) -> int:
    number = value.get(name)
    if isinstance(number, bool) or not isinstance(number, int):
        raise _refused(f"{what} has no `{name}` that is a number", "")
    return number


def _check_service(service: Service) -> None:
    if not is_host_name(service.host):
        raise _refused(
            f"{service.host[:_MAX_NAME]!r} is not the name of a server",
            "a certificate proves a name in lower case, such as mail.example.org, and no address",
        )
    for port in (service.port, service.local_port):
        _check_port(port)


def _check_port(port: int) -> None:
    if not 1 <= port <= MAX_PORT:
        raise _refused(f"{port} is not a port", f"ports are 1 to {MAX_PORT}")


def _is_name(text: str) -> bool:
    # A hyphen would make an option of it where a program's file has `browserid mail password NAME`.
    fits = 0 < len(text) <= _MAX_NAME and text.isprintable() and not text.startswith("-")
    return fits and text == text.strip()


def _refused(message: str, remedy: str) -> LocalProtocolError:
    return LocalProtocolError(Code.INVALID_PARAMETER, message, remedy)


def _unusable(path: Path, what: str, error: OSError) -> StoreError:
    return StoreError(
        Code.CACHE_ERROR,
        f"{path} cannot be {what} ({error.strerror or error})",
        "see that there is room on the disk, and that the folder is yours to write to; `directory`"
        " in the configuration's [store] section names another one",
    )
