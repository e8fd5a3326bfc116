"""A request to a page, with all that its handler needs, and the ways to answer it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from browserid_sasl.idp.certification import Certifier
from browserid_sasl.idp.folder import Provider
from browserid_sasl.idp.sessions import PageSession
from browserid_sasl.idp.web import cookies, forgery, paths
from browserid_sasl.idp.web.forgery import ForgeryProtection
from browserid_sasl.idp.web.forms import Form, parse_fields
from browserid_sasl.idp.web.known import KnownBrowsers
from browserid_sasl.idp.web.languages import Language, choose_language
from browserid_sasl.idp.web.rendering import UNFRAMED, Framing, render
from browserid_sasl.web.refusal import RefusedError

FRESH_MS: Final = 600_000
"""For how long after a sign-in what somebody signs in with can be changed."""

_MAX_AGENT: Final = 200


@dataclass(frozen=True, slots=True)
class House:
    """What all pages share.

    :param provider: whose pages they are.
    :param certifier: makes certificates.
    :param origin: where people find them, such as `https://example.org`.
    :param embedders: origins of old clients that embed a provider's pages.
    :param document_life: ms for which others may keep a copy of the support document.
    """

    provider: Provider
    certifier: Certifier
    origin: str
    embedders: tuple[str, ...] = ()
    document_life: int = 3_600_000

    @property
    def protection(self) -> ForgeryProtection:
        """Of its forms."""
        return ForgeryProtection(self.provider.secret, self.origin)

    @property
    def known_browsers(self) -> KnownBrowsers:
        """Those in which somebody has signed in before."""
        return KnownBrowsers(self.provider.secret)


class Visit:
    """One request to a page.

    :param house: what all pages share.
    :param request: the request.
    :param form: what was submitted with it.
    :param client: IP address it comes from.
    :param now: ms.
    """

    def __init__(self, house: House, request: Request, form: Form, client: str, now: int) -> None:
        self.house = house
        self.request = request
        self.form = form
        self.client = client
        self.now = now
        self._cookies: list[tuple[str, str, int | None]] = []

    @property
    def provider(self) -> Provider:
        """Whose page is visited."""
        return self.house.provider

    @cached_property
    def query(self) -> Mapping[str, str]:
        """The fields in the URL.

        :raises RefusedError: they are none.
        """
        return parse_fields(self.request.url.query)

    @property
    def here(self) -> str:
        """The path that is visited, with its query."""
        url = self.request.url
        return f"{url.path}?{url.query}" if url.query else url.path

    @property
    def before(self) -> str:
        """The page of ours to open again when this comes to nothing: that of the form, if any."""
        if self.request.method == "GET":
            return self.here
        came_from = self.request.headers.get("Referer", "").removeprefix(self.house.origin)
        for text in (self.here, self.form.get("next", ""), came_from):
            if path := paths.own_path(text, ""):
                return path
        return paths.ACCOUNT

    @property
    def agent(self) -> str:
        """What the browser calls itself."""
        return self.request.headers.get("User-Agent", "")[:_MAX_AGENT]

    @cached_property
    def language(self) -> Language:
        """The language in which this is answered."""
        chosen = self.request.cookies.get(cookies.LANGUAGE, "")
        return choose_language(chosen, self.request.headers.get("Accept-Language", ""))

    @property
    def token(self) -> str:
        """The session's token that the browser has brought, empty for none. Secret."""
        brought = self.request.cookies
        framed = self.house.embedders and self.request.url.path == paths.PROVISIONING
        return brought.get(cookies.SESSION) or (framed and brought.get(cookies.EMBEDDED)) or ""

    @cached_property
    def session(self) -> PageSession | None:
        """Who is signed in."""
        return self.provider.sessions.find(self.token, self.now) if self.token else None

    @cached_property
    def half_way(self) -> PageSession | None:
        """Who has signed in but for the second step."""
        sessions = self.provider.sessions
        return sessions.find_half_way(self.token, self.now) if self.token else None

    @property
    def email(self) -> str:
        """The address of whom is signed in, on pages that ask for that.

        :raises RefusedError: nobody is.
        """
        if self.session is None:
            raise RefusedError(401, "signed-out", "nobody is signed in")
        return self.session.email

    @property
    def session_id(self) -> int:
        """The session of whom is signed in, on pages that ask for that."""
        return self.session.id if self.session else 0

    @property
    def is_fresh(self) -> bool:
        """Whether somebody has signed in just now, and it is not a browser that was left open."""
        return self.session is not None and self.now < self.session.created + FRESH_MS

    @property
    def known(self) -> str:
        """What `KnownBrowsers.name` takes: the cookie."""
        return self.request.cookies.get(cookies.KNOWN, "")

    def put_cookie(self, name: str, value: str, life_s: int | None = None) -> None:
        """Set a cookie with the answer; life in s, 0 to drop it."""
        self._cookies.append((name, value, life_s))

    def record(self, error: RefusedError, email: str) -> None:
        """Write down that somebody was refused something.

        :param email: whose account it was about, empty if that is not known.
        """
        self.provider.refusals.record(error, self.client, self.now, email)

    def page(
        self,
        template: str,
        status: int = 200,
        *,
        framing: Framing = UNFRAMED,
        bare: bool = False,
        **context: Any,
    ) -> Response:
        """Answer with a page.

        :param bare: without what depends on the browser's session, and so without forms.
        :param context: what the template refers to, besides what `_common` gives all of them.
            With `seconds`, the answer says that it can be tried again after so many.
        """
        framing = replace(framing, opener=bool(self.house.embedders))
        common = self._common("", None) if bare else self._common(self._form_token, self.session)
        response = render(template, self.language, status, framing, common | context)
        if context.get("seconds"):
            response.headers["Retry-After"] = str(context["seconds"])
        return self.finish(response)

    def redirect(self, to: str) -> Response:
        """Answer with another address, which is to be fetched with GET."""
        return self.finish(RedirectResponse(to, 303, {"Cache-Control": "no-store"}))

    def json(self, content: object) -> Response:
        """Answer a script of ours."""
        return self.finish(JSONResponse(content, headers={"Cache-Control": "no-store"}))

    def finish(self, response: Response) -> Response:
        """Add the cookies to an answer."""
        for name, value, life_s in self._cookies:
            cookies.put(response, name, value, life_s)
        return response

    def check_forgery(self) -> None:
        """See that the form comes from a page of ours.

        :raises RefusedError: it does not.
        """
        token = self.form.get(forgery.FIELD, "")
        self.house.protection.check(self.request, self.binding, token)

    @property
    def binding(self) -> str:
        """What the tokens of forms are bound to; empty if there is nothing."""
        if self.session is not None or self.half_way is not None:
            return self.token
        visitor = self.request.cookies.get(cookies.VISITOR, "")
        return visitor if self.house.protection.is_visitor(visitor) else ""

    @cached_property
    def _form_token(self) -> str:
        binding = self.binding
        if not binding:
            binding = self.house.protection.new_visitor()
            self.put_cookie(cookies.VISITOR, binding)
        return self.house.protection.token(binding)

    def _common(self, form_token: str, session: PageSession | None) -> dict[str, Any]:
        return {
            "csrf": form_token,
            "domain": self.provider.domain,
            "fallback": self.provider.fallback is not None,
            "here": self.here,
            "lang": self.language.code,
            "look": self.provider.look,
            "session": session,
        }


Handler = Callable[[Visit], Response]


@dataclass(frozen=True, slots=True)
class Page:
    """A page, or something else for browsers, at a path.

    :param path: where it is.
    :param show: answers GET; None if that is not possible.
    :param submit: answers POST, whose token has been checked.
    :param signed_in: whether it is for people who are signed in: others have to sign in first.
    :param fresh: whether it is for people who have signed in just now: others have to do it again.
    :param slow: whether `submit` hashes a password or does something else that takes long.
    :param asking: whether `show` asks another server, which may take long.
    :param again: where to go on when somebody had to sign in first, if that is another address than
        the one that was visited.
    """

    path: str
    show: Handler | None = None
    submit: Handler | None = None
    signed_in: bool = field(default=False, kw_only=True)
    fresh: bool = field(default=False, kw_only=True)
    slow: bool = field(default=False, kw_only=True)
    asking: bool = field(default=False, kw_only=True)
    again: Callable[[Visit], str] | None = field(default=None, kw_only=True)

    @property
    def methods(self) -> list[str]:
        """The HTTP methods it has."""
        return ["GET"] * (self.show is not None) + ["POST"] * (self.submit is not None)

    def answer(self, visit: Visit) -> Response:
        """Answer a request.

        :raises RefusedError: it is refused.
        """
        if (self.signed_in or self.fresh) and visit.session is None:
            return self.ask_to_sign_in(visit, visit.query.get("email", ""))
        if self.fresh and not visit.is_fresh:
            again = {"email": visit.email, "again": "1", "next": self.back(visit)}
            return visit.redirect(paths.with_query(paths.SIGN_IN, **again))
        if visit.request.method == "POST":
            visit.check_forgery()
        return self.handle(visit)

    def ask_to_sign_in(self, visit: Visit, email: str = "") -> Response:
        """Have somebody sign in first, and go on here then.

        :param email: who is to, empty if that is not known.
        """
        return visit.redirect(paths.with_query(paths.SIGN_IN, email=email, next=self.back(visit)))

    def handle(self, visit: Visit) -> Response:
        """Answer a request of somebody who may make it.

        :raises RefusedError: it is refused.
        """
        handler = self.submit if visit.request.method == "POST" else self.show
        if handler is None:
            raise RefusedError(405, "method-not-allowed", "Method Not Allowed.")
        return handler(visit)

    def back(self, visit: Visit) -> str:
        """Where to go on after a sign-in, or when something has gone wrong."""
        return self.again(visit) if self.again else visit.before
