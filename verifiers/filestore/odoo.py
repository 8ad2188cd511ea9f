"""Odoo's filestore against itself and against its database.

Odoo keeps an attachment's content as `<2 hex>/<sha1>` and its name in ir_attachment.store_fname, with checksum (SHA-1)
and file_size beside it; it serves a missing file as empty bytes, without an error. Invariant: a name from the database
is looked up in the listing of the files, never used as a path, and never shown unless it has the shape of a hash.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from verifiers.filestore.listing import FilestoreError, digests, walk
from verifiers.filestore.manifest import SHOWN, SPARED, check
from verifiers.postgres.session import connect, describe
from verifiers.result import Assurance, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from verifiers.result import Check

_STORED = re.compile(r"([0-9a-f]{2})/(\1[0-9a-f]{38})")
_IN_FOLDER = re.compile(r"[0-9a-f]{2}/[^/]+")
_COLUMNS = ("store_fname", "checksum", "file_size", "db_datas")
_ROWS = """
    SELECT store_fname, checksum, file_size, db_datas IS NOT NULL
    FROM public.ir_attachment WHERE store_fname IS NOT NULL
"""
_BATCH = 5000


def content(root: Path, progress: Callable[[int], None] | None = None) -> Check:
    """`filestore.content` (sound): every file's SHA-1 is its name, and it lies in the folder of its first two digits.

    Spared: `checklist/`, the to-do list of Odoo's garbage collector. Files outside the two-digit folders belong to no
    attachment; they are counted as strays.
    """
    started = time.monotonic()
    wrong: list[str] = []
    files = size_bytes = strays = 0
    try:
        for path, size, (sha1,) in digests(root, ["sha1"], spare=SPARED, progress=progress):
            if not _IN_FOLDER.fullmatch(path):
                strays += 1
                continue
            files, size_bytes = files + 1, size_bytes + size
            if path != f"{sha1[:2]}/{sha1}":
                wrong.append(path)
    except FilestoreError as error:
        return check("filestore.content", Assurance.SOUND, Verdict.ERROR, None, None, f"{error}.", started)
    observed: dict[str, Any] = {"files": files, "bytes": size_bytes, "wrong": len(wrong), "strays": strays}
    if wrong:
        observed["wrongNames"] = [path if _STORED.fullmatch(path) else "(no hash)" for path in sorted(wrong)[:SHOWN]]
    message = (
        f"{len(wrong)} of {files} files do not hold what their names promise: damaged, or cut while copied."
        if wrong
        else f"All {files} files hold what their names promise (spared: checklist/)."
    )
    verdict = Verdict.FAIL if wrong else Verdict.PASS
    return check("filestore.content", Assurance.SOUND, verdict, {"wrong": 0}, observed, message, started)


def bijection(conninfo: str, root: Path, *, deadline_s: float = 600) -> Check:
    """`filestore.bijection` (sound): rows of ir_attachment against files: counts, and up to 20 names of each kind.

    Fails for a row without its file, a size or checksum that differs, content both in the row and in a file, and a file
    without a row, unless Odoo's own checklist/ names it: that is how Odoo marks a file whose row is gone or not
    committed yet.
    """
    started = time.monotonic()
    try:
        found = _Comparison(root)
        found.rows(conninfo, deadline_s)
    except (FilestoreError, psycopg.Error) as error:
        reason = describe(error) if isinstance(error, psycopg.Error) else str(error)
        message = f"Rows and files could not be compared: {reason}."
        return check("filestore.bijection", Assurance.SOUND, Verdict.ERROR, None, None, message, started)
    faults = found.faults()
    observed = {**found.counts(), **{f"{kind}Names": sorted(names)[:SHOWN] for kind, names in faults.items() if names}}
    told = ", ".join(f"{len(names)} {_SAID[kind]}" for kind, names in faults.items() if names)
    return check(
        "filestore.bijection",
        Assurance.SOUND,
        Verdict.FAIL if told else Verdict.PASS,
        dict.fromkeys(faults, 0),
        observed,
        f"Database and filestore do not belong together: {told}."
        if told
        else f"Every one of {found.row_count} attachment rows has its file, and every file its row.",
        started,
    )


_SAID = {
    "rowsWithoutFile": "rows without their file",
    "filesWithoutRow": "files without a row",
    "sizeDiffers": "files of another size than their row says",
    "checksumDiffers": "rows whose checksum is not their file's name",
    "contentTwice": "rows with content in the database beside their file",
}


class _Comparison:
    """Names of both sides. Digests are kept as 20 bytes each; a name of another shape is kept as told by `_shown`."""

    def __init__(self, root: Path) -> None:
        self.sizes: dict[str | bytes, int] = {}
        self.awaiting: set[str | bytes] = set()
        self.strays = 0
        for folder in walk(root):
            for file, size in folder.sizes.items():
                path = folder.name(file)
                if folder.path.split("/")[0] in SPARED:
                    self.awaiting.add(_key(path.split("/", 1)[1]))
                elif _IN_FOLDER.fullmatch(path):
                    self.sizes[_key(path)] = size
                else:
                    self.strays += 1
        self.unseen = set(self.sizes)
        self.row_count = 0
        self._faults: dict[str, set[str | bytes]] = {kind: set() for kind in _SAID}

    def rows(self, conninfo: str, deadline_s: float) -> None:
        """Read all rows with a server-side cursor and hold them against the files."""
        with connect(conninfo, statement_timeout_s=deadline_s) as connection, connection.transaction():
            _columns_there(connection)
            with connection.cursor(name="attachments") as cursor:
                cursor.itersize = _BATCH
                cursor.execute(_ROWS)
                for name, checksum, size, twice in cursor:
                    self.row_count += 1
                    self._row(_key(name), checksum, size, twice=twice)

    def _row(self, key: str | bytes, checksum: str | None, size: int | None, *, twice: bool) -> None:
        self.unseen.discard(key)
        if twice:
            self._faults["contentTwice"].add(key)
        if key not in self.sizes:
            self._faults["rowsWithoutFile"].add(key)
            return
        if size is not None and size != self.sizes[key]:
            self._faults["sizeDiffers"].add(key)
        if checksum is not None and (not isinstance(key, bytes) or checksum != key.hex()):
            self._faults["checksumDiffers"].add(key)

    def faults(self) -> dict[str, set[str]]:
        """Return the names that stand against the bijection, by kind."""
        self._faults["filesWithoutRow"] = self.unseen - self.awaiting
        return {kind: {_shown(key) for key in keys} for kind, keys in self._faults.items()}

    def counts(self) -> dict[str, int]:
        """Return numbers for the check."""
        counted = {kind: len(keys) for kind, keys in self._faults.items()}
        return {
            "rows": self.row_count,
            "files": len(self.sizes),
            **counted,
            "awaitingCollection": len(self.unseen & self.awaiting),
            "strays": self.strays,
        }


def _key(name: str) -> str | bytes:
    found = _STORED.fullmatch(name)
    return bytes.fromhex(found.group(2)) if found else name


def _shown(key: str | bytes) -> str:
    return f"{key.hex()[:2]}/{key.hex()}" if isinstance(key, bytes) else "(no hash)"


def _columns_there(connection: psycopg.Connection[Any]) -> None:
    rows = connection.execute(
        "SELECT attname FROM pg_catalog.pg_attribute"
        " WHERE attrelid = pg_catalog.to_regclass('public.ir_attachment') AND attnum > 0 AND NOT attisdropped"
    ).fetchall()
    lacking = [column for column in _COLUMNS if (column,) not in rows]
    if lacking:
        raise FilestoreError(f"table public.ir_attachment lacks {', '.join(lacking)}; is this an Odoo database")


def names_in_snapshot(conninfo: str, snapshot_id: str | None) -> frozenset[str]:
    """Return the paths (`ab/abcd...`) that attachments name, in the exported snapshot, or now when None.

    Raises FilestoreError where the rows cannot be read.
    """
    try:
        with connect(conninfo) as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            if snapshot_id is not None:
                connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot_id)))
            _columns_there(connection)
            with connection.cursor(name="names") as cursor:
                cursor.itersize = _BATCH
                cursor.execute("SELECT DISTINCT store_fname FROM public.ir_attachment WHERE store_fname IS NOT NULL")
                return frozenset(name for (name,) in cursor)
    except psycopg.Error as error:
        raise FilestoreError(f"cannot read the attachments' names: {describe(error)}") from error
