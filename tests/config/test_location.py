"""The line of every key."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from browserid_sasl.config.location import Location, locate

FILE = Path("/etc/example/browserid.toml")
ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "configuration.md"

Write = Callable[..., Path]


def keys_of(value: object, location: Location = ()) -> set[Location]:
    """Every key and array index in a parsed document."""
    items: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    found = {location} - {()}
    for key, inner in items:
        found |= keys_of(inner, (*location, key))
    return found


@pytest.mark.parametrize(
    "text",
    [
        'a = """"quoted""""" # "\nb = 1',
        "a = ''''quoted'''''\nb = 1",
        'a = "\\"]#"\nb = 1',
        "a = '\\'\nb = 1",
        'a = """\\\n  "" \\"""\n"""\nb = 1',
        "a = [ # ]\n'#]', [[], {}], {b = ']', c.d = [1,\n2]},\n]\nb = 2030-01-01 07:00:00 # =",
        "a.b.c = 1\na.b.d = 2\n[a.e]\n[a.'e'.\"f\\u0067\"]\ng = 1",
        '[ a . "b.c" ] # [d]\nd = {}\n"" = {"" = 1}\n',
        "a = {b = {c = 1}, d = [{e = 1}]}",
        "a=1#b=2\nc=[1,2]#]\n\td\t=\t'x'\t\n1 = 1.0\n-=1\n_ = inf",
    ],
)
def test_the_lines_are_those_of_the_keys_that_the_parser_finds(text: str) -> None:
    lines = locate(text)
    assert set(lines) == keys_of(tomllib.loads(text))
    rows = text.split("\n")
    for location, line in lines.items():
        key = location[-1]
        if isinstance(key, str) and re.fullmatch("[a-e]", key):
            assert key in rows[line - 1]


def test_the_line_is_that_of_the_first_mention() -> None:
    text = 'a = """\nb = 1\n"""\n\n[c]\n\n[c.d]\ne = [\n1,\n\n2]\nf = 3 # g = 4\n'
    assert locate(text) == {
        ("a",): 1,
        ("c",): 5,
        ("c", "d"): 7,
        ("c", "d", "e"): 8,
        ("c", "d", "e", 0): 9,
        ("c", "d", "e", 1): 11,
        ("c", "d", "f"): 12,
    }


KEYS = st.one_of(
    st.from_regex(r"[A-Za-z0-9_-]{1,4}", fullmatch=True),
    st.text(st.characters(exclude_categories=["C"]), max_size=4).map(json.dumps),
    st.text('a#[]={}." \\', max_size=4).map(lambda text: f"'{text}'"),
).filter(lambda key: "\\ud" not in key)
SCALARS = st.one_of(
    st.sampled_from(["1", "true", "-0.5e3", "2030-01-01 07:00:00Z", "07:00:00", "0xff", "nan"]),
    st.text("a#[]={},'\"\n", max_size=8).map(json.dumps),
    st.text('a#[]={},"', max_size=6).map(lambda text: f"'{text}'"),
    st.text("a#[]={},'\n=", max_size=12).map(lambda text: f'"""{text}"""'),
    st.text('a#[]={},"\n=', max_size=12).map(lambda text: f"'''{text}'''"),
)
BREAKS = st.sampled_from(["", " ", "\n", " # ]}\n", "\n\n\t"])


def compound(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    element = st.builds("{}{}{}".format, BREAKS, values, BREAKS)
    array = st.lists(element, max_size=3).map(lambda items: f"[{','.join(items)}]")
    pairs = st.dictionaries(KEYS, values, max_size=3).map(
        lambda items: " , ".join(f"{key} = {value}" for key, value in items.items())
    )
    return array | pairs.map(lambda text: f"{{ {text} }}")


STATEMENTS = st.one_of(
    st.builds("{}{}={}".format, KEYS, st.sampled_from(["", " "]), st.recursive(SCALARS, compound)),
    st.lists(KEYS, min_size=1, max_size=3).map(lambda keys: f"[ {' . '.join(keys)} ]"),
    st.lists(KEYS, min_size=1, max_size=2).map(lambda keys: f"[[{'.'.join(keys)}]]"),
    st.sampled_from(["", "# a = [", "\t"]),
)


@settings(max_examples=300)
@given(st.lists(STATEMENTS, max_size=6))
def test_any_document_that_the_parser_accepts_has_its_lines(statements: list[str]) -> None:
    text = ""
    starts: list[int] = []
    for statement in statements:
        try:
            tomllib.loads(f"{text}{statement}\n")
        except tomllib.TOMLDecodeError:
            continue
        starts.append(text.count("\n") + 1)
        text += f"{statement}\n"
    document = tomllib.loads(text)
    lines = locate(text)
    # In an array of tables the tables share their lines: an index is found for none.
    without_index = {tuple(k for k in key if isinstance(k, str)) for key in keys_of(document)}
    assert {tuple(k for k in key if isinstance(k, str)) for key in lines} == without_index - {()}
    for location, line in lines.items():
        if len(location) == 1:
            assert line in starts
