#!/usr/bin/env python3
"""The sample client, from a checkout; ``--help`` lists its options."""

import sys

from browserid_sasl.cli.sample.client import main

if __name__ == "__main__":
    sys.exit(main())
