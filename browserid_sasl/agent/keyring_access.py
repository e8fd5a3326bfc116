"""One request to the desktop's keyring, in a process that can be given up.

`agent.keyring` runs it: the verb and the name are its arguments, a secret comes and goes by
standard input and output, and it ends with 0 if the keyring did what it was asked to.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from browserid_sasl.agent.keyring import SERVICE


def main(arguments: Sequence[str]) -> int:
    """Ask the keyring; the exit status."""
    import keyring  # noqa: PLC0415 - the extra

    verb, name = arguments
    if verb == "put":
        secret = sys.stdin.read()
        keyring.set_password(SERVICE, name, secret)
        # One that keeps nothing has no errors either.
        return 0 if keyring.get_password(SERVICE, name) == secret else 1
    if verb == "delete":
        keyring.delete_password(SERVICE, name)
        return 0
    secret_there = keyring.get_password(SERVICE, name)
    if secret_there is None:
        return 1
    sys.stdout.write(secret_there)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
