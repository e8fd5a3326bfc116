#!/usr/bin/env python3
"""Print an assertion for an audience: bidget https://example.org"""

import sys

from browserid_sasl import BrowserIDError, get_assertion


def main() -> int:
    """Make the assertion; the exit status."""
    if len(sys.argv) != 2:
        print("usage: bidget AUDIENCE", file=sys.stderr)
        return 64
    try:
        print(get_assertion(sys.argv[1]))
    except BrowserIDError as error:
        print(f"bidget: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
