"""Stands between a client and a real API server, passes on what is asked, and now and then answers in its stead.

Speaks plain HTTP on loopback, so that what crosses the wire can be looked at; keeps paths and answers for that.
"""

from __future__ import annotations

import http.client
import http.server
import json
import ssl
import threading
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from tests.tools.kube import KubeApi

Canned = tuple[int, dict[str, str], bytes]


class Interposer:
    """Serves while the `with` block runs.

    answer: given the path with its query, returns (status, headers, body), or None to let the API server answer.
    asked: (path, Accept header) of every request, in order. sent: bodies of every answer.
    """

    def __init__(self, api: KubeApi, answer: Callable[[str], Canned | None] = lambda _path: None) -> None:
        self._api, self._answer = api, answer
        self.asked: list[tuple[str, str]] = []
        self.sent: list[bytes] = []

    def __enter__(self) -> Self:
        outer = self
        context = ssl.create_default_context(cafile=str(self._api.ca_file))

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.asked.append((self.path, self.headers.get("Accept", "")))
                status, headers, body = outer._answer(self.path) or outer._pass_on(self.path, self.headers, context)
                outer.sent.append(body)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _pass_on(self, path: str, headers: Any, context: ssl.SSLContext) -> Canned:
        connection = http.client.HTTPSConnection(self._api.url.removeprefix("https://"), context=context, timeout=60)
        try:
            sent = {name: headers[name] for name in ("Authorization", "Accept") if name in headers}
            connection.request("GET", path, headers=sent)
            response = connection.getresponse()
            return response.status, {"Content-Type": response.headers.get("Content-Type", "")}, response.read()
        finally:
            connection.close()

    def kubeconfig(self, folder: Path, token: str | None = None) -> Path:
        """Return a kubeconfig whose server is this."""
        return write_kubeconfig(folder / "through.json", self.url, token or self._api.admin_token)


def refusal(status: int, message: str = "no", **headers: str) -> Canned:
    """Return an answer as an API server words it."""
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": status}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, {"Content-Type": "application/json", **named}, json.dumps(body).encode()


def write_kubeconfig(path: Path, server: str, token: str, **cluster: str) -> Path:
    """Write a kubeconfig with one context."""
    content = {
        "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    path.chmod(0o600)
    return path
