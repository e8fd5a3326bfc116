"""The page to which programs send people's browsers (PROTOCOL.md section 8).

A program's request stays in the query, which each step parses anew: nothing is kept for a stranger.
Without a request there is only an address to sign in with, as BrowserID's dialog writes it.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from browserid_sasl.identity.addresses import in_lower_case
from browserid_sasl.idp.authorization_request import AuthorizationRequest
from browserid_sasl.idp.web import paths
from browserid_sasl.idp.web.embedding import show_authenticated, way_back
from browserid_sasl.idp.web.keeping import keeping
from browserid_sasl.idp.web.rendering import Framing
from browserid_sasl.idp.web.visit import Page, Visit

_RENEWAL: Final = "renewal"


def _enter(visit: Visit) -> Response:
    """Lead people to where the pages are: programs know where they have found the provider only.

    By the address that is configured and not by the one that was asked for, which a web server
    before this one may have changed. The path is another one, so that it never leads to itself.
    """
    house = visit.house
    if house.origin == f"https://{house.provider.authority}":
        return _show(visit)
    query = visit.request.url.query
    return visit.redirect(f"{house.origin}{paths.CONSENT}" + (f"?{query}" if query else ""))


def _show(visit: Visit) -> Response:
    if _is_bare(visit):
        return _show_bare(visit)
    request = _request(visit)
    if visit.session is None:
        here = _here(visit, request)
        return visit.redirect(paths.with_query(paths.SIGN_IN, email=request.email, next=here))
    if visit.session.email != request.email:
        return _show_other(visit, request)
    if visit.provider.second_steps.is_missing(request.email):
        here = _here(visit, request)
        return visit.redirect(paths.with_query(paths.NEW_PASSKEY, next=here))
    return _ask(visit, request)


def _consent(visit: Visit) -> Response:
    request = _request(visit)
    # The one that is signed in now, which another tab may have changed since the question.
    if visit.email != request.email:
        return _show_other(visit, request)
    renewal = _RENEWAL in visit.form
    wish = request.wish(visit.client)
    code = visit.provider.codes.grant(wish, request.code_challenge, renewal, visit.now)
    return visit.redirect(request.granted(code))


def _cancel(visit: Visit) -> Response:
    if _is_bare(visit) and visit.house.embedders:
        return visit.redirect(way_back(visit, "AUTH_RETURN_CANCEL"))
    return visit.redirect(_request(visit).refused())


def _is_bare(visit: Visit) -> bool:
    """Whether there is no request of a program, but an address at the most."""
    return not {"public-key", "redirect_uri", "state", "code_challenge"} & set(visit.query)


def _show_bare(visit: Visit) -> Response:
    email = visit.query.get("email", "")
    if not visit.house.embedders:
        return visit.redirect(paths.with_query(paths.SIGN_IN, email=email))
    if visit.session is not None and in_lower_case(email) in ("", visit.session.email):
        return show_authenticated(visit)
    here = paths.with_query(visit.request.url.path, email=email)
    return visit.redirect(paths.with_query(paths.SIGN_IN, email=email, next=here))


def _request(visit: Visit) -> AuthorizationRequest:
    return AuthorizationRequest.parse(visit.request.url.query, visit.provider.accounts)


def _here(visit: Visit, request: AuthorizationRequest) -> str:
    return f"{visit.request.url.path}?{request.query}"


def _show_other(visit: Visit, request: AuthorizationRequest) -> Response:
    return visit.page(
        "other-identity.html",
        409,
        asked=request.email,
        signed_in=visit.email,
        goal=_here(visit, request),
        cancel=f"{paths.CANCEL}?{request.query}",
    )


def _ask(visit: Visit, request: AuthorizationRequest) -> Response:
    return visit.page(
        "consent.html",
        framing=Framing(targets=(_target(request.redirect_uri),)),
        wish=request.wish(visit.client),
        certificate_ends=visit.now + visit.house.certifier.life,
        keeping=keeping(visit),
        action=_here(visit, request),
        cancel=f"{paths.CANCEL}?{request.query}",
    )


def _target(redirect_uri: str) -> str:
    """Where the form's answer may redirect to, as a source of CSP.

    That policy has no form for an IPv6 address (CSP Level 3, section 2.3.1), so for one it can only
    say that it is not by TLS.
    """
    origin = "/".join(redirect_uri.split("/", 3)[:3])
    return "http:" if "[" in origin else origin


PAGES: Final = (
    Page(paths.AUTHENTICATION, _enter),
    Page(paths.AUTHENTICATION, submit=_consent, signed_in=True),
    Page(paths.CONSENT, _show),
    Page(paths.CONSENT, submit=_consent, signed_in=True),
    Page(paths.CANCEL, _cancel),
)
