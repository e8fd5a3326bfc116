"""Templates (Jinja2), and the headers that make a page nobody else's to script or to frame."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from browserid_sasl.config.colours import ON_DARK_ACCENT, ON_LIGHT_ACCENT
from browserid_sasl.idp.web import paths
from browserid_sasl.idp.web.assets import ASSETS
from browserid_sasl.idp.web.languages import LANGUAGES, Language

_NONCE_OCTETS: Final = 16
_MOST_SHOWN: Final = 512


@dataclass(frozen=True, slots=True)
class Framing:
    """What other sites have to do with a page.

    :param ancestors: sources in the form of CSP by which it may be framed.
    :param targets: further ones to which its forms may lead.
    :param opener: whether it may have been opened by another site's window, and stay in touch.
    """

    ancestors: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    opener: bool = False

    def headers(self, nonce: str) -> dict[str, str]:
        """The headers of such a page.

        :param nonce: what its scripts and styles are known by.
        """
        headers = {
            "Content-Security-Policy": self._policy(nonce),
            # With `no-referrer` browsers would send forms with `Origin: null`.
            "Referrer-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "unsafe-none" if self.opener else "same-origin",
            "Cache-Control": "no-store",
        }
        if not self.ancestors:
            headers["X-Frame-Options"] = "DENY"
        return headers

    def _policy(self, nonce: str) -> str:
        return "; ".join(
            (
                "default-src 'none'",
                f"script-src 'nonce-{nonce}'",
                f"style-src 'nonce-{nonce}'",
                "img-src 'self'",
                "connect-src 'self'",
                "base-uri 'none'",
                " ".join(("form-action 'self'", *self.targets)),
                " ".join(("frame-ancestors", *(self.ancestors or ("'none'",)))),
                "require-trusted-types-for 'script'",
            )
        )


UNFRAMED: Final = Framing()


def render(
    template: str, language: Language, status: int, framing: Framing, context: dict[str, Any]
) -> Response:
    """A page.

    :param template: name of a file in `templates/`.
    :param context: what the template refers to.
    """
    nonce = secrets.token_urlsafe(_NONCE_OCTETS)
    html = _environment(language.code).get_template(template).render(context, nonce=nonce)
    return HTMLResponse(html, status, framing.headers(nonce))


@cache
def _environment(code: str) -> Environment:
    environment = Environment(
        loader=PackageLoader("browserid_sasl.idp.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    language = LANGUAGES[code]
    environment.install_gettext_callables(  # type: ignore[attr-defined]
        language.gettext, language.ngettext, newstyle=True
    )
    environment.globals.update(
        asset=_asset_url,
        paths=paths,
        languages=tuple(LANGUAGES.values()),
        on_accent=ON_LIGHT_ACCENT,
        on_dark_accent=ON_DARK_ACCENT,
    )
    environment.filters.update(time=_time, wait=_wait, harmless=harmless)
    return environment


def _asset_url(name: str) -> str:
    return f"{paths.STATIC}/{name}?v={ASSETS[name].version}"


def _time(ms: int) -> Markup:
    """A moment, to the minute. Where people are, the server does not know."""
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return Markup("<time>{}</time>").format(moment.strftime("%Y-%m-%d %H:%M UTC"))


def _wait(seconds: int) -> str:
    """How long to wait, as one word: the unit does not stand in a line of its own."""
    return f"{seconds}\N{NO-BREAK SPACE}s"


def harmless(text: str) -> str:
    """A text that a stranger has chosen, without what turns others round or is not to be seen."""
    shown = "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii")
        for each in text[:_MOST_SHOWN]
    )
    return f"{shown}..." if len(text) > _MOST_SHOWN else shown
