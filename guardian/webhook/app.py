"""The webhook over HTTP: `POST /v1/admit` by hand, for its speed; probes and metrics through Starlette.

Invariants: only a complete, small enough JSON body in time is judged; one that is too large is refused by what its
beginning says, for an HTTP error would let it pass. What is answered to a bad request names what is wrong, cut short,
never what was sent. No more than `BODIES_BYTES` of bodies are under way. I/O: none.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

import structlog
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from guardian.serving.connection import ARRIVED
from guardian.usecases.admission_request import ReviewError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from guardian.webhook.answering import Answering

log_events = structlog.get_logger()

_MIB: Final = 1024 * 1024
# An API server takes objects of 3 MiB. A review holds two, and each letter of them may take six, as in \\u003c for <.
BODY_BYTES: Final = 40 * _MIB
BODIES_BYTES: Final = 2 * BODY_BYTES + 4 * _MIB
_HEAD_BYTES: Final = 64 * 1024  # of a body, enough to say what is asked; so much of each is always taken
_LONGEST_ERROR: Final = 300
_DROP_S: Final = 1.0

# A Go duration, as the API server writes ?timeout=: 5s, 1m30s, 1.5s, 300ms.
_DURATION: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")


class _RefusedError(Exception):
    """A request that is answered with an HTTP error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _TooLargeError(Exception):
    """A body that cannot be taken. head: its beginning. why: in words."""

    def __init__(self, head: bytes, why: str) -> None:
        super().__init__(why)
        self.head, self.why = head, why


class App:
    """The ASGI application of one worker."""

    def __init__(self, answering: Answering, *, unready: Callable[[], str | None], metrics: Callable[[], str]) -> None:
        """unready: says why this worker should get no requests, None if it should. metrics: what /metrics answers."""
        self._answering, self._unready, self._metrics = answering, unready, metrics
        self._bodies = 0  # bytes of bodies under way
        self._others = Starlette(
            routes=[
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
                Route("/metrics", self._metrics_page),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["path"] == "/v1/admit":
            await self._admit(scope, receive, send)
        else:
            await self._others(scope, receive, send)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        arrived: float = scope.get(ARRIVED) or time.monotonic()
        close = False
        try:
            deadline, latest = self._answering.limits(arrived, _asked(scope))
            status, kind = 200, b"application/json"
            try:
                content = await self._judged(scope, receive, arrived, deadline, latest)
            except _TooLargeError as error:
                close = True
                await _dropped(receive, deadline)
                content = await self._refused(error, arrived, latest)
        except ReviewError as error:
            status, kind, content = 400, b"text/plain; charset=utf-8", _short(str(error))
        except _RefusedError as error:
            status, kind, content = error.status, b"text/plain; charset=utf-8", _short(str(error))
            if not close:
                close = True  # the rest of the body is not read, or was dropped
                await _dropped(receive)
        except Exception as error:  # noqa: BLE001 -- a defect: the API server does what its failurePolicy says
            # The type alone: the text of an unexpected error may hold what was reviewed.
            log_events.error("webhook_answer_failed", error=type(error).__name__)  # noqa: TRY400 -- see above
            status, kind, content = 500, b"text/plain; charset=utf-8", b"internal error\n"
        if status != 200:
            self._answering.counters.add(f"refused.{status}")
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(content))]
        if close:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _judged(self, scope: Scope, receive: Receive, arrived: float, deadline: float, latest: float) -> bytes:
        """Return the answer to the review in the body. Raises ReviewError, _RefusedError, _TooLargeError."""
        body = await self._body(scope, receive, deadline)
        try:
            return await self._answering.answer(body, arrived, deadline, latest)
        finally:
            self._bodies -= len(body)

    async def _refused(self, found: _TooLargeError, arrived: float, latest: float) -> bytes:
        """Return the answer to the review that `found` begins. Raises _RefusedError if the beginning tells nothing."""
        try:
            return await self._answering.refuse(found.head, arrived, latest, found.why)
        except ReviewError:
            raise _RefusedError(413, found.why) from None

    async def _body(self, scope: Scope, receive: Receive, deadline: float) -> bytes:
        """Return the whole body, and have it counted in `_bodies`. Raises _RefusedError, _TooLargeError."""
        parts: list[bytes] = []
        size = 0
        announced = _announced(scope)
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                while True:
                    message = await receive()
                    part: bytes = message.get("body", b"")
                    size += len(part)
                    self._bodies += len(part)
                    if message["type"] == "http.disconnect":
                        size, self._bodies = 0, self._bodies - size
                        return b""  # nobody is there to read what is wrong with that
                    parts.append(part)
                    if size >= _HEAD_BYTES:
                        self._bounded(max(size, announced), parts)
                    if not message["more_body"]:
                        return b"".join(parts)
        except BaseException as error:
            self._bodies -= size
            parts.clear()  # the error's traceback would keep them
            if isinstance(error, TimeoutError):
                raise _RefusedError(408, "the request did not arrive in time") from None
            raise

    def _bounded(self, size: int, parts: Sequence[bytes]) -> None:
        if size > BODY_BYTES:
            why = f"the request is larger than {BODY_BYTES // _MIB} MiB"
        elif self._bodies > BODIES_BYTES:
            why = "there are too many large requests at once; try again"
        else:
            return
        raise _TooLargeError(b"".join(parts)[:_HEAD_BYTES], why)

    async def _healthz(self, _request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    async def _readyz(self, _request: Request) -> PlainTextResponse:
        reason = self._unready()
        return PlainTextResponse("ok\n" if reason is None else f"{reason}\n", 200 if reason is None else 503)

    async def _metrics_page(self, _request: Request) -> PlainTextResponse:
        text = await asyncio.to_thread(self._metrics)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


def _asked(scope: Scope) -> float | None:
    """Check what the head of the request says, and return how long the caller waits, None if it did not say.

    Raises _RefusedError.
    """
    if scope["method"] != "POST":
        raise _RefusedError(405, "POST an AdmissionReview")
    kind = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    if kind.partition(b";")[0].strip().lower() != b"application/json":
        raise _RefusedError(415, "the Content-Type must be application/json")
    query: bytes = scope["query_string"]
    return _timeout(query) if query else None


async def _dropped(receive: Receive, deadline: float = math.inf) -> None:
    """Read on for a moment and drop it: a connection closed on unread bytes may lose the answer on its way."""
    size = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max(0.0, min(_DROP_S, deadline - time.monotonic()))):
            while size < 4 * BODY_BYTES:
                message = await receive()
                size += len(message.get("body", b""))
                if not message.get("more_body"):
                    return


def _announced(scope: Scope) -> int:
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(length) if length.isdigit() and len(length) < 19 else 0  # httptools has refused what is no number


def _timeout(query: bytes) -> float | None:
    """Return the seconds of `timeout=`, None if it is missing or no positive Go duration."""
    text = parse_qs(query[:200].decode("ascii", "replace")).get("timeout", [""])[0]
    found = _DURATION.fullmatch(text[:40])
    if found is None:
        return None
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000 or None


def _short(message: str) -> bytes:
    printable = "".join(letter if letter.isprintable() else " " for letter in message[:_LONGEST_ERROR])
    return printable.encode("utf-8", "replace") + b"\n"
