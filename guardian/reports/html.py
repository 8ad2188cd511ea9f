"""One self-contained HTML report: no request, no script, readable in light, in dark and on paper. Pure.

Invariant: whatever stands in a name or a message is text. Jinja escapes everything, and the page's own policy forbids
all but the one style sheet that this module put there, named by its digest.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from guardian.model import Assurance, Verdict
from guardian.reports import words
from guardian.reports.inputs import ReportInput
from guardian.reports.view import view

__all__ = ["ReportInput", "render"]


def render(given: ReportInput) -> str:
    """Return the page. The same input gives the same text."""
    style = _resource("report.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    page = _environment().get_template("report.html.j2")
    return page.render(
        view=view(given),
        words=words,
        verdicts=tuple(Verdict),
        unknown=Verdict.ERROR,
        levels=tuple(Assurance),
        style=style,  # the template marks it safe: it is ours, and the digest covers its exact text
        style_digest=digest,
    )


def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_resource),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["code"] = _code
    return environment


def _shown(value: Any) -> Any:  # noqa: ANN401 -- Jinja hands over whatever an expression gives
    return value if hasattr(value, "__html__") else words.plain(value)


def _code(text: str) -> list[tuple[bool, str]]:
    """Return the text in parts, (True, …) for what stands between backticks."""
    parts = str(text).split("`")
    if len(parts) % 2 == 0:  # a backtick without its partner is text
        return [(False, str(text))]
    return [(bool(number % 2), part) for number, part in enumerate(parts) if part]


def _resource(name: str) -> str:
    return files("guardian.reports").joinpath(name).read_text(encoding="utf-8")
