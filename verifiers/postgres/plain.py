"""Plain dumps: whether one is whole, and that it holds nothing but what pg_dump writes.

Invariant: a dump that was cut at any byte but in the empty lines at its very end fails: pg_dump says when it is
complete, and psql restores a dump that lacks it without a word. A meta-command or a COPY that pg_dump does not write
is found before anything runs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from verifiers.postgres.archive_toc import Archive, ArchiveError
from verifiers.postgres.outreach import Outreach, refusal
from verifiers.postgres.plain_needs import PlainNeeds, UndecidedError
from verifiers.postgres.plain_scan import Event, Scanner, What
from verifiers.postgres.sqltext import tokens

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DATABASE, CLUSTER = "database", "cluster"  # of pg_dump, of pg_dumpall
_TITLE = re.compile(rb"-- PostgreSQL database( cluster)? dump( complete)?")
_VERSION = re.compile(rb"-- Dumped (from database|by pg_dump) version (\d\S*)")
_RESTRICT = re.compile(rb"\\(un)?restrict ([A-Za-z0-9]+)")
_CONNECT = re.compile(rb"\\(c|connect)\b")
_META = re.compile(r"\\(?:[A-Za-z]+|.)?")
_OTHERS = (b"PGDMP", b"\xff\xfe", b"\xfe\xff")  # what `_no_dump` knows by its first bytes
_ENDS = 8192  # bytes at both ends that `look_at_plain` reads
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Plain:
    r"""A plain dump that is whole. restricted: it has `\restrict`, which not every psql knows."""

    archive: Archive
    bytes: int
    statements: int
    copies: int
    restricted: bool
    outreach: Outreach


def read_plain(
    path: Path,
    progress: Callable[[int], None],
    *,
    kind: str = DATABASE,
    each: Callable[[Event], None] = lambda _: None,
) -> Plain:
    """Read a dump to its end. progress: called with the bytes read. kind: what it must say it is. each: of statements.

    Raises ArchiveError for what is damaged, cut, or not written by pg_dump; UndecidedError for what cannot be told; or
    OSError.
    """
    reading = _Reading(path, kind)
    with path.open("rb", buffering=0) as stream:
        if (start := stream.read(8)).startswith(_OTHERS):
            raise ArchiveError(_no_dump(start))
        stream.seek(0)
        scanner = Scanner(stream, progress)
        for event in scanner.events():
            reading.take(event)
            if event.what is What.STATEMENT:
                each(event)
    return reading.result(scanner.unfinished, path.stat().st_size)


def look_at_plain(path: Path) -> str:
    """Return why a dump is not whole, as its first and last bytes tell; empty if they tell nothing. Raises OSError."""
    with path.open("rb") as stream:
        start = stream.read(_ENDS)
        stream.seek(max(0, path.stat().st_size - _ENDS))
        end = stream.read(_ENDS)
    if not start:
        return "the file is empty (0 bytes)"
    titles = [found for found in map(_TITLE.fullmatch, map(bytes.strip, start.splitlines())) if found]
    if not titles:
        return _no_dump(start)
    endings = [found for found in map(_TITLE.fullmatch, map(bytes.strip, end.splitlines())) if found and found[2]]
    if not endings:
        return "it does not end as pg_dump ends a complete dump; it was cut"
    return ""


class _Reading:
    """What was read so far."""

    def __init__(self, path: Path, kind: str) -> None:
        self._path, self._kind = path, kind
        self._needs = PlainNeeds()
        self._outreach = Outreach()
        self._statements = self._copies = 0
        self._titled = self._complete = self._restricted = False
        self._key = b""
        self._first = b""
        self._refused: list[str] = []
        self._last_rows = ""

    def take(self, event: Event) -> None:
        """Take one event into account. Raises ArchiveError or UndecidedError."""
        match event.what:
            case What.COMMENT:
                self._comment(event.text)
            case What.META:
                self._meta(event)
            case What.ROWS:
                self._copies += 1
                self._last_rows = _copied(event.text)
            case What.STATEMENT:
                self._statements += 1
                self._complete = False
                if not self._titled:
                    raise ArchiveError(_no_dump(event.text))
                if event.text[:4].upper() == b"COPY" and (event.cut or not _copied(event.text)):
                    self._refuse("a COPY that reads something else than rows of the dump", event)
                elif self._kind == DATABASE and (odd := self._outreach.statement(event)):
                    self._refuse(odd, event)
                if not event.cut or event.text[:6].upper() == b"CREATE":
                    self._needs.add(event.text)

    def result(self, unfinished: str, size: int) -> Plain:
        """Return what was read, or raise ArchiveError for why it is not whole."""
        if size == 0:
            raise ArchiveError(f"{self._path.name} is empty (0 bytes)")
        if self._refused:
            raise ArchiveError(refusal(self._refused))
        if unfinished:
            where = f" of {self._last_rows}" if unfinished == "the rows of a COPY" else ""
            raise ArchiveError(f"it ends at byte {size} in the middle of {unfinished}{where}; it was cut")
        if not self._titled:
            raise ArchiveError(_no_dump(self._first))
        if not self._complete:
            said = f"PostgreSQL {'database cluster' if self._kind == CLUSTER else 'database'} dump complete"
            raise ArchiveError(f"it ends at byte {size} without saying `{said}`; it was cut")
        if self._key:
            raise ArchiveError(f"it ends at byte {size} without the \\unrestrict of its \\restrict; it was cut")
        if self._needs.creates_database:
            raise UndecidedError("it was made with `--create`, and drills restore into a database of their own; dump"
                                 " without `--create`")  # fmt: skip
        return Plain(self._needs.archive(), size, self._statements, self._copies, self._restricted,
                     self._outreach)  # fmt: skip

    def _comment(self, text: bytes) -> None:
        title = _TITLE.fullmatch(text)
        version = _VERSION.match(text)
        if title and bool(title[1]) == (self._kind == CLUSTER):
            self._titled = True
            self._complete = bool(title[2])
        elif version and version[1] == b"by pg_dump":
            self._needs.dump_version = version[2].decode("ascii", "replace")
        elif version:
            self._needs.server_version = version[2].decode("ascii", "replace")

    def _meta(self, event: Event) -> None:
        found = _RESTRICT.fullmatch(event.text)
        if found and not found[1] and not self._key:
            self._key, self._restricted = found[2], True
        elif found and found[1] and found[2] == self._key:
            self._key = b""
        elif _CONNECT.match(event.text) and self._needs.creates_database:
            pass  # `result` says that a dump made with --create is not restored here
        else:
            command = _META.match(event.text.decode("ascii", "replace"))
            self._refuse(f"the psql command {command.group() if command else '?'}", event)

    def _refuse(self, what: str, event: Event) -> None:
        if len(self._refused) < _SHOWN:
            self._refused.append(f"{what} in line {_line(self._path, event.at)}")


def _copied(text: bytes) -> str:
    """Return the name of the table whose rows follow a COPY of pg_dump; empty for any other COPY."""
    items = list(tokens(text.decode("utf-8", "backslashreplace")))
    words = [item.upper() for item in items]
    if words[:1] != ["COPY"] or words[-2:] != ["FROM", "STDIN"] or words[1:2] == ["("]:
        return ""
    name = "".join(items[1:4] if items[2:3] == ["."] else items[1:2])
    rest = words[4:-2] if items[2:3] == ["."] else words[2:-2]
    return name if not rest or (rest[0] == "(" and rest[-1] == ")" and rest.count("(") == 1) else ""


def _line(path: Path, byte: int) -> int:
    """Return the number of the line in which a byte stands."""
    line = 1
    with path.open("rb") as stream:
        while byte > 0 and (data := stream.read(min(byte, 1 << 20))):
            line += data.count(b"\n")
            byte -= len(data)
    return line


def _no_dump(start: bytes) -> str:
    if start.startswith(b"PGDMP"):
        return "it is a custom archive under the name of a plain dump; call it `.dump`"
    if start[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return "it is written in UTF-16, which psql cannot read: PowerShell's `>` does that; use `pg_dump --file`"
    return "it does not begin with the title that pg_dump writes: no plain dump of it"
