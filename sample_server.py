#!/usr/bin/env python3
"""The sample server, from a checkout; ``--help`` lists its options."""

import sys

from tools import checkout

if __name__ == "__main__":
    sys.exit(checkout.run(__file__, "browserid_sasl.cli.sample.server"))
