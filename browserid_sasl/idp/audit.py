"""The audit log: who signed in, who failed to, what was certified, which accounts changed.

One JSON object on a line, with `time` (UTC), `event`, and what the event is about. Passwords and
private keys are never in it. The file is opened for each line: after a log rotation the next line
goes to the new file. A line is there whole or not at all, on a full disk too, and begins where
another has ended: writers wait for each other, and take back what they cannot complete.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from io import FileIO
from pathlib import Path

from browserid_sasl.errors import Code, StoreError
from browserid_sasl.jose import json as strict_json
from browserid_sasl.private_files import PRIVATE_FILE


class Event(Enum):
    """What happened, by the word the log has for it."""

    PROVIDER_CREATED = "provider-created"
    BACKED_UP = "backed-up"
    RESTORED = "restored"
    KEY_CREATED = "key-created"
    RESEALED = "resealed"
    SIGNED_IN = "signed-in"
    SIGN_IN_FAILED = "sign-in-failed"
    REFUSED = "refused"
    CERTIFIED = "certified"
    CONSENTED = "consented"
    CODE_USED_TWICE = "code-used-twice"
    DEVICE_CODE_WRONG = "device-code-wrong"
    DEVICE_DENIED = "device-denied"
    REVOKED = "revoked"
    ACCOUNT_ADDED = "account-added"
    ACCOUNT_REMOVED = "account-removed"
    PASSWORD_CHANGED = "password-changed"  # noqa: S105 - an event's name
    PASSWORD_REMOVED = "password-removed"  # noqa: S105
    PASSKEY_ADDED = "passkey-added"
    PASSKEY_RENAMED = "passkey-renamed"
    PASSKEY_REMOVED = "passkey-removed"
    PASSKEY_CHANGED = "passkey-changed"
    PASSKEY_CLONED = "passkey-cloned"
    RP_ID_CONFIRMED = "rp-id-confirmed"
    SECOND_FACTOR_ADDED = "second-factor-added"
    SECOND_FACTOR_REMOVED = "second-factor-removed"
    RECOVERY_CODES_MADE = "recovery-codes-made"
    RECOVERY_CODE_USED = "recovery-code-used"
    INVITED = "invited"
    INVITATION_ACCEPTED = "invitation-accepted"


class AuditLog:
    """Appends to the log. Safe for threads and processes.

    :param path: of the file, which is made readable for its owner only if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.listener: Callable[[Event], object] = _nobody
        """Told of each event whose line was written."""

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
        try:
            with open(self._path, "r+b", buffering=0, opener=_open_or_make) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                _append(file, line)
        except OSError as error:
            raise self._failed(error.strerror) from None
        self.listener(event)

    def _failed(self, why: str | None) -> StoreError:
        return StoreError(
            Code.CACHE_ERROR,
            f"the audit log {self._path} cannot be written ({why})",
            "nothing is certified that cannot be recorded",
        )


def _nobody(_event: Event) -> None:
    pass


def _open_or_make(path: str, _flags: int) -> int:
    # Not through a link: somebody else's file is not added to.
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(path, flags, PRIVATE_FILE)


def _append(file: FileIO, line: bytes) -> None:
    end = file.seek(0, os.SEEK_END)
    # The start of a line whose writer was killed is nobody's line, and does not become part of one.
    if end and os.pread(file.fileno(), 1, end - 1) != b"\n":
        line = b"\n" + line
    try:
        written = file.write(line)
        if written != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        file.truncate(end)
        raise
