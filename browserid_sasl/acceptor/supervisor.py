"""The parent process: it makes the sockets, gives up root's rights, and keeps the workers.

It decides nothing about logins, and no octet of a client comes near it.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from browserid_sasl.acceptor import listeners as sockets
from browserid_sasl.acceptor import notify
from browserid_sasl.acceptor.accounts import account_of, become
from browserid_sasl.acceptor.balance import Balance, Board
from browserid_sasl.acceptor.claims import PATIENCE, claim
from browserid_sasl.acceptor.listeners import Listener
from browserid_sasl.acceptor.log import Log, Priority
from browserid_sasl.acceptor.servers import Servers
from browserid_sasl.acceptor.worker import READY, Worker, work
from browserid_sasl.config import Config, ListenerConfig
from browserid_sasl.errors import BrowserIDError, ConfigurationError
from browserid_sasl.sasl.results import describe_surprise

MAX_WORKERS: Final = 256
HUNG_AFTER: Final = 15.0
"""Seconds of silence after which a worker is ended, and another started."""

SETTLED_AFTER: Final = 10.0
"""Seconds that a worker lives which has not died of its start."""

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 30.0
"""Seconds until a worker is started again, when it dies at once, and dies again."""

Ready = Callable[[int, Sequence[str]], None]

_DESCRIPTORS_ELSE: Final = 200
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_READ_SIZE: Final = 4096


class _Child:
    """A worker, as its parent sees it.

    :param pid: its process.
    :param number: which one it is.
    :param control: connects it to its parent.
    """

    def __init__(self, pid: int, number: int, control: socket.socket) -> None:
        self.pid = pid
        self.number = number
        self.control = control
        self.started = self.heard = time.monotonic()
        self.ready = False
        self.leaving = False

    def tell(self, order: dict[str, object], descriptors: list[int] | None = None) -> None:
        """Send an order."""
        with suppress(OSError):
            socket.send_fds(self.control, [json.dumps(order).encode()], descriptors or [])


class Supervisor:
    """The service.

    :param load: reads the configuration.
    :param log: where its words go.
    :param ready: told once how many workers answer, and on which sockets.
    """

    def __init__(self, load: Callable[[], Config], log: Log, ready: Ready) -> None:
        self._load = load
        self._log = log
        self._ready: Ready | None = ready
        self._config = load()
        self._account = account_of(self._config)
        self._machine = _machine_name()
        self._listeners: dict[str, Listener] = {}
        self._inherited: set[str] = set()
        self._claims: dict[str, int] = {}
        self._children: dict[int, _Child] = {}
        self._due: dict[int, float] = {}
        self._pauses: dict[int, float] = {}
        self._board = Board(MAX_WORKERS)
        self._servers = Servers(self._config, self._machine)
        self._selector = selectors.DefaultSelector()
        self._signals: list[int] = []
        self._stopping: float | None = None
        self._told_ready = False
        self._watchdog = notify.watchdog_period()

    def run(self) -> int:
        """Serve until told to stop; the exit status.

        :raises ConfigurationError: if the service cannot begin.
        """
        self._begin()
        while self._stopping is None or self._children:
            self._turn()
        self._end()
        return 0

    def _begin(self) -> None:
        _check_backend(self._config)
        for listener in sockets.inherited(self._config):
            self._listeners[listener.path] = listener
            if listener.file is None:
                self._inherited.add(listener.path)
        if not self._inherited:
            self._take_up_what_was_kept()
            for path in sockets.wanted(self._config):
                if path not in self._listeners:
                    self._bind(self._config, path, PATIENCE)
        _allow_descriptors(self._config)
        become(self._account)
        if os.geteuid() == 0:
            self._log(Priority.WARNING, "it stays root: `user` in [acceptor] names an account")
        self._watch_signals()
        # What is here stays: forked processes share it, and the collector need not look at it.
        gc.collect()
        gc.freeze()
        for number in range(_workers(self._config)):
            self._start(number)

    def _take_up_what_was_kept(self) -> None:
        """Go on with the sockets of the acceptor before, as far as they are wanted still."""
        named = sockets.wanted(self._config)
        for path, listener in list(self._listeners.items()):
            if path in named and sockets.is_in_place(listener):
                self._claim(self._config, path, PATIENCE)
                self._listeners[path] = sockets.change(
                    self._config, listener, named[path], self._account
                )
            else:
                sockets.remove(self._listeners.pop(path))

    def _bind(self, config: Config, path: str, patience: float) -> None:
        if path not in self._claims:
            self._claim(config, path, patience)
        options = sockets.wanted(config)[path]
        self._listeners[path] = sockets.bind(config, path, options, self._account, patience)
        sockets.keep(self._listeners[path])

    def _claim(self, config: Config, path: str, patience: float) -> None:
        folder = config.store.server_directory
        try:
            claimed = claim(folder, path, self._account, patience)
        except OSError as error:
            # As with everything that is down: logins will say so, and the service is there.
            self._log(
                Priority.ERROR,
                f"{error.strerror}: {error.filename}: {folder} has to be a folder of the account"
                f" {self._account.name}",
            )
            return
        if claimed is None:
            raise sockets.section_error(
                config,
                path,
                f"another browserid-acceptor has the socket {path}",
                "stop it first, or name another path",
            )
        self._claims[path] = claimed

    def _watch_signals(self) -> None:
        receiver, sender = socket.socketpair()
        for end in (receiver, sender):
            end.setblocking(False)
        signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        self._wakeup = receiver, sender
        for number in _SIGNALS:
            signal.signal(number, lambda number, _: self._signals.append(number))
        self._selector.register(receiver, selectors.EVENT_READ, self._awake)

    def _awake(self) -> None:
        with suppress(BlockingIOError):
            while self._wakeup[0].recv(_READ_SIZE):
                pass

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._patience()):
            key.data()
        signals, self._signals = self._signals, []
        for number in dict.fromkeys(signals):
            self._take_signal(number)
        self._reap()
        self._start_what_is_due()
        self._end_what_hangs()
        if self._watchdog is not None:
            notify.notify("WATCHDOG=1")

    def _patience(self) -> float:
        return 1.0 if self._watchdog is None else min(1.0, self._watchdog)

    def _take_signal(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._reload()
        elif number in (signal.SIGTERM, signal.SIGINT):
            self._stop()

    # Workers

    def _start(self, number: int) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            ours.close()
            self._be_worker(number, theirs)
        theirs.close()
        ours.setblocking(False)
        child = _Child(pid, number, ours)
        self._children[pid] = child
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._hear(child))

    def _be_worker(self, number: int, control: socket.socket) -> None:
        """What a new process does. It never returns."""
        try:
            self._let_go()
            work(
                Worker(
                    self._listeners.values(),
                    control,
                    self._load,
                    self._servers,
                    self._machine,
                    self._log,
                    Balance(self._board, number),
                )
            )
        except BaseException as error:
            self._log(Priority.ERROR, f"a worker fails: {describe_surprise(error)[1]}")
        os._exit(1)

    def _let_go(self) -> None:
        """Leave to the parent what is the parent's."""
        signal.set_wakeup_fd(-1)
        # The parent is told to stop, or to reload, and tells us: by itself a signal that reaches
        # all processes of the service would cut off logins under way.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        for end in self._wakeup:
            end.close()
        for child in self._children.values():
            child.control.close()
        # What is claimed ends with the parent: a worker that outlives it listens no more.
        for descriptor in self._claims.values():
            os.close(descriptor)

    def _hear(self, child: _Child) -> None:
        try:
            message = child.control.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:
            self._selector.unregister(child.control)
            child.control.close()
            return
        child.heard = time.monotonic()
        if message == READY:
            child.ready = True
            self._tell_when_all_are_ready()

    def _tell_when_all_are_ready(self) -> None:
        staying = [child for child in self._children.values() if not child.leaving]
        if self._told_ready or self._stopping or not all(child.ready for child in staying):
            return
        self._told_ready = True
        count = len(staying)
        self._log(
            Priority.INFO,
            f"ready, with {count} worker{'s' * (count != 1)}, on " + ", ".join(self._listeners),
        )
        notify.notify("READY=1", f"STATUS={count} workers")
        # Who has started it may have stopped listening when it reads its configuration again.
        ready, self._ready = self._ready, None
        if ready is not None:
            ready(count, list(self._listeners))

    def _reap(self) -> None:
        while self._children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is not None:
                self._bury(child, os.waitstatus_to_exitcode(status))

    def _bury(self, child: _Child, status: int) -> None:
        if child.number not in {other.number for other in self._children.values()}:
            self._board.gone(child.number)
        with suppress(KeyError, ValueError):
            self._selector.unregister(child.control)
        child.control.close()
        if self._stopping is not None or child.leaving:
            return
        lived = time.monotonic() - child.started
        pause = 0.0 if lived > SETTLED_AFTER else self._longer_pause(child.number)
        self._pauses[child.number] = pause
        self._due[child.number] = time.monotonic() + pause
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        self._log(
            Priority.ERROR, f"worker {child.pid} has ended {how}, another starts in {pause:.1f} s"
        )

    def _longer_pause(self, number: int) -> float:
        return min(LONGEST_PAUSE, max(FIRST_PAUSE, 2 * self._pauses.get(number, 0.0)))

    def _start_what_is_due(self) -> None:
        now = time.monotonic()
        for number in [number for number, when in self._due.items() if when <= now]:
            del self._due[number]
            try:
                self._start(number)
            except OSError as error:
                self._log(Priority.ERROR, f"a worker cannot be started: {error.strerror}")
                self._due[number] = now + LONGEST_PAUSE

    def _end_what_hangs(self) -> None:
        now = time.monotonic()
        if self._stopping is not None and now > self._stopping:
            self._kill_all()
        for child in self._children.values():
            if now - child.heard > HUNG_AFTER:
                self._log(Priority.ERROR, f"worker {child.pid} does nothing any more: it is ended")
                child.heard = now
                _kill(child.pid)

    def _kill_all(self) -> None:
        for child in self._children.values():
            _kill(child.pid)

    # Reload and stop

    def _reload(self) -> None:
        if self._stopping is not None:
            return
        notify.reloading()
        try:
            config = self._load()
            _check_backend(config)
            self._servers = Servers(config, self._machine)
        except BrowserIDError as error:
            self._log(Priority.ERROR, f"the configuration stays as it is: {error}")
            notify.notify("READY=1")
            return
        self._config = config
        self._told_ready = False
        if self._inherited:
            self._listeners = {
                path: replace(listener, options=config.listeners.get(path, ListenerConfig()))
                for path, listener in self._listeners.items()
            }
        else:
            self._change_listeners()
        self._change_workers()
        order: dict[str, object] = {"do": "reload", "paths": list(self._listeners)}
        descriptors = [listener.socket.fileno() for listener in self._listeners.values()]
        for child in self._children.values():
            if not child.leaving:
                child.ready = False
                child.tell(order, descriptors)

    def _change_listeners(self) -> None:
        named = sockets.wanted(self._config)
        for path in [path for path in self._listeners if path not in named]:
            sockets.remove(self._listeners.pop(path))
            if path in self._claims:
                os.close(self._claims.pop(path))
        for path in named:
            try:
                old = self._listeners.get(path)
                if old is None or not sockets.is_in_place(old):
                    self._bind(self._config, path, 0)
                    if old is not None:
                        sockets.remove(old)
                elif named[path] != old.options:
                    self._listeners[path] = sockets.change(
                        self._config, old, named[path], self._account
                    )
            except ConfigurationError as error:
                self._log(Priority.ERROR, str(error))

    def _change_workers(self) -> None:
        wanted = _workers(self._config)
        staying = (child for child in self._children.values() if not child.leaving)
        there = {child.number for child in staying} | self._due.keys()
        for number in set(range(wanted)) - there:
            self._start(number)
        for child in self._children.values():
            if child.number >= wanted and not child.leaving:
                child.leaving = True
                child.tell({"do": "drain"})

    def _stop(self) -> None:
        if self._stopping is not None:
            self._kill_all()
            return
        notify.notify("STOPPING=1")
        patience = self._config.acceptor.drain_ms / 1000
        self._log(Priority.INFO, f"stopping, within {patience:.0f} s")
        # A little more than the workers have.
        self._stopping = time.monotonic() + patience + 1
        self._due.clear()
        for child in self._children.values():
            child.tell({"do": "drain"})

    def _end(self) -> None:
        # Who is to be started again at once finds them as they are, with those who wait on them.
        if not notify.is_listened_to():
            for listener in self._listeners.values():
                sockets.remove(listener)
        self._log(Priority.INFO, "stopped")


def _workers(config: Config) -> int:
    return config.acceptor.workers or len(os.sched_getaffinity(0))


def _check_backend(config: Config) -> None:
    in_memory = config.store.backend == "memory" and not config.store.url
    if in_memory and _workers(config) != 1:
        raise config.error(
            "store.backend",
            "several workers cannot share stores in memory",
            "set `workers` in [acceptor] to 1, or `backend` in [store] to sqlite",
        )


def _allow_descriptors(config: Config) -> None:
    """Have descriptors for as many connections as are permitted, as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = config.acceptor.connections + _DESCRIPTORS_ELSE
    if soft < needed:
        target = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _machine_name() -> str:
    """The host's name, without waiting long for a name server that may be down."""
    name = socket.gethostname()
    if "." in name:
        return name
    try:
        done = subprocess.run(
            ["/bin/hostname", "--fqdn"], capture_output=True, text=True, timeout=3, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return name
    return done.stdout.strip() or name
