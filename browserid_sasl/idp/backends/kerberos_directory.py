"""The directory that is asked about people of Kerberos, besides the KDC or in its place."""

from __future__ import annotations

from dataclasses import dataclass

from browserid_sasl.idp.backends import DirectoryBackend, Identity, Vouched


@dataclass(frozen=True, slots=True)
class People:
    """Where they are looked for.

    :param directory: is asked.
    :param filter: by which they are found there, with places for the principal; empty: they are
        found by their address.
    :param domain: of addresses that are theirs.
    """

    directory: DirectoryBackend
    filter: str
    domain: str

    def look(self, email: str, principal: str) -> Vouched:
        """What the directory says of somebody now.

        :param email: the address that belongs to the principal, unless the directory says which.
        :raises DeniedError: it does not vouch for them.
        :raises UnavailableError: it cannot be asked.
        """
        if not self.filter:
            return self.directory.check(Identity(email, self.directory.name, principal))
        values = {"{principal}": principal, "{user}": principal.rpartition("@")[0]}
        return self.directory.find(self.filter, values, self.domain)
