"""One SASL exchange with a server, its messages in base64 as all mail protocols have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from browserid_sasl.adapters.login import Login


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a server says in the end.

    :param accepted: whether it has let the client in.
    :param line: its words.
    :param passes: whether it says itself that this may be otherwise later.
    """

    accepted: bool
    line: bytes
    passes: bool = False


class Exchange:
    """The client's half.

    :param login: makes the messages.
    """

    def __init__(self, login: Login) -> None:
        self._login = login
        self.name: Final = login.name.encode("ascii")
        self.initial: Final = login.initial_base64

    def answer(self, challenge: bytes) -> bytes:
        """The response to a challenge; a star cancels the exchange."""
        return self._login.answer_base64(challenge)
