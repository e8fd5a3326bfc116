#!/usr/bin/env python3
"""Say who has made an assertion: bidverify ASSERTION https://example.org"""

import sys
from datetime import UTC, datetime

from browserid_sasl import AssertionVerifier, BrowserIDError


def main() -> int:
    """Verify the assertion; the exit status."""
    if len(sys.argv) != 3:
        print("usage: bidverify ASSERTION AUDIENCE", file=sys.stderr)
        return 64
    try:
        verified = AssertionVerifier().verify(*sys.argv[1:])
    except BrowserIDError as error:
        print(f"bidverify: {error}", file=sys.stderr)
        return 1
    expires = datetime.fromtimestamp(verified.expires / 1000, UTC)
    print(f"{verified.email}, says {verified.issuer}, until {expires:%Y-%m-%d %H:%M:%S} UTC")
    return 0


if __name__ == "__main__":
    sys.exit(main())
