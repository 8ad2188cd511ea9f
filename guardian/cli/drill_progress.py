"""A drill while it goes on: each finished phase on a line with its time and throughput, a bar for the one under way.

On a terminal only; elsewhere nothing is printed, for the result tells all of it again.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.filesize import decimal
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from guardian.cli import terminal
from guardian.reports import words
from guardian.reports.drill_report import throughput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Task

# What is counted in these phases is bytes; elsewhere it is tables or files.
_IN_BYTES: Final = frozenset({"fetch", "decrypt", "verify archive", "restore"})


class _Done(ProgressColumn):
    """What is done of how much, and how fast."""

    def render(self, task: Task) -> Text:
        if not task.completed:
            return Text("")
        of = "" if task.total is None else f" of {self._shown(task, task.total)}"
        speed = f", {self._shown(task, task.speed)}/s" if task.speed else ""
        return Text(f"{self._shown(task, task.completed)}{of}{speed}")

    @staticmethod
    def _shown(task: Task, count: float) -> str:
        return decimal(int(count)) if task.fields["phase"] in _IN_BYTES else f"{count:,.0f}"


@dataclass(slots=True)
class _Under:
    """The phase under way. done: what was last told of it."""

    asset: str
    phase: str
    began: float
    done: int = 0


@contextmanager
def shown() -> Iterator[Callable[[str, str, int | None, int | None], None]]:
    """Yield a function (asset, phase, done, total) that shows where drills are."""
    console = terminal.err()
    if not console.is_terminal:
        yield lambda _asset, _phase, _done, _total: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), _Done(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        under: _Under | None = None
        task = progress.add_task("starting", total=None, phase="")

        def finish() -> None:
            if under is not None:
                seconds = time.monotonic() - under.began
                speed = throughput(under.done, "bytes" if under.phase in _IN_BYTES else "objects", seconds)
                line = Text(f"  {words.plain(under.asset)}  {under.phase:<18} {words.duration(seconds):>10}  ")
                console.print(line.append(speed, style="dim"))

        def show(asset: str, phase: str, done: int | None, total: int | None) -> None:
            nonlocal under, task
            if under is None or (under.asset, under.phase) != (asset, phase):
                finish()
                under = _Under(asset, phase, time.monotonic())
                progress.remove_task(task)  # a total once set cannot become unknown again
                task = progress.add_task(f"{words.plain(asset)}: {phase}", total=None, phase=phase)
            under.done = max(under.done, done or 0)
            progress.update(task, completed=done or 0, total=total)

        yield show
        finish()
