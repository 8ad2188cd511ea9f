"""When a backup was taken: from its name, else from the archive's header, else from the file's time.

Invariant: every time returned is aware UTC. The header's clock is the dumping machine's, without a zone: it is read in
this machine's zone, and given up for the file's time where that would put the dump after the file was last written.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from verifiers.layout import Layout
from verifiers.postgres.archive import ArchiveError, read_header
from verifiers.postgres.archive_ending import cut_short
from verifiers.postgres.archive_files import look_at_files
from verifiers.postgres.archive_members import open_members, read_toc_header
from verifiers.postgres.plain import look_at_plain

if TYPE_CHECKING:
    from pathlib import Path

    from verifiers.sources.names import Named

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


def look_at_dump(named: Named, dump: Path) -> tuple[datetime | None, bool | None, str]:
    """Return (taken_at, complete, reason) of the dump of a backup. Raises FileNotFoundError if it is gone.

    complete: whether it begins and ends as a whole one does, None where that would take reading it all. Damage inside
    only a drill finds.
    """
    taken_at = stamp(named.id)
    created = None
    try:
        status = dump.stat()
        written = datetime.fromtimestamp(status.st_mtime, UTC)
        if named.wrappings:
            reason = "" if status.st_size else "the file is empty (0 bytes)"
        elif named.layout is Layout.PLAIN:
            reason = look_at_plain(dump)
        elif named.layout is Layout.CUSTOM:
            created = read_header(dump).created_at
            reason = cut_short(dump)
        else:
            members = open_members(dump, named.layout)
            created = read_toc_header(members).created_at
            look_at_files(members)
            reason = ""
    except ArchiveError as error:
        return taken_at or written, False, str(error)
    except FileNotFoundError:
        raise
    except OSError as error:
        return taken_at, False, f"cannot be read: {error.strerror or error}"
    complete = None if named.wrappings and not reason else not reason
    if created is not None:
        created = created.astimezone(UTC)
        if created > written + timedelta(minutes=1):
            created = None
    return taken_at or created or written, complete, reason
