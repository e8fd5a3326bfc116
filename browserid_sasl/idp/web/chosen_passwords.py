"""Passwords that somebody chooses, as the forms for them send them: twice."""

from __future__ import annotations

from typing import Final

from browserid_sasl.errors import LocalProtocolError
from browserid_sasl.idp.accounts import check_password
from browserid_sasl.idp.web.forms import Form
from browserid_sasl.idp.web.languages import N_

MIN_LENGTH: Final = 8
"""Characters of a password that is chosen on a page, at the least."""


def what_is_wrong(form: Form) -> str:
    """A message about the fields `password` and `again`, empty if they are right."""
    password = form.get("password", "")
    if len(password) < MIN_LENGTH:
        return N_("The password is too short.")
    try:
        check_password(password)
    except LocalProtocolError:
        return N_("The password is too long.")
    if password != form.get("again", ""):
        return N_("The two are not the same.")
    return ""
