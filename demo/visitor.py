"""Somebody who looks at a website without a browser: fills in forms and presses buttons."""

from __future__ import annotations

import ssl
import urllib.request
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.client import HTTPResponse
from pathlib import Path
from typing import Final
from urllib.error import HTTPError
from urllib.parse import urlencode, urljoin

from demo.stage import PATIENCE, StepFailedError

_MAX_PAGE: Final = 1_000_000


@dataclass
class Form:
    """A form of a page.

    :param action: where it is sent.
    :param method: `get` or `post`.
    :param fields: its values by name, as the page gives them.
    :param buttons: names and values by what is on the button.
    """

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: dict[str, tuple[str, str]] = field(default_factory=dict)


class _Forms(HTMLParser):
    """Collects the forms and the headline of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.headline = ""
        self._button: tuple[str, str] | None = None
        self._text: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(given.get("action", ""), given.get("method", "get").lower()))
        elif tag == "input" and self.forms and "name" in given:
            self._take_input(given)
        elif tag == "button":
            self._button, self._text = (given.get("name", ""), given.get("value", "")), []
        elif tag == "h1":
            self._text = []

    def _take_input(self, given: dict[str, str]) -> None:
        kind = given.get("type", "text")
        if kind not in ("checkbox", "radio") or "checked" in given:
            self.forms[-1].fields[given["name"]] = given.get("value", "on" if kind else "")

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if self._text is None or tag not in ("button", "h1"):
            return
        text = " ".join("".join(self._text).split())
        if tag == "h1":
            self.headline = text
        elif self._button is not None and self.forms:
            self.forms[-1].buttons[text] = self._button
        self._text = None


class Visitor:
    """Looks at the pages of one website, and keeps its cookies.

    :param authority: whose certificates are believed.
    """

    def __init__(self, authority: Path) -> None:
        context = ssl.create_default_context(cafile=str(authority))
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=context), urllib.request.HTTPCookieProcessor()
        )
        self._opener.addheaders = [("Accept", "text/html"), ("Accept-Language", "en")]
        self._address = ""
        self._page = _Forms()

    @property
    def headline(self) -> str:
        """Of the page that is seen now."""
        return self._page.headline

    def open(self, address: str) -> None:
        """Look at a page.

        :raises StepFailedError: there is none.
        """
        self._load(urllib.request.Request(address))  # noqa: S310 - our own provider's

    def press(self, button: str, **fields: str) -> None:
        """Fill in the form that has a button, and press it.

        :param button: what is on it.
        :raises StepFailedError: no form has it, or it leads nowhere.
        """
        for form in self._page.forms:
            if button in form.buttons:
                name, value = form.buttons[button]
                self._send(form, form.fields | fields | ({name: value} if name else {}))
                return
        raise StepFailedError(f"the page {self.headline!r} has no button {button!r}")

    def _send(self, form: Form, fields: dict[str, str]) -> None:
        target, content = urljoin(self._address, form.action), urlencode(fields)
        if form.method == "post":
            self._load(urllib.request.Request(target, content.encode()))  # noqa: S310
        else:
            self._load(urllib.request.Request(f"{target}?{content}"))  # noqa: S310

    def _load(self, request: urllib.request.Request) -> None:
        try:
            with self._opener.open(request, timeout=PATIENCE) as answer:
                self._take(answer)
        except HTTPError as error:
            with error:
                raise StepFailedError(f"{request.full_url} has status {error.code}") from None

    def _take(self, answer: HTTPResponse) -> None:
        self._address = answer.geturl()
        self._page = _Forms()
        self._page.feed(answer.read(_MAX_PAGE).decode("utf-8", "replace"))
