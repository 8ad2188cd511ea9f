"""A dump in any output format of pg_dump: whether it is whole, and what it holds and needs.

Invariant: every layout passes the check `archive.complete` by being read to its end, before anything is restored.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from verifiers.layout import Layout
from verifiers.postgres.archive import verify_complete
from verifiers.postgres.archive_files import verify_files
from verifiers.postgres.archive_members import open_members, read_toc
from verifiers.postgres.archive_toc import Archive, ArchiveError, read_archive
from verifiers.postgres.outreach import Outreach, refusal
from verifiers.postgres.plain import read_plain
from verifiers.postgres.plain_needs import UndecidedError
from verifiers.result import Assurance, Check, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_EXPECTED = {
    Layout.DIRECTORY: "toc.dat, every file that it names to its end, and no other",
    Layout.TAR: "toc.dat, every member that it names to its end, no other, and the end of the tar",
    Layout.PLAIN: "what pg_dump writes and nothing else, up to its word that the dump is complete",
}


@dataclass(frozen=True, slots=True)
class Dump:
    r"""A whole dump, ready to be restored. restricted: a plain one with `\restrict`. data_bytes: of rows, unpacked."""

    path: Path
    archive: Archive
    data_bytes: int | None = None
    restricted: bool = False
    outreach: Outreach = field(default_factory=Outreach)


def examine_dump(path: Path, layout: Layout, progress: Callable[[int], None]) -> tuple[Check, Dump | None]:
    """Read a dump to its end; return the check `archive.complete`, and the dump if it passed.

    progress: called with the bytes read.
    """
    if layout is Layout.CUSTOM:
        check = verify_complete(path, progress)
        data = check.observed.get("dataBytes") if isinstance(check.observed, dict) else None
        if check.verdict is not Verdict.PASS:
            return check, None
        outreach = Outreach()
        archive = read_archive(path, outreach)
        if outreach.refused:
            return replace(check, verdict=Verdict.FAIL, message=not_whole(refusal(outreach.refused))), None
        return check, Dump(path, archive, data, outreach=outreach)
    started = time.monotonic()
    verdict = Verdict.PASS
    dump: Dump | None = None
    observed: dict[str, int | str] | None = None
    counted: dict[str, int | str]
    try:
        if layout is Layout.PLAIN:
            plain = read_plain(path, progress)
            dump = Dump(path, plain.archive, plain.bytes, plain.restricted, plain.outreach)
            counted = {"bytes": plain.bytes, "statements": plain.statements, "copies": plain.copies}
            message = (
                f"All {plain.statements} statements and the rows of {plain.copies} tables were read, up to pg_dump's"
                " word that the dump is complete."
            )
        else:
            counted, message = verify_files(path, layout, progress)
            outreach = Outreach()
            archive = read_toc(open_members(path, layout), outreach)
            outreach.check()
            dump = Dump(path, archive, int(counted["dataBytes"]), outreach=outreach)
        observed = {"layout": layout.value, **counted}
    except ArchiveError as error:
        verdict, message = Verdict.FAIL, not_whole(str(error))
    except UndecidedError as error:
        verdict, message = Verdict.ERROR, f"The dump could not be judged: {error}."
    except OSError as error:
        verdict, message = Verdict.ERROR, f"The dump could not be read: {error.strerror or error}."
    took = time.monotonic() - started
    check = Check(
        "archive.complete", Assurance.RESTORED, verdict, _EXPECTED[layout], observed, message, duration_s=took
    )
    return check, dump


def not_whole(why: str) -> str:
    """Return the message of a dump that is not whole."""
    return f"The dump is not whole: {why}. Take a new backup; this one cannot be restored completely."
