"""Routes that read the evidence: records, services, controls, drills, coverage. I/O: through `Door`."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Depends, FastAPI, Path, Query, Request, Response

from guardian.api import shapes
from guardian.api.asking import DSSE, PROBLEMS, answer, document, needs, only_known, paged
from guardian.api.auth import Caller, Door, Permission
from guardian.api.problems import invalid, not_found
from guardian.errors import UsageError
from guardian.usecases.reading import MAX_LIMIT, NotFoundError, Reading

Result = TypeVar("Result")

Reader = Annotated[Caller, Depends(needs(Permission.READ))]
Order = Annotated[Literal["newest", "oldest"], Query(description="Which come first.")]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Entries of a page.")]
Cursor = Annotated[int | None, Query(ge=0, lt=1 << 62, description="Log index of the last entry seen.")]
Word = Annotated[str | None, Query(min_length=1, max_length=200)]
Since = Annotated[str | None, Query(max_length=40, description="RFC 3339, or a date: finished then or later.")]
Until = Annotated[str | None, Query(max_length=40, description="RFC 3339, or a date: finished before.")]
RecordId = Annotated[str, Path(pattern=r"^([0-9]{1,18}|[0-9a-f-]{36})$", description="A log index, or a record id.")]
_COVERED = timedelta(days=30)


async def read(door: Door, work: Callable[[Reading], Result]) -> Result:
    """Return what `work` makes of the evidence. Raises Problem 404, or 422 for what never can be."""
    try:
        return await door.read(work)
    except NotFoundError as error:
        raise not_found(str(error)) from error
    except UsageError as error:
        raise invalid(str(error)) from error


def mount(app: FastAPI, door: Door) -> None:
    """Add the routes."""
    common: dict[str, Any] = {"responses": PROBLEMS, "dependencies": [Depends(only_known)], "tags": ["evidence"]}

    @app.get("/v1/records", response_model=shapes.Records, summary="Records, by log index", **common)
    async def records(
        request: Request,
        caller: Reader,
        kind: Word = None,
        service: Word = None,
        control: Word = None,
        asset: Word = None,
        verdict: Word = None,
        since: Since = None,
        until: Until = None,
        order: Order = "newest",
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Response:
        """`verdict`: with `control`, records in which that control came to it; without, records of that result."""
        page = await read(
            door,
            lambda reading: reading.records(
                caller.scope,
                kind=kind,
                service=service,
                control=control,
                asset=asset,
                verdict=verdict,
                since=since,
                until=until,
                newest_first=order == "newest",
                limit=limit,
                cursor=cursor,
            ),
        )
        return paged(request, page)

    @app.get("/v1/records/{id}", response_model=shapes.Record, summary="One record, with all that proves it", **common)
    async def record(request: Request, caller: Reader, id: RecordId) -> Response:  # noqa: A002 -- the route's word
        """The proof is of the newest tree: it changes as the log grows, and the ETag with it."""
        return document(request, await read(door, lambda reading: reading.record(caller.scope, id)), tagged=True)

    @app.get(
        "/v1/records/{id}/envelope",
        response_model=shapes.Envelope,
        response_class=_Dsse,
        summary="The exact bytes that were signed and logged",
        **common,
    )
    async def envelope(request: Request, caller: Reader, id: RecordId) -> Response:  # noqa: A002 -- the route's word
        """A DSSE envelope; its SHA-256 is in the log's entry. It never changes."""
        found = await read(door, lambda reading: reading.record(caller.scope, id))
        return answer(request, base64.b64decode(found["envelope"]), media_type=DSSE, immutable=True)

    @app.get("/v1/services", response_model=shapes.Services, summary="Services: verdicts, drills, objectives", **common)
    async def services(request: Request, caller: Reader) -> Response:
        return document(request, await read(door, lambda reading: reading.services(caller.scope)))

    @app.get("/v1/services/{name}", response_model=shapes.Service, summary="One service", **common)
    async def service(request: Request, caller: Reader, name: Annotated[str, Path(max_length=200)]) -> Response:
        return document(request, await read(door, lambda reading: reading.service(caller.scope, name)))

    @app.get("/v1/controls", response_model=shapes.Controls, summary="The catalogue, with frameworks", **common)
    async def controls(request: Request, caller: Reader) -> Response:
        return document(request, await read(door, lambda reading: reading.controls(caller.scope)))

    @app.get("/v1/drills", response_model=shapes.Drills, summary="Drills, by log index", **common)
    async def drills(
        request: Request,
        caller: Reader,
        asset: Word = None,
        service: Word = None,
        since: Since = None,
        until: Until = None,
        order: Order = "newest",
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Response:
        page = await read(
            door,
            lambda reading: reading.drills(
                caller.scope,
                asset=asset,
                service=service,
                since=since,
                until=until,
                newest_first=order == "newest",
                limit=limit,
                cursor=cursor,
            ),
        )
        return paged(request, page)

    @app.get(
        "/v1/coverage", response_model=shapes.Coverage, summary="Scheduled slots, and what became of them", **common
    )
    async def coverage(request: Request, caller: Reader, since: Since = None, until: Until = None) -> Response:
        """Without a period: the last 30 days."""
        end = _moment(until, "until") or datetime.now(UTC)
        begin = _moment(since, "since") or end - _COVERED
        if begin > end:
            raise invalid("the period runs backwards: since lies after until")
        return document(
            request, await read(door, lambda reading: reading.coverage(caller.scope, since=begin, until=end))
        )


class _Dsse(Response):
    media_type = DSSE


def _moment(text: str | None, name: str) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or (moment.tzinfo is None and len(text) > len("2026-11-24")):
        detail = f"{name} must be a moment such as 2026-11-24T02:00:00Z, or a date"
        raise invalid(detail, [{"parameter": name, "detail": detail}])
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
