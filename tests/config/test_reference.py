"""The reference page and the code say the same."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from browserid_sasl.acceptor.servers import CALLERS_OPTIONS
from browserid_sasl.config import Config, load, options_of
from browserid_sasl.config.configuration import NAMED_SECTIONS, SECTIONS
from browserid_sasl.config.document import read_settings
from browserid_sasl.config.reference import reference_page

FILE = Path("/etc/example/browserid.toml")
ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "configuration.md"

Write = Callable[..., Path]


def test_the_page_in_docs_is_the_one_the_code_writes() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference_page(), (
        "run: python -m browserid_sasl.config > docs/configuration.md"
    )


def test_the_module_prints_the_page() -> None:
    command = [sys.executable, "-m", "browserid_sasl.config"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60).stdout
    assert printed.decode() == reference_page()


def test_the_page_has_every_option_with_its_default() -> None:
    page = reference_page()
    for section in (*SECTIONS.values(), *(named.of for named in NAMED_SECTIONS.values())):
        for name, option in options_of(section).items():
            assert f"### `{name}`\n\n{option.doc}\n\n* Value: {option.kind.allowed}\n" in page
            assert option.doc.endswith(".")


def test_a_default_on_the_page_is_the_one_that_holds() -> None:
    for section, of in SECTIONS.items():
        for name, option in options_of(of).items():
            if option.daemon is None:
                text = f"[{section}]\n{name} = {option.default.strip('`')}\n"
                [setting] = read_settings(text.encode(), FILE).values()
                assert setting.value == getattr(of(), name + option.kind.suffix)


def test_the_examples_on_the_page_are_valid(write: Write) -> None:
    [example] = re.findall(r"```toml\n(.*?)```", reference_page(), re.S)
    assert load(write(example)).server.strip_domain == "example.org"
    given_as_text = dict(re.findall(r"^browserid_(\w+): (.*)$", reference_page(), re.M))
    assert set(given_as_text) <= set(CALLERS_OPTIONS)
    assert Config().with_options(given_as_text).server.require_channel_binding
