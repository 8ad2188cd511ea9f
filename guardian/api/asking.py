"""What routes share: who may ask, what may be asked, and how an answer is sent. No I/O."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

from guardian.api import problems
from guardian.api.auth import Caller, Permission
from guardian.api.shapes import ProblemDocument

IMMUTABLE: Final = "max-age=31536000, immutable"
DSSE: Final = "application/vnd.dsse.envelope.v1+json"
# FastAPI's answers for OpenAPI: whatever is no success is a problem.
PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    "default": {
        "description": "A problem, RFC 9457.",
        "content": {problems.MEDIA_TYPE: {"schema": ProblemDocument.model_json_schema()}},
    }
}


def caller_of(request: Request) -> Caller | None:
    """Return whom the gate found to ask, None for nobody."""
    caller: Caller | None = request.scope["state"].get("guardian.caller")
    return caller


def needs(permission: Permission) -> Callable[[Request], Awaitable[Caller]]:
    """Return a dependency that gives the caller, and refuses who may not do this."""

    async def allowed(request: Request) -> Caller:
        caller = caller_of(request)
        if caller is None:
            raise problems.unauthorized()
        if not caller.may(permission):
            raise problems.forbidden(caller.role, permission)
        return caller

    return allowed


async def only_known(request: Request) -> None:
    """Refuse query parameters that the route does not know, and those given twice."""
    dependant = request.scope["route"].dependant
    known = {field.alias for field in dependant.query_params}
    given = [name for name, _ in request.query_params.multi_items()]
    if unknown := sorted(set(given) - known):
        there_are = f"known are {', '.join(sorted(known))}" if known else "this route takes none"
        raise problems.invalid(
            f"there is no query parameter {unknown[0][:60]!r}; {there_are}",
            [{"parameter": name[:60], "detail": "unknown"} for name in unknown[:20]],
        )
    if twice := sorted({name for name in given if given.count(name) > 1}):
        raise problems.invalid(
            f"the query parameter {twice[0]!r} is given twice", [{"parameter": twice[0], "detail": "given twice"}]
        )


def answer(
    request: Request,
    body: bytes,
    *,
    media_type: str = "application/json",
    tagged: bool = False,
    immutable: bool = False,
    public: bool = False,
    headers: Mapping[str, str] | None = None,
    status: int = 200,
) -> Response:
    """Return an answer of these bytes, or 304 where the caller has them.

    tagged: with an ETag, of the bytes. immutable: they never change, so that they may be kept; public: by anybody.
    """
    given = dict(headers or {})
    if tagged or immutable:
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        given["ETag"] = tag
        if immutable:
            given["Cache-Control"] = f"{'public' if public else 'private'}, {IMMUTABLE}"
        if matches(request, tag):
            return Response(status_code=304, headers=given)
    return Response(body, status, given, media_type)


def document(request: Request, value: object, *, tagged: bool = False, status: int = 200, **headers: str) -> Response:
    """Return an answer of this JSON value."""
    return answer(request, orjson.dumps(value), tagged=tagged, status=status, headers=headers)


def matches(request: Request, tag: str) -> bool:
    """Whether the caller says that it has what `tag` stands for (RFC 9110, 13.1.2: compared weakly)."""
    given = ",".join(request.headers.getlist("if-none-match"))
    return given.strip() == "*" or tag in {one.strip().removeprefix("W/") for one in given.split(",")}


def paged(request: Request, page: dict[str, Any]) -> Response:
    """Return one page with the link to the next, in the document and as a header."""
    following: int | None = page["next"]
    if following is None:
        return document(request, page)
    query = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    link = f"{request.url.path}?{urlencode([*query, ('cursor', following)])}"
    return document(request, {**page, "next": link}, Link=f'<{link}>; rel="next"')
