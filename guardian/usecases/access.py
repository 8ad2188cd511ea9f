"""Who read what of the evidence becomes signed records: `access-event`, in batches.

Invariants: a request waits as a row before it is answered; a row leaves in the very commit that appends the record it
is part of, so that each is counted once, whoever signs and whenever it stops. Nothing of a query's values is kept.
I/O: the database; signing: the evidence log.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from guardian.errors import GuardianError
from guardian.model import rfc3339
from guardian.records import access_event
from guardian.store import access as rows
from guardian.store.database import Database
from guardian.store.tables import AccessRow
from guardian.usecases.ledger import Ledger, new_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from evidence.store import Transaction
    from guardian.settings import Settings

JOB: Final = "access"
BATCH: Final = 500  # rows of one record
EVERY_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Access:
    """One answered request. route: method and template, such as `GET /v1/records/{id}`; at: aware."""

    at: datetime
    token: str
    role: str
    route: str
    status: int


class Desk:
    """Where answered requests are written down. Safe between threads."""

    def __init__(self, settings: Settings) -> None:
        self._database = Database(settings)

    def close(self) -> None:
        """Release the database."""
        self._database.close()

    def write(self, accesses: Iterable[Access]) -> None:
        """Write them down, durably and in one commit. Raises GuardianError if that cannot be done."""
        with self._database.writing() as session:
            session.add_all(
                AccessRow(at=rfc3339(one.at), token=one.token, role=one.role, route=one.route, status=one.status)
                for one in accesses
            )

    def waiting(self) -> tuple[int, datetime | None]:
        """Return how many requests wait to be signed, and since when."""
        with self._database.reading() as session:
            count, oldest = rows.waiting(session)
        return count, None if oldest is None else datetime.fromisoformat(oldest)


class _ElsewhereError(GuardianError):
    """Another process signed these rows first."""


def is_due(settings: Settings, now: datetime) -> bool:
    """Whether enough waits to be signed, or waits for long enough. now: aware."""
    with Database(settings) as database, database.reading() as session:
        count, oldest = rows.waiting(session)
    return count >= BATCH or (oldest is not None and (now - datetime.fromisoformat(oldest)).total_seconds() >= EVERY_S)


def sign_waiting(settings: Settings) -> int:
    """Sign what waits, a record for each `BATCH` rows, and return how many records were made.

    Raises GuardianError or EvidenceError if the log cannot be written; the rows then wait on.
    """
    made = 0
    with Database(settings) as database:
        if not _take(database):
            return 0
        with Ledger(settings, writable=True) as ledger:
            while batch := _take(database):
                try:
                    _sign(ledger, batch)
                except _ElsewhereError:
                    continue
                made += 1
    return made


def _take(database: Database) -> Sequence[AccessRow]:
    with database.reading() as session:
        return rows.oldest(session, BATCH)


def _sign(ledger: Ledger, batch: Sequence[AccessRow]) -> None:
    ids = [row.id for row in batch]

    def leave(transaction: Transaction) -> None:
        if len(transaction.execute(rows.taking_away(len(ids)), ids)) != len(ids):
            raise _ElsewhereError("these accesses were signed elsewhere")

    times = [row.at for row in batch]
    run = new_run(JOB, datetime.fromisoformat(min(times)), datetime.fromisoformat(max(times)))
    run = replace(run, trigger="access")
    ledger.append([access_event(run, ledger.context(), accesses=grouped(batch), omitted=0)], within=leave)


def grouped(batch: Iterable[AccessRow]) -> list[dict[str, Any]]:
    """Return `{token, role, route, status, count, from, until}` of each kind of request, in a fixed order."""
    counts: Counter[tuple[str, str, str, int]] = Counter()
    first: dict[tuple[str, str, str, int], str] = {}
    last: dict[tuple[str, str, str, int], str] = {}
    for row in batch:
        key = (row.token, row.role, row.route, row.status)
        counts[key] += 1
        first[key] = min(first.get(key, row.at), row.at)
        last[key] = max(last.get(key, row.at), row.at)
    return [
        {
            "token": token,
            "role": role,
            "route": route,
            "status": status,
            "count": counts[token, role, route, status],
            "from": first[token, role, route, status],
            "until": last[token, role, route, status],
        }
        for token, role, route, status in sorted(counts)
    ]
