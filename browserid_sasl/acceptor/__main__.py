"""``python -m browserid_sasl.acceptor``: the command `browserid-acceptor`."""

import sys

from browserid_sasl.acceptor.cli import main

sys.exit(main())
