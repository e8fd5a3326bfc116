"""The audit log: who signed in, who failed to, what was certified, which accounts changed.

One JSON object on a line, with `time` (UTC), `event`, and what the event is about. Passwords and
private keys are never in it. The file is opened for each line: after a log rotation the next line
goes to the new file. Lines of several processes do not mix, each is one write at the file's end.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

from browserid_sasl.errors import Code, StoreError
from browserid_sasl.jose import json as strict_json
from browserid_sasl.private_files import PRIVATE_FILE


class Event(Enum):
    """What happened, by the word the log has for it."""

    PROVIDER_CREATED = "provider-created"
    KEY_CREATED = "key-created"
    SIGNED_IN = "signed-in"
    SIGN_IN_FAILED = "sign-in-failed"
    CERTIFIED = "certified"
    ACCOUNT_ADDED = "account-added"
    ACCOUNT_REMOVED = "account-removed"
    PASSWORD_CHANGED = "password-changed"  # noqa: S105 - an event's name


class AuditLog:
    """Appends to the log. Safe for threads and processes.

    :param path: of the file, which is made readable for its owner only if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, event: Event, now: int, **details: str | int) -> None:
        """Append a line.

        :param now: ms.
        :param details: what the event is about.
        :raises StoreError: cache-error: the line was not written. What it was to record must
            not take place then.
        """
        moment = datetime.fromtimestamp(now / 1000, UTC)
        time = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = strict_json.dumps({"time": time, "event": event.value} | details) + b"\n"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            descriptor = os.open(self._path, flags, PRIVATE_FILE)
            try:
                written = os.write(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._failed(error.strerror) from None
        if written != len(line):
            raise self._failed("the disk is full")

    def _failed(self, why: str | None) -> StoreError:
        return StoreError(
            Code.CACHE_ERROR,
            f"the audit log {self._path} can not be written ({why})",
            "nothing is certified that can not be recorded",
        )
