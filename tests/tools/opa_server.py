"""A bare OPA server on a Unix socket, for any Rego: OPA's own interpreter, asked thousands of times.

Guardian's own policies are compared through `guardian.policy.opa.OpaEngine` instead.
"""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self._path)


class OpaServer:
    """Serves the Rego below `folder`, without tests and compiled files."""

    def __init__(self, opa: Path, folder: Path) -> None:
        self._scratch = tempfile.mkdtemp(prefix="opa-")  # short: a socket's path has 107 bytes
        self._socket = f"{self._scratch}/s"
        command = [str(opa), "run", "--server", "--addr", f"unix://{self._socket}", "--log-level", "error"]
        command += [
            "--skip-version-check",
            "--ignore",
            "*_test.rego",
            "--ignore",
            "*.yaml",
            "--ignore",
            "manifest.json",
        ]
        self._process = subprocess.Popen(
            [*command, "."],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"HOME": self._scratch},
        )
        self._connection = _Connection(self._socket)

    def __enter__(self) -> Self:
        deadline = time.monotonic() + 60
        while True:
            try:
                self._request("GET", "/health")
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self._end()
                    raise
                time.sleep(0.05)
                self._connection.close()
            else:
                return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._connection.close()
        self._process.terminate()
        self._process.wait(30)
        shutil.rmtree(self._scratch)

    def value(self, path: str, document: object) -> Any:
        """Return the value at `path` for `document` as input, None if undefined; a builtin that fails is undefined."""
        status, answer = self._request("POST", f"/v1/data/{path}", {"input": document})
        assert status == http.HTTPStatus.OK, answer
        return answer.get("result")

    def _request(self, method: str, path: str, content: object | None = None) -> tuple[int, Any]:
        body = None if content is None else json.dumps(content)
        self._connection.request(method, path, body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        return response.status, json.loads(response.read() or b"null")
