"""Decisions go to the spool in a thread of their own, so that neither engine nor event loop ever waits for a disk.

Invariants: what must be on disk before its answer is acknowledged once it is there, or told that it is not; all that
wait share one sync. Plain allows are answered first and written behind; when too many bytes of them wait, or more lies
unsigned than the spool may hold, they are shed, counted, and one `gap` line says from when, until when, how many. What
is in memory only is counted in the spool's `pending`, which outlives the process. Nothing raises to the caller: a spool
that cannot be written is `trouble`, tried again each second, and the gap tells afterwards what was lost.
I/O: the spool, the clocks.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog
from uuid6 import uuid7

from guardian.usecases.spool import Gap, Spool, SpoolError, backlog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

log_events = structlog.get_logger()

WAITING_BYTES: Final = 16 * 1024 * 1024  # of plain allows in memory
SPOOL_BYTES: Final = 1024 * 1024 * 1024  # unsigned on disk, above which plain allows are shed: room for denials
_LINGER_S: Final = 0.05  # plain allows gather for this long, or until a decision that cannot wait takes them along
_RETRY_S: Final = 1.0
_QUIET_S: Final = 1.0  # this long without shedding ends a gap
_LONGEST_GAP_S: Final = 60.0


@dataclass(slots=True)
class _Shed:
    """A gap that is still open. Times: nanoseconds since 1970, and the monotonic clock."""

    why: str
    since_ns: int
    until_ns: int
    began: float
    last: float
    count: int = 0


class Recorder:
    """Writes one worker's decisions. `first` and `behind` may be called by any thread."""

    def __init__(
        self, root: Path, *, waiting_bytes: int = WAITING_BYTES, spool_bytes: int = SPOOL_BYTES, start: bool = True
    ) -> None:
        """root: the spool folder. waiting_bytes, spool_bytes: above which plain allows are shed."""
        self._root, self._waiting_bytes, self._spool_bytes = root, waiting_bytes, spool_bytes
        self._changed = threading.Condition()
        self._first: list[tuple[bytes, Callable[[bool], None]]] = []
        self._behind: list[bytes] = []
        self._behind_bytes = 0
        self._promised, self._oldest_ns, self._newest_ns = 0, 0, 0
        self._gaps: dict[str, _Shed] = {}
        self._closing = False
        self._spool: Spool | None = None
        self.full, self._looked = False, 0.0
        self.trouble: str | None = "the spool was not opened yet"
        self.shed = 0  # plain allows that were not kept, ever
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._tried = threading.Event()
        if start:
            self.start()

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def ready(self, timeout_s: float) -> bool:
        """Wait until the spool was opened or could not be; return whether it was."""
        self._tried.wait(timeout_s)
        return self.trouble is None

    def first(self, line: bytes, done: Callable[[bool], None]) -> None:
        """Write `line`, then call `done` in the recorder's thread: True when it is on disk, False if it cannot be."""
        with self._changed:
            self._first.append((line, done))
            self._changed.notify()

    def behind(self, line: bytes) -> None:
        """Write `line` soon, or shed it. Its decision may be answered already."""
        now_ns = time.time_ns()
        with self._changed:
            if self._closing or self.full or self._behind_bytes + len(line) > self._waiting_bytes:
                self.shed += 1
                self._lose(1, "backlog" if self.full else "queue", now_ns, now_ns)
                return
            self._behind.append(line)
            self._behind_bytes += len(line)
            self._promise(1, now_ns)
            if len(self._behind) == 1:
                self._changed.notify()

    def lost(self) -> None:
        """Count a decision of which no line could be made."""
        now_ns = time.time_ns()
        with self._changed:
            self.shed += 1
            self._lose(1, "unwritable", now_ns, now_ns)

    def close(self, timeout_s: float) -> None:
        """Write what there is, hand the files over, and end."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _promise(self, count: int, now_ns: int) -> None:
        if self._promised == 0:
            self._oldest_ns = now_ns
        self._promised += count
        self._newest_ns = max(self._newest_ns, now_ns)
        self._note()

    def _lose(self, count: int, why: str, since_ns: int, until_ns: int) -> None:
        now = time.monotonic()
        gap = self._gaps.setdefault(why, _Shed(why, since_ns, until_ns, now, now))
        gap.count += count
        gap.since_ns, gap.until_ns, gap.last = min(gap.since_ns, since_ns), max(gap.until_ns, until_ns), now
        self._promise(count, until_ns)

    def _note(self) -> None:
        if self._spool is not None:
            self._spool.pending(self._promised, self._oldest_ns, self._newest_ns)

    def _run(self) -> None:
        self._open()
        self._tried.set()
        while True:
            with self._changed:
                self._await_work()
                first, self._first = self._first, []
                behind, self._behind = self._behind, []
                self._behind_bytes = 0
                gaps = self._due_gaps()
                taken_ns = time.time_ns()
                closing = self._closing and not first
            self._record(first, behind, gaps, taken_ns)
            self._tend()
            if closing:
                break
        with self._changed:
            spool, self._spool = self._spool, None
        if spool is not None:
            with contextlib.suppress(OSError):
                spool.close()

    def _await_work(self) -> None:
        """Return when there is something that cannot wait, when allows have lingered, or when a second has gone by."""
        if not self._urgent() and not self._behind:
            self._changed.wait(_RETRY_S)
        until = time.monotonic() + _LINGER_S
        while self._behind and not self._urgent() and (left := until - time.monotonic()) > 0:
            self._changed.wait(left)

    def _urgent(self) -> bool:
        return bool(self._first) or self._closing

    def _due_gaps(self) -> list[_Shed]:
        now = time.monotonic()
        due = [
            gap
            for gap in self._gaps.values()
            if self._closing or now - gap.last >= _QUIET_S or now - gap.began >= _LONGEST_GAP_S
        ]
        for gap in due:
            del self._gaps[gap.why]
        return due

    def _record(
        self,
        first: Sequence[tuple[bytes, Callable[[bool], None]]],
        behind: Sequence[bytes],
        gaps: Sequence[_Shed],
        taken_ns: int,
    ) -> None:
        """Write all in one sync; if that fails, at least what cannot wait."""
        lines = [line for line, _ in first]
        ending = [
            Gap(str(uuid7()), _time(gap.since_ns), _time(gap.until_ns), gap.count, gap.why).line() for gap in gaps
        ]
        whole = self._written([*behind, *lines, *ending])
        saved = whole or (bool(behind or ending) and bool(lines) and self._written(lines))
        for _, done in first:
            done(saved)
        counted = len(behind) + sum(gap.count for gap in gaps)
        with self._changed:
            if whole:
                self._promised -= counted
                self._oldest_ns = taken_ns
            else:
                for gap in gaps:  # still open; what it counted is still promised
                    self._promised -= gap.count
                    self._lose(gap.count, gap.why, gap.since_ns, gap.until_ns)
                self._promised -= len(behind)
                self.shed += len(behind)
                lost = len(behind) + (0 if saved else len(lines))
                if lost:
                    self._lose(lost, "disk", min(self._oldest_ns or taken_ns, taken_ns), taken_ns)
            self._note()

    def _written(self, lines: Sequence[bytes]) -> bool:
        if not lines:
            return True
        try:
            if self._spool is None:
                self._spool = Spool(self._root)
            self._spool.append(lines, now=time.monotonic())
        except SpoolError as error:
            self._in_trouble(error)
            return False
        self._out_of_trouble()
        return True

    def _tend(self) -> None:
        """Hand over what is old enough, look how much lies unsigned, and open what could not be opened."""
        now = time.monotonic()
        if self._spool is None:
            self._open()
            return
        try:
            self._spool.finish(now=now)
            if now - self._looked >= _RETRY_S:
                self._looked = now
                self.full = backlog(self._root).size_bytes > self._spool_bytes
        except OSError as error:
            self._in_trouble(error)
        else:
            if not self._gaps:  # while there is one, writing it is the test
                self._out_of_trouble()

    def _open(self) -> None:
        try:
            self._spool = Spool(self._root)
        except SpoolError as error:
            self._in_trouble(error)
        else:
            self._out_of_trouble()

    def _in_trouble(self, error: Exception) -> None:
        if self.trouble is None or not self._tried.is_set():
            log_events.error("webhook_spool_failed", reason=str(error))
        self.trouble = str(error)

    def _out_of_trouble(self) -> None:
        if self.trouble is not None and self._tried.is_set():
            log_events.warning("webhook_spool_recovered")
        self.trouble = None


def _time(at_ns: int) -> datetime:
    return datetime.fromtimestamp(at_ns / 1e9, UTC)
