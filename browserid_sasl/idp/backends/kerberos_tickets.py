"""Tickets of Kerberos that browsers show by `Negotiate` (RFC 4559), and whose they are.

A ticket is looked at with the service's key alone, from its keytab, and no other server is asked.
The keytab is read each time, so that a new key counts at once. The library keeps what it has seen
(a replay cache, in a file of the host's account), so that what was shown once is good for nobody
else there. Hosts do not share it: what protects a ticket on its way to another one is TLS, and that
it is good for a few minutes only.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import gssapi
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from gssapi import raw
from gssapi.raw import GSSError

from browserid_sasl.errors import BrowserIDError
from browserid_sasl.idp.backends import Denial, DeniedError, UnavailableError
from browserid_sasl.idp.rations import Told
from browserid_sasl.negotiate.header import application_data
from browserid_sasl.sasl.channel_binding import tls_server_end_point

KERBEROS: Final = gssapi.OID.from_int_seq("1.2.840.113554.1.2.2")
_SPNEGO: Final = gssapi.OID.from_int_seq("1.3.6.1.5.5.2")
_PRINCIPAL_NAME: Final = gssapi.NameType.kerberos_principal

_MOST_STEPS: Final = 4
_MOST_PENDING: Final = 100
_PENDING_S: Final = 60.0
_MOST_REASON: Final = 300

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket that is good.

    :param principal: whose it is, with its realm, as libraries write it.
    :param answer: by which the browser knows that it is the service, empty for none.
    """

    principal: str
    answer: bytes


@dataclass(frozen=True, slots=True)
class More:
    """Something that a browser has to answer before its ticket is good.

    :param answer: what it is sent.
    :param exchange: by which it is known that it is its answer. Secret.
    """

    answer: bytes
    exchange: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Pending:
    context: gssapi.SecurityContext
    steps: int
    until: float


class Acceptor:
    """Takes tickets for one service. Safe for threads.

    :param name: the backend's, for the log.
    :param keytab: file with the service's keys.
    :param principal: the service, such as `HTTP/login.example.org@EXAMPLE.ORG`.
    :param certificate: PEM file of the TLS server that browsers see, to which a ticket has to be
        bound if its browser binds it to one (RFC 5929); None: it is not known.
    """

    def __init__(
        self, name: str, keytab: Path, principal: str, certificate: Path | None = None
    ) -> None:
        self._name = name
        self._keytab = keytab
        self._principal = principal
        self._certificate = certificate
        self._log = Told(_logger)
        self._lock = threading.Lock()
        self._pending: OrderedDict[str, _Pending] = OrderedDict()

    def step(self, token: bytes, exchange: str) -> Ticket | More:
        """Take what a browser shows.

        :param token: see RFC 4559.
        :param exchange: of the step before, empty if there is none.
        :raises DeniedError: invalid-ticket: it is not good, or not for this service.
        :raises UnavailableError: the keytab cannot be used.
        """
        pending = self._take(exchange) or self._begin()
        try:
            answer = pending.context.step(token) or b""
            if pending.context.complete:
                return self._ticket(pending.context, answer)
        except GSSError as error:
            raise self._refused(str(error)) from None
        if pending.steps >= _MOST_STEPS:
            raise self._refused("it does not come to an end")
        return More(answer, self._keep(pending))

    def check(self) -> None:
        """See that tickets could be taken.

        :raises UnavailableError: the keytab or the certificate cannot be used.
        """
        self._begin()

    def _begin(self) -> _Pending:
        context = gssapi.SecurityContext(
            creds=self._credentials(), usage="accept", channel_bindings=self._binding()
        )
        return _Pending(context, 1, 0.0)

    def _credentials(self) -> gssapi.Credentials:
        try:
            credentials = gssapi.Credentials(
                name=gssapi.Name(self._principal, _PRINCIPAL_NAME),
                usage="accept",
                mechs=[KERBEROS, _SPNEGO],
                store={"keytab": f"FILE:{self._keytab}"},
            )
            # Whatever else is installed on the host, such as NTLM, is negotiated with nobody.
            raw.set_neg_mechs(credentials, [KERBEROS])
        except GSSError as error:
            raise UnavailableError(
                f"the keytab cannot be used: {in_one_line(str(error))}"
            ) from None
        return credentials

    def _binding(self) -> raw.ChannelBindings | None:
        if self._certificate is None:
            return None
        try:
            [own, *_] = x509.load_pem_x509_certificates(self._certificate.read_bytes())
            binding = tls_server_end_point(own.public_bytes(Encoding.DER))
        except (OSError, ValueError, BrowserIDError) as error:
            raise UnavailableError(
                f"no channel binding can be made of the TLS certificate: {error}"
            ) from None
        return raw.ChannelBindings(application_data=application_data(binding))

    def _ticket(self, context: gssapi.SecurityContext, answer: bytes) -> Ticket:
        shown = raw.display_name(context.initiator_name, name_type=True)
        if context.mech != KERBEROS or shown.name_type != _PRINCIPAL_NAME:
            raise self._refused("it is not a person's of Kerberos")
        principal = shown.name.decode("utf-8", "backslashreplace")
        return Ticket(principal, answer)

    def _refused(self, why: str) -> DeniedError:
        reason = in_one_line(why)
        self._log.tell(logging.WARNING, "backend %s: a ticket is refused: %s", self._name, reason)
        return DeniedError(Denial.INVALID_TICKET)

    def _take(self, exchange: str) -> _Pending | None:
        with self._lock:
            pending = self._pending.pop(exchange, None)
        return pending if pending and time.monotonic() < pending.until else None

    def _keep(self, pending: _Pending) -> str:
        exchange = secrets.token_urlsafe(16)
        until = time.monotonic() + _PENDING_S
        with self._lock:
            self._pending[exchange] = _Pending(pending.context, pending.steps + 1, until)
            # The oldest goes first: all live equally long.
            while len(self._pending) > _MOST_PENDING:
                self._pending.popitem(last=False)
        return exchange


def in_one_line(text: str) -> str:
    """A library's words for the log: names in them are a stranger's."""
    return ascii(text)[1:-1][:_MOST_REASON]
