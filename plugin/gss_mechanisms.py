"""Write the file by which MIT Kerberos's mechanism glue finds the module, for /etc/gss/mech.d."""

from __future__ import annotations

import sys

from browserid_sasl.gss.mechanisms import MECHANISMS


def main() -> None:
    """Print a line for each mechanism; the argument is the path of the module.

    It is absolute, or begins in the folder gss/ beside the library.
    """
    for row in MECHANISMS:
        oid = ".".join(map(str, row.oid))
        print(f"{row.name.lower()} {oid} {sys.argv[1]}")


if __name__ == "__main__":
    main()
