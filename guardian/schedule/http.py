"""/healthz, /readyz and /metrics of the daemon, over plain HTTP.

Invariant: an answer costs no I/O but its own, whatever is asked, and one caller cannot keep another waiting: few bytes
are read, within seconds, by few threads. Nothing secret is told, so nobody is asked who they are.
"""

from __future__ import annotations

import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from guardian.errors import UsageError
from guardian.schedule.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from guardian.schedule.metrics import Metrics
    from guardian.schedule.status import Status
    from guardian.settings import DaemonSettings

_TEXT: Final = "text/plain; charset=utf-8"
_TIMEOUT_S: Final = 5.0  # for each read, of the request line and of each header
_CALLERS: Final = 16
_HEADERS_S: Final = 15.0  # for the whole request


class Monitor:
    """The server, in threads of its own."""

    def __init__(self, daemon: DaemonSettings, status: Status, metrics: Metrics) -> None:
        """Listen. Raises UsageError if the address does not serve."""
        family = socket.AF_INET6 if ":" in daemon.host else socket.AF_INET
        try:
            self._server = _Server(family, (daemon.host, daemon.port), status, metrics)
        except OSError as error:
            raise UsageError(
                f"cannot listen on daemon.listen {daemon.host}:{daemon.port}: {error.strerror or error}; "
                "another daemon may run already"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="monitor", daemon=True)

    @property
    def place(self) -> str:
        """Where it listens, as `host:port`."""
        host, port = self._server.server_address[:2]
        name = host.decode() if isinstance(host, (bytes, bytearray)) else str(host)
        return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 32

    def __init__(self, family: int, address: tuple[str, int], status: Status, metrics: Metrics) -> None:
        self.address_family = family
        self.status, self.metrics = status, metrics
        self._free = threading.BoundedSemaphore(_CALLERS)
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # HTTPServer would look up this machine's name, which may take long where there is no DNS.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 -- socketserver's
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 -- socketserver's
        # A caller that sends a byte now and then would never meet the timeout of a single read.
        end = threading.Timer(_HEADERS_S, _cut, [request])
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 -- socketserver's
        """Say nothing: a caller that goes away, or talks nonsense, is no event."""


def _cut(request: socket.socket) -> None:
    try:
        request.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.0"  # one request a connection
    server_version = "guardian"
    sys_version = ""
    timeout = _TIMEOUT_S

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/healthz":
                self._say(self.server.status.alive())
            case "/readyz":
                self._say("\n".join(filter(None, (self.server.status.alive(), *self.server.status.lacking()))))
            case "/metrics":
                self._answer(HTTPStatus.OK, self.server.metrics.text(), CONTENT_TYPE)
            case _:
                self._answer(HTTPStatus.NOT_FOUND, b"there are /healthz, /readyz and /metrics\n", _TEXT)

    do_HEAD = do_GET  # noqa: N815 -- http.server's name

    def _say(self, wrong: str) -> None:
        status = HTTPStatus.SERVICE_UNAVAILABLE if wrong else HTTPStatus.OK
        self._answer(status, f"{wrong or 'ok'}\n".encode(), _TEXT)

    def _answer(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002, ANN401 -- http.server's
        """Log nothing: probes come every few seconds."""
