"""A small world for exchanges: one identity provider, one person, one server, a clock by hand."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from browserid_sasl.errors import Code, DiscoveryError, NoProviderError
from browserid_sasl.gss.acceptor import Acceptor, AcceptorOptions, ExchangeStores
from browserid_sasl.gss.ecdh import EcdhKey
from browserid_sasl.gss.initiator import Initiator, InitiatorOptions
from browserid_sasl.gss.mechanisms import Curve, Mechanism, mechanism_by_name
from browserid_sasl.gss.names import ServiceName
from browserid_sasl.gss.ports import Environment, InitiatorTicketStore
from browserid_sasl.identity import certificate
from browserid_sasl.identity.authority import AuthorityResolver, FetchedDocument
from browserid_sasl.identity.verifier import Verifier
from browserid_sasl.jose import jwt
from browserid_sasl.jose.algorithms import algorithm_for
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.store import memory_acceptor, memory_initiator
from tests.support.dsa_group import dsa_key

START = 1_795_277_244_000
HOUR = 3_600_000
ALICE = "alice@idp.test"
IMAP = ServiceName("imap", "mail.example.com")
AES128 = mechanism_by_name("BROWSERID-AES128")
_DS256 = algorithm_for("DS", 2048, 256, allow_legacy=False)


@cache
def key(name: str, algorithm: str = "RS256") -> PrivateKey:
    """The key of this name: made once, since making one is slow."""
    if algorithm == "DS256":
        return PrivateKey(_DS256, dsa_key())
    return PrivateKey.generate(algorithm)  # type: ignore[arg-type]


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: int = START

    def __call__(self) -> int:
        return self.now


@cache
def fixed_key(curve: Curve, owner: str = "") -> EcdhKey:
    """The same key pair for the same owner every time."""
    return EcdhKey.generate(curve)


def fixed_environment(owner: str) -> Environment:
    """No time passes, and nothing is random."""
    return Environment(lambda: START, bytes, lambda curve: fixed_key(curve, owner))


@dataclass
class Provider:
    """An identity provider's published documents, by domain, without a network.

    :param documents: what is published; a missing domain does not answer, and one whose document is
        None answers that it has none.
    :param fetched: the domains asked for, in order.
    """

    documents: dict[str, Any] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    lifetime: int | None = HOUR

    def fetch(self, domain: str, principal_domain: str) -> FetchedDocument:
        self.fetched.append(domain)
        if domain in self.documents and self.documents[domain] is None:
            raise NoProviderError(Code.HTTP_ERROR, f"{domain} has no support document")
        if domain not in self.documents:
            raise DiscoveryError(Code.HTTP_ERROR, f"nobody answers at {domain}")
        return FetchedDocument(json.dumps(self.documents[domain]).encode(), self.lifetime)


def support_document(*keys: PrivateKey) -> dict[str, Any]:
    """A support document with these signing keys."""
    first, *rest = [each.public_key.to_json() for each in keys]
    document = {"public-key": first, "authentication": "/in", "provisioning": "/provision"}
    return document | ({"keys": rest} if rest else {})


@dataclass
class Person:
    """A `CredentialSource` with its key in memory.

    :param claims: replaces claims of the certificate; None removes one.
    """

    clock: Clock
    identity: str = ALICE
    issuer: str = "idp.test"
    user_key: PrivateKey = field(default_factory=lambda: key("alice"))
    signing_key: PrivateKey = field(default_factory=lambda: key("idp"))
    claims: dict[str, Any] = field(default_factory=dict)

    def certificate(self) -> str:
        text = certificate.issue(
            self.issuer,
            self.identity,
            self.user_key.public_key,
            issued_at=self.clock(),
            expires=self.clock() + HOUR,
            signing_key=self.signing_key,
        )
        if not self.claims:
            return text
        claims = dict(jwt.Jwt.parse(text).claims) | self.claims
        return jwt.sign({k: v for k, v in claims.items() if v is not None}, self.signing_key)

    def assertion(self, claims: bytes) -> str:
        return f"{self.certificate()}~{jwt.sign(claims, self.user_key)}"


@dataclass
class World:
    """Everything an exchange needs."""

    clock: Clock = field(default_factory=Clock)
    provider: Provider = field(default_factory=Provider)
    mechanism: Mechanism = AES128
    options: AcceptorOptions = field(default_factory=lambda: AcceptorOptions((IMAP,)))
    verifier_options: dict[str, Any] = field(default_factory=dict)
    secondary: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.provider.documents.setdefault("idp.test", support_document(key("idp")))
        self.server_stores = memory_acceptor()
        self.stores = ExchangeStores(self.server_stores.replay, self.server_stores.tickets)
        self.client_tickets: InitiatorTicketStore = memory_initiator().tickets
        self.person = Person(self.clock)
        self.environment = Environment(self.clock, os.urandom, EcdhKey.generate)
        self.resolver = AuthorityResolver(
            self.provider, self.server_stores.authorities, secondary=self.secondary
        )

    @property
    def verifier(self) -> Verifier:
        return Verifier(self.resolver, **self.verifier_options)

    def acceptor(self, **further: Any) -> Acceptor:
        arguments: dict[str, Any] = {
            "mechanism": self.mechanism,
            "options": self.options,
            "verifier": self.verifier,
            "stores": self.stores,
            "environment": self.environment,
            "allow": lambda address: None,
        }
        return Acceptor(**(arguments | further))

    def initiator(self, options: InitiatorOptions | None = None, **further: Any) -> Initiator:
        arguments: dict[str, Any] = {
            "mechanism": self.mechanism,
            "target": IMAP,
            "credentials": self.person,
            "environment": self.environment,
            "options": options,
            "tickets": self.client_tickets,
        }
        return Initiator(**(arguments | further))


def exchange(initiator: Initiator, acceptor: Acceptor) -> None:
    """Carry tokens to and fro until neither has one to send."""
    token = initiator.step()
    while token is not None:
        answer = acceptor.step(token)
        token = initiator.step(answer) if answer is not None else None
