"""Checks on a running restored server: catalogue, identity, indexes, extensions, pages, freshness.

Invariant: every function returns its `Check` and never raises for what it finds; what could not be checked is `error`.
`amcheck` and `constraints` read all data and stand in modules of their own.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from verifiers.postgres import catalog
from verifiers.postgres.amcheck import amcheck
from verifiers.postgres.foreign_keys import constraints
from verifiers.postgres.inventory import odoo_uuid
from verifiers.postgres.outcome import SHOWN, Outcome, examine, named
from verifiers.postgres.session import limit_statements
from verifiers.result import Assurance, Check, Scope, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from verifiers.postgres.archive import Archive
    from verifiers.postgres.manifest import PostgresManifest

__all__ = [
    "amcheck",
    "catalog_readable",
    "constraints",
    "extensions",
    "freshness",
    "identity",
    "indexes",
    "offline_pages",
    "pages",
]

_RELATIONS = """
    SELECT n.nspname, c.relname, c.relkind::text
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relpersistence <> 't'
    ORDER BY 1, 2
"""
# Kinds of entries of an archive that a restore turns into relations of the same name, by their letter in pg_class.
_KINDS = {
    "TABLE": "rp", "VIEW": "v", "MATERIALIZED VIEW": "m", "SEQUENCE": "S", "INDEX": "iI", "FOREIGN TABLE": "f",
}  # fmt: skip
_INDEXES = """
    SELECT format('%I.%I', n.nspname, c.relname), i.indisvalid AND i.indisready AND i.indislive, c.relkind = 'I'
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relpersistence <> 't' ORDER BY 1
"""
_COLLATIONS = """
    SELECT format('%I.%I', n.nspname, c.collname), c.collversion, pg_collation_actual_version(c.oid)
    FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
    WHERE c.collversion IS NOT NULL AND n.nspname !~ '^pg_'
"""
_DATABASE_COLLATION = """
    SELECT 'default', datcollversion, pg_database_collation_actual_version(oid) FROM pg_database
    WHERE datname = current_database() AND datcollversion IS NOT NULL
"""
_CHECKSUMS = ("Blocks scanned", "Bad checksums")  # as pg_checksums writes them
_FUTURE_S = 60  # clocks of two machines may differ by so much


def catalog_readable(
    conninfo: str, *, archive: Archive | None = None, scope: Scope = Scope.FULL, deadline_s: float = 600
) -> Check:
    """`catalog.readable` (restored): every definition can be read, and the first row of every table.

    archive: then every table, view, sequence and index that it lists must be there; no index if only data was restored.
    """

    def look(session: psycopg.Connection[Any]) -> Outcome:
        found = session.execute(_RELATIONS).fetchall()
        objects = len(catalog.digests(session).objects)
        ends = time.monotonic() + deadline_s
        for schema, name, kind in found:
            if kind == "r" or (kind == "m" and _populated(session, schema, name)):
                limit_statements(session, max(0.001, ends - time.monotonic()))
                session.execute(sql.SQL("SELECT FROM ONLY {} LIMIT 1").format(sql.Identifier(schema, name)))
        counts = {"relations": len(found), "tables": sum(kind in "rp" for _, _, kind in found), "objects": objects}
        missing = _missing(archive, found, scope) if archive else []
        if missing:
            observed = {**counts, "missing": len(missing), "missingNames": missing[:SHOWN]}
            message = f"{len(missing)} relations of the archive did not come back: {named(missing)}."
            return Outcome(Verdict.FAIL, None, observed, message)
        message = f"All {objects} definitions and the beginning of all {counts['tables']} tables can be read."
        return Outcome(Verdict.PASS, None, counts, message)

    return examine("catalog.readable", Assurance.RESTORED, conninfo, deadline_s, look)


def _populated(session: psycopg.Connection[Any], schema: str, name: str) -> bool:
    query = "SELECT relispopulated FROM pg_class WHERE oid = format('%%I.%%I', %s::text, %s::text)::regclass"
    return bool(session.execute(query, (schema, name)).fetchone() == (True,))


def _missing(archive: Archive, found: Sequence[tuple[str, str, str]], scope: Scope) -> list[str]:
    kinds = {desc: of for desc, of in _KINDS.items() if scope is Scope.FULL or desc != "INDEX"}
    there = {(schema, name, kind) for schema, name, kind in found}
    return sorted(
        entry.label
        for entry in archive.entries
        if entry.desc in kinds and not any((entry.namespace, entry.tag, kind) in there for kind in kinds[entry.desc])
    )


def identity(
    conninfo: str,
    *,
    archived_database: str | None,
    expected_database: str | None,
    manifest: PostgresManifest | None = None,
    named: str | None = None,
    deadline_s: float = 60,
) -> Check:
    """`identity` (restored): the right database. archived_database: as the archive names it; a plain dump does not.

    named: as a file beside the dump names it, Odoo's manifest.json.
    Compared are the names in the archive, in guardian.yaml and in the manifest, the encoding, and Odoo's database.uuid.
    """

    def look(session: psycopg.Connection[Any]) -> Outcome:
        expected: dict[str, str | None] = {}
        observed: dict[str, str | None] = {"database": archived_database}
        if named is not None:
            observed["manifestJson"] = named
        if expected_database is not None and archived_database is not None:
            expected["database"] = expected_database
        if expected_database is not None and named is not None:
            expected["manifestJson"] = expected_database
        if manifest is not None:
            wanted = expected_database or manifest.identity.database
            expected |= {"database": wanted} if archived_database is not None else {}
            expected |= {"manifestJson": wanted} if named is not None else {}
            observed["manifestDatabase"] = manifest.identity.database
            expected |= {"manifestDatabase": wanted, "encoding": manifest.identity.encoding}
            [(observed["encoding"],)] = session.execute(
                "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()"
            ).fetchall()
            if manifest.identity.dbuuid is not None:
                expected["dbuuid"], observed["dbuuid"] = manifest.identity.dbuuid, odoo_uuid(session)
        if not expected and archived_database is None and named is None:
            message = (
                "A plain dump does not name its database, so nothing tells whether this is the asset's; take it inside"
                " `guardian manifest`, or in another format of pg_dump."
            )
            return Outcome(Verdict.SKIP, None, observed, message)
        if not expected:
            message = (
                "Nothing says which database this should be, so any would do: name it in guardian.yaml under the asset,"
                " `source: {postgres: COLLECTOR, database: NAME}`, or take the backup with a manifest."
            )
            return Outcome(Verdict.ERROR, None, observed, message)
        wrong = sorted(name for name, value in expected.items() if observed[name] != value)
        if wrong:
            said = ", ".join(f"{name} is {observed[name]!r} instead of {expected[name]!r}" for name in wrong)
            return Outcome(Verdict.FAIL, expected, observed, f"This is another database than the asset's: {said}.")
        name = archived_database or named or observed.get("manifestDatabase")
        message = f"It is the database {name!r}, by {', '.join(expected)}."
        return Outcome(Verdict.PASS, expected, observed, message)

    return examine("identity", Assurance.RESTORED, conninfo, deadline_s, look)


def freshness(*, taken_at: datetime | None, now: datetime, rpo_s: float | None) -> Check:
    """`freshness` (restored): age of the backup at `now`, both aware; against rpo_s where one is given.

    Without rpo_s it passes for having an age at all: `backup.fresh` judges it then.
    """
    expected = None if rpo_s is None else {"atMostSeconds": int(rpo_s)}
    if taken_at is None:
        message = "Nothing tells when the backup was taken: not its name, its header or its file."
        return Check("freshness", Assurance.RESTORED, Verdict.ERROR, expected, None, message)
    age_s = int((now - taken_at).total_seconds())
    observed = {"ageSeconds": age_s}
    if age_s < -_FUTURE_S:
        message = f"The backup says it was taken {-age_s} s from now; one of the clocks is wrong."
        return Check("freshness", Assurance.RESTORED, Verdict.ERROR, expected, observed, message)
    if rpo_s is not None and age_s > rpo_s:
        message = f"The backup is {age_s} s old, {age_s - int(rpo_s)} s more than the objective allows to be lost."
        return Check("freshness", Assurance.RESTORED, Verdict.FAIL, expected, observed, message)
    message = f"The backup is {max(age_s, 0)} s old."
    return Check("freshness", Assurance.RESTORED, Verdict.PASS, expected, observed, message)


def pages(conninfo: str, *, logical: bool, deadline_s: float = 60) -> Check:
    """`pages` (sound): checksum failures. A logical restore writes its own pages: skip with that reason."""
    if logical:
        message = "A logical restore writes its own pages, so their checksums say nothing of the backup."
        return Check("pages", Assurance.SOUND, Verdict.SKIP, None, None, message)

    def look(session: psycopg.Connection[Any]) -> Outcome:
        [(enabled,)] = session.execute("SELECT current_setting('data_checksums')").fetchall()
        if enabled != "on":
            return Outcome(Verdict.SKIP, None, {"dataChecksums": enabled}, "The cluster was made without checksums.")
        [(failures,)] = session.execute(
            "SELECT coalesce(sum(checksum_failures), 0)::int8 FROM pg_stat_database"
        ).fetchall()
        verdict = Verdict.FAIL if failures else Verdict.PASS
        message = f"{failures} pages failed their checksum." if failures else "No page failed its checksum."
        return Outcome(verdict, {"failures": 0}, {"failures": failures}, message)

    return examine("pages", Assurance.SOUND, conninfo, deadline_s, look)


def offline_pages(status: int, stdout: Path, stderr: Path) -> Check:
    """`pages` (sound), from what `pg_checksums --check` said of a cluster that was shut down, and its exit status."""
    said = stdout.read_text(encoding="utf-8", errors="replace")
    counts = {name: int(found[1]) if (found := re.search(rf"{name}: *(\d+)", said)) else None for name in _CHECKSUMS}
    bad, blocks = counts["Bad checksums"], counts["Blocks scanned"]
    observed = {"failures": bad, "blocks": blocks}
    if bad:
        files = sorted(
            set(re.findall(r'checksum verification failed in file "([^"]*)"', stderr.read_text(errors="replace")))
        )
        names = [name.rpartition("/data/")[2] for name in files]
        message = (
            f"{bad} of {blocks} pages failed their checksum, in {named(names)}: they were damaged before the backup."
        )
        return Check(
            "pages", Assurance.SOUND, Verdict.FAIL, {"failures": 0}, {**observed, "files": names[:SHOWN]}, message
        )
    if status != 0 or bad is None:
        message = f"pg_checksums ended with status {status} and did not read every page."
        return Check("pages", Assurance.SOUND, Verdict.ERROR, {"failures": 0}, observed, message)
    message = f"All {blocks} pages of the cluster have the checksum they were written with."
    return Check("pages", Assurance.SOUND, Verdict.PASS, {"failures": 0}, observed, message)


def indexes(conninfo: str, *, manifest: PostgresManifest | None = None, deadline_s: float = 60) -> Check:
    """`indexes` (sound): every index valid, ready and live.

    One of a partitioned table that not every partition has is invalid, and comes back so: that is told, and fails only
    where the manifest says that it was whole at the source.
    """

    def look(session: psycopg.Connection[Any]) -> Outcome:
        found = session.execute(_INDEXES).fetchall()
        not_valid = {name: partitioned for name, valid, partitioned in found if not valid}
        incomplete = [
            name
            for name, partitioned in not_valid.items()
            if partitioned and (manifest is None or f"incomplete index {name}" in manifest.catalog)
        ]
        invalid = [name for name in not_valid if name not in incomplete]
        counts: dict[str, Any] = {"indexes": len(found), "invalid": len(invalid), "incomplete": incomplete[:SHOWN]}
        if invalid:
            message = f"{len(invalid)} indexes are not valid, so queries do not use them: {named(invalid)}."
            return Outcome(Verdict.FAIL, {"invalid": 0}, {**counts, "invalidNames": invalid[:SHOWN]}, message)
        message = f"All {len(found)} indexes are valid."
        if incomplete:
            source = "as at the source" if manifest else "perhaps as at the source, which no manifest tells"
            message = (
                f"{len(found) - len(incomplete)} of {len(found)} indexes are valid; not every partition has those of"
                f" partitioned tables, {source}: {named(incomplete)}."
            )
        return Outcome(Verdict.PASS, {"invalid": 0}, counts, message)

    return examine("indexes", Assurance.SOUND, conninfo, deadline_s, look)


def extensions(
    conninfo: str, *, needed: Sequence[str], manifest: PostgresManifest | None = None, deadline_s: float = 60
) -> Check:
    """`extensions` (sound): all that the archive needs are there, none older than at the source; collation versions.

    A newer version than the source's is told and passes: a dump names no versions, so the server installs its own.
    """

    def look(session: psycopg.Connection[Any]) -> Outcome:
        found = dict(session.execute("SELECT extname, extversion FROM pg_extension ORDER BY extname").fetchall())
        source = dict(manifest.extensions) if manifest else {}
        missing = sorted((set(needed) | source.keys()) - found.keys())
        older = [
            name for name in sorted(source.keys() & found.keys()) if _version(found[name]) < _version(source[name])
        ]
        newer = [
            name for name in sorted(source.keys() & found.keys()) if _version(found[name]) > _version(source[name])
        ]
        query = _COLLATIONS
        if session.info.server_version >= 150000:
            query += " UNION ALL " + _DATABASE_COLLATION
        stale = sorted(name for name, built, actual in session.execute(query.encode()) if actual and built != actual)
        observed: dict[str, Any] = {"extensions": found, "missing": missing, "older": older, "newer": newer}
        observed["staleCollations"] = stale
        said = [
            f"{what}: {named(names)}"
            for what, names in (
                ("missing", missing),
                ("older than at the source", older),
                ("collations of another version than indexes were built with", stale),
            )
            if names
        ]
        expected = {"extensions": source or sorted(needed)}
        if said:
            return Outcome(Verdict.FAIL, expected, observed, f"Extensions or collations do not fit: {'; '.join(said)}.")
        message = f"All {len(found)} extensions are there" + (
            f"; newer than at the source: {named(newer)}." if newer else "."
        )
        return Outcome(Verdict.PASS, expected, observed, message)

    return examine("extensions", Assurance.SOUND, conninfo, deadline_s, look)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))
