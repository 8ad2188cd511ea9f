"""What a drill means for a person: what it proved and did not, what each check asks, and what to do next. Pure.

Invariant: no sentence here claims more than the checks it is made from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardian.model import Assurance, Verdict
from guardian.reports import words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardian.model import Drill
    from verifiers.result import Check

_PROVED: Final[Mapping[Assurance | None, str]] = {
    Assurance.EXACT: "Every row of every table equals what the source held when the backup was taken.",
    Assurance.SOUND: "The backup restored into a running server, and what came back is sound in itself: indexes, "
    "constraints, checksums and files agree with each other.",
    Assurance.RESTORED: "The backup restored into a running server, its catalogue is readable, and it is the right "
    "database.",
    None: "Nothing was proved.",
}
_PROVED_OF_FILES: Final[Mapping[Assurance | None, str]] = {
    Assurance.EXACT: "Every file equals the one that the source held when the backup was taken: path, size, mode "
    "and content.",
    Assurance.SOUND: "Every file could be read, and holds the content that is known of it.",
    Assurance.RESTORED: "Every file of the backup could be read to its end.",
    None: "Nothing was proved.",
}
_NOT_PROVED: Final[Mapping[Assurance | None, str]] = {
    Assurance.EXACT: "",
    Assurance.SOUND: "Whether every row and file is the one the source held: a manifest taken with the backup "
    "(`guardian manifest`) can show that.",
    Assurance.RESTORED: "Whether the restored data is sound (indexes, constraints, files), and whether it equals the "
    "source.",
    None: "That this backup can be relied on for anything.",
}

# What each check asks, and what to do when the answer is no. The check's own message says what was found.
_CHECKS: Final[Mapping[str, tuple[str, str]]] = {
    "backup.digest": (
        "The file is the one whose digest was signed when the backup was taken.",
        "The file changed after it was written: look for the cause in storage or transfer, and take a new backup.",
    ),
    "backup.locked": (
        "The stored backup cannot be deleted or overwritten before its time.",
        "Switch on object lock with retention for the bucket, and store the backup again.",
    ),
    "archive.complete": (
        "The archive is whole, to its last byte.",
        "The archive is damaged: recover from an older backup, take a new one, look at disk space and transfer.",
    ),
    "restore.messages": (
        "The restore ended well, and every message of it is accounted for.",
        "Read the named objects and codes; mend what the dump lacks or the server refuses, and take a new backup.",
    ),
    "server.started": ("A server started on the restored data.", "Look at the server's own log of the drill."),
    "recovery.target": (
        "Recovery reached the point that was asked for.",
        "A piece of the write-ahead log is missing: check the archive for gaps, and take a new base backup.",
    ),
    "catalog.readable": (
        "The catalogue of the database can be read.",
        "Take a new backup; check the source's catalogue.",
    ),
    "identity": (
        "It is the right database, and not a stale copy.",
        "The job backs up another database than declared: compare its target with guardian.yaml.",
    ),
    "isolation": (
        "The restore ran in a box without network, files or keys of the host.",
        "Run `guardian doctor`: it says what this machine lacks for isolation.",
    ),
    "freshness": (
        "The backup is no older than the recovery point objective.",
        "Look at why the backup job did not run, or run it more often.",
    ),
    "pages": ("No page fails its checksum.", "A page was damaged before or in the backup: check the source's storage."),
    "amcheck": (
        "Tables and indexes are well-formed inside.",
        "Rebuild the named indexes at the source (REINDEX), check its storage, take a new backup.",
    ),
    "constraints": (
        "Every constraint holds on the restored rows.",
        "Mend the named rows at the source: they break a rule that the schema states.",
    ),
    "indexes": (
        "Every index is there and valid.",
        "Rebuild the named index at the source, or qualify the names in it.",
    ),
    "extensions": (
        "Every extension the database needs is there.",
        "Provide the named extension on the server that recovery would use.",
    ),
    "filestore.content": (
        "The content of every file is the one its name promises.",
        "Restore the named files from an older backup, and check the storage of the filestore.",
    ),
    "filestore.bijection": (
        "Every attachment in the database has its file, and every file its attachment.",
        "Look for the named files in older backups, and copy the filestore after the dump, from one snapshot.",
    ),
    "assertions": ("Your own assertions hold on the restored data.", "Look at the assertion that does not hold."),
    "catalog.diff": (
        "Schema, roles and grants equal those of the source.",
        "Compare the named objects with the source; a restore would lose or change them.",
    ),
    "content.rows": (
        "Every table has as many rows as at the source.",
        "Rows are missing or too many: do not recover from this backup; take a new one and check the role that dumps.",
    ),
    "content.hashes": (
        "The content of every table equals the source, row by row.",
        "The data was altered on its way: do not recover from this backup, take a new one, find what changed it.",
    ),
    "sequences": (
        "No sequence is behind the source.",
        "Set the named sequences forward after a restore, or new rows collide with old ones.",
    ),
    "large-objects": ("Every large object is there.", "Dump with large objects included (pg_dump --large-objects)."),
    "materialized-views": (
        "Every materialized view is populated.",
        "Refresh the named views after a restore, in the order of their dependencies.",
    ),
    "filestore.manifest": (
        "Every file equals the one listed when the backup was taken.",
        "Files changed or went missing after the backup was taken: check storage and transfer.",
    ),
    "neutralised": ("The copy cannot send mail or run jobs.", "Do not look into this copy before it is neutralised."),
    "anomaly": ("The backup is like those before it.", "Compare size and counts with earlier backups."),
}


def proved(drill: Drill) -> str:
    """Return what the drill proved, in a sentence or two."""
    if drill.asset.type == "filestore":
        place = (
            " It was verified where it lies, and not restored."
            if drill.result.measurements.get("verifiedInPlace")
            else ""
        )
        return _PROVED_OF_FILES[drill.result.assurance] + place
    said = _PROVED[drill.result.assurance]
    if drill.result.assurance is Assurance.EXACT and drill.asset.type == "odoo":
        return f"{said} So does every file of the filestore."
    return said


def not_proved(drill: Drill) -> str:
    """Return what the drill did not prove; empty where nothing was left open at the highest level."""
    result = drill.result
    parts = []
    for verdict, said in ((Verdict.FAIL, "failed"), (Verdict.ERROR, "could not run")):
        names = [check.id for check in result.checks if check.verdict is verdict and check.level is not None]
        if names:
            parts.append(f"{words.listed(names)} {said}")
    if not parts:
        return _NOT_PROVED[result.assurance]
    above = [level for level in Assurance if result.assurance is None or level.rank > result.assurance.rank]
    level = f"It is not shown to be {above[0]}" if above else "Open"
    return f"{level}: {'; '.join(parts)}."


def why(drill: Drill) -> str:
    """Return the checks that failed, or else could not run, with their messages; of a good drill what it proved."""
    for verdict in (Verdict.FAIL, Verdict.ERROR):
        found = alike([check for check in drill.result.checks if check.verdict is verdict])
        if found:
            return "\n".join(f"{', '.join(ids)}: {message}" for message, ids in found)
    if drill.result.verdict is not Verdict.PASS:
        return "no check was made, so nothing is known"
    return proved(drill)


def alike(checks: Sequence[Check]) -> list[tuple[str, list[str]]]:
    """Return (message, ids), checks with one message together, in order of first appearance."""
    found: dict[str, list[str]] = {}
    for check in checks:
        found.setdefault(check.message or asks(check.id), []).append(check.id)
    return list(found.items())


def forecast(drill: Drill) -> str:
    """Return what earlier drills let expect of the restore, and whether this one was slower; empty if nothing."""
    measured = drill.result.measurements
    expected = measured.get("forecastRestoreSeconds")
    if expected is None:
        return ""
    error = words.duration(measured.get("forecastErrorSeconds"))
    said = f"earlier drills let expect a restore of {words.duration(expected)} ± {error} for this size"
    return f"{said}: it has become SLOWER" if measured.get("restoreRegression") else said


def covered(drill: Drill) -> str:
    """Return how many of the backups that are kept were drilled within the asset's period; empty unless sampled."""
    kept, done = (drill.result.measurements.get(key) for key in ("keptBackups", "keptBackupsDrilled"))
    return "" if kept is None or done is None else f"{done:,.0f} of {kept:,.0f} backups kept were drilled in the period"


def rpo_s(drill: Drill) -> float | None:
    """Return the measured RPO in seconds, None where the drill could not measure it."""
    return drill.result.measurements.get("rpoSeconds")


def asks(check_id: str) -> str:
    """Return what a check asks, in a sentence; the id itself where it is not a known one."""
    return _CHECKS.get(check_id, (check_id, ""))[0]


def next_step(check_id: str) -> str:
    """Return what to do when a check did not pass; empty for an unknown one."""
    return _CHECKS.get(check_id, ("", ""))[1]
