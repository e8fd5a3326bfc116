"""Every option that is declared has a test of what it does, from the file to the behaviour.

Such a test names its options, section first:

    @pytest.mark.option("server.audiences")
    def test_...

An option of a section that has a name of its own leaves that out: ``authorities.url``. What the
test writes is a configuration file, what it looks at is what somebody sees who logs in; it fails
when the option is read and then forgotten. `tests.support.configured` has what it takes; see
`tests/api/test_options.py`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from browserid_sasl.config import options_of
from browserid_sasl.config.configuration import NAMED_SECTIONS, SECTIONS
from tests.support.sample_programs import ROOT

#: Sections (``idp``) and options (``server.tickets``) whose tests are not written yet. Whoever
#: writes the last one of an entry takes it out; nothing is ever put in.
DUE: Final = frozenset({"idp"})


def declared_options() -> frozenset[str]:
    """Every option, by its section and name."""
    sections = SECTIONS | {kind: named.of for kind, named in NAMED_SECTIONS.items()}
    return frozenset(
        f"{name}.{option}" for name, of in sections.items() for option in options_of(of)
    )


def named_by_tests() -> Iterator[str]:
    """What the marks in the tests name."""
    for file in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.option":
                yield from (ast.literal_eval(argument) for argument in node.args)


def is_due(option: str) -> bool:
    return option in DUE or option.partition(".")[0] in DUE


def test_every_option_is_named_by_a_test_of_its_behaviour() -> None:
    untested = declared_options() - set(named_by_tests())
    assert not {option for option in untested if not is_due(option)}


def test_tests_name_options_that_exist() -> None:
    assert set(named_by_tests()) <= declared_options()


def test_nothing_is_due_that_is_done() -> None:
    untested = declared_options() - set(named_by_tests())
    still_due = untested | {option.partition(".")[0] for option in untested}
    assert still_due >= DUE, "take it out of DUE"
