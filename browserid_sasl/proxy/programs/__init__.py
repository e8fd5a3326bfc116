"""What mail programs are told, each in the format of its own: where, who, and no password if it can
ask `browserid mail password` for it.
"""

from __future__ import annotations

from browserid_sasl.proxy.programs.formats import FORMATS
from browserid_sasl.proxy.programs.settings import LOOPBACK, Settings
from browserid_sasl.proxy.programs.thunderbird import Profile

__all__ = ["FORMATS", "LOOPBACK", "Profile", "Settings"]
