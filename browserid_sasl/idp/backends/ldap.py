"""An LDAP directory that knows people: OpenLDAP, Active Directory, and others like them.

Somebody's entry is found as the provider, and their password is right if the server lets them bind
as it. What the entry has is looked at again for each certificate.
"""

from __future__ import annotations

import re
import struct
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final

import ldap
from ldap.dn import escape_dn_chars
from ldap.filter import escape_filter_chars

from browserid_sasl.identity.addresses import in_lower_case
from browserid_sasl.idp.backends import (
    Denial,
    DeniedError,
    Identity,
    Roll,
    UnavailableError,
    Vouched,
)
from browserid_sasl.idp.backends.ldap_servers import (
    Access,
    Connection,
    Entry,
    NoSuchPlaceError,
    Servers,
)

_SUBJECTS: Final = ("entryuuid", "objectguid", "nsuniqueid", "ipauniqueid")
"""What servers call an entry all its life."""

_VERSIONS: Final = ("pwdchangedtime", "pwdlastset", "krblastpwdchange")
"""When a password was changed, as servers write it. It is compared with what it was, and with no
clock."""

_STATES: Final = (
    *("pwdaccountlockedtime", "useraccountcontrol", "accountexpires", "nsaccountlock"),
    *("shadowexpire", "logindisabled"),
)

_IN_GROUPS: Final = ("uid", "objectsid", "primarygroupid")
"""What groups have of their members, besides an entry's name."""

_AT_ANY_DEPTH: Final = "1.2.840.113556.1.4.1941"
"""The rule that finds members of groups in a group ([MS-ADTS] 3.1.1.3.4.4.3)."""

_LEAST_OF_SID: Final = 12

_DISABLED_IN_AD: Final = 0x2
_LOCKED_FOR_GOOD: Final = b"000001010000Z"
_NEVER_IN_AD: Final = frozenset({0, 2**63 - 1})
_AD_EPOCH_S: Final = 11_644_473_600
_DAY_S: Final = 86_400
_MOST_ON_ROLL: Final = 200_000
_MOST_VALUES: Final = 32
_MOST_CHARACTERS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """How people are found in a directory.

    :param base: below which entry.
    :param filter: with places for the address.
    :param dn_template: likewise; in place of the two, unless it is empty.
    :param address_attribute: what has to have the address.
    :param groups: in one of which they have to be; none: in no one.
    :param claims: attributes that certificates have, by the claim's name.
    """

    base: str
    filter: str
    dn_template: str
    address_attribute: str
    groups: tuple[str, ...]
    claims: Mapping[str, str]

    @property
    def attributes(self) -> list[str]:
        """What is asked for of an entry."""
        wanted = {self.address_attribute.lower(), *map(str.lower, self.claims.values())}
        return sorted(wanted | {*_SUBJECTS, *_VERSIONS, *_STATES, *_IN_GROUPS})


class LdapBackend:
    """See `PasswordBackend`.

    :param name: what the configuration calls it.
    :param access: how its servers are reached.
    :param directory: how people are found there.
    """

    def __init__(self, name: str, access: Access, directory: Directory) -> None:
        self.name = name
        self._servers = Servers(access)
        self._directory = directory

    def verify(self, email: str, password: str) -> Vouched | None:
        """See `PasswordBackend.verify`."""

        def question(connection: Connection) -> Vouched | None:
            entry = self._find(connection, email)
            if entry is None:
                # As many answers are waited for as for somebody who is there.
                connection.is_password(self._nobody(email), password)
                return None
            # The password comes first: without it nobody learns what else is wrong.
            if not connection.is_password(entry.dn, password):
                raise DeniedError(Denial.WRONG_PASSWORD)
            return self._vouch(connection, entry, email)

        return self._servers.ask(question)

    def check(self, identity: Identity) -> Vouched:
        """See `Backend.check`."""

        def question(connection: Connection) -> Vouched:
            entry = self._find(connection, identity.email)
            if entry is None:
                raise DeniedError(Denial.GONE)
            return self._vouch(connection, entry, identity.email)

        return self._servers.ask(question)

    def find(self, filter: str, values: Mapping[str, str], domain: str) -> Vouched:
        """See `DirectoryBackend.find`."""

        def question(connection: Connection) -> Vouched:
            filled = _put_in(
                filter, {place: escape_filter_chars(values[place]) for place in values}
            )
            place = self._directory.base, ldap.SCOPE_SUBTREE, filled
            entry = self._only(connection, place)
            if entry is None:
                raise DeniedError(Denial.GONE)
            addresses = {each for each in self._addresses(entry, domain) if _is_of(each, domain)}
            if len(addresses) != 1:
                raise DeniedError(Denial.NOT_ADMITTED)
            return self._vouch(connection, entry, addresses.pop())

        return self._servers.ask(question)

    def call_the_roll(self, domain: str) -> Roll:
        """See `RollBackend`."""
        directory = self._directory
        if directory.dn_template:
            raise UnavailableError("people are found by dn_template, which names one at a time")
        everybody = re.sub(r"\{address\}|\{user\}", "*", directory.filter)

        def question(connection: Connection) -> Roll:
            roll = _RollCall(domain)
            for entries, more in connection.pages(directory.base, everybody, directory.attributes):
                roll.complete = roll.complete and not more
                for entry in entries:
                    self._put_down(connection, entry, roll)
            return roll.result()

        try:
            return self._servers.ask(question, at_length=True)
        except NoSuchPlaceError:
            raise _nowhere(directory.base) from None

    def _put_down(self, connection: Connection, entry: Entry, roll: _RollCall) -> None:
        values = entry.attributes.get(self._directory.address_attribute.lower(), [])
        email = _main_address([_text(value) for value in values], roll.domain)
        if not email:
            return
        try:
            roll.put(
                email,
                self._vouch(connection, entry, email),
                {each for each in self._addresses(entry, roll.domain) if _is_of(each, roll.domain)},
            )
        except DeniedError as error:
            roll.leave_out(email, error.denial.value)
        except UnavailableError as error:
            roll.leave_out(email, str(error))

    def probe(self) -> list[str]:
        """See `ProbedBackend`: each server is asked, also those that nobody needs now."""
        base = self._directory.base

        def question(connection: Connection) -> None:
            # Where each person is looked for by a name of their own there is no such entry.
            if base and not _is_found(connection, base, "(objectClass=*)"):
                raise _nowhere(base)

        return self._servers.ask_each(question)

    def _find(self, connection: Connection, email: str) -> Entry | None:
        entry = self._only(connection, self._place(email))
        # Whatever found it, it is theirs only if it says so itself.
        return entry if entry and self._has_address(entry, email) else None

    def _only(self, connection: Connection, place: tuple[str, int, str]) -> Entry | None:
        """The entry there, if there is one."""
        try:
            found = connection.search(*place, self._directory.attributes)
        except NoSuchPlaceError:
            # An entry that a template names is not there; but if nobody is, then it is not they
            # who have gone.
            if self._directory.dn_template:
                return None
            raise _nowhere(self._directory.base) from None
        if len(found) > 1:
            raise DeniedError(Denial.AMBIGUOUS)
        return found[0] if found else None

    def _place(self, email: str) -> tuple[str, int, str]:
        """Where somebody is looked for: base, scope and filter."""
        directory = self._directory
        if directory.dn_template:
            dn = _filled(directory.dn_template, email, dn=True)
            return dn, ldap.SCOPE_BASE, "(objectClass=*)"
        return directory.base, ldap.SCOPE_SUBTREE, _filled(directory.filter, email, dn=False)

    def _nobody(self, email: str) -> str:
        """The name of an entry that is not there."""
        directory = self._directory
        if directory.dn_template:
            return _filled(directory.dn_template, email, dn=True)
        return f"cn={escape_dn_chars(email)}/nobody,{directory.base}"

    def _has_address(self, entry: Entry, email: str) -> bool:
        _, _, domain = email.rpartition("@")
        return email in self._addresses(entry, domain)

    def _addresses(self, entry: Entry, domain: str) -> list[str]:
        values = entry.attributes.get(self._directory.address_attribute.lower(), [])
        return [_address(in_lower_case(_text(value)), domain) for value in values]

    def _vouch(self, connection: Connection, entry: Entry, email: str) -> Vouched:
        now = time.time()
        if _is_disabled(entry):
            raise DeniedError(Denial.DISABLED)
        if _has_expired(entry, now):
            raise DeniedError(Denial.EXPIRED)
        if self._directory.groups and not self._is_member(connection, entry):
            raise DeniedError(Denial.NOT_ADMITTED)
        return Vouched(email, _subject(entry), _first(entry, _VERSIONS), self._claims(entry))

    def _is_member(self, connection: Connection, entry: Entry) -> bool:
        """Whether one of the groups has the entry. Not all servers keep that in the entry."""
        filter = f"(|{''.join(_memberships(entry))})"
        return any(_is_found(connection, group, filter) for group in self._directory.groups)

    def _claims(self, entry: Entry) -> dict[str, list[str]]:
        found = {
            name: [_text(value) for value in entry.attributes.get(attribute.lower(), [])]
            for name, attribute in self._directory.claims.items()
        }
        for name, values in found.items():
            many = len(values) > _MOST_VALUES or entry.has_more(self._directory.claims[name])
            if many or any(len(each) > _MOST_CHARACTERS for each in values):
                raise UnavailableError(f"the claim {name} of {entry.dn!a} is too long")
        return {name: values for name, values in found.items() if values}


class _RollCall:
    """Whom a directory has, while they are read.

    :param domain: of their addresses.
    """

    def __init__(self, domain: str) -> None:
        self.domain = domain
        self.complete = True
        self._people: dict[str, Vouched] = {}
        self._left_out: dict[str, str] = {}
        self._further: set[str] = set()

    def put(self, email: str, vouched: Vouched, addresses: Set[str]) -> None:
        """Somebody who would be let in, by one of their addresses or another."""
        self._further |= addresses - {email}
        # Who has an address with somebody else is let in no more than that one.
        if email in self._people or email in self._left_out:
            self.leave_out(email, Denial.AMBIGUOUS.value)
        else:
            self._people[email] = vouched
        if len(self._people) > _MOST_ON_ROLL:
            raise UnavailableError(f"there are more than {_MOST_ON_ROLL} people")

    def leave_out(self, email: str, why: str) -> None:
        """Somebody who would not."""
        known = email in self._people or email in self._left_out
        self._people.pop(email, None)
        self._left_out[email] = Denial.AMBIGUOUS.value if known else why

    def result(self) -> Roll:
        """All of them."""
        return Roll(tuple(self._people.values()), self._left_out, self.complete, self._further)


def _main_address(texts: Sequence[str], domain: str) -> str:
    """The address that somebody has first, empty for none. Of `proxyAddresses` it has capitals."""
    first = sorted(texts, key=lambda text: not text.startswith("SMTP:"))
    addresses = (_address(in_lower_case(text), domain) for text in first)
    return next((each for each in addresses if each.endswith(f"@{domain}")), "")


def _filled(template: str, email: str, *, dn: bool) -> str:
    """A template with an address in its places, which stays a value there whatever it has."""
    escape = escape_dn_chars if dn else escape_filter_chars
    values = {"{address}": escape(email), "{user}": escape(email.rpartition("@")[0])}
    return _put_in(template, values)


def _put_in(template: str, values: Mapping[str, str]) -> str:
    # In one go: what a value has in braces is no place.
    places = "|".join(map(re.escape, values))
    return re.sub(places, lambda place: values[place[0]], template)


def _is_of(address: str, domain: str) -> bool:
    return address.rpartition("@")[2] == domain


def _nowhere(base: str) -> UnavailableError:
    return UnavailableError(f"there is no entry {base!a} that the provider may see")


def _is_found(connection: Connection, name: str, filter: str) -> bool:
    """Whether there is an entry of this name that the filter finds."""
    try:
        return bool(connection.search(name, ldap.SCOPE_BASE, filter, ["1.1"]))
    except NoSuchPlaceError:
        return False


def _address(text: str, domain: str) -> str:
    """An address, from what an attribute has in lower case; empty if it has something else.

    `proxyAddresses` says of which kind it is: those for X.400, X.500 or SIP get no mail.
    """
    kind, colon, rest = text.partition(":")
    if colon and kind != "smtp":
        return ""
    text = rest if colon else text
    return text if "@" in text else f"{text}@{domain}"


def _memberships(entry: Entry) -> Iterator[str]:
    """Filters, of which at least one finds each group that an entry is in."""
    dn = escape_filter_chars(entry.dn)
    yield f"(member={dn})(uniqueMember={dn})"
    for uid in entry.attributes.get("uid", []):
        yield f"(memberUid={escape_filter_chars(_text(uid))})"
    # Other servers do not know the rule, and would have to take it for one that says no.
    if "objectguid" in entry.attributes:
        yield f"(member:{_AT_ANY_DEPTH}:={dn})"
        yield from _primary_memberships(entry)


def _primary_memberships(entry: Entry) -> Iterator[str]:
    """Likewise by the one group, "Domain Users" mostly, that does not have it as a member.

    Its SID is the entry's with another number at the end ([MS-DTYP] section 2.4.2.2).
    """
    sid, number = entry.attributes.get("objectsid", [b""])[0], _number(entry, "primarygroupid")
    if number is not None and len(sid) >= _LEAST_OF_SID and len(sid) % 4 == 0:
        authority, domain = int.from_bytes(sid[2:8], "big"), struct.iter_unpack("<I", sid[8:-4])
        text = "-".join(map(str, ("S", sid[0], authority, *(each for (each,) in domain), number)))
        yield f"(objectSid={text})(member:{_AT_ANY_DEPTH}:=<SID={text}>)"


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _subject(entry: Entry) -> str:
    for name in _SUBJECTS:
        for value in entry.attributes.get(name, []):
            return str(uuid.UUID(bytes_le=value)) if len(value) == 16 else _text(value).lower()
    raise UnavailableError(
        f"{entry.dn!a} has no entryUUID or objectGUID that the provider may read"
    )


def _first(entry: Entry, names: tuple[str, ...]) -> str:
    return next((_text(each) for name in names for each in entry.attributes.get(name, [])), "")


def _is_disabled(entry: Entry) -> bool:
    """Whether an entry says that nobody is to sign in by it.

    That it is locked for a while counts for who signs in only: else a stranger who guesses could
    end what its owner has.
    """
    flags = _number(entry, "useraccountcontrol")
    return any(
        (
            bool(flags and flags & _DISABLED_IN_AD),
            _LOCKED_FOR_GOOD in entry.attributes.get("pwdaccountlockedtime", []),
            _is_true(entry, "nsaccountlock"),
            _is_true(entry, "logindisabled"),
        )
    )


def _has_expired(entry: Entry, now: float) -> bool:
    """Whether an entry says that its time is over."""
    day = _number(entry, "shadowexpire")
    in_ad = _has_expired_in_ad(_number(entry, "accountexpires"), now)
    return in_ad or (day is not None and 0 <= day * _DAY_S <= now)


def _has_expired_in_ad(time: int | None, now: float) -> bool:
    """Whether a time has come that is in tenths of microseconds since 1601."""
    return time is not None and time not in _NEVER_IN_AD and time / 1e7 - _AD_EPOCH_S <= now


def _is_true(entry: Entry, name: str) -> bool:
    return any(value.lower() == b"true" for value in entry.attributes.get(name, []))


def _number(entry: Entry, name: str) -> int | None:
    for value in entry.attributes.get(name, []):
        if re.fullmatch(rb"-?[0-9]{1,19}", value):
            return int(value)
    return None
