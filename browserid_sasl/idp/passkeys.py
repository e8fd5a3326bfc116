"""Passkeys: what is asked of browsers, and whether what they answer is right (WebAuthn Level 3).

A passkey here signs somebody in by itself: the authenticator finds it without being told which
(discoverable), and has made sure that it is its owner who asks (user verification). So an answer to
"who may it be?" is the same for everybody, and no address is told apart from another by asking.

What an authenticator says about its make is not looked at (attestation). That a key may be copied
to other devices by its maker, and that it does not count its uses, is permitted; a count that goes
backwards is not.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import webauthn
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column
from webauthn.authentication.verify_authentication_response import VerifiedAuthentication
from webauthn.helpers import options_to_json_dict
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    CredentialDeviceType,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)
from webauthn.registration.verify_registration_response import VerifiedRegistration

from browserid_sasl.errors import ConfigurationError
from browserid_sasl.idp.audit import AuditLog, Event
from browserid_sasl.idp.challenges import Challenges
from browserid_sasl.idp.database import Account, Base, Database, account_email
from browserid_sasl.idp.passkey_answers import (
    ALGORITHMS,
    Answer,
    authentication,
    invalid,
    refused,
    registration,
)
from browserid_sasl.idp.relying_party import RelyingParty
from browserid_sasl.idp.server_secret import ServerSecret
from browserid_sasl.jose import b64

MOST_PASSKEYS: Final = 20
"""Passkeys of an account at the most."""

MAX_NAME: Final = 64
"""Characters of a passkey's name at the most."""

TIMEOUT_MS: Final = 60_000
"""How long a browser may wait for somebody to touch a key."""

_HANDLE: Final = 32


class PasskeyRow(Base):
    """A passkey.

    `credential` is its identifier and `public_key` its COSE key, both base64url. `counter` is how
    often it says it was used. `eligible` is 1 if it may be on several devices, `backed_up` if it
    is. Times are in ms, `used` is 0 until it is.
    """

    __tablename__ = "passkeys"

    id: Mapped[int] = mapped_column(primary_key=True)
    credential: Mapped[str] = mapped_column(unique=True)
    email: Mapped[str] = account_email()
    public_key: Mapped[str]
    rp_id: Mapped[str]
    name: Mapped[str]
    counter: Mapped[int]
    eligible: Mapped[int]
    backed_up: Mapped[int]
    created: Mapped[int]
    used: Mapped[int]


class UserHandle(Base):
    """What authenticators know an account by: random, and nothing of its address."""

    __tablename__ = "user_handles"

    email: Mapped[str] = account_email(primary_key=True)
    handle: Mapped[str]


class RecordedRpId(Base):
    """The one row with the RP ID that the first passkey was made for, or a later one confirmed."""

    __tablename__ = "rp_id"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


@dataclass(frozen=True, slots=True)
class Passkey:
    """A passkey as its owner sees it.

    :param id: by which it is renamed or removed.
    :param email: whose it is.
    :param name: what its owner calls it.
    :param rp_id: what it was made for; with another RP ID browsers do not use it.
    :param synced: whether its maker has copied it to other devices.
    :param created: ms.
    :param used: ms at which it last signed somebody in, 0 if never.
    """

    id: int
    email: str
    name: str
    rp_id: str
    synced: bool
    created: int
    used: int


class Passkeys:
    """The passkeys of a provider's accounts. Safe for threads and processes.

    :param database: where they are kept.
    :param secret: of the provider.
    :param audit: told what happens to them.
    :param party: whom they are for.
    :param title: what authenticators call the provider.
    """

    def __init__(
        self,
        database: Database,
        secret: ServerSecret,
        audit: AuditLog,
        party: RelyingParty,
        title: str,
    ) -> None:
        self._database = database
        self._audit = audit
        self._party = party
        self._title = title
        self._challenges = Challenges(database, secret)

    @property
    def rp_id(self) -> str:
        """What passkeys are made for."""
        return self._party.id

    def check_room(self, email: str) -> None:
        """See whether the account may have one more.

        :raises RefusedError: it may not.
        """
        _check_room(self.all(email))

    def registration_options(self, email: str, now: int, *, afresh: bool = False) -> dict[str, Any]:
        """What to hand to `navigator.credentials.create`, as JSON.

        :param email: of an account that there is, whose owner asks.
        :param now: ms.
        :param afresh: whether the passkey is to take the place of all that there are.
        :raises RefusedError: it has as many passkeys as it may have.
        """
        with self._database.transaction() as session:
            present = [] if afresh else self._rows(session, email)
            _check_room(present)
            handle = self._handle(session, email)
        options = webauthn.generate_registration_options(
            rp_id=self._party.id,
            rp_name=self._title,
            user_id=b64.decode(handle, "the user handle"),
            user_name=email,
            challenge=self._challenges.make(_registration_of(email), now),
            timeout=TIMEOUT_MS,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=[
                PublicKeyCredentialDescriptor(id=b64.decode(row.credential, "the credential"))
                for row in present
            ],
            supported_pub_key_algs=ALGORITHMS,
        )
        # Without being asked for, browsers do not say whether a key is discoverable.
        return options_to_json_dict(options) | {"extensions": {"credProps": True}}

    def register(
        self, email: str, response: bytes | str, name: str, client: str, now: int
    ) -> Passkey:
        """Add the passkey that a browser has made.

        :param email: of an account that there is, whose owner sent it.
        :param response: what `navigator.credentials.create` gave, as JSON.
        :param name: what its owner calls it, may be empty.
        :param client: IP address it came from.
        :param now: ms.
        :raises RefusedError: it is not one that can sign somebody in, with the reason in words.
        """
        name = _name(name)
        answer = Answer.parse(response)
        made = registration(answer, self._party)
        with self._database.transaction() as session:
            self._challenges.spend(answer.challenge, _registration_of(email), now)
            _check_room(self._rows(session, email))
            credential = b64.encode(made.credential_id)
            if session.scalar(select(PasskeyRow.id).where(PasskeyRow.credential == credential)):
                raise refused(409, "known-passkey", "this passkey is registered already")
            row = PasskeyRow(
                credential=credential,
                email=email,
                public_key=b64.encode(made.credential_public_key),
                rp_id=self._party.id,
                name=name,
                counter=made.sign_count,
                eligible=_is_eligible(made),
                backed_up=int(made.credential_backed_up),
                created=now,
                used=0,
            )
            session.add(row)
            self._record_rp_id(session)
            session.flush()
            self._write(Event.PASSKEY_ADDED, row, client, now)
            return _passkey(row)

    def authentication_options(self, email: str | None, now: int) -> dict[str, Any]:
        """What to hand to `navigator.credentials.get`, as JSON.

        It does not depend on whether there is such an account, or what passkeys it has.

        :param email: who is to sign in, in lower case; None for anybody.
        :param now: ms.
        """
        options = webauthn.generate_authentication_options(
            rp_id=self._party.id,
            challenge=self._challenges.make(_authentication_of(email), now),
            timeout=TIMEOUT_MS,
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return options_to_json_dict(options)

    def authenticate(
        self, response: bytes | str, client: str, now: int, *, email: str | None = None
    ) -> str:
        """Who has signed in with a passkey.

        :param response: what `navigator.credentials.get` gave, as JSON.
        :param client: IP address it came from.
        :param now: ms.
        :param email: what `authentication_options` were for.
        :returns: the account's address.
        :raises RefusedError: nobody has.
        """
        answer = Answer.parse(response)
        with self._database.transaction() as session:
            row = session.scalar(select(PasskeyRow).where(PasskeyRow.credential == answer.id))
            if row is None or row.rp_id != self._party.id:
                raise refused(401, "unknown-passkey", "this passkey is not known here (any more)")
            # Who signed comes before what is said of it: until then anybody may have written it.
            verified = authentication(
                answer, b64.decode(row.public_key, "the public key"), self._party
            )
            if answer.handle != self._handle(session, row.email):
                raise invalid("the passkey is for another account than it says")
            if email is not None and row.email != email:
                raise refused(
                    403, "other-account", f"this passkey is for {row.email}, not for {email}"
                )
            # Before the counter: an answer that somebody sends again is no sign of a second key.
            self._challenges.spend(answer.challenge, _authentication_of(email), now)
            cloned = _is_cloned(row, verified.new_sign_count)
            if cloned:
                counted = {"counter": verified.new_sign_count, "last_counter": row.counter}
                self._write(Event.PASSKEY_CLONED, row, client, now, **counted)
            else:
                self._update(row, verified, client, now)
        # Not before: what was written down would be undone.
        if cloned:
            raise refused(
                403,
                "cloned-passkey",
                "this passkey has counted backwards, so somebody may have a copy of it: sign in in"
                " another way, remove it, and tell your administrator",
            )
        return row.email

    def all(self, email: str) -> list[Passkey]:
        """The passkeys of an account, the oldest first."""
        with self._database.reading() as session:
            return [_passkey(row) for row in self._rows(session, email)]

    def usable(self, email: str) -> int:
        """How many passkeys of an account sign it in: those for the RP ID of today."""
        return sum(passkey.rp_id == self._party.id for passkey in self.all(email))

    def rename(self, email: str, number: int, name: str, client: str, now: int) -> None:
        """Give a passkey another name.

        :param email: whose it is.
        :param number: its `id`.
        :raises RefusedError: there is none of this account with it, or that is no name.
        """
        name = _name(name)
        with self._database.transaction() as session:
            row = self._row(session, email, number)
            row.name = name
            self._write(Event.PASSKEY_RENAMED, row, client, now)

    def remove(self, email: str, number: int, client: str, now: int) -> None:
        """Forget a passkey. Whether there is another means to sign in is for the caller to know.

        :param email: whose it is.
        :param number: its `id`.
        :raises RefusedError: there is none of this account with it.
        """
        with self._database.transaction() as session:
            row = self._row(session, email, number)
            session.delete(row)
            session.flush()
            self._write(Event.PASSKEY_REMOVED, row, client, now)

    def remove_all(self, email: str, client: str, now: int) -> None:
        """Forget all passkeys of an account."""
        with self._database.transaction():
            for passkey in self.all(email):
                self.remove(email, passkey.id, client, now)

    def count_of_other_rp_id(self) -> int:
        """How many passkeys there are, of all accounts, that browsers do not use any more."""
        with self._database.reading() as session:
            others = select(func.count()).where(PasskeyRow.rp_id != self._party.id)
            return session.scalar(others) or 0

    def check_rp_id(self) -> None:
        """Look whether this is the RP ID that passkeys were made for, or one that is confirmed.

        :raises ConfigurationError: it is not, with how many passkeys it breaks.
        """
        with self._database.reading() as session:
            recorded = session.get(RecordedRpId, 1)
            if recorded is None or recorded.name == self._party.id:
                return
            of_today = select(func.count()).where(PasskeyRow.rp_id == recorded.name)
            broken = session.scalar(of_today)
        if not broken:
            return
        what = "1 passkey works" if broken == 1 else f"{broken} passkeys work"
        raise ConfigurationError(
            f"the RP ID has been {recorded.name} and would be {self._party.id}: {what} no longer"
            " then",
            f'set `rp_id = "{recorded.name}"` in [idp], or if these people are to get new ones,'
            " run `browserid-idp confirm-rp-id`",
        )

    def confirm_rp_id(self, by: str, now: int) -> int:
        """Have the RP ID of today from now on.

        :param by: who wants that.
        :returns: how many passkeys do not work any more.
        """
        with self._database.transaction() as session:
            session.execute(delete(RecordedRpId))
            self._record_rp_id(session)
            broken = self.count_of_other_rp_id()
            self._audit.write(
                Event.RP_ID_CONFIRMED, now, rp_id=self._party.id, broken=broken, by=by
            )
            return broken

    def _record_rp_id(self, session: Session) -> None:
        recorded = session.get(RecordedRpId, 1)
        if recorded is None:
            session.add(RecordedRpId(id=1, name=self._party.id))
        elif recorded.name != self._party.id:
            # There was no passkey for it, or the provider would not have started.
            recorded.name = self._party.id

    def _rows(self, session: Session, email: str) -> list[PasskeyRow]:
        mine = select(PasskeyRow).where(PasskeyRow.email == email).order_by(PasskeyRow.id)
        return list(session.scalars(mine))

    def _row(self, session: Session, email: str, number: int) -> PasskeyRow:
        row = session.get(PasskeyRow, number)
        if row is None or row.email != email:
            raise refused(404, "no-passkey", "there is no such passkey (any more)")
        return row

    def _handle(self, session: Session, email: str) -> str:
        row = session.get(UserHandle, email)
        if row is None:
            if session.get(Account, email) is None:
                raise refused(404, "no-account", "there is no such account (any more)")
            row = UserHandle(email=email, handle=b64.encode(secrets.token_bytes(_HANDLE)))
            session.add(row)
        return row.handle

    def _update(
        self, row: PasskeyRow, verified: VerifiedAuthentication, client: str, now: int
    ) -> None:
        before = (row.eligible, row.backed_up, bool(row.counter))
        row.used = now
        row.counter = verified.new_sign_count
        row.eligible = _is_eligible(verified)
        row.backed_up = int(verified.credential_backed_up)
        if before != (row.eligible, row.backed_up, bool(row.counter)):
            self._write(Event.PASSKEY_CHANGED, row, client, now, counter=row.counter)

    def _write(self, event: Event, row: PasskeyRow, client: str, now: int, **details: int) -> None:
        self._audit.write(
            event,
            now,
            email=row.email,
            client=client,
            passkey=row.id,
            name=row.name,
            synced=row.backed_up,
            **details,
        )


def _is_eligible(verified: VerifiedRegistration | VerifiedAuthentication) -> int:
    return int(verified.credential_device_type is CredentialDeviceType.MULTI_DEVICE)


def _check_room(present: Sequence[object]) -> None:
    if len(present) >= MOST_PASSKEYS:
        raise refused(
            409,
            "too-many-passkeys",
            f"an account has {MOST_PASSKEYS} passkeys at the most: remove one that you do not use",
        )


def _name(text: str) -> str:
    name = " ".join(text.split()) or "Passkey"
    if len(name) > MAX_NAME or not name.isprintable():
        raise refused(
            400, "invalid-name", f"a name has at most {MAX_NAME} characters, all of them printable"
        )
    return name


def _passkey(row: PasskeyRow) -> Passkey:
    return Passkey(
        row.id, row.email, row.name, row.rp_id, bool(row.backed_up), row.created, row.used
    )


def _registration_of(email: str) -> str:
    return f"register {email}"


def _authentication_of(email: str | None) -> str:
    return f"authenticate {email or ''}"


def _is_cloned(row: PasskeyRow, counter: int) -> bool:
    """Whether there are two of a key (WebAuthn Level 3, section 6.1.1)."""
    return bool(row.counter and counter) and counter <= row.counter
