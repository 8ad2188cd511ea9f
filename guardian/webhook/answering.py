"""One review from its body to its answer, within its deadline: the one place that knows engine, clock and spool.

Invariants: what can be read as a review is answered, with the decision, or as declared when there was none in time: no
later than half way between deadline and the API server's patience, whatever engine and disk do. (What cannot be read,
and a defect of ours, end as HTTP errors, and then the API server does what its failurePolicy says.) What must be on
disk before its answer is. Where that cannot be, the answer still stands, for refusing everything on a full disk would
stop the cluster: a denial stays a denial, an allow stays an allow; both say that they were not recorded, both are
counted, and a gap record follows. A dry run writes nothing.
I/O: none of its own; runs on the event loop and never blocks it.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog
from uuid6 import uuid7

from guardian.usecases.admission_request import ReviewError
from guardian.webhook.judging import Job, TooLateError

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardian.settings import WebhookSettings
    from guardian.usecases.review import Decision
    from guardian.webhook.counters import Counters
    from guardian.webhook.judging import Judging, Reviews
    from guardian.webhook.recorder import Recorder

log_events = structlog.get_logger()

_NOT_RECORDED: Final = "guardian could not record this decision"
_WHY: Final = {
    "queue": "too many reviews wait already",
    "deadline": "it took longer than the deadline",
    "engine": "the policy engine failed",
}
_LARGE_BODY: Final = 256 * 1024  # parsing more than this on the event loop would hold up the others

# A decision, and whether it is recorded, or a dry run that need not be.
_Answer = tuple["Decision", bool]


class Answering:
    """Answers the reviews of one worker. Belongs to the event loop it was made in."""

    def __init__(self, settings: WebhookSettings, judging: Judging, recorder: Recorder, counters: Counters) -> None:
        self.judging, self.recorder, self.counters = judging, recorder, counters
        self.loop = asyncio.get_running_loop()
        self._deadline_s, self._timeout_s = settings.deadline_s, float(settings.timeout_s)

    def limits(self, arrived: float, timeout_s: float | None) -> tuple[float, float]:
        """Return the deadline, and the moment by which the answer must be on its way; on the monotonic clock.

        timeout_s: how long the caller waits, as it said; None for the configured time. A shorter one lowers both.
        """
        waits = min(timeout_s or self._timeout_s, self._timeout_s)
        share = waits / self._timeout_s
        deadline = arrived + self._deadline_s * share
        return deadline, deadline + (self._timeout_s - self._deadline_s) * share / 2

    async def answer(self, body: bytes, arrived: float, deadline: float, latest: float) -> bytes:
        """Return the answer to the AdmissionReview in `body`. arrived, deadline, latest: monotonic, see `limits`.

        Raises ReviewError for what is none.
        """
        return self._said(await _Review(self, body, deadline, latest).answered(), arrived)

    async def refuse(self, head: bytes, arrived: float, latest: float, why: str) -> bytes:
        """Return the answer to the AdmissionReview that begins with `head` and cannot be judged. why: in words.

        Raises ReviewError if the beginning does not say what is asked.
        """
        return self._said(await _Review(self, head, latest, latest).refused(why), arrived)

    def _said(self, answer: _Answer, arrived: float) -> bytes:
        decision, recorded = answer
        if not recorded:
            self.counters.add("unrecorded")
            decision = _unrecorded(decision)
        self.counters.answered(decision.outcome, time.monotonic() - arrived)
        return decision.response()


class _Review:
    """One review under way: its job, its decision once there is one, and the future that its request waits for."""

    __slots__ = ("_answering", "_body", "_decision", "_future", "_job", "_latest", "_timer")

    def __init__(self, answering: Answering, body: bytes, deadline: float, latest: float) -> None:
        self._answering, self._body, self._latest = answering, body, latest
        self._future: asyncio.Future[_Answer] = answering.loop.create_future()
        self._decision: Decision | None = None
        now = datetime.now(UTC)
        self._job = Job(
            body, decision_id=str(uuid7()), now=now, deadline=deadline, latest=latest, decided=self._decided
        )
        self._timer = self._after(deadline, self._overdue, "deadline")

    async def answered(self) -> _Answer:
        """Return the decision, and whether it is recorded. To be called once, or `refused`."""
        if not self._answering.judging.submit(self._job):
            self._overdue("queue")
        try:
            return await self._future
        finally:
            self._timer.cancel()

    async def refused(self, why: str) -> _Answer:
        """Return the refusal of what cannot be judged, and whether it is recorded."""
        self._job.claim()
        self._hasten()
        self._decide(lambda reviews: reviews.refuse(self._body, decision_id=self._job.id, now=self._job.now, why=why))
        try:
            return await self._future
        finally:
            self._timer.cancel()

    def _overdue(self, why: str) -> None:
        """Answer as declared if nobody has begun to."""
        self._hasten()
        if self._job.claim():
            self._declare(why)

    def _hasten(self) -> None:
        """Do not wait for the disk longer than until `latest`."""
        self._timer.cancel()
        self._timer = self._after(self._latest, self._unrecorded)

    def _after(self, moment: float, function: Callable[..., None], *arguments: object) -> asyncio.TimerHandle:
        return self._answering.loop.call_later(max(0.0, moment - time.monotonic()), function, *arguments)

    def _unrecorded(self) -> None:
        """Answer although the spool has not said that it has the decision."""
        if self._decision is not None:
            self._resolve(recorded=False)

    def _decided(self, _job: Job, answer: Decision | Exception) -> None:
        """Take what the engine found; runs in its thread."""
        if isinstance(answer, ReviewError):
            self._call(self._fail, answer)
        elif isinstance(answer, Exception):
            self._call(self._declare, "deadline" if isinstance(answer, TooLateError) else "engine")
        else:
            self._record(answer)

    def _declare(self, why: str) -> None:
        self._answering.counters.add(f"overdue.{why}")
        if len(self._body) > _LARGE_BODY:
            self._answering.loop.run_in_executor(None, self._declared, why)
        else:
            self._declared(why)

    def _declared(self, why: str) -> None:
        said = _WHY[why]
        self._decide(lambda reviews: reviews.overdue(self._body, decision_id=self._job.id, now=self._job.now, why=said))

    def _decide(self, how: Callable[[Reviews], Decision]) -> None:
        """Decide without the engine. In any thread."""
        reviews = self._answering.judging.declared
        assert reviews is not None  # noqa: S101 -- a worker that never had an engine serves nothing
        try:
            decision = how(reviews)
        except ReviewError as error:
            self._call(self._fail, error)
        else:
            self._record(decision)

    def _record(self, decision: Decision) -> None:
        """Hand the decision to the spool, and answer: before or after, as the decision demands. In any thread."""
        self._decision = decision
        if decision.dry_run:
            self._call(self._resolve)
        elif decision.spooled_first:
            line = self._line(decision)
            if line is None:
                self._call(self._not_saved)
            else:
                self._answering.recorder.first(line, self._saved)
        else:
            self._call(self._resolve)  # first, for the line takes as long as parsing did
            line = self._line(decision)
            if line is not None:
                self._answering.recorder.behind(line)

    def _line(self, decision: Decision) -> bytes | None:
        try:
            return decision.spooled()
        except Exception as error:  # noqa: BLE001 -- the engine's thread must not end by a decision that has no line
            log_events.error("webhook_decision_unwritable", error=type(error).__name__)  # noqa: TRY400 -- may hold secrets
            self._answering.recorder.lost()
            return None

    def _saved(self, saved: bool) -> None:
        self._call(self._resolve if saved else self._not_saved)

    def _not_saved(self) -> None:
        self._resolve(recorded=False)

    def _resolve(self, *, recorded: bool = True) -> None:
        if not self._future.done() and self._decision is not None:
            self._future.set_result((self._decision, recorded))

    def _fail(self, error: ReviewError) -> None:
        if not self._future.done():
            self._future.set_exception(error)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        """Run it on the event loop; if that has ended, nobody waits any more."""
        with contextlib.suppress(RuntimeError):
            self._answering.loop.call_soon_threadsafe(function, *arguments)


def _unrecorded(decision: Decision) -> Decision:
    """Return the same answer, saying that it is not on record."""
    if decision.allowed:
        return dataclasses.replace(decision, warnings=[*decision.warnings, _NOT_RECORDED])
    return dataclasses.replace(decision, message=f"{decision.message}\n{_NOT_RECORDED}")
