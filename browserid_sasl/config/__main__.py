"""Print the reference page of the configuration."""

import sys

from browserid_sasl.config.reference import reference_page

sys.stdout.write(reference_page())
