"""One HTTP connection: uvicorn's, with the limits that a server in a cluster network needs.

Invariants: the time of a request is that of its first byte. A connection that does not bring the head of a request
within `HEAD_S`, or sends a head larger than `HEAD_BYTES`, is closed; so is what comes above `CONNECTIONS`. When the
worker stops, idle connections get a moment longer, in which a request already under way is answered, then they close.
I/O: none of its own.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

HEAD_S: Final = 5.0
HEAD_BYTES: Final = 64 * 1024
CONNECTIONS: Final = 512
DRAIN_S: Final = 0.5
ARRIVED: Final = "guardian.arrived"  # in the ASGI scope: monotonic time of the first byte


class Connection(HttpToolsProtocol):
    """As uvicorn's, with deadlines and limits."""

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 -- as the base class takes them
        super().__init__(*arguments, **named)
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._draining = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base class
        """Begin to wait for a request."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            transport.abort()
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._head_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came; refuse a head without end."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_timer is not None and self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")
        elif self._head_timer is None and self.timeout_keep_alive_task is None and not self._busy:
            self._await_head()  # bytes that begin no request, such as empty lines, must not keep a connection either

    def on_message_begin(self) -> None:
        """Note when the request began."""
        super().on_message_begin()
        self.scope[ARRIVED] = time.monotonic()  # type: ignore[typeddict-unknown-key]  # ASGI lets servers add keys
        if self._head_timer is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        """Hand the request to the application."""
        self._head_arrived()
        super().on_headers_complete()
        if self._draining:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """Answer what is under way, then close."""
        self._draining = True
        if self._busy:
            self.cycle.keep_alive = False
        else:
            self.loop.call_later(DRAIN_S, super().shutdown)

    @property
    def _busy(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request, whatever the base class says
        return cycle is not None and not cycle.response_complete

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(HEAD_S, self._head_missing)

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_missing(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
