"""What a form sends, read within limits (`application/x-www-form-urlencoded`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

from browserid_sasl.web.bodies import plain_type, read_body
from browserid_sasl.web.refusal import RefusedError

_MAX_FIELDS: Final = 32
_TYPE: Final = "application/x-www-form-urlencoded"

Form = Mapping[str, str]
"""Names of fields and their values. A field that was not sent is not in it."""


async def read_form(request: Request) -> Form:
    """The fields of a form.

    :raises RefusedError: the request is none, is too large or too slow.
    """
    if plain_type(request) != _TYPE:
        raise RefusedError(415, "unsupported-media-type", f"a form has to be sent as {_TYPE}")
    return parse_fields((await read_body(request)).decode("ascii", "replace"))


def parse_fields(text: str) -> Form:
    """The fields in a form's text or in a URL's query.

    :raises RefusedError: it is not UTF-8, has too many fields, or one of them twice.
    """
    try:
        fields = parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS
        )
    except ValueError:
        raise RefusedError(400, "invalid-form", "what was sent is not a form's fields") from None
    form = dict(fields)
    # Whoever reads the first and whoever reads the last would read different things.
    if len(form) != len(fields):
        raise RefusedError(400, "invalid-form", "a field was sent twice")
    return form
