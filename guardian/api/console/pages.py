"""The console's pages and where they are. I/O: what the door opens.

Invariants: a page shows what `Reading` gives for its caller's scope and nothing else; whoever is not let in sees the
login and nothing else; after a login the browser goes to a page of the console, never elsewhere.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, quote

from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response
from starlette.routing import Match, Route

from guardian.api.console import covering, posture, telling, timeline
from guardian.api.console.rendering import HEADERS, page, static
from guardian.errors import UsageError
from guardian.reports.view import drill_view
from guardian.usecases.reading import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.types import Scope

    from guardian.api.auth import Caller, Door
    from guardian.usecases.reading import Reading

HOME: Final = "/console/"
LOGIN: Final = "/console/login"
PAGE_SIZE: Final = 50
_CHARTED: Final = 200  # drills on one chart
_MOST_FORM: Final = 8192  # bytes of a login form
_MOST_QUERY: Final = 300  # characters of one value in a query
_MOST_KEYRINGS: Final = 50
_RETURN: Final = re.compile(r"/console(/[A-Za-z0-9._~%@:+-]+)*/?(\?[A-Za-z0-9._~%@:+&=/-]*)?")
_VERDICTS: Final = {"pass": "passed", "fail": "failed", "error": "could not be checked", "skip": "nothing to judge",
                    "missed": "missed"}  # fmt: skip


def mount(app: FastAPI, door: Door) -> None:
    """Add the console to the API's application."""
    console = Console(door)
    seen: list[tuple[str, Callable[[Request, Caller, Reading], Response]]] = [
        (HOME, console.services),
        ("/console/services", console.to_services),
        ("/console/services/{name}", console.service),
        ("/console/drills", console.drills),
        ("/console/coverage", console.coverage),
        ("/console/records", console.records),
        ("/console/records/{id}", console.record),
        ("/console/{rest:path}", console.nothing),
    ]
    routes = [
        _Named("/console/static/{name}", _static, methods=["GET"], include_in_schema=False),
        _Named(LOGIN, console.login, methods=["GET", "POST"], include_in_schema=False),
        _Named("/console/logout", console.logout, methods=["POST"], include_in_schema=False),
        _Named("/console", _to_home, methods=["GET"], include_in_schema=False),
    ]
    routes += [_Named(path, console.shown(handler), methods=["GET"], include_in_schema=False) for path, handler in seen]
    app.router.routes.extend(routes)


class _Named(Route):
    """A route that the gate can write down by its template, as FastAPI's own are."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match as ever, and leave the route with the request."""
        match, child = super().matches(scope)
        if match is not Match.NONE:
            child["route"] = self
        return match, child


def return_path(text: str | None) -> str:
    """Return `text` if it is the path of a page of this console, else the first page: never another site."""
    if not text or len(text) > 1000 or not _RETURN.fullmatch(text) or "/../" in text or text.startswith(LOGIN):
        return HOME
    return text


class Console:
    """The pages, for whom `door` lets in."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._environment = door.settings.environment

    def shown(self, handler: Callable[[Request, Caller, Reading], Response]) -> Callable[[Request], Response]:
        """Return what answers a request with a page: for nobody the login, for what is not there a page saying so."""

        def answer(request: Request) -> Response:
            caller = self._door.caller(request)
            if caller is None:
                asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
                back = return_path(asked)
                where = LOGIN if back == HOME else f"{LOGIN}?next={quote(back, safe='')}"
                return _redirect(where)
            try:
                with self._door.reading() as reading:
                    return handler(request, caller, reading)
            except NotFoundError as error:
                return self._problem(caller, 404, "There is no such page", str(error))
            except UsageError as error:
                return self._problem(caller, 400, "That cannot be shown", str(error))

        return answer

    async def login(self, request: Request) -> Response:
        """Show the login, or begin a session with the token that was pasted."""
        back = return_path(request.query_params.get("next"))
        if request.method != "POST":
            caller = await run_in_threadpool(self._door.caller, request)
            return _redirect(back) if caller is not None else self._login_page(back)
        if not self._door.same_origin(request):
            return self._login_page(back, "The form came from another site, so it was not read. Try again.", 403)
        form = await _form(request)
        if form is None:
            return self._login_page(back, "The form is too long or not one of ours.", 400)
        back = return_path(form.get("next"))
        token = form.get("token", "").strip()
        if not token:
            return self._login_page(back, "Paste a token.", 400)
        session = await run_in_threadpool(self._door.login, token, request)
        if session is None:
            return self._login_page(
                back, "This token is not known here, was revoked, or has expired. Ask whoever gave it to you.", 401
            )
        response = _redirect(back)
        self._door.set_cookie(response, session)
        return response

    async def logout(self, request: Request) -> Response:
        """End the session and show the login."""
        if not self._door.same_origin(request):
            return self._login_page(HOME, "The form came from another site, so nobody was logged out.", 403)
        await run_in_threadpool(self._door.logout, request)
        response = _redirect(f"{LOGIN}?ended=1")
        self._door.clear_cookie(response)
        return response

    def to_services(self, _request: Request, _caller: Caller, _reading: Reading) -> Response:
        """Send to the first page, which lists them."""
        return _redirect(HOME)

    def services(self, _request: Request, caller: Caller, reading: Reading) -> Response:
        """Show every service: how it stands, what restores, how fast, what comes next."""
        views = [posture.service_view(one) for one in reading.services(caller.scope)["services"]]
        views.sort(key=lambda one: (posture.WORST_FIRST.index(one.verdict), one.service["name"]))
        families = sorted({name for one in views for name in one.families})
        return self._page(
            "services.html.j2", caller, "services", services=views, headline=posture.headline(views), families=families
        )

    def service(self, request: Request, caller: Caller, reading: Reading) -> Response:
        """Show one service with its assets and controls."""
        service = reading.service(caller.scope, request.path_params["name"])
        catalogue = {control["id"]: control for control in reading.controls(caller.scope)["controls"]}
        return self._page(
            "service.html.j2",
            caller,
            "services",
            view=posture.service_view(service),
            families=posture.controls_by_family(service, catalogue),
        )

    def drills(self, request: Request, caller: Caller, reading: Reading) -> Response:
        """Show drills as a chart over time and as a table."""
        asked = _query(request, "asset", "service", "from", "to")
        found = reading.drills(
            caller.scope,
            asset=asked["asset"],
            service=asked["service"],
            since=asked["from"],
            until=_after(asked["to"]),
            limit=_CHARTED if asked["asset"] else PAGE_SIZE,
            cursor=_cursor(request),
        )
        services = reading.services(caller.scope)["services"]
        return self._page(
            "drills.html.j2",
            caller,
            "drills",
            drills=[(drill, *posture.drill_objectives(drill)) for drill in found["drills"]],
            chart=timeline.chart(found["drills"]),
            geometry=timeline,
            following=found["next"],
            asked=asked,
            paged=_cursor(request) is not None,
            names=[(one["name"], [asset["name"] for asset in one["assets"]]) for one in services],
        )

    def coverage(self, request: Request, caller: Caller, reading: Reading) -> Response:
        """Show every slot of a period as a calendar, and name those that nobody ran."""
        asked = _query(request, "from", "to", "month", "job")
        now = datetime.now(UTC)
        period = covering.period(asked["month"], asked["from"], asked["to"], now)
        document = reading.coverage(caller.scope, since=period.since, until=max(period.since, min(period.until, now)))
        jobs = [
            (job, covering.calendar(job, period, now)) for job in document["jobs"] if asked["job"] in (None, job["job"])
        ]
        missing = [slot for slot in document["missing"] if asked["job"] in (None, slot["job"])]
        return self._page(
            "coverage.html.j2",
            caller,
            "coverage",
            coverage=document,
            period=period,
            jobs=jobs,
            missing=missing,
            names=[job["job"] for job in document["jobs"]],
            states=covering.STATES,
            asked=asked,
            months=_months(period),
        )

    def records(self, request: Request, caller: Caller, reading: Reading) -> Response:
        """Show a list of records, filtered."""
        asked = _query(request, "kind", "service", "control", "asset", "verdict", "from", "to")
        found = reading.records(
            caller.scope,
            kind=asked["kind"],
            service=asked["service"],
            control=asked["control"],
            asset=asked["asset"],
            verdict=asked["verdict"],
            since=asked["from"],
            until=_after(asked["to"]),
            limit=PAGE_SIZE,
            cursor=_cursor(request),
        )
        services = reading.services(caller.scope)["services"]
        return self._page(
            "records.html.j2",
            caller,
            "records",
            records=found["records"],
            following=found["next"],
            size=found["size"],
            asked=asked,
            filtered=any(asked.values()),
            paged=_cursor(request) is not None,
            kinds=telling.KINDS,
            verdicts=_VERDICTS,
            services=[one["name"] for one in services],
            assets=[asset["name"] for one in services for asset in one["assets"]],
            controls=[control["id"] for control in reading.controls(caller.scope)["controls"]],
        )

    def record(self, request: Request, caller: Caller, reading: Reading) -> Response:
        """Show one record in words, with all that proves it, for the browser to verify."""
        from guardian.usecases.report import drill_from  # noqa: PLC0415 -- pulls in the engines' catalogue

        found = reading.record(caller.scope, request.path_params["id"])
        row, statement = found["record"], found["statement"]
        predicate = statement["predicate"]
        drill = None
        if row["kind"] == "restore-drill" and row["asset"] and predicate["checks"]:
            drill = drill_view(drill_from(self._door.settings, predicate), [])
        return self._page(
            "record.html.j2",
            caller,
            "records",
            found=found,
            row=row,
            predicate=predicate,
            kinds=telling.KINDS,
            sentences=telling.sentences(row["kind"], row, predicate),
            drill=drill,
            scan=telling.scan(predicate) if row["kind"] == "policy-evaluation" else None,
            statement=telling.statement_text(found["envelope"]),
            keyrings=_keyrings(reading, caller),
        )

    def nothing(self, _request: Request, caller: Caller, _reading: Reading) -> Response:
        """Say that there is no such page."""
        return self._problem(caller, 404, "There is no such page", "Nothing lies at this address.")

    def _page(self, template: str, caller: Caller, here: str, **shown: Any) -> Response:  # noqa: ANN401 -- for templates
        return page(template, environment=self._environment, caller=caller, here=here, **shown)

    def _problem(self, caller: Caller, status: int, title: str, said: str) -> Response:
        said = said[:1].upper() + said[1:]
        return page(
            "problem.html.j2",
            status=status,
            environment=self._environment,
            caller=caller,
            here="",
            title=title,
            said=said,
        )

    def _login_page(self, back: str, said: str = "", status: int = 200) -> Response:
        return page(
            "login.html.j2", status=status, environment=self._environment, caller=None, here="", back=back, said=said,
            home=HOME,
        )  # fmt: skip


def _static(request: Request) -> Response:
    """Answer with a static file; under its version's address it never changes."""
    found = static().get(request.path_params["name"])
    if found is None:
        return Response("not found\n", status_code=404, media_type="text/plain", headers=dict(HEADERS))
    current = request.query_params.get("v") == found.version
    keep = "public, max-age=31536000, immutable" if current else "no-cache"
    return Response(found.content, media_type=found.media_type, headers=dict(HEADERS) | {"Cache-Control": keep})


def _to_home(_request: Request) -> Response:
    return _redirect(HOME)


def _redirect(path: str) -> Response:
    return RedirectResponse(path, status_code=303, headers=dict(HEADERS))


async def _form(request: Request) -> dict[str, str] | None:
    """Return the fields of a form, None unless it is a short one in UTF-8."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return None
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_FORM:
            return None
    try:
        fields = parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=8, errors="strict")
    except ValueError:
        return None
    return {name: values[0] for name, values in fields.items()}


def _query(request: Request, *names: str) -> dict[str, str | None]:
    """Return these members of the query; an empty one asks for nothing. Raises UsageError for an overlong one."""
    asked = {name: request.query_params.get(name) or None for name in names}
    for name, value in asked.items():
        if value is not None and len(value) > _MOST_QUERY:
            raise UsageError(f"`{name}` is too long")
    return asked


def _cursor(request: Request) -> int | None:
    text = request.query_params.get("cursor")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise UsageError("`cursor` must be the index of a record")
    return int(text)


def _after(to: str | None) -> str | None:
    """Return the moment at which a period that includes the day `to` ends; what is no date is left to be refused."""
    if to is None:
        return None
    try:
        return (date.fromisoformat(to) + timedelta(days=1)).isoformat()
    except (ValueError, OverflowError):
        return to


def _months(period: covering.Period) -> Mapping[str, str]:
    if period.month is None:
        return {}
    return {name: f"{covering.following(period.month, step):%Y-%m}" for name, step in (("previous", -1), ("next", 1))}


def _keyrings(reading: Reading, caller: Caller) -> Sequence[tuple[int, str]]:
    """Return (index, keyring's envelope) of each key-event, oldest first: what leads from the root to the keys."""
    rows = reading.records(caller.scope, kind="key-event", newest_first=False, limit=_MOST_KEYRINGS)["records"]
    found = [(row["index"], reading.record(caller.scope, row["index"])["statement"]) for row in rows]
    return [(index, telling.keyring_text(statement)) for index, statement in found]
