"""One error root for the package; a subclass exists only where a caller acts differently."""

from __future__ import annotations


class EvidenceError(Exception):
    """Something about keys, log or pack that a person must hear; the message names the thing and the way out."""


class InvalidEvidenceError(EvidenceError):
    """Bytes that are not what FORMAT.md says, or a signature or proof that does not hold: never use the content."""


class LogRolledBackError(EvidenceError):
    """The log is smaller than, or differs from, the signed checkpoint outside the database: alert, do not write."""


class LogBusyError(EvidenceError):
    """Another process held the log longer than the waiting time: nothing was written, try again."""
