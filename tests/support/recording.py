"""Records exchanges of our own, of what no other implementation does yet.

    python -m tests.support.recording

It writes the files of tests/vectors/ours, in the form of those beside them: mutual authentication
with transcript binding (PROTOCOL.md section 4.3). The acceptor's X.509 key is an RSA key, whose
signatures are the same each time, so that its answers can be compared octet by octet. Run it again
only when the protocol has changed: all keys are new then.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from browserid_sasl.errors import BrowserIDError, Code, RemoteProtocolError
from browserid_sasl.gss import keys, tokens
from browserid_sasl.gss.dialects import DRAFT_07, Dialect
from browserid_sasl.gss.ecdh import EcdhKey
from browserid_sasl.gss.initiator import InitiatorOptions, Mutual
from browserid_sasl.gss.mechanisms import MECHANISMS, Curve, Mechanism, mechanism_by_name
from browserid_sasl.gss.ports import Environment
from browserid_sasl.gss.tickets import InitiatorTicket
from browserid_sasl.jose import b64
from tests.support.exchanges import (
    root,
    server_certificate,
    server_credential,
    server_trust,
    signed_by_server,
)
from tests.support.forging import claims_of
from tests.support.vectors import OURS
from tests.support.world import AES128, ALICE, HOUR, IMAP, START, World, key

A128S2 = mechanism_by_name("BROWSERID-A128S2")
MUTUAL = InitiatorOptions(mutual=Mutual.PREFERRED)
CHANNEL = b"p=tls-exporter,,exported keying material"
ARK = bytes(range(32))

OTHER_REQUEST = b64.encode(hashlib.sha256(b"another message").digest())


def unchanged(answer: bytes) -> bytes:
    return answer


@dataclass
class Recording:
    """One exchange, between two ends whose key pairs are kept.

    :param alter: what somebody in between does to the acceptor's answers.
    :param further: members of the file that are not usual.
    """

    name: str
    mechanism: Mechanism = AES128
    options: InitiatorOptions = MUTUAL
    alter: Callable[[bytes], bytes] = unchanged
    further: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.world = World(mechanism=self.mechanism)
        self.world.person.user_key = key("alice", "ES256")
        self.pairs: dict[str, list[EcdhKey]] = {"acceptor": [], "initiator": []}
        self.messages: list[tuple[str, bytes]] = []

    def run(self, *, binding: bytes | None = None, **of_acceptor: Any) -> Recording:
        """Carry the messages, until one end has refused or neither has more to say."""
        initiator = self.world.initiator(
            self.options,
            environment=self._environment("initiator"),
            trust=server_trust(),
            channel_binding=binding,
        )
        acceptor = self.world.acceptor(
            environment=self._environment("acceptor"),
            credential=server_credential("RS256"),
            channel_binding=binding,
            **of_acceptor,
        )
        try:
            message = initiator.step()
            while message is not None:
                self.messages.append(("initiator", message))
                answer = acceptor.step(message)
                message = None if answer is None else initiator.step(self._altered(answer))
        except BrowserIDError as error:
            refused = "acceptor" if acceptor.failure else "initiator"
            self._expect(refused, acceptor.failure or error)
        return self

    def _altered(self, answer: bytes) -> bytes:
        altered = self.alter(answer)
        self.messages.append(("acceptor", altered))
        return altered

    def _expect(self, side: str, error: BrowserIDError) -> None:
        status = {"gss_major": int(error.major), "code": error.code.wire}
        self.further["expect"] = {"result": "error", "side": side} | status

    def _environment(self, side: str) -> Environment:
        def ephemeral(curve: Curve) -> EcdhKey:
            self.pairs[side].append(EcdhKey.generate(curve))
            return self.pairs[side][-1]

        return replace(self.world.environment, ephemeral=ephemeral)

    def to_json(self) -> dict[str, Any]:
        """The file's content."""
        server = server_certificate("RS256")
        return {
            "name": self.name,
            "layer": "gss",
            "dialect": self.options.dialect.name,
            "mechanism": self.mechanism.name,
            "oid": ".".join(map(str, self.mechanism.oid)),
            "service_principal": str(IMAP),
            "now_ms": START,
            "expect": {"result": "ok", "subject": ALICE},
            "messages": list(self._written()),
            "idp_keys": {"idp.test": key("idp").public_key.to_json()},
            "acceptor_x509": {
                "certificate_pem": server.pem.decode(),
                "private_key_pem": server.key_pem.decode(),
                "trust_anchor_pem": root().pem.decode(),
            },
            "acceptor_ecdh": [{"d": private_number(pair)} for pair in self._pairs()],
        } | self.further

    def _pairs(self) -> list[EcdhKey]:
        return [*self.pairs["acceptor"], *self.pairs["initiator"]]

    def _written(self) -> Iterator[dict[str, str]]:
        for position, (sender, token) in enumerate(self.messages):
            octets = token if position else tokens.wrap_initial(self.mechanism.oid, token)
            yield {"from": sender, "octets": base64.b64encode(octets).decode()}


def private_number(pair: EcdhKey) -> str:
    numbers = pair.private_key.private_numbers()
    assert isinstance(numbers, ec.EllipticCurvePrivateNumbers)
    return b64.encode(numbers.private_value.to_bytes(pair.curve.field_size, "big"))


def recordings() -> Iterator[Recording]:
    """Every exchange."""
    for mechanism in MECHANISMS:
        yield Recording(f"req-{mechanism.name.lower()}", mechanism).run()
    yield Recording("req-draft-07", options=dialect(DRAFT_07)).run()
    yield Recording("req-xrt", options=replace(MUTUAL, extra_round_trip=True)).run()
    bound = Recording("req-cb", further={"channel_bindings": CHANNEL.hex()})
    yield bound.run(binding=CHANNEL)
    yield after_a_lost_ticket()
    yield Recording("req-in-error").run(authorize=nobody)
    for mechanism in (AES128, A128S2):
        name = mechanism.name.lower()
        yield Recording(f"req-other-{name}", mechanism, alter=with_request(OTHER_REQUEST)).run()
        yield Recording(f"req-absent-{name}", mechanism, alter=with_request(None)).run()


def dialect(row: Dialect) -> InitiatorOptions:
    return replace(MUTUAL, dialect=row)


def nobody(identity: str) -> None:
    raise RemoteProtocolError(Code.NO_LOCAL_MAPPING, f"{identity} may not log in")


def with_request(value: str | None) -> Callable[[bytes], bytes]:
    """Writes this digest into a response, or none, and signs it as the server would."""
    return lambda answer: signed_by_server(answer, server_credential("RS256"), req=value)


def after_a_lost_ticket() -> Recording:
    """The digest is then that of the message with the certificate."""
    recording = Recording("req-after-reauth-failed")
    ticket = InitiatorTicket(
        ALICE, str(IMAP), "P-256", "idp.test", "lost", ARK, START - HOUR, START + HOUR
    )
    recording.world.client_tickets.put(ticket)
    recording.run()
    nonce = b64.decode(claims_of(recording.messages[0][1])["nonce"], "nonce")
    session_key = keys.authenticator_session_key(ARK, nonce)
    row = {"secret": ARK.hex(), "salt": nonce.hex(), "key": session_key.hex()}
    recording.further["derived"] = [row]
    return recording


def main() -> None:
    """Write the files."""
    OURS.mkdir(exist_ok=True)
    for recording in recordings():
        file = OURS / f"{recording.name}.json"
        file.write_text(json.dumps(recording.to_json(), indent=1) + "\n")


if __name__ == "__main__":
    main()
