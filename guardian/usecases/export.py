"""Write the pack: the log's records with proofs, attachments, coverage and views, for an auditor to verify alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from evidence import keyring
from evidence.pack import write_pack
from guardian.errors import UsageError
from guardian.usecases.ledger import Ledger
from guardian.usecases.report import render_report

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from evidence.verify import VerifiedRecord
    from guardian.settings import Settings


@dataclass(frozen=True, slots=True)
class Exported:
    """A written pack. root: the file it verifies against. size_bytes: of the zip."""

    pack: Path
    root: Path
    records: int
    size_bytes: int


def export(settings: Settings, output: Path, *, replace: bool, progress: Callable[[int, int], None]) -> Exported:
    """Write all records as a pack to `output`. Raises UsageError if it exists and `replace` is not set."""
    if output.exists() and not replace:
        raise UsageError(f"{output} exists; give another --output, or --force to replace it")
    with Ledger(settings, writable=False) as ledger:
        records = ledger.records()
        write_pack(
            output,
            ledger.log,
            record_key=keyring.load_key(settings.keys.record.path),
            views={"report.html": render_report(settings, ledger, records).encode()},
            coverage=orjson.dumps(coverage(records), option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2),
            progress=progress,
        )
        return Exported(output, ledger.root_path, len(records), output.stat().st_size)


def coverage(records: Sequence[VerifiedRecord]) -> dict[str, Any]:
    """Return what the records cover: runs by job and asset with their results, and what is not covered yet."""
    runs: dict[tuple[str, str | None], dict[str, Any]] = {}
    for record in records:
        predicate = record.predicate
        job, asset = predicate["run"]["job"], predicate.get("asset")
        entry = runs.setdefault((job, asset), {"job": job, "asset": asset, "runs": 0, "results": {}, "records": []})
        entry["runs"] += 1
        entry["results"][predicate["result"]] = entry["results"].get(predicate["result"], 0) + 1
        entry["records"].append(record.index)
    return {
        "schema": "guardian/coverage/v1",
        "records": len(records),
        "from": records[0].predicate["run"]["startedOn"] if records else None,
        "to": records[-1].predicate["run"]["finishedOn"] if records else None,
        "runs": sorted(runs.values(), key=lambda run: (run["job"], run["asset"] or "")),
        "slots": None,
        "note": "Every run was started by hand: no schedule was recorded, so no slot can be shown as met or missed.",
    }
