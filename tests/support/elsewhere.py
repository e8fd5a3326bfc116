"""Other people's websites, which want something of an identity provider's visitors."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from playwright.sync_api import Page, Response, Route

STRANGER: Final = "https://stranger.test"
"""Another site."""

NEIGHBOUR: Final = "https://neighbour.example.test"
"""Another origin of the provider's own site: browsers send it the provider's cookies."""


@dataclass(frozen=True)
class Form:
    """A form of a page, sent by POST.

    :param action: where it is sent, as an absolute address.
    :param fields: names and values.
    """

    action: str
    fields: Mapping[str, str]


_FORMS_OF_PAGE: Final = """
Array.from(document.forms).filter(form => form.method === 'post').map(form => ({
    action: form.getAttribute('action') === null ? location.href : form.action,
    fields: Object.fromEntries([
        ...Array.from(form.querySelectorAll('button[name]'), each => [each.name, each.value]),
        ...new FormData(form),
    ]),
}))
"""


def forms_of(page: Page) -> list[Form]:
    """The forms of a page that change something."""
    return [Form(str(form["action"]), form["fields"]) for form in page.evaluate(_FORMS_OF_PAGE)]


def show(page: Page, origin: str, content: str) -> None:
    """Show a page of another website's."""

    def answer(route: Route) -> None:
        route.fulfill(content_type="text/html; charset=utf-8", body=f"<!doctype html>{content}")

    page.unroute_all()
    page.route(f"{origin}/elsewhere", answer)
    page.goto(f"{origin}/elsewhere")


def send(page: Page, origin: str, form: Form) -> Response:
    """Have a page of another website send a form, as soon as somebody looks at it.

    :returns: what the browser shows after that.
    """
    fields = "".join(
        f'<input name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in form.fields.items()
    )
    action = html.escape(form.action)
    show(page, origin, f'<form action="{action}" method="post">{fields}<button>Win</button>')
    with page.expect_navigation() as navigation:
        page.click("button")
    return navigation.value
