"""What the API counts of itself, for Prometheus. No I/O."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The counters of one process. Safe between threads."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "guardian_api_requests", "Answered requests.", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "guardian_api_request_seconds",
            "Time until the answer began.",
            ("route",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._waiting = Gauge(
            "guardian_api_accesses_waiting", "Answered requests not signed yet.", registry=self._registry
        )
        self._sessions = Gauge("guardian_api_sessions", "Sessions of the console.", registry=self._registry)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer. route: its template."""
        self._requests.labels(method if method in _METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def page(self, *, waiting: int, sessions: int) -> bytes:
        """Return everything as Prometheus reads it."""
        self._waiting.set(waiting)
        self._sessions.set(sessions)
        return generate_latest(self._registry)
