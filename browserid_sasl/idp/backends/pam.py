"""PAM, the system's own way to find out who somebody is: a password, and whatever else it asks for.

Each conversation is in a process of its own, see `pam_child`. Here is what is told to it, and what
its results mean.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from browserid_sasl.idp.backends import (
    Asked,
    Denial,
    DeniedError,
    Identity,
    MoreAskedError,
    Prompt,
    UnavailableError,
    Vouched,
    pam_child,
)
from browserid_sasl.idp.backends.child_process import ChildProcess
from browserid_sasl.idp.backends.pam_child import ERROR, HIDDEN, NOBODY, SHOWN, SUCCESS
from browserid_sasl.idp.exchanges import PATIENCE_S

PROGRAM: Final = (sys.executable, "-I", "-S", str(Path(pam_child.__file__).resolve()))
"""By its path and with the standard library alone, so that it starts in a few milliseconds."""

MOST_ANSWER: Final = 511
"""Octets of an answer that PAM takes."""

_MOST_ROUNDS: Final = 12
"""How often one conversation asks: modules that do not give up would take guesses for ever."""

_MOST_TEXTS: Final = 8
_MOST_NAME: Final = 64

_LOCAL_PART: Final = re.compile(r"[a-z0-9_][a-z0-9_.+-]*")
"""What of an address may be in an account's name: nothing that is an option, a path or a line."""

# Results of security/_pam_types.h of Linux-PAM.
_PERM_DENIED: Final = 6
_AUTH_ERR: Final = 7
_CRED_INSUFFICIENT: Final = 8
_USER_UNKNOWN: Final = 10
_MAXTRIES: Final = 11
_NEW_AUTHTOK_REQD: Final = 12
_ACCT_EXPIRED: Final = 13
_AUTHTOK_ERR: Final = 20
_AUTHTOK_RECOVERY_ERR: Final = 21
_TRY_AGAIN: Final = 24
_AUTHTOK_EXPIRED: Final = 27

_DENIALS: Final[Mapping[str, Mapping[int, Denial]]] = {
    "password": {
        **dict.fromkeys(
            (_PERM_DENIED, _AUTH_ERR, _CRED_INSUFFICIENT, _USER_UNKNOWN), Denial.WRONG_PASSWORD
        ),
        # Whether the password was right is not known here: so nothing is said of the account.
        **dict.fromkeys((_ACCT_EXPIRED, _NEW_AUTHTOK_REQD), Denial.WRONG_PASSWORD),
        _MAXTRIES: Denial.LOCKED,
    },
    "account": {
        **dict.fromkeys((_PERM_DENIED, _AUTH_ERR), Denial.NOT_NOW),
        **dict.fromkeys((_NEW_AUTHTOK_REQD, _AUTHTOK_EXPIRED), Denial.PASSWORD_EXPIRED),
        _USER_UNKNOWN: Denial.GONE,
        _MAXTRIES: Denial.LOCKED,
        _ACCT_EXPIRED: Denial.EXPIRED,
    },
    "change": dict.fromkeys(
        (
            *(_PERM_DENIED, _AUTH_ERR, _MAXTRIES, _AUTHTOK_ERR, _AUTHTOK_RECOVERY_ERR),
            *(_TRY_AGAIN, _AUTHTOK_EXPIRED),
        ),
        Denial.PASSWORD_EXPIRED,
    ),
}
"""What a result says, by the step that has had it. Any other is a fault of the system."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """How PAM is asked.

    :param service: name of the file in /etc/pam.d.
    :param user_template: an account's name, with places for the address.
    :param least_uid: number of the first account that is a person's.
    :param groups: in one of which people have to be; none: in no one.
    :param timeout: ms that modules may take for one step.
    """

    service: str
    user_template: str
    least_uid: int
    groups: tuple[str, ...]
    timeout: int


class PamBackend:
    """See `PasswordBackend`.

    :param name: what the configuration calls it.
    :param service: how PAM is asked.
    :param program: what asks it, see `PROGRAM`.
    """

    def __init__(self, name: str, service: Service, program: Sequence[str] = PROGRAM) -> None:
        self.name = name
        self.service = service
        self._program = program

    def verify(self, email: str, password: str) -> Vouched | None:
        """See `PasswordBackend.verify`.

        The password is the answer to the first question, if that hides what is typed.
        """
        exchange = self._begin(email, check=False)
        try:
            vouched = exchange.begin(password)
        except DeniedError:
            if exchange.knows:
                raise
            return None
        if vouched is None:
            raise MoreAskedError(exchange)
        return vouched

    def check(self, identity: Identity) -> Vouched:
        """See `Backend.check`: PAM is asked about the account, and nobody about a password."""
        exchange = self._begin(identity.email, check=True)
        vouched = exchange.listen()
        if vouched is None:
            exchange.end()
            raise UnavailableError("PAM asks for something where nobody is there to answer")
        return vouched

    def probe(self) -> list[str]:
        """See `ProbedBackend`: PAM is asked about nobody, and no module is loaded for that."""
        try:
            self.check(Identity("", self.name, ""))
        except DeniedError:
            return []
        return ["it vouches for nobody in particular"]

    def _begin(self, email: str, *, check: bool) -> PamExchange:
        local, _, _ = email.rpartition("@")
        fits = _LOCAL_PART.fullmatch(local) is not None
        user = _filled(self.service.user_template, email) if fits else ""
        task = {
            "service": self.service.service,
            "user": user if len(user) <= _MOST_NAME else "",
            "least_uid": self.service.least_uid,
            "groups": self.service.groups,
            "check": check,
            # Longer than ours, which come first.
            "step": self.service.timeout // 1000 + 5,
            "patience": PATIENCE_S + 30,
        }
        return PamExchange(ChildProcess("PAM", self._program, task), self.service, email, user)


class PamExchange:
    """See `Exchange`: a conversation with PAM."""

    def __init__(self, process: ChildProcess, service: Service, email: str, user: str) -> None:
        self._process = process
        self._service = service
        self._email = email
        self._user = user
        self._rounds = 0
        self._said: list[tuple[int, str]] = []
        self.knows = False
        self.asked = Asked(())

    def begin(self, password: str) -> Vouched | None:
        """Begin with the password that somebody has given already. For the rest see `answer`."""
        if not password or not _fits(password):
            self.end()
            raise DeniedError(Denial.WRONG_PASSWORD)
        vouched = self.listen()
        if vouched is None and [each.hidden for each in self.asked.prompts] == [True]:
            self._process.tell({"answers": [password]})
            return self.listen()
        return vouched

    def answer(self, answers: Sequence[str]) -> Vouched | None:
        """See `Exchange.answer`."""
        if len(answers) != len(self.asked.prompts) or not all(map(_fits, answers)):
            self.end()
            raise DeniedError(Denial.WRONG_PASSWORD)
        self._said.clear()
        self._process.tell({"answers": list(answers)})
        return self.listen()

    def end(self) -> None:
        """See `Exchange.end`."""
        self._process.end()

    def listen(self) -> Vouched | None:
        """What comes of it so far; see `answer`."""
        until = time.monotonic() + self._service.timeout / 1000
        while "messages" in (said := self._hear(until)):
            messages = [(style, self._line(text)) for style, text in said["messages"]]
            self._said += [each for each in messages if each[0] not in _ASKING and each[1]]
            # There may be many: the last ones are about what is asked next.
            del self._said[:-_MOST_TEXTS]
            prompts = [
                Prompt(text, style == HIDDEN) for style, text in messages if style in _ASKING
            ]
            if prompts:
                self._ask(tuple(prompts))
                return None
        self.end()
        return self._decide(said)

    def _line(self, text: str) -> str:
        """What a module says, without what is no character of a line."""
        text = text if self.knows else text.replace(NOBODY, self._email.rpartition("@")[0])
        shown = "".join(each if each.isprintable() else " " for each in text)
        return " ".join(shown.split())

    def _hear(self, until: float) -> Mapping[str, Any]:
        said = self._process.hear(until)
        if said.keys() == {"known"}:
            self.knows = said["known"] is True
            return self._process.hear(until)
        return said

    def _ask(self, prompts: tuple[Prompt, ...]) -> None:
        self._rounds += 1
        if self._rounds > _MOST_ROUNDS:
            self.end()
            raise DeniedError(Denial.WRONG_PASSWORD)
        self.asked = Asked(
            prompts,
            tuple(text for style, text in self._said if style != ERROR),
            tuple(text for style, text in self._said if style == ERROR),
        )

    def _decide(self, said: Mapping[str, Any]) -> Vouched:
        if "unavailable" in said:
            raise UnavailableError(f"PAM: {said['unavailable']}")
        if said["step"] == "account" and not said["known"]:
            raise DeniedError(Denial.GONE)
        if said["result"] == SUCCESS:
            return self._vouch(said)
        denial = _DENIALS[said["step"]].get(said["result"])
        if said["step"] == "password" and not self.knows:
            denial = Denial.WRONG_PASSWORD
        if denial is None:
            raise UnavailableError(f"PAM, {said['step']}: {said['meaning']} ({said['result']})")
        raise DeniedError(denial)

    def _vouch(self, said: Mapping[str, Any]) -> Vouched:
        if not said["same"]:
            raise DeniedError(Denial.OTHER_SUBJECT)
        if not said["admitted"]:
            raise DeniedError(Denial.NOT_ADMITTED)
        return Vouched(self._email, f"{self._service.service}:{said['uid']}:{self._user}")


_ASKING: Final = (HIDDEN, SHOWN)


def _filled(template: str, email: str) -> str:
    values = {"{address}": email, "{user}": email.rpartition("@")[0]}
    # In one go: what an address has in braces is no place.
    return re.sub(r"\{address\}|\{user\}", lambda place: values[place[0]], template)


def _fits(answer: str) -> bool:
    return "\0" not in answer and len(answer.encode()) <= MOST_ANSWER
