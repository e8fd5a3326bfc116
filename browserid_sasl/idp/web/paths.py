"""Where the pages are. All but the two that a support document names are under one path."""

from __future__ import annotations

from typing import Final
from urllib.parse import SplitResult, urlencode, urlsplit

PREFIX: Final = "/browserid"

AUTHENTICATION: Final = "/authentication"
PROVISIONING: Final = "/provisioning"
BY_REQUEST: Final = f"{PREFIX}/known/{{name}}"
"""Where somebody signs in whom a backend knows by the request itself."""

HOME: Final = PREFIX
ACCOUNT: Final = f"{PREFIX}/account"
ACCOUNT_PASSKEY: Final = f"{ACCOUNT}/passkey"
ADMIN: Final = f"{PREFIX}/admin"
ADMIN_PERSON: Final = f"{ADMIN}/person"
ADMIN_INVITATIONS: Final = f"{ADMIN}/invitations"
ADMIN_LOG: Final = f"{ADMIN}/log"
ADMIN_BACKENDS: Final = f"{ADMIN}/backends"
ADMIN_KEYS: Final = f"{ADMIN}/keys"
CANCEL: Final = f"{PREFIX}/cancel"
CONSENT: Final = f"{PREFIX}/authentication"
"""What `AUTHENTICATION` leads to where people find the pages at another host than programs do."""

DEVICE: Final = f"{PREFIX}/device"
DEVICE_CANCELLED: Final = f"{DEVICE}/cancelled"
INVITATION: Final = f"{PREFIX}/invitation"
INVITATION_OPTIONS: Final = f"{INVITATION}/options"
LANGUAGE: Final = f"{PREFIX}/language"
MAIL: Final = f"{PREFIX}/mail"
MAIL_LINK: Final = f"{MAIL}/link"
NEW_PASSKEY: Final = f"{ACCOUNT}/new-passkey"
NEW_PASSKEY_OPTIONS: Final = f"{NEW_PASSKEY}/options"
OTHER_BROWSERS: Final = f"{ACCOUNT}/other-browsers"
PASSKEY: Final = f"{PREFIX}/passkey"
PASSKEY_OPTIONS: Final = f"{PREFIX}/passkey/options"
PASSWORD: Final = f"{ACCOUNT}/password"
QUESTIONS: Final = f"{PREFIX}/questions"
RECOVERY_CODES: Final = f"{ACCOUNT}/recovery-codes"
SECOND_FACTOR: Final = f"{ACCOUNT}/second-factor"
REVOKE_MACHINE: Final = f"{PREFIX}/machines/revoke"
SIGN_OUT_EVERYWHERE: Final = f"{PREFIX}/machines/sign-out-everywhere"
SECOND_STEP: Final = f"{PREFIX}/second-step"
SIGN_IN: Final = f"{PREFIX}/sign-in"
SIGN_OUT: Final = f"{PREFIX}/sign-out"
STATIC: Final = f"{PREFIX}/static"
LOGO: Final = f"{PREFIX}/logo.png"
UPSTREAM: Final = f"{PREFIX}/upstream/{{name}}"
"""Where a sign-in at another provider begins; it comes back to a page of its own for each."""

UPSTREAM_BACK: Final = f"{UPSTREAM}/back"

_OWN: Final = frozenset(
    {
        *(
            AUTHENTICATION,
            ACCOUNT,
            CONSENT,
            DEVICE,
            DEVICE_CANCELLED,
            HOME,
            INVITATION,
            PROVISIONING,
        ),
        *(MAIL, MAIL_LINK, QUESTIONS, SECOND_STEP, SIGN_IN, SIGN_OUT),
        *(ADMIN, ADMIN_PERSON, ADMIN_INVITATIONS, ADMIN_LOG, ADMIN_BACKENDS, ADMIN_KEYS),
        *(ACCOUNT_PASSKEY, NEW_PASSKEY, PASSWORD, RECOVERY_CODES, SECOND_FACTOR),
    }
)
_MAX_LENGTH: Final = 8192


def with_query(path: str, **fields: str) -> str:
    """A path with a query. Fields that are empty are left out."""
    query = urlencode({name: value for name, value in fields.items() if value})
    return f"{path}?{query}" if query else path


def own_path(text: str, default: str) -> str:
    """Where to go on to, as a link or a form says: a page of ours, or else `default`.

    Browsers take `//host` and a lot more for another site, so what is allowed is what
    is known, and is put together anew.
    """
    try:
        parts = urlsplit(text)
    except ValueError:
        return default
    if len(text) > _MAX_LENGTH or parts.scheme or parts.netloc or not _is_ours(parts):
        return default
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _is_ours(parts: SplitResult) -> bool:
    return parts.path in _OWN
