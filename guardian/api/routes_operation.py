"""What machines ask of this server: is it alive, ready, what does it count; and its description. I/O: `Desk`'s."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import structlog
from fastapi import Depends, FastAPI, Request, Response
from starlette.responses import PlainTextResponse

from guardian.api.asking import PROBLEMS, answer, document, needs, only_known
from guardian.api.auth import Caller, Door, Permission
from guardian.api.metrics import MEDIA_TYPE, Metrics
from guardian.api.problems import unavailable
from guardian.errors import GuardianError
from guardian.usecases.access import Desk

_LATE = timedelta(minutes=10)  # without a signature: the parent signs twice a minute

log_events = structlog.get_logger()


def mount(app: FastAPI, door: Door, desk: Desk, metrics: Metrics) -> None:
    """Add the routes."""
    common: dict[str, Any] = {"responses": PROBLEMS, "dependencies": [Depends(only_known)], "tags": ["operation"]}

    @app.get("/healthz", response_class=PlainTextResponse, summary="Whether it is alive", **common)
    async def healthz() -> Response:
        return PlainTextResponse("ok\n")

    @app.get("/readyz", response_class=PlainTextResponse, summary="Whether it can answer", **common)
    async def readyz() -> Response:
        """503 also while what was read is not being signed."""
        try:
            _, oldest = await asyncio.to_thread(desk.waiting)
        except GuardianError as error:
            log_events.error("api_not_ready", reason=str(error))  # noqa: TRY400 -- the reason says it
            raise unavailable("the database cannot be read") from error
        if oldest is not None and datetime.now(UTC) - oldest > _LATE:
            raise unavailable("what was read has not been signed for more than ten minutes")
        await door.read(lambda reading: reading.checkpoint())
        return PlainTextResponse("ok\n")

    @app.get("/metrics", response_class=PlainTextResponse, summary="Counters, as Prometheus reads them", **common)
    async def counted(request: Request, _caller: Annotated[Caller, Depends(needs(Permission.METRICS))]) -> Response:
        waiting, _ = await asyncio.to_thread(desk.waiting)
        return answer(request, metrics.page(waiting=waiting, sessions=len(door.sessions)), media_type=MEDIA_TYPE)

    @app.get("/v1/openapi.json", summary="This description, OpenAPI 3.1", **common)
    async def openapi(request: Request, _caller: Annotated[Caller, Depends(needs(Permission.READ))]) -> Response:
        return document(request, app.openapi(), tagged=True)
