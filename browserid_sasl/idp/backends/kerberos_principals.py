"""Principals of Kerberos, and the addresses that they stand for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from browserid_sasl.identity.addresses import in_lower_case
from browserid_sasl.idp.backends import Denial, DeniedError

_PERSON: Final = re.compile(
    r"([A-Za-z0-9_][A-Za-z0-9_.+-]{0,63})@([A-Za-z0-9][A-Za-z0-9.-]{0,253})"
)
"""A name of one component, with nothing in it that a library would have to escape, and a realm.
Services and administrators (`lena/admin`) are none, nor are names of another realm in the name of
one (`lena\\@elsewhere@EXAMPLE.ORG`). Nor is `desk$`; but that machine gets a ticket as `desk` from
Active Directory, which only a directory can tell from a person (`kerberos_configuration`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principals:
    """Which principals are people's, and what their addresses are.

    :param realms: whose people are admitted.
    :param domain: what is after the @ of an address.
    :param any_case: whether names that differ in capital letters only are the same person's.
    :param addresses: those of principals that have another one, or are of another form or realm.
    """

    realms: tuple[str, ...]
    domain: str
    any_case: bool = False
    addresses: Mapping[str, str] = field(default_factory=dict)

    def subject(self, principal: str) -> str:
        """What a principal is called for as long as the account lives."""
        name, at, realm = principal.rpartition("@")
        return f"{in_lower_case(name)}{at}{realm}" if self.any_case else principal

    def address(self, subject: str) -> str:
        """The address of who it is.

        :param subject: see `subject`.
        :raises DeniedError: not-admitted: it is nobody's who may sign in.
        """
        given = {self.subject(each): address for each, address in self.addresses.items()}
        if subject in given:
            return given[subject].lower()
        found = _PERSON.fullmatch(subject)
        # One with capital letters is somebody else there, who would have the same address here.
        if found is None or found[2] not in self.realms or found[1] != found[1].lower():
            raise DeniedError(Denial.NOT_ADMITTED)
        address = f"{found[1]}@{self.domain}"
        # An address that somebody was given is not another's by their name.
        if address in map(str.lower, given.values()):
            raise DeniedError(Denial.NOT_ADMITTED)
        return address
