#!/usr/bin/env python3
"""The sample client, from a checkout; ``--help`` lists its options."""

import sys
from pathlib import Path

# With PYTHONSAFEPATH set, Python leaves out the folder that a program is in.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from tools import checkout

if __name__ == "__main__":
    sys.exit(checkout.run(__file__, "browserid_sasl.cli.sample.client"))
