"""How bytes reach an OPA server: the adapter that is mounted on the client's session, in this one place.

Invariant: no exchange outlives its deadline, however slowly the other side trickles; no answer is larger than its cap
or anything but plain JSON; nothing is redirected, sent through a proxy or sent twice. Resolving a name is the one
thing that the system itself bounds. I/O: one TCP, TLS or Unix connection.
"""

from __future__ import annotations

import contextlib
import io
import socket
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Final

import orjson
import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

from guardian.policy.engine import DeadlineError, EvaluationError, UnansweredError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

    from opa_client import OpaClient

ANSWER_BYTES: Final = 64 * 1024 * 1024
_PIECE: Final = 256 * 1024
_TICKS: Final = 20  # looks at the clock in one deadline: it is kept to a twentieth


class Watch:
    """Shuts the connection down when an exchange is overdue, whatever it waits for."""

    def __init__(self, deadline_s: float) -> None:
        self.deadline_s = deadline_s
        self._lock = threading.Lock()
        self._due = float("inf")
        self._line: socket.socket | None = None
        self.stop = threading.Event()

    @contextlib.contextmanager
    def exchange(self) -> Iterator[None]:
        """Bound what is done inside. Raises DeadlineError afterwards if it was not over in time, however it ended."""
        due = time.monotonic() + self.deadline_s
        with self._lock:
            self._due = due
        try:
            yield
        except (EvaluationError, requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError):
            if time.monotonic() < due:
                raise
        finally:
            with self._lock:
                self._due = float("inf")
        if time.monotonic() >= due:
            raise DeadlineError(self.deadline_s)

    def left(self) -> float:
        """Return the seconds that are left of the exchange, at least a little."""
        return max(0.001, min(self._due - time.monotonic(), self.deadline_s))

    def guard(self, line: socket.socket) -> None:
        """Take this connection for the one in use."""
        self.release()
        twin = line.dup()  # of the same connection, and its own whatever TLS makes of the other
        with self._lock:
            self._line = twin

    def release(self) -> None:
        """Forget the connection in use."""
        with self._lock:
            line, self._line = self._line, None
        if line is not None:
            line.close()

    def look(self) -> None:
        """Shut the connection down if it is overdue."""
        with self._lock:
            if self._line is not None and time.monotonic() >= self._due:
                with contextlib.suppress(OSError):
                    self._line.shutdown(socket.SHUT_RDWR)


def _look_often(watch: Watch) -> None:
    while not watch.stop.wait(watch.deadline_s / _TICKS):
        watch.look()


class _Line(HTTPConnection):
    """A connection that its watch knows, to a host and port, or to a Unix socket."""

    def __init__(self, *arguments: Any, watch: Watch, path: Path | None = None, **options: Any) -> None:  # noqa: ANN401 -- urllib3's own
        super().__init__(*arguments, **options)
        self._watch, self._path = watch, path

    def _new_conn(self) -> socket.socket:
        try:
            line = self._unix(self._path) if self._path else self._internet()
        except OSError as error:
            raise NewConnectionError(self, f"cannot connect: {error.strerror or error}") from error
        self._watch.guard(line)
        return line

    def _unix(self, path: Path) -> socket.socket:
        line = socket.socket(socket.AF_UNIX)
        try:
            line.settimeout(self._watch.left())
            line.connect(str(path))
        except OSError:
            line.close()
            raise
        return line

    def _internet(self) -> socket.socket:
        """Connect to the first address that answers, all within one deadline."""
        failure = OSError("no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM):
            line = socket.socket(family, kind, protocol)
            try:
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                line.settimeout(self._watch.left())
                line.connect(address)
            except OSError as error:
                line.close()
                failure = error
            else:
                return line
        raise failure

    def close(self) -> None:
        """Close it, and its watch's hold on it."""
        self._watch.release()
        super().close()


class _SecureLine(_Line, HTTPSConnection):
    """The same, inside TLS."""


class _Lines(HTTPConnectionPool):
    ConnectionCls = _Line


class _SecureLines(HTTPSConnectionPool):
    ConnectionCls = _SecureLine


class Answer(requests.Response):
    """What came back, read in full. Its JSON is read by the same parser as that of the other engine."""

    def json(self, **_: Any) -> Any:  # noqa: ANN401 -- as requests has it
        """Return the parsed body. Raises EvaluationError if it is not JSON."""
        try:
            return orjson.loads(self.content)
        except orjson.JSONDecodeError:
            raise EvaluationError("the OPA server's answer is not JSON") from None


class Transport(HTTPAdapter):
    """One connection to one server."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        path: Path | None = None,
        tls: ssl.SSLContext | None = None,
        deadline_s: float,
        answer_bytes: int = ANSWER_BYTES,
    ) -> None:
        """path: Unix socket to use instead of host and port. tls: None for plain HTTP. deadline_s: of each exchange."""
        super().__init__(max_retries=0)
        self.watch = Watch(deadline_s)
        self._answer_bytes = answer_bytes
        options: dict[str, Any] = {"maxsize": 1, "watch": self.watch, "path": path, "timeout": deadline_s}
        self._lines: HTTPConnectionPool = (
            _SecureLines(host, port, ssl_context=tls, **options) if tls else _Lines(host, port, **options)
        )
        weakref.finalize(self, self.watch.stop.set)
        threading.Thread(target=_look_often, args=(self.watch,), daemon=True).start()

    def mount(self, client: OpaClient) -> None:
        """Make `client` use this connection and nothing of its surroundings: no proxy, no .netrc, no redirect."""
        session = client._session  # noqa: SLF001 -- the client has no other place for it; a contract test holds it
        session.trust_env = False
        session.max_redirects = 0
        session.headers["Accept-Encoding"] = "identity"
        session.adapters.clear()
        session.mount(client.schema, self)

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> HTTPConnectionPool:  # noqa: ANN401 -- requests' own
        """Return the one pool there is, whatever the URL says."""
        return self._lines

    def cert_verify(self, *_: Any) -> None:  # noqa: ANN401 -- requests' own
        """Leave verification to the TLS context: what requests would set here widens it."""

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:  # noqa: ANN401 -- requests' own
        """Send, and read the whole answer. Raises EvaluationError for one that no OPA server gives."""
        with self.watch.exchange():
            response = super().send(request, *arguments, **{**options, "stream": True})
            try:
                content = self._read(response)
            except BaseException:
                response.close()
                raise
        answer = Answer()
        answer.__dict__.update(response.__dict__)
        answer.raw = io.BytesIO(content)
        return answer

    def _read(self, response: requests.Response) -> bytes:
        if 300 <= response.status_code < 400:
            raise UnansweredError("the OPA server redirects; its url must be that of OPA itself")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise EvaluationError("the OPA server's answer is compressed, which was not asked for")
        content = bytearray()
        while piece := response.raw.read1(_PIECE, decode_content=False):
            content += piece
            if len(content) > self._answer_bytes:
                raise EvaluationError(f"the OPA server's answer is larger than {self._answer_bytes} bytes")
            if self.watch.left() <= 0.001:
                raise DeadlineError(self.watch.deadline_s)
        return bytes(content)

    def close(self) -> None:
        """Close the connection and stop the watch."""
        self.watch.stop.set()
        self._lines.close()
        self.watch.release()
        super().close()
