"""docs/PROTOCOL.md and the tables of the code say the same."""

from __future__ import annotations

import re

import pytest

from browserid_sasl.errors import Code
from browserid_sasl.gss.mechanisms import MECHANISMS
from tests.support.sample_programs import ROOT

PAGE = (ROOT / "docs" / "PROTOCOL.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "browserid_sasl"
SPELLED = {Code.CONTEXT_KEY_TOO_SHORT: "key-too-short"}
"""Both tables have a reason of this name, which the code has to tell apart."""


@pytest.mark.parametrize("table", ["A", "B"])
def test_the_codes_are_those_of_the_page(table: str) -> None:
    listed = re.search(rf"^{table}(?: \(offset from 0\))?: (.*?)\.$", PAGE, re.M | re.S)
    assert listed
    text = listed[1].replace("48-61 cache errors", "48 cache-error")
    assert dict(re.findall(r"\b(\d+) ([a-z0-9-]+)", text)) == {
        str(code.number): SPELLED.get(code, code.text) for code in Code if code.table == table
    }


def test_the_mechanisms_are_those_of_the_page() -> None:
    section = PAGE.partition("### 4.1 Mechanisms")[2].partition("###")[0]
    rows = re.findall(r"^\| `([\w-]+)`[^|]*\| [\d.]*?\.(\d+) \|", section, re.MULTILINE)
    assert dict(rows) == {row.name: str(row.oid[-1]) for row in MECHANISMS}


def test_the_sections_that_the_code_names_are_there() -> None:
    headings = set(re.findall(r"^#+ ([\d.]+?)\.? ", PAGE, re.MULTILINE))
    for file in PACKAGE.rglob("*.py"):
        text = re.sub(r"\s+", " ", file.read_text(encoding="utf-8"))
        for named in re.findall(r"PROTOCOL\.md sections? ((?:[\d.]+(?:, | and | to )?)+)", text):
            for number in re.findall(r"\d+(?:\.\d+)*", named):
                assert number in headings, f"{file}: {number}"
