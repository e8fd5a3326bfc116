"""The initiator's side of a context (PROTOCOL.md sections 3 to 5)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from browserid_sasl.errors import (
    BrowserIDError,
    Code,
    CredentialError,
    LocalProtocolError,
    PeerRefusedError,
    RemoteProtocolError,
)
from browserid_sasl.gss import keys, tokens
from browserid_sasl.gss.claims import (
    NONCE_SIZE,
    InitiatorClaims,
    KeyAgreement,
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
from browserid_sasl.gss.dialects import DRAFT_04, Dialect
from browserid_sasl.gss.mechanisms import Mechanism
from browserid_sasl.gss.names import ServiceName
from browserid_sasl.gss.ports import (
    CredentialSource,
    Environment,
    EphemeralKey,
    InitiatorTicketStore,
    ServerTrust,
)
from browserid_sasl.gss.states import (
    INITIATOR,
    InitiatorEvent,
    InitiatorState,
    Machine,
    Send,
    not_to_be_sent,
)
from browserid_sasl.gss.tickets import InitiatorTicket
from browserid_sasl.gss.tokens import TokenId
from browserid_sasl.identity.backed import BackedAssertion
from browserid_sasl.identity.certificate import Certificate
from browserid_sasl.identity.verifier import Validity
from browserid_sasl.jose import json as strict_json
from browserid_sasl.jose import jwt
from browserid_sasl.jose.jwt import Jwt
from browserid_sasl.jose.secrets import SecretKey

DEFAULT_ASSERTION_LIFETIME_MS: Final = 300_000


class Mutual(Enum):
    """Whether the acceptor has to prove its identity by X.509 (PROTOCOL.md section 4.3)."""

    OFF = "off"
    PREFERRED = "preferred"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class InitiatorOptions:
    """An initiator's policy.

    :param dialect: how to spell the assertion.
    :param mutual: whether the acceptor has to prove its identity.
    :param assertion_lifetime: ms.
    :param extra_round_trip: whether to ask for it.
    :param dce_style: whether to ask for DCE style, which implies the extra round trip.
    :param identify: whether the context is to identify only.
    :param mutual_tickets: whether a ticket whose context was not mutual is left alone, as always
        where mutual authentication is required.
    :param transcript_binding: whether an X.509-signed response has to say which message it
        answers in every mechanism, and not only in those that are new enough.
    """

    dialect: Dialect = DRAFT_04
    mutual: Mutual = Mutual.OFF
    assertion_lifetime: int = DEFAULT_ASSERTION_LIFETIME_MS
    extra_round_trip: bool = False
    dce_style: bool = False
    identify: bool = False
    mutual_tickets: bool = False
    transcript_binding: bool = False


@dataclass(frozen=True, slots=True)
class _Offer:
    """What was sent and what is needed to read the answer.

    :param text: the backed assertion.
    :param claims: the assertion's payload.
    :param identity: whose it is. Meanwhile somebody else may sign in.
    :param issuer: who vouches for the identity.
    :param attributes: further claims of the certificate; empty with a ticket.
    :param ticket: the ticket used, None with a certificate.
    :param ephemeral: our key pair, None without key agreement.
    :param master_key: CMK as far as it is known before the answer: with a ticket.
    """

    text: str = field(repr=False)
    claims: InitiatorClaims
    identity: str
    issuer: str
    attributes: Mapping[str, Any]
    ticket: InitiatorTicket | None = None
    ephemeral: EphemeralKey | None = None
    master_key: bytes | None = field(default=None, repr=False)

    @property
    def digest(self) -> bytes:
        """What `req` of a response to it has to be (PROTOCOL.md section 4.3)."""
        return hashlib.sha256(self.text.encode("ascii")).digest()


class Initiator:
    """Initiates one context.

    :param mechanism: the mechanism that was negotiated.
    :param target: the service.
    :param credentials: whose identity, and who signs.
    :param environment: time and randomness.
    :param options: the initiator's policy.
    :param tickets: tickets from earlier logins; None neither uses nor keeps any.
    :param channel_binding: GSS `application_data` to sign, None without channel binding.
    :param trust: opinion on acceptors' certificates; without it mutual authentication is not
        asked for.
    """

    def __init__(
        self,
        mechanism: Mechanism,
        target: ServiceName,
        credentials: CredentialSource,
        environment: Environment,
        options: InitiatorOptions | None = None,
        *,
        tickets: InitiatorTicketStore | None = None,
        channel_binding: bytes | None = None,
        trust: ServerTrust | None = None,
    ) -> None:
        self._mechanism = mechanism
        self._target = target
        self._credentials = credentials
        self._environment = environment
        self._options = options or InitiatorOptions()
        self._tickets = tickets
        self._channel_binding = channel_binding
        self._trust = trust
        self._machine = Machine(INITIATOR, InitiatorState.START)
        self._offer: _Offer | None = None
        self._context: SecurityContext | None = None

    @property
    def state(self) -> InitiatorState:
        """Where the exchange stands."""
        return self._machine.state

    @property
    def context(self) -> SecurityContext:
        """The established context.

        :raises LocalProtocolError: context-incomplete.
        """
        return established(self._context)

    def step(self, token: bytes | None = None) -> bytes | None:
        """Take the acceptor's token, or none to begin.

        :returns: the token to send, None when there is nothing to send.
        :raises RemoteProtocolError: what came is not valid.
        :raises PeerRefusedError: the acceptor sent an error token.
        :raises CredentialError: there is nothing to authenticate with.
        :raises LocalProtocolError: context-established when the exchange is over.
        """
        self._machine.expect(InitiatorEvent.FAILURE)
        try:
            if self._machine.state is InitiatorState.START:
                return self._begin()
            return self._take_response(token or b"")
        except BrowserIDError:
            self._machine.fire(InitiatorEvent.FAILURE)
            raise

    def late_refusal(self, token: bytes) -> BrowserIDError:
        """What to make of a token that comes when the context is established.

        An acceptor that refuses the proof of the extra round trip sends an error token, whose
        reason the person should see (PROTOCOL.md section 5.1). Nothing else is due then.
        """
        try:
            backed = BackedAssertion.parse(tokens.unframe(token, TokenId.ACCEPTOR))
            response = Response.parse(backed.assertion.claims)
        except BrowserIDError:
            response = Response()
        if response.error is None:
            return RemoteProtocolError(
                Code.BAD_CONTEXT_TOKEN, "the server sent more after the exchange was over"
            )
        # The key that might have signed it is gone with the rest of the exchange: it is a hint.
        now = self._environment.clock()
        return _refusal(response.error, response.clock, now, signed=False)

    def _go(
        self,
        event: InitiatorEvent,
        *,
        ticket: InitiatorTicket | None = None,
        proof: bytes | None = None,
    ) -> bytes | None:
        """Move along the event's transition, and make the token that its row names."""
        match self._machine.fire(event).send:
            case Send.NOTHING:
                return None
            case Send.TICKET_ASSERTION if ticket is not None:
                return self._ticket_assertion(ticket)
            case Send.CERTIFICATE_ASSERTION:
                return self._certificate_assertion()
            case Send.PROOF if proof is not None:
                return proof
            case other:
                raise not_to_be_sent(other, event)

    # Speaking first

    def _begin(self) -> bytes | None:
        self._check_trust()
        ticket = self._find_ticket()
        if ticket is None:
            return self._go(InitiatorEvent.BEGIN_WITH_CERTIFICATE)
        return self._go(InitiatorEvent.BEGIN_WITH_TICKET, ticket=ticket)

    def _check_trust(self) -> None:
        if self._options.mutual is Mutual.REQUIRED and self._trust is None:
            raise LocalProtocolError(
                Code.BAD_CONTEXT_OPTION,
                "mutual authentication is required, and there are no trust anchors to check "
                "the server's certificate with",
                "set `trust_anchors`",
            )

    def _find_ticket(self) -> InitiatorTicket | None:
        curve = self._mechanism.curve
        if self._tickets is None or curve is None:
            return None
        ticket = self._tickets.get(
            self._credentials.identity, str(self._target), curve.name, self._environment.clock()
        )
        demanded = self._options.mutual_tickets or self._options.mutual is Mutual.REQUIRED
        if ticket and demanded and not ticket.mutual:
            return None
        return ticket

    def _certificate_assertion(self) -> bytes:
        options = self._asked_for()
        curve = self._mechanism.curve
        ephemeral = self._environment.ephemeral(curve) if curve else None
        # Without key agreement nothing else tells two logins of the same millisecond apart.
        wants_nonce = Option.MUTUAL in options or ephemeral is None
        claims = InitiatorClaims(
            dialect=self._options.dialect,
            audience=self._target,
            validity=self._validity(),
            agreement=KeyAgreement(curve, ephemeral.point) if curve and ephemeral else None,
            channel_binding=self._channel_binding,
            nonce=self._environment.random(NONCE_SIZE) if wants_nonce else None,
            options=options,
        )
        text = self._credentials.assertion(strict_json.dumps(claims.to_json()))
        certificate = _own_certificate(text)
        self._offer = _Offer(
            text,
            claims,
            certificate.email,
            certificate.issuer,
            certificate.attributes,
            ephemeral=ephemeral,
        )
        return tokens.frame(TokenId.INITIATOR, text)

    def _ticket_assertion(self, ticket: InitiatorTicket) -> bytes:
        nonce = self._environment.random(NONCE_SIZE)
        claims = InitiatorClaims(
            dialect=self._options.dialect,
            audience=self._target,
            validity=self._validity(),
            channel_binding=self._channel_binding,
            nonce=nonce,
            options=self._asked_for(),
            ticket_id=ticket.tid,
        )
        text = "~" + jwt.sign(claims.to_json(), SecretKey(ticket.ark))
        self._offer = _Offer(
            text,
            claims,
            ticket.identity,
            ticket.issuer,
            {},
            ticket=ticket,
            master_key=keys.authenticator_session_key(ticket.ark, nonce),
        )
        return tokens.frame(TokenId.INITIATOR, text)

    def _validity(self) -> Validity:
        return Validity(self._environment.clock() + self._options.assertion_lifetime)

    def _asked_for(self) -> frozenset[Option]:
        wanted = {
            Option.MUTUAL: self._trust is not None and self._options.mutual is not Mutual.OFF,
            Option.EXTRA_ROUND_TRIP: self._options.extra_round_trip or self._options.dce_style,
            Option.DCE_STYLE: self._options.dce_style,
            Option.IDENTIFY: self._options.identify,
        }
        return frozenset(option for option, yes in wanted.items() if yes)

    # Reading the answer

    def _take_response(self, token: bytes) -> bytes | None:
        offer = self._sent
        backed = BackedAssertion.parse(tokens.unframe(token, TokenId.ACCEPTOR))
        if backed.certificates:
            raise RemoteProtocolError(
                Code.INVALID_ASSERTION, "the response came with an identity certificate"
            )
        answer = backed.assertion
        response = Response.parse(answer.claims)
        if response.error is not None:
            return self._take_error(offer, answer, response, response.error)
        master_key, mutual = self._verify(offer, answer, response)
        return self._establish(offer, response, master_key, mutual=mutual)

    @property
    def _sent(self) -> _Offer:
        assert self._offer is not None  # noqa: S101 - every state that reads has sent one
        return self._offer

    def _verify(self, offer: _Offer, answer: Jwt, response: Response) -> tuple[bytes | None, bool]:
        """Check the response's signature.

        :returns: CMK, and whether the acceptor is mutually authenticated.
        """
        master_key = self._agree(offer, response)
        if offer.ticket is None and answer.header.x5c:
            self._verify_x509(offer, answer, response)
            self._check_request(offer, response, demanded=self._demands_request)
            return master_key, True
        if master_key is not None:
            answer.verify(SecretKey(keys.response_key(master_key)), "the response")
        elif answer.is_signed:
            raise RemoteProtocolError(
                Code.INVALID_SIGNATURE, "the response is signed, and there is no key to check with"
            )
        self._check_request(offer, response, demanded=False)
        mutual = (
            offer.ticket is not None
            and offer.ticket.mutual
            and Option.MUTUAL in offer.claims.options
        )
        if self._options.mutual is Mutual.REQUIRED and not mutual and response.error is None:
            raise RemoteProtocolError(
                Code.MISSING_SIGNATURE,
                "mutual authentication is required, and the server did not sign with an X.509 key",
                "configure `x509_certificate` and `x509_key` on the server, or do not require it",
            )
        return master_key, mutual

    def _agree(self, offer: _Offer, response: Response) -> bytes | None:
        if offer.ephemeral is None:
            return offer.master_key
        wanted = self._options.dialect.agreement
        if response.point is None or response.agreement_member != wanted:
            raise RemoteProtocolError(
                Code.NO_KEY, f"the response has no key agreement (`{wanted}`)"
            )
        return offer.ephemeral.agree(response.point)

    def _verify_x509(self, offer: _Offer, answer: Jwt, response: Response) -> None:
        asked = Option.MUTUAL in offer.claims.options
        if not asked or self._trust is None or offer.claims.nonce is None:
            raise RemoteProtocolError(
                Code.UNTRUSTED_X509_CERT,
                "the server signed with an X.509 key, which was not asked for",
            )
        key = self._trust.verify(answer.header.x5c, self._target, self._environment.clock())
        answer.verify(key, "the response")
        if response.nonce is None:
            raise RemoteProtocolError(Code.MISSING_NONCE, "the response does not echo the nonce")
        if not hmac.compare_digest(response.nonce, offer.claims.nonce):
            raise RemoteProtocolError(
                Code.MISMATCHED_RP_RESPONSE,
                "the nonce in the response is not the one that was sent",
                "somebody may be replaying an old response",
            )

    @property
    def _demands_request(self) -> bool:
        return self._mechanism.binds_transcript or self._options.transcript_binding

    def _check_request(self, offer: _Offer, response: Response, *, demanded: bool) -> None:
        """Check that the response answers what was sent, and not a message of somebody else's.

        A key that was agreed on shows that by itself; an X.509 key signs for everybody.
        """
        if response.request is None and demanded:
            raise RemoteProtocolError(
                Code.MISMATCHED_RP_RESPONSE,
                "the server's signature does not say which message it answers",
                "the server has to be updated; until then, use a mechanism and a configuration "
                "that do not demand it",
            )
        if response.request is None or hmac.compare_digest(response.request, offer.digest):
            return
        raise RemoteProtocolError(
            Code.MISMATCHED_RP_RESPONSE,
            "the response answers another message than the one that was sent",
            "somebody may be between you and the server",
        )

    def _establish(
        self, offer: _Offer, response: Response, master_key: bytes | None, *, mutual: bool
    ) -> bytes | None:
        expires = self._expiry(response)
        self._keep_ticket(offer, response, master_key, mutual=mutual)
        proof = None
        if response.jti is not None and master_key is not None:
            master_key = keys.extra_round_trip_key(master_key, response.jti)
            proof = tokens.frame(TokenId.INITIATOR, "~" + jwt.sign({}, SecretKey(master_key)))
        flags = ContextFlag.TRANSFERABLE
        if master_key is not None:
            flags |= PROTECTION_FLAGS
        if mutual:
            flags |= ContextFlag.MUTUAL
        self._context = SecurityContext(
            mechanism=self._mechanism,
            is_initiator=True,
            identity=offer.identity,
            target=self._target,
            issuer=offer.issuer,
            expires=expires,
            flags=flags,
            ticket_used=offer.ticket is not None,
            extra_round_trip=proof is not None,
            attributes=offer.attributes,
            root_key=None if master_key is None else keys.context_root_key(master_key),
        )
        if proof is None:
            return self._go(InitiatorEvent.RESPONSE)
        return self._go(InitiatorEvent.RESPONSE_WITH_JTI, proof=proof)

    def _expiry(self, response: Response) -> int:
        expires = response.expires or 0
        if expires <= self._environment.clock():
            raise RemoteProtocolError(
                Code.CRED_EXPIRED,
                "the login would end before it begins, says the server's response",
                "compare the clocks of both machines, and sign in again if they agree",
            )
        return expires

    def _keep_ticket(
        self, offer: _Offer, response: Response, master_key: bytes | None, *, mutual: bool
    ) -> None:
        curve = self._mechanism.curve
        if self._tickets is None or curve is None:
            return
        if response.ticket is None or master_key is None:
            return
        self._tickets.put(
            InitiatorTicket(
                identity=offer.identity,
                audience=str(self._target),
                curve=curve.name,
                issuer=offer.issuer,
                tid=response.ticket.tid,
                ark=keys.authenticator_root_key(master_key),
                issued_at=self._environment.clock(),
                expires=response.ticket.expires,
                mutual=offer.ticket.mutual if offer.ticket else mutual,
                renewed=offer.ticket is not None,
            )
        )

    # Being refused

    def _take_error(
        self, offer: _Offer, answer: Jwt, response: Response, error: ReportedError
    ) -> bytes | None:
        if answer.is_signed:
            self._verify(offer, answer, response)
        if offer.ticket is not None and error.code in _TICKET_IS_USELESS:
            self._drop_ticket(offer.ticket)
        if error.code is Code.REAUTH_FAILED and self._machine.permits(InitiatorEvent.REAUTH_FAILED):
            return self._go(InitiatorEvent.REAUTH_FAILED)
        raise _refusal(error, response.clock, self._environment.clock(), signed=answer.is_signed)

    def _drop_ticket(self, ticket: InitiatorTicket) -> None:
        if self._tickets is not None:
            self._tickets.delete(ticket.identity, ticket.audience, ticket.tid)


_TICKET_IS_USELESS: Final = frozenset(
    {Code.REAUTH_FAILED, Code.INVALID_SIGNATURE, Code.INVALID_EC_CURVE, Code.BAD_AUDIENCE}
)

_NOTABLE_SKEW_MS: Final = 60_000


def _own_certificate(text: str) -> Certificate:
    # A process that only ever presents tickets does not load this.
    backed = BackedAssertion.parse(text.encode("ascii"))
    if len(backed.certificates) != 1:
        raise CredentialError(
            Code.MISSING_CERT, "the credential source gave an assertion without one certificate"
        )
    return Certificate.parse(backed.certificates[0], allow_legacy=True)


def _refusal(
    error: ReportedError, theirs: int | None, ours: int, *, signed: bool
) -> BrowserIDError:
    minor = "" if error.minor is None else f", minor {error.minor:#x}"
    message = f"the server said: {error.code.text} (major {error.major:#x}{minor})"
    remedy = _ADVICE.get(error.code, "")
    if theirs is not None and abs(theirs - ours) > _NOTABLE_SKEW_MS:
        seconds = (theirs - ours) // 1000
        remedy = f"its clock differs from ours by {seconds} s" + (f"; {remedy}" if remedy else "")
    return PeerRefusedError(error.code, message, remedy, major=error.status, authenticated=signed)


_ADVICE: Final = {
    Code.BAD_AUDIENCE: "connect to the server by the name it has in its own configuration",
    Code.EXPIRED_ASSERTION: "compare the clocks of both machines",
    Code.ASSERTION_NOT_YET_VALID: "compare the clocks of both machines",
    Code.CERT_NOT_YET_VALID: "compare the clocks of both machines",
    Code.EXPIRED_CERT: "sign in again",
    Code.CRED_EXPIRED: "sign in again",
    Code.INVALID_SIGNATURE: "what was sent was altered on the way, or the key behind it was "
    "withdrawn: try again, then sign in again",
    Code.REPLAYED_ASSERTION: "log in once more; if it happens again, somebody is replaying "
    "what you send",
    Code.MISSING_CHANNEL_BINDINGS: "the server demands channel binding",
    Code.CHANNEL_BINDINGS_MISMATCH: "somebody may be between you and the server",
    Code.UNTRUSTED_ISSUER: "the server does not accept your identity provider",
    Code.NO_LOCAL_MAPPING: "you may not log in there, or not act as the one asked for; "
    "whoever runs the server decides that",
    Code.HTTP_ERROR: "the server could not reach your identity provider; try again later",
    Code.UNAVAILABLE: "the server has too much to do just now; try again later",
    Code.REAUTH_FAILED: "the server knows neither the ticket nor the certificate that was sent",
}
