"""The engine's thread and the queue before it: reviews go in from the event loop, and come out decided or claimed.

Invariants: an engine is used by one thread, from its making to its end. A review is answered by whoever claims it
first: the engine's thread with a decision, or the event loop because the deadline has passed. One whose deadline has
passed is never begun; a decision that comes after the API server has given up is none. At most `queue` wait. An engine
that does not come back is abandoned to its thread and replaced; of those a process bears only a few, then it asks to be
replaced itself (`hopeless`). I/O: the engine's; the clock.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from guardian.usecases.admission_request import ReviewError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from guardian.usecases.review import Decision

log_events = structlog.get_logger()

_ABANDONED_MOST: Final = 2  # each keeps its engine's memory
_STUCK_AFTER_S: Final = 1.0  # past the deadline: a Wasm engine ends itself at the deadline, and is given time to say so
_REOPEN_S: Final = (0.1, 0.5, 1.0, 2.0, 5.0)


class TooLateError(Exception):
    """There was a decision, but the API server no longer waits for it."""


class Reviews(Protocol):
    """What answers reviews: `usecases.review.Reviewer`."""

    def review(self, body: bytes, *, decision_id: str, now: datetime) -> Decision:
        """Judge one AdmissionReview. Raises ReviewError for what is none."""
        ...

    def overdue(self, body: bytes, *, decision_id: str, now: datetime, why: str) -> Decision:
        """Answer as declared, without the engine. Raises ReviewError."""
        ...

    def refuse(self, head: bytes, *, decision_id: str, now: datetime, why: str) -> Decision:
        """Refuse, by its beginning, what cannot be judged. In any thread. Raises ReviewError."""
        ...

    def close(self) -> None:
        """Let go of the engine."""
        ...


class Job:
    """One review under way.

    deadline, latest: monotonic; when it should be decided, and when nobody waits for its answer any more. decided:
    called in the engine's thread, if it won the claim, with the decision or with why there is none (ReviewError: it was
    no review; TooLateError; any other: the engine failed).
    """

    __slots__ = ("_claim", "body", "deadline", "decided", "id", "latest", "now")

    def __init__(
        self,
        body: bytes,
        *,
        decision_id: str,
        now: datetime,
        deadline: float,
        latest: float,
        decided: Callable[[Job, Decision | Exception], None],
    ) -> None:
        self.body, self.id, self.now, self.decided = body, decision_id, now, decided
        self.deadline, self.latest = deadline, latest
        self._claim = threading.Lock()

    def claim(self) -> bool:
        """Win or lose the right to answer this review; it is won once."""
        return self._claim.acquire(blocking=False)

    @property
    def claimed(self) -> bool:
        """Whether somebody answers it already."""
        return self._claim.locked()


class Judging:
    """One worker's engine, its queue, and its replacement when it fails. Made and watched by the event loop."""

    def __init__(self, open_reviews: Callable[[], Reviews], *, queue: int) -> None:
        """open_reviews: makes what answers, in the thread that will use it. queue: how many may wait."""
        self._open, self._queue = open_reviews, queue
        self.jobs: deque[Job] = deque()
        self.changed = threading.Condition()
        self.declared: Reviews | None = None  # for `overdue`, also while no engine is there
        self.replaced = 0
        self._abandoned: list[_Lane] = []
        self._lane = _Lane(self)

    def start(self, timeout_s: float) -> None:
        """Open the engine. Raises what opening it raises, TimeoutError if it takes longer."""
        self._lane.start()
        if not self._lane.opened.wait(timeout_s):
            raise TimeoutError(f"the policy engine was not ready after {timeout_s:g} s")
        if self._lane.refused is not None:
            raise self._lane.refused

    @property
    def ready(self) -> bool:
        """Whether there is an engine, and it is not stuck."""
        return self._lane.is_alive() and self._lane.usable

    @property
    def waiting(self) -> int:
        """How many reviews wait."""
        return len(self.jobs)

    @property
    def hopeless(self) -> bool:
        """Whether so many engines are stuck that only a new process helps."""
        return len(self._abandoned) > _ABANDONED_MOST

    def submit(self, job: Job) -> bool:
        """Queue a review; False if as many wait as may. Never blocks."""
        with self.changed:
            if len(self.jobs) >= self._queue:
                return False
            self.jobs.append(job)
            self.changed.notify()
        return True

    def watch(self) -> None:
        """Replace an engine that is stuck, or whose thread has ended. To be called a few times a second."""
        self._abandoned = [lane for lane in self._abandoned if lane.is_alive()]
        began, lane = self._lane.running, self._lane
        stuck = began is not None and time.monotonic() > began.deadline + _STUCK_AFTER_S
        if not stuck and lane.is_alive():
            return
        log_events.error("webhook_engine_replaced", stuck=stuck)
        self.replaced += 1
        lane.abandoned = True
        if stuck:
            self._abandoned.append(lane)
        self._lane = _Lane(self)
        self._lane.start()

    def close(self, timeout_s: float) -> None:
        """End the engine's thread once it is idle; what still waits is not begun."""
        with self.changed:
            self._lane.abandoned = True
            self.changed.notify_all()
        self._lane.join(timeout_s)


class _Lane(threading.Thread):
    """One engine and its thread."""

    def __init__(self, judging: Judging) -> None:
        super().__init__(name="engine", daemon=True)
        self._judging = judging
        self.opened = threading.Event()  # or refused
        self.refused: Exception | None = None
        self.usable = False
        self.abandoned = False
        self.running: Job | None = None
        self._reviews: Reviews | None = None

    def run(self) -> None:
        failures = 0
        while not self.abandoned:
            if self._reviews is None and not self._opened():
                if not self.opened.is_set():
                    self.opened.set()
                    return  # the first one ever: `start` raises it
                time.sleep(_REOPEN_S[min(failures, len(_REOPEN_S) - 1)])
                failures += 1
                continue
            self.opened.set()
            failures = 0
            job = self._next()
            if job is not None and not self._judged(job):
                self._judging.replaced += 1
                self._close()
        self._close()

    def _opened(self) -> bool:
        try:
            self._reviews = self._judging._open()  # noqa: SLF001 -- a lane is a part of Judging
        except Exception as error:  # noqa: BLE001 -- whatever it is, the next try may succeed
            if self.opened.is_set() or self._judging.declared is not None:  # else `start` raises it
                log_events.error("webhook_engine_not_opened", reason=str(error))  # noqa: TRY400 -- the reason says it
            self.refused = error
            return False
        self._judging.declared = self._reviews
        self.usable = True
        return True

    def _next(self) -> Job | None:
        """Wait for a review that is still worth beginning; None when there is no more to do here."""
        judging = self._judging
        with judging.changed:
            while not self.abandoned:
                while judging.jobs:
                    job = judging.jobs.popleft()
                    if not job.claimed and time.monotonic() < job.deadline:
                        self.running = job
                        return job
                judging.changed.wait()
        return None

    def _judged(self, job: Job) -> bool:
        """Judge one review, and hand the decision over if nobody has answered. False if the engine is in doubt."""
        assert self._reviews is not None  # noqa: S101 -- run has opened it
        answer: Decision | Exception
        try:
            answer = self._reviews.review(job.body, decision_id=job.id, now=job.now)
        except ReviewError as error:
            answer = error
        except Exception as error:  # noqa: BLE001 -- a defect must cost this one review, not the webhook
            # The type alone: the text of an unexpected error may hold what was reviewed.
            log_events.error("webhook_review_failed", error=type(error).__name__)  # noqa: TRY400 -- see above
            answer = error
        self.running = None
        if job.claim():
            # The event loop claims at the deadline: past `latest` it was held up too, as when the machine stood still.
            late = time.monotonic() > job.latest and not isinstance(answer, Exception)
            job.decided(job, TooLateError() if late else answer)
        return not isinstance(answer, Exception) or isinstance(answer, ReviewError)

    def _close(self) -> None:
        self.usable = False
        reviews, self._reviews = self._reviews, None
        if reviews is not None:
            try:
                reviews.close()
            except Exception as error:  # noqa: BLE001 -- it is being thrown away
                log_events.warning("webhook_engine_not_closed", error=type(error).__name__)
