"""Domains that people take for one another: what their letters are, and what they look like.

Domains are compared in ASCII (`addresses`). What is here is for people who read them, and decides
about nobody's login.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterator
from itertools import combinations
from typing import Final

ACE_PREFIX: Final = "xn--"
"""What a label in other letters than those of ASCII begins with (RFC 5890 section 2.3.2.1)."""

_LOOKS: Final = str.maketrans(
    {
        # Cyrillic: a, ve, ie, i, je, ka, em, en, o, er, es, qa, dze, te, u, ha, we, shha, palochka,
        # komi de, the two signs, ghe
        **dict(
            zip(
                "\u0430\u0432\u0435\u0456\u0458\u043a\u043c\u043d\u043e\u0440\u0441\u051b\u0455\u0442\u0443\u0445\u051d\u04bb\u04cf\u0501\u044a\u044c\u0433",
                "abeijkmhopcqstyxwhldbbr",
                strict=True,
            )
        ),
        # Greek: alpha, beta, gamma, epsilon, iota, iota, kappa, nu, omicron, rho, tau, ...
        **dict(
            zip(
                "\u03b1\u03b2\u03b3\u03b5\u03b9\u03b9\u03ba\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7\u03c9",
                "abyeiikvoptuxw",
                strict=True,
            )
        ),
        # Latin without a dot, or in script, and digits
        **dict(zip("\u0131\u0237\u0251\u0261\u0269\u028b01", "ijagivol", strict=True)),
    }
)
_PAIRS: Final = (("rn", "m"), ("vv", "w"), ("cl", "d"))


def letters_of(label: str) -> str | None:
    """What a label that begins with `ACE_PREFIX` stands for, None if it is nothing or not its own.

    :param label: in lower case.
    """
    encoded = label.removeprefix(ACE_PREFIX)
    try:
        letters = encoded.encode("ascii").decode("punycode")
        own = letters.encode("punycode").decode("ascii") == encoded
    except (UnicodeError, ValueError, OverflowError):
        return None
    normal = letters == unicodedata.normalize("NFKC", letters).lower()
    return letters if own and normal and not letters.isascii() and letters.isprintable() else None


def shown_domain(domain: str) -> str:
    """A domain in the letters in which people see it, such as bücher.example."""
    labels = (
        letters_of(each) if each.startswith(ACE_PREFIX) else each for each in domain.split(".")
    )
    return ".".join(shown or each for shown, each in zip(labels, domain.split("."), strict=True))


def look_alikes(domains: Collection[str]) -> Iterator[tuple[str, str]]:
    """The pairs of different domains that look alike."""
    alike: dict[str, dict[str, None]] = {}
    for domain in domains:
        alike.setdefault(_look(domain), {})[domain] = None
    for group in alike.values():
        yield from combinations(group, 2)


def _look(domain: str) -> str:
    """The same for whatever looks alike; in the manner of UTS #39, section 4."""
    plain = unicodedata.normalize("NFKD", shown_domain(domain))
    text = "".join(each for each in plain if not unicodedata.combining(each)).translate(_LOOKS)
    for pair, one in _PAIRS:
        text = text.replace(pair, one)
    return text.replace("i", "l").replace("-", "")
