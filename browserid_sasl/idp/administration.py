"""What an administrator does about people and keys: each thing as a whole, and in the audit log.

The commands do it, on the provider's machine, and so do the pages, for less: what is done to an
account there is refused where that is an administrator's, see `administrators`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from browserid_sasl.errors import Code, LocalProtocolError
from browserid_sasl.idp.audit import Event
from browserid_sasl.idp.folder import Provider
from browserid_sasl.idp.invitations import LIFE_MS
from browserid_sasl.idp.signing_keys import SigningKey
from browserid_sasl.idp.web.paths import INVITATION, with_query
from browserid_sasl.web.refusal import RefusedError

NO_PAGE: Final = "not-found"
"""What is answered to who is no administrator: as where there is no page."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something.

    :param name: an administrator's address, or the user who runs a command.
    :param client: IP address they come from, empty if that is not known; None: they are at the
        provider's machine.
    """

    name: str
    client: str | None = None

    @property
    def at_the_machine(self) -> bool:
        """Whether it is somebody who could do all of it without being asked."""
        return self.client is None

    @property
    def known_client(self) -> str:
        """The IP address, empty where there is none to be known."""
        return self.client or ""


class Administration:
    """What can be done. Safe for threads and processes.

    In all methods `now` is in ms, and `email` an address in lower case.

    :param provider: to which it is done.
    :param actor: who does it.
    """

    def __init__(self, provider: Provider, actor: Actor) -> None:
        self._provider = provider
        self._actor = actor

    def invite(self, email: str, now: int, life: int = LIFE_MS) -> str:
        """The link with which somebody sets up their account, made if there is none. Secret.

        A link that was made before is void.

        :param life: ms for which it is good.
        :raises RefusedError: administrator-account.
        """
        provider = self._provider
        with self._acting():
            self._check_ordinary(email)
            provider.accounts.add_without_password(
                email, now, lambda: self._write(Event.ACCOUNT_ADDED, email, now)
            )
            name, client = self._actor.name, self._actor.known_client
            token = provider.invitations.make(email, name, now, life, client=client)
        return provider.public_url + with_query(INVITATION, token=token)

    def withdraw(self, email: str, now: int) -> None:
        """Have the link of an invitation be good no more.

        :raises RefusedError: no-invitation.
        """
        name, client = self._actor.name, self._actor.known_client
        with self._acting():
            if not self._provider.invitations.withdraw(email, name, now, client=client):
                raise RefusedError(
                    404, "no-invitation", f"there is no open invitation for {email} (any more)"
                )

    def reset(self, email: str, now: int) -> str:
        """Take from an account all that it can be signed in with here, and all that came of that.

        For somebody who has lost it, or whose it is no more.

        :returns: the link of another invitation, secret.
        :raises RefusedError: no-person, administrator-account.
        """
        with self._acting():
            self._check_account(email)
            self._check_ordinary(email)
            self._provider.means.remove_all(email, self._actor.known_client, now)
            return self.invite(email, now)

    def remove(self, email: str, now: int) -> None:
        """Remove an account, and revoke what its machines have.

        :raises RefusedError: no-person, administrator-account.
        """
        with self._acting():
            self._check_ordinary(email)
            self._provider.sessions.end_all(email)
            self._revoke_all(email, now)
            if not self._provider.accounts.remove(
                email, lambda: self._write(Event.ACCOUNT_REMOVED, email, now)
            ):
                raise _no_account(email)

    def end_sessions(self, email: str, now: int, *, keep: int | None = None) -> None:
        """Sign somebody out in all browsers.

        :param keep: the session in which that is asked for, which stays.
        :raises RefusedError: no-person.
        """
        with self._acting():
            self._check_account(email)
            self._end_sessions(email, now, keep)

    def revoke(self, machine: int, email: str, now: int) -> None:
        """End what a machine has: renewal, certificates and tickets.

        :param machine: its number, among those of the account.
        :raises RefusedError: no-machine.
        """
        renewals, actor = self._provider.renewals, self._actor
        with self._acting():
            by, client = actor.name, actor.known_client
            if not renewals.revoke(machine, email, now, by=by, client=client):
                raise RefusedError(404, "no-machine", "there is no such machine (any more)")

    def revoke_all(self, email: str, now: int, *, keep: int | None = None) -> int:
        """End what all machines of an account have, and its sessions.

        :param keep: see `end_sessions`.
        :returns: how many keys were revoked.
        """
        with self._acting():
            self._end_sessions(email, now, keep)
            return self._revoke_all(email, now)

    def rotate_key(self, now: int, lead: int) -> str:
        """Make another signing key, and keep those before published for as long as they are needed.

        :param lead: ms for which it is published before it signs.
        :returns: its name.
        :raises RefusedError: too-many-signing-keys: that many cannot be published.
        """
        keys = self._provider.keys
        # Before the transaction: it takes a while, and everybody would wait for that.
        made = keys.generate(now)
        with ExitStack() as undoing:
            with self._acting():
                before = keys.all()
                try:
                    key = keys.rotate(made, now, lead=lead)
                except LocalProtocolError as error:
                    raise RefusedError(409, "too-many-signing-keys", error.message) from None
                undoing.callback(self._take_back, key, before)
                self._provider.audit.write(
                    Event.KEY_CREATED, now, key=key.name, withdrawn=False, **self._client
                )
            undoing.pop_all()
        return key.name

    def _take_back(self, key: SigningKey, before: Sequence[SigningKey]) -> None:
        """Publish no key that the audit log has not."""
        keys = self._provider.keys
        # Where it is in the database, it has gone with the transaction.
        if key.name in {each.name for each in keys.all()}:
            keys.replace(before)

    @property
    def _client(self) -> dict[str, str]:
        return {"client": self._actor.client} if self._actor.client else {}

    @contextmanager
    def _acting(self) -> Iterator[None]:
        """In one transaction, in which who acts on the pages is an administrator yet."""
        provider, actor = self._provider, self._actor
        with provider.audit.by(actor.name), provider.database.transaction():
            if not actor.at_the_machine and not provider.administrators.has(actor.name):
                raise RefusedError(404, NO_PAGE, "Not Found.")
            yield

    def _check_account(self, email: str) -> None:
        if not self._provider.accounts.exists(email):
            raise _no_account(email)

    def _check_ordinary(self, email: str) -> None:
        if not self._actor.at_the_machine and self._provider.administrators.has(email):
            raise RefusedError(
                403,
                "administrator-account",
                f"{email} is an administrator: this is done by a command on the provider's machine",
                Code.INTERACT_FAILURE,
            )

    def _end_sessions(self, email: str, now: int, keep: int | None) -> None:
        self._provider.sessions.end_all(email, keep)
        self._write(Event.SESSIONS_ENDED, email, now)

    def _revoke_all(self, email: str, now: int) -> int:
        actor = self._actor
        by, client = actor.name, actor.known_client
        return self._provider.renewals.revoke_all(email, now, by=by, client=client)

    def _write(self, event: Event, email: str, now: int) -> None:
        self._provider.audit.write(event, now, email=email, **self._client)


def _no_account(email: str) -> RefusedError:
    return RefusedError(
        404, "no-person", f"there is no account {email} (any more)", Code.INTERACT_FAILURE
    )
