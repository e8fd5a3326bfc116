"""The recorded exchanges in tests/vectors, and a world that reproduces them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from browserid_sasl.errors import Code, DiscoveryError
from browserid_sasl.gss import tokens
from browserid_sasl.gss.acceptor import Acceptor, AcceptorOptions, ExchangeStores
from browserid_sasl.gss.dialects import dialect_by_name
from browserid_sasl.gss.ecdh import EcdhKey, Point
from browserid_sasl.gss.initiator import Initiator, InitiatorOptions, Mutual
from browserid_sasl.gss.mechanisms import Curve, Mechanism, mechanism_by_name
from browserid_sasl.gss.names import ServiceName
from browserid_sasl.gss.ports import (
    Environment,
    EphemeralKey,
    EphemeralKeySource,
    InitiatorTicketStore,
    ServerCredential,
    ServerTrust,
)
from browserid_sasl.gss.tickets import AcceptorTicket, InitiatorTicket
from browserid_sasl.identity.authority import AuthorityResolver, FetchedDocument
from browserid_sasl.identity.verifier import Verifier
from browserid_sasl.jose import b64
from browserid_sasl.jose.jwt import Jwt
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.store import memory_acceptor, memory_initiator
from browserid_sasl.x509.trust import X509Trust

FOLDER = Path(__file__).parent.parent / "vectors"
OURS = FOLDER / "ours"
"""What that implementation does not do, recorded by `tests.support.recording`."""

HOUR_MS = 3_600_000
NO_EXCHANGE = "BROWSERID"
CORPORATE_CERTIFICATE = "sasl-aes128-mutual-initial"


@dataclass(frozen=True)
class Vector:
    """One recorded exchange."""

    data: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.data["name"])

    @property
    def now(self) -> int:
        return int(self.data["now_ms"])

    @property
    def is_sasl(self) -> bool:
        return bool(self.data["layer"] == "sasl")

    @property
    def succeeds(self) -> bool:
        return bool(self.data["expect"]["result"] == "ok")

    @property
    def refused_by(self) -> str:
        return str(self.data["expect"].get("side", ""))

    @property
    def mechanism(self) -> Mechanism:
        name = self.data["mechanism"]
        return mechanism_by_name(NO_EXCHANGE if "enctype 0" in name else name)

    @property
    def target(self) -> ServiceName:
        return ServiceName.parse(self.data["service_principal"])

    @property
    def channel_binding(self) -> bytes | None:
        octets = self.data.get("channel_bindings")
        return None if octets is None else bytes.fromhex(octets)

    def messages(self, sender: str) -> list[bytes]:
        """What one side sent, without the OID wrapping that plain GSS-API puts on the first."""
        sent = [
            base64.b64decode(message["octets"])
            for message in self.data["messages"]
            if message["from"] == sender and message.get("kind") not in ("OK", "NO")
        ]
        if sender == "initiator" and not self.is_sasl and sent:
            sent[0] = tokens.unwrap_initial(sent[0])[1]
        return sent

    def claims(self) -> list[Mapping[str, Any]]:
        """Payloads of the initiator's assertions."""
        return [assertion.claims for assertion in self.assertions()]

    def assertions(self) -> list[Jwt]:
        """The initiator's assertions."""
        return [
            Jwt.parse(message.split(b"~")[-1].decode())
            for message in self.messages("initiator")
            if b"~" in message
        ]

    def answers(self) -> list[Jwt]:
        """The acceptor's answers."""
        return [
            Jwt.parse(message.split(b"~")[-1].decode())
            for message in self.messages("acceptor")
            if b"~" in message
        ]

    @property
    def derived(self) -> set[tuple[str, str, str]]:
        return {(row["secret"], row["salt"], row["key"]) for row in self.data["derived"]}


@cache
def load(name: str, folder: Path = FOLDER) -> Vector:
    """The exchange of this name."""
    return Vector(json.loads((folder / f"{name}.json").read_text()))


def names(
    wanted: Callable[[Vector], bool] = lambda vector: True, folder: Path = FOLDER
) -> list[str]:
    """The names of the exchanges that fit."""
    found = {path.stem: load(path.stem, folder) for path in sorted(folder.glob("*.json"))}
    return [name for name, each in found.items() if each.data["messages"] and wanted(each)]


@dataclass(frozen=True)
class RecordedKey:
    """One side's key pair of a recorded agreement."""

    row: Mapping[str, str]
    mine: str
    theirs: str

    @property
    def point(self) -> Point:
        return Point(
            b64.decode(self.row[f"{self.mine}x"], "x"), b64.decode(self.row[f"{self.mine}y"], "y")
        )

    def agree(self, peer: Point) -> bytes:
        assert peer.x == b64.decode(self.row[f"{self.theirs}x"], "x")
        assert peer.y == b64.decode(self.row[f"{self.theirs}y"], "y")
        return bytes.fromhex(self.row["z"])


def acceptor_keys(vector: Vector) -> EphemeralKeySource:
    """The acceptor's key pair, with its recorded private key."""

    def make(curve: Curve) -> EphemeralKey:
        rows = vector.data["acceptor_ecdh"]
        if not rows:
            return EcdhKey.generate(curve)
        private = int.from_bytes(b64.decode(rows[0]["d"], "d"), "big")
        return EcdhKey.from_number(curve, private)

    return make


def initiator_keys(vector: Vector) -> EphemeralKeySource:
    """The initiator's key pair: the recorded one, or one that knows the recorded agreement."""

    def make(curve: Curve) -> EphemeralKey:
        rows = vector.data["acceptor_ecdh"]
        if len(rows) > 1:
            private = int.from_bytes(b64.decode(rows[1]["d"], "d"), "big")
            return EcdhKey.from_number(curve, private)
        return RecordedKey(rows[0], "peer_", "")

    return make


def fixed_random(values: list[bytes]) -> Callable[[int], bytes]:
    """Gives these values in turn."""
    rest: Iterator[bytes] = iter(values)

    def random(size: int) -> bytes:
        value = next(rest)
        assert len(value) == size
        return value

    return random


class PublishedKeys:
    """Support documents made of the recorded keys."""

    def __init__(self, keys: Mapping[str, Any]) -> None:
        self._keys = keys

    def fetch(self, domain: str, principal_domain: str) -> FetchedDocument:
        if domain not in self._keys:
            raise DiscoveryError(Code.HTTP_ERROR, f"nobody answers at {domain}")
        document = {
            "public-key": self._keys[domain],
            "authentication": "/sign-in",
            "provisioning": "/provision",
        }
        return FetchedDocument(json.dumps(document).encode(), HOUR_MS)


def verifier(vector: Vector) -> Verifier:
    """A verifier that trusts the recorded identity provider."""
    cache = memory_acceptor().authorities
    return Verifier(AuthorityResolver(PublishedKeys(vector.data["idp_keys"]), cache))


def acceptor_stores(vector: Vector) -> ExchangeStores:
    """Stores with the tickets the recorded acceptor had."""
    bundle = memory_acceptor()
    for tid, ticket in vector.data.get("acceptor_tickets_before", {}).items():
        bundle.tickets.put(acceptor_ticket(vector, tid, ticket))
    return ExchangeStores(bundle.replay, bundle.tickets)


def acceptor_ticket(vector: Vector, tid: str, ticket: Mapping[str, Any]) -> AcceptorTicket:
    return AcceptorTicket(
        tid=tid,
        subject=ticket["sub"],
        issuer=ticket["iss"],
        audience=str(vector.target),
        ark=b64.decode(ticket["ark"]["secret-key"], "ark"),
        curve=ticket["crv"],
        issued_at=ticket["iat"],
        expires=ticket["exp"],
        renew_until=ticket["renew-exp"],
        mutual=bool(ticket.get("flags", 0) & 2),
        renewed=bool(ticket.get("flags", 0) & 1),
    )


def server_credential(vector: Vector) -> ServerCredential | None:
    """The acceptor's X.509 key, if it had one: some files name one that it had not."""
    corporate = vector.data.get("acceptor_x509")
    if any(answer.header.x5c for answer in vector.answers()):
        corporate = corporate or load(CORPORATE_CERTIFICATE).data["acceptor_x509"]
    elif vector.answers():
        corporate = None
    if corporate is None:
        return None
    certificate = x509.load_pem_x509_certificate(corporate["certificate_pem"].encode())
    key = PrivateKey.from_pem(corporate["private_key_pem"].encode())
    return ServerCredential(key, (certificate.public_bytes(Encoding.DER),))


def server_trust(vector: Vector) -> ServerTrust | None:
    """An initiator's trust in the recorded authority, if it asked for mutual authentication."""
    if not asks_mutual(vector):
        return None
    source = vector if "acceptor_x509" in vector.data else load(CORPORATE_CERTIFICATE)
    pem = source.data["acceptor_x509"]["trust_anchor_pem"]
    return X509Trust([x509.load_pem_x509_certificate(pem.encode())])


def assert_same_answer(ours: bytes, theirs: bytes) -> None:
    """An acceptor's answer against a recorded one, but for what that peer does not write."""
    claims = Jwt.parse(theirs.decode()[3:]).claims
    answer = Jwt.parse(ours.decode()[3:])
    if "gss-min" in claims:
        # Ours says the major status too; that peer aborts without it.
        assert answer.claims["gss-min"] == claims["gss-min"]
    elif answer.header.x5c:
        # Ours says which message it answers; that peer does not know of it.
        assert {name: answer.claims[name] for name in answer.claims if name != "req"} == claims
        assert answer.header == Jwt.parse(theirs.decode()[3:]).header
    else:
        assert ours == theirs


def asks_mutual(vector: Vector) -> bool:
    return any("ma" in claims.get("opts", []) for claims in vector.claims())


def make_acceptor(vector: Vector, stores: ExchangeStores | None = None, **further: Any) -> Acceptor:
    """An acceptor in the recorded acceptor's place."""
    jtis = [b64.decode(a.claims["jti"], "jti") for a in vector.answers() if "jti" in a.claims]
    return Acceptor(
        vector.mechanism,
        AcceptorOptions((vector.target,)),
        verifier(vector),
        stores or acceptor_stores(vector),
        Environment(lambda: vector.now, fixed_random(jtis), acceptor_keys(vector)),
        credential=server_credential(vector),
        **{"allow": lambda _: None, "channel_binding": vector.channel_binding, **further},
    )


class RecordedCredential:
    """Gives out the recorded assertion.

    :param strict: whether the claims have to be the recorded ones to the octet.
    """

    def __init__(self, vector: Vector, *, strict: bool) -> None:
        self._vector = vector
        self._strict = strict
        self.identity = "alice@idp.test"

    def assertion(self, claims: bytes) -> str:
        for message in self._vector.messages("initiator"):
            text = message.partition(b"c,")[2].decode()
            if text.startswith("~"):
                continue
            recorded = b64.decode(text.split("~")[-1].split(".")[1], "payload")
            if self._strict:
                assert _without_expiry(claims) == _without_expiry(recorded)
            return text
        raise AssertionError("no assertion is recorded")


def _without_expiry(claims: bytes) -> bytes:
    # That implementation's assertions live for two minutes under a certificate, and for five
    # under a ticket; ours have one lifetime.
    return re.sub(rb'"exp":[0-9]+', b"", claims)


def initiator_tickets(vector: Vector) -> InitiatorTicketStore:
    """A store with the ticket the recorded initiator presents."""
    bundle = memory_initiator()
    first = vector.claims()[0]
    if "tkt" not in first:
        return bundle.tickets
    tid = first["tkt"]["tid"]
    before = vector.data.get("acceptor_tickets_before", {}).get(tid)
    ark = b64.decode(before["ark"]["secret-key"], "ark") if before else _ark_of(vector)
    bundle.tickets.put(
        InitiatorTicket(
            identity="alice@idp.test",
            audience=str(vector.target),
            curve=vector.mechanism.curve.name if vector.mechanism.curve else "",
            issuer="idp.test",
            tid=tid,
            ark=ark,
            issued_at=vector.now - HOUR_MS,
            expires=vector.now + HOUR_MS,
            mutual=bool(before and before.get("flags", 0) & 2),
        )
    )
    return bundle.tickets


def _ark_of(vector: Vector) -> bytes:
    nonce = b64.decode(vector.claims()[0]["nonce"], "nonce").hex()
    return next(
        bytes.fromhex(row["secret"]) for row in vector.data["derived"] if row["salt"] == nonce
    )


def make_initiator(vector: Vector, *, strict: bool = True) -> Initiator:
    """An initiator in the recorded initiator's place.

    :param strict: whether it has to say what the recorded one said.
    """
    first = vector.claims()[0]
    options = first.get("opts", [])
    nonces = [_nonce(claims) for claims in vector.claims() if "nonce" in claims]
    return Initiator(
        vector.mechanism,
        vector.target,
        RecordedCredential(vector, strict=strict),
        Environment(lambda: vector.now, fixed_random(nonces), initiator_keys(vector)),
        InitiatorOptions(
            dialect=dialect_by_name(vector.data["dialect"]),
            mutual=Mutual.PREFERRED if asks_mutual(vector) else Mutual.OFF,
            assertion_lifetime=first["exp"] - vector.now,
            extra_round_trip="xrt" in options,
            dce_style="dce" in options,
        ),
        tickets=initiator_tickets(vector),
        channel_binding=claimed_binding(vector),
        trust=server_trust(vector),
    )


def _nonce(claims: Mapping[str, Any]) -> bytes:
    nonce = claims["nonce"]
    return b64.decode(nonce, "nonce") if isinstance(nonce, str) else bytes(16)


def claimed_binding(vector: Vector) -> bytes | None:
    """What the recorded initiator has bound to."""
    claimed = vector.claims()[0].get("cb")
    return None if claimed is None else b64.decode(claimed, "cb")
