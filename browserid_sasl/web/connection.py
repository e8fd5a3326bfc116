"""One connection with a client: HTTP by uvicorn, and how long each part of it may take."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from browserid_sasl.web.door import Guest

_REQUEST_S: Final = 10
_TAKE_S: Final = 10
_GOODBYE_S: Final = 0.2


class HttpConnection(H11Protocol):
    """A connection that ends when its client does not do its part, and never while we do ours.

    :param guest: its place.
    """

    def __init__(self, guest: Guest, *, config: uvicorn.Config, server_state: Any) -> None:
        super().__init__(config, server_state, {}, asyncio.get_running_loop())
        self._guest = guest
        self._limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._guest.dismiss = transport.abort
        self._wait_for_request()

    def connection_lost(self, exc: Exception | None) -> None:
        # Whatever holds on to this object would keep what is in its buffers.
        self._set_limit(None)
        self._unset_keepalive_if_required()
        self._guest.left()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._is_answering():
            return
        if not self.flow.write_paused:
            # The application bounds the time for the rest of the request, and its own time.
            self._set_limit(None)
        if not self.cycle.more_body:
            self._guest.is_served()

    def on_response_complete(self) -> None:
        # Before the next request, which may be here already, is looked at.
        self._wait_for_request()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._set_limit(_TAKE_S)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._set_limit(None if self._is_answering() else _REQUEST_S)

    def shutdown(self) -> None:
        super().shutdown()
        if not self._is_answering():
            # An idle client need not notice that TLS ends, and would be waited for.
            self._set_limit(_GOODBYE_S)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait_for_request(self) -> None:
        self._guest.is_waiting()
        self._set_limit(_REQUEST_S)

    def _set_limit(self, seconds: float | None) -> None:
        """When the connection is to end if nothing else happens; None for never."""
        if self._limit is not None:
            self._limit.cancel()
        self._limit = None
        if seconds is not None:
            self._limit = self.loop.call_later(seconds, self.transport.abort)
