"""Uvicorn's server on sockets that somebody else bound. I/O: those sockets."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import uvicorn

from guardian.serving.connection import Connection

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

_HANDSHAKE_S: Final = 5.0
_FAREWELL_S: Final = 1.0  # for a client to answer the end of TLS


class Server(uvicorn.Server):
    """Uvicorn's, but signals are its process's, and nobody may dawdle in TLS."""

    def __init__(self, configuration: uvicorn.Config, ready: Callable[[], None]) -> None:
        """ready: called once requests are taken."""
        super().__init__(configuration)
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve `sockets`."""
        loop = asyncio.get_running_loop()

        def connect() -> Connection:
            return Connection(config=self.config, server_state=self.server_state, app_state={}, _loop=loop)

        self.servers = [
            await loop.create_server(
                connect,
                sock=listener,
                ssl=self.config.ssl,
                backlog=self.config.backlog,
                ssl_handshake_timeout=_HANDSHAKE_S if self.config.ssl else None,
                ssl_shutdown_timeout=_FAREWELL_S if self.config.ssl else None,
            )
            for listener in sockets or []
        ]
        self.started = True
        self._ready()
