"""The evidence API as one ASGI application: gate, routes and, where it is there, the console. No I/O of its own."""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException

from guardian import __version__
from guardian.api import problems, routes_evidence, routes_log, routes_operation, routes_packs, shapes
from guardian.api.accounting import Accounting
from guardian.api.auth import Door, Sessions
from guardian.api.gate import Gate
from guardian.api.metrics import Metrics
from guardian.api.problems import Problem
from guardian.usecases.access import Desk
from guardian.usecases.packs import Requests
from guardian.usecases.tokens import Book

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from guardian.settings import Settings

_DESCRIPTION = (
    "Signed evidence of compliance and of restored backups, with all that proves it. Lists page by `next`; times are "
    "RFC 3339 in UTC; what is no success is a problem document (RFC 9457). What a token may not read does not exist."
)


def make_app(settings: Settings) -> FastAPI:
    """Return the application that answers from the evidence of `settings`; it needs no signing key.

    Raises UsageError where the environment was never initialised.
    """
    door = Door(settings, Book(settings), Sessions())
    desk, metrics = Desk(settings), Metrics()
    accounting = Accounting(desk, ThreadPoolExecutor(1, thread_name_prefix="accounting"))
    app = FastAPI(
        title="Guardian evidence API",
        version=__version__,
        description=_DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.door = door
    app.add_middleware(Gate, door=door, accounting=accounting, metrics=metrics)
    for error, handler in ((Problem, _problem), (HTTPException, _http), (RequestValidationError, _invalid)):
        app.add_exception_handler(error, handler)
    routes_operation.mount(app, door, desk, metrics)
    routes_evidence.mount(app, door)
    routes_log.mount(app, door)
    routes_packs.mount(app, door, Requests(settings))
    if importlib.util.find_spec("guardian.api.console") and importlib.util.find_spec("guardian.api.console.pages"):
        importlib.import_module("guardian.api.console.pages").mount(app, door)
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]  # as FastAPI's documentation does
    return app


def _described(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        described = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=None
        )
        components = described["components"]
        for shape in shapes.Shape.__subclasses__():
            # FastAPI drops every null of what it describes, in examples too, where they belong.
            schema = shape.model_json_schema()
            if shape.__name__ in components["schemas"] and "examples" in schema:
                components["schemas"][shape.__name__]["examples"] = schema["examples"]
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "gdn_..."}}
        described["security"] = [{"token": []}]
        for path in ("/healthz", "/readyz"):
            described["paths"][path]["get"]["security"] = []
        app.openapi_schema = described
    return app.openapi_schema


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 -- registered for it
    return error.response(request.url.path)


async def _http(request: Request, error: Exception) -> Response:
    """What the framework refuses: unknown routes and methods, bodies that are no JSON."""
    assert isinstance(error, HTTPException)  # noqa: S101 -- registered for it
    if error.status_code == 404:
        problem = problems.not_found()
    elif error.status_code == 405:
        problem = Problem(405, "method-not-allowed", "this route does not take that method", headers=error.headers)
    else:
        problem = Problem(error.status_code, "refused", str(error.detail), headers=error.headers)
    return problem.response(request.url.path)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 -- registered for it
    # Never `input`: what was sent may be a secret that went to the wrong place.
    found = [
        {"parameter": ".".join(str(part) for part in one["loc"][1:])[:100] or str(one["loc"][0]), "detail": one["msg"]}
        for one in error.errors()[:20]
    ]
    detail = "; ".join(f"{one['parameter']}: {one['detail']}" for one in found)
    return problems.invalid(detail, found).response(request.url.path)
