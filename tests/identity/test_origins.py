"""Web origins as audiences."""

from __future__ import annotations

import pytest

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.identity.origins import WebOrigin


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://site.test", "http://site.test:80"),
        ("https://site.test", "https://site.test:443"),
        ("https://site.test", "https://site.test/"),
        ("https://site.test", "HTTPS://Site.TEST:0443"),
        ("app://browser.site.test", "app://browser.site.test:80"),
        ("https://[::1]", "https://[::1]:443"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://localhost:8000", "http://localhost:8000"),
    ],
)
def test_the_same(one: str, other: str) -> None:
    assert WebOrigin.parse(one) == WebOrigin.parse(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://site.test:8100", "http://site.test:80"),
        ("https://site.test:9100", "https://site.test:443"),
        ("http://site.test:80", "http://site.test:8000"),
        ("http://site.test", "https://site.test"),
        ("https://site.test:80", "http://site.test"),
        ("http://site.test", "http://www.site.test"),
        ("http://site.test", "app://site.test"),
    ],
)
def test_not_the_same(one: str, other: str) -> None:
    assert WebOrigin.parse(one) != WebOrigin.parse(other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "site.test",
        "site.test:80",
        "https://",
        "https://site.test/path",
        "https://site.test?query",
        "https://site.test#fragment",
        "https://user@site.test",
        "https://site.test:",
        "https://site.test::80",
        "https://site.test:0",
        "https://site.test:65536",
        "https://site.test:+80",
        "https://site.test:\N{ARABIC-INDIC DIGIT EIGHT}",
        "https://.site.test",
        "https://site..test",
        "https://*.test",
        "https://s\N{LATIN SMALL LETTER DOTLESS I}te.test",
        "https://\N{KELVIN SIGN}.test",
        "https://site.test\n",
        " https://site.test",
        "ftp://site.test",
        "javascript://site.test",
        f"https://{'a.' * 140}test",
    ],
)
def test_no_origin(text: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        WebOrigin.parse(text)
    assert caught.value.code is Code.BAD_AUDIENCE


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("https://Site.test:443/", "https://site.test"),
        ("http://site.test:8080", "http://site.test:8080"),
    ],
)
def test_its_usual_spelling(given: str, written: str) -> None:
    assert str(WebOrigin.parse(given)) == written
