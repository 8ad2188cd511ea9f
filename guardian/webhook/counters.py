"""Numbers of all workers in one piece of shared memory, so that whichever worker is asked answers for all.

Invariant: each slot has one writer, one thread of the process that owns it; a worker that is started anew goes on with
the slot of the one it replaces, so counters never fall. I/O: an anonymous file (memfd) that the supervisor makes.
"""

from __future__ import annotations

import mmap
import os
from bisect import bisect_left
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
OUTCOMES: Final = ("allow", "warn", "deny", "error", "overdue", "exempt")
OVERDUE: Final = ("queue", "deadline", "engine")
REFUSED: Final = ("400", "405", "408", "413", "415", "500")

# Gauges hold what is now; a new worker begins them at 0.
GAUGES: Final = ("ready", "queue_depth", "heartbeat_ns", "certificate_expires_s")
_NAMES: Final = (
    *GAUGES,
    *(f"outcome.{name}" for name in OUTCOMES),
    *(f"overdue.{name}" for name in OVERDUE),
    *(f"refused.{name}" for name in REFUSED),
    *(f"bucket.{number}" for number in range(len(BUCKETS_S) + 1)),
    *("review_us", "shed", "unrecorded", "engines_replaced", "restarts", "signer_failures"),
)
_PLACES: Final = {name: place for place, name in enumerate(_NAMES)}
_HELP: Final = {
    "reviews": "Reviews answered, by outcome.",
    "overdue": "Reviews that were not judged in time, by what was in the way.",
    "refused": "Requests that were answered with an HTTP error, by status.",
    "review_seconds": "Seconds from the first byte of a request to its answer.",
    "queue_depth": "Reviews that wait for an engine.",
    "shed": "Answered allows that were not kept; gap records count them.",
    "unrecorded": "Answers that had to be given although they could not be written to the spool first.",
    "engines_replaced": "Engines that were given up because they were stuck or had failed.",
    "worker_restarts": "Workers that ended and were started again.",
    "signer_failures": "Times that signing what is spooled failed; it is tried again.",
    "workers_ready": "Workers whose engine is loaded and whose spool can be written.",
    "spool_files": "Files of decisions that are not signed yet.",
    "spool_bytes": "Their size.",
    "spool_oldest_seconds": "Age of the oldest of them.",
    "spool_damaged": "Spool files kept because they held what was no decision.",
    "certificate_expires": "When the serving certificate expires, in seconds since 1970.",
}


def create(slots: int) -> int:
    """Return the descriptor of shared memory for `slots` processes, all 0; closed on exec unless passed on."""
    handle = os.memfd_create("guardian-webhook", os.MFD_CLOEXEC)
    os.ftruncate(handle, slots * len(_NAMES) * 8)
    return handle


class Counters:
    """One process's slot to write, and all slots to read."""

    def __init__(self, handle: int, slot: int) -> None:
        """handle: of `create`; it may be closed afterwards."""
        self._map = mmap.mmap(handle, 0)
        self._numbers = memoryview(self._map).cast("q")
        self._base = slot * len(_NAMES)
        self._slots = len(self._numbers) // len(_NAMES)

    def add(self, name: str, count: int = 1) -> None:
        """Count."""
        self._numbers[self._base + _PLACES[name]] += count

    def set(self, name: str, value: int) -> None:
        """Set a gauge, or a counter that is kept elsewhere."""
        self._numbers[self._base + _PLACES[name]] = value

    def get(self, name: str, slot: int | None = None) -> int:
        """Return the number of one slot, by default the own one."""
        base = self._base if slot is None else slot * len(_NAMES)
        return self._numbers[base + _PLACES[name]]

    def clear_gauges(self, slot: int) -> None:
        """Say that nobody is in `slot`."""
        for name in GAUGES:
            self._numbers[slot * len(_NAMES) + _PLACES[name]] = 0

    def answered(self, outcome: str, seconds: float) -> None:
        """Count one answered review."""
        numbers, base = self._numbers, self._base
        numbers[base + _PLACES["outcome." + outcome]] += 1
        numbers[base + _PLACES["bucket.0"] + bisect_left(BUCKETS_S, seconds)] += 1
        numbers[base + _PLACES["review_us"]] += int(seconds * 1e6)

    def total(self, name: str) -> int:
        """Return the sum over all slots."""
        return sum(self._numbers[_PLACES[name] :: len(_NAMES)])

    def prometheus(self, spool: Mapping[str, float]) -> str:
        """Return everything in Prometheus' text format. spool: what was measured of it, by metric name."""
        lines: list[str] = []
        _family(lines, "reviews", "counter", {f'outcome="{name}"': self.total(f"outcome.{name}") for name in OUTCOMES})
        _family(lines, "overdue", "counter", {f'why="{name}"': self.total(f"overdue.{name}") for name in OVERDUE})
        _family(lines, "refused", "counter", {f'status="{name}"': self.total(f"refused.{name}") for name in REFUSED})
        for metric, name in (("shed", "shed"), ("unrecorded", "unrecorded"), ("engines_replaced", "engines_replaced")):
            _family(lines, metric, "counter", {"": self.total(name)})
        _family(lines, "worker_restarts", "counter", {"": self.total("restarts")})
        _family(lines, "signer_failures", "counter", {"": self.total("signer_failures")})
        _family(lines, "queue_depth", "gauge", {"": self.total("queue_depth")})
        _family(lines, "workers_ready", "gauge", {"": self.total("ready")})
        expiries = [self.get("certificate_expires_s", slot) for slot in range(self._slots)]
        _family(lines, "certificate_expires", "gauge", {"": min((at for at in expiries if at), default=0)})
        for metric, value in spool.items():
            _family(lines, metric, "gauge", {"": value})
        self._histogram(lines)
        return "\n".join(lines) + "\n"

    def _histogram(self, lines: list[str]) -> None:
        name = _head(lines, "review_seconds", "histogram")
        seen = 0
        for number, edge in enumerate((*BUCKETS_S, "+Inf")):
            seen += self.total(f"bucket.{number}")
            lines.append(f'{name}_bucket{{le="{edge}"}} {seen}')
        lines += [f"{name}_sum {self.total('review_us') / 1e6:.6f}", f"{name}_count {seen}"]


def _family(lines: list[str], metric: str, kind: str, values: Mapping[str, float]) -> None:
    name = _head(lines, metric, kind)
    lines += [f"{name}{{{labels}}} {value}" if labels else f"{name} {value}" for labels, value in values.items()]


def _head(lines: list[str], metric: str, kind: str) -> str:
    name = f"guardian_webhook_{metric}" + ("_total" if kind == "counter" else "")
    lines += [f"# HELP {name} {_HELP[metric]}", f"# TYPE {name} {kind}"]
    return name
