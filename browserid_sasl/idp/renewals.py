"""Where certificates went: which machines have them, and may renew them without a question.

There is one row for each key that was certified, as long as anything of it can be in force: a
certificate, a renewal, or a ticket that a service has given for it. Revoking it ends all three.
A key is one account's: else somebody could have another's key certified as theirs, and revoke it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Index, and_, delete, func, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from browserid_sasl.errors import BrowserIDError, Code, RemoteProtocolError
from browserid_sasl.identity.revocations import MAX_TICKET_LIFE_MS
from browserid_sasl.idp.audit import AuditLog, Event
from browserid_sasl.idp.database import Account, Base, Database
from browserid_sasl.idp.revocations import Revocation, add_to, is_revoked
from browserid_sasl.idp.signing_keys import MAX_CERTIFICATE_LIFE_MS
from browserid_sasl.idp.tokens import MAX_TOKEN, digest, new_token
from browserid_sasl.idp.wish_columns import WishColumns
from browserid_sasl.idp.wishes import Granted, Wish
from browserid_sasl.jose import json as strict_json
from browserid_sasl.jose.jwt import Jwt
from browserid_sasl.jose.keys import PublicKey
from browserid_sasl.web.refusal import RefusedError

MOST_KEYS: Final = 1_000
"""Keys of an account that something may be in force of, at the most."""

MAX_AHEAD_MS: Final = 300_000
"""How far ahead the expiry of what a renewal is asked with may be."""

RENEWAL_LIFE_MS: Final = 30 * 24 * 3_600_000
"""For how long a renewal is good after each use, unless the operator decides otherwise."""

SKEW_MS: Final = 300_000
"""By how much clocks may differ."""

MAX_STATEMENT: Final = 8_192
"""Characters of what a renewal is asked with at the most."""

_WHAT: Final = "the renewal"


class Certified(WishColumns, Base):
    """A key that was certified.

    `key` is its thumbprint, `token` the digest of the renewal's secret, or empty. `certificate`
    (ms) is when the last certificate ends, `expires` (ms) when the renewal does, 0 without one.
    `revoked` (ms) is 0 as long as it is not.
    """

    __tablename__ = "certified"
    __table_args__ = (Index("certified_ends", "expires", "certificate"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(index=True)
    key: Mapped[str] = mapped_column(unique=True)
    token: Mapped[str] = mapped_column(index=True)
    created: Mapped[int]
    last: Mapped[int]
    certificate: Mapped[int]
    expires: Mapped[int]
    revoked: Mapped[int]


EndConsents = Callable[[Session, str], None]
"""Ends what the account with an address has consented to, in a transaction."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """A machine that has a certificate.

    :param id: by which it is revoked.
    :param email: whose it is.
    :param machine: what it calls itself, may be empty.
    :param client: IP address it last came from.
    :param key: the thumbprint of its key, in base64url.
    :param created: ms at which somebody signed in for it.
    :param last: ms at which it last got a certificate.
    :param certificate: ms at which that ends.
    :param expires: ms at which it has to sign in again, 0 if that is at the certificate's end.
    """

    id: int
    email: str
    machine: str
    client: str
    key: str
    created: int
    last: int
    certificate: int
    expires: int

    @classmethod
    def of(cls, row: Certified) -> Renewal:
        """What is shown of a row."""
        return cls(
            row.id,
            row.email,
            row.machine,
            row.client,
            row.key,
            row.created,
            row.last,
            row.certificate,
            row.expires,
        )


@dataclass(frozen=True, slots=True)
class Proof:
    """What a renewal is asked with: its secret, in a statement that the person's key has signed.

    :param statement: the signed token.
    :param token: the secret in it.
    """

    statement: Jwt
    token: str

    @classmethod
    def parse(cls, text: str) -> Proof:
        """Read it. Its signature is verified when the key is known.

        :raises RefusedError: with the text of a code.
        """
        try:
            statement = Jwt.parse(text, _WHAT, MAX_STATEMENT)
            token = strict_json.string(statement.claims, "renewal", _WHAT, max_length=MAX_TOKEN)
        except BrowserIDError as error:
            raise RefusedError(400, error.code.text, str(error), error.code) from None
        return cls(statement, token)


class Renewals:
    """The keys of the accounts. Safe for threads and processes.

    :param database: where they are kept.
    :param audit: where what happens to them is written down.
    :param audience: the address at which renewals are asked for.
    :param life: ms for which one is good after each use.
    :param consents: end what an account has consented to, and nobody has fetched yet.
    :param extends: whether a use extends it. If not, it is good for so long after the sign-in.
    """

    def __init__(
        self,
        database: Database,
        audit: AuditLog,
        audience: str,
        life: int,
        consents: Sequence[EndConsents],
        *,
        extends: bool = True,
    ) -> None:
        self._database = database
        self.extends = extends
        self._audit = audit
        self._audience = audience
        self._consents = consents
        self.life = life
        """Ms for which a renewal is good after each use."""

    def issue(
        self,
        granted: Granted,
        certificate: int,
        now: int,
        record: Callable[[], object],
    ) -> tuple[str, int]:
        """Note that a key is certified after its owner has signed in.

        :param certificate: ms at which the certificate ends.
        :param now: ms.
        :param record: writes down that it is; if it raises, nothing is changed.
        :returns: the renewal's secret and ms at which it ends; an empty one and 0 if the person
            did not allow renewals.
        :raises RefusedError: the account is gone, the key was revoked or is somebody else's, or
            there are too many.
        """
        wish = granted.wish
        token, expires = (new_token(), now + self.life) if granted.renewal else ("", 0)
        with self._database.transaction() as session:
            _tidy(session, now)
            # All in the transaction that writes the row: nothing is certified after a revocation.
            _check_account(session, wish.email)
            row = _row_for(session, wish)
            row.wish = wish
            row.token, row.expires = digest(token) if token else "", expires
            row.created = row.last = now
            row.certificate = max(row.certificate or 0, certificate)
            session.add(row)
            session.flush()
            record()
        return token, expires

    def find(self, proof: Proof, now: int) -> Wish:
        """Who asks for a renewal, with which key.

        :param now: ms.
        :raises RefusedError: `renewal-unknown`, `renewal-revoked` or `renewal-expired` for ever;
            a code's text for a statement that is not good now.
        """
        with self._database.reading() as session:
            row = _find(session, proof.token)
        if row is None:
            raise _unknown()
        wish = row.wish
        self._check_statement(proof.statement, wish.public_key, now)
        # What became of it is said to the holder of its key only.
        _check_state(row, now)
        return wish

    def use(
        self, proof: Proof, client: str, certificate: int, now: int, record: Callable[[], object]
    ) -> int:
        """Renew, after `find`: as long as it is used it does not end, if use extends it.

        :param client: IP address of the machine.
        :param certificate: ms at which the new certificate ends.
        :param now: ms.
        :param record: writes down that it is renewed; if it raises, nothing is changed.
        :returns: ms at which it ends now.
        :raises RefusedError: as `find` does: it may have been revoked since.
        """
        with self._database.transaction() as session:
            row = _find(session, proof.token)
            if row is None:
                raise _unknown()
            # Again, in the transaction that renews: `find` was a while ago.
            _check_state(row, now)
            if session.get(Account, row.email) is None:
                raise _over("revoked", "its account is gone")
            row.client, row.last = client, now
            if self.extends:
                row.expires = now + self.life
            row.certificate = max(row.certificate, certificate)
            session.flush()
            record()
            return row.expires

    def all(self, email: str, now: int) -> list[Renewal]:
        """The machines of an account that have, or may get, a certificate: the last one first.

        :param email: the account's address.
        :param now: ms.
        """
        query = (
            select(Certified)
            .where(Certified.email == email, Certified.revoked == 0)
            .where(or_(Certified.certificate > now - MAX_TICKET_LIFE_MS, Certified.expires > now))
            .order_by(Certified.last.desc(), Certified.id.desc())
        )
        with self._database.reading() as session:
            return [Renewal.of(row) for row in session.scalars(query)]

    def end(self, proof: Proof, client: str, now: int) -> None:
        """End a renewal whose holder does not need it any more, and revoke its key.

        :param client: IP address of the machine.
        :param now: ms.
        :raises RefusedError: as `find` does.
        """
        wish = self.find(proof, now)
        self.revoke_key(wish, now, client=client)

    def revoke(self, id: int, email: str, now: int, *, by: str = "", client: str = "") -> bool:
        """End what a machine has: renewal, certificates and tickets.

        :param email: whose it has to be.
        :param now: ms.
        :param by: who did it on the provider's machine, if that is where it was done.
        :param client: IP address of who did it, else.
        :returns: False if the account has no such machine that is not revoked.
        """
        condition = and_(Certified.id == id, Certified.email == email)
        return self._revoke(condition, now, by, client) > 0

    def revoke_all(self, email: str, now: int, *, by: str = "", client: str = "") -> int:
        """End what all machines of an account have, or may fetch; returns how many had something.

        See `revoke`.
        """
        with self._database.transaction() as session:
            # With the keys: else a machine would get by a consent of before what it is to lose.
            for end in self._consents:
                end(session, email)
            return self._revoke(Certified.email == email, now, by, client)

    def revoke_key(self, wish: Wish, now: int, *, client: str = "") -> None:
        """End what was given, or is being given just now, for a wish. See `revoke`."""
        whose = select(Certified.email).where(Certified.key == wish.fingerprint)
        with self._database.transaction() as session:
            owner = session.scalar(whose)
            if owner is None:
                until = now + MAX_CERTIFICATE_LIFE_MS + MAX_TICKET_LIFE_MS + SKEW_MS
                add_to(session, wish.fingerprint, until)
        # Nobody revokes another's key by wishing for it.
        self._revoke(
            and_(Certified.key == wish.fingerprint, Certified.email == wish.email), now, "", client
        )

    def _revoke(self, condition: ColumnElement[bool], now: int, by: str, client: str) -> int:
        who = {name: value for name, value in {"by": by, "client": client}.items() if value}
        with self._database.transaction() as session:
            rows = session.scalars(select(Certified).where(condition, Certified.revoked == 0)).all()
            for row in rows:
                row.revoked = now
                add_to(session, row.key, row.certificate + MAX_TICKET_LIFE_MS + SKEW_MS)
                session.flush()
                self._audit.write(
                    Event.REVOKED, now, email=row.email, key=row.key, machine=row.machine, **who
                )
            return len(rows)

    def _check_statement(self, statement: Jwt, key: PublicKey, now: int) -> None:
        try:
            statement.verify(key, _WHAT)
        except RemoteProtocolError:
            # The secret without the key is worth as much as none.
            raise _unknown() from None
        try:
            audience = strict_json.string(statement.claims, "aud", _WHAT)
            expires = strict_json.time(statement.claims, "exp", _WHAT)
        except RemoteProtocolError as error:
            raise RefusedError(400, error.code.text, str(error), error.code) from None
        if audience != self._audience:
            raise RefusedError(
                400, "bad-audience", f"{_WHAT} is not for {self._audience}", Code.BAD_AUDIENCE
            )
        if not now - SKEW_MS < expires <= now + MAX_AHEAD_MS + SKEW_MS:
            raise RefusedError(
                400,
                "expired-assertion",
                f"{_WHAT} has expired, or expires later than in 5 minutes: compare the clocks",
                Code.EXPIRED_ASSERTION,
            )


def _tidy(session: Session, now: int) -> None:
    gone = now - MAX_TICKET_LIFE_MS - SKEW_MS
    # In two parts, each of them one range of the index: everybody waits for this.
    without = and_(Certified.expires == 0, Certified.certificate <= gone)
    with_one = and_(Certified.expires.between(1, gone), Certified.certificate <= gone)
    session.execute(delete(Certified).where(or_(without, with_one)))
    session.execute(delete(Revocation).where(Revocation.until <= now))


def _check_account(session: Session, email: str) -> None:
    if session.get(Account, email) is None:
        raise RefusedError(
            401, "no-account", "there is no such account any more", Code.INTERACT_FAILURE
        )


def _row_for(session: Session, wish: Wish) -> Certified:
    """The row of the key, if it may be certified for the account."""
    key = wish.fingerprint
    row = session.scalar(select(Certified).where(Certified.key == key))
    # One that has left the list is known for longer where its renewal would have lasted longer.
    if is_revoked(session, key) or (row is not None and row.revoked):
        raise RefusedError(
            400, "revoked-key", "this key was revoked: make another one", Code.INVALID_KEY
        )
    if row is not None and row.email == wish.email:
        return row
    if row is not None:
        raise RefusedError(
            400, "invalid-key", "this key is certified for another account", Code.INVALID_KEY
        )
    count = select(func.count()).where(Certified.email == wish.email)
    if (session.scalar(count) or 0) >= MOST_KEYS:
        raise RefusedError(
            429,
            "too-many-keys",
            f"{MOST_KEYS} keys of this account are certified: use one again, or wait a week",
            Code.INTERACT_UNAVAILABLE,
            retry_after=MAX_TICKET_LIFE_MS // 1000,
        )
    return Certified(email=wish.email, key=key, revoked=0)


def _find(session: Session, token: str) -> Certified | None:
    return session.scalar(select(Certified).where(Certified.token == digest(token)))


def _check_state(row: Certified, now: int) -> None:
    if row.revoked:
        raise _over("revoked", "it was revoked")
    if row.expires <= now:
        raise _over("expired", "it was not used for too long")


def _unknown() -> RefusedError:
    return _over("unknown", "it is not known here")


def _over(word: str, why: str) -> RefusedError:
    return RefusedError(
        401,
        f"renewal-{word}",
        f"the certificate cannot be renewed: {why}; sign in again",
        Code.INTERACT_REQUIRED,
    )
