"""Colours of pages, and whether people can read what is in them (WCAG 2.2, section 1.4.3)."""

from __future__ import annotations

from itertools import starmap
from typing import Final

LEAST_CONTRAST: Final = 4.5
"""Between letters and what is behind them, at the least."""

LIGHT: Final = ("#ffffff", "#f2f4f7", "#fdecea", "#e6f4ea")
"""What is behind letters of the accent colour on light pages: the page, a card, and news on it."""

DARK: Final = ("#16181c", "#22262c", "#3b1b19", "#17301f")
"""The same on dark pages."""

ON_LIGHT_ACCENT: Final = "#ffffff"
ON_DARK_ACCENT: Final = "#0a1a33"
"""What is written on buttons of that colour. The pages' style sheet has all of these."""

_STEPS: Final = 100

_Rgb = tuple[float, float, float]


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, from 1 to 21. Both are `#rrggbb`."""
    darker, lighter = sorted((_luminance(_read(one)), _luminance(_read(other))))
    return (lighter + 0.05) / (darker + 0.05)


def least_contrast(accent: str) -> float:
    """The least contrast that a colour has with what it is beside on light pages."""
    return min(contrast(accent, each) for each in (*LIGHT, ON_LIGHT_ACCENT))


def on_dark(accent: str) -> str:
    """A colour as it is on dark pages: mixed with as much white as it takes to be read there."""
    shades = (_mixed(_read(accent), step / _STEPS) for step in range(_STEPS + 1))
    return next(each for each in shades if _is_read_on_dark(each))


def _is_read_on_dark(colour: str) -> bool:
    return all(contrast(colour, each) >= LEAST_CONTRAST for each in (*DARK, ON_DARK_ACCENT))


def _read(colour: str) -> _Rgb:
    red, green, blue = bytes.fromhex(colour[1:])
    return red / 255, green / 255, blue / 255


def _mixed(colour: _Rgb, white: float) -> str:
    return "#" + bytes(round(255 * (part + (1 - part) * white)) for part in colour).hex()


def _luminance(colour: _Rgb) -> float:
    """Of sRGB, as WCAG 2.2 defines it."""
    parts = (
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in colour
    )
    return sum(starmap(float.__mul__, zip(parts, (0.2126, 0.7152, 0.0722), strict=True)))
