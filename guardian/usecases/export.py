"""Write the pack: the log's records with proofs, attachments, coverage and views, for an auditor to verify alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import orjson

from evidence import keyring
from evidence.pack import write_pack
from guardian.errors import UsageError
from guardian.usecases.coverage import population
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
            coverage=coverage_document(settings, records),
            progress=progress,
        )
        return Exported(output, ledger.root_path, len(records), output.stat().st_size)


def coverage_document(
    settings: Settings, records: Sequence[VerifiedRecord], *, services: frozenset[str] | None = None
) -> bytes:
    """Return coverage.json of a pack: every slot of every recorded schedule, as of the last record.

    services: only their slots and runs, None for all.
    """
    last = datetime.fromisoformat(records[-1].predicate["run"]["finishedOn"])
    document = population(
        records,
        environment=settings.environment,
        since=None,
        until=None,
        as_of=last,
        lease_s=settings.daemon.lease_s,
        services=services,
    )
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2)
