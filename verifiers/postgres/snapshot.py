"""The exporting session: one moment of the source that the backup command and the hashing workers share.

Invariant: everything the manifest says about rows is true at this snapshot, whatever users write meanwhile. Sequences
are not part of any snapshot, so they are read just before it: a backup taken in it can never be behind them.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from verifiers.errors import VerifierError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime


class SnapshotError(VerifierError):
    """The source could not be held still: no connection, no lock, no privilege, or it is too old."""


@dataclass(frozen=True, slots=True)
class SequenceState:
    """A sequence's last value, whether it was handed out, and the step (negative: descending)."""

    last_value: int
    is_called: bool
    increment: int
    cycles: bool


@dataclass(frozen=True, slots=True)
class ExportedSnapshot:
    """A snapshot held open by its session.

    id: for `pg_dump --snapshot=` and SET TRANSACTION SNAPSHOT. taken_at: aware UTC, of the server's clock.
    lsn: write-ahead log position just before it (`0/16B3748`). sequences: by quoted qualified name.
    """

    id: str
    taken_at: datetime
    lsn: str
    sequences: Mapping[str, SequenceState]


@contextmanager
def exported_snapshot(conninfo: str, *, lock_timeout_s: float = 30.0) -> Iterator[ExportedSnapshot]:
    """Hold a REPEATABLE READ READ ONLY transaction open with its snapshot exported, until the block ends.

    It locks all tables in ACCESS SHARE mode first, as pg_dump does, so that none is truncated or dropped meanwhile.
    Hold it no longer than the backup takes: it holds back vacuum. Raises SnapshotError.
    """
    raise NotImplementedError
    yield
