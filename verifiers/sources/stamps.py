"""When a backup was taken: from its name, else from the archive's header, else from the file's time.

Invariant: every time returned is aware UTC. The header's clock is the dumping machine's, without a zone: it is read in
this machine's zone, and given up for the file's time where that would put the dump after the file was last written.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from verifiers.postgres.archive import ArchiveError, read_header
from verifiers.postgres.archive_ending import cut_short

if TYPE_CHECKING:
    from pathlib import Path

_STAMP = re.compile(r"(?<![0-9A-Za-z])(\d{8}T\d{6}Z)(?![0-9A-Za-z])")


def stamp(name: str) -> datetime | None:
    """Return the moment that a name like `erp-20261123T110000Z` carries."""
    found = _STAMP.search(name)
    if not found:
        return None
    try:
        return datetime.strptime(found.group(1), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def look_at_dump(name: str, dump: Path) -> tuple[datetime | None, bool, str]:
    """Return (taken_at, complete, reason) of a dump file that belongs to the backup `name`.

    complete: whether the archive begins and ends as a whole one does; damage inside its data only a drill finds.
    """
    try:
        written = datetime.fromtimestamp(dump.stat().st_mtime, UTC)
        created = read_header(dump).created_at
        reason = cut_short(dump)
    except ArchiveError as error:
        return stamp(name) or written, False, str(error)
    except OSError as error:
        return stamp(name), False, f"cannot be read: {error.strerror or error}"
    if created is not None:
        created = created.astimezone(UTC)
        if created > written + timedelta(minutes=1):
            created = None
    return stamp(name) or created or written, not reason, reason
