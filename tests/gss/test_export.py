"""Contexts that move from one process to another."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from browserid_sasl.errors import BrowserIDError, Code, LocalProtocolError, RemoteProtocolError
from browserid_sasl.gss.context import PROTECTION_FLAGS, ContextFlag, SecurityContext
from browserid_sasl.gss.export import MAX_LENGTH, export_context, import_context
from browserid_sasl.gss.mechanisms import mechanism_by_name
from browserid_sasl.gss.names import ServiceName
from browserid_sasl.jose import json as strict_json
from browserid_sasl.krb5.message import SequenceError, SequenceState
from tests.support.refusal import refused
from tests.support.world import AES128, ALICE, IMAP, START

KEY = bytes(range(32))
OTHER_KEY = bytes(32)
HEADER = b"BIDX\x01"

CONTEXT = SecurityContext(
    mechanism=AES128,
    is_initiator=False,
    identity=ALICE,
    target=IMAP,
    issuer="idp.test",
    expires=START,
    flags=PROTECTION_FLAGS | ContextFlag.TRANSFERABLE,
    ticket_used=False,
    extra_round_trip=True,
    attributes={"groups": ["staff", "admins"], "name": "Alice Ä"},
    root_key=bytes(range(100, 132)),
)
SEQUENCE = SequenceState(send=5, receive=9, received=0b1011)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=9,
)
contexts = st.builds(
    SecurityContext,
    mechanism=st.sampled_from([AES128, mechanism_by_name("BROWSERID-A256S2")]),
    is_initiator=st.booleans(),
    identity=st.text(max_size=20),
    target=st.sampled_from([IMAP, ServiceName("host", "vm", "a/b")]),
    issuer=st.text(max_size=20),
    expires=st.integers(0, (1 << 53) - 1),
    flags=st.integers(0, 0x3000).map(lambda bits: ContextFlag(bits & sum(ContextFlag))),
    ticket_used=st.booleans(),
    extra_round_trip=st.booleans(),
    attributes=st.dictionaries(st.text(max_size=9), json_values, max_size=3),
    root_key=st.binary(min_size=32, max_size=32),
)
sequences = st.builds(
    SequenceState,
    st.integers(0, 1 << 64),
    st.integers(0, 1 << 64),
    st.integers(0, (1 << 64) - 1),
)


def taken(token: bytes, key: bytes = KEY) -> tuple[SecurityContext, SequenceState]:
    """What is imported at the beginning of time."""
    return import_context(token, key, -1)


def refuse(token: bytes, key: bytes = KEY) -> Code:
    with pytest.raises(RemoteProtocolError) as caught:
        taken(token, key)
    return caught.value.code


def sealed(members: bytes, header: bytes = HEADER) -> bytes:
    """A token with these octets in it, made by somebody who has the key."""
    nonce = os.urandom(12)
    return header + nonce + AESGCM(KEY).encrypt(nonce, members, header)


def exported_members() -> dict[str, Any]:
    token = export_context(CONTEXT, SEQUENCE, KEY, os.urandom)
    return strict_json.parse_object(AESGCM(KEY).decrypt(token[5:17], token[17:], HEADER), "it")


@given(contexts, sequences)
def test_comes_out_as_it_went_in(context: SecurityContext, sequence: SequenceState) -> None:
    token = export_context(context, sequence, KEY, os.urandom)
    assert taken(token, KEY) == (context, sequence)


def test_attributes_as_deep_as_a_certificate_can_have_them() -> None:
    deep: Any = "bottom"
    for _ in range(strict_json.MAX_DEPTH - 1):
        deep = [deep]
    context = replace(CONTEXT, attributes={"deep": deep})
    imported, _ = taken(export_context(context, None, KEY, os.urandom), KEY)
    assert imported.attributes == context.attributes


@pytest.mark.parametrize("late", [0, 1, 1 << 40])
def test_a_context_that_has_expired_is_not_imported(late: int) -> None:
    token = export_context(CONTEXT, None, KEY, os.urandom)
    assert import_context(token, KEY, CONTEXT.expires - 1)[0] == CONTEXT
    with refused(Code.CRED_EXPIRED, "log in again", RemoteProtocolError):
        import_context(token, KEY, CONTEXT.expires + late)


def test_a_context_without_key_exchange() -> None:
    context = replace(CONTEXT, mechanism=mechanism_by_name("BROWSERID"), root_key=None)
    token = export_context(context, None, KEY, os.urandom)
    assert taken(token, KEY) == (context, SequenceState())


def test_message_protection_goes_on_where_it_was() -> None:
    here = CONTEXT.protection()
    peer = replace(CONTEXT, is_initiator=True).protection()
    first, second = peer.wrap(b"first"), peer.wrap(b"second")
    here.unwrap(first)
    answer = here.wrap(b"answer")

    context, sequence = taken(export_context(CONTEXT, here.sequence, KEY, os.urandom), KEY)
    there = context.protection(sequence)
    assert there.unwrap(second).data == b"second"
    with pytest.raises(SequenceError):
        there.unwrap(first)
    assert peer.unwrap(answer).data == b"answer"
    assert peer.unwrap(there.wrap(b"next")).status == 0


def test_an_expired_context_can_be_imported_and_says_so() -> None:
    context, _ = taken(export_context(CONTEXT, None, KEY, os.urandom), KEY)
    assert context.lifetime(START + 1) == 0


def test_the_key_is_not_to_be_seen_in_the_token() -> None:
    token = export_context(CONTEXT, SEQUENCE, KEY, os.urandom)
    assert CONTEXT.root_key is not None
    assert CONTEXT.root_key not in token
    assert ALICE.encode() not in token


def test_the_same_context_gives_another_token_each_time() -> None:
    once, again = (export_context(CONTEXT, SEQUENCE, KEY, os.urandom) for _ in range(2))
    assert once[17:] != again[17:]


def test_another_key_does_not_open_it() -> None:
    token = export_context(CONTEXT, SEQUENCE, OTHER_KEY, os.urandom)
    assert refuse(token) is Code.INVALID_SIGNATURE


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_key_of_another_size(size: int) -> None:
    token = export_context(CONTEXT, SEQUENCE, KEY, os.urandom)
    for use in (
        lambda: export_context(CONTEXT, SEQUENCE, bytes(size), os.urandom),
        lambda: taken(token, bytes(size)),
    ):
        with pytest.raises(LocalProtocolError) as caught:
            use()
        assert caught.value.code is Code.INVALID_PARAMETER


@given(st.data())
def test_every_octet_counts(data: st.DataObject) -> None:
    token = bytearray(export_context(CONTEXT, SEQUENCE, KEY, os.urandom))
    token[data.draw(st.integers(0, len(token) - 1))] ^= data.draw(st.integers(1, 255))
    assert refuse(bytes(token)) in (Code.INVALID_SIGNATURE, Code.BAD_CONTEXT_TOKEN)


@given(st.integers(0, 300))
def test_every_truncation_is_noticed(size: int) -> None:
    token = export_context(CONTEXT, SEQUENCE, KEY, os.urandom)
    assert len(token) > 300
    assert refuse(token[:size]) in (Code.TOKEN_TRUNCATED, Code.INVALID_SIGNATURE)


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (b"", Code.TOKEN_TRUNCATED),
        (b"GIF89a" + bytes(100), Code.BAD_CONTEXT_TOKEN),
        (b"BIDX\x01" + bytes(27), Code.TOKEN_TRUNCATED),
        (b"BIDX\x01" + bytes(28), Code.INVALID_SIGNATURE),
        (b"BIDX\x00" + bytes(100), Code.BAD_CONTEXT_TOKEN),
        (b"BIDX\x02" + bytes(100), Code.BAD_CONTEXT_TOKEN),
        (b"BIDX\x01" + bytes(MAX_LENGTH), Code.BUFFER_TOO_LONG),
    ],
    ids=["nothing", "GIF", "cut off", "forged", "version 0", "version 2", "too long"],
)
def test_what_is_no_exported_context(token: bytes, code: Code) -> None:
    assert refuse(token) is code


def test_another_version_is_refused_even_with_the_right_key() -> None:
    token = sealed(strict_json.dumps(exported_members()), b"BIDX\x02")
    assert refuse(token) is Code.BAD_CONTEXT_TOKEN


@pytest.mark.parametrize(
    "change",
    [
        {"new": 1},
        {"mech": "BROWSERID-DES"},
        {"mech": "BROWSERID"},
        {"mech": 17},
        {"init": 1},
        {"tkt": "yes"},
        {"xrt": None},
        {"id": None},
        {"spn": "imap"},
        {"exp": -1},
        {"exp": 1.5},
        {"flags": 1 << 20},
        {"flags": True},
        {"flags": -1},
        {"attr": "[]"},
        {"attr": {}},
        {"crk": ""},
        {"crk": "AAAA"},
        {"crk": "=?"},
        {"seq": None},
        {"seq": [0, 0]},
        {"seq": [0, 0, -1]},
        {"seq": [0, 0, 1 << 64]},
        {"seq": [(1 << 64) + 1, 0, 0]},
        {"seq": [True, 0, 0]},
    ],
    ids=str,
)
def test_what_is_not_known_is_refused(change: dict[str, Any]) -> None:
    assert taken(sealed(strict_json.dumps(exported_members())), KEY)
    members = exported_members() | change
    assert refuse(sealed(strict_json.dumps(members))) is Code.BAD_CONTEXT_TOKEN


@pytest.mark.parametrize("name", sorted(exported_members()))
def test_every_member_has_to_be_there(name: str) -> None:
    members = exported_members()
    del members[name]
    assert refuse(sealed(strict_json.dumps(members))) is Code.BAD_CONTEXT_TOKEN


@given(st.binary(max_size=80))
def test_whatever_is_sealed_gives_an_error_of_ours(octets: bytes) -> None:
    with pytest.raises(BrowserIDError):
        taken(sealed(octets), KEY)
