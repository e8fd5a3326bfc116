"""What a backend asks besides the password: a code, or a new password for one that has expired.

What it says is shown as it is, as text.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from browserid_sasl.idp.exchanges import Waiting
from browserid_sasl.idp.password_sign_in import PasswordSignIn
from browserid_sasl.idp.web import cookies, paths
from browserid_sasl.idp.web.cancelling import cancel_of
from browserid_sasl.idp.web.languages import N_
from browserid_sasl.idp.web.signin import ask_more, begin_anew, go_on, goal
from browserid_sasl.idp.web.visit import Page, Visit
from browserid_sasl.web.refusal import RefusedError

_WRONG: Final = N_("That was not right, or it took too long. Begin again with your password.")


def _show(visit: Visit) -> Response:
    waiting = visit.provider.outside.exchanges.find(_token(visit))
    if waiting is None:
        raise _over()
    asked = waiting.exchange.asked
    return visit.page(
        "questions.html",
        here=paths.with_query(paths.QUESTIONS, next=goal(visit)),
        email=waiting.email,
        asked=asked,
        goal=goal(visit),
        cancel=cancel_of(visit, goal(visit)),
    )


def _submit(visit: Visit) -> Response:
    # Taken: two answers at the same moment would get into each other's way.
    waiting = visit.provider.outside.exchanges.take(_token(visit))
    if waiting is None:
        raise _over()
    visit.put_cookie(cookies.EXCHANGE, "", 0)
    email, known = waiting.email, visit.house.known_browsers.name(visit.known, waiting.email)
    sign_in = PasswordSignIn(visit.provider)
    try:
        done = sign_in.go_on(waiting, _answers(visit, waiting), visit.client, visit.now, known)
    except RefusedError as error:
        visit.record(error, email)
        return begin_anew(visit, email, error, _WRONG)
    return go_on(visit, email, "password", goal(visit)) if done else ask_more(visit, waiting)


def _answers(visit: Visit, waiting: Waiting) -> list[str]:
    count = len(waiting.exchange.asked.prompts)
    return [visit.form.get(f"answer{number}", "") for number in range(count)]


def _token(visit: Visit) -> str:
    return visit.request.cookies.get(cookies.EXCHANGE, "")


def _over() -> RefusedError:
    return RefusedError(
        410, "questions-over", "nothing is asked any more: sign in again, with your password"
    )


PAGES: Final = (Page(paths.QUESTIONS, _show, _submit, slow=True),)
