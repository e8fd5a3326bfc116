"""A browser without scripts, as far as the provider's pages need one: cookies, forms, redirects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests

from tests.support.patience import PATIENCE
from tests.support.provider import ALICE, DOMAIN, PASSWORD, RunningProvider

_MAX_REDIRECTS = 5


@dataclass
class ShownForm:
    """A form in a page: where it leads, and what it sends as it stands.

    :param buttons: name and value of those that have one.
    """

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[ShownForm] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append((tag, given))
        self._inside = tag
        if tag == "form":
            self.forms.append(ShownForm(given.get("action", ""), given.get("method", "get")))
        elif self.forms and tag in ("input", "button") and given.get("name"):
            self._add(tag, given)

    def _add(self, tag: str, given: dict[str, str]) -> None:
        form = self.forms[-1]
        if tag == "button":
            form.buttons.append((given["name"], given.get("value", "")))
        elif given.get("type") != "checkbox" or "checked" in given:
            form.fields[given["name"]] = given.get("value", "on")

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self.text += data


class Shown:
    """What a browser shows.

    :param answer: of the server.
    """

    def __init__(self, answer: requests.Response) -> None:
        self.answer = answer
        self.status = answer.status_code
        self.headers = answer.headers
        self.html = answer.text
        parts = urlsplit(answer.url)
        self.path = parts.path
        self.query = parts.query
        reader = _Reader()
        reader.feed(answer.text)
        self.forms = reader.forms
        self.tags = reader.tags
        self.text = " ".join(reader.text.split())

    @property
    def location(self) -> str:
        """Where it was sent, if that is not a page of the provider's."""
        return self.headers.get("Location", "")

    def form(self, action: str) -> ShownForm:
        """The form that leads to a path."""
        return next(form for form in self.forms if urlsplit(form.action).path == action)

    def csrf(self) -> str:
        """The token of its forms."""
        return next(form.fields["csrf"] for form in self.forms if "csrf" in form.fields)


class Browser:
    """Cookies, and requests as browsers send them.

    :param url: of the provider.
    :param ca_file: what to believe its server by.
    :param origin: what it takes itself to be.
    :param headers: sent with all requests.
    """

    def __init__(
        self,
        url: str,
        ca_file: Path,
        origin: str = f"https://{DOMAIN}",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.url = url
        self.origin = origin
        self.session = requests.Session()
        # The environment may name authorities of its own, which would be asked in place of these.
        self.session.trust_env = False
        self.session.verify = str(ca_file)
        self.session.headers.update({"Accept": "text/html,*/*;q=0.8", "User-Agent": "Tester/1.0"})
        self.session.headers.update(headers or {})

    @classmethod
    def at(cls, running: RunningProvider, headers: Mapping[str, str] | None = None) -> Browser:
        """A browser that has never been there."""
        return cls(running.url, running.ca_file, headers=headers)

    @property
    def cookies(self) -> dict[str, str]:
        """Names and values."""
        return {cookie.name: cookie.value or "" for cookie in self.session.cookies}

    def put_cookie(self, name: str, value: str) -> None:
        """Have a cookie, as if it had been set."""
        host = urlsplit(self.url).hostname or ""
        self.session.cookies.set(name, value, domain=host, path="/", secure=True)

    def open(self, path: str) -> Shown:
        """Go to a page."""
        return self._follow(
            self.session.get(self._url(path), timeout=PATIENCE, allow_redirects=False)
        )

    def post(
        self,
        path: str,
        fields: Mapping[str, str] | bytes,
        headers: Mapping[str, str] | None = None,
    ) -> Shown:
        """Send a form as it is given, from a page of the provider's."""
        own = {
            "Origin": self.origin,
            "Sec-Fetch-Site": "same-origin",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        answer = self.session.post(
            self._url(path),
            data=fields,
            headers=own | dict(headers or {}),
            timeout=PATIENCE,
            allow_redirects=False,
        )
        return self._follow(answer)

    def submit(self, page: Shown, action: str, **fields: str) -> Shown:
        """Fill a form of a page in and send it."""
        form = page.form(action)
        given = form.fields | fields
        if form.method == "get":
            query = requests.Request("GET", self._url(action), params=given).prepare().path_url
            return self.open(query)
        return self.post(form.action or page.path, given)

    def sign_in(self, email: str = ALICE, password: str = PASSWORD, goal: str = "") -> Shown:
        """Sign in with a password, from the form for the address on."""
        path = "/browserid/sign-in"
        page = self.open(goal or path)
        if page.path == path and "password" not in page.form(path).fields:
            page = self.submit(page, path, email=email)
        return self.submit(page, path, password=password)

    def _url(self, path: str) -> str:
        return urljoin(self.url, path)

    def _follow(self, answer: requests.Response) -> Shown:
        for _ in range(_MAX_REDIRECTS):
            location = answer.headers.get("Location", "")
            if not location.startswith("/") or location.startswith("//"):
                break
            answer = self.session.get(self._url(location), timeout=PATIENCE, allow_redirects=False)
        return Shown(answer)
