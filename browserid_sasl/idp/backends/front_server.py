"""A web server before the provider, which says who somebody is in headers of their request.

Anybody can write such headers. They count only in requests that have the secret which the provider
shares with that server: its address alone is also that of everybody else on its machine.
"""

from __future__ import annotations

import hmac
import logging
from dataclasses import dataclass, field

from browserid_sasl.idp.backends import Carried, Denial, DeniedError
from browserid_sasl.idp.rations import Told

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FrontServer:
    """How it is known.

    :param backend: for whom it speaks, for the log.
    :param secret_header: the header with the secret, in lower case.
    :param secret: what is in it.
    :param told: the log.
    """

    backend: str
    secret_header: str
    secret: str = field(repr=False)
    told: Told = field(default_factory=lambda: Told(_logger), repr=False, compare=False)

    def said(self, carried: Carried, name: str, *, several: bool = False) -> list[str]:
        """What it says in a header: nothing, or one value, or several where these are allowed.

        :param name: of the header, in lower case.
        :raises DeniedError: unproven-header: it was not this server that has sent the request, or
            not it alone that has written the header.
        """
        proven = self._only(carried, self.secret_header)
        # Before anything of the others is looked at.
        if not hmac.compare_digest("".join(proven).encode(), self.secret.encode()):
            there = _similar(carried, name)
            raise self._unproven(
                f"a request with the header {name}" if there else "a request",
                f"does not have the secret in {self.secret_header}",
            )
        return _exact(carried, name) if several else self._only(carried, name)

    def _only(self, carried: Carried, name: str) -> list[str]:
        """A header's only value; nothing if it is not there."""
        if len(_similar(carried, name)) > 1:
            raise self._unproven("a request", f"has the header {name} more than once")
        if _similar(carried, name) != _exact(carried, name):
            # Behind some servers the two are the same, and one strips the other only.
            raise self._unproven("a request", f"has a header that differs from {name} by a _")
        return _exact(carried, name)

    def _unproven(self, what: str, why: str) -> DeniedError:
        self.told.tell(logging.WARNING, "backend %s: %s %s", self.backend, what, why)
        return DeniedError(Denial.UNPROVEN)


def _exact(carried: Carried, name: str) -> list[str]:
    return [value for each, value in carried.headers if each == name]


def _similar(carried: Carried, name: str) -> list[str]:
    return [value for each, value in carried.headers if each.replace("_", "-") == name]
