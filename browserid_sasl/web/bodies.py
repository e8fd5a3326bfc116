"""The body of a request: of which type it is, and its octets, within limits on size and time."""

from __future__ import annotations

from typing import Final

import anyio
from starlette.requests import ClientDisconnect, Request

from browserid_sasl.web.refusal import RefusedError

MAX_SIZE: Final = 16_384
"""Octets of a request at the most, where nothing else is said."""

_BODY_TIME_S: Final = 10


def plain_type(request: Request) -> str:
    """The media type of a request's body, empty if it is not sent as it is."""
    if "Content-Encoding" in request.headers:
        return ""
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


async def read_body(request: Request, max_size: int = MAX_SIZE) -> bytes:
    """The octets of a request.

    :param max_size: how many there may be.
    :raises RefusedError: it is too large, too slow, or broke off.
    """
    body = bytearray()
    try:
        with anyio.fail_after(_BODY_TIME_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_size:
                    raise RefusedError(
                        413, "too-large", f"the request has more than {max_size} octets"
                    )
    except TimeoutError:
        raise RefusedError(408, "timeout", "the request took too long to arrive") from None
    except ClientDisconnect:
        raise RefusedError(400, "disconnected", "the request broke off") from None
    return bytes(body)
