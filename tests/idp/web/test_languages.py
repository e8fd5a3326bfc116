"""The pages' languages: every message is in every catalogue, and people get theirs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from jinja2 import Environment
from jinja2.ext import extract_from_ast

import browserid_sasl.idp.web
from browserid_sasl.idp.web.languages import LANGUAGES, choose_language, read_catalogue
from tests.support.browser import Browser

HERE = Path(browserid_sasl.idp.web.__file__).parent
PLACEHOLDER = re.compile(r"%\((\w+)\)s")


def _in_templates() -> Iterator[str]:
    environment = Environment(extensions=["jinja2.ext.i18n"], autoescape=True)
    for file in HERE.glob("templates/*.html"):
        for _, function, message in extract_from_ast(environment.parse(file.read_text())):
            assert function in ("_", "gettext", "ngettext"), f"{file.name}: {function}"
            given = message if isinstance(message, tuple) else (message,)
            texts = given[:2] if function == "ngettext" else given[:1]
            # A message in a variable was marked where it was written.
            yield from (text for text in texts if isinstance(text, str))


def _in_python() -> Iterator[str]:
    for file in HERE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "N_":
                yield ast.literal_eval(node.args[0])


@cache
def messages() -> set[str]:
    return {*_in_templates(), *_in_python()}


TRANSLATED = [language for language in LANGUAGES.values() if language.code != "en"]


@pytest.mark.parametrize("language", TRANSLATED, ids=lambda language: language.code)
class TestACatalogue:
    def test_has_every_message_and_no_other(self, language: object) -> None:
        assert set(language.messages) == messages()  # type: ignore[attr-defined]

    def test_has_the_placeholders_of_the_messages(self, language: object) -> None:
        for message, translated in language.messages.items():  # type: ignore[attr-defined]
            assert set(PLACEHOLDER.findall(message)) == set(PLACEHOLDER.findall(translated))
            assert not re.search("%(?!\\()", message + translated), message


def test_there_is_a_catalogue_for_every_file() -> None:
    assert {file.stem for file in HERE.glob("locale/*")} == {each.code for each in TRANSLATED}


def test_no_text_in_a_template_is_left_out() -> None:
    for file in HERE.glob("templates/*.html"):
        not_text = r"<pre>.*?</pre>|<style\b.*?</style>|\{[{%#].*?[}%#]\}|<[^>]*>"
        bare = re.sub(not_text, "", file.read_text(), flags=re.S)
        assert not re.search(r"[A-Za-z]{2}", bare), (file.name, bare.split())


class TestReadingACatalogue:
    def test_texts_may_be_on_several_lines_and_have_escapes(self) -> None:
        text = '# x\n\nmsgid "a \\"b\\"\\n"\n"c"\nmsgstr ""\n"d\\\\n"\n'
        assert read_catalogue(text) == {'a "b"\nc': "d\\n"}

    def test_what_is_not_translated_is_left_out(self) -> None:
        assert read_catalogue('msgid "a"\nmsgstr ""\n') == {}

    def test_another_line_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="not a line"):
            read_catalogue("msgid a\n")


class TestChoosing:
    @pytest.mark.parametrize(
        ("chosen", "accepted", "code"),
        [
            ("", "", "en"),
            ("", "de", "de"),
            ("", "de-AT,de;q=0.9", "de"),
            ("", "fr, en;q=0.5, de;q=0.7", "de"),
            ("", "de;q=0, en", "en"),
            ("", "fr", "en"),
            ("en", "de", "en"),
            ("xx", "de", "de"),
            ("", "de;q=x,;;;,\x00", "de"),
        ],
    )
    def test_by_choice_and_else_by_what_the_browser_asks_for(
        self, chosen: str, accepted: str, code: str
    ) -> None:
        assert choose_language(chosen, accepted).code == code

    def test_a_person_chooses_and_stays_on_the_page(self, browser: Browser) -> None:
        page = browser.open("/browserid/sign-in?email=alice@example.test")
        assert '<html lang="en">' in page.html
        page = browser.submit(page, "/browserid/language", language="de")
        assert '<html lang="de">' in page.html
        assert page.path == "/browserid/sign-in"
        assert page.form("/browserid/sign-in").fields["email"] == "alice@example.test"
        assert "Anmelden" in page.text
        assert '<html lang="de">' in browser.open("/browserid/sign-out").html

    def test_it_need_not_be_one_that_there_is(self, browser: Browser) -> None:
        page = browser.open("/browserid/sign-in")
        page = browser.submit(page, "/browserid/language", language="../../x")
        assert '<html lang="en">' in page.html
