"""The account of whom is signed in."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from browserid_sasl.idp.web import paths
from browserid_sasl.idp.web.visit import Page, Visit


def _show(visit: Visit) -> Response:
    return visit.page("account.html", email=visit.email)


PAGES: Final = (Page(paths.ACCOUNT, _show, signed_in=True),)
