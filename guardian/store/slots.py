"""Slots as rows: made, claimed, renewed, closed. The SQL of it, the same text for SQLite and PostgreSQL.

Invariant: a row changes hands only by comparing what was seen of it, so of two that try only one succeeds. Whoever's
token is no longer the row's closes nothing. Times are text (`tables`). I/O: the session or transaction that is given.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

from sqlalchemy import text
from sqlmodel import col, select

from guardian.errors import GuardianError
from guardian.model import Claim, Slot, rfc3339
from guardian.store.tables import ScheduleRow, SlotRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import TextClause
    from sqlmodel import Session

DUE: Final = "due"
CLAIMED: Final = "claimed"
CLOSED: Final = "closed"


class SlotLostError(GuardianError):
    """The slot belongs to someone else by now: what was found out about it is not recorded."""


class ScheduleChangedError(GuardianError):
    """Another schedule came into force meanwhile, or its slots were made: look again."""


class Transaction(Protocol):
    """The transaction of an append to the log, which closes a slot in the same commit."""

    def execute(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement, its parameters written `?`, and return its rows."""
        ...


def instant(due: datetime) -> str:
    """Return the moment of a slot as its column holds it: whole seconds in UTC."""
    return f"{due.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def slot_of(row: SlotRow) -> Slot:
    """Return the slot of a row."""
    return Slot(row.job, datetime.fromisoformat(row.due))


def claim_of(row: SlotRow, now: datetime) -> Claim:
    """Return the claim that a claimed row stands for; final where no attempt can follow it."""
    slot = slot_of(row)
    over = slot.due + timedelta(seconds=row.grace_s) < now
    return Claim(slot, row.token, max(1, row.attempt), final=over or row.attempt >= row.attempts)


def in_force(session: Session) -> ScheduleRow | None:
    """Return the schedule in force, None before the first."""
    return session.get(ScheduleRow, 1)


_ADVANCE: Final = text(
    "UPDATE state_schedule SET made_until = :until WHERE one = 1 AND digest = :digest AND made_until = :seen"
    " RETURNING one"
)
_MAKE: Final = text(
    "INSERT INTO state_slot (job, due, grace_s, attempts, state, token, attempt)"
    " VALUES (:job, :due, :grace_s, :attempts, :state, 0, 0) ON CONFLICT DO NOTHING"
)


def make(session: Session, seen: ScheduleRow, until: datetime, rows: Iterable[SlotRow]) -> bool:
    """Make the slots due after `seen.made_until` up to `until` rows; False if another schedule or daemon came first."""
    told = {"until": rfc3339(until), "digest": seen.digest, "seen": seen.made_until}
    if not session.connection().execute(_ADVANCE, told).all():
        return False
    made = [
        {"job": row.job, "due": row.due, "grace_s": row.grace_s, "attempts": row.attempts, "state": row.state}
        for row in rows
    ]
    if made:
        session.connection().execute(_MAKE, made)
    return True


def put_in_force(transaction: Transaction, seen: ScheduleRow | None, new: ScheduleRow) -> None:
    """Replace the schedule that was seen in force. Raises ScheduleChangedError if it is no longer that, or went on."""
    values = (new.digest, new.record_id, new.effective_from, new.made_until)
    if seen is None:
        done = transaction.execute(
            "INSERT INTO state_schedule (one, digest, record_id, effective_from, made_until) VALUES (1, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING RETURNING one",
            values,
        )
    else:
        done = transaction.execute(
            "UPDATE state_schedule SET digest = ?, record_id = ?, effective_from = ?, made_until = ?"
            " WHERE one = 1 AND record_id = ? AND made_until = ? RETURNING one",
            (*values, seen.record_id, seen.made_until),
        )
    if not done:
        raise ScheduleChangedError("another daemon changed the schedule in force meanwhile")


def waiting(session: Session, now: datetime, *, limit: int) -> list[SlotRow]:
    """Return due slots that nobody runs, those never tried first, then the oldest; also those past their grace."""
    query = select(SlotRow).where(SlotRow.state == DUE, SlotRow.due <= instant(now))
    return list(session.exec(query.order_by(col(SlotRow.attempt), col(SlotRow.due), col(SlotRow.job)).limit(limit)))


def may_begin(row: SlotRow, now: datetime) -> bool:
    """Tell whether the next attempt of a due slot may begin: attempts are spread evenly over the grace."""
    due = datetime.fromisoformat(row.due)
    after = due + timedelta(seconds=row.grace_s * row.attempt / row.attempts)
    return row.attempt < row.attempts and after <= now and not is_over(row, now)


def is_over(row: SlotRow, now: datetime) -> bool:
    """Tell whether the grace of a slot ended, or nothing can be tried any more."""
    return row.attempt >= row.attempts or datetime.fromisoformat(row.due) + timedelta(seconds=row.grace_s) < now


def overdue(session: Session, now: datetime, *, limit: int, jobs: Iterable[str] | None = None) -> list[SlotRow]:
    """Return due slots whose grace ended, oldest first.

    jobs: those of the schedule in force; slots of any other job are over when due. None: the grace alone counts.
    """
    due = select(SlotRow).where(SlotRow.state == DUE)
    found: list[SlotRow] = []
    for grace_s in session.exec(select(SlotRow.grace_s).where(SlotRow.state == DUE).distinct()).all():
        ended = instant(now - timedelta(seconds=grace_s))
        query = due.where(SlotRow.grace_s == grace_s, SlotRow.due < ended)
        found += session.exec(query.order_by(col(SlotRow.due)).limit(limit))
    if jobs is not None:
        query = due.where(col(SlotRow.job).not_in(list(jobs)), SlotRow.due <= instant(now))
        found += session.exec(query.order_by(col(SlotRow.due)).limit(limit))
    unique = {(row.job, row.due): row for row in found}
    return sorted(unique.values(), key=lambda row: (row.due, row.job))[:limit]


_CLAIM: Final = text(
    "UPDATE state_slot SET state = 'claimed', token = token + 1, attempt = attempt + 1, owner = :owner,"
    " claimed_at = :now, lease_until = :until"
    " WHERE job = :job AND due = :due AND state = 'due' AND token = :token"
    # Not a slot of a schedule that was replaced since this daemon looked.
    " AND EXISTS (SELECT 1 FROM state_schedule WHERE digest = :digest)"
    " RETURNING token, attempt"
)


def claim(session: Session, row: SlotRow, *, owner: str, now: datetime, lease_s: float, digest: str) -> Claim | None:
    """Claim a due slot under the schedule `digest`; None if someone else has it, or that schedule is not in force."""
    told = {"owner": owner, "now": rfc3339(now), "until": rfc3339(now + timedelta(seconds=lease_s))}
    told |= {"job": row.job, "due": row.due, "digest": digest}
    claimed = session.connection().execute(_CLAIM, {**told, "token": row.token}).first()
    if claimed is None:
        return None
    token, attempt = claimed
    return Claim(slot_of(row), token, attempt, final=attempt >= row.attempts)


_RENEW: Final = text(
    "UPDATE state_slot SET lease_until = :until WHERE job = :job AND due = :due AND token = :token"
    " AND state = 'claimed' RETURNING token"
)


def renew(session: Session, held: Claim, until: datetime) -> bool:
    """Move the end of a lease; False if the slot is no longer ours."""
    told = {"job": held.slot.job, "due": instant(held.slot.due), "token": held.token, "until": rfc3339(until)}
    return bool(session.connection().execute(_RENEW, told).all())


def row_of(session: Session, slot: Slot) -> SlotRow | None:
    """Return the row of a slot."""
    return session.get(SlotRow, (slot.job, instant(slot.due)))


def expired(session: Session, now: datetime, *, limit: int) -> list[SlotRow]:
    """Return claimed slots whose lease has ended, oldest first."""
    query = select(SlotRow).where(SlotRow.state == CLAIMED, col(SlotRow.lease_until) < rfc3339(now))
    return list(session.exec(query.order_by(col(SlotRow.due)).limit(limit)))


def close(transaction: Transaction, held: Claim, *, result: str, record_id: str, closed_at: datetime) -> None:
    """Close the slot of a claim with the record that is being appended; an ERROR that is not final makes it due again.

    Raises SlotLostError if the slot went to someone else, so that nothing is appended.
    """
    again = result == "ERROR" and not held.final
    done = transaction.execute(
        "UPDATE state_slot SET state = ?, result = ?, record_id = ?, closed_at = ?, owner = NULL, lease_until = NULL"
        " WHERE job = ? AND due = ? AND token = ? AND state = 'claimed' RETURNING token",
        (
            DUE if again else CLOSED,
            result,
            record_id,
            None if again else rfc3339(closed_at),
            held.slot.job,
            instant(held.slot.due),
            held.token,
        ),
    )
    if not done:
        raise SlotLostError(
            f"slot {held.slot.id} is no longer ours: its lease ended and it was closed by another daemon, "
            "so this result is not recorded"
        )


def take_away(
    transaction: Transaction, seen: SlotRow, *, final: bool, result: str, record_id: str, closed_at: datetime
) -> None:
    """Close a claimed slot whose lease ended in its owner's place, or make it due again. It takes the token along.

    Raises SlotLostError if the owner gave a sign of life, or someone else was first.
    """
    done = transaction.execute(
        "UPDATE state_slot SET state = ?, result = ?, record_id = ?, closed_at = ?, owner = NULL, lease_until = NULL,"
        " token = token + 1"
        " WHERE job = ? AND due = ? AND token = ? AND state = 'claimed' AND lease_until = ? RETURNING token",
        (
            CLOSED if final else DUE,
            result,
            record_id,
            rfc3339(closed_at) if final else None,
            seen.job,
            seen.due,
            seen.token,
            seen.lease_until,
        ),
    )
    if not done:
        raise SlotLostError(f"slot {slot_of(seen).id} was renewed, or closed by another daemon")


def close_missed(transaction: Transaction, seen: SlotRow, *, record_id: str, closed_at: datetime) -> None:
    """Close a slot that nobody ran. Raises SlotLostError if someone runs it, or closed it."""
    done = transaction.execute(
        "UPDATE state_slot SET state = 'closed', result = 'MISSED', record_id = ?, closed_at = ?, token = token + 1"
        " WHERE job = ? AND due = ? AND token = ? AND state = 'due' AND attempt = 0 RETURNING token",
        (record_id, rfc3339(closed_at), seen.job, seen.due, seen.token),
    )
    if not done:
        raise SlotLostError(f"slot {slot_of(seen).id} was claimed, or closed by another daemon")


_CLOSE_TRIED: Final = text(
    "UPDATE state_slot SET state = 'closed', closed_at = :now, token = token + 1"
    " WHERE job = :job AND due = :due AND token = :token AND state = 'due' AND attempt > 0 RETURNING token"
)


def close_tried(session: Session, seen: SlotRow, now: datetime) -> bool:
    """Close a slot with the result of its last attempt, which is recorded already; False if someone else was first."""
    told = {"job": seen.job, "due": seen.due, "token": seen.token, "now": rfc3339(now)}
    return bool(session.connection().execute(_CLOSE_TRIED, told).all())


_OPEN: Final = text("SELECT state, count(*) FROM state_slot WHERE state IN ('due', 'claimed') GROUP BY state")
_ENDED: Final = text("SELECT result, count(*) FROM state_slot WHERE state = 'closed' GROUP BY result")
_PRUNE: Final = text("DELETE FROM state_slot WHERE state = 'closed' AND due < :before")


def open_counts(session: Session) -> dict[str, int]:
    """Return how many slots are due and how many claimed."""
    found = _pairs(session, _OPEN)
    return {state: found.get(state, 0) for state in (DUE, CLAIMED)}


def closed_counts(session: Session) -> dict[str, int]:
    """Return how many closed slots there are by result."""
    return _pairs(session, _ENDED)


def _pairs(session: Session, query: TextClause) -> dict[str, int]:
    return {str(name): int(count) for name, count in session.connection().execute(query)}


def prune(session: Session, before: datetime) -> None:
    """Forget closed slots that were due before that moment; the log keeps what became of them."""
    session.connection().execute(_PRUNE, {"before": instant(before)})
