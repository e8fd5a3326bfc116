"""Sees to it that people have certificates: renewed quietly, asked for where somebody can answer.

A program that logs in waits a while for the person; a command waits as long as the person likes.
Being offline asks nobody anything.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar, get_args

from browserid_sasl.agent.apart import apart
from browserid_sasl.agent.application import KeyType
from browserid_sasl.agent.flows.choice import WAYS, Surroundings, Way
from browserid_sasl.agent.flows.opening import Browser
from browserid_sasl.agent.flows.prompt import Prompt, not_that_address
from browserid_sasl.agent.flows.renewal import RenewalOverError
from browserid_sasl.agent.naming import SignInRequiredError
from browserid_sasl.agent.service import notification, people
from browserid_sasl.agent.service.clients import Clients
from browserid_sasl.agent.service.pages import Pages
from browserid_sasl.agent.service.people import SignedIn
from browserid_sasl.agent.service.protocol import Request, answer
from browserid_sasl.agent.service.renewals import Renewals
from browserid_sasl.agent.service.session import failure
from browserid_sasl.agent.service.signins import SignIn, SignIns
from browserid_sasl.errors import Code, CredentialError, LocalProtocolError
from browserid_sasl.identity.addresses import in_lower_case

_T = TypeVar("_T", bound=str)

PATIENCE_S: Final = 25.0
"""How long a program waits: less than it waits for an answer (plugin/wire.h, WIRE_ANSWER_MS)."""

_UNASKED_LIFE_S: Final = 86_400
"""How long a page waits that nobody asked for: until somebody comes to the machine again."""

_FRESH_S: Final = 300.0
"""A program waits for a page that was opened so long ago at most."""

_TELL_AGAIN_MS: Final = 12 * 3_600_000
# Of this machine, and nobody else's: whoever opens a page at another display gives it away.
_DISPLAY: Final = r":[0-9]{1,5}(\.[0-9]{1,3})?"
_WAYLAND: Final = r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}"


@dataclass(frozen=True, slots=True)
class Opening:
    """Where to sign in.

    :param prompt: what to show.
    :param open_now: whether to open the page.
    """

    prompt: Prompt
    open_now: bool


class Access:
    """One person's. For the event loop's thread.

    :param clients: have their keys and their configuration.
    :param clock: ms since the epoch.
    :param over: called when a sign-in has ended.
    """

    def __init__(
        self, clients: Clients, clock: Callable[[], int], over: Callable[[], None]
    ) -> None:
        self._clients = clients
        self._clock = clock
        self._sign_ins = SignIns(over)
        self._pages: dict[Path, Pages] = {}
        self._told: dict[str, int] = {}
        self.renewals = Renewals(clients, clock)

    @property
    def is_asking(self) -> bool:
        """Whether a sign-in is under way."""
        return len(self._sign_ins) > 0

    async def log_in(
        self, address: str, values: Mapping[str, str]
    ) -> AsyncGenerator[Opening | SignedIn]:
        """Sign somebody in who has asked for it.

        :param values: of the request.
        :raises BrowserIDError: see `people`.
        """
        way: Way = _one_of("way", values.get("way", "password"), WAYS)
        key_type: KeyType = _one_of("key_type", values.get("key_type", "ES256"), get_args(KeyType))
        password = values.get("password", "")
        if way == "password" and not password:
            raise LocalProtocolError(
                Code.INVALID_PARAMETER, "there is no password to sign in with", "give `password`"
            )
        sign_in = self._sign_ins.begin(
            way,
            address,
            lambda sign_in: (
                self._with_password(sign_in, password, key_type)
                if way == "password"
                else self._with_person(sign_in, way, key_type, people.ASKED_LIFE_S)
            ),
            password,
        )
        async with aclosing(sign_in.watch()) as events:
            async for event in events:
                if isinstance(event, Prompt):
                    yield Opening(event, sign_in.open_now())
                else:
                    yield event

    def paste(self, request: Request) -> bytes:
        """Take the address that a browser shows in the end; the line that answers."""
        try:
            sign_in = self._sign_ins.find("browser", request.values.get("identity", ""))
            if sign_in is None:
                raise not_that_address("no sign-in in a browser is under way")
            sign_in.paste(request.words[0] if request.words else "")
        except LocalProtocolError as error:
            return failure(request.number, error)
        return answer("OK", request.number)

    async def provide(self, error: SignInRequiredError, values: Mapping[str, str]) -> None:
        """Get a certificate for somebody, if that can be done while a program waits.

        :param error: what the program would be told.
        :param values: of its request.
        :raises BrowserIDError: what to tell it: `error`, or what has come of it.
        """
        try:
            async with asyncio.timeout(PATIENCE_S):
                # Without a question if it can be: a page that opens by itself teaches people to
                # sign in to whatever page opens.
                if not await self._renewed(error.identity):
                    await self._ask(error, values)
        except TimeoutError:
            if self._sign_ins.find("browser", error.identity) is None:
                raise _too_slow(error.identity) from None
            raise _nobody_yet(error.identity) from None

    async def _renewed(self, identity: str) -> bool:
        try:
            return await self.renewals.renew(identity)
        except RenewalOverError:
            return False

    async def _ask(self, error: SignInRequiredError, values: Mapping[str, str]) -> None:
        identity = error.identity
        sign_in = self._sign_ins.find("browser", identity)
        if sign_in is None:
            browser = self._browser(values)
            # Not again soon after one that nobody answered, however many programs ask.
            if browser is None or not self._page_folder.due(self._clock()):
                await self.tell(identity, str(error))
                raise error
            sign_in = self._sign_ins.begin(
                "browser",
                identity,
                lambda mine: self._with_person(mine, "browser", "ES256", _UNASKED_LIFE_S),
            )
            await self._watch(sign_in, browser, error)
        elif asyncio.get_running_loop().time() > sign_in.began + _FRESH_S:
            raise _nobody_yet(identity)
        else:
            await self._watch(sign_in, None, error)

    async def _watch(
        self, sign_in: SignIn, browser: Browser | None, error: SignInRequiredError
    ) -> None:
        try:
            async with aclosing(sign_in.watch()) as events:
                async for event in events:
                    if isinstance(event, Prompt) and browser is not None:
                        await self._open(sign_in, event, browser)
        except CredentialError as refusal:
            # It may have been done in another way meanwhile.
            if await self._renewed(sign_in.identity):
                return
            if refusal.code is Code.INTERACT_UNAVAILABLE:  # their provider has no such page
                await self.tell(sign_in.identity, str(error))
                raise error from None
            raise

    async def _open(self, sign_in: SignIn, prompt: Prompt, browser: Browser) -> None:
        """Open a page that nobody has asked for; it stays when the program has gone."""
        if not sign_in.open_now():
            raise _other_page(sign_in.identity)
        sign_in.kept = True
        self._page_folder.opened(self._clock())
        if not await apart(browser.open, prompt.link):
            await self.tell(
                sign_in.identity, f"no browser could be opened to sign in at {prompt.link}"
            )

    def _browser(self, values: Mapping[str, str]) -> Browser | None:
        """What opens a page where the person sees it; None if there is nothing."""
        options = self._clients.config.client
        if options.sign_in not in ("auto", "browser"):
            return None
        environment = _environment(values)
        browser = Browser.find(options.browser, environment)
        here = Surroundings.of(environment, browser=browser is not None)
        # Who has configured it knows better than what can be seen from here.
        seen = here.shows_pages if options.sign_in == "browser" else here.is_desktop
        return browser if seen else None

    async def _with_password(self, sign_in: SignIn, password: str, key_type: KeyType) -> SignedIn:
        config = self._clients.config
        signed_in = await apart(
            people.sign_in_with_password, config, sign_in.identity, password, key_type
        )
        self._finished(sign_in)
        return signed_in

    async def _with_person(
        self, sign_in: SignIn, way: Way, key_type: KeyType, life: int
    ) -> SignedIn:
        config, pages = self._clients.config, self._page_folder
        holds = way == "browser" and pages.take()
        try:
            flow = await apart(people.flow, config, sign_in.identity, way, key_type, life)
            sign_in.flow = flow
            record = await flow.run(lambda prompt: sign_in.show(prompt, may_open=holds))
            signed_in = await apart(people.keep, config, record)
            self._finished(sign_in)
            return signed_in
        finally:
            if holds:
                pages.let_go()

    def _finished(self, sign_in: SignIn) -> None:
        self._page_folder.answered()
        self._told.pop(in_lower_case(sign_in.identity), None)
        self._sign_ins.done(sign_in)

    @property
    def _page_folder(self) -> Pages:
        folder = self._clients.config.store.directory
        return self._pages.setdefault(folder, Pages(folder))

    async def tell(self, about: str, text: str, title: str = notification.SIGN_IN) -> None:
        """Tell the person, once in a while.

        :param about: an address, or what else there is to tell of; each has a while of its own.
        """
        key, now = in_lower_case(about), self._clock()
        last = self._told.get(key)
        if last is None or not last <= now < last + _TELL_AGAIN_MS:
            self._told[key] = now
            await apart(notification.tell, text, title)


def _one_of(name: str, value: str, known: Sequence[_T]) -> _T:
    """A value of a request, if it is known."""
    for each in known:
        if each == value:
            return each
    raise LocalProtocolError(
        Code.INVALID_PARAMETER,
        f"{value[:32]!a} is no `{name}` that is known here",
        f"give one of {', '.join(map(str, known))}",
    )


def _environment(values: Mapping[str, str]) -> dict[str, str]:
    """The agent's environment with the display that a program has, if the agent has none."""
    environment = dict(os.environ)
    told = {
        "DISPLAY": (values.get("display", ""), _DISPLAY),
        "WAYLAND_DISPLAY": (values.get("wayland_display", ""), _WAYLAND),
    }
    if not any(environment.get(name) for name in told):
        for name, (value, form) in told.items():
            if re.fullmatch(form, value):
                environment[name] = value
    return environment


def _nobody_yet(identity: str) -> CredentialError:
    return CredentialError(
        Code.INTERACT_REQUIRED,
        f"{identity} has to sign in first, and has not done it yet in the page that is open",
        f"sign in there and try again, or: browserid login {identity}",
    )


def _too_slow(identity: str) -> CredentialError:
    return CredentialError(
        Code.INTERACT_UNAVAILABLE,
        f"the identity provider of {identity} did not answer within {PATIENCE_S:g} s",
        "try again later",
    )


def _other_page(identity: str) -> CredentialError:
    return CredentialError(
        Code.INTERACT_REQUIRED,
        f"{identity} has to sign in first, and another sign-in's page is open",
        f"finish that one first, or: browserid login {identity}",
    )
