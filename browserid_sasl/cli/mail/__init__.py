"""The commands `browserid mail`: mail programs that know passwords, and accounts for them."""

from __future__ import annotations

from browserid_sasl.cli.mail.adding import add
from browserid_sasl.cli.mail.group import mail
from browserid_sasl.cli.mail.managing import list_accounts, password, remove, settings, test
from browserid_sasl.cli.mail.piping import pipe

for _command in (add, list_accounts, password, pipe, remove, settings, test):
    mail.add_command(_command)

__all__ = ["mail"]
