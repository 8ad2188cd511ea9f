"""A plain dump, cut into what psql would take it for: statements, comments, meta-commands and rows of COPY.

Invariant: every byte of the file belongs to exactly one of them, told as psql's own lexer does with
`standard_conforming_strings` on: strings, quoted names, dollar quotes, nested comments. Memory is bounded: of a long
statement only the beginning is kept. Nothing is run; that a hostile file can make the server lex otherwise than psql is
what the sandbox is for. Format: psqlscan.l and pg_backup_archiver.c of PostgreSQL.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, BinaryIO

from verifiers.postgres.archive_toc import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEPT = 64 << 10  # bytes of a statement that are kept
_PIECE = 1 << 20
_AHEAD = 256  # bytes looked at beyond a mark: a doubled quote, a dollar tag
_LINE = 4096  # bytes of a comment or meta-command that are kept
# What holds none of the marks below; a string without a backslash reads alike with E and without.
_STRING = rb"(?:'[^'\\]*+')++(?!')"
_SIMPLE = re.compile(rb"(?:[^'\"$\\;()\-/]++|" + _STRING + rb")++")
# A whole statement that dumps made with --inserts have by the million, in one step.
_INSERT = re.compile(rb"\s*(INSERT INTO (?:[^'\"$\\;\-/]++|" + _STRING + rb'|"[^"]*+"|-(?!-)|/(?!\*))*+);\n')
_DOLLAR = re.compile(rb"\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$")
_IN_NAME = re.compile(rb"[A-Za-z0-9_$\x80-\xff]")
_COPY_START = re.compile(rb"COPY\b", re.IGNORECASE)
_FROM_STDIN = re.compile(rb"\bFROM\s+STDIN\s*\Z", re.IGNORECASE)
_COPY_END = re.compile(rb"\n\\\.\r?\n")


class What(StrEnum):
    """What an event is."""

    STATEMENT = "statement"
    COMMENT = "comment"
    META = "meta-command"
    ROWS = "rows"


@dataclass(frozen=True, slots=True)
class Event:
    """text: without its semicolon, `--` or line end; for rows, of the COPY before them. cut: it was longer.

    at: the byte of the file where it begins. end: the byte after it.
    """

    what: What
    text: bytes
    at: int
    end: int
    cut: bool = False


class Scanner:
    """Reads a stream to its end. unfinished: then what it ended in the middle of, empty if in nothing."""

    def __init__(self, stream: BinaryIO, progress: Callable[[int], None]) -> None:
        self.unfinished = ""
        self._stream, self._progress = stream, progress
        self._data, self._place, self._base, self._over = b"\n", 1, -1, False
        self._text = bytearray()
        self._began = 0
        self._cut = False
        self._before = b""  # the last two bytes of the statement, also where it was cut

    def events(self) -> Iterator[Event]:
        """Yield everything in order. Raises ArchiveError for a byte that no dump holds, or OSError."""
        depth = 0
        while self._ahead(_AHEAD):
            insert = None if self._text else _INSERT.match(self._data, self._place)
            if insert:
                at, self._place = self._base + insert.start(1), insert.end()
                yield Event(What.STATEMENT, insert[1][:KEPT], at, self._at() - 1, len(insert[1]) > KEPT)
                continue
            simple = _SIMPLE.match(self._data, self._place)
            if simple:
                if simple.end() == len(self._data) and not self._over:
                    self._more()  # the match may go on, or be no match with what follows
                    if len(self._data) - self._place < 4 * _PIECE:
                        continue
                self._take(simple.end())
                continue
            mark = self._data[self._place : self._place + 1]
            if mark == b";" and depth <= 0:
                yield from self._end_statement()
                depth = 0
            elif mark == b"\\" or self._data.startswith(b"--", self._place):
                at = self._at()
                text = self._line()
                yield Event(What.META if mark == b"\\" else What.COMMENT, text, at, self._at())
            else:
                depth += {b"(": 1, b")": -1}.get(mark, 0)
                self._quoted_or_mark(mark)
        if not self.unfinished and self._text.strip():
            self.unfinished = "a statement"

    # -- what is quoted

    def _quoted_or_mark(self, mark: bytes) -> None:
        named_before = bool(_IN_NAME.fullmatch(self._before[-1:]))
        tag = _DOLLAR.match(self._data, self._place) if mark == b"$" and not named_before else None
        if mark == b"'":
            escapes = self._before[-1:] in {b"e", b"E"} and not _IN_NAME.fullmatch(self._before[-2:-1])
            self._string(rb"\\.|''|'" if escapes else rb"''|'", b"'", "a string")
        elif mark == b'"':
            self._string(rb'""|"', b'"', "a quoted name")
        elif tag:
            self._take(tag.end())
            self._string(re.escape(tag.group()), tag.group(), "a dollar-quoted body", opened=True)
        elif self._data.startswith(b"/*", self._place):
            self._comment()
        else:
            self._take(self._place + 1)

    def _string(self, pattern: bytes, end: bytes, name: str, *, opened: bool = False) -> None:
        if not opened:
            self._take(self._place + 1)
        marks = re.compile(pattern, re.DOTALL)
        while self._ahead(_AHEAD):
            found = marks.search(self._data, self._place)
            edge = found is not None and found.end() == len(self._data) and len(end) == 1 and not self._over
            if found and not edge:
                self._take(found.end())
                if found.group() == end:
                    return
                continue
            # Up to what may still become a mark with what follows: nothing is ever skipped in the middle of a pair.
            rest = found.start() if found else len(self._data) - (0 if self._over else len(end))
            self._take(max(self._place, rest))
            if not self._more() and found is None:
                self._take(len(self._data))
        self.unfinished = name

    def _comment(self) -> None:
        depth = 0
        marks = re.compile(rb"/\*|\*/")
        while self._ahead(_AHEAD):
            found = marks.search(self._data, self._place)
            if found is None:
                self._place = len(self._data) if self._over else max(self._place, len(self._data) - 1)
                self._more()
                continue
            self._place = found.end()
            depth += 1 if found.group() == b"/*" else -1
            if depth == 0:
                return
        self.unfinished = "a comment"

    # -- lines and rows

    def _line(self) -> bytes:
        """Take the rest of the line and return its beginning, without its end."""
        kept = b""
        while self._ahead(1):
            end = self._data.find(b"\n", self._place)
            part = self._data[self._place : len(self._data) if end < 0 else end]
            kept = (kept + part)[:_LINE]
            self._place += len(part)
            if end >= 0:
                self._place += 1
                break
        return kept.strip()

    def _end_statement(self) -> Iterator[Event]:
        text = bytes(self._text)
        self._place += 1
        event = Event(What.STATEMENT, text.strip(), self._began, self._at(), self._cut)
        self._text.clear()
        self._cut, self._before = False, b""
        yield event
        if _COPY_START.match(event.text) and _FROM_STDIN.search(event.text):
            at = self._at()
            if self._line():
                raise ArchiveError(f"something stands behind a COPY on its line, before byte {self._at()}")
            ended = self._rows()
            yield Event(What.ROWS, event.text, at, self._at())
            if not ended:
                self.unfinished = "the rows of a COPY"

    def _rows(self) -> bool:
        """Skip rows to their end mark; return whether there was one."""
        while True:
            found = _COPY_END.search(self._data, self._place - 1)
            if found:
                self._place = found.end()
                return True
            self._place = max(self._place, len(self._data) - 3)  # the mark has five bytes at most, one is before
            if not self._more():
                self._place = len(self._data)
                return False

    # -- the window on the file

    def _at(self) -> int:
        return self._base + self._place

    def _take(self, end: int) -> None:
        """Make everything up to `end` part of the statement."""
        part = self._data[self._place : end]
        if not self._text:
            part = part.lstrip()
            self._began = self._base + end - len(part)
        room = KEPT - len(self._text)
        self._text += part[:room]
        self._cut |= len(part) > room
        self._before = (self._before + part[-2:])[-2:]
        self._place = end

    def _ahead(self, count: int) -> bool:
        """Have `count` bytes to look at, or all that are left; return whether there are any."""
        while len(self._data) - self._place < count and self._more():
            pass
        return self._place < len(self._data)

    def _more(self) -> bool:
        piece = self._stream.read(_PIECE)
        if not piece:
            self._over = True
            return False
        if b"\0" in piece:
            at = self._base + len(self._data) + piece.index(b"\0")
            raise ArchiveError(f"there is a zero byte at byte {at}, which no dump holds")
        kept = max(0, self._place - 1)  # one byte before, by which a line's beginning is known
        self._data = self._data[kept:] + piece
        self._base += kept
        self._place -= kept
        self._progress(self._base + len(self._data))
        return True
