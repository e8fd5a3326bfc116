"""Sign-ins under way: one for an address, however many ask for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, Final

from browserid_sasl.agent.flows.choice import Way
from browserid_sasl.agent.flows.prompt import Flow, Prompt, not_that_address
from browserid_sasl.agent.service.people import SignedIn
from browserid_sasl.errors import Code, CredentialError
from browserid_sasl.identity.addresses import in_lower_case

MOST: Final = 16
"""Sign-ins under way at the same time."""

_OPEN_AGAIN_S: Final = 600.0


class SignIn:
    """One of them. For the event loop's thread.

    :param identity: whose.
    """

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.began = asyncio.get_running_loop().time()
        self.kept = False
        self.flow: Flow | None = None
        self._watchers = 0
        self._opened: float | None = None
        self._may_open = False
        self._prompt: asyncio.Future[Prompt] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[SignedIn] | None = None

    def start(self, work: Coroutine[Any, Any, SignedIn], over: Callable[[], None]) -> None:
        """Begin.

        :param over: called in the end.
        """

        def ended(task: asyncio.Task[SignedIn]) -> None:
            _ = task.cancelled() or task.exception()  # whoever has waited for it may be gone
            over()

        self._task = asyncio.create_task(work)
        self._task.add_done_callback(ended)

    def show(self, prompt: Prompt, *, may_open: bool) -> None:
        """Have everybody who waits told where to sign in.

        :param may_open: whether a page may be opened for it.
        """
        self._may_open = may_open
        if not self._prompt.done():
            self._prompt.set_result(prompt)

    def open_now(self) -> bool:
        """Whether the page is to be opened by who asks, and from then on by nobody for a while."""
        now = asyncio.get_running_loop().time()
        due = self._opened is None or now > self._opened + _OPEN_AGAIN_S
        if self._may_open and due:
            self._opened = now
            return True
        return False

    def cancel(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()

    def paste(self, address: str) -> None:
        """Take the address that the browser shows in the end.

        :raises LocalProtocolError: it is not the one that is waited for.
        """
        if self.flow is None:
            raise not_that_address("the sign-in has not begun yet")
        self.flow.paste(address)

    async def watch(self) -> AsyncGenerator[Prompt | SignedIn]:
        """What there is to show, if anything, and then the result.

        Who goes on waiting for nothing cancels it by going away.

        :raises BrowserIDError: what the sign-in raised.
        """
        assert self._task is not None  # noqa: S101 - it was started
        self._watchers += 1
        try:
            await asyncio.wait((self._prompt, self._task), return_when=asyncio.FIRST_COMPLETED)
            if self._prompt.done():
                yield self._prompt.result()
            yield await asyncio.shield(self._task)
        except asyncio.CancelledError:
            if self._task.cancelled():
                raise _cancelled(self.identity) from None
            raise
        finally:
            self._watchers -= 1
            if not self._watchers and not self.kept:
                self.cancel()


class SignIns:
    """All of them. For the event loop's thread.

    :param over: called when one has ended.
    """

    def __init__(self, over: Callable[[], None]) -> None:
        self._running: dict[tuple[Way, str, str], SignIn] = {}
        self._over = over

    def __len__(self) -> int:
        return len(self._running)

    def find(self, way: Way, address: str) -> SignIn | None:
        """The one for an address, None if there is none."""
        return self._running.get((way, in_lower_case(address), ""))

    def begin(
        self,
        way: Way,
        address: str,
        work: Callable[[SignIn], Coroutine[Any, Any, SignedIn]],
        password: str = "",
    ) -> SignIn:
        """The one for an address, begun if there is none.

        :param password: with which it is done, if it is: nobody gets the result of another one.
        :raises CredentialError: too many are under way.
        """
        key = way, in_lower_case(address), password
        running = self._running.get(key)
        if running is not None:
            return running
        if len(self._running) >= MOST:
            raise CredentialError(
                Code.INTERACT_UNAVAILABLE,
                "too many sign-ins are under way",
                "finish or cancel one of them first",
            )
        sign_in = self._running[key] = SignIn(address)
        sign_in.start(work(sign_in), lambda: self._end(key))
        return sign_in

    def done(self, finished: SignIn) -> None:
        """Somebody has signed in: what else is under way for them is superseded."""
        wanted = in_lower_case(finished.identity)
        for (_, address, _), sign_in in list(self._running.items()):
            if address == wanted and sign_in is not finished:
                sign_in.cancel()

    def _end(self, key: tuple[Way, str, str]) -> None:
        del self._running[key]
        self._over()


def _cancelled(identity: str) -> CredentialError:
    return CredentialError(
        Code.INTERACT_FAILURE,
        f"the sign-in as {identity} was cancelled",
        f"begin it again: browserid login {identity}",
    )
