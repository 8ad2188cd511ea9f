"""What a plain dump says of itself: which relations it makes, and what a server must have for it.

Invariant: only statements as pg_dump writes them are understood; another adds nothing, and the restore then says what
is missing. A plain dump has no table of contents and does not name its database. No I/O.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from verifiers.errors import VerifierError
from verifiers.layout import Layout
from verifiers.postgres.archive_needs import NeedsCollector, encoding_of
from verifiers.postgres.archive_toc import Archive, Entry, Header
from verifiers.postgres.encodings import codec_of
from verifiers.postgres.sqltext import identifier, literal, tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

_CODE = re.compile(rb"\s*(CREATE|ALTER|GRANT|REVOKE|SET)\b", re.IGNORECASE)
# Encodings in whose letters a second byte may be a backslash or a quote.
_UNSAFE = {"SJIS", "BIG5", "GBK", "UHC", "GB18030", "JOHAB", "SHIFT_JIS_2004"}
_RELATIONS = {("TABLE",): "TABLE", ("UNLOGGED", "TABLE"): "TABLE", ("FOREIGN", "TABLE"): "FOREIGN TABLE",
              ("VIEW",): "VIEW", ("RECURSIVE", "VIEW"): "VIEW", ("MATERIALIZED", "VIEW"): "MATERIALIZED VIEW",
              ("SEQUENCE",): "SEQUENCE", ("UNLOGGED", "SEQUENCE"): "SEQUENCE", ("OR", "REPLACE", "VIEW"): "VIEW",
              ("INDEX",): "INDEX", ("UNIQUE", "INDEX"): "INDEX"}  # fmt: skip
_BEGINNING = 40  # tokens in which a name stands, with room to spare


class UndecidedError(VerifierError):
    """The dump holds something by which it cannot be told here what psql would make of it."""


class PlainNeeds:
    """Gathers statement by statement. versions: as the comments at its beginning say."""

    def __init__(self) -> None:
        self.server_version: str | None = None
        self.dump_version: str | None = None
        self.creates_database = False
        self._codec = "utf-8"
        self._entries: list[Entry] = []
        self._seen: list[tuple[str, str, str | None, str | None, str | None, str]] = []

    def add(self, raw: bytes) -> None:
        """Take one statement into account. Raises UndecidedError."""
        if not _CODE.match(raw):
            return
        text = raw.decode(self._codec, "backslashreplace")
        head = [item for _, item in zip(range(_BEGINNING), tokens(text), strict=False)]
        words = [item.upper() for item in head]
        match words[:1]:
            case ["SET"]:
                self._set(text, head, words)
            case ["CREATE"]:
                self._create(text, head, words)
            case ["ALTER"] if words[1:2] != ["DEFAULT"]:
                self._alter(text)
            case _:
                self._need("ACL", definition=text + ";")

    def archive(self) -> Archive:
        """Return everything gathered, in the shape that the other layouts have."""
        needs = NeedsCollector(self.server_version)
        for each in self._seen:
            needs.add(*each)
        header = Header((0, 0, 0), "none", None, None, self.server_version, self.dump_version, len(self._entries))
        return Archive(header, self._entries, needs.result(), 0, Layout.PLAIN)

    def _need(
        self,
        desc: str = "",
        tag: str = "",
        *,
        owner: str | None = None,
        tablespace: str | None = None,
        method: str | None = None,
        definition: str = "",
    ) -> None:
        each = (desc, tag, owner, tablespace, method, definition)
        if not self._seen or self._seen[-1] != each:
            self._seen.append(each)

    def _set(self, text: str, head: Sequence[str], words: Sequence[str]) -> None:
        match words[1:]:
            case ["CLIENT_ENCODING", "=", *_]:
                self._encoding(text)
            case ["STANDARD_CONFORMING_STRINGS", "=", value, *_] if value != "ON":
                raise UndecidedError(
                    "it was written with standard_conforming_strings off, which is not understood here"
                )
            case ["DEFAULT_TABLESPACE", "=", *_]:
                self._need(tablespace=_value(head[3:]))
            case ["DEFAULT_TABLE_ACCESS_METHOD", "=", *_]:
                self._need(method=_value(head[3:]))
            case ["SESSION", "AUTHORIZATION", *_]:
                self._need("ACL", definition=text + ";")

    def _create(self, text: str, head: Sequence[str], words: Sequence[str]) -> None:
        kinds = words[3:4] if words[1:3] == ["OR", "REPLACE"] else words[1:2]
        match kinds:
            case ["DATABASE"]:
                self.creates_database = True
            case ["EXTENSION"]:
                self._need("EXTENSION", identifier(head[2 + 3 * (words[2:5] == ["IF", "NOT", "EXISTS"])]))
            case ["FUNCTION" | "PROCEDURE"]:
                self._need("FUNCTION", definition=text)
            case ["COLLATION"]:
                self._need("COLLATION", definition=text)
            case ["POLICY"] | ["USER"]:
                self._need("POLICY", definition=text + ";")
            case _:
                self._relation(head, words)

    def _encoding(self, text: str) -> None:
        encoding = encoding_of(text + ";") or ""
        if encoding.upper() in _UNSAFE:
            raise UndecidedError(
                f"it is written in {encoding}, where part of a letter may be a quote; dump without `--encoding`"
            )
        self._codec = codec_of(encoding)
        self._need("ENCODING", definition=text + ";")

    def _alter(self, text: str) -> None:
        last = list(tokens(text))[-4:]
        words = [item.upper() for item in last]
        if words[-3:-1] == ["OWNER", "TO"]:
            self._need(owner=identifier(last[-1]))
        elif words[-4:-1] == ["SET", "ACCESS", "METHOD"]:
            self._need(method=identifier(last[-1]))

    def _relation(self, head: Sequence[str], words: Sequence[str]) -> None:
        for kind, desc in _RELATIONS.items():
            place = 1 + len(kind)
            if tuple(words[1:place]) == kind:
                named = head[place:]
                if desc == "INDEX" and "ON" in words:  # an index is in the schema of its table
                    table = head[words.index("ON") + 1 :]
                    table = table[1:] if table[:1] and table[0].upper() == "ONLY" else table
                    schema, name = _qualified(table)[0], identifier(named[0])
                else:
                    schema, name = _qualified(named)
                number = len(self._entries) + 1
                self._entries.append(Entry(number, desc, name, schema, None, None, None, False, False, None))
                return


def _value(items: Sequence[str]) -> str | None:
    """Return what a SET sets, None for an empty string."""
    if not items:
        return None
    return (literal(items[0]) if items[0].endswith("'") else identifier(items[0])) or None


def _qualified(items: Sequence[str]) -> tuple[str | None, str]:
    """Return (schema, name) of the name that begins here."""
    if items[1:2] == ["."]:
        return identifier(items[0]), identifier(items[2])
    return None, identifier(items[0])
