"""Many looks at one database, shared by a session for each core.

Invariant: no look is begun after the time is over, and one that breaks ends all.
"""

from __future__ import annotations

import collections
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from verifiers.postgres.session import connect, limit_statements

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import psycopg

    Session = psycopg.Connection[Any]

_MOST_SESSIONS = 4

Job = TypeVar("Job")


def share(
    conninfo: str,
    session: Session,
    jobs: Sequence[Job],
    look: Callable[[Session, Job], None],
    *,
    ends: float,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Look at every job, in their order, in `session` and others like it; return how many were looked at.

    Fewer than there are means that the time was over. look: called by several threads at once, each with a session of
    its own. ends: on the monotonic clock, in seconds. progress: (done, of). Raises psycopg.Error, having ended all.
    """
    sharing = _Sharing(jobs, look, ends, progress or (lambda *_: None))
    helpers = min(_MOST_SESSIONS, len(os.sched_getaffinity(0)), len(jobs)) - 1

    def helped() -> None:
        with connect(conninfo) as another:
            sharing.work(another)

    with ThreadPoolExecutor(max(1, helpers), thread_name_prefix="share") as pool:
        helping = [pool.submit(helped) for _ in range(helpers)]
        try:
            sharing.work(session)
        finally:
            sharing.todo.clear()
        for future in helping:
            future.result()
    return sharing.done


class _Sharing:
    """What the threads share. todo: jobs that nobody has taken."""

    def __init__(
        self,
        jobs: Sequence[Any],
        look: Callable[[Session, Any], None],
        ends: float,
        progress: Callable[[int, int], None],
    ) -> None:
        self.todo, self.done = collections.deque(jobs), 0
        self._look, self._ends, self._progress, self._of = look, ends, progress, len(jobs)
        self._lock = threading.Lock()

    def work(self, session: Session) -> None:
        """Look at one job after the other, until none is left or the time is over."""
        while (remaining := self._ends - time.monotonic()) > 0:
            try:
                job = self.todo.popleft()
            except IndexError:
                return
            limit_statements(session, remaining)
            self._look(session, job)
            with self._lock:
                self.done += 1
                self._progress(self.done, self._of)
