"""The folder that holds all of a provider: how it is laid out, made and opened.

| name | content |
| --- | --- |
| `provider.sqlite` | accounts, what they sign in with, who is signed in, where certificates went |
| `keys/` | signing keys |
| `tls/` | private authority and server certificate, with `init --local-tls` |
| `audit.log` | what happened at this host; the database has it, too |
| `outbox/` | mail of a fallback provider that is on its way from this host |
| `domains/` | the folders of further domains, which are like this one |

Where several hosts serve one domain, the database is elsewhere, and the signing keys may be in it;
the rest is each host's own.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from sqlalchemy import select

from browserid_sasl.errors import ConfigurationError
from browserid_sasl.idp.accounts import Accounts
from browserid_sasl.idp.administrators import Administrators
from browserid_sasl.idp.audit import AuditLog, Event, Retention
from browserid_sasl.idp.audit_file import AuditFile
from browserid_sasl.idp.codes import Codes, end_codes
from browserid_sasl.idp.database import Database, Domain
from browserid_sasl.idp.devices import Devices, end_devices
from browserid_sasl.idp.fallback import Fallback
from browserid_sasl.idp.health import Health
from browserid_sasl.idp.invitations import Invitations
from browserid_sasl.idp.key_folder import KeyFolder
from browserid_sasl.idp.limits import Policy, SignInLimits
from browserid_sasl.idp.look import USUAL_LOOK, Look
from browserid_sasl.idp.means import Means
from browserid_sasl.idp.outbox import Outbox
from browserid_sasl.idp.outside import Backends, Outside
from browserid_sasl.idp.passkeys import Passkeys
from browserid_sasl.idp.passwords import Cost
from browserid_sasl.idp.paths import CERTIFY
from browserid_sasl.idp.people import People
from browserid_sasl.idp.recovery import RecoveryCodes
from browserid_sasl.idp.refusals import Refusals
from browserid_sasl.idp.relying_party import RelyingParty
from browserid_sasl.idp.renewals import RENEWAL_LIFE_MS, Renewals
from browserid_sasl.idp.resealing import reseal
from browserid_sasl.idp.revocations import Revocations
from browserid_sasl.idp.schema import bring_up_to_date
from browserid_sasl.idp.seal import Seal
from browserid_sasl.idp.sealed_keys import SealedKeys
from browserid_sasl.idp.second_steps import SecondStep, SecondSteps
from browserid_sasl.idp.server_secret import ServerSecret
from browserid_sasl.idp.sessions import SessionPolicy, Sessions
from browserid_sasl.idp.signing_keys import Algorithm, SigningKey, SigningKeys
from browserid_sasl.idp.tls import LocalTls
from browserid_sasl.idp.totp import SecondFactors
from browserid_sasl.private_files import make_private_folder, require_private

DATABASE: Final = "provider.sqlite"
"""The file with it, where it is in the folder."""

_KEYS: Final = "keys"
_TLS: Final = "tls"
_AUDIT: Final = "audit.log"
_OUTBOX: Final = "outbox"
_PRIVATE: Final = (
    DATABASE,
    f"{DATABASE}-wal",
    f"{DATABASE}-shm",
    _KEYS,
    _TLS,
    f"{_TLS}/authority.pem",
    f"{_TLS}/server.pem",
    _AUDIT,
    _OUTBOX,
)
"""What nobody but the folder's owner may have access to. Each key is looked at when it is read."""

_USUAL_COST: Final = Cost()
_USUAL_RETENTION: Final = Retention()

_OWN_ACCOUNTS_ALONE: Final = Backends()

_DOMAINS: Final = "domains"
"""Below which further domains have their folders, if they are configured nowhere else."""

_OURS: Final = frozenset({DATABASE, _KEYS, _TLS, _AUDIT, _OUTBOX, _DOMAINS})


@dataclass(frozen=True, slots=True)
class Sharing:
    """What hosts that serve one domain have in common.

    :param database: URI of a database of PostgreSQL; empty: there is one host, with a file.
    :param key_file: with the key under which the database has the signing keys; None: they are in
        the folder.
    """

    database: str = ""
    key_file: Path | None = None


_ALONE: Final = Sharing()


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """An identity provider, ready to work.

    :param domain: whose addresses it certifies.
    :param authority: where programs find it, and whose name its certificates have: the domain, or
        a host that the domain delegates to (PROTOCOL.md section 2).
    :param database: where all of the following is kept that is not a key or the log.
    :param accounts: the people.
    :param limits: on failed sign-ins.
    :param keys: what it signs with.
    :param audit: its log.
    :param passkeys: what people sign in with.
    :param second_factors: what some have besides their password.
    :param recovery_codes: what helps when that is lost.
    :param invitations: with which people set up their accounts.
    :param means: how what they sign in with changes.
    :param sessions: who is signed in on its pages.
    :param secret: from which its own keys are derived.
    :param public_url: where people reach it, without a path.
    :param revocations: the list of keys that are not to be trusted any more.
    :param renewals: where certificates went.
    :param codes: what browsers carry to programs.
    :param devices: programs that wait for somebody to sign in elsewhere.
    :param refusals: writes down what is refused.
    :param outside: who is known by something else than an account of its own.
    :param second_steps: what is asked for after a password.
    :param administrators: who may administrate on its pages.
    :param people: its accounts, as administrators look at them.
    :param health: how its backends are.
    :param fallback: what it has to certify for other domains; None if it does not.
    :param look: how its pages look.
    """

    domain: str
    authority: str
    database: Database
    accounts: Accounts
    limits: SignInLimits
    keys: SigningKeys
    audit: AuditLog
    passkeys: Passkeys
    second_factors: SecondFactors
    recovery_codes: RecoveryCodes
    invitations: Invitations
    means: Means
    sessions: Sessions
    secret: ServerSecret
    public_url: str
    revocations: Revocations
    renewals: Renewals
    codes: Codes
    devices: Devices
    refusals: Refusals
    outside: Outside
    second_steps: SecondSteps
    administrators: Administrators
    people: People
    health: Health
    fallback: Fallback | None = None
    look: Look = USUAL_LOOK


@dataclass(frozen=True, slots=True)
class Creation:
    """What was made in a folder.

    :param provider: whether there was none before.
    :param key: the signing key that was made, None if there was one that signs.
    :param authority: whether a private authority was.
    """

    provider: bool
    key: SigningKey | None
    authority: bool


class ProviderFolder:
    """The folder at a path, whether or not it is there.

    :param path: of the folder.
    :param sharing: what of a provider is elsewhere.
    :param retention: what the database keeps of the audit log.
    :param domain: whose provider it has to be, empty if it may be anybody's.
    """

    def __init__(
        self,
        path: Path,
        sharing: Sharing = _ALONE,
        retention: Retention = _USUAL_RETENTION,
        domain: str = "",
    ) -> None:
        self.path = path
        self._wanted = domain
        self._sharing = sharing
        self._retention = retention
        self.tls = LocalTls(path / _TLS)
        self.outbox = Outbox(path / _OUTBOX)

    @cached_property
    def database(self) -> Database:
        """The provider's database, of which a file is made if it is not there.

        :raises StoreError: it cannot be opened.
        """
        return Database(self._sharing.database or self.path / DATABASE, self.seal)

    def close(self) -> None:
        """Close the connections to the database, if there are any."""
        if "database" in vars(self):
            self.database.close()

    @cached_property
    def audit(self) -> AuditLog:
        """The provider's audit log."""
        return AuditLog(self.database, AuditFile(self.path / _AUDIT), self._retention)

    @cached_property
    def keys(self) -> SigningKeys:
        """The provider's signing keys.

        :raises ConfigurationError: what they are sealed with cannot be read.
        """
        if self.seal is None:
            return SigningKeys(KeyFolder(self.path / _KEYS))
        return SigningKeys(SealedKeys(self.database, self.seal))

    @cached_property
    def seal(self) -> Seal | None:
        """What secrets in the database are sealed with, None if they are not.

        Signing keys are in the database where they can be sealed, and else in the folder.

        :raises ConfigurationError: it cannot be read.
        """
        return Seal.read(self._sharing.key_file) if self._sharing.key_file else None

    def create(
        self,
        domain: str,
        algorithm: Algorithm,
        now: int,
        *,
        local_tls: bool,
        authority: str = "",
    ) -> Creation:
        """Make what is missing. What an interruption left can be completed by the next try.

        :param domain: whose addresses are to be certified, in lower case.
        :param algorithm: of the first signing key.
        :param now: ms.
        :param local_tls: whether to make a private authority for the server, too.
        :param authority: where programs find the provider, empty for at the domain.
        :returns: what had to be made.
        :raises ConfigurationError: the folder is another domain's, has something else in it, or
            cannot be written.
        :raises StoreError: the database or the log cannot be written, what is there cannot be
            read, or others than the folder's owner can.
        """
        present = self.prepare(domain)
        if self._sharing.key_file is not None:
            bring_up_to_date(self.database)
        key = self.keys.create(algorithm, now)
        tls = local_tls and self.tls.create(authority or domain, now)
        # Last, because it is what makes the folder a provider's.
        made = not present and self._begin(domain, now)
        self.database.close()
        return Creation(provider=made, key=key, authority=tls)

    def prepare(self, domain: str) -> str:
        """Make the folder, if it is not there.

        :param domain: whose provider is to be in it.
        :returns: the domain, or an empty text if no provider is in it yet.
        :raises ConfigurationError: see `create`.
        """
        if self._wanted not in ("", domain):
            raise self._of_another(domain)
        self._make()
        self._check_private()
        present = self._domain()
        if present not in ("", domain):
            raise self._of_another(present)
        return present

    def _begin(self, domain: str, now: int) -> bool:
        """Make it the domain's; False if another host has done so at the same time."""
        bring_up_to_date(self.database)
        with self.database.transaction() as session:
            # Again, in the transaction that writes it: several hosts may be set up at once.
            if session.scalar(select(Domain.name)) == domain:
                return False
            session.add(Domain(name=domain, created=now))
            session.flush()
            self.audit.write(Event.PROVIDER_CREATED, now, domain=domain)
        return True

    def reseal(self, by: str, now: int) -> int:
        """Seal all secrets, and the signing keys, with the key that seals today.

        :param by: who wants that.
        :param now: ms.
        :returns: how many there are.
        :raises ConfigurationError: there is no provider, or nothing to seal with.
        :raises StoreError: one is sealed with a key that is not here. Nothing was changed.
        """
        self._check_private()
        if not self._domain():
            raise self._no_provider()
        if self.seal is None:
            raise ConfigurationError(
                "there is nothing to seal secrets with",
                "name a file with a key for that, `key_encryption_file` in [idp]",
            )
        with self.database.transaction():
            keys = self.keys.all()
            self.keys.replace(keys)
            sealed = len(keys) + reseal(self.database)
            self.audit.write(Event.RESEALED, now, secrets=sealed, by=by)
        return sealed

    def open(
        self,
        policy: Policy | None = None,
        session_policy: SessionPolicy | None = None,
        *,
        authority: str = "",
        public_url: str = "",
        rp_id: str = "",
        renewal_life: int = RENEWAL_LIFE_MS,
        cost: Cost = _USUAL_COST,
        backends: Backends = _OWN_ACCOUNTS_ALONE,
        second_step: SecondStep = "code",
        everywhere: bool = False,
    ) -> Provider:
        """The provider in the folder.

        :param policy: limits on failed sign-ins.
        :param session_policy: how long people stay signed in on its pages.
        :param authority: where programs find it; empty: at its domain.
        :param public_url: where people reach it; empty: there, too.
        :param rp_id: what passkeys are bound to, empty for the host of that.
        :param renewal_life: ms for which a renewal is good after each use.
        :param cost: of the hashes of passwords that are made from now on.
        :param backends: what says who people are.
        :param second_step: what is asked for after a password.
        :param everywhere: whether its people may have addresses of other domains. Whose mailbox
            that is changes without a word to it, so that a renewal is not extended by its use.
        :raises ConfigurationError: there is none, or passkeys cannot be bound to that.
        :raises StoreError: its database cannot be read, or others than its owner have access.
        """
        self._check_private()
        domain = self._domain()
        if not domain:
            raise self._no_provider()
        database = self.database
        authority = authority or domain
        public_url = public_url or f"https://{authority}"
        secret = ServerSecret(database)
        party = RelyingParty.at(public_url, rp_id)
        accounts = Accounts(database, domain, everywhere=everywhere, hasher=cost.hasher())
        passkeys = Passkeys(database, secret, self.audit, party, domain)
        second_factors = SecondFactors(database, self.audit, domain)
        recovery_codes = RecoveryCodes(database, self.audit)
        invitations = Invitations(database, self.audit)
        sessions = Sessions(database, session_policy)
        # Programs know where they have found the provider, and no other address.
        at = f"https://{authority}{CERTIFY}"
        consents = (end_codes, end_devices)
        renewals = Renewals(
            database, self.audit, at, renewal_life, consents, extends=not everywhere
        )
        outside = Outside(
            database=database,
            audit=self.audit,
            accounts=accounts,
            sessions=sessions,
            renewals=renewals,
            backends=backends,
        )
        return Provider(
            domain=domain,
            authority=authority,
            database=database,
            accounts=accounts,
            limits=SignInLimits(database, policy or Policy()),
            keys=self.keys,
            audit=self.audit,
            passkeys=passkeys,
            second_factors=second_factors,
            recovery_codes=recovery_codes,
            invitations=invitations,
            means=Means(
                database=database,
                audit=self.audit,
                accounts=accounts,
                sessions=sessions,
                renewals=renewals,
                passkeys=passkeys,
                second_factors=second_factors,
                recovery_codes=recovery_codes,
                invitations=invitations,
                outside=outside,
            ),
            sessions=sessions,
            secret=secret,
            public_url=public_url,
            revocations=Revocations(database, authority, self.keys),
            renewals=renewals,
            codes=Codes(database, renewals, self.audit),
            devices=Devices(database, self.audit),
            refusals=Refusals(self.audit),
            outside=outside,
            second_steps=SecondSteps(second_step, second_factors, passkeys),
            administrators=Administrators(database, self.audit, invitations),
            people=People(database, party.id),
            health=Health(backends, database),
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
                if present:
                    # Who had access to it may have read the keys: that is not mended in silence.
                    return
            make_private_folder(self.path)
        except OSError as error:
            raise ConfigurationError(
                f"the folder {self.path} cannot be made ({error.strerror})",
                "run this as the user the provider runs as",
            ) from None

    def _check_private(self) -> None:
        for path in (self.path, *map(self.path.joinpath, _PRIVATE)):
            try:
                status = os.stat(path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise self._unreadable(error) from None
            require_private(path, status, "700" if stat.S_ISDIR(status.st_mode) else "600")

    def _no_provider(self) -> ConfigurationError:
        if not self._sharing.database and (self.path / _KEYS).exists():
            return ConfigurationError(
                f"the provider's database {self.path / DATABASE} is missing, or empty",
                "put it back from the backup; `browserid-idp init` makes one without accounts",
            )
        return ConfigurationError(
            f"there is no identity provider in {self.path}",
            "make one with `browserid-idp init`, or name another folder with --directory",
        )

    def _unreadable(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(
            f"the folder {self.path} cannot be read ({error.strerror})",
            "run this as the user the provider runs as",
        )

    def _domain(self) -> str:
        """The domain whose provider this is, empty if it is none's yet."""
        try:
            if not self._sharing.database and not (self.path / DATABASE).exists():
                return ""
        except OSError as error:
            raise self._unreadable(error) from None
        bring_up_to_date(self.database)
        with self.database.reading() as session:
            present = session.scalar(select(Domain.name)) or ""
        if "" not in (present, self._wanted) and present != self._wanted:
            raise self._of_another(present)
        return present

    def _of_another(self, domain: str) -> ConfigurationError:
        return ConfigurationError(
            f"what is in {self.path}, or is to be there, is an identity provider for {domain}, and"
            " not for the domain that is meant",
            f"name the folder, database or file of the other domain, or say --domain {domain}",
        )
