"""Uvicorn's server on sockets that somebody else bound. I/O: those sockets."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

import uvicorn

from guardian.serving.connection import Connection

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Iterator

_HANDSHAKE_S: Final = 5.0
_FAREWELL_S: Final = 1.0  # for a client to answer the end of TLS


def configuration(
    app: Callable[..., Any],
    *,
    keep_alive_s: int,
    grace_s: int,
    context: Callable[[], ssl.SSLContext] | None,
    date_header: bool = True,
) -> uvicorn.Config:
    """Return how both servers answer: no word of themselves, no belief in a proxy's headers, no log of their own.

    grace_s: seconds that requests under way have at the end. context: the TLS of each new connection, None without.
    """
    return uvicorn.Config(
        app,
        loop="none",
        http=Connection,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=date_header,
        backlog=1024,
        timeout_keep_alive=keep_alive_s,
        timeout_graceful_shutdown=grace_s,
        ssl_context_factory=None if context is None else lambda _config, _default: context(),
    )


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
