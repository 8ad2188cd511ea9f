"""How long others may be kept waiting for a moment without writers. No I/O."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one attempt may keep writers waiting, and how many attempts there are."""

    lock_timeout_s: float
    attempts: int
