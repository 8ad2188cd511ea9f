"""What the command line shares: consoles, output formats, progress. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from guardian import telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Wide enough for ids where stdout is no terminal: a pipe must not truncate what a person will grep.
_PIPE_WIDTH = 160


class Format(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    JSON = "json"


class ReportFormat(StrEnum):
    """How findings are printed: also as build servers and code scanning read them."""

    TABLE = "table"
    JSON = "json"
    SARIF = "sarif"
    JUNIT = "junit"


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Configuration file. Default: ./guardian.yaml, then /etc/guardian/guardian.yaml.",
    ),
]
FormatOption = Annotated[Format, typer.Option("--format", help="Output format.")]
ReportFormatOption = Annotated[ReportFormat, typer.Option("--format", help="Output format.")]


def out() -> Console:
    """Return the console for results."""
    console = Console()
    return console if console.is_terminal else Console(width=_PIPE_WIDTH)


def err() -> Console:
    """Return the console for progress and errors."""
    return Console(stderr=True)


def error(message: str) -> None:
    """Print an error for a person on stderr; no markup is interpreted in it."""
    console = err()
    console.print("error:", style="bold red", end=" ")
    console.print(message, markup=False, highlight=False, soft_wrap=True)


def say(message: str) -> None:
    """Print a line of the result on stdout as it is: no markup, no wrapping."""
    out().print(message, markup=False, highlight=False, soft_wrap=True)


def note(message: str) -> None:
    """Print a remark on stderr."""
    err().print(message, markup=False, highlight=False, soft_wrap=True)


def answers(service: str) -> None:
    """Tell a person, and the daemon if there is one, that a service answers."""
    note(service)
    telemetry.announce()


def print_json(document: Any) -> None:  # noqa: ANN401 -- any JSON value
    """Print one JSON document on stdout, sorted keys, indented."""
    typer.echo(orjson.dumps(document, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2).decode())


def print_bytes(document: bytes) -> None:
    """Print a document on stdout byte by byte, whatever the terminal's encoding."""
    sys.stdout.flush()
    sys.stdout.buffer.write(document)
    sys.stdout.buffer.flush()


@contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """Yield a function that shows the step now under way; silent where stderr is no terminal."""
    console = err()
    if not console.is_terminal:
        yield lambda _step: None
        return
    with console.status("starting") as status:
        yield status.update


@contextmanager
def counted() -> Iterator[Callable[[str, int | None, int | None], None]]:
    """Yield a function (label, done, total) that shows one bar; silent where stderr is no terminal."""
    console = err()
    if not console.is_terminal:
        yield lambda _label, _done, _total: None
        return
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    ) as progress:
        task, shown = progress.add_task("starting", total=None), "starting"

        def show(label: str, done: int | None, total: int | None) -> None:
            nonlocal task, shown
            if label != shown:  # a task of its own: a total once set cannot become unknown again
                progress.remove_task(task)
                task, shown = progress.add_task(label, total=None), label
            progress.update(task, completed=done or 0, total=total)

        yield show
