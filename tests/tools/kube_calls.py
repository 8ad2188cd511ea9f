"""Plain requests to an API server: any path, any user, with status and warnings as the server gave them."""

from __future__ import annotations

import http.client
import json
import re
import ssl
import threading
import time
import urllib.parse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_TIMEOUT_S = 60
_IDLE_S = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered. warnings: texts of its Warning headers, in order."""

    status: int
    text: str
    warnings: Sequence[str]

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    def expect(self, status: int) -> Any:
        """Return the body if the status is the expected one (200 and 201 alike count as done).

        Raises AssertionError with the server's message.
        """
        if self.status != status and {self.status, status} != {200, 201}:
            raise AssertionError(f"HTTP {self.status} instead of {status}: {self.text}")
        return self.json


class Caller:
    """Calls the server at `url` as the owner of `token`, or as whoever a call says. One connection a thread."""

    def __init__(self, url: str, ca_file: Path, token: str) -> None:
        self._port = urllib.parse.urlsplit(url).port
        self._context = ssl.create_default_context(cafile=str(ca_file))
        self._token = token
        self._local = threading.local()
        self._connections: list[http.client.HTTPSConnection] = []
        self._resources: dict[str, list[dict[str, Any]]] = {}

    def call(
        self,
        method: str,
        path: str,
        body: object | None = None,
        *,
        token: str | None = None,
        impersonate: str | None = None,
        groups: Sequence[str] = (),
        content_type: str = "application/json",
        **query: str,
    ) -> Answer:
        """Send one request. body: what is sent as JSON. query: parameters, such as dryRun="All"."""
        headers = [("Authorization", f"Bearer {token or self._token}"), ("Accept", "application/json")]
        if impersonate is not None:
            headers += [("Impersonate-User", impersonate), *(("Impersonate-Group", group) for group in groups)]
        content = b"" if body is None else json.dumps(body).encode()
        headers += [("Content-Type", content_type), ("Content-Length", str(len(content)))]
        target = f"{path}?{urllib.parse.urlencode(query)}" if query else path
        try:
            return self._send(method, target, headers, content)
        except (http.client.HTTPException, OSError):
            self._connection().close()  # the next call opens it again
            raise

    def apply(
        self,
        obj: Mapping[str, Any],
        *,
        namespace: str = "default",
        impersonate: str | None = None,
        groups: Sequence[str] = (),
        **query: str,
    ) -> Answer:
        """Apply one object server-side with strict field validation, into `namespace` if it names none."""
        path = f"{self.path_of(obj, namespace)}/{urllib.parse.quote(obj['metadata']['name'])}"
        query = {"fieldManager": "test", "force": "true", "fieldValidation": "Strict"} | query
        kind = "application/apply-patch+yaml"
        return self.call("PATCH", path, obj, impersonate=impersonate, groups=groups, content_type=kind, **query)

    def path_of(self, obj: Mapping[str, Any], namespace: str = "default") -> str:
        """Return the path of the collection that an object belongs to."""
        version = obj["apiVersion"]
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        for resource in self._discovered(base):
            if resource["kind"] == obj["kind"] and "/" not in resource["name"]:
                within = obj["metadata"].get("namespace", namespace)
                return (
                    f"{base}/namespaces/{within}/{resource['name']}"
                    if resource["namespaced"]
                    else (f"{base}/{resource['name']}")
                )
        raise AssertionError(f"the server knows no {version} {obj['kind']}")

    def collections(self, namespace: str) -> list[str]:
        """Return the path of every collection in a namespace that can be deleted as a whole."""
        groups = self.call("GET", "/apis").expect(200)["groups"]
        bases = ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]
        return [
            f"{base}/namespaces/{namespace}/{resource['name']}"
            for base in bases
            for resource in self._discovered(base)
            if resource["namespaced"] and "deletecollection" in resource["verbs"]
        ]

    def close(self) -> None:
        """Close every connection."""
        for connection in self._connections:
            connection.close()

    def _discovered(self, base: str) -> list[dict[str, Any]]:
        if base not in self._resources:
            self._resources[base] = self.call("GET", base).expect(200)["resources"]
        return self._resources[base]

    def _connection(self) -> http.client.HTTPSConnection:
        connection: http.client.HTTPSConnection | None = getattr(self._local, "connection", None)
        if connection is not None and time.monotonic() - self._local.used > _IDLE_S:
            connection.close()  # the server may be closing it at this very moment; the next request opens it again
        self._local.used = time.monotonic()
        if connection is None:
            connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=_TIMEOUT_S, context=self._context)
            self._local.connection = connection
            self._connections.append(connection)
        return connection

    def _send(self, method: str, target: str, headers: Sequence[tuple[str, str]], content: bytes) -> Answer:
        connection = self._connection()
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders(content)
        response = connection.getresponse()
        text = response.read().decode()
        # RFC 9110 section 5.5 and 7234 section 5.5: code, agent, quoted text
        warnings = [
            re.sub(r"\\(.)", r"\1", found[1])
            for value in response.headers.get_all("Warning", [])
            if (found := re.match(r'\d{3} \S+ "((?:[^"\\]|\\.)*)"', value))
        ]
        return Answer(response.status, text, warnings)
