"""The two pages that a support document names (PROTOCOL.md section 2)."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from browserid_sasl.idp.web import paths
from browserid_sasl.idp.web.visit import Page, Visit


def _authenticate(visit: Visit) -> Response:
    return visit.redirect(paths.with_query(paths.SIGN_IN, email=visit.query.get("email", "")))


def _provision(visit: Visit) -> Response:
    return visit.page("provisioning.html")


PAGES: Final = (
    Page(paths.AUTHENTICATION, _authenticate),
    Page(paths.PROVISIONING, _provision),
)
