"""Templates and static files of the console, and the headers that every page carries. I/O: the package's own files.

Invariant: whatever stands in a record or a name is text. Jinja escapes everything, and the page's policy allows no
style and no script but the files served from here, no form but to here, and no frame around it.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from markupsafe import Markup
from starlette.responses import HTMLResponse

from guardian import __version__
from guardian.model import Verdict
from guardian.reports import html, meanings, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jinja2 import Environment

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # not no-referrer: with that, a form's Origin would be `null`
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}

_MEDIA_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Static:
    """One file for browsers. version: changes with its content, so that it may be kept for ever under its address."""

    content: bytes
    media_type: str
    version: str


@functools.cache
def static() -> Mapping[str, Static]:
    """Return every static file by name: the console's own, and the report's style sheet, which is its base."""
    texts = {name: _own("static", name) for name in ("console.css", "verify.js", "proof.js", "icon.svg")}
    texts["report.css"] = html.resource("report.css")
    found = {}
    for name, text in texts.items():
        content = text.encode()
        media_type = _MEDIA_TYPES[name.rpartition(".")[2]] + "; charset=utf-8"
        found[name] = Static(content, media_type, hashlib.sha256(content).hexdigest()[:16])
    return found


def page(template: str, *, status: int = 200, **shown: Any) -> HTMLResponse:  # noqa: ANN401 -- what templates show
    """Return a rendered page with the headers that every page carries."""
    return HTMLResponse(_environment().get_template(template).render(**shown), status_code=status, headers=HEADERS)


@functools.cache
def _environment() -> Environment:
    environment = html.environment(_template)
    environment.filters.update(time=time_tag, day=day, address=address, named=named, about=about)
    environment.globals.update(
        version=__version__,
        static_url=lambda name: f"/console/static/{name}?v={static()[name].version}",
        verdict_of=verdict_of,
        meanings=meanings,
        PASS=Verdict.PASS,
        FAIL=Verdict.FAIL,
        ERROR=Verdict.ERROR,
        SKIP=Verdict.SKIP,
    )
    return environment


def verdict_of(text: str | None) -> Verdict:
    """Return the verdict that a result, a slot's state or a verdict stands for; what is not known is an error."""
    known = {"passed": Verdict.PASS, "failed": Verdict.FAIL, "skipped": Verdict.SKIP}
    said = (text or "").lower()
    return known[said] if said in known else Verdict(said) if said in set(Verdict) else Verdict.ERROR


def time_tag(text: str | None, *, seconds: bool = False) -> Markup:
    """Return an RFC 3339 time as `23 Nov 2026, 11:40 UTC` in a `time` element; what is none stays as it is."""
    try:
        moment = datetime.fromisoformat(text or "").astimezone(UTC)
    except ValueError:
        return Markup("{}").format(words.plain(text or "not known"))
    clock = f"{moment:%H:%M:%S}" if seconds else f"{moment:%H:%M}"
    said = f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}, {clock}\N{NO-BREAK SPACE}UTC"
    return Markup('<time datetime="{}">{}</time>').format(moment.isoformat(), said)


def day(text: str) -> str:
    """Return the day of an RFC 3339 time as `23 Nov 2026`."""
    moment = datetime.fromisoformat(text).astimezone(UTC)
    return f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}"


def address(path: str, **query: str | int | None) -> str:
    """Return `path` with those of the query's members that say something."""
    said = {name.rstrip("_"): value for name, value in query.items() if value not in (None, "")}
    return f"{path}?{urlencode(said)}" if said else path


def named(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the options of a choice whose values are shown as they are."""
    return [(name, name) for name in names]


def about(row: Mapping[str, Any]) -> str:
    """Return what a record is about, for its line in a list."""
    subject = str(row["subject"])
    if subject.startswith("snapshot:"):
        return "the environment"
    if subject.startswith("run:"):  # of no use to people: it names the run that the record is
        subject = ""
    return row["asset"] or row["service"] or subject or "\N{EN DASH}"


def _template(name: str) -> str:
    return html.resource(name) if name == "parts.html.j2" else _own("templates", name)


def _own(folder: str, name: str) -> str:
    return files("guardian.api.console").joinpath(folder, name).read_text(encoding="utf-8")
