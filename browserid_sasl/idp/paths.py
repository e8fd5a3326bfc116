"""Where a provider answers programs. Where its pages are is in `web.paths`."""

from __future__ import annotations

from typing import Final

WELL_KNOWN: Final = "/.well-known/browserid"
CERTIFY: Final = "/certify"
DEVICE_AUTHORIZATION: Final = "/device-authorization"
REVOCATIONS: Final = "/revocations"
