"""What a person is told of a token, and what is kept from them."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from browserid_sasl.errors import Code, LocalProtocolError
from browserid_sasl.gss import tokens
from browserid_sasl.gss.deletion import deletion_token
from browserid_sasl.gss.export import export_context
from browserid_sasl.gss.exported_names import export_name
from browserid_sasl.gss.negoex import acceptor_metadata, initiator_metadata
from browserid_sasl.gss.ports import ServerCredential
from browserid_sasl.jose import b64, jwt
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.printer import Encoding, Mood, Node, decode, describe, lines
from tests.support import vectors
from tests.support.certificates import authority, issue, names, oddly_named
from tests.support.world import (
    AES128,
    ALICE,
    IMAP,
    START,
    World,
    exchange,
    key,
    support_document,
)

ALL = vectors.names()


def text_of(octets: bytes, now: int = START) -> str:
    node = describe(octets, now)
    assert node is not None
    return "\n".join(lines(node))


def moods(node: Node) -> dict[str, Mood]:
    found = {node.text: node.mood}
    for child in node.children:
        found |= moods(child)
    return found


def mood_of(octets: bytes, beginning: str, now: int = START) -> Mood:
    node = describe(octets, now)
    assert node is not None
    (mood,) = {mood for text, mood in moods(node).items() if text.startswith(beginning)}
    return mood


def messages(name: str) -> list[bytes]:
    return [base64.b64decode(each["octets"]) for each in vectors.load(name).data["messages"]]


def token(**claims: Any) -> bytes:
    return jwt.sign(claims, key("alice")).encode()


class TestRecordedMessages:
    @pytest.mark.parametrize("name", ALL)
    def test_are_recognised(self, name: str) -> None:
        for message in filter(None, messages(name)):
            assert "not recognised" not in text_of(message, vectors.load(name).now)

    @pytest.mark.parametrize("name", ALL)
    def test_are_shown_without_signatures(self, name: str) -> None:
        for message in filter(None, messages(name)):
            shown = text_of(message)
            for signature in re.findall(rb"\.([A-Za-z0-9_-]{40,})(?=~|$)", message):
                octets = b64.decode(signature.decode(), "signature")
                assert signature.decode() not in shown
                assert octets.hex()[:16] not in shown

    @pytest.mark.parametrize(
        "name", vectors.names(lambda vector: bool(vector.data.get("protection")))
    )
    def test_per_message_tokens_are_recognised_and_their_messages_not_shown(
        self, name: str
    ) -> None:
        for row in vectors.load(name).data["protection"]:
            shown = text_of(base64.b64decode(row["token"]))
            assert shown.startswith("MIC token" if row["op"] == "mic" else "wrap token")
            assert ("sealed:" in shown) is (row["op"] == "wrap_conf")
            assert f"sent by the {row['from']}" in shown
            assert not row["msg"] or row["msg"] not in shown


class TestAMutualExchange:
    assertion, response = messages("gss-aes128-mutual-initial")

    def test_the_frame_names_the_mechanism(self) -> None:
        assert "mechanism: BROWSERID-AES128 (1.3.6.1.4.1.5322.24.1.17)" in text_of(self.assertion)

    def test_the_parts_of_the_assertion(self) -> None:
        shown = text_of(self.assertion)
        for line in (
            "principal: alice@idp.test",
            "iss: idp.test",
            "public-key: RS256, 2048 bits",
            "opts: ma (mutual authentication)",
            "aud: imap/mail.example.com (dialect draft-07)",
            "epk: public point, P-256, 32 and 32 octets",
            "nonce: 16 octets, 7e7be5069bb7a237a0744362e3c53e14",
            "exp: 2026-11-21 16:09:51.456 UTC, in 2 min",
        ):
            assert line in shown

    def test_the_parts_of_the_response(self) -> None:
        shown = text_of(self.response)
        for line in (
            "acceptor's token",
            "subject: CN=vm",
            "issuer: CN=Refbuild Test CA",
            "names: vm, mail.example.com",
            "key: RS256, 2048 bits",
            "tid: yB2ZW-1TNq2ZFLROft3-YlN04IVQ1eZvw06nO7tk9kg",
        ):
            assert line in shown

    def test_signatures_are_checked_with_keys_that_came_along(self) -> None:
        assert "fits the certificate before it" in text_of(self.assertion)
        assert "fits the certificate in `x5c`" in text_of(self.response)

    def test_a_forged_signature_is_told(self) -> None:
        forged = self.response[:-4] + b"AAAA"
        assert mood_of(forged, "signature") is Mood.BAD
        assert "does not fit" in text_of(forged)

    def test_validity_depends_on_the_time(self) -> None:
        later = START + 3_600_000
        assert mood_of(self.response, "not after", later) is Mood.GOOD
        assert mood_of(self.response, "not before", 0) is Mood.BAD
        assert "expired" in text_of(self.assertion, later)


class TestSaslMessages:
    def test_the_header(self) -> None:
        shown = text_of(messages("sasl-aes128-plus-reauth")[0])
        assert "GS2 header: p=tls-unique,," in shown
        assert "channel binding: used, tls-unique" in shown
        assert "cb: p=tls-unique,, (tls-unique), 30 octets of data: 757365" in shown

    def test_the_authorization_identity(self) -> None:
        message = b"y,a=b=2Cob@idp.test,c,~" + token(aud="imap/vm")
        shown = text_of(message)
        assert "authorization identity: b,ob@idp.test" in shown
        assert "the server did not offer it" in shown

    def test_a_header_that_is_refused(self) -> None:
        message = b"F,n,,c,~" + token(sub="x")
        assert mood_of(message, "GS2 header") is Mood.BAD
        assert "sub: x" in text_of(message)

    def test_an_odd_authorization_identity(self) -> None:
        assert mood_of(b"n,a==,c,~" + token(), "GS2 header") is Mood.BAD

    def test_an_error_token(self) -> None:
        shown = text_of(messages("errtok-err-replay")[-1])
        assert "gss-maj: 0xd0000 (FAILURE)" in shown
        assert "gss-min: 0x3e (replayed-assertion, table A 62)" in shown
        assert "anybody can have written this" in shown

    def test_a_header_without_a_token(self) -> None:
        assert "4 octets, not recognised" in text_of(b"n,,what")


class TestOtherTokens:
    def test_of_the_end_of_a_context(self) -> None:
        world = World()
        initiator, acceptor = world.initiator(), world.acceptor()
        exchange(initiator, acceptor)
        assert "context deletion token" in text_of(deletion_token(initiator.context))

    def test_of_negoex(self) -> None:
        server = issue("server", authority("root"), names(services=["_imap.mail.example.com"]))
        credential = ServerCredential(PrivateKey.from_pem(server.key_pem), (server.der,))
        shown = text_of(acceptor_metadata(credential, START))
        assert "acceptor's metadata" in shown
        assert "names: _imap.mail.example.com" in shown
        assert text_of(initiator_metadata()) == "initiator's metadata, 2 octets"

    def test_exported_names(self) -> None:
        shown = text_of(export_name(IMAP, AES128))
        assert "mechanism: BROWSERID-AES128" in shown
        assert "name: imap/mail.example.com" in shown
        assert mood_of(export_name(IMAP, AES128)[:-1], "exported name") is Mood.BAD

    def test_exported_contexts(self) -> None:
        world = World()
        initiator = world.initiator()
        exchange(initiator, world.acceptor())
        exported = export_context(initiator.context, None, bytes(32), bytes)
        assert text_of(exported).startswith("exported context: version 1, ")
        assert "truncated" in text_of(exported[:4])

    def test_frames_of_others(self) -> None:
        other = tokens.wrap_initial((1, 2, 840, 113554, 1, 2, 2), b"\x01\x00")
        shown = text_of(other)
        assert "mechanism: another (1.2.840.113554.1.2.2)" in shown
        assert mood_of(other, "token") is Mood.BAD
        assert mood_of(other[:-1], "GSS-API token") is Mood.BAD

    def test_what_is_nothing_of_the_protocol(self) -> None:
        for octets in (b"", b"hello", b"\0", b"1.2", b"GET / HTTP/1.1"):
            assert describe(octets, START) is None


class TestPerMessageTokens:
    def test_the_fields_of_the_header(self) -> None:
        shown = text_of(bytes.fromhex("050407ff00100003000000000000002a") + bytes(64))
        assert "flags: sent by the acceptor, sealed, acceptor subkey" in shown
        for line in ("sequence number: 42", "EC, extra count: 16", "RRC, rotation: 3"):
            assert line in shown

    def test_a_rotated_token_in_clear(self) -> None:
        header = bytes.fromhex("050400ff000c000c0000000000000000")
        shown = text_of(header + bytes.fromhex("0102030405060708090a0b0c") + b"message")
        assert "message: 7 octets in clear, not shown" in shown
        assert "checksum: 01020304..., 12 octets" in shown

    @pytest.mark.parametrize(
        ("octets", "label"),
        [
            ("0504", "wrap token"),
            ("040400ff", "MIC token"),
            ("0504000000000000" + 16 * "0", "filler"),
            ("050400ff000c0000" + 16 * "0", "body"),
        ],
    )
    def test_what_is_wrong_with_one(self, octets: str, label: str) -> None:
        assert mood_of(bytes.fromhex(octets), label) is Mood.BAD


class TestJwts:
    def test_by_themselves(self) -> None:
        shown = text_of(token(aud="urn:x-gss:imap/mail.example.com", sub="x"))
        assert shown.startswith("JSON web token")
        assert "aud: imap/mail.example.com (dialect draft-04)" in shown
        assert "sub: x" in shown

    def test_backed_assertions_by_themselves(self) -> None:
        person = World().person
        shown = text_of(person.assertion(b"{}").encode())
        assert shown.startswith("backed assertion")
        assert f"principal: {ALICE}" in shown

    @pytest.mark.parametrize(
        ("claims", "line"),
        [
            ({"exp": START - 90_000}, "exp: 2026-11-21 16:05:54 UTC, 90 s ago: expired"),
            ({"exp": START + 7_200_000}, "in 2 h"),
            ({"exp": START + 400_000_000}, "in 4 d"),
            ({"exp": START // 1000}, "meant in seconds?"),
            ({"exp": "soon"}, "exp: 'soon', which is no time"),
            ({"exp": True}, "which is no time"),
            ({"exp": 1 << 80}, "which is no time"),
            ({"nbf": START + 1}, "in the future"),
            ({"opts": ["xrt", "dce", "ify", "new"]}, "new (unknown, ignored)"),
            ({"opts": 5}, "opts: 5 (of an unexpected type)"),
            ({"aud": "urn:isbn:1"}, "URN of a kind that is not known"),
            ({"aud": ["imap/vm"]}, "(of an unexpected type)"),
            ({"principal": {"email": ALICE, "x": 1}}, '"x": "not shown"'),
            ({"principal": {"host": "a"}}, "of an unexpected type"),
            ({"ecdh": {"x": "AA", "y": "AAA"}}, "curve of the mechanism, 1 and 2 octets"),
            ({"ecdh": {"x": "AA"}}, "of an unexpected type"),
            ({"cb": "AAEC"}, "cb: 3 octets: 000102"),
            ({"cb": "%"}, "not base64url"),
            ({"tkt": {"tid": "abc"}}, "tid: abc"),
            ({"gss-maj": 2 << 16}, "0x20000 (BAD_NAME)"),
            ({"gss-maj": 5}, "0x5 (unknown)"),
            ({"gss-min": 0x8000000E}, "0x8000000e (reauth-failed, table B 14)"),
            ({"gss-min": "x"}, "of an unexpected type"),
            ({"saml": 70 * "<"}, "saml: a SAML assertion, 70 characters"),
            ({"public-key": {"kty": "oct"}}, "the key cannot be used"),
            ({"other-key": {"kty": "EC", "crv": "P-256"}}, "other-key: the key cannot be used"),
            ({"groups": ["a", "b"]}, 'groups: ["a", "b"]'),
        ],
    )
    def test_claims(self, claims: dict[str, Any], line: str) -> None:
        assert line in text_of(token(**claims))

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("c,~a.b", "malformed: 2 parts instead of 3"),
            ("c,~e30.e30.AAAA", "malformed: the header of the token names no algorithm"),
            ("c,~eyJ.e30.AAAA", "header: "),
            ("c,~e30.W10.AAAA", "claims: this part is not valid JSON"),
            ("c,~e30.e30.A", "signature: the signature is not base64url"),
            ("c,%~e30.e30.A", "malformed: 1 parts instead of 3"),
        ],
    )
    def test_what_is_malformed_is_shown_as_far_as_it_can_be_read(
        self, text: str, line: str
    ) -> None:
        assert line in text_of(text.encode())

    @pytest.mark.parametrize(
        ("x5c", "line"),
        [
            (["!"], "x5c[0]: it is not base64"),
            (["AAAA"], "x5c[0]: 3 octets that are no X.509 certificate"),
            ([7], "x5c[0]: 0 octets that are no X.509 certificate"),
            ("AAAA", "x5c: it is not a list"),
        ],
    )
    def test_odd_x509_certificates(self, x5c: object, line: str) -> None:
        header = b64.encode(json.dumps({"alg": "RS256", "x5c": x5c}).encode())
        assert line in text_of(f"C,~{header}.e30.AAAA".encode())

    def test_a_certificate_whose_common_name_is_no_text(self) -> None:
        odd = oddly_named(authority("root"), 3)
        shown = text_of(jwt.sign({}, key("alice"), x5c=[odd]).encode())
        assert f"x5c[0]: {len(odd)} octets that are no X.509 certificate" in shown

    def test_a_frame_whose_lengths_are_too_long(self) -> None:
        framed = b"\x60\x81\x8a\x06\x88" + b"\xff" * 8 + bytes(128)
        assert "its mechanism is no object identifier" in text_of(framed)

    def test_an_x509_key_that_signs_nothing_here(self) -> None:
        odd = issue("odd", authority("root"), key=ed25519.Ed25519PrivateKey.generate())
        shown = text_of(jwt.sign({}, key("alice"), x5c=[odd.der]).encode())
        assert "key: the key cannot be used" in shown
        assert "not checked" in shown

    def test_a_certificate_without_a_key(self) -> None:
        text = f"c,{token(iss='idp.test').decode()}~{token().decode()}"
        assert "not checked: its key is not in here" in text_of(text.encode())
        text = f"c,e30.e30.~{token().decode()}"
        assert "not checked: its key is not in here" in text_of(text.encode())


class TestDocuments:
    def test_a_support_document_with_nothing_but_a_list_of_keys(self) -> None:
        document = support_document(key("idp"))
        keys = [document.pop("public-key"), {"kty": "OKP"}]
        shown = text_of(json.dumps(document | {"keys": keys}).encode())
        assert shown.startswith("support document")
        assert "key: RS256, 2048 bits" in shown
        assert "its `kty` is not RSA, DSA or EC" in shown

    def test_a_support_document(self) -> None:
        document = support_document(key("idp"), key("other")) | {"certify": "/certify"}
        shown = text_of(json.dumps(document, indent=1).encode() + b"\n")
        assert shown.startswith("support document")
        assert shown.count("RS256, 2048 bits") == 2
        for line in ("authentication: /in", "provisioning: /provision", "certify: /certify"):
            assert line in shown

    @pytest.mark.parametrize(
        ("document", "line"),
        [
            ({"authority": "idp.example"}, "support document: delegates to idp.example"),
            ({"disabled": True}, "support document: the domain has no identity provider"),
            ({"disabled": 1}, "malformed: the support document is not usable"),
            ({"hello": [1, {"password": "s"}]}, 'hello: [1, {"password": "not shown"}]'),
        ],
    )
    def test_others(self, document: dict[str, Any], line: str) -> None:
        assert line in text_of(json.dumps(document).encode())

    def test_what_is_not_json(self) -> None:
        assert mood_of(b'{"a":1,"a":2}', "JSON document") is Mood.BAD

    @pytest.mark.parametrize("spelling", ["classic", "2012.08.15", "jwk"])
    def test_public_keys(self, spelling: Any) -> None:
        document = json.dumps(key("alice").public_key.to_json(spelling)).encode()
        assert text_of(document).startswith("key: RS256, 2048 bits")
        assert mood_of(document, "key") is Mood.PLAIN

    @pytest.mark.parametrize(
        "secret",
        [
            {"d": "c2VjcmV0LXZhbHVl"},
            {"d": "c2VjcmV0LXZhbHVl", "p": "c2VjcmV0LXZhbHVl", "qi": "c2VjcmV0LXZhbHVl"},
        ],
    )
    def test_private_keys_are_told_and_not_shown(self, secret: dict[str, str]) -> None:
        document = key("alice").public_key.to_json("jwk") | secret
        shown = text_of(json.dumps(document).encode())
        assert "private half, which is not shown" in shown
        assert "c2VjcmV0" not in shown

    def test_a_dsa_key_s_private_half(self) -> None:
        numbers = key("dsa", "DS256").public_key.to_json("2012.08.15")
        assert "private half" not in text_of(json.dumps(numbers).encode())
        assert "private half" in text_of(json.dumps(numbers | {"x": "AAAA"}).encode())

    def test_short_keys_are_told(self) -> None:
        modulus = b64.encode(((1 << 1023) + 1155).to_bytes(128, "big"))
        document = {"kty": "RSA", "n": modulus, "e": "AQAB"}
        assert "short: refused" in text_of(json.dumps(document).encode())

    @pytest.mark.parametrize("name", ["ark", "secret-key", "k", "d"])
    def test_secrets_of_tickets_are_not_shown(self, name: str) -> None:
        document = {"tid": "abc", "inner": {name: {"secret": "c2VjcmV0"}}}
        shown = text_of(json.dumps(document).encode())
        assert "c2VjcmV0" not in shown
        assert "abc" in shown


CLAIMS = (
    *("aud", "exp", "iat", "principal", "public-key", "ecdh", "cb", "nonce", "opts", "tkt"),
    *("gss-maj", "gss-min", "saml", "x"),
)


class TestHarmlessness:
    def test_what_a_terminal_would_act_on_is_escaped(self) -> None:
        shown = text_of(token(name="\x1b]0;owned\x07\r\n\u202e", **{"a\x1b[2J": 1}))
        assert r"\x1b]0;owned\x07\r\n\u202e" in shown
        assert r"a\x1b[2J: 1" in shown
        assert all(line.isprintable() for line in shown.split("\n"))

    def test_long_values_are_cut(self) -> None:
        shown = text_of(token(name="x" * 1000))
        assert "x" * 240 + "... (760 characters more)" in shown

    @given(
        st.one_of(
            st.binary(max_size=80),
            st.sampled_from(
                [b"c,", b"C,~", b"n,,c,", b"{", b"\x60", b"\x05\x04", b"\x04\x01"]
            ).flatmap(lambda head: st.binary(max_size=60).map(lambda tail: head + tail)),
        )
    )
    def test_whatever_comes_is_described_or_not_recognised(self, octets: bytes) -> None:
        node = describe(octets, START)
        assert node is None or all(line.isprintable() for line in lines(node))

    @given(st.data())
    def test_whatever_is_altered_is_described(self, data: st.DataObject) -> None:
        octets = bytearray(data.draw(st.sampled_from(SAMPLES)))
        for _ in range(data.draw(st.integers(1, 3))):
            octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
        node = describe(bytes(octets), START)
        assert node is None or all(line.isprintable() for line in lines(node))

    @given(
        st.dictionaries(
            st.sampled_from(CLAIMS),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
                lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
                max_leaves=4,
            ),
        )
    )
    def test_claims_of_any_type_are_described(self, claims: dict[str, Any]) -> None:
        payload = b64.encode(json.dumps(claims).encode())
        assert "claims" in text_of(f"c,~eyJhbGciOiJub25lIn0.{payload}.".encode())


SAMPLES = [*messages("gss-aes128-mutual-initial"), *messages("sasl-aes128-plus-initial")[:2]]


class TestEncodings:
    octets = messages("gss-aes128-mutual-initial")[0]

    @pytest.mark.parametrize(
        "written",
        [
            octets,
            base64.b64encode(octets),
            base64.encodebytes(octets),
            base64.urlsafe_b64encode(octets).rstrip(b"="),
            octets.hex().encode(),
            octets.hex(" ").upper().encode() + b"\n",
        ],
        ids=["raw", "base64", "base64 in lines", "base64url", "hex", "spaced hex"],
    )
    def test_are_told_apart(self, written: bytes) -> None:
        assert decode(written) == self.octets

    def test_the_end_of_a_line_is_not_part_of_a_text(self) -> None:
        assert decode(b" " + token() + b"\n") == token()
        binary = bytes.fromhex("050400ff000c00000000000000000000") + b"\n"
        assert decode(binary) == binary

    def test_a_message_with_a_name_that_is_not_ascii(self) -> None:
        message = "n,a=bücher@idp.test,c,~".encode() + token()
        assert decode(message + b"\r\n") == message

    @pytest.mark.parametrize(
        ("written", "encoding", "code"),
        [
            (b"hello, world", Encoding.AUTO, Code.INVALID_PARAMETER),
            (b"", Encoding.AUTO, Code.INVALID_PARAMETER),
            (b"abc", Encoding.HEX, Code.INVALID_PARAMETER),
            ("ä".encode(), Encoding.HEX, Code.INVALID_PARAMETER),
            (b"a", Encoding.BASE64, Code.INVALID_BASE64),
            (b"a%bc", Encoding.BASE64, Code.INVALID_BASE64),
            (b"a" * (1 << 21), Encoding.AUTO, Code.INVALID_PARAMETER),
        ],
    )
    def test_what_is_not_written_so(self, written: bytes, encoding: Encoding, code: Code) -> None:
        with pytest.raises(LocalProtocolError) as caught:
            decode(written, encoding)
        assert caught.value.code is code

    def test_one_can_be_demanded(self) -> None:
        assert decode(b"abcd", Encoding.HEX) == b"\xab\xcd"
        assert decode(b"abcd", Encoding.BASE64) == b"i\xb7\x1d"
        assert decode(b"abcd", Encoding.RAW) == b"abcd"
