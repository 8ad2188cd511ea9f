"""What every request passes before anything answers it, and every answer before it leaves.

Invariants: what is below `/v1/` is answered to known callers only, whatever its route says. A browser's cookie changes
nothing unless one of our own pages sent the request. No answer to a known caller leaves before it is written down.
Every refusal, and every defect, is a problem document. I/O: through `Door` and `Accounting`.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import structlog
from starlette.requests import ClientDisconnect, Request

from guardian.api import problems
from guardian.api.problems import Problem
from guardian.errors import GuardianError
from guardian.usecases.access import Access

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from guardian.api.accounting import Accounting
    from guardian.api.auth import Caller, Door
    from guardian.api.metrics import Metrics

BODY_BYTES: Final = 64 * 1024
URL_BYTES: Final = 8 * 1024
HEADERS: Final = 100
_BODY_S: Final = 10.0
_OPEN: Final = frozenset({"/healthz", "/readyz"})  # asked by machines that know no token, and no name of this host
# Answers that tell nothing of the evidence. The console's own pages are among the routes that are written down.
_UNWRITTEN: Final = frozenset({"/healthz", "/readyz", "/metrics", "/console/login", "/console/logout"})
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_NO_ROUTE: Final = "unknown"
_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
_HSTS: Final = "max-age=31536000"

log_events = structlog.get_logger()


class Gate:
    """The outermost part of the application."""

    def __init__(self, app: ASGIApp, *, door: Door, accounting: Accounting, metrics: Metrics) -> None:
        self._app, self._door, self._accounting, self._metrics = app, door, accounting, metrics
        self._hosts = frozenset(host.lower() for host in door.api.hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        answer = _Answer(self, scope, send)
        try:
            request = Request(scope, receive)
            self._refuse_malformed(scope, request)
            body = await _body(request)
            answer.caller = await self._admit(request)
            await self._app(scope, _replay(body, receive), answer.send)
        except Problem as problem:
            await answer.problem(problem)
        except ClientDisconnect:
            return  # whoever asked has left, before it was known who
        except Exception:
            if answer.begun:
                raise  # half an answer is out: the connection must not look as if it were whole
            # As text: a renderer that shows the variables of each frame would show the token.
            log_events.error("api_request_failed", route=_template(scope), trace=traceback.format_exc())  # noqa: TRY400
            await answer.problem(problems.internal())

    async def finish(self, scope: Scope, caller: Caller | None, status: int, began: float) -> None:
        """Write an answer down. Raises Problem 503 if that cannot be done."""
        route, method = _template(scope), scope["method"]
        if caller is not None and route not in _UNWRITTEN and "/static/" not in route:
            access = Access(datetime.now(UTC), caller.name, caller.role, f"{_short(method)} {route}", status)
            try:
                await self._accounting.note(access)
            except Exception as error:
                log_events.error("api_access_not_written", reason=str(error))  # noqa: TRY400 -- the reason says it
                raise problems.unavailable("what is read is written down, and just now it cannot be") from error
        self._metrics.answered(method, route, status, time.perf_counter() - began)

    def headers(self, given: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Return the headers of an answer with those that it lacks; a page may state its own policy."""
        names = {name.lower() for name, _ in given}
        wanted = dict(_HEADERS)
        if self._door.secure:
            wanted["strict-transport-security"] = _HSTS
        added = [(name.encode(), value.encode()) for name, value in wanted.items() if name.encode() not in names]
        return given + added

    def _refuse_malformed(self, scope: Scope, request: Request) -> None:
        if len(scope.get("raw_path") or scope["path"].encode()) + len(scope["query_string"]) > URL_BYTES:
            raise Problem(414, "url-too-long", f"a URL has at most {URL_BYTES} bytes here")
        if len(scope["headers"]) > HEADERS:
            raise Problem(431, "too-many-headers", f"a request has at most {HEADERS} headers here")
        if b"gdn_" in scope["query_string"]:
            detail = "a token never belongs in a URL, where logs keep it: revoke it, and send Authorization: Bearer"
            raise Problem(400, "token-in-url", detail)
        hosts = request.headers.getlist("host")
        if scope["path"] not in _OPEN and (len(hosts) != 1 or not self._known_host(hosts[0])):
            raise Problem(400, "unknown-host", "this host name is not served here")

    def _known_host(self, host: str) -> bool:
        if not host or len(host) > 255:
            return False
        name, _, port = host.lower().rpartition(":")
        bare = name if name and port.isdigit() else host.lower()
        return not self._hosts or host.lower() in self._hosts or bare in self._hosts

    async def _admit(self, request: Request) -> Caller | None:
        """Return who asks, None for nobody where nobody may ask. Raises Problem."""
        path = request.scope["path"]
        if path in _OPEN:
            return None
        limits = self._door.limits
        try:
            caller = await asyncio.to_thread(self._door.caller, request)
        except GuardianError as error:
            log_events.error("api_tokens_not_read", reason=str(error))  # noqa: TRY400 -- the reason says it
            raise problems.unavailable("tokens cannot be checked just now") from error
        shown = "authorization" in request.headers
        if caller is None and shown:
            limits.failed(request)
            raise problems.invalid_token()
        limits.count(request, None if caller is None else caller.token_id)
        if caller is None and (path == "/v1" or path.startswith("/v1/")):
            raise problems.unauthorized()
        if request.method not in _SAFE and not shown and not self._door.same_origin(request):
            raise Problem(403, "cross-site", "a browser may change things here from our own pages only")
        return caller


class _Answer:
    """One answer on its way out."""

    def __init__(self, gate: Gate, scope: Scope, send: Send) -> None:
        self._gate, self._scope, self._send = gate, scope, send
        self._began_at = time.perf_counter()
        self._replaced = False
        self.begun = False
        self.caller: Caller | None = None

    async def send(self, message: Message) -> None:
        """Send on what the application answers, once it is written down."""
        if self._replaced:
            return
        if message["type"] == "http.response.start" and not self.begun:
            try:
                await self._gate.finish(self._scope, self._who(), message["status"], self._began_at)
            except Problem as problem:
                self._replaced = True
                await self._emit(problem)
                return
            self.begun = True
            message = {**message, "headers": self._gate.headers(list(message.get("headers", ())))}
        await self._send(message)

    async def problem(self, problem: Problem) -> None:
        """Answer with a problem."""
        if self.begun or self._replaced:
            return
        try:
            await self._gate.finish(self._scope, self._who(), problem.status, self._began_at)
        except Problem as other:
            problem = other
        await self._emit(problem)

    async def _emit(self, problem: Problem) -> None:
        self.begun = True
        response = problem.response(self._scope["path"])
        headers = self._gate.headers(list(response.raw_headers))
        await self._send({"type": "http.response.start", "status": problem.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": response.body})

    def _who(self) -> Caller | None:
        # A refusal by the gate itself may come after the caller was found, and before it was handed over.
        known: Caller | None = self._scope.get("state", {}).get("guardian.caller")
        return self.caller or known


async def _body(request: Request) -> bytes:
    """Return the whole body. Raises Problem if it is too large or too slow."""
    length = request.headers.get("content-length", "0")
    too_large = Problem(413, "body-too-large", f"a request has at most {BODY_BYTES} bytes here")
    if not length.isdigit() or int(length[:20]) > BODY_BYTES:
        raise too_large
    if length == "0" and "transfer-encoding" not in request.headers:
        return b""
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_S):
            async for part in request.stream():
                body += part
                if len(body) > BODY_BYTES:
                    raise too_large
    except TimeoutError:
        raise Problem(408, "too-slow", f"the request did not arrive within {_BODY_S:g} s") from None
    return bytes(body)


def _replay(body: bytes, rest: Receive) -> Receive:
    given = False

    async def receive() -> Message:
        nonlocal given
        if given:
            return await rest()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _template(scope: Scope) -> str:
    """Return the route's template, never the path: what was asked for is nobody's business but the caller's."""
    route: Any = scope.get("route")
    path = getattr(route, "path", None)
    return path if isinstance(path, str) else _NO_ROUTE


def _short(method: str) -> str:
    return method[:16]
