"""What a page says when a request is refused: what was wrong, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from browserid_sasl.errors import Code
from browserid_sasl.idp.web import paths
from browserid_sasl.idp.web.languages import N_
from browserid_sasl.idp.web.visit import Visit
from browserid_sasl.web.refusal import RefusedError


class Explanation(NamedTuple):
    """An error for people.

    :param title: what is wrong.
    :param advice: what to do. It may refer to `%(wait)s`, after which it can be tried again.
    :param detail: what is wrong in particular, empty if the title says it.
    """

    title: str
    advice: str
    detail: str = ""


_FORM: Final = Explanation(
    N_("This form is no longer valid"),
    N_("Open the page again and fill the form in once more. Cookies have to be allowed."),
)


def _malformed(detail: str) -> Explanation:
    """What a program has asked for in the wrong way."""
    return Explanation(
        N_("A program has asked for something that cannot be granted"),
        N_(
            "Begin again in the program. If that does not help, update it, or tell who looks after"
            " it."
        ),
        detail,
    )


_KEY_CODES: Final = (
    *(Code.BUFFER_TOO_LONG, Code.INVALID_BASE64, Code.INVALID_JSON, Code.INVALID_KEY),
    *(Code.KEY_TOO_SHORT, Code.UNKNOWN_ALGORITHM, Code.UNKNOWN_EC_CURVE, Code.UNKNOWN_JSON_KEY),
)
_BAD_KEY: Final = _malformed(N_("Its key is none that can be certified."))

_UNREADABLE: Final = Explanation(
    N_("What was sent cannot be read"), N_("Go back, or begin again where you came from.")
)

_BY_WORD: Final[Mapping[str, Explanation]] = {
    "form-expired": _FORM,
    "cross-site": Explanation(
        N_("This request came from another website"),
        N_("Nothing was changed. If you did this yourself, open the page again."),
    ),
    "invalid-query": _malformed(N_("What it asks cannot be read, or says something twice.")),
    "missing-parameter": _malformed(N_("Something is missing in what it asks.")),
    "invalid-redirect-uri": _malformed(N_("The way back does not lead to this machine.")),
    "invalid-state": _malformed(N_("What it knows its answer by is not as it has to be.")),
    "invalid-challenge": _malformed(N_("What protects its answer is not as it has to be.")),
    "invalid-machine": _malformed(N_("The machine's name cannot be shown.")),
    "invalid-address": _malformed(N_("It asks for an address that is none of this domain.")),
    **dict.fromkeys((code.text for code in _KEY_CODES), _BAD_KEY),
    "invalid-form": _UNREADABLE,
    "unsupported-media-type": _UNREADABLE,
    "method-not-allowed": Explanation(
        N_("Nothing can be done at this address"), N_("Go to your account and begin there.")
    ),
    "no-account": Explanation(
        N_("There is no such account any more"), N_("Ask your administrator for an invitation.")
    ),
    "signed-out": Explanation(
        N_("You are signed out"), N_("Sign in again and go on where you were.")
    ),
    "revoked-key": _malformed(N_("Its key was revoked. It has to make another one.")),
    "no-person": Explanation(
        N_("There is no such account"), N_("It may have been removed. Look among the people.")
    ),
    "no-invitation": Explanation(
        N_("There is no such invitation"), N_("It was accepted, withdrawn, or is too old.")
    ),
    "administrator-account": Explanation(
        N_("This is an administrator's account"),
        N_("No administrator changes another here: that is done by a command on the server."),
    ),
    "passkey-needed": Explanation(
        N_("An administrator's passkeys are changed with care"),
        N_("Sign in with a passkey that you have, or have yourself invited on the server."),
    ),
    "too-many-signing-keys": Explanation(
        N_("No more keys can be published"),
        N_("Wait until the certificates signed by the oldest have expired."),
    ),
    "not-found": Explanation(
        N_("There is no such page"),
        N_("Check the address, or go to your account."),
    ),
    "too-many-attempts": Explanation(
        N_("Too many sign-ins failed"),
        N_("Wait %(wait)s, then try again."),
    ),
    "too-large": Explanation(
        N_("That was too much text"),
        N_("Go back and write less."),
    ),
    "timeout": Explanation(
        N_("The request took too long to arrive"),
        N_("Check your connection and try again."),
    ),
    "busy": Explanation(
        N_("Many people are signing in at this moment"),
        N_("Wait a few seconds, then try again."),
    ),
    "unavailable": Explanation(
        N_("The provider cannot reach its database"),
        N_("Nothing was changed. Wait a few seconds, then try again."),
    ),
    "backend-unavailable": Explanation(
        N_("Where your password is kept cannot be asked"),
        N_("It is not your fault. Wait a few seconds, then try again."),
    ),
    "account-locked": Explanation(
        N_("Your account is locked for now"),
        N_("Too many wrong passwords were given. Try again later, or ask your administrator."),
    ),
    "password-expired": Explanation(
        N_("Your password has expired"),
        N_("Change it where you have it from, such as at your desk, then sign in here."),
    ),
    "password-reset": Explanation(
        N_("Your password has to be changed first"),
        N_("Change it where you have it from, such as at your desk, then sign in here."),
    ),
    "account-disabled": Explanation(N_("Your account is disabled"), N_("Ask your administrator.")),
    "account-expired": Explanation(N_("Your account has expired"), N_("Ask your administrator.")),
    "not-now": Explanation(
        N_("Your account is not admitted at this time, or not here"),
        N_("Try again later, or ask your administrator."),
    ),
    "too-many-exchanges": Explanation(
        N_("Many people are signing in at this moment"),
        N_("Wait %(wait)s, then try again."),
    ),
    "questions-over": Explanation(
        N_("This sign-in is over"),
        N_("It took too long, or the provider was restarted. Begin again with your password."),
    ),
    "not-admitted": Explanation(
        N_("Your account is not admitted here"), N_("Ask your administrator.")
    ),
    "ambiguous-address": Explanation(
        N_("Several people have this address"), N_("Ask your administrator.")
    ),
    "other-address": Explanation(
        N_("This is not the address of your account"), N_("Ask your administrator.")
    ),
    "other-person": Explanation(
        N_("This address was somebody else's before"),
        N_("Ask your administrator, who has to remove the account that has it."),
    ),
    "own-account": Explanation(
        N_("This address has an account that is signed in to in another way"),
        N_("Use that way, or ask your administrator."),
    ),
    "foreign-address": Explanation(
        N_("That account's address is none that is certified here"),
        N_("Sign in there with another account."),
    ),
    "unverified-address": Explanation(
        N_("The other provider has not verified your address"),
        N_("Have your address verified there, then sign in here again."),
    ),
    "other-way": Explanation(
        N_("People of this domain sign in at another provider"),
        N_("Begin again where you came from: you are sent there."),
    ),
    "weak-sign-in": Explanation(
        N_("The sign-in at the other provider was not strong enough"),
        N_("Sign in there with what this domain needs, such as a second factor."),
    ),
    "invalid-ticket": Explanation(
        N_("What your computer has shown is not accepted here"),
        N_(
            "See whether its clock is right, then lock it and sign in to it again. If that does not"
            " help, ask your administrator."
        ),
    ),
    "unproven-header": Explanation(
        N_("The web server does not say who you are"),
        N_("It is not set up as it has to be. Sign in in another way, or tell your administrator."),
    ),
    "untrusted-certificate": Explanation(
        N_("This certificate is not taken here"),
        N_("Use the card or certificate that you have been given for this, or another way."),
    ),
    "certificate-expired": Explanation(
        N_("This certificate has expired, or is not good yet"),
        N_("Use your new card or certificate, or ask your administrator for one."),
    ),
    "certificate-revoked": Explanation(
        N_("This certificate was revoked"),
        N_("Use your new card or certificate, or ask your administrator for one."),
    ),
    "unidentified-certificate": Explanation(
        N_("This certificate does not say whose it is"), N_("Ask your administrator.")
    ),
    "cancelled-elsewhere": Explanation(
        N_("The sign-in at the other provider came to nothing"),
        N_("Try again, or sign in in another way."),
    ),
    "no-longer-vouched": Explanation(
        N_("This account is not vouched for any more"),
        N_("Sign in again. If that does not help, ask your administrator."),
    ),
    "second-step-missing": Explanation(
        N_("Your account needs a passkey, or an app that makes codes"),
        N_("Add one on the page of your account, then begin again in the program."),
    ),
    "password-elsewhere": Explanation(
        N_("The password of this account is kept elsewhere"),
        N_("Change it where you have it from, such as at your desk."),
    ),
    "not-verified": Explanation(
        N_("This key did not ask who you are"),
        N_(
            "Give it a PIN or a fingerprint in its settings (for a security key, in those of your"
            " system or browser), then try again."
        ),
    ),
    "not-discoverable": Explanation(
        N_("This key cannot keep a passkey"),
        N_("It has no room, or is too old: remove passkeys from it, or use another key."),
    ),
    "unknown-discoverable": Explanation(
        N_("This browser does not say whether the passkey was kept"),
        N_(
            "It might not sign you in, so it was not added. Use a newer or another browser, and"
            " delete it from the device or key if it is there."
        ),
    ),
    "known-passkey": Explanation(
        N_("This passkey is registered already"), N_("Use another device or key.")
    ),
    "too-many-passkeys": Explanation(
        N_("An account cannot have so many passkeys"), N_("Remove one that you do not use.")
    ),
    "stale-challenge": Explanation(N_("That took too long"), N_("Try again.")),
    "invalid-passkey": Explanation(
        N_("The passkey cannot be used here"),
        N_("Try again. If that does not help, use another one, or another way."),
    ),
    "unknown-passkey": Explanation(
        N_("This passkey is not known here"),
        N_("It may have been removed from the account. Use another one, or another way."),
    ),
    "other-account": Explanation(
        N_("This passkey is for another account"),
        N_("Choose the one for the address above, or sign in with the other address."),
    ),
    "cloned-passkey": Explanation(
        N_("Somebody may have a copy of this passkey"),
        N_(
            "It was used before in a way that does not fit, so it was refused. Sign in in another"
            " way, remove it, and tell your administrator."
        ),
    ),
    "invalid-name": Explanation(
        N_("This cannot be a name"), N_("It has at most 64 characters, all of them printable.")
    ),
    "no-passkey": Explanation(
        N_("There is no such passkey"), N_("It may have been removed. Your account has a list.")
    ),
    "no-machine": Explanation(
        N_("There is no such machine"),
        N_("It may have been revoked already. Your account has a list."),
    ),
    "last-means": Explanation(
        N_("Nothing would be left to sign in with"),
        N_("First add another passkey, or set a password."),
    ),
    "invitation-spent": Explanation(
        N_("This link is no longer good"),
        N_("It was used already, or is too old. Ask your administrator for another one."),
    ),
    "too-many-mails": Explanation(
        N_("Too many mails were asked for"), N_("Wait %(wait)s, then try again.")
    ),
    "mail-code-spent": Explanation(
        N_("This mail is no longer good"),
        N_("It was used already, is too old, or was tried too often. Ask for another one."),
    ),
    "own-provider": Explanation(
        N_("Your domain has an identity provider of its own"),
        N_("Sign in to that one: begin again in the program, which finds it by your address."),
        N_("This one is for people whose domain has none."),
    ),
    "provider-unclear": Explanation(
        N_("Your domain does not say who vouches for its addresses"),
        N_("Nobody is let in in its place while that is so. Try again later, or tell who runs it."),
        N_("Its web server is out of reach, or out of order."),
    ),
    "internal": Explanation(
        N_("Something is broken here"),
        N_(
            "It is not your fault. Try again later, or tell the administrator, who finds the cause"
            " in the log."
        ),
    ),
}

_BETTER_AGAIN: Final = frozenset(
    {
        *("form-expired", "cross-site", "busy", "unavailable", "timeout", "internal"),
        "backend-unavailable",
        *("signed-out", "too-many-attempts"),
        *(
            "cancelled-elsewhere",
            "foreign-address",
            "invalid-ticket",
            "stale-challenge",
            "weak-sign-in",
        ),
        *("untrusted-certificate", "certificate-expired", "certificate-revoked"),
        *("provider-unclear", "too-many-exchanges", "too-many-mails"),
    }
)
_BETTER_SENT_AGAIN: Final = frozenset({"invalid-form", "too-large", "unsupported-media-type"})
"""What a form may mend. An address that cannot be read is no better the next time."""

_OTHER: Final = Explanation(
    N_("This request cannot be answered"),
    N_("Go back and try again. If that does not help, begin again where you came from."),
)


def explain(error: RefusedError) -> Explanation:
    """What a page says about an error."""
    return _BY_WORD.get(error.word, _OTHER)


def error_page(visit: Visit, error: RefusedError, before: str, *, bare: bool = False) -> Response:
    """The page about an error.

    :param before: the page to open again, if that may help.
    :param bare: without what depends on who is signed in.
    """
    title, advice, detail = explain(error)
    return visit.page(
        "error.html",
        error.status,
        bare=bare,
        here=before,
        title=title,
        advice=advice,
        again=_again(visit, error, before),
        seconds=error.retry_after,
        detail=detail,
        said=error.message if detail or error.word not in _BY_WORD else "",
    )


def _again(visit: Visit, error: RefusedError, before: str) -> str:
    """Where to try once more, empty where that would not help."""
    # Whoever came in by another name is no other site: there the same page is one to be used.
    origin = visit.house.origin if error.word == "cross-site" else ""
    sent = visit.request.method == "POST"
    helps = error.word in _BETTER_AGAIN or (sent and error.word in _BETTER_SENT_AGAIN)
    return f"{origin}{before}" if helps else ""


def wants_page(request: Request) -> bool:
    """Whether it is a person with a browser that asks, and not a program."""
    is_ours = request.url.path.startswith((paths.PREFIX, paths.AUTHENTICATION, paths.PROVISIONING))
    return (is_ours or request.method == "GET") and "text/html" in request.headers.get("Accept", "")
