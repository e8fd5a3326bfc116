"""What knows people already, outside of the provider: what it is asked, and what it answers.

A backend says who somebody is who signs in, and later whether that still holds: it is asked again
for each certificate, so who has left is out within the life of one. What becomes of an answer is
decided in `idp.outside`, and in no backend: who an address belongs to, and what ends when something
has changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol, runtime_checkable

from browserid_sasl.idp.database import Database

OWN_ACCOUNTS: Final = "accounts"
"""The backend that is always there: the provider's own accounts, with their passwords."""

MOST_OF_CLAIMS: Final = 2_048
"""Octets of a person's claims, in JSON: a certificate has to get through the lines of protocols."""

MOST_AT_ONCE: Final = 8
"""Questions that wait for an answer of one backend. More are refused for now, and whoever signs in
by something else does not wait for them."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What the provider keeps of somebody whom a backend vouches for.

    :param email: the account's address.
    :param backend: its name in the configuration.
    :param subject: what the backend calls the person, and never calls anybody else.
    :param version: of what they have signed in with there, empty if the backend does not say.
    :param claims: what it has said last, see `Vouched`. A backend that learns them at a sign-in
        only says them again.
    """

    email: str
    backend: str
    subject: str
    version: str = ""
    claims: Mapping[str, list[str]] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Vouched:
    """What a backend says about somebody.

    :param email: their address.
    :param subject: see `Identity`.
    :param version: see `Identity`: another one says that the password was changed.
    :param claims: what certificates say of them besides the address: texts, by a claim's name.
    """

    email: str
    subject: str
    version: str = ""
    claims: Mapping[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """See that a certificate has room for the claims.

        :raises UnavailableError: it has not.
        """
        if len(self.claims_text.encode()) > MOST_OF_CLAIMS:
            raise UnavailableError(f"a person's claims have more than {MOST_OF_CLAIMS} octets")

    @property
    def claims_text(self) -> str:
        """The claims, as an object of JSON."""
        return json.dumps(dict(self.claims), ensure_ascii=False, separators=(",", ":"))


class Denial(Enum):
    """Why a backend, or the provider, does not let somebody in, by its word in answers and logs."""

    WRONG_PASSWORD = "wrong-password"  # noqa: S105 - a reason's name
    LOCKED = "account-locked"
    PASSWORD_EXPIRED = "password-expired"  # noqa: S105
    PASSWORD_RESET = "password-reset"  # noqa: S105
    PASSWORD_CHANGED = "password-changed"  # noqa: S105
    DISABLED = "account-disabled"
    NOT_ADMITTED = "not-admitted"
    AMBIGUOUS = "ambiguous-address"
    GONE = "gone"
    RENAMED = "other-address"
    OTHER_SUBJECT = "other-person"
    OWN_ACCOUNT = "own-account"
    NOT_CONFIGURED = "not-configured"
    UNVERIFIED = "unverified-address"
    FOREIGN = "foreign-address"
    WEAK = "weak-sign-in"
    CANCELLED = "cancelled-elsewhere"
    OVER = "sign-in-over"
    EXPIRED = "account-expired"
    UNPROVEN = "unproven-header"
    UNTRUSTED = "untrusted-certificate"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_REVOKED = "certificate-revoked"
    UNIDENTIFIED = "unidentified-certificate"
    NOT_NOW = "not-now"
    OTHER_WAY = "other-way"
    INVALID_TICKET = "invalid-ticket"


class DeniedError(Exception):
    """Somebody is not let in, or not any more.

    :param denial: why.
    """

    def __init__(self, denial: Denial) -> None:
        super().__init__(denial.value)
        self.denial = denial


class UnavailableError(Exception):
    """A backend cannot be asked now, or what it answers makes no sense.

    :param why: for the log, without what is secret.
    """


@dataclass(frozen=True, slots=True)
class Roll:
    """All people whom a backend would let in.

    :param people: them, each by the address that they have first.
    :param left_out: addresses that it has and would not let in, and why.
    :param complete: whether nobody else can be among its people.
    :param further: by which it would let these people in, too.
    """

    people: Sequence[Vouched]
    left_out: Mapping[str, str]
    complete: bool
    further: Set[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Journey:
    """What somebody is sent elsewhere with, and comes back with. The texts cannot be guessed.

    :param back: URL of the page to which they come back, which no other backend has.
    :param state: by which it is known that it is they who come back.
    :param nonce: which what is said of them has to repeat.
    :param verifier: what proves that it is this provider that has sent them (RFC 7636).
    :param email: the address that they have given, empty for none.
    :param max_age: ms for which a sign-in there may have been already, 0: it does not matter.
    """

    back: str
    state: str
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    email: str = ""
    max_age: int = 0


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a backend says of somebody who comes back from its own page.

    :param vouched: who they are.
    :param token: with which it can be asked again, empty for none. Secret.
    :param since: ms, when they have signed in there.
    """

    vouched: Vouched
    token: str = field(repr=False)
    since: int


class Backend(Protocol):
    """Something that knows people. Safe for threads; each call ends within a time of its own."""

    @property
    def name(self) -> str:
        """What the configuration calls it."""

    def check(self, identity: Identity) -> Vouched:
        """What it says now about somebody whom it has vouched for.

        What of it has changed is found by the caller.

        :raises DeniedError: they are not to get in any more.
        :raises UnavailableError: it cannot be asked.
        """


@runtime_checkable
class ProbedBackend(Backend, Protocol):
    """A backend that can be asked whether it would answer, when nobody signs in."""

    def probe(self) -> list[str]:
        """What is wrong with it now, in words: empty if it would answer.

        :raises UnavailableError: it cannot be asked, and that is all there is to say.
        """


class DirectoryBackend(ProbedBackend, Protocol):
    """A backend that others ask besides about their people."""

    def find(self, filter: str, values: Mapping[str, str], domain: str) -> Vouched:
        """Somebody who is known by something else than an address: theirs is in their entry.

        :param filter: finds the entry below the base, with places.
        :param values: what comes into the places, by what these are written as.
        :param domain: of the address.
        :raises DeniedError: there is no such entry, or no more; or it has not one address there.
        :raises UnavailableError: it cannot be asked.
        """


@runtime_checkable
class RollBackend(Backend, Protocol):
    """A backend that can say whom it knows."""

    def call_the_roll(self, domain: str) -> Roll:
        """Who may sign in by it now, each by one address.

        :param domain: of the addresses.
        :raises UnavailableError: it cannot be asked, or does not say all.
        """


@runtime_checkable
class PasswordBackend(Backend, Protocol):
    """A backend that takes a password which people type at the provider."""

    def verify(self, email: str, password: str) -> Vouched | None:
        """Who has this address and password.

        :param email: the address, in lower case.
        :param password: secret; may be empty, which is never right.
        :returns: None if it does not know the address, or cannot tell: the next one is asked.
        :raises DeniedError: it knows the address, and whoever asks is not to get in. Nobody else is
            asked, so that the password gets to no other server.
        :raises MoreAskedError: it asks for more than the password.
        :raises UnavailableError: it cannot be asked, and nobody else is.
        """


@runtime_checkable
class RedirectBackend(Backend, Protocol):
    """A backend with a page of its own, at which people sign in, and which sends them back."""

    @property
    def label(self) -> str:
        """What people call it."""

    @property
    def domains(self) -> Sequence[str]:
        """Those whose people sign in there and nowhere else, at a fallback provider. Else none."""

    def over_at(self, email: str) -> int | None:
        """Ms at which a sign-in to an account is over at the latest; None if that is not known."""

    @property
    def mail_too(self) -> bool:
        """Whether these people may show by a mail instead that an address is theirs."""

    def keep_in(self, database: Database) -> None:
        """Keep there what it is asked again with; called before all others."""

    def page_for(self, journey: Journey) -> str:
        """The URL to which somebody is sent.

        :raises UnavailableError: there is none at the moment.
        """

    def arrive(self, journey: Journey, answer: Mapping[str, str]) -> Arrival:
        """Who it is that has come back.

        :param journey: what they were sent with, which is theirs, and is used for the first time.
        :param answer: the fields of the URL with which they come.
        :raises DeniedError: whoever it is, they are not to get in.
        :raises UnavailableError: it cannot be asked, or says what makes no sense.
        """

    def keep(self, email: str, arrival: Arrival) -> None:
        """Keep what it is asked again with about an account.

        :raises StoreError: it cannot be kept.
        """


@dataclass(frozen=True, slots=True)
class Carried:
    """What a request carries besides its form, by which a backend may know whose it is.

    :param headers: names in lower case, and values, in the order in which they came. A client
        writes what it likes into them.
    :param peer: IP address of the other end of the connection, empty for none: a front server's, if
        there is one.
    :param exchange: what a `Challenge` before has given the browser to bring back, else empty.
    """

    headers: Sequence[tuple[str, str]] = field(repr=False)
    peer: str
    exchange: str = field(default="", repr=False)

    def only(self, name: str) -> str:
        """A header's value, empty for none; and of several, of which nobody knows who wrote which.

        :param name: in lower case.
        """
        values = [value for each, value in self.headers if each == name]
        return values[0] if len(values) == 1 else ""


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a backend wants of a browser before it knows whose request it is.

    :param headers: of the answer, which has the status 401 and a page.
    :param exchange: what the browser brings back with its next request, empty for nothing. Secret.
    """

    headers: Mapping[str, str]
    exchange: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Known:
    """Whose a request is.

    :param vouched: who it is.
    :param headers: of the answer.
    :param kept: what the backend keeps of it, see `KeepingBackend`. Secret.
    """

    vouched: Vouched
    headers: Mapping[str, str] = field(default_factory=dict)
    kept: str = field(default="", repr=False)


@runtime_checkable
class RequestBackend(Backend, Protocol):
    """A backend that knows somebody by a request itself: by what their computer adds to it.

    It is asked when they have pressed its button, in a form of the provider's own pages. Whoever
    makes their browser send a request from elsewhere signs nobody in.
    """

    @property
    def label(self) -> str:
        """What people call it; empty: what is usual for its `method`."""

    @property
    def method(self) -> str:
        """What it knows people by, as sessions and pages call it, such as `kerberos`."""

    @property
    def at_once(self) -> bool:
        """Whether its button is pressed by the page itself, where there is no other way."""

    def look(self, carried: Carried) -> Known | Challenge:
        """Whose a request is, or what is missing in it.

        :param carried: what the request has.
        :raises DeniedError: they are not to get in; with a denial about which people are told
            something, see `password_sign_in.refusal_of`.
        :raises UnavailableError: it cannot be found out.
        """


@runtime_checkable
class KeepingBackend(RequestBackend, Protocol):
    """A `RequestBackend` that keeps what people have been known by, to look at it again."""

    def keep_in(self, database: Database) -> None:
        """Keep it there; called before all others."""

    def keep(self, email: str, known: Known) -> None:
        """Keep what somebody was known by to whom an account belongs.

        :raises StoreError: it cannot be kept.
        """


@dataclass(frozen=True, slots=True)
class Prompt:
    """Something that a backend asks for.

    :param text: what it says, in words of its own: one line of printable characters.
    :param hidden: whether nobody is to see what is typed.
    """

    text: str
    hidden: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """What a backend wants somebody to read and to answer.

    :param prompts: what it asks for, at least one.
    :param infos: what it says besides, likewise in lines.
    :param errors: what it says was wrong.
    """

    prompts: tuple[Prompt, ...]
    infos: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


class Exchange(Protocol):
    """A sign-in that a backend has more questions about. For one thread at a time."""

    @property
    def knows(self) -> bool:
        """Whether there is such a person: else the questions hide only that there is none."""

    @property
    def asked(self) -> Asked:
        """What has to be answered now."""

    def answer(self, answers: Sequence[str]) -> Vouched | None:
        """Go on with what somebody has answered, secret. Ends what it does not go on with.

        :param answers: one to each prompt.
        :returns: who it is; None if more is asked, see `asked`.
        :raises DeniedError: whoever asks is not to get in.
        :raises UnavailableError: it cannot go on.
        """

    def end(self) -> None:
        """Let it go, and what it has learnt with it. May be called again, by any thread."""


class MoreAskedError(Exception):
    """A password alone is not enough for a backend.

    :param exchange: how it goes on; whoever catches this has to end it.
    :param backend: the backend's name, once that is known.
    """

    def __init__(self, exchange: Exchange, backend: str = "") -> None:
        super().__init__("more is asked for")
        self.exchange = exchange
        self.backend = backend
