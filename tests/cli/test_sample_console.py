"""What the sample programs write about tokens and errors."""

from __future__ import annotations

import base64
import io
import json
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browserid_sasl.cli.sample.console import Console, printable, sasl_text
from browserid_sasl.errors import (
    BrowserIDError,
    Code,
    ConfigurationError,
    CredentialError,
    DiscoveryError,
    LocalProtocolError,
    PeerRefusedError,
    RemoteProtocolError,
    StoreError,
)
from browserid_sasl.jose import b64, jwt

VECTORS = Path(__file__).parents[1] / "vectors"
RECORDED = [
    base64.b64decode(message["octets"])
    for path in sorted(VECTORS.glob("sasl-*.json"))
    for message in json.loads(path.read_text())["messages"]
]


class TestVerboseConsole:
    """What a verbose program writes of a string that went over the wire."""

    def test_a_message_is_taken_apart(self, capsys: pytest.CaptureFixture[str]) -> None:
        message = b"p=tls-unique,a=bob,c,~" + jwt.unsigned({"aud": "imap/mail"}).encode()
        shown = show(message, capsys)
        assert shown[:6] == [
            f"send: {{{len(message)}}}",
            "SASL message",
            "  GS2 header: p=tls-unique,a=bob,",
            "  channel binding: used, tls-unique",
            "  authorization identity: bob",
            f"  initiator's token, {len(message) - 19} octets",
        ]
        assert "        aud: imap/mail (dialect draft-07)" in shown

    @pytest.mark.parametrize("message", [one for one in RECORDED if b"," in one])
    def test_neither_signatures_nor_keys_are_shown(
        self, message: bytes, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shown = "\n".join(show(message, capsys))
        for part in re.split(rb"[~.]", message)[2::3]:
            assert part.decode()[:20] not in shown
        for members in points_and_keys(message):
            for coordinate in ("n", "e", "x", "y"):
                if len(secret := members.get(coordinate, "")) > 8:
                    assert secret not in shown

    @pytest.mark.parametrize("message", [b"", b"C{3}", b"BROWSERID-AES128", b"x,c", b"\0c,"])
    def test_anything_else_is_printed_as_it_is(
        self, message: bytes, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert show(message, capsys) == [f"send: {{{len(message)}}}", printable(message)]

    @pytest.mark.parametrize(
        ("message", "said"),
        [
            (b"c,secret", "malformed: 1 parts instead of 3, 6 characters"),
            (b"c,.secretly.", "claims: this part is not valid JSON for its purpose"),
            (b"c,!.e30.c2VjcmV0", "header: this part is not base64url"),
        ],
    )
    def test_what_is_wrong_in_a_token_is_said_without_showing_it(
        self, message: bytes, said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shown = "\n".join(show(message, capsys))
        assert said in shown
        assert "secret" not in shown

    @given(st.binary(max_size=80).map(lambda octets: b"n,,c," + octets) | st.binary(max_size=80))
    def test_no_input_is_too_odd(self, message: bytes) -> None:
        with redirect_stdout(io.StringIO()) as written:
            Console(verbose=True).received(message)
        assert written.getvalue().startswith(f"recv: {{{len(message)}}}\n")


def show(message: bytes, capsys: pytest.CaptureFixture[str]) -> list[str]:
    Console(verbose=True).sent(message)
    return capsys.readouterr().out[:-1].split("\n")


def points_and_keys(message: bytes) -> list[dict[str, str]]:
    """The public keys and points in the claims of a message."""
    payloads = re.split(rb"[~.]", message)[1::3]
    claims = [json.loads(b64.decode(payload.decode(), "claims")) for payload in payloads]
    return [each[name] for each in claims for name in ("public-key", "epk", "ecdh") if name in each]


class TestConsole:
    def test_octets_are_printed_as_cyrus_does(self) -> None:
        assert printable(b"a ~\0\n\x7f\xc3") == "a ~[0][A][7F][C3]"

    def test_strings_sent_and_received(self, capsys: pytest.CaptureFixture[str]) -> None:
        console = Console()
        console.sent(b"Y")
        console.received(b"\0c,")
        assert capsys.readouterr().out == "send: {1}\nY\nrecv: {3}\n[0]c,\n"

    @pytest.mark.parametrize("message", [one for one in RECORDED if b"," in one])
    @pytest.mark.parametrize("verbose", [False, True])
    def test_no_token_is_shown_to_its_end(
        self, message: bytes, verbose: bool, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Console(verbose=verbose).received(message)
        shown = capsys.readouterr().out
        assert shown.startswith(f"recv: {{{len(message)}}}\n")
        assert message[-32:].decode() not in shown
        assert verbose or shown.endswith(f"\n{printable(message)[:40]}...\n")

    def test_lists_of_mechanisms_are_shown_whole(self, capsys: pytest.CaptureFixture[str]) -> None:
        offer = " ".join(f"BROWSERID-AES{number}-PLUS" for number in range(20))
        Console().received(offer.encode())
        assert capsys.readouterr().out == f"recv: {{{len(offer)}}}\n{offer}\n"

    @pytest.mark.parametrize("verbose", [False, True])
    def test_tokens_are_shown_to_their_end_where_that_is_asked_for(
        self, verbose: bool, capsys: pytest.CaptureFixture[str]
    ) -> None:
        console = Console(whole=True, verbose=verbose).numbered(1)
        console.received(RECORDED[0])
        assert f"{printable(RECORDED[0])}\n" in capsys.readouterr().out

    def test_a_quiet_one_shows_neither(self, capsys: pytest.CaptureFixture[str]) -> None:
        console = Console(quiet=True)
        console.sent(b"Y")
        console.say("closing connection")
        assert capsys.readouterr().out == "closing connection\n"

    def test_only_a_verbose_one_traces_and_numbers_connections(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for verbose in (False, True):
            console = Console(verbose=verbose).numbered(7)
            console.trace("negotiation complete")
            console.say("closing connection")
        assert capsys.readouterr().out == (
            "closing connection\n[7] negotiation complete\n[7] closing connection\n"
        )

    def test_a_line_stays_a_line_and_obeys_nobody(self, capsys: pytest.CaptureFixture[str]) -> None:
        Console().complain("bob\nroot\x1b[31m\x9b\ud800é")
        assert capsys.readouterr().err == "bob[A]root[1B][31m[9B][D800]é\n"

    @pytest.mark.parametrize(
        ("error", "text"),
        [
            (RemoteProtocolError(Code.REPLAYED_ASSERTION, "x"), "authentication failure"),
            (RemoteProtocolError(Code.INVALID_SIGNATURE, "x"), "authentication failure"),
            (RemoteProtocolError(Code.UNTRUSTED_ISSUER, "x"), "authentication failure"),
            (
                RemoteProtocolError(Code.EXPIRED_ASSERTION, "x"),
                "passphrase expired, has to be reset",
            ),
            (RemoteProtocolError(Code.BAD_AUDIENCE, "x"), "authentication failure"),
            (RemoteProtocolError(Code.INVALID_JSON, "x"), "bad protocol / cancel"),
            (RemoteProtocolError(Code.CHANNEL_BINDINGS_MISMATCH, "x"), "channel binding failure"),
            (RemoteProtocolError(Code.NO_LOCAL_MAPPING, "x"), "authorization failure"),
            (PeerRefusedError(Code.CHANNEL_BINDINGS_MISMATCH, "x"), "channel binding failure"),
            (LocalProtocolError(Code.WRONG_MECH, "x"), "no mechanism available"),
            (LocalProtocolError(Code.INVALID_PARAMETER, "x"), "invalid parameter supplied"),
            (CredentialError(Code.INTERACT_REQUIRED, "x"), "needs user interaction"),
            (
                DiscoveryError(Code.HTTP_ERROR, "x"),
                "remote authentication server unavailable",
            ),
            (
                RemoteProtocolError(Code.UNTRUSTED_X509_CERT, "x"),
                "server failed mutual authentication step",
            ),
            (StoreError(Code.CACHE_ERROR, "x"), "remote authentication server unavailable"),
            (ConfigurationError("x"), "error when parsing configuration file"),
        ],
    )
    def test_errors_have_the_texts_of_sasl(self, error: BrowserIDError, text: str) -> None:
        assert sasl_text(error) == text
