"""Mails that come back: what a delivery status notification (RFC 3464) says."""

from __future__ import annotations

import email
import email.policy
from email.message import Message
from typing import Final

from browserid_sasl.errors import Code, LocalProtocolError

MAX_SIZE: Final = 1 << 20
"""Octets of a notification that are read."""

_MOST_PARTS: Final = 20


def token_of(recipient: str) -> str:
    """What stands behind the first plus of the address that a mail has come back to.

    :raises LocalProtocolError: invalid-parameter: there is nothing.
    """
    token = recipient.rpartition("@")[0].partition("+")[2]
    if not token:
        raise LocalProtocolError(
            Code.INVALID_PARAMETER,
            f"{recipient[:254]!r} is not the address of a mail that has come back",
            "give the address that it was delivered to, such as bounces+TOKEN@example.org",
        )
    return token


def is_failure(octets: bytes) -> bool:
    """Whether a message says that a mail could not be delivered, for good.

    What says that it is late, or has arrived, is none, nor is what a person or a program answers.
    """
    # The default policy's parser of headers is another one, and slower on hostile ones.
    message = email.message_from_bytes(octets[:MAX_SIZE], policy=email.policy.compat32)
    if message.get_content_type() != "multipart/report":
        return False
    parts = [part for _, part in zip(range(_MOST_PARTS), message.walk(), strict=False)]
    reports = (part for part in parts if part.get_content_type() == "message/delivery-status")
    return any(_failed(fields) for report in reports for fields in _fields(report))


def _fields(report: Message) -> list[Message]:
    payload: object = report.get_payload()
    parts = payload if isinstance(payload, list) else []
    return [part for part in parts if isinstance(part, Message)]


def _failed(fields: Message) -> bool:
    action = str(fields.get("Action", "")).strip().lower()
    return action == "failed" and str(fields.get("Status", "")).strip().startswith("5.")
