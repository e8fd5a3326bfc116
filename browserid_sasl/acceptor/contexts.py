"""One security context of a GSS-API program, without SASL around it (docs/wire.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from browserid_sasl.acceptor.answers import Answer, Challenge, Failure, Refusal, Success
from browserid_sasl.acceptor.failures import failure_of, refusing
from browserid_sasl.acceptor.requests import Begin, Continue
from browserid_sasl.acceptor.servers import Served
from browserid_sasl.attributes.claims import NameAttribute
from browserid_sasl.config import ProgramsConfig
from browserid_sasl.errors import BrowserIDError, Code, LocalProtocolError, RemoteProtocolError
from browserid_sasl.gss import tokens
from browserid_sasl.gss.claims import InitiatorClaims
from browserid_sasl.gss.context import SecurityContext
from browserid_sasl.gss.plain import PlainAcceptor
from browserid_sasl.gss.steps import Steps
from browserid_sasl.gss.tokens import TokenId
from browserid_sasl.gss.told import told_of
from browserid_sasl.identity.addresses import is_same_address
from browserid_sasl.identity.backed import BackedAssertion
from browserid_sasl.sasl.result import Result, demand_mutual

MOST_ATTRIBUTES: Final = 64
"""Names and values of attributes together that a program is told: fewer than a line has fields."""

LONGEST_ATTRIBUTES: Final = 32_768
"""Octets of them: half of a line."""

_NO_HEADER: Final = b"n,,"
"""In front of a token as SASL's first message has it: the journal looks behind it."""


def with_service(begin: Begin) -> Begin:
    """The request with the service that the client's token is for, if it names none itself.

    :raises RemoteProtocolError: the token cannot be read.
    """
    if begin.service:
        return begin
    claims = InitiatorClaims.parse(_assertion_of(begin.initial or b"").assertion.claims)
    return replace(begin, service=claims.audience.service)


def _assertion_of(first: bytes) -> BackedAssertion:
    _, token = tokens.unwrap_initial(first)
    return BackedAssertion.parse(tokens.unframe(token, TokenId.INITIATOR))


class ContextLogin:
    """One context; like `login.Login`, its steps come to the answer.

    :param begin: what the program asked, with the service.
    :param served: accepts it.
    :param permitted: what holds for the program.
    """

    def __init__(self, begin: Begin, served: Served, permitted: ProgramsConfig) -> None:
        self._begin = begin
        self._served = served
        self._permitted = permitted
        self._acceptor: PlainAcceptor | None = None
        self.claimed = b""
        self.failure: Failure | None = None
        self.result: Result | None = None

    def start(self) -> Steps[Answer]:
        """Answer the request with which it began."""
        return (yield from refusing(self, self._take(self._begin.initial or b"")))

    def proceed(self, request: Continue) -> Steps[Answer]:
        """Take a further token."""
        return (yield from refusing(self, self._take(request.message or b"")))

    def _take(self, token: bytes) -> Steps[Answer]:
        acceptor = self._acceptor or self._new_acceptor(token)
        output = yield from acceptor.steps(token)
        # Not before: without the document it needs, the first step begins anew.
        self._acceptor = acceptor
        if acceptor.failure is not None:
            self.failure = failure_of(acceptor.failure)
            return Refusal(self.failure, output or b"")
        if not acceptor.complete:
            return Challenge(output or b"")
        return self._succeed(acceptor.context, output)

    def _new_acceptor(self, token: bytes) -> PlainAcceptor:
        try:
            _, bare = tokens.unwrap_initial(token)
            self.claimed = _NO_HEADER + bare
        except BrowserIDError:
            pass  # the acceptor says what is wrong with it
        bound = self._begin.bound
        try:
            return self._served.server.accept(self._begin.mechanism, channel_binding=bound)
        except LocalProtocolError as error:
            # The person's program has picked it, not ours.
            raise RemoteProtocolError(error.code, error.message, error.remedy) from None

    def _succeed(self, context: SecurityContext, output: bytes | None) -> Answer:
        # Before there is a result, which is what is logged and told.
        result = Result(context.identity, None, context)
        if self._begin.mutual:
            demand_mutual(result)
        told = [*told_of(context, with_key=self._permitted.keys), *self._further(context)]
        self.result = result
        return Success(
            user=context.identity,
            authzid=context.identity,
            data=output,
            binding=None,
            binding_wanted=False,
            mutual=context.mutual,
            properties={},
            context=told,
        )

    def _further(self, context: SecurityContext) -> Iterator[tuple[str, str]]:
        for address, account in self._permitted.local_names:
            if is_same_address(address, context.identity):
                yield "local", account
                break
        yield from _attributes(self._served.server.name_attributes(context))


def _attributes(attributes: Sequence[NameAttribute]) -> Iterator[tuple[str, str]]:
    """Each attribute and its values after it.

    All or none: a program may refuse people for what it is told of them.
    """
    told = [
        pair
        for each in attributes
        for pair in (
            ("attribute" if each.authenticated else "unproven", each.name),
            *(("value", value) for value in each.values),
        )
    ]
    size = sum(len(text.encode(errors="replace")) for _, text in told)
    if len(told) > MOST_ATTRIBUTES or size > LONGEST_ATTRIBUTES:
        raise RemoteProtocolError(
            Code.BUFFER_TOO_LONG,
            "more is known of the person than a program can be told:"
            f" {len(told)} names and values of {size} octets",
            f"their provider may put {MOST_ATTRIBUTES} of {LONGEST_ATTRIBUTES} octets into a"
            " certificate",
        )
    yield from ((name, text) for name, text in told if "\0" not in text)
