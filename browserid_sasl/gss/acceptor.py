"""The acceptor's side of a context (PROTOCOL.md sections 3 to 5)."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from browserid_sasl.errors import BrowserIDError, Code, RemoteProtocolError, StoreError
from browserid_sasl.gss import keys, tokens
from browserid_sasl.gss.admission import OneByOne
from browserid_sasl.gss.claims import (
    NONCE_SIZE,
    InitiatorClaims,
    IssuedTicket,
    Option,
    ReportedError,
    Response,
)
from browserid_sasl.gss.context import (
    PROTECTION_FLAGS,
    ContextFlag,
    SecurityContext,
    established,
)
from browserid_sasl.gss.ecdh import Point
from browserid_sasl.gss.mechanisms import Curve, Mechanism
from browserid_sasl.gss.names import ServiceName
from browserid_sasl.gss.ports import (
    AcceptorTicketStore,
    Admission,
    Doubt,
    Entry,
    Environment,
    ReplayStore,
    ServerCredential,
)
from browserid_sasl.gss.states import (
    ACCEPTOR,
    AcceptorEvent,
    AcceptorState,
    Machine,
    Send,
    not_to_be_sent,
)
from browserid_sasl.gss.steps import Recording, Steps, asked, at_once, recorded
from browserid_sasl.gss.tickets import AcceptorTicket
from browserid_sasl.gss.tokens import TokenId
from browserid_sasl.identity.backed import BackedAssertion
from browserid_sasl.identity.verifier import Verifier, key_revoked, replay_digest
from browserid_sasl.jose import b64, jwt
from browserid_sasl.jose.secrets import SecretKey

DEFAULT_TICKET_LIFETIME_MS: Final = 10 * 3_600_000
DEFAULT_RENEW_LIMIT_MS: Final = 7 * 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class AcceptorOptions:
    """An acceptor's policy.

    :param names: names it answers to; the first is its own.
    :param host_alias: whether an assertion for ``host/...`` serves any service of the host.
    :param ticket_lifetime: ms.
    :param ticket_renew_limit: ms from the initial login until tickets are renewed no more.
    :param cap_ticket: whether a ticket ends with the certificate it came from.
    :param extra_round_trip: whether to demand it of initiators that did not ask.
    """

    names: tuple[ServiceName, ...]
    host_alias: bool = False
    ticket_lifetime: int = DEFAULT_TICKET_LIFETIME_MS
    ticket_renew_limit: int = DEFAULT_RENEW_LIMIT_MS
    cap_ticket: bool = False
    extra_round_trip: bool = False


@dataclass(frozen=True, slots=True)
class ExchangeStores:
    """What acceptors share.

    :param replay: the memory of assertions presented.
    :param tickets: the tickets issued; None issues none.
    :param admission: writes to both at once; None to write to one after the other.
    :param waits: whether they are on another host, and take their time.
    """

    replay: ReplayStore
    tickets: AcceptorTicketStore | None
    admission: Admission | None = None
    waits: bool = False

    def recording(self, entry: Entry) -> Recording:
        """An entry, and what records it."""
        return Recording(entry, self.admission or OneByOne(self.replay, self.tickets), self.waits)


@dataclass(frozen=True, slots=True)
class _Grant:
    """An assertion that verified, before anything about it is stored.

    :param claims: its payload.
    :param digest: what the replay store remembers of it.
    :param ticket_id: the identifier a ticket for it gets.
    :param subject: the initiator's e-mail address.
    :param issuer: who vouched for it.
    :param issued_at: ms, when the assertion was made at the earliest, by its own word.
    :param expires: ms, when a context from it ends.
    :param attributes: further claims of the certificate.
    :param used_ticket: the ticket that stood in for a certificate.
    :param master_key: CMK, None without key exchange.
    :param mutual: whether the response authenticates the acceptor.
    :param key_thumbprint: of the key that signed, now or when the ticket's context was made; empty
        if the ticket does not say.
    """

    claims: InitiatorClaims
    digest: bytes
    ticket_id: str
    subject: str
    issuer: str
    issued_at: int
    expires: int
    attributes: Mapping[str, Any]
    used_ticket: AcceptorTicket | None
    master_key: bytes | None = field(repr=False)
    mutual: bool
    key_thumbprint: str


@dataclass(frozen=True, slots=True)
class _Seal:
    """How the response, or an error from here on, is signed.

    :param sign: makes the token.
    :param agreement_member: of the answer, see `Response`.
    :param point: likewise.
    :param nonce: likewise.
    :param request: likewise.
    """

    sign: Callable[[Mapping[str, Any]], str] = jwt.unsigned
    agreement_member: str = ""
    point: Point | None = None
    nonce: bytes | None = field(default=None, repr=False)
    request: bytes | None = None


_UNSIGNED: Final = _Seal()


class Acceptor:
    """Accepts one context.

    `step` takes what the initiator sent and returns what to send back. It does not raise for
    what the initiator did: the error goes into `failure`, and the error token that tells the
    initiator is returned like any other.

    :param mechanism: the mechanism that was negotiated.
    :param options: the acceptor's policy.
    :param verifier: checks assertions and certificates.
    :param stores: replay store and tickets.
    :param environment: time and randomness.
    :param allow: called with the initiator's address before it is proven, so that nobody is asked
        about a stranger; raises `BrowserIDError` to refuse.
    :param channel_binding: GSS `application_data` that the initiator has to have signed, None
        without channel binding.
    :param credential: X.509 key for mutual authentication, None without.
    :param authorize: called with the initiator's address once that is proven and before anything
        is stored, and again when the proof of an extra round trip has come; raises
        `BrowserIDError` to refuse. None takes everybody whom `allow` takes.
    """

    def __init__(
        self,
        mechanism: Mechanism,
        options: AcceptorOptions,
        verifier: Verifier,
        stores: ExchangeStores,
        environment: Environment,
        *,
        allow: Callable[[str], None],
        channel_binding: bytes | None = None,
        credential: ServerCredential | None = None,
        authorize: Callable[[str], None] | None = None,
    ) -> None:
        self._mechanism = mechanism
        self._options = options
        self._verifier = verifier
        self._stores = stores
        self._environment = environment
        self._allow = allow
        self._channel_binding = channel_binding
        self._credential = credential
        self._authorize = authorize
        self._machine = Machine(ACCEPTOR, AcceptorState.START)
        self._seal = _UNSIGNED
        self._pending: _Pending | None = None
        self._context: SecurityContext | None = None
        self._granted: _Grant | None = None
        self._failure: BrowserIDError | None = None

    @property
    def state(self) -> AcceptorState:
        """Where the exchange stands."""
        return self._machine.state

    @property
    def failure(self) -> BrowserIDError | None:
        """Why the context failed, None while it has not."""
        return self._failure

    @property
    def context(self) -> SecurityContext:
        """The established context.

        :raises LocalProtocolError: context-incomplete.
        """
        return established(self._context)

    def check_running(self) -> Steps[None]:
        """Check that the established context has not ended before the program begins to use it.

        :raises RemoteProtocolError: cred-expired, or expired-cert or reauth-failed when its key
            has been revoked meanwhile.
        :raises DiscoveryError: a list of revoked keys cannot be had, and is required.
        :raises LocalProtocolError: context-incomplete.
        """
        self._check_running(self.context.expires, self.context.identity)
        if self._granted is not None:
            yield from self._check_revoked(self._granted)

    def step(self, token: bytes) -> bytes | None:
        """Take the initiator's token.

        :returns: the token to send, None when there is nothing to send.
        :raises LocalProtocolError: context-established when the exchange is over.
        """
        return at_once(self.steps(token))

    def steps(self, token: bytes) -> Steps[bytes | None]:
        """Like `step`, for who records the assertions of several exchanges together."""
        self._machine.expect(AcceptorEvent.REFUSED)
        try:
            if self._machine.state is AcceptorState.AWAIT_PROOF:
                return (yield from self._take_proof(token))
            return (yield from self._take_assertion(token))
        except BrowserIDError as error:
            return self.refuse(error)

    def refuse(self, error: BrowserIDError) -> bytes | None:
        """Fail for a reason found outside of the token, for example in the GS2 header.

        :returns: the error token to send.
        """
        # Where the exchange is over already this raises, and what it came to stays.
        token = self._go(AcceptorEvent.REFUSED, error=error)
        self._failure = error
        return token

    def _go(
        self,
        event: AcceptorEvent,
        *,
        grant: _Grant | None = None,
        ticket: AcceptorTicket | None = None,
        jti: bytes | None = None,
        error: BrowserIDError | None = None,
    ) -> bytes | None:
        """Move along the event's transition, and make the token that its row names."""
        match self._machine.fire(event).send:
            case Send.NOTHING:
                return None
            case Send.RESPONSE if grant is not None:
                return self._response(grant, ticket)
            case Send.RESPONSE_WITH_JTI if grant is not None and jti is not None:
                return self._response(grant, ticket, jti)
            case Send.REAUTH_FAILED:
                return self._error_token(_ticket_unknown())
            case Send.ERROR if error is not None:
                return self._error_token(error)
            case other:
                raise not_to_be_sent(other, event)

    def _take_assertion(self, token: bytes) -> Steps[bytes | None]:
        # Nothing that was agreed on before a certificate was asked for signs what follows.
        self._seal = _UNSIGNED
        now = self._environment.clock()
        backed = BackedAssertion.parse(tokens.unframe(token, TokenId.INITIATOR))
        claims = InitiatorClaims.parse(backed.assertion.claims)
        if claims.ticket_id is None:
            return (yield from self._admit(self._verify_certificate(backed, claims, now), now))
        ticket = yield from self._find_ticket(backed, claims, now)
        if ticket is None:
            return self._go(AcceptorEvent.TICKET_UNKNOWN)
        grant = self._verify_ticket(backed, claims, ticket, now)
        if self._is_revoked(grant):
            # The certificate that is asked for now tells its owner why.
            yield from self._forget(ticket)
            return self._go(AcceptorEvent.TICKET_UNKNOWN)
        return (yield from self._admit(grant, now))

    # Initial authentication

    def _verify_certificate(
        self, backed: BackedAssertion, claims: InitiatorClaims, now: int
    ) -> _Grant:
        # First what the assertion says of itself, in the order of PROTOCOL.md section 3: one for
        # another service, another channel or another day is refused before it costs anything.
        self._check_audience(claims)
        self._check_binding(claims)
        self._verifier.check_times(claims.validity, now)
        certificate = self._verifier.certificate_of(backed)
        # Before the signatures: to verify them is to ask the provider of whatever domain stands in
        # the certificate, and its answer, or its silence, would be a stranger's to give. An address
        # that is not proven yet is good enough to refuse.
        self._allow(certificate.email)
        self._verifier.verify_signatures(backed, certificate, now)
        # Key agreement and our own signature are work, done for who has proven who they are. Errors
        # from here on are signed.
        master_key = self._agree(claims)
        mutual = self._seal_initial(claims, backed)
        return _Grant(
            claims=claims,
            digest=replay_digest(backed, certificate),
            ticket_id=backed.ticket_id,
            subject=certificate.email,
            issuer=certificate.issuer,
            issued_at=_issued_at(claims, certificate.issued_at),
            expires=_whole_second(certificate.expires),
            attributes=certificate.attributes,
            used_ticket=None,
            master_key=master_key,
            mutual=mutual,
            key_thumbprint=b64.encode(certificate.key_thumbprint),
        )

    def _agree(self, claims: InitiatorClaims) -> bytes | None:
        """Agree on the master key, and keep our point for the answer."""
        curve = self._mechanism.curve
        if curve is None:
            _check_no_agreement(claims)
            return None
        if claims.agreement is None:
            raise RemoteProtocolError(Code.NO_KEY, "the assertion has no key agreement")
        if claims.agreement.curve is not curve:
            raise _wrong_curve(claims.agreement.curve.name, curve)
        ephemeral = self._environment.ephemeral(curve)
        master_key = ephemeral.agree(claims.agreement.point)
        self._seal = _with_key(master_key, claims, ephemeral.point)
        return master_key

    def _seal_initial(self, claims: InitiatorClaims, backed: BackedAssertion) -> bool:
        """Sign with the X.509 key if that was asked for and there is one; whether it is so.

        The signature covers a digest of the initiator's message. Without it, somebody else could
        log in with the initiator's nonce and pass the answer on as the answer to the initiator.
        """
        credential = self._credential
        if credential is None or Option.MUTUAL not in claims.options:
            return False
        if claims.nonce is None:
            raise RemoteProtocolError(
                Code.MISSING_NONCE, "mutual authentication was asked for without a nonce"
            )
        self._seal = replace(
            self._seal,
            sign=lambda answer: jwt.sign(answer, credential.key, x5c=credential.chain),
            nonce=claims.nonce,
            request=backed.digest,
        )
        return True

    # Re-authentication

    def _find_ticket(
        self, backed: BackedAssertion, claims: InitiatorClaims, now: int
    ) -> Steps[AcceptorTicket | None]:
        """The ticket that is presented, None if the initiator shall present a certificate."""
        if backed.certificates:
            raise RemoteProtocolError(
                Code.INVALID_ASSERTION, "a re-authentication does not take a certificate"
            )
        if self._machine.state is AcceptorState.AWAIT_CERTIFICATE:
            raise RemoteProtocolError(
                Code.INVALID_ASSERTION, "a certificate was asked for, another ticket came"
            )
        tid = claims.ticket_id
        return None if tid is None else (yield from self._ticket(tid, now))

    def _ticket(self, tid: str, now: int) -> Steps[AcceptorTicket | None]:
        tickets, waits = self._stores.tickets, self._stores.waits
        if tickets is None:
            return None
        return (yield from asked(partial(tickets.get, tid, now), waits=waits))

    def _verify_ticket(
        self, backed: BackedAssertion, claims: InitiatorClaims, ticket: AcceptorTicket, now: int
    ) -> _Grant:
        curve = self._mechanism.curve
        if curve is None or ticket.curve != curve.name:
            raise _wrong_curve(ticket.curve, curve)
        # Before anything of the ticket is compared or told: its identifier travels in the clear.
        backed.assertion.verify(SecretKey(ticket.ark), "the re-authentication")
        if claims.nonce is None:
            raise RemoteProtocolError(Code.MISSING_NONCE, "the re-authentication has no nonce")
        master_key = keys.authenticator_session_key(ticket.ark, claims.nonce)
        self._seal = _with_key(master_key, claims, None)
        self._check_audience(claims)
        if str(claims.audience) != ticket.audience:
            raise RemoteProtocolError(
                Code.BAD_AUDIENCE,
                f"the ticket is for {ticket.audience}, it was presented for {claims.audience}",
            )
        self._check_binding(claims)
        self._verifier.check_times(claims.validity, now)
        # A ticket is as good as the certificate it came from, and not better: who may log in can
        # have changed since. Its signature comes first, or whoever has seen a ticket's identifier
        # could ask for whom it is refused.
        self._allow(ticket.subject)
        return _Grant(
            claims=claims,
            digest=replay_digest(backed, None),
            ticket_id=backed.ticket_id,
            subject=ticket.subject,
            issuer=ticket.issuer,
            issued_at=_issued_at(claims, ticket.issued_at),
            expires=_whole_second(ticket.expires),
            attributes=ticket.attributes,
            used_ticket=ticket,
            master_key=master_key,
            mutual=ticket.mutual and Option.MUTUAL in claims.options,
            key_thumbprint=ticket.key_thumbprint,
        )

    # Both

    def _check_audience(self, claims: InitiatorClaims) -> None:
        alias = self._options.host_alias
        for name in self._options.names:
            if name.answers_to(claims.audience, host_alias=alias):
                return
        raise RemoteProtocolError(
            Code.BAD_AUDIENCE,
            f"the assertion is for {claims.audience}, this server is {self._options.names[0]}",
            "connect to the server by its own name, or add the other to `audiences` there",
        )

    def _check_binding(self, claims: InitiatorClaims) -> None:
        if self._channel_binding is None:
            return
        if claims.channel_binding is None:
            raise RemoteProtocolError(
                Code.MISSING_CHANNEL_BINDINGS, "the assertion is not bound to the channel"
            )
        if not hmac.compare_digest(claims.channel_binding, self._channel_binding):
            raise RemoteProtocolError(
                Code.CHANNEL_BINDINGS_MISMATCH,
                "the assertion is bound to another channel",
                "somebody may be in between, or the two sides bind in different ways",
            )

    def _admit(self, grant: _Grant, now: int) -> Steps[bytes | None]:
        """Store what has to be stored and answer."""
        # Before anything is stored: who may not log in leaves nothing behind.
        yield from self._check_permitted(grant)
        ticket = self._new_ticket(grant, now)
        wanted = Option.EXTRA_ROUND_TRIP in grant.claims.options or self._options.extra_round_trip
        if wanted and grant.master_key is not None:
            return self._ask_for_proof(grant, grant.master_key, ticket)
        # Before the context is there: of the same assertion, presented twice at once, the store
        # admits one, and one that cannot be remembered is not taken.
        recording = self._stores.recording(
            Entry(grant.digest, grant.claims.validity.expires, ticket, grant.issued_at)
        )
        outcome = yield from recorded(recording)
        if isinstance(outcome, Doubt):
            return self._ask_for_proof(grant, _needed_for_proof(grant), ticket)
        ticket = _recorded_ticket(outcome, ticket)
        self._establish(grant, grant.master_key, extra_round_trip=False)
        return self._go(AcceptorEvent.ACCEPTED, grant=grant, ticket=ticket)

    def _check_permitted(self, grant: _Grant) -> Steps[None]:
        """Check that the context does not begin after its end, and that it may begin at all.

        By the clock of this moment: a provider that was slow to answer, or the extra round trip,
        can have taken longer than what was left.
        """
        self._check_running(grant.expires, grant.subject)
        yield from self._check_revoked(grant)
        if self._authorize is not None:
            self._authorize(grant.subject)

    def _is_revoked(self, grant: _Grant) -> bool:
        now = self._environment.clock()
        return self._verifier.is_revoked(grant.issuer, grant.subject, grant.key_thumbprint, now)

    def _check_revoked(self, grant: _Grant) -> Steps[None]:
        if not self._is_revoked(grant):
            return
        if grant.used_ticket is not None:
            yield from self._forget(grant.used_ticket)
            raise _ticket_unknown()
        raise key_revoked(grant.subject)

    def _forget(self, ticket: AcceptorTicket) -> Steps[None]:
        """A revoked key's ticket does not come back when the key has left the list."""
        tickets, waits = self._stores.tickets, self._stores.waits
        if tickets is not None:
            yield from asked(partial(tickets.delete, ticket.tid), waits=waits)

    def _check_running(self, expires: int, subject: str) -> None:
        if expires <= self._environment.clock():
            raise RemoteProtocolError(
                Code.CRED_EXPIRED,
                "the login would end before it begins: what it is by has just expired",
                f"sign in again: browserid login {subject}",
            )

    def _ask_for_proof(
        self, grant: _Grant, master_key: bytes, ticket: AcceptorTicket | None
    ) -> bytes | None:
        """Begin the extra round trip (PROTOCOL.md section 5.1), and store nothing yet."""
        jti = self._environment.random(NONCE_SIZE)
        self._pending = _Pending(grant, ticket, keys.extra_round_trip_key(master_key, jti))
        return self._go(AcceptorEvent.ACCEPTED_PENDING_PROOF, grant=grant, ticket=ticket, jti=jti)

    def _take_proof(self, token: bytes) -> Steps[bytes | None]:
        """Finish the extra round trip (PROTOCOL.md section 5.1)."""
        pending = self._pending
        assert pending is not None  # noqa: S101 - the table leads here from one place
        backed = BackedAssertion.parse(tokens.unframe(token, TokenId.INITIATOR))
        if backed.certificates:
            raise RemoteProtocolError(
                Code.INVALID_ASSERTION, "the extra round trip does not take a certificate"
            )
        backed.assertion.verify(SecretKey(pending.master_key), "the proof")
        # Before the ticket is stored, which until now nobody could have used.
        yield from self._check_again(pending.grant)
        tickets, waits = self._stores.tickets, self._stores.waits
        if pending.ticket is not None and tickets is not None:
            yield from asked(partial(tickets.put, pending.ticket), waits=waits)
        self._establish(pending.grant, pending.master_key, extra_round_trip=True)
        return self._go(AcceptorEvent.PROVEN)

    def _check_again(self, grant: _Grant) -> Steps[None]:
        """Check once more what can have changed since the assertion was verified.

        The proof may come as late as the initiator likes.
        """
        now = self._environment.clock()
        self._verifier.check_times(grant.claims.validity, now)
        used = grant.used_ticket
        if used is not None and (yield from self._ticket(used.tid, now)) is None:
            raise _ticket_unknown()
        self._allow(grant.subject)
        yield from self._check_permitted(grant)

    def _new_ticket(self, grant: _Grant, now: int) -> AcceptorTicket | None:
        curve = self._mechanism.curve
        if self._stores.tickets is None or curve is None or grant.master_key is None:
            return None
        issued_at = _whole_second(now)
        expires = issued_at + self._options.ticket_lifetime
        old = grant.used_ticket
        if old is None:
            renew_until = issued_at + self._options.ticket_renew_limit
        else:
            renew_until = old.renew_until
            expires = min(expires, _whole_second(renew_until))
        if self._options.cap_ticket:
            expires = min(expires, grant.expires)
        if expires <= now:
            return None
        return AcceptorTicket(
            tid=grant.ticket_id,
            subject=grant.subject,
            issuer=grant.issuer,
            audience=str(grant.claims.audience),
            ark=keys.authenticator_root_key(grant.master_key),
            curve=curve.name,
            issued_at=issued_at,
            expires=expires,
            renew_until=renew_until,
            mutual=old.mutual if old else grant.mutual,
            renewed=old is not None,
            attributes=grant.attributes,
            key_thumbprint=grant.key_thumbprint,
        )

    def _establish(
        self, grant: _Grant, master_key: bytes | None, *, extra_round_trip: bool
    ) -> None:
        self._granted = grant
        flags = ContextFlag.TRANSFERABLE if master_key is None else _FLAGS_WITH_KEY
        if grant.mutual:
            flags |= ContextFlag.MUTUAL
        if Option.DCE_STYLE in grant.claims.options:
            flags |= ContextFlag.DCE_STYLE
        if Option.IDENTIFY in grant.claims.options:
            flags |= ContextFlag.IDENTIFY
        self._context = SecurityContext(
            mechanism=self._mechanism,
            is_initiator=False,
            identity=grant.subject,
            target=grant.claims.audience,
            issuer=grant.issuer,
            expires=grant.expires,
            flags=flags,
            ticket_used=grant.used_ticket is not None,
            extra_round_trip=extra_round_trip,
            attributes=grant.attributes,
            root_key=None if master_key is None else keys.context_root_key(master_key),
        )

    def _response(
        self, grant: _Grant, ticket: AcceptorTicket | None, jti: bytes | None = None
    ) -> bytes:
        seal = self._seal
        return self._token(
            Response(
                expires=grant.expires,
                agreement_member=seal.agreement_member,
                point=seal.point,
                ticket=IssuedTicket(ticket.tid, ticket.expires) if ticket else None,
                jti=jti,
                nonce=seal.nonce,
                request=seal.request,
            )
        )

    def _token(self, answer: Response) -> bytes:
        return tokens.frame(TokenId.ACCEPTOR, "~" + self._seal.sign(answer.to_json()))

    def _error_token(self, error: BrowserIDError) -> bytes:
        status = ReportedError(int(error.major), error.code.wire)
        seal = self._seal
        return self._token(
            Response(
                agreement_member=seal.agreement_member,
                point=seal.point,
                nonce=seal.nonce,
                request=seal.request,
                error=status,
                clock=self._environment.clock(),
            )
        )


@dataclass(frozen=True, slots=True)
class _Pending:
    """What the acceptor holds back until the proof of the extra round trip came.

    :param grant: the verified assertion.
    :param ticket: the ticket announced in the response.
    :param master_key: XRTK.
    """

    grant: _Grant
    ticket: AcceptorTicket | None
    master_key: bytes = field(repr=False)


_FLAGS_WITH_KEY: Final = ContextFlag.TRANSFERABLE | PROTECTION_FLAGS


def _issued_at(claims: InitiatorClaims, behind: int) -> int:
    """When an assertion was made at the earliest: after the certificate or ticket behind it."""
    issued_at = claims.validity.issued_at
    return behind if issued_at is None else issued_at


def _needed_for_proof(grant: _Grant) -> bytes:
    """The key of an extra round trip that nobody chose: the stores may have forgotten something."""
    if grant.master_key is None:
        raise StoreError(
            Code.UNAVAILABLE,
            "the stores may have lost what was presented before, and the mechanism has no key to"
            " prove with that the assertion is fresh",
            "try again in a quarter of an hour, or use a mechanism with key exchange",
        )
    return grant.master_key


def _recorded_ticket(
    outcome: tuple[bool, bool] | StoreError, ticket: AcceptorTicket | None
) -> AcceptorTicket | None:
    """The ticket if it was stored with the assertion, which has to be new."""
    if isinstance(outcome, StoreError):
        raise outcome
    new, stored = outcome
    if not new:
        raise RemoteProtocolError(
            Code.REPLAYED_ASSERTION,
            "the assertion was presented before",
            "if you did not log in twice with it, somebody is replaying it",
        )
    return ticket if stored else None


def _ticket_unknown() -> RemoteProtocolError:
    return RemoteProtocolError(
        Code.REAUTH_FAILED, "the ticket is not known here, or it has expired"
    )


def _check_no_agreement(claims: InitiatorClaims) -> None:
    # One that was recorded in an extra round trip is in no replay store, and without key exchange
    # nobody would ask for the proof that it is fresh.
    if claims.agreement is not None:
        raise RemoteProtocolError(
            Code.INVALID_ASSERTION, "the assertion was made for a mechanism with key exchange"
        )


def _with_key(master_key: bytes, claims: InitiatorClaims, point: Point | None) -> _Seal:
    key = SecretKey(keys.response_key(master_key))
    return _Seal(lambda answer: jwt.sign(answer, key), claims.dialect.agreement, point)


def _wrong_curve(name: str, curve: Curve | None) -> RemoteProtocolError:
    wanted = curve.name if curve else "no curve"
    return RemoteProtocolError(
        Code.INVALID_EC_CURVE, f"the key agreement is on {name}, the mechanism takes {wanted}"
    )


def _whole_second(time: int) -> int:
    return time - time % 1000
