"""What both sides show before a mechanism is chosen."""

from __future__ import annotations

import pytest

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.gss.names import ServiceName
from browserid_sasl.gss.negoex import (
    acceptor_metadata,
    initiator_metadata,
    read_acceptor_metadata,
    read_initiator_metadata,
)
from browserid_sasl.gss.ports import ServerCredential
from browserid_sasl.jose import jwt
from browserid_sasl.jose.jwt import SigningKey
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.x509.trust import X509Trust
from tests.support.certificates import DAY, NOW, authority, issue, names
from tests.support.world import IMAP, START, World, exchange

ROOT = authority("root")
MIDDLE = authority("middle", ROOT)
SERVER = issue("server", MIDDLE, names([IMAP.host]))
TRUST = X509Trust([ROOT.certificate])
CREDENTIAL = ServerCredential(PrivateKey.from_pem(SERVER.key_pem), (SERVER.der, MIDDLE.der))
METADATA = acceptor_metadata(CREDENTIAL, START)


def refuse(token: bytes, target: ServiceName = IMAP, now: int = START) -> Code:
    with pytest.raises(RemoteProtocolError) as caught:
        read_acceptor_metadata(token, TRUST, target, now)
    return caught.value.code


def signed(key: SigningKey = CREDENTIAL.key, **claims: object) -> bytes:
    return b"M,~" + jwt.sign(claims, key, x5c=CREDENTIAL.chain).encode()


class TestAcceptor:
    def test_shows_its_certificates(self) -> None:
        assert METADATA.startswith(b"M,~eyJ")
        assert read_acceptor_metadata(METADATA, TRUST, IMAP, START) == CREDENTIAL.chain

    def test_need_not_say_when(self) -> None:
        assert read_acceptor_metadata(signed(), TRUST, IMAP, START) == CREDENTIAL.chain

    def test_for_another_service(self) -> None:
        other = ServiceName("imap", "other.example.com")
        assert refuse(METADATA, target=other) is Code.BAD_SUBJECT

    def test_when_its_certificate_has_expired(self) -> None:
        late = int((NOW + 31 * DAY).timestamp() * 1000)
        assert refuse(METADATA, now=late) is Code.UNTRUSTED_X509_CERT

    def test_from_an_authority_that_is_not_trusted(self) -> None:
        stranger = issue("stranger", None, names([IMAP.host]))
        credential = ServerCredential(PrivateKey.from_pem(stranger.key_pem), (stranger.der,))
        assert refuse(acceptor_metadata(credential, START)) is Code.UNTRUSTED_X509_CERT

    def test_signed_by_another_key_than_the_certificate_s(self) -> None:
        assert refuse(signed(PrivateKey.generate("ES256"))) is Code.INVALID_SIGNATURE

    def test_altered(self) -> None:
        head, _, tail = METADATA.split(b".")
        other = jwt.unsigned({"iat": 0}).split(".")[1].encode()
        assert refuse(b".".join((head, other, tail))) is Code.INVALID_SIGNATURE

    def test_without_a_certificate(self) -> None:
        plain = b"M,~" + jwt.sign({"iat": START}, CREDENTIAL.key).encode()
        assert refuse(plain) is Code.MISSING_CERT
        assert refuse(b"M,~" + jwt.unsigned({"iat": START}).encode()) is Code.MISSING_CERT

    @pytest.mark.parametrize(
        ("token", "code"),
        [
            (b"", Code.TOKEN_TRUNCATED),
            (b"M", Code.TOKEN_TRUNCATED),
            (b"M,", Code.INVALID_JSON_WEB_TOKEN),
            (b"m," + METADATA[2:], Code.BAD_DIRECTION),
            (b"C," + METADATA[2:], Code.WRONG_TOKEN_ID),
            (b"M,certificate" + METADATA[2:], Code.INVALID_ASSERTION),
            (signed(aud="imap/mail.example.com"), Code.INVALID_ASSERTION),
        ],
        ids=["nothing", "short", "empty", "direction", "sort", "type", "audience"],
    )
    def test_what_is_none(self, token: bytes, code: Code) -> None:
        assert refuse(token) is code

    def test_is_not_taken_for_a_response(self) -> None:
        world = World()
        initiator = world.initiator(trust=TRUST)
        initiator.step()
        with pytest.raises(RemoteProtocolError):
            initiator.step(b"C," + METADATA[2:])

    def test_does_not_disturb_the_exchange_that_follows(self) -> None:
        world = World()
        read_initiator_metadata(initiator_metadata())
        read_acceptor_metadata(METADATA, TRUST, IMAP, world.clock())
        initiator, acceptor = world.initiator(), world.acceptor()
        exchange(initiator, acceptor)
        assert acceptor.context.identity == initiator.context.identity


class TestInitiator:
    def test_says_nothing_and_may_say_anything(self) -> None:
        assert initiator_metadata() == b"m,"
        read_initiator_metadata(b"m,")
        read_initiator_metadata(b"m,~something of a later version")

    @pytest.mark.parametrize(
        ("token", "code"),
        [
            (b"", Code.TOKEN_TRUNCATED),
            (METADATA, Code.BAD_DIRECTION),
            (b"c,", Code.WRONG_TOKEN_ID),
            (b"m," + 70_000 * b"x", Code.BUFFER_TOO_LONG),
        ],
        ids=["nothing", "direction", "sort", "long"],
    )
    def test_what_is_none(self, token: bytes, code: Code) -> None:
        with pytest.raises(RemoteProtocolError) as caught:
            read_initiator_metadata(token)
        assert caught.value.code is code
