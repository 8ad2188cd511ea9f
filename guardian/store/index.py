"""The index of records: found by what they say, in the order of the log. It finds; what a record says is in the log.

I/O: the database. Invariant: an index row of a record is written once that record was verified; a reader compares what
it finds with the record all the same, since whoever can write here must not be able to change what is read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import sqlalchemy
from sqlalchemy import text
from sqlmodel import col, delete, insert

from guardian.store.tables import RecordRow, VerdictRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlmodel import Session

    from guardian.store.database import Database

_WINDOW: Final = 4096
_LOCK: Final = 0x6775617264696170  # beside the log's own, "guardian" + 2
_COLUMNS: Final = "idx, record_id, kind, subject, asset, service, result, assurance, time, slot, envelope_sha256"


class Indexed(NamedTuple):
    """One row of `index_record`."""

    idx: int
    record_id: str
    kind: str
    subject: str
    asset: str | None
    service: str | None
    result: str
    assurance: str | None
    time: str
    slot: str | None
    envelope_sha256: str


class Counted(NamedTuple):
    """One row of `index_verdict`."""

    idx: int
    control: str
    verdict: str
    service: str
    times: int


@dataclass(frozen=True, slots=True)
class Query:
    """Which records: those below `size` that satisfy everything stated here; None for anything.

    services: of a caller who may see only these, and what is of kind `open_kind`. service: the record's own; with
    `control`, that of the resources judged. above, below: log indexes, exclusive. own_service: the record's own.
    """

    size: int
    services: frozenset[str] | None = None
    open_kind: str = ""
    kind: str | None = None
    service: str | None = None
    asset: str | None = None
    result: str | None = None
    control: str | None = None
    verdict: str | None = None
    since: Sequence[str] = ()
    until: Sequence[str] = ()
    above: int | None = None
    below: int | None = None
    newest_first: bool = True
    own_service: str | None = None

    @property
    def may_be_open(self) -> bool:
        """Whether a record of `open_kind` can be among those asked for."""
        return self.kind in (None, self.open_kind)


def find(session: Session, query: Query, limit: int) -> list[Indexed]:
    """Return the first `limit` records of the query, by log index."""
    if query.services is None:
        return _find(session, query, limit)
    # One search each, in the order of an index: one search for all of them would sort every record they have.
    found = _find(session, replace(query, services=None, kind=query.open_kind), limit) if query.may_be_open else []
    for name in (
        query.services if query.service is None or query.control is not None else query.services & {query.service}
    ):
        found += _find(session, replace(query, services=None, own_service=name), limit)
    unique = {record.idx: record for record in found}
    return [unique[at] for at in sorted(unique, reverse=query.newest_first)[:limit]]


def _find(session: Session, query: Query, limit: int) -> list[Indexed]:
    if query.control is None:
        return _select(session, query, limit)
    # A control's verdicts are read window by window: one that is common would be read whole for each page, and to probe
    # record by record for one that is rare would read the whole log.
    found: list[Indexed] = []
    low = -1 if query.above is None else query.above
    high = query.size if query.below is None else min(query.below, query.size)
    width = _WINDOW
    while low + 1 < high and len(found) < limit:
        if query.newest_first:
            below, above = high, max(low, high - 1 - width)
            high = above + 1
        else:
            above, below = low, min(high, low + 1 + width)
            low = below - 1
        found += _select(session, replace(query, above=above, below=below), limit - len(found))
        width *= 8
    return found


def _select(session: Session, query: Query, limit: int) -> list[Indexed]:
    where, values = _where(query)
    order = "DESC" if query.newest_first else "ASC"
    # Literals only: every value is a parameter.
    statement = text(f"SELECT {_COLUMNS} FROM index_record r WHERE {where} ORDER BY r.idx {order} LIMIT :limit")  # noqa: S608
    return [Indexed(*row) for row in session.connection().execute(statement, values | {"limit": limit})]


def find_id(session: Session, record_id: str) -> int | None:
    """Return where the index says that a record lies."""
    row = session.connection().execute(
        text("SELECT idx FROM index_record WHERE record_id = :record_id"), {"record_id": record_id}
    )
    found: int | None = row.scalar_one_or_none()
    return found


def _where(query: Query) -> tuple[str, dict[str, Any]]:
    values: dict[str, Any] = {"size": query.size}
    terms = ["r.idx < :size"]
    for name in ("kind", "asset", "result"):
        if (value := getattr(query, name)) is not None:
            terms.append(f"r.{name} = :{name}")
            values[name] = value
    for name, sign, bounds in (("since", ">=", query.since), ("until", "<", query.until)):
        for number, bound in enumerate(bounds):
            # Joined to nothing, so that no plan sorts a whole period by time to find one page of it.
            terms.append(f"(r.time || '') {sign} :{name}{number}")
            values[f"{name}{number}"] = bound
    for name, sign, place in (("above", ">", query.above), ("below", "<", query.below)):
        if place is not None:
            terms.append(f"r.idx {sign} :{name}")
            values[name] = place
    if query.own_service is not None:
        terms.append("r.service = :own_service")
        values["own_service"] = query.own_service
    if query.service is not None:
        values["service"] = query.service
        if query.control is None:
            terms.append("r.service = :service")
    if query.control is not None:
        terms.append(_judged(query, values))
    return " AND ".join(terms), values


def _judged(query: Query, values: dict[str, Any]) -> str:
    values["control"] = query.control
    inner = "v.control = :control AND v.idx > :above AND v.idx < :below"
    if query.verdict is not None:
        values["verdict"] = query.verdict
        inner += " AND v.verdict = :verdict"
    if query.service is not None:
        inner += " AND v.service = :service"
    return f"r.idx IN (SELECT v.idx FROM index_verdict v WHERE {inner})"  # noqa: S608 -- literals; values are parameters


def is_there(database: Database) -> bool:
    """Whether the tables of the index were made."""
    with database.reading() as session:
        return bool(sqlalchemy.inspect(session.connection()).has_table("index_record"))


def reach(session: Session) -> int:
    """Return the size of the log up to which records are in the index: one more than its highest row."""
    found = session.connection().execute(text("SELECT coalesce(max(idx), -1) + 1 FROM index_record")).scalar_one()
    return int(found)


def count(session: Session) -> int:
    """Return the number of rows: less than `reach` where some are missing."""
    return int(session.connection().execute(text("SELECT count(*) FROM index_record")).scalar_one())


def absent(session: Session, limit: int) -> list[int]:
    """Return the lowest indexes below `reach` that have no row, at most `limit` of them."""
    gaps = session.connection().execute(
        text(
            "SELECT low, high FROM"
            " (SELECT lag(idx, 1, -1) OVER (ORDER BY idx) + 1 AS low, idx AS high FROM index_record) AS gap"
            " WHERE low < high ORDER BY low LIMIT :limit"
        ),
        {"limit": limit},
    )
    found: list[int] = []
    for low, high in gaps:
        found += range(low, min(high, low + limit))
    return found[:limit]


def take_turn(database: Database, session: Session) -> None:
    """Be the one writer of the index until this transaction ends; SQLite has one writer anyway."""
    if not database.is_sqlite:
        session.connection().execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def put(session: Session, records: Sequence[Indexed], verdicts: Sequence[Counted]) -> None:
    """Write the rows of these records in the place of whatever the index says of them."""
    if not records:
        return
    remove(session, [record.idx for record in records])
    ids = [record.record_id for record in records]
    session.connection().execute(delete(RecordRow).where(col(RecordRow.record_id).in_(ids)))
    session.connection().execute(insert(RecordRow), [record._asdict() for record in records])
    if verdicts:
        session.connection().execute(insert(VerdictRow), [_verdict(verdict) for verdict in verdicts])


def _verdict(counted: Counted) -> dict[str, Any]:
    values = counted._asdict()
    return values | {"count": values.pop("times")}


def remove(session: Session, indexes: Sequence[int]) -> None:
    """Delete what the index says of these records."""
    session.connection().execute(delete(RecordRow).where(col(RecordRow.idx).in_(indexes)))
    session.connection().execute(delete(VerdictRow).where(col(VerdictRow.idx).in_(indexes)))


def cut(session: Session, size: int) -> int:
    """Delete what the index says of records beyond a log of `size`; return the number of rows."""
    found = session.connection().execute(text("DELETE FROM index_record WHERE idx >= :size"), {"size": size})
    session.connection().execute(text("DELETE FROM index_verdict WHERE idx >= :size"), {"size": size})
    return int(found.rowcount)


def rows(session: Session, start: int, stop: int) -> tuple[dict[int, Indexed], dict[int, list[Counted]]]:
    """Return what the index says of the records start..stop-1, by log index."""
    span = {"start": start, "stop": stop}
    records = session.connection().execute(
        text(f"SELECT {_COLUMNS} FROM index_record WHERE idx >= :start AND idx < :stop"),  # noqa: S608 -- literals
        span,
    )
    verdicts = session.connection().execute(
        text(
            "SELECT idx, control, verdict, service, count FROM index_verdict WHERE idx >= :start AND idx < :stop"
            " ORDER BY idx, control, verdict, service"
        ),
        span,
    )
    counted: dict[int, list[Counted]] = {}
    for row in verdicts:
        counted.setdefault(row[0], []).append(Counted(*row))
    return {row[0]: Indexed(*row) for row in records}, counted
