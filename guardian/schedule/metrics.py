"""What Prometheus reads of the daemon. No I/O: the daemon's loop tells, a scrape only shows what was told last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardian.usecases.following import Followed

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_LATENESS_S: Final = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)
_DRILL_S: Final = (10, 30, 60, 300, 900, 1800, 3600, 2 * 3600, 4 * 3600, 8 * 3600)


class Metrics:
    """The daemon's metrics, in a registry of their own. Each may be told from any thread."""

    def __init__(self, environment: str, version: str) -> None:
        self._registry = registry = CollectorRegistry()
        info = Gauge("guardian_info", "Which Guardian this is.", ["environment", "version"], registry=registry)
        info.labels(environment, version).set(1)
        self._verdicts = Gauge(
            "guardian_scan_verdicts",
            "Resources by control and verdict in the newest scan.",
            ["control", "verdict"],
            registry=registry,
        )
        self._scanned = Gauge("guardian_scan_timestamp_seconds", "When the newest scan ended.", registry=registry)
        self._slots = Gauge("guardian_slots", "Slots by state: due, claimed.", ["state"], registry=registry)
        self._closed = Gauge(
            "guardian_slots_closed", "Closed slots of the last 30 days by result.", ["result"], registry=registry
        )
        self.lateness = Histogram(
            "guardian_slot_lateness_seconds",
            "From a slot's moment until this daemon began its first attempt.",
            buckets=_LATENESS_S,
            registry=registry,
        )
        self._drills = Histogram(
            "guardian_drill_seconds",
            "How long drills took, by result; of the records since this daemon began.",
            ["asset", "result"],
            buckets=_DRILL_S,
            registry=registry,
        )
        self._drilled = Gauge(
            "guardian_drill_timestamp_seconds",
            "When the newest drill of an asset ended, by result.",
            ["asset", "result"],
            registry=registry,
        )
        self._size = Gauge("guardian_log_records", "Records in the evidence log.", registry=registry)
        self._queue = Gauge(
            "guardian_queue_depth",
            "What waits: slots that are due and not begun, files of decisions that are not signed yet.",
            ["queue"],
            registry=registry,
        )
        self._runs = Counter("guardian_job_runs", "Attempts that ended here.", ["job", "result"], registry=registry)
        self._ready = Gauge("guardian_ready", "1 if this daemon does its work, else 0.", registry=registry)
        self._sweeps = Counter("guardian_sweeps", "Passes of the daemon's loop.", ["outcome"], registry=registry)

    def slots(self, open_by_state: Mapping[str, int], closed_by_result: Mapping[str, int] | None) -> None:
        """Take the counts of slots; None where the closed ones were not counted this time."""
        for state, count in open_by_state.items():
            self._slots.labels(state).set(count)
        self._queue.labels("slots").set(open_by_state.get("due", 0))
        for result, count in (closed_by_result or {}).items():
            self._closed.labels(result.lower()).set(count)

    def spool(self, files: int) -> None:
        """Take the number of files of decisions that wait to be signed."""
        self._queue.labels("webhook-spool").set(files)

    def ran(self, job: str, result: str) -> None:
        """Count an attempt that ended here."""
        self._runs.labels(job, result.lower()).inc()

    def swept(self, *, well: bool, ready: bool) -> None:
        """Count a pass of the loop."""
        self._sweeps.labels("ok" if well else "failed").inc()
        self._ready.set(int(ready))

    def followed(self, news: Followed) -> None:
        """Take what new records say."""
        self._size.set(news.size)
        if news.scan is not None:
            self._verdicts.clear()
            for (control, verdict), count in news.scan.counts.items():
                self._verdicts.labels(control, verdict).set(count)
            self._scanned.set(news.scan.finished_on.timestamp())
        for drill in news.drills:
            self._drilled.labels(drill.asset, drill.result.lower()).set(drill.finished_on.timestamp())
            if drill.fresh:
                self._drills.labels(drill.asset, drill.result.lower()).observe(drill.seconds)

    def text(self) -> bytes:
        """Return all of it in Prometheus' text format."""
        return generate_latest(self._registry)
