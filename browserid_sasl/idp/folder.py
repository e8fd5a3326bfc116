"""The folder that holds all of a provider: how it is laid out, made and opened.

| name | content |
| --- | --- |
| `provider.sqlite` | accounts and failed sign-ins |
| `keys/` | signing keys |
| `tls/` | private authority and server certificate, with `init --local-tls` |
| `audit.log` | what happened |
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import select

from browserid_sasl.errors import ConfigurationError
from browserid_sasl.idp.accounts import Accounts
from browserid_sasl.idp.audit import AuditLog, Event
from browserid_sasl.idp.database import Database, Domain
from browserid_sasl.idp.limits import Policy, SignInLimits
from browserid_sasl.idp.signing_keys import Algorithm, SigningKeys
from browserid_sasl.idp.tls import LocalTls
from browserid_sasl.private_files import make_private_folder
from browserid_sasl.records import Record

_DATABASE: Final = "provider.sqlite"
_KEYS: Final = "keys"
_TLS: Final = "tls"
_OURS: Final = frozenset({_DATABASE, _KEYS, _TLS})


class Provider(Record):
    """An identity provider, ready to work.

    :param domain: whose addresses it certifies.
    :param accounts: the people.
    :param limits: on failed sign-ins.
    :param keys: what it signs with.
    :param audit: its log.
    """

    domain: str
    accounts: Accounts
    limits: SignInLimits
    keys: SigningKeys
    audit: AuditLog


class ProviderFolder:
    """The folder at a path, whether or not it is there.

    :param path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keys = SigningKeys(path / _KEYS)
        self.tls = LocalTls(path / _TLS)
        self.audit = AuditLog(path / "audit.log")

    def create(self, domain: str, algorithm: Algorithm, now: int, *, local_tls: bool) -> bool:
        """Make what is missing. What an interruption left can be completed by the next try.

        :param domain: whose addresses are to be certified, in lower case.
        :param algorithm: of the first signing key.
        :param now: ms.
        :param local_tls: whether to make a private authority for the server, too.
        :returns: False if it was a provider's folder already.
        :raises ConfigurationError: the folder is another domain's, has something else in it, or
            can not be written.
        :raises StoreError: the database or the log can not be written.
        """
        self._make()
        present = self._domain()
        if present not in ("", domain):
            raise ConfigurationError(
                f"{self.path} is the folder of an identity provider for {present}",
                f"choose another folder for {domain}",
            )
        self.keys.create(algorithm, now)
        if local_tls:
            self.tls.create(domain, now)
        if present:
            return False
        # Last, because it is what makes the folder a provider's.
        self.audit.write(Event.PROVIDER_CREATED, now, domain=domain)
        database = self._database()
        database.create_tables()
        with database.transaction() as session:
            session.add(Domain(name=domain, created=now))
        database.close()
        return True

    def open(self, policy: Policy | None = None) -> Provider:
        """The provider in the folder.

        :param policy: limits on failed sign-ins.
        :raises ConfigurationError: there is none.
        :raises StoreError: its database can not be read.
        """
        domain = self._domain()
        if not domain:
            raise ConfigurationError(
                f"there is no identity provider in {self.path}",
                "make one with `browserid-idp init`, or name another folder with --directory",
            )
        database = self._database()
        return Provider(
            domain,
            Accounts(database, domain),
            SignInLimits(database, policy or Policy()),
            self.keys,
            self.audit,
        )

    def _make(self) -> None:
        try:
            if self.path.exists():
                present = {entry.name for entry in self.path.iterdir()}
                if present and not present & _OURS:
                    raise ConfigurationError(
                        f"{self.path} has something else in it",
                        "choose an empty folder, or one that is not there yet",
                    )
            make_private_folder(self.path)
        except OSError as error:
            raise ConfigurationError(
                f"the folder {self.path} can not be made ({error.strerror})",
                "run this as the user the provider runs as",
            ) from None

    def _database(self) -> Database:
        return Database(self.path / _DATABASE)

    def _domain(self) -> str:
        """The domain whose provider this is, empty if it is none's yet."""
        try:
            if not (self.path / _DATABASE).exists():
                return ""
        except OSError as error:
            raise ConfigurationError(
                f"the folder {self.path} can not be read ({error.strerror})",
                "run this as the user the provider runs as",
            ) from None
        database = self._database()
        database.create_tables()
        with database.transaction() as session:
            domain = session.scalar(select(Domain.name))
        database.close()
        return domain or ""
