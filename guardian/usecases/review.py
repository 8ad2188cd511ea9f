"""An AdmissionReview goes in, a decision comes out: the pure core of the webhook. No I/O, no clock.

Same normalisation, same judge and same standards as scan, check and replay, so the same object has the same findings.
Shape: Kubernetes admission.k8s.io/v1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from guardian.model import Finding, Resource


class Outcome(StrEnum):
    """How a review ended. `overdue`: not judged in time, answered as declared; `exempt`: nothing here judges it."""

    ALLOW = "allow"
    WARN = "warn"
    DENY = "deny"
    OVERDUE = "overdue"
    ERROR = "error"
    EXEMPT = "exempt"


@dataclass(frozen=True, slots=True)
class Case:
    """What was judged, redacted: enough to judge it again. request: what of the AdmissionReview policies may see."""

    resource: Resource | None
    request: Mapping[str, Any]
    now: datetime


@dataclass(frozen=True, slots=True)
class Decision:
    """One answered review. id: UUIDv7, the record's id too. dry_run: nothing may be written."""

    id: str
    uid: str
    outcome: Outcome
    allowed: bool
    message: str
    warnings: Sequence[str]
    annotations: Mapping[str, str]
    findings: Sequence[Finding]
    case: Case
    dry_run: bool

    @property
    def spooled_first(self) -> bool:
        """Whether the decision must be on disk before it is answered: everything but a plain allow."""
        raise NotImplementedError

    def response(self) -> bytes:
        """Return the AdmissionReview v1 with its response, as JSON."""
        raise NotImplementedError

    def spooled(self) -> bytes:
        """Return the decision as one line of JSON for the spool."""
        raise NotImplementedError


class ReviewError(Exception):
    """A request that is not an AdmissionReview v1; the message says what is wrong (HTTP 400)."""


class Reviewer:
    """Answers reviews under one configuration. Belongs to one thread: its engine does."""

    def review(self, body: bytes, *, decision_id: str, now: datetime) -> Decision:
        """Judge one AdmissionReview. Raises ReviewError for what is none."""
        raise NotImplementedError

    def overdue(self, body: bytes, *, decision_id: str, now: datetime, why: str) -> Decision:
        """Answer a review that was not judged in time, as declared for its namespace. Raises ReviewError."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the engine."""
        raise NotImplementedError
