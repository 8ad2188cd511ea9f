"""The process that answers HTTP: it holds no signing key, opens none, and ends when its parent does.

SIGTERM: it stops accepting, answers what is under way, and exits 0. I/O: sockets, certificate files, what the
application reads; guardian.yaml through `config`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvloop

from guardian import config, telemetry
from guardian.api.app import make_app
from guardian.errors import GuardianError, UsageError
from guardian.serving.server import Server, configuration
from guardian.serving.tls import Certificate, Files
from guardian.settings import ApiSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardian.settings import Settings

# What it says to its parent: it takes requests; or why it cannot, as a usage error or another, in words.
READY: Final = b"R"
USAGE: Final = b"U"
FAILED: Final = b"F"
GRACE_S: Final = 15  # for what is under way when it is asked to end
_KEEP_ALIVE_S: Final = 30
_CERTIFICATE_S: Final = 1.0


def certificate_of(api: ApiSettings) -> Certificate | None:
    """Return the serving certificate, None for plain HTTP. Raises UsageError if its files do not serve."""
    if api.certificate is None or api.key is None:
        return None
    return Certificate(Files("api", api.certificate, api.key))


async def serve(settings: Settings, listener: socket.socket, parent: socket.socket) -> None:
    """Answer on `listener` until SIGTERM, and say READY to `parent` first."""
    certificate = certificate_of(settings.api or ApiSettings())
    app = make_app(settings)
    server = Server(
        configuration(
            app,
            keep_alive_s=_KEEP_ALIVE_S,
            grace_s=GRACE_S,
            context=None if certificate is None else lambda: certificate.context,
        ),
        lambda: parent.sendall(READY),
    )
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    watch = asyncio.create_task(_watch(certificate)) if certificate is not None else None
    try:
        await server.serve(sockets=[listener])
    finally:
        if watch is not None:
            watch.cancel()
        app.state.door.close()


async def _watch(certificate: Certificate) -> None:
    while True:
        await asyncio.sleep(_CERTIFICATE_S)
        await asyncio.to_thread(certificate.reload, datetime.now(UTC))


def main(arguments: Sequence[str] | None = None) -> None:
    """Answer HTTP for the parent that began this process."""
    parser = argparse.ArgumentParser(prog="guardian.api.child", description=main.__doc__)
    parser.add_argument("--config", type=Path, required=True)
    for name in ("--listener", "--parent"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args(arguments)
    telemetry.configure(verbose=options.verbose)
    parent = socket.socket(fileno=options.parent)
    listener = socket.socket(fileno=options.listener)
    threading.Thread(target=_end_with, args=(parent,), name="parent", daemon=True).start()
    try:
        settings = config.load(options.config)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings, listener, parent))
    except (GuardianError, OSError) as error:
        # The parent raises it as its own if nothing was ever served.
        with contextlib.suppress(OSError):
            parent.sendall((USAGE if isinstance(error, UsageError) else FAILED) + str(error).encode()[:4000])
        sys.exit(1)
    os._exit(0)  # a thread may still be reading for somebody who has left


def _end_with(parent: socket.socket) -> None:
    """Wait for the parent's end, however it came, and end this process: in order, or else by force."""
    with contextlib.suppress(OSError):
        while parent.recv(1):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S + 5)
    os._exit(1)


if __name__ == "__main__":
    main()
