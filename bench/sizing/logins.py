"""What a login costs an acceptor and its store: CPU time, round trips and octets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Final

from bench.sizing.kinds import ASSERTION, DOUBT, TICKET, TOGETHER
from bench.sizing.meters import Meter, Reading
from bench.sizing.stores import STORES, Stage
from tests.support.acceptor import Host, Program
from tests.support.services import AES128

LOGINS: Final = 1_600
"""Of each kind."""
WARM_UP: Final = 160


def measured(
    stores: Sequence[str] = tuple(STORES), logins: int = LOGINS, warm_up: int = WARM_UP
) -> dict[str, dict[str, Reading]]:
    """What a login costs on each store, by its kind; ``KINDxN`` are those that arrive N at once.

    :param stores: of `STORES`.
    :param logins: how many of each kind, a multiple of `TOGETHER`.
    :param warm_up: how many of each kind go first without being counted.
    """
    found = {}
    for name in stores:
        with STORES[name]() as stage:
            costs = {}
            for kind, make in ((ASSERTION, assertions), (TICKET, tickets)):
                for together in (1, TOGETHER):
                    messages = make(stage.host, logins + warm_up)
                    label = kind if together == 1 else f"{kind}x{together}"
                    costs[label] = _cost(stage, messages, together, warm_up)
            if stage.forget is not None:
                stage.forget()
                costs[DOUBT] = _cost_in_doubt(stage, logins // TOGETHER)
            found[name] = costs
    return found


def assertions(host: Host, count: int) -> list[bytes]:
    """First messages of somebody who has no ticket."""
    client = host.client(person=host.realm.person())
    return [client.start_with(AES128).step(None) for _ in range(count)]


def tickets(host: Host, count: int) -> list[bytes]:
    """First messages of somebody who has one."""
    client = host.client(person=host.realm.person())
    with Program(host.socket) as program:
        reply = program.log_in(client.start_with(AES128), bid="1")
        if reply.verb != "OK":
            raise RuntimeError(str(reply))
    return [client.start_with(AES128).step(None) for _ in range(count)]


def used(meter: Meter, action: Callable[[], object], count: int) -> Reading:
    """What something uses that is done so often, each time; what reading takes is not in it."""
    first = meter.read()
    before = meter.read()
    action()
    return (meter.read() - before - (before - first)).over(count)


def _cost(stage: Stage, messages: Sequence[bytes], together: int, warm_up: int) -> Reading:
    """What a login costs of so many that arrive at once; the first do not count."""
    with ExitStack() as stack:
        programs = [stack.enter_context(Program(stage.host.socket)) for _ in range(together)]
        _log_in(programs, messages[:warm_up])
        rest = messages[warm_up:]
        return used(stage.meter, lambda: _log_in(programs, rest), len(rest))


def _log_in(programs: Sequence[Program], messages: Sequence[bytes]) -> None:
    """Have each program present a message, and then read all their answers, and so on."""
    for start in range(0, len(messages), len(programs)):
        batch = list(zip(programs, messages[start:], strict=False))
        for program, message in batch:
            program.begin(start + 1, AES128, message, bid="1")
        for program, _ in batch:
            reply = program.reply()
            if reply.verb != "OK":
                raise RuntimeError(str(reply))


def _cost_in_doubt(stage: Stage, count: int) -> Reading:
    person = stage.host.realm.person()
    with Program(stage.host.socket) as program:

        def log_in(number: int) -> None:
            reply = program.log_in(stage.host.mechanism(person=person), number, bid="1")
            if reply.verb != "OK":
                raise RuntimeError(str(reply))

        def all_of(count: int) -> None:
            for number in range(count):
                log_in(2 + number)

        log_in(1)
        return used(stage.meter, lambda: all_of(count), count)
