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

from verifiers.filestore.hashed import HashedFiles
from verifiers.filestore.manifest import CHECKLIST, SHOWN, ManifestLook, check
from verifiers.filestore.reading import FilestoreError, Known, read_tree
from verifiers.postgres.session import connect, describe
from verifiers.result import Assurance, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from verifiers.filestore.manifest import FilestoreManifest
    from verifiers.filestore.measures import Measures
    from verifiers.filestore.reading import File
    from verifiers.result import Check

_STORED = re.compile(r"([0-9a-f]{2})/(\1[0-9a-f]{38})")
_IN_FOLDER = re.compile(r"[0-9a-f]{2}/[^/]+")
_COLUMNS = ("store_fname", "checksum", "file_size", "db_datas")
_ROWS = """
    SELECT store_fname, checksum, file_size, db_datas IS NOT NULL
    FROM public.ir_attachment WHERE store_fname IS NOT NULL
"""
_BATCH = 5000
_CHECKLIST = CHECKLIST + b"/"
_UNREAD = Known((), 0)


def content(root: Path, progress: Callable[[int], None] | None = None) -> Check:
    """`filestore.content` (sound): every file's SHA-1 is its name, and it lies in the folder of its first two digits.

    Spared: `checklist/`, the to-do list of Odoo's garbage collector. Files outside the two-digit folders belong to no
    attachment; they are counted as strays.
    """
    [found] = examine(root, content=True, progress=progress)
    return found


def bijection(conninfo: str, root: Path, *, deadline_s: float = 600) -> Check:
    """`filestore.bijection` (sound): rows of ir_attachment against files: counts, and up to 20 names of each kind.

    Fails for a row without its file, a size or checksum that differs, content both in the row and in a file, and a file
    without a row, unless Odoo's own checklist/ names it: that is how Odoo marks a file whose row is gone or not
    committed yet.
    """
    [found] = examine(root, conninfo=conninfo, deadline_s=deadline_s)
    return found


def examine(
    root: Path,
    *,
    content: bool = False,
    manifest: FilestoreManifest | None = None,
    conninfo: str | None = None,
    deadline_s: float = 600,
    measured: Measures | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Check]:
    """Return `filestore.content`, and with a conninfo `filestore.bijection`, with a manifest `filestore.manifest`.

    Each file is read once, whatever is asked for; for the bijection alone, none is.
    measured: takes notice of every file. progress: called with the bytes read.
    """
    started = time.monotonic()
    algorithms = [*(["sha1"] if content else []), *(["sha256"] if manifest is not None else [])]
    names = _Names() if content else None
    listed = ManifestLook(manifest, len(algorithms) - 1) if manifest is not None else None
    pairs = _Comparison() if conninfo is not None else None
    checks = []
    why = None
    try:
        for file in read_tree(
            root,
            algorithms,
            known=None if algorithms else lambda _path, _state: _UNREAD,
            entropy=measured is not None and bool(algorithms),
            progress=progress,
        ):
            if pairs is not None:
                pairs.file(file)
            if file.raw.startswith(_CHECKLIST):
                continue
            if measured is not None:
                measured.see(file)
            if names is not None:
                names.see(file)
            if listed is not None:
                listed.see(file)
    except FilestoreError as error:
        why = f"{error}."
    if names is not None:
        checks.append(_unread("filestore.content", Assurance.SOUND, why, started) or names.check(started))
    if pairs is not None and conninfo is not None:
        reason = f"Rows and files could not be compared: {why}" if why else None
        checks.append(
            _unread("filestore.bijection", Assurance.SOUND, reason, started)
            or _compared(pairs, conninfo, deadline_s, time.monotonic())
        )
    if listed is not None:
        checks.append(_unread("filestore.manifest", Assurance.EXACT, why, started) or listed.check(started))
    return checks


def _unread(check_id: str, level: Assurance, why: str | None, started: float) -> Check | None:
    return None if why is None else check(check_id, level, Verdict.ERROR, None, None, why, started)


class _Names:
    """Holds each file against its name."""

    def __init__(self) -> None:
        self._wrong: list[str] = []
        self._files = self._bytes = self._strays = 0

    def see(self, file: File) -> None:
        """Take a file, whose first digest is its SHA-1."""
        path = file.path
        if not _IN_FOLDER.fullmatch(path):
            self._strays += 1
            return
        self._files, self._bytes = self._files + 1, self._bytes + file.state.size
        sha1 = file.digests[0].hex()
        if path != f"{sha1[:2]}/{sha1}":
            self._wrong.append(path)

    def check(self, started: float) -> Check:
        """Return `filestore.content`."""
        wrong, files = self._wrong, self._files
        observed: dict[str, Any] = {
            "files": files,
            "bytes": self._bytes,
            "wrong": len(wrong),
            "strays": self._strays,
        }
        if wrong:
            shown = [path if _STORED.fullmatch(path) else "(no hash)" for path in sorted(wrong)[:SHOWN]]
            observed["wrongNames"] = shown
        message = (
            f"{len(wrong)} of {files} files do not hold what their names promise: damaged, or cut while copied."
            if wrong
            else f"All {files} files hold what their names promise (spared: checklist/)."
        )
        verdict = Verdict.FAIL if wrong else Verdict.PASS
        return check("filestore.content", Assurance.SOUND, verdict, {"wrong": 0}, observed, message, started)


def _compared(found: _Comparison, conninfo: str, deadline_s: float, started: float) -> Check:
    try:
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
    """Names of both sides. A file named by a hash takes some 30 bytes; a name of another shape is kept as it is."""

    def __init__(self) -> None:
        self.files = HashedFiles()
        self.others: dict[str, int] = {}
        self.unseen_others: set[str] = set()
        self.awaiting: set[str | bytes] = set()
        self.strays = 0
        self.row_count = self.collected = 0
        self._faults: dict[str, set[str | bytes]] = {kind: set() for kind in _SAID}

    def file(self, file: File) -> None:
        """Take a file, in the order of the walk."""
        path = file.path
        if file.raw.startswith(_CHECKLIST):
            self.awaiting.add(_key(path.split("/", 1)[1]))
        elif _IN_FOLDER.fullmatch(path):
            key = _key(path)
            if isinstance(key, bytes):
                self.files.add(key, file.state.size)
            else:
                self.others[key] = file.state.size
                self.unseen_others.add(key)
        else:
            self.strays += 1

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
        if twice:
            self._faults["contentTwice"].add(key)
        if isinstance(key, bytes):
            found = self.files.see(key)
        else:
            found = self.others.get(key)
            self.unseen_others.discard(key)
        if found is None:
            self._faults["rowsWithoutFile"].add(key)
            return
        if size is not None and size != found:
            self._faults["sizeDiffers"].add(key)
        if checksum is not None and (not isinstance(key, bytes) or checksum != key.hex()):
            self._faults["checksumDiffers"].add(key)

    def faults(self) -> dict[str, set[str]]:
        """Return the names that stand against the bijection, by kind."""
        unseen: list[str | bytes] = [*self.files.unseen(), *self.unseen_others]
        self.collected = sum(1 for key in unseen if key in self.awaiting)
        self._faults["filesWithoutRow"] = {key for key in unseen if key not in self.awaiting}
        return {kind: {_shown(key) for key in keys} for kind, keys in self._faults.items()}

    def counts(self) -> dict[str, int]:
        """Return numbers for the check, once `faults` were told."""
        counted = {kind: len(keys) for kind, keys in self._faults.items()}
        return {
            "rows": self.row_count,
            "files": len(self.files) + len(self.others),
            **counted,
            "awaitingCollection": self.collected,
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
