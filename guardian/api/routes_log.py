"""The log itself, as C2SP tlog-tiles lays it out, for any standard client. I/O: through `Door`.

Invariant: without `publicLog`, this too is for known callers; and whoever may read some records only is not told which
others there are: tiles of hashes say nothing, bundles of entries would.
"""

import re
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Path, Request, Response

from guardian.api.asking import PROBLEMS, answer, caller_of, needs, only_known
from guardian.api.auth import Door, Permission
from guardian.api.problems import not_found
from guardian.api.routes_evidence import read

_TILE = re.compile(r"(?:[0-9]|[1-5][0-9]|6[0-3]|entries)/(?:x[0-9]{3}/)*[0-9]{3}(?:\.p/[1-9][0-9]{0,2})?", re.ASCII)


def mount(app: FastAPI, door: Door) -> None:
    """Add the routes."""
    admitted = needs(Permission.READ)

    async def reader(request: Request) -> None:
        if not door.api.public_log:
            await admitted(request)

    common: dict[str, Any] = {
        "responses": PROBLEMS,
        "dependencies": [Depends(reader), Depends(only_known)],
        "tags": ["log"],
    }

    @app.get("/checkpoint", response_class=_Text, summary="The signed head of the log (C2SP tlog-checkpoint)", **common)
    async def checkpoint(request: Request) -> Response:
        note = await read(door, lambda reading: reading.checkpoint())
        if note is None:
            raise not_found("the log is empty")
        return answer(request, note, media_type="text/plain; charset=utf-8", tagged=True)

    @app.get("/tile/{path:path}", response_class=_Bytes, summary="A tile of the log (C2SP tlog-tiles)", **common)
    async def tile(
        request: Request, path: Annotated[str, Path(description="Such as `0/000` or `entries/000.p/17`.")]
    ) -> Response:
        caller = caller_of(request)
        hidden = not door.api.public_log and caller is not None and caller.limited and path.startswith("entries")
        if hidden or len(path) > 100 or not _TILE.fullmatch(path):
            raise not_found("there is no such tile")
        found = await read(door, lambda reading: reading.tile(f"tile/{path}"))
        if found is None:
            raise not_found("there is no such tile")
        body, full = found
        return answer(
            request,
            body,
            media_type="application/octet-stream",
            tagged=True,
            immutable=full,
            public=door.api.public_log,
        )


class _Text(Response):
    media_type = "text/plain; charset=utf-8"


class _Bytes(Response):
    media_type = "application/octet-stream"
