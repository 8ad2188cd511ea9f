"""JSON, one object after the other as kubectl reads a stream of it -> nodes that know their lines. No I/O.

Invariant: only what RFC 8259 allows is read; a key that stands twice is refused. The grammar is followed without
recursion, so that depth costs no stack.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from typing import Any, Final

from guardian.usecases import check_nodes
from guardian.usecases.check_nodes import MAX_DEPTH, MAX_NODES, Entry, MalformedError, Node, UnreadableError

_SPACE = re.compile(r"[ \t\r\n]*")
_TOKEN = re.compile(
    r"""(?P<mark>[{}\[\],:])
      | (?P<text>"(?:[^"\\\x00-\x1f]++|\\.)*+")
      | (?P<number>-?(?:0|[1-9][0-9]{0,400})(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,3})?(?![0-9.eE+-]))
      | (?P<word>true|false|null)\b""",
    re.VERBOSE,
)
_WORDS: Final = {"true": True, "false": False, "null": None}


def parse(text: str, first_line: int) -> list[Node]:
    """Return the values of `text`, which stand one after the other. first_line: the line at which it begins.

    Raises UnreadableError, with line, for what is no JSON or may not stand in a manifest.
    """
    reader = _Reader(text, first_line)
    found = []
    while reader.more():
        found.append(reader.value())
    return found


class _Reader:
    def __init__(self, text: str, first_line: int) -> None:
        self._text, self._first_line, self._at = text, first_line, 0
        self._line_starts = [0, *(found.end() for found in re.finditer("\n", text))]

    def more(self) -> bool:
        """Skip space, and tell whether anything follows."""
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._at < len(self._text)

    def value(self) -> Node:
        """Return the next value with all in it."""
        open_nodes: list[_Open] = []
        count = 0
        while True:
            kind, word, line, column = self._token()
            node: Node | None = None
            if word in ("{", "["):
                if len(open_nodes) >= MAX_DEPTH:
                    raise check_nodes.too_deep(line)
                open_nodes.append(_Open(line, column, {} if word == "{" else None))
            elif word in ("}", "]") and open_nodes and open_nodes[-1].may_end(word):
                node = open_nodes.pop().node()
            elif kind == "mark":
                if not open_nodes or not open_nodes[-1].separator(word):
                    raise _unexpected(line)
                continue
            else:
                node = check_nodes.scalar(_scalar(kind, word, line), line, column)
            if node is None:
                continue
            if not open_nodes:
                return node
            open_nodes[-1].add(node, line)
            count += 1
            if count > MAX_NODES:
                raise check_nodes.too_large(line)

    def _token(self) -> tuple[str, str, int, int]:
        """Return kind, text, line and column of the next token."""
        there = self.more()
        row = bisect_right(self._line_starts, self._at)
        line = self._first_line + row - 1
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            raise _unexpected(line, "not valid JSON" if there else "not valid JSON: it ends too early")
        column = self._at - self._line_starts[row - 1] + 1
        self._at = found.end()
        return str(found.lastgroup), found[0], line, column


class _Open:
    """An object or array of which not all has been seen. wants: what may come next."""

    def __init__(self, line: int, column: int, entries: dict[str, Entry] | None) -> None:
        self._line, self._column = line, column
        self._items: list[Node] = []
        self._entries = entries
        self._key: tuple[str, int, int] | None = None
        self._wants = "first"

    def may_end(self, word: str) -> bool:
        """Tell whether `word` closes this here."""
        return word == ("]" if self._entries is None else "}") and self._wants in ("first", "separator")

    def separator(self, word: str) -> bool:
        """Take a comma or colon; False if it may not stand here."""
        wanted = {",": "separator", ":": "colon"}.get(word)
        if self._wants != wanted:
            return False
        self._wants = "value" if word == ":" or self._entries is None else "key"
        return True

    def add(self, node: Node, line: int) -> None:
        """Take the next item, key or value."""
        if self._entries is None:
            if self._wants not in ("first", "value"):
                raise _unexpected(line)
            self._items.append(node)
            self._wants = "separator"
        elif self._key is None:
            key = node.content
            if self._wants not in ("first", "key") or not isinstance(key, str):
                raise _unexpected(line)
            if key in self._entries:
                first = self._entries[key].line
                raise UnreadableError(line, f"the same key stands twice in one object, the first on line {first}")
            self._key = (key, node.line, node.column)
            self._wants = "colon"
        else:
            if self._wants != "value":
                raise _unexpected(line)
            key, key_line, column = self._key
            self._entries[key] = Entry(key_line, column, node)
            self._key, self._wants = None, "separator"

    def node(self) -> Node:
        """Return what was built."""
        if self._entries is None:
            return check_nodes.sequence(self._items, self._line, self._column)
        return check_nodes.mapping(self._entries, self._line, self._column)


def _unexpected(line: int, what: str = "not valid JSON") -> MalformedError:
    return MalformedError(line, f"{what}; correct the text around this line")


def _scalar(kind: str, word: str, line: int) -> Any:  # noqa: ANN401 -- any JSON scalar
    if kind == "word":
        return _WORDS[word]
    try:
        value = json.loads(word)
    except ValueError as error:
        raise _unexpected(line, "not valid JSON: a string with an unknown escape") from error
    if isinstance(value, str):  # halves of surrogate pairs become U+FFFD, as Go reads them
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        raise _unexpected(line, "not valid JSON: a number that is too large")
    return value
