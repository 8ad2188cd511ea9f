"""Packs: asked for here, written by the parent, which has the keys. I/O: by `Requests`."""

import asyncio
from typing import Annotated, Any

from fastapi import Body, Depends, FastAPI, Path, Request, Response
from starlette.responses import FileResponse

from guardian.api import shapes
from guardian.api.asking import PROBLEMS, document, matches, needs, only_known
from guardian.api.auth import Caller, Door, Permission
from guardian.api.problems import not_found, too_many
from guardian.usecases.packs import Requests, TooManyPacksError

Packer = Annotated[Caller, Depends(needs(Permission.PACK))]
PackId = Annotated[str, Path(max_length=100)]
_NONE = "there is no such pack"


def mount(app: FastAPI, door: Door, packs: Requests) -> None:
    """Add the routes."""
    common: dict[str, Any] = {"responses": PROBLEMS, "dependencies": [Depends(only_known)], "tags": ["packs"]}

    @app.post("/v1/packs", status_code=202, response_model=shapes.Pack, summary="Ask for a pack", **common)
    async def ask(
        request: Request, caller: Packer, _wanted: Annotated[shapes.PackRequest | None, Body()] = None
    ) -> Response:
        """All that the token may read, as `guardian evidence export` writes it. It is kept for a day."""
        try:
            pack = await asyncio.to_thread(packs.add, caller.token_id)
        except TooManyPacksError as error:
            raise too_many(str(error), error.retry_s) from error
        return document(request, _shown(pack), status=202, Location=f"/v1/packs/{pack['id']}")

    @app.get("/v1/packs/{id}", response_model=shapes.Pack, summary="How far a pack is", **common)
    async def state(request: Request, caller: Packer, id: PackId) -> Response:  # noqa: A002 -- the route's word
        pack = await asyncio.to_thread(packs.get, id, caller.token_id)
        if pack is None:
            raise not_found(_NONE)
        return document(request, _shown(pack))

    @app.get("/v1/packs/{id}/file", response_class=_Zip, summary="The pack, a zip", **common)
    async def file(request: Request, caller: Packer, id: PackId) -> Response:  # noqa: A002 -- the route's word
        """Verify it with `guardian verify FILE --root root.json`."""
        found = await asyncio.to_thread(packs.file, id, caller.token_id)
        if found is None:
            raise not_found(_NONE)
        path, sha256 = found
        tag = f'"{sha256}"'
        if matches(request, tag):
            return Response(status_code=304, headers={"ETag": tag})
        name = f"guardian-{door.settings.environment}-{id}.zip"
        return FileResponse(path, headers={"ETag": tag}, media_type="application/zip", filename=name)


class _Zip(Response):
    media_type = "application/zip"


def _shown(pack: dict[str, Any]) -> dict[str, Any]:
    return {**pack, "file": f"/v1/packs/{pack['id']}/file" if pack["state"] == "done" else None}
