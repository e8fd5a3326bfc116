"""The verifier as a web application (ASGI, with Starlette).

`POST /verify`, or `POST /`, takes `assertion` and `audience`, as a form or as a JSON object. The
answer is a JSON object: `{"status": "okay", "email", "audience", "expires", "issuer"}`, with the
time in ms, or `{"status": "failure", "reason"}`.

| status | why |
| --- | --- |
| 200 | the assertion was looked at: it is good, or not |
| 400 | `assertion` or `audience` is missing, or the audience is none |
| 408, 413, 415 | the request came too slowly, is too large, or is neither a form nor JSON |
| 404, 405 | nothing is there, or it is asked in another way |
| 503 | it cannot be said now: too many documents are being fetched, or a store is out of order |
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, cast
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from browserid_sasl.errors import (
    BrowserIDError,
    Code,
    ConfigurationError,
    LocalProtocolError,
    RemoteProtocolError,
    StoreError,
)
from browserid_sasl.identity.backed import MAX_LENGTH
from browserid_sasl.identity.origins import WebOrigin
from browserid_sasl.jose import json as strict_json
from browserid_sasl.verifier.verification import Verification
from browserid_sasl.web.bodies import plain_type, read_body
from browserid_sasl.web.refusal import RefusedError

MAX_SIZE: Final = MAX_LENGTH + 16_384
"""Octets of a request's body: the longest assertion, and what is around it."""

_MAX_AUDIENCE: Final = 1024
_MAX_FIELDS: Final = 16
_WHAT: Final = "the request"
_FORM: Final = "application/x-www-form-urlencoded"
_JSON: Final = "application/json"

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}

_logger = logging.getLogger(__name__)


def create_app(verification: Verification) -> ASGIApp:
    """The application of a verifier."""

    async def verify(request: Request) -> Response:
        assertion, audience = _read(_type_of(request), await read_body(request, MAX_SIZE))
        try:
            verified = await verification.verify(assertion, _site(audience))
        except BrowserIDError as error:
            return _judged(error)
        return _answer(
            200,
            {
                "status": "okay",
                "email": verified.email,
                "audience": verified.audience,
                "expires": verified.expires,
                "issuer": verified.issuer,
            },
        )

    application = Starlette(
        routes=[Route(path, verify, methods=["POST"]) for path in ("/", "/verify")],
        exception_handlers={
            RefusedError: _answer_refusal,
            HTTPException: _answer_http_error,
            Exception: _answer_unexpected,
        },
    )
    application.router.redirect_slashes = False
    return application


def _site(audience: str) -> str:
    """An audience with the scheme that one without it has. A service's has a slash."""
    with suppress(RemoteProtocolError):
        return audience if "/" in audience else str(WebOrigin.of_site(audience))
    return audience


def _type_of(request: Request) -> str:
    media_type = plain_type(request)
    if media_type not in (_FORM, _JSON):
        raise RefusedError(415, "unsupported-media-type", f"send {_FORM} or {_JSON}, uncompressed")
    return media_type


def _read(media_type: str, body: bytes) -> tuple[str, str]:
    """Assertion and audience.

    :raises RefusedError: they are not there, or not there once.
    """
    try:
        members = _from_form(body) if media_type == _FORM else _from_json(body)
        return (
            strict_json.string(members, "assertion", _WHAT, max_length=MAX_LENGTH),
            strict_json.string(members, "audience", _WHAT, max_length=_MAX_AUDIENCE),
        )
    except BrowserIDError as error:
        raise RefusedError(400, "bad-request", f"need assertion and audience: {error}") from None


def _from_json(body: bytes) -> Mapping[str, Any]:
    return strict_json.parse_object(body, _WHAT, MAX_SIZE)


def _from_form(body: bytes) -> Mapping[str, Any]:
    try:
        fields = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            max_num_fields=_MAX_FIELDS,
            errors="strict",
        )
    except ValueError:
        raise RefusedError(400, "bad-request", "the form cannot be read") from None
    members = dict(fields)
    if len(members) != len(fields):
        # Which of them somebody before this server has looked at, nobody knows.
        raise RefusedError(400, "bad-request", "a field is there twice")
    return members


def _judged(error: BrowserIDError) -> Response:
    if isinstance(error, StoreError | ConfigurationError):
        _logger.error("%s", error)
        return _failure(503, "the verifier is out of order; its administrator sees why in its log")
    if error.code is Code.UNAVAILABLE:
        return _failure(503, str(error), {"Retry-After": "1"})
    # What is wrong with the caller's own audience has nothing to do with the assertion.
    return _failure(400 if isinstance(error, LocalProtocolError) else 200, str(error))


async def _answer_refusal(_request: Request, error: Exception) -> Response:
    error = cast(RefusedError, error)
    return _failure(error.status, error.message)


async def _answer_http_error(_request: Request, error: Exception) -> Response:
    error = cast(HTTPException, error)
    return _failure(error.status_code, f"{error.detail}.", dict(error.headers or {}))


async def _answer_unexpected(_request: Request, _error: Exception) -> Response:
    return _failure(500, "the verifier is out of order; its administrator sees why in its log")


def _failure(status: int, reason: str, headers: Mapping[str, str] | None = None) -> Response:
    return _answer(status, {"status": "failure", "reason": reason}, headers)


def _answer(
    status: int, content: Mapping[str, object], headers: Mapping[str, str] | None = None
) -> Response:
    return JSONResponse(content, status, {**_HEADERS, **(headers or {})})
