"""The body of a request, within its limits on size and time."""

from __future__ import annotations

from typing import Final

import anyio
from starlette.requests import ClientDisconnect, Request

from browserid_sasl.idp.refusal import RefusedError

MAX_SIZE: Final = 16_384
"""Octets of a request at the most."""

_BODY_TIME_S: Final = 10


async def read_body(request: Request) -> bytes:
    """The octets of a request.

    :raises RefusedError: it is too large, too slow, or broke off.
    """
    body = bytearray()
    try:
        with anyio.fail_after(_BODY_TIME_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_SIZE:
                    raise RefusedError(
                        413, "too-large", f"the request has more than {MAX_SIZE} octets"
                    )
    except TimeoutError:
        raise RefusedError(408, "timeout", "the request took too long to arrive") from None
    except ClientDisconnect:
        raise RefusedError(400, "disconnected", "the request broke off") from None
    return bytes(body)
