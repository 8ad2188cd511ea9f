"""Slots are closed here, each in the very transaction that appends its record.

Invariant: nothing is appended for a slot that belongs to someone else: the fencing token decides, in the database.
I/O: the log, the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from evidence.statement import parse_statement
from guardian.records import missed_slot, unfinished_drill, unfinished_scan
from guardian.store import slots
from guardian.store.slots import SlotLostError
from guardian.usecases.ledger import Ledger, new_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardian.model import Claim, Slot
    from guardian.settings import Settings
    from guardian.store.slots import Transaction
    from guardian.store.tables import SlotRow
    from guardian.usecases.ledger import Appended


@dataclass(frozen=True, slots=True)
class Closed:
    """A slot that was closed, or made due again, and the record that says why. again: another attempt may follow."""

    slot: Slot
    result: str
    record: Appended
    again: bool = False


def append_for(ledger: Ledger, payload: bytes, claim: Claim | None, *, now: datetime | None = None) -> Appended:
    """Append the record of a run; of one that a slot asked for, close the slot in the same transaction.

    now: when it closed, by the clock the daemons share; None for this machine's. Raises SlotLostError if the slot went
    to someone else meanwhile; nothing is appended then.
    """
    if claim is None:
        [record] = ledger.append([payload])
        return record
    held, predicate = claim, parse_statement(payload).predicate
    closed_at = now or datetime.now(UTC)

    def close(transaction: Transaction) -> None:
        slots.close(transaction, held, result=predicate["result"], record_id=predicate["recordId"], closed_at=closed_at)

    [record] = ledger.append([payload], within=close)
    return record


def close_unfinished(settings: Settings, claim: Claim, reason: str, *, started_on: datetime, now: datetime) -> Closed:
    """Close the slot of a run that came to nothing as an error. Raises SlotLostError like `append_for`."""
    with Ledger(settings, writable=True) as ledger:
        record = append_for(ledger, _unfinished(settings, ledger, claim, reason, started_on, now), claim, now=now)
    return Closed(claim.slot, "ERROR", record, again=not claim.final)


def close_lost(settings: Settings, row: SlotRow, *, now: datetime) -> Closed | None:
    """Close a slot whose daemon gave no sign of life until its lease ended; None if it was renewed or closed."""
    claim = slots.claim_of(row, now)
    started_on = datetime.fromisoformat(row.claimed_at) if row.claimed_at else now
    reason = f"daemon lost: {row.owner} gave no sign of life before its lease ended at {row.lease_until}"
    with Ledger(settings, writable=True) as ledger:
        payload = _unfinished(settings, ledger, claim, reason, started_on, now)
        record_id = parse_statement(payload).predicate["recordId"]

        def take(transaction: Transaction) -> None:
            slots.take_away(transaction, row, final=claim.final, result="ERROR", record_id=record_id, closed_at=now)

        try:
            [record] = ledger.append([payload], within=take)
        except SlotLostError:
            return None
    return Closed(claim.slot, "ERROR", record, again=not claim.final)


def close_missed(settings: Settings, rows: Sequence[SlotRow], *, reason: str, now: datetime) -> list[Closed]:
    """Close slots that nobody ran, all in one commit; where one was claimed meanwhile, those that were not."""
    with Ledger(settings, writable=True) as ledger:
        try:
            return _close_missed(settings, ledger, rows, reason, now)
        except SlotLostError:
            closed = []
            for row in rows:
                try:
                    closed += _close_missed(settings, ledger, [row], reason, now)
                except SlotLostError:
                    continue
            return closed


def _close_missed(
    settings: Settings, ledger: Ledger, rows: Sequence[SlotRow], reason: str, now: datetime
) -> list[Closed]:
    context = ledger.context()
    payloads, ids = [], []
    for row in rows:
        claim = slots.claim_of(row, now)
        run = new_run(_job(claim), now, now, claim=claim)
        asset = claim.slot.asset
        payloads.append(missed_slot(run, context, asset=asset, service=_service(settings, asset), reason=reason))
        ids.append(parse_statement(payloads[-1]).predicate["recordId"])

    def close(transaction: Transaction) -> None:
        for row, record_id in zip(rows, ids, strict=True):
            slots.close_missed(transaction, row, record_id=record_id, closed_at=now)

    records = ledger.append(payloads, within=close)
    return [Closed(slots.slot_of(row), "MISSED", record) for row, record in zip(rows, records, strict=True)]


def _unfinished(
    settings: Settings, ledger: Ledger, claim: Claim, reason: str, started_on: datetime, now: datetime
) -> bytes:
    run = new_run(_job(claim), min(started_on, now), now, claim=claim)
    asset = claim.slot.asset
    if asset is None:
        return unfinished_scan(run, ledger.context(), reason=reason)
    return unfinished_drill(run, ledger.context(), asset=asset, service=_service(settings, asset), reason=reason)


def _job(claim: Claim) -> str:
    return "scan" if claim.slot.asset is None else "drill"


def _service(settings: Settings, asset: str | None) -> str | None:
    known = settings.assets().get(asset or "")
    return known.service if known else None
