#!/usr/bin/env python3
"""The sample server, from a checkout; ``--help`` lists its options."""

import sys

from browserid_sasl.cli.sample.server import main

if __name__ == "__main__":
    sys.exit(main())
