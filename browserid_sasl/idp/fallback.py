"""A provider for people whose domain has none: it asks the domain first, and then the mailbox."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from browserid_sasl.errors import BrowserIDError, Code, ConfigurationError
from browserid_sasl.identity.addresses import domain_of
from browserid_sasl.idp.mail_limits import MailLimits
from browserid_sasl.idp.mailed_codes import MailedCodes
from browserid_sasl.idp.postman import Postman
from browserid_sasl.web.refusal import RefusedError

OWN_PROVIDER = "own-provider"
"""Why somebody is sent to another provider: the word of an answer."""

_MAX_BOUNCES: Final = 31

ProviderOf = Callable[[str, int], str | None]
"""The provider that a domain has at a time (ms), None if it has none. See `AuthorityResolver`."""


@dataclass(frozen=True, slots=True)
class Fallback:
    """What a provider has that certifies for domains without one.

    :param domain: its own.
    :param provider_of: asks a domain. It remembers the answer for a while.
    :param limits: on mail.
    :param codes: what is sent by it.
    :param postman: sends it.
    :param sender: address that mail is from.
    :param bounces: address that mails come back to; empty for none.
    :param authority: where its domain says that it is, empty for there.
    """

    domain: str
    provider_of: ProviderOf
    limits: MailLimits
    codes: MailedCodes
    postman: Postman
    sender: str
    bounces: str = ""
    authority: str = ""

    def check(self, email: str, now: int) -> None:
        """See that an address has no provider of its own.

        :param email: in lower case.
        :param now: ms.
        :raises RefusedError: `own-provider` if it has; `provider-unclear` if it cannot be said at
            the moment.
        """
        domain = domain_of(email) or ""
        if domain == self.domain:
            return
        try:
            own = self.provider_of(domain, now)
        except BrowserIDError as error:
            # It may have one that is out of order, in whose place nobody is let in.
            raise RefusedError(
                503,
                "provider-unclear",
                f"whether {domain} has an identity provider of its own cannot be said at the"
                f" moment ({error.message})",
                Code.INTERACT_UNAVAILABLE,
                retry_after=60,
            ) from None
        if own not in (None, self.authority or self.domain):
            raise RefusedError(
                403,
                OWN_PROVIDER,
                f"{domain} has an identity provider of its own, {own}: sign in there, with"
                " `browserid login`, which finds it",
                Code.INTERACT_FAILURE,
            )

    def checked(self) -> Fallback:
        """Itself, if mails can come back to it.

        :raises ConfigurationError: the address is too long for that.
        """
        if len(self.bounces.rpartition("@")[0]) > _MAX_BOUNCES:
            raise ConfigurationError(
                f"`mail_bounces` in [idp] has more than {_MAX_BOUNCES} characters before the @",
                "a plus and 32 letters are put there, and 64 is the most that an address may have",
            )
        return self

    def envelope_sender(self, token: str) -> str:
        """The address that one mail comes back to, in the provider's own domain or nowhere.

        :param token: what it is known by.
        """
        if not self.bounces:
            return ""
        local, _, domain = self.bounces.rpartition("@")
        return f"{local}+{token}@{domain}"
