"""Whose a certificate is, by what it says: the person, who stays the same with each new card, and
their address.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from cryptography import x509
from cryptography.x509.oid import NameOID
from pyasn1.type.char import UTF8String

from browserid_sasl.errors import ConfigurationError
from browserid_sasl.gss.der import read_der
from browserid_sasl.idp.backends import Denial, DeniedError, UnavailableError
from browserid_sasl.private_files import Stamp, stamp_if_there
from browserid_sasl.trusted_files import read_trusted
from browserid_sasl.x509.names import UNREADABLE
from browserid_sasl.x509.paths import UntrustedError

PersonName = Literal["serial-number", "user-id", "upn", "address"]
AddressName = Literal["email", "upn"]

UPN: Final = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
"""The form of an otherName that is a user principal name of Active Directory."""

_MOST_PERSON: Final = 256
_MOST_FILE: Final = 16 << 20


class PeopleFile:
    """The addresses of people, by what certificates call them: a line each, `PERSON ADDRESS`.

    It is read again when it has changed. Safe for threads.

    :param file: where they are.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._read: tuple[Stamp, Mapping[str, str]] | None = None

    def address_of(self, person: str) -> str:
        """A person's address, in lower case.

        :raises DeniedError: not-admitted: it is not in the file.
        :raises UnavailableError: the file cannot be read.
        """
        address = self._addresses().get(person)
        if address is None:
            raise DeniedError(Denial.NOT_ADMITTED)
        return address

    def probe(self) -> None:
        """See that the file can be read.

        :raises UnavailableError: it cannot.
        """
        self._addresses()

    def _addresses(self) -> Mapping[str, str]:
        with self._lock:
            seen = stamp_if_there(self._file)
            if seen is None or self._read is None or self._read[0] != seen:
                self._read = None
                addresses = self._load()
                if seen is not None:
                    self._read = seen, addresses
                return addresses
            return self._read[1]

    def _load(self) -> Mapping[str, str]:
        try:
            data = read_trusted(self._file, "the file of people's addresses", _MOST_FILE)
            lines = data.decode("utf-8").splitlines()
        except (OSError, UnicodeDecodeError, ConfigurationError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise UnavailableError(f"{self._file} cannot be read: {why}") from None
        addresses: dict[str, str] = {}
        for number, line in enumerate(lines, 1):
            person, address = self._pair(line, number)
            if person and addresses.setdefault(person, address) != address:
                raise UnavailableError(
                    f"{self._file} line {number} has a person for the second time"
                )
        return addresses

    def _pair(self, line: str, number: int) -> tuple[str, str]:
        text = line.partition("#")[0].strip()
        person, _, address = text.rpartition(" ")
        if text and (not person.strip() or "@" not in address):
            raise UnavailableError(f"{self._file} line {number} is not a person and an address")
        return person.strip(), address.lower()


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose a certificate is.

    :param person: what certificates call them, with the way in which they do.
    :param email: their address, in lower case.
    """

    person: str
    email: str


@dataclass(frozen=True, slots=True)
class Naming:
    """By what of a certificate its person and their address are known.

    :param person: what of it is the person's in all that they ever get, and never another's.
    :param address: what of it has the address, unless there is a file.
    :param domain: of the address.
    :param people: has the addresses in place of certificates, None if these have them.
    """

    person: PersonName
    address: AddressName
    domain: str
    people: PeopleFile | None = None

    def holder(self, path: Sequence[x509.Certificate]) -> Holder:
        """Whose a certificate is.

        :param path: it, and those of its authorities, which has been verified.
        :raises DeniedError: unidentified, ambiguous, foreign, not-admitted.
        :raises UntrustedError: an authority that may name some people only names them otherwise.
        """
        leaf, *issuers = path
        if (self.people or self.address != "email") and any(map(_is_constrained, issuers)):
            raise UntrustedError(
                "an authority of it has name constraints, which bind addresses of mail only: take"
                " these for the address"
            )
        if self.person == "address":
            email = self._address(leaf, "")
            return Holder(f"address:{email}", email)
        person = _one_person(_PEOPLE[self.person](leaf))
        return Holder(f"{self.person}:{person}", self._address(leaf, person))

    def _address(self, leaf: x509.Certificate, person: str) -> str:
        if self.people is not None:
            return self.people.address_of(person)
        said = _emails(leaf) if self.address == "email" else _upns(leaf)
        own = {each for each in said if each.endswith(f"@{self.domain}")}
        if len(own) > 1:
            raise DeniedError(Denial.AMBIGUOUS)
        if not own:
            raise DeniedError(Denial.FOREIGN)
        return own.pop()


def _one_person(names: Sequence[str]) -> str:
    if len(names) != 1 or not 0 < len(names[0]) <= _MOST_PERSON or not names[0].isprintable():
        raise DeniedError(Denial.UNIDENTIFIED)
    return names[0]


def _emails(leaf: x509.Certificate) -> list[str]:
    return _in_lower_case(_alternatives(leaf).get_values_for_type(x509.RFC822Name))


def _upns(leaf: x509.Certificate) -> list[str]:
    others = _alternatives(leaf).get_values_for_type(x509.OtherName)
    values = [read_der(each.value, UTF8String()) for each in others if each.type_id == UPN]
    return _in_lower_case(["" if each is None else str(each) for each in values])


def _in_lower_case(names: Sequence[str]) -> list[str]:
    """Names of printable ASCII: there are others that become one of these in lower case."""
    return [each.lower() if each.isascii() and each.isprintable() else "" for each in names]


def _alternatives(leaf: x509.Certificate) -> x509.SubjectAlternativeName:
    try:
        return leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return x509.SubjectAlternativeName([])


def _in_subject(oid: x509.ObjectIdentifier, leaf: x509.Certificate) -> list[str]:
    values = [each.value for each in leaf.subject.get_attributes_for_oid(oid)]
    return [each if isinstance(each, str) else "" for each in values]


def _is_constrained(issuer: x509.Certificate) -> bool:
    try:
        return any(each.oid == x509.NameConstraints.oid for each in issuer.extensions)
    except UNREADABLE:
        # Nobody has looked at what is in a trust anchor.
        return True


_PEOPLE: Final[Mapping[str, Callable[[x509.Certificate], Sequence[str]]]] = {
    "serial-number": lambda leaf: _in_subject(NameOID.SERIAL_NUMBER, leaf),
    "user-id": lambda leaf: _in_subject(NameOID.USER_ID, leaf),
    "upn": _upns,
}
