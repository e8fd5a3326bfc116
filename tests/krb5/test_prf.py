"""The pseudo-random function: recorded outputs, and its definition."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from browserid_sasl.errors import Code, LocalProtocolError
from browserid_sasl.krb5.enctypes import ENCTYPES, Key, random_to_key
from browserid_sasl.krb5.prf import MAX_OUTPUT, pseudo_random

VECTORS = Path(__file__).parent.parent / "vectors"
RECORDED = [
    exchange
    for path in sorted(VECTORS.glob("*.json"))
    if "prf" in (exchange := json.loads(path.read_bytes()))
]


@pytest.mark.parametrize("exchange", RECORDED, ids=lambda exchange: exchange["name"])
def test_recorded_outputs(exchange: dict[str, Any]) -> None:
    enctype = int(exchange["oid"].rpartition(".")[2])
    root_keys = [row["key"] for row in exchange["derived"] if row["name"] == "CRK"]
    key = random_to_key(enctype, bytes.fromhex(root_keys[-1]))
    assert exchange["prf"]
    for row in exchange["prf"]:
        assert pseudo_random(key, row["in"].encode(), row["len"]).hex() == row["out"]


@pytest.mark.parametrize("enctype", ENCTYPES.values(), ids=lambda row: row.name)
def test_blocks_are_numbered_from_zero(enctype: Any) -> None:
    key = Key(enctype, os.urandom(enctype.key_size))
    blocks = [key.prf(bytes([0, 0, 0, number]) + b"what for") for number in range(3)]
    for size in (0, 1, len(blocks[0]), len(blocks[0]) + 1, 3 * len(blocks[0])):
        assert pseudo_random(key, b"what for", size) == b"".join(blocks)[:size]


@pytest.mark.parametrize("size", [-1, MAX_OUTPUT + 1])
def test_sizes_have_limits(size: int) -> None:
    with pytest.raises(LocalProtocolError) as refused:
        pseudo_random(random_to_key(17, bytes(32)), b"", size)
    assert refused.value.code is Code.INVALID_PARAMETER
