"""The evidence API as one ASGI application: routes, gate and, where it is there, the console."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from fastapi import FastAPI

from guardian import __version__

if TYPE_CHECKING:
    from guardian.api.auth import Door


def make_app(door: Door) -> FastAPI:
    """Return the application that answers with what `door` opens."""
    app = FastAPI(title="Guardian evidence API", version=__version__, openapi_url=None, docs_url=None, redoc_url=None)
    if importlib.util.find_spec("guardian.api.console") and importlib.util.find_spec("guardian.api.console.pages"):
        importlib.import_module("guardian.api.console.pages").mount(app, door)
    return app
