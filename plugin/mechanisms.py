"""Write the package's table of mechanisms as C, so that a new row needs no change of the plugin."""

from __future__ import annotations

from browserid_sasl.gss.mechanisms import MECHANISMS


def main() -> None:
    """Print mechanisms.h."""
    print("/* Written by mechanisms.py from browserid_sasl/gss/mechanisms.py. */")
    print("static const struct {")
    print("    const char *name;")
    print("    bool key_exchange;")
    print("} mechanisms[] = {")
    for row in MECHANISMS:
        print(f'    {{"{row.name}", {"false" if row.curve is None else "true"}}},')
    print("};")


if __name__ == "__main__":
    main()
