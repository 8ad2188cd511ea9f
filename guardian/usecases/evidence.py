"""Read the log for people: list and show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from guardian.errors import UsageError
from guardian.usecases.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evidence.verify import VerifiedRecord
    from guardian.settings import Settings


@dataclass(frozen=True, slots=True)
class Shown:
    """One record with where it stands: its statement, its entry's leaf index and the tree size it is proved in."""

    row: Mapping[str, Any]
    statement: Mapping[str, Any]
    proof: Mapping[str, Any]


def list_records(settings: Settings, *, kind: str | None = None, asset: str | None = None) -> list[dict[str, Any]]:
    """Return `{index, recordId, kind, subject, asset, result, assurance, time}` of each record, oldest first."""
    with Ledger(settings, writable=False) as ledger:
        rows = [row(record) for record in ledger.records()]
    return [r for r in rows if kind in (None, r["kind"]) and asset in (None, r["asset"])]


def show_record(settings: Settings, wanted: str) -> Shown:
    """Return one record by its index or record id, with its inclusion proof. Raises UsageError if there is none."""
    with Ledger(settings, writable=False) as ledger:
        for record in ledger.records():
            if wanted in (str(record.index), record.record_id):
                size = ledger.log.size
                proof = {
                    "origin": ledger.root.origin,
                    "leafIndex": record.index,
                    "treeSize": size,
                    "hashes": [step.hex() for step in ledger.log.inclusion_proof(record.index, size)],
                }
                return Shown(row(record), record.statement, proof)
        last = ledger.log.size - 1
    raise UsageError(
        f"no record {wanted!r}; give an index from 0 to {last} or a record id from `guardian evidence list`"
    )


def row(record: VerifiedRecord) -> dict[str, Any]:
    """Return one record as its line of `evidence list`."""
    predicate = record.predicate
    return {
        "index": record.index,
        "recordId": record.record_id,
        "kind": record.kind,
        "subject": record.subject,
        "asset": predicate.get("asset"),
        "result": predicate["result"],
        "assurance": predicate.get("assurance"),
        "time": predicate["run"]["finishedOn"],
    }
