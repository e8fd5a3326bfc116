"""Colours in which people can read."""

from __future__ import annotations

import pytest

from browserid_sasl.config.colours import (
    DARK,
    LEAST_CONTRAST,
    LIGHT,
    ON_DARK_ACCENT,
    ON_LIGHT_ACCENT,
    contrast,
    on_dark,
)
from browserid_sasl.config.syntax import Unfit, accent_colour
from tests.support.sample_programs import ROOT


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert contrast("#0b57d0", "#0b57d0") == 1


@pytest.mark.parametrize("colour", ["#0B57D0", "#000000", "#7a0019", "#006400", "#6b6b6b"])
def test_a_dark_colour_is_taken_and_is_read_on_dark_pages_too(colour: str) -> None:
    taken = accent_colour(colour)
    assert taken == colour.lower()
    assert all(contrast(taken, each) >= LEAST_CONTRAST for each in (*LIGHT, ON_LIGHT_ACCENT))
    lighter = on_dark(taken)
    assert all(contrast(lighter, each) >= LEAST_CONTRAST for each in (*DARK, ON_DARK_ACCENT))


@pytest.mark.parametrize("colour", ["#ffffff", "#ff9900", "#777777", "#00ff00"])
def test_one_that_cannot_be_read_is_refused_with_its_contrast(colour: str) -> None:
    with pytest.raises(Unfit, match=r"contrast with the pages is [0-9.]+ to 1"):
        accent_colour(colour)


@pytest.mark.parametrize("text", ["red", "#fff", "#0b57d00", "0b57d0", "#0b57dg", "#0b57d0;}"])
def test_what_is_no_colour_is_refused(text: str) -> None:
    with pytest.raises(Unfit, match="not of the form #rrggbb"):
        accent_colour(text)


def test_they_are_those_of_the_style_sheet() -> None:
    sheet = (ROOT / "browserid_sasl/idp/web/static/style.css").read_text()
    light, dark = sheet.split("prefers-color-scheme: dark", 1)
    names = ("page", "soft", "bad-soft", "good-soft", "on-accent")
    for part, colours in ((light, (*LIGHT, ON_LIGHT_ACCENT)), (dark, (*DARK, ON_DARK_ACCENT))):
        for name, colour in zip(names, colours, strict=True):
            assert f"--{name}: {colour.replace('#ffffff', '#fff')};" in part
