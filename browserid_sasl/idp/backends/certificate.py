"""TLS certificates of people, such as those on smart cards, which a front server hands on.

That server has seen to it that the browser has the certificate's key. Everything else is looked at
here: at a sign-in, and again for each certificate that the provider makes, with all that somebody
has signed in by since. So a card that is revoked ends what has come of it.
"""

from __future__ import annotations

import base64
import json
import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from browserid_sasl.errors import RemoteProtocolError
from browserid_sasl.idp.backends import (
    Backend,
    Carried,
    Challenge,
    Denial,
    DeniedError,
    Identity,
    Known,
    ProbedBackend,
    Vouched,
)
from browserid_sasl.idp.backends.certificate_headers import Form, read_certificate, read_chain
from browserid_sasl.idp.backends.certificate_names import Holder, Naming
from browserid_sasl.idp.backends.certificate_trust import ExpiredError, PeopleTrust, RevokedError
from browserid_sasl.idp.backends.front_server import FrontServer
from browserid_sasl.idp.database import Database
from browserid_sasl.idp.rations import Told
from browserid_sasl.idp.upstream_tokens import UpstreamTokens
from browserid_sasl.store.base import system_clock
from browserid_sasl.x509.paths import UntrustedError

_MOST_KEPT: Final = 4
"""Certificates of one person that are looked at again. With one more, all begins anew."""

_logger = logging.getLogger(__name__)

Chain = Sequence[bytes]
"""A certificate and those that came with it, in DER."""


@dataclass(frozen=True, slots=True)
class HandedOn:
    """How a front server hands certificates on.

    :param form: of the header, see `certificate_headers`.
    :param header: its name, in lower case.
    :param chain_header: of the one with the certificates of authorities, empty for none.
    """

    form: Form
    header: str
    chain_header: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of somebody: by which certificates they have signed in.

    :param version: see `Identity.version`.
    :param chains: the certificates.
    """

    version: str
    chains: Sequence[Chain] = field(repr=False)

    @property
    def text(self) -> str:
        """As it is kept."""
        chains = [[base64.b64encode(der).decode() for der in chain] for chain in self.chains]
        return json.dumps([self.version, chains])

    @classmethod
    def parse(cls, text: str) -> Kept:
        """The opposite of `text`.

        :raises ValueError: it is something else. Other errors may be raised, too; see `_NOT_OURS`.
        """
        match json.loads(text):
            case [str(version), list(chains)]:
                return cls(version, [[base64.b64decode(der) for der in chain] for chain in chains])
        raise ValueError("no certificates")


_NOT_OURS: Final = (ValueError, TypeError, RecursionError)
"""What reading raises that another backend has kept: the text is another provider's choice."""


class CertificateBackend:
    """See `RequestBackend` and `KeepingBackend`.

    :param name: what the configuration calls it.
    :param label: what people call it, empty for what is usual.
    :param front: the server whose word is taken for what a browser has shown.
    :param handed_on: how that is written.
    :param trust: which certificates are good.
    :param naming: whose they are.
    :param directory: what is asked about a person besides, None for nothing.
    :param clock: ms.
    """

    method: Final = "certificate"
    at_once: Final = False

    def __init__(
        self,
        name: str,
        *,
        label: str,
        front: FrontServer,
        handed_on: HandedOn,
        trust: PeopleTrust,
        naming: Naming,
        directory: Backend | None = None,
        clock: Callable[[], int] = system_clock,
    ) -> None:
        self.name = name
        self.label = label
        self._front = front
        self._handed_on = handed_on
        self._trust = trust
        self._naming = naming
        self._directory = directory
        self._clock = clock
        self._database: Database | None = None
        self._log = Told(_logger)

    def keep_in(self, database: Database) -> None:
        """See `KeepingBackend`."""
        self._database = database

    def look(self, carried: Carried) -> Known | Challenge:
        """See `RequestBackend`."""
        with self._told():
            chain = self._shown(carried)
            if chain is None:
                return Challenge({})
            holder = self._holder(chain)
        kept = self._kept_with(holder.email, chain)
        return Known(self._vouch_at_sign_in(holder, kept), kept=kept.text)

    def keep(self, email: str, known: Known) -> None:
        """See `KeepingBackend`."""
        new = Kept.parse(known.kept)
        with self._needed_database.transaction():
            # Somebody may have signed in by another one meanwhile.
            kept = self._find(email)
            if kept is not None and kept.version == new.version:
                new = Kept(new.version, _joined(kept.chains, new.chains))
            self._tokens.put(email, new.text, self._clock())

    def check(self, identity: Identity) -> Vouched:
        """See `Backend`."""
        kept = self._find(identity.email)
        if kept is None:
            raise DeniedError(Denial.OVER)
        good = self._good(kept)
        if not good:
            raise DeniedError(Denial.CERTIFICATE_EXPIRED)
        if any(holder.email != identity.email for _, holder in good):
            raise DeniedError(Denial.RENAMED)
        _, last = good[-1]
        return self._vouch(last, kept.version)

    def probe(self) -> list[str]:
        """See `ProbedBackend`."""
        self._trust.probe(self._clock())
        if self._naming.people is not None:
            self._naming.people.probe()
        return self._directory.probe() if isinstance(self._directory, ProbedBackend) else []

    def _shown(self, carried: Carried) -> Chain | None:
        """What a browser has shown; None if that is nothing."""
        handed_on, front = self._handed_on, self._front
        # First of all it has to be the front server's word.
        said = front.said(carried, handed_on.header)
        leaf = read_certificate(handed_on.form, "".join(said))
        if leaf is None:
            return None
        chain_header = handed_on.chain_header
        others = front.said(carried, chain_header, several=True) if chain_header else []
        return [leaf, *read_chain(others)] if others else [leaf]

    def _holder(self, chain: Chain) -> Holder:
        path = self._trust.verify(chain, self._clock())
        return self._naming.holder(path)

    def _good(self, kept: Kept) -> Sequence[tuple[Chain, Holder]]:
        """The certificates that are still good, and whose they are.

        :raises DeniedError: one of them is not good, and it is not that its time is over.
        """
        good = []
        for chain in kept.chains:
            try:
                with self._told():
                    good.append((chain, self._holder(chain)))
            except DeniedError as error:
                if error.denial is not Denial.CERTIFICATE_EXPIRED:
                    raise
        return good

    def _kept_with(self, email: str, chain: Chain) -> Kept:
        """What there is to keep of somebody who signs in once more.

        If one that they have signed in by is no longer good, all that has come of it is to end: so
        it is another version then.
        """
        kept = self._find(email)
        if kept is not None:
            with suppress(DeniedError):
                good = self._good(kept)
                chains = _joined([each for each, _ in good], [chain])
                if len(chains) <= _MOST_KEPT and all(each.email == email for _, each in good):
                    return Kept(kept.version, chains)
        return Kept(secrets.token_hex(8), [chain])

    def _vouch_at_sign_in(self, holder: Holder, kept: Kept) -> Vouched:
        try:
            return self._vouch(holder, kept.version)
        except DeniedError as error:
            # Nobody knows what was there before.
            gone = error.denial is Denial.GONE
            raise DeniedError(Denial.NOT_ADMITTED if gone else error.denial) from None

    def _vouch(self, holder: Holder, version: str) -> Vouched:
        if self._directory is None:
            return Vouched(holder.email, holder.person, version)
        said = self._directory.check(Identity(holder.email, self._directory.name, ""))
        # Both: an address that somebody else has got is theirs in the directory, and the card of
        # the one before still has it.
        return Vouched(holder.email, f"{holder.person} {said.subject}", version, said.claims)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What is wrong with a certificate: in full for the log, and in a word for its person."""
        try:
            yield
        except RevokedError as error:
            raise self._denied(error.why, Denial.CERTIFICATE_REVOKED) from None
        except ExpiredError as error:
            raise self._denied(error.why, Denial.CERTIFICATE_EXPIRED) from None
        except UntrustedError as error:
            raise self._denied(error.why, Denial.UNTRUSTED) from None
        except RemoteProtocolError as error:
            raise self._denied(error.message, Denial.UNTRUSTED) from None

    def _denied(self, why: str, denial: Denial) -> DeniedError:
        self._log.tell(
            logging.WARNING, "backend %s: a certificate is not taken: %s", self.name, why
        )
        return DeniedError(denial)

    def _find(self, email: str) -> Kept | None:
        found = self._tokens.find(email)
        try:
            return None if found is None else Kept.parse(found.token)
        except _NOT_OURS:
            return None

    @property
    def _tokens(self) -> UpstreamTokens:
        return UpstreamTokens(self._needed_database)

    @property
    def _needed_database(self) -> Database:
        if self._database is None:
            raise RuntimeError("nobody has said where certificates are kept")
        return self._database


def _joined(chains: Sequence[Chain], further: Sequence[Chain]) -> list[Chain]:
    """All of them, each once, those that were shown last at the end."""
    leaves = {chain[0] for chain in further}
    return [*(chain for chain in chains if chain[0] not in leaves), *further]
