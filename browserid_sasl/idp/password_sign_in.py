"""A password that somebody gives with their address: who is asked about it, and what is answered.

It is the same on the page and for a program. What is answered tells nobody whether there is an
account, unless they have its password, or the browser in which it was signed in to before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from browserid_sasl.errors import Code
from browserid_sasl.idp.attempts import Attempts
from browserid_sasl.idp.backends import Denial, DeniedError
from browserid_sasl.idp.exchanges import Waiting
from browserid_sasl.idp.folder import Provider
from browserid_sasl.web.refusal import RefusedError

_SENTENCES: Final[Mapping[Denial, str]] = {
    Denial.LOCKED: "the account is locked for now, after too many wrong passwords: try again later",
    Denial.PASSWORD_EXPIRED: "the password has expired: change it where it is kept, then sign in",
    Denial.PASSWORD_RESET: "the password has to be changed first, where it is kept",
    Denial.DISABLED: "the account is disabled: ask your administrator",
    Denial.EXPIRED: "the account has expired: ask your administrator",
    Denial.NOT_NOW: "the account is not admitted now, or not here: ask your administrator",
    Denial.NOT_ADMITTED: "the account is not admitted here: ask your administrator",
    Denial.AMBIGUOUS: "the address is that of several entries: ask your administrator",
    Denial.RENAMED: "the address is not the account's: ask your administrator",
    Denial.OTHER_SUBJECT: "the address was somebody else's before: ask your administrator",
    Denial.OWN_ACCOUNT: "the address has an account of another kind: ask your administrator",
    Denial.FOREIGN: "the address is none of this domain: use another account there",
    Denial.UNVERIFIED: "the other provider has not verified an address: have it do that",
    Denial.WEAK: "the sign-in there was not one of the kind that is needed here",
    Denial.OTHER_WAY: "people of this domain sign in at another provider: begin again",
    Denial.INVALID_TICKET: "the ticket of Kerberos is not accepted here: get a new one",
    Denial.UNPROVEN: "the request does not come from the web server that vouches for people",
    Denial.UNTRUSTED: "the certificate is none that is taken here: use another one",
    Denial.CERTIFICATE_EXPIRED: "the certificate is not good any more, or not yet: get a new one",
    Denial.CERTIFICATE_REVOKED: "the certificate was revoked: get a new one",
    Denial.UNIDENTIFIED: "the certificate does not say whose it is: ask your administrator",
    Denial.CANCELLED: "the sign-in at the other provider came to nothing: try again",
}
"""What is said to somebody who has given the right password, or has shown it elsewhere, and is not
let in."""


def refusal_of(denial: Denial) -> RefusedError:
    """What somebody is told who is not let in: one of those about which there is something to say.

    :param denial: any but `WRONG_PASSWORD`, and what ends renewals only.
    """
    return RefusedError(403, denial.value, _SENTENCES[denial], Code.INTERACT_FAILURE)


class PasswordSignIn:
    """Decides on passwords. Safe for threads.

    :param provider: whose people sign in.
    """

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def check(self, email: str, password: str, client: str, now: int, known: str = "") -> None:
        """See that a password is right. It counts as wrong until `Attempts.succeeded` is called.

        :param email: the address, in lower case.
        :param client: IP address it comes from.
        :param now: ms.
        :param known: name of a browser in which this address has been signed in to before.
        :raises RefusedError: too-many-attempts, wrong-credentials; where somebody else knows the
            password, backend-unavailable, or a word of `Denial`.
        :raises MoreAskedError: there is more to answer, see `Outside.verify` and `go_on`.
        """

        def right() -> bool:
            return self._is_right(email, password, client, now, known)

        # The limits come before anybody is asked: guesses are not handed on for others to count.
        attempts = Attempts(self._provider.limits, self._provider.audit)
        attempts.check(email, client, now, right, known)

    def go_on(
        self, waiting: Waiting, answers: Sequence[str], client: str, now: int, known: str = ""
    ) -> bool:
        """See what somebody has answered to what a backend asks. For the rest see `check`.

        It is one try with the password, which the limits have let through.

        :param waiting: what is asked, which was taken from the exchanges.
        :param answers: secret, see `Exchange.answer`.
        :returns: False if more is asked.
        """
        outside = self._provider.outside
        try:
            return outside.go_on(waiting, answers, client, now)
        except DeniedError as error:
            self._refuse(error.denial, known)
        Attempts(self._provider.limits, self._provider.audit).fail(waiting.email, client, now)

    def _is_right(self, email: str, password: str, client: str, now: int, known: str) -> bool:
        provider = self._provider
        own = partial(provider.accounts.verify, email, password, now)
        try:
            return provider.outside.verify(email, password, client, now, own)
        except DeniedError as error:
            return self._refuse(error.denial, known)

    def _refuse(self, denial: Denial, known: str) -> bool:
        """What is said of it; False if that is no more than that it is wrong."""
        # A directory locks whom a stranger guesses at, and would tell the stranger.
        told = denial is not Denial.LOCKED or known
        if denial not in _SENTENCES or not told:
            return False
        raise refusal_of(denial)
