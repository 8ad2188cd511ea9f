"""One self-contained HTML report: no request, no script, readable in light, in dark and on paper. Pure.

Invariant: whatever stands in a name or a message is text. Jinja escapes everything, and the page's own policy forbids
all but the one style sheet that this module put there, named by its digest.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from guardian.model import Assurance, Verdict
from guardian.reports import words
from guardian.reports.inputs import ReportInput
from guardian.reports.view import view

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ReportInput", "environment", "render", "resource"]


def render(given: ReportInput) -> str:
    """Return the page. The same input gives the same text."""
    style = resource("report.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    page = environment(resource).get_template("report.html.j2")
    return page.render(
        view=view(given),
        verdicts=tuple(Verdict),
        unknown=Verdict.ERROR,
        style=style,  # the template marks it safe: it is ours, and the digest covers its exact text
        style_digest=digest,
    )


def environment(load: Callable[[str], str | None]) -> Environment:
    """Return what renders pages of templates by name, all text in them escaped and plain. load: text of a template."""
    made = Environment(
        loader=FunctionLoader(load),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["code"] = _code
    made.globals.update(words=words, levels=tuple(Assurance))
    return made


def _shown(value: Any) -> Any:  # noqa: ANN401 -- Jinja hands over whatever an expression gives
    return value if hasattr(value, "__html__") else words.plain(value)


def _code(text: str) -> list[tuple[bool, str]]:
    """Return the text in parts, (True, …) for what stands between backticks."""
    parts = str(text).split("`")
    if len(parts) % 2 == 0:  # a backtick without its partner is text
        return [(False, str(text))]
    return [(bool(number % 2), part) for number, part in enumerate(parts) if part]


def resource(name: str) -> str:
    """Return the text of a template or style sheet of this room."""
    return files("guardian.reports").joinpath(name).read_text(encoding="utf-8")
