"""What is left for clients that embed a provider's pages, as BrowserID's own dialog did.

Such a dialog frames the page `provisioning` and gets a certificate from it if its person is signed
in here, or else sends them to `authentication` and expects them back. Both only for the origins
that the operator has named, by default none: nothing of the provider can be framed then.
"""

from __future__ import annotations

import json
from typing import Final

from starlette.responses import Response

from browserid_sasl.errors import BrowserIDError
from browserid_sasl.idp.web import paths
from browserid_sasl.idp.web.rendering import UNFRAMED, Framing
from browserid_sasl.idp.web.visit import Page, Visit
from browserid_sasl.idp.wishes import Granted, Wish, key_from_text
from browserid_sasl.web.refusal import RefusedError


def show_authenticated(visit: Visit) -> Response:
    """Send somebody back to the dialog who is signed in now."""
    return _scripted(visit, "authenticated.html", UNFRAMED)


def way_back(visit: Visit, what: str) -> str:
    """Where the dialog expects people."""
    return f"{visit.house.embedders[0]}/sign_in?{what}"


def _show(visit: Visit) -> Response:
    embedders = visit.house.embedders
    if not embedders:
        return visit.page("provisioning.html")
    return _scripted(visit, "embedded.html", Framing(ancestors=embedders))


def _certify(visit: Visit) -> Response:
    try:
        email = visit.provider.accounts.address(visit.form.get("email", ""))
        key = key_from_text(visit.form.get("public-key", ""))
    except RefusedError:
        raise
    except BrowserIDError as error:
        raise RefusedError(400, error.code.text, str(error), error.code) from None
    if email != visit.email:
        raise RefusedError(403, "other-account", f"{visit.email} is signed in, and not {email}")
    granted = Granted(Wish(email, key, "", visit.client), renewal=False)
    certifier = visit.house.certifier
    return visit.json(certifier.certify_granted(granted, "embedding", certifier.life, visit.now))


def _scripted(visit: Visit, template: str, framing: Framing) -> Response:
    return visit.page(
        template,
        framing=framing,
        dialogs=json.dumps(visit.house.embedders),
        email=visit.session.email if visit.session else "",
        back=way_back(visit, "AUTH_RETURN"),
    )


PAGES: Final = (Page(paths.PROVISIONING, _show, _certify),)
