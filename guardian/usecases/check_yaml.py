"""YAML as kubectl reads it -> nodes that know their lines. No I/O.

kubectl reads YAML 1.1 with go.yaml.in/yaml/v2, a port of libyaml, and turns it into JSON: `yes`, `on` and `y` are
true, `0777` is 511, `1_000` is 1000, a key `on:` becomes "true". A reader of YAML 1.2 would see text there, and
judge another object than the one that runs. So libyaml scans here too, and `resolve` is v2's, held by a test against
OPA's `yaml.unmarshal`, which is the same Go code.

Invariant: what kubectl and the YAML specification read differently, or kubectl silently drops (a key that stands twice,
a merge over a key before it, tags), is refused with its line; it is never guessed.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import yaml  # type: ignore[import-untyped]  # PyYAML ships no types
from yaml.events import (  # type: ignore[import-untyped]  # as above
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from guardian.usecases import check_nodes
from guardian.usecases.check_nodes import MAX_DEPTH, Entry, Node, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator

# PyYAML's wheels hold libyaml; built without it, PyYAML's own scanner reads the same language more slowly.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_TAG: Final = "tag:yaml.org,2002:"
_WORDS: Final = {
    **{word: True for name in ("y", "yes", "true", "on") for word in (name, name.title(), name.upper())},
    **{word: False for name in ("n", "no", "false", "off") for word in (name, name.title(), name.upper())},
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
}
_NOT_NUMBERS: Final = {".nan", ".NaN", ".NAN"} | {
    f"{sign}{word}" for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")
}
_INTEGER = re.compile(r"([+-]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_DOTTED_FLOAT = re.compile(r"\.[0-9](_?[0-9])*([eE][-+]?[0-9](_?[0-9])*)?")
_MAX_DIGITS: Final = 400  # more than any double needs, and few enough to convert at once
_QUOTED = re.compile(r"'[^']{2,}'|\"[^\"]{2,}\"")


def parse(text: str, first_line: int) -> list[Node]:
    """Return the documents of `text`, without those that are empty. first_line: the line at which it begins.

    Raises UnreadableError, with line, for what is no YAML or may not stand in a manifest.
    """
    events: Any = yaml.parse(text, Loader=_LOADER)
    found = []
    try:
        for event in events:
            if isinstance(event, DocumentStartEvent):
                node = _Composer(first_line).document(events)
                if node.content is not None:
                    found.append(node)
    except yaml.reader.ReaderError as error:
        line = first_line + text.encode()[: error.position].count(b"\n")
        raise UnreadableError(line, f"not valid YAML: {error.reason}; remove the character") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise UnreadableError(first_line + (mark.line if mark else 0), _said(error)) from error
    return found


def _said(error: Any) -> str:  # noqa: ANN401 -- PyYAML ships no types
    """Return what is wrong without repeating the text: what stands in quotes may be a secret."""
    problem = str(error.problem or "it cannot be parsed")
    if "cannot start any token" in problem:
        return "not valid YAML: a tab or another character that may not stand here; indent with spaces, quote the value"
    problem = _QUOTED.sub("'...'", problem)
    return f"not valid YAML: {problem}; correct the text around this line"


def resolve(text: str) -> str | int | float | bool | None:
    """Return what an unquoted scalar means to kubectl. Raises ValueError for infinities and numbers without end.

    Source: go.yaml.in/yaml/v2 resolve.go.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text in _NOT_NUMBERS:
        raise ValueError("JSON has no infinity and no NaN; quote it if it is text")
    if text[0] == ".":
        return _decimal(text, otherwise=text) if _DOTTED_FLOAT.fullmatch(text) else text
    if text[0] not in "+-0123456789":
        return text
    digits = text.replace("_", "")
    integer, decimal = _INTEGER.fullmatch(digits), _FLOAT.fullmatch(digits)
    if (integer or decimal) and len(digits) > _MAX_DIGITS:
        raise ValueError(f"a number of more than {_MAX_DIGITS} digits; quote it if it is text")
    if integer:
        value = _integer(integer)
        if -(2**63) <= value < 2**63:
            return value
        if value < 2**64 and not integer[1]:
            return float(value)
    return _decimal(digits, otherwise=text) if decimal else text


def _integer(found: re.Match[str]) -> int:
    sign, *parts = found.groups()
    for digits, base in zip(parts, (16, 2, 8, 10), strict=True):
        if digits is not None:
            return int(digits, base) * (-1 if sign == "-" else 1)
    raise AssertionError("one of the alternatives has matched")


def _decimal(digits: str, *, otherwise: str) -> float | str:
    """Return the number, `otherwise` if no double holds it."""
    value = float(digits)
    return value if math.isfinite(value) else otherwise


def _through_json(value: Any) -> Any:  # noqa: ANN401 -- any scalar in, any scalar out
    """Return a number as Go's encoding/json writes it and reads it again: a whole one is an integer."""
    if isinstance(value, float) and value == int(value) and abs(value) < 2**63:
        return int(Decimal(repr(value)))
    return value


class _Composer:
    """Builds the one node of a document from its events, without recursion."""

    def __init__(self, first_line: int) -> None:
        self._first_line = first_line
        self._anchors: dict[str, Node | None] = {}  # None: still open, so that an alias to it would hold itself

    def document(self, events: Iterator[Any]) -> Node:
        """Take the events of one document and return its root."""
        open_nodes: list[_Open] = []
        for event in events:
            if isinstance(event, MappingStartEvent | SequenceStartEvent):
                if len(open_nodes) >= MAX_DEPTH:
                    raise check_nodes.too_deep(self._line(event))
                self._check_tag(event, "map" if isinstance(event, MappingStartEvent) else "seq")
                if event.anchor:
                    self._anchors[event.anchor] = None
                open_nodes.append(_Open(self, event))
                continue
            if isinstance(event, MappingEndEvent | SequenceEndEvent):
                done = open_nodes.pop()
                node = done.node()
                self._remember(done.event, node)
            else:
                node = self._leaf(event)
            if not open_nodes:
                return node
            open_nodes[-1].add(node, event)
        raise AssertionError("libyaml ends what it begins")

    def place(self, event: Any) -> tuple[int, int]:  # noqa: ANN401 -- PyYAML ships no types
        """Return line and column of an event."""
        return self._line(event), event.start_mark.column + 1

    def _line(self, event: Any) -> int:  # noqa: ANN401 -- PyYAML ships no types
        return self._first_line + int(event.start_mark.line)

    def _leaf(self, event: NodeEvent) -> Node:
        line, column = self.place(event)
        if isinstance(event, AliasEvent):
            if event.anchor not in self._anchors:
                raise UnreadableError(line, "an alias to an anchor that is not there; define it before its use")
            known = self._anchors[event.anchor]
            if known is None:
                raise UnreadableError(line, "an alias that contains itself; write the value out")
            return known
        self._check_tag(event, "str")
        content: Any = event.value
        if event.implicit[0] and not event.tag:
            try:
                content = _through_json(resolve(event.value))
            except ValueError as error:
                raise UnreadableError(line, str(error)) from error
        node = check_nodes.scalar(content, line, column)
        self._remember(event, node)
        return node

    def _remember(self, event: NodeEvent, node: Node) -> None:
        if event.anchor:
            self._anchors[event.anchor] = node

    def _check_tag(self, event: NodeEvent, allowed: str) -> None:
        if event.tag not in (None, "!", f"{_TAG}{allowed}"):
            raise UnreadableError(self._line(event), "YAML tags are refused; write a plain or a quoted value")


class _Open:
    """A mapping or list of which not all has been seen."""

    def __init__(self, composer: _Composer, event: Any) -> None:  # noqa: ANN401 -- PyYAML ships no types
        self.event = event
        self._place = composer.place(event)
        self._composer = composer
        self._items: list[Node] = []
        self._entries: dict[str, Entry] | None = {} if isinstance(event, MappingStartEvent) else None
        self._merged: set[str] | None = None
        self._pending: tuple[str | None, int, int] | None = None  # a key that waits for its value; None is `<<`
        self._size = 0

    def add(self, node: Node, event: Any) -> None:  # noqa: ANN401 -- PyYAML ships no types
        """Take the next item, key or value. event: the one that ended it."""
        self._size += node.nodes
        if self._size > check_nodes.MAX_NODES:
            raise check_nodes.too_large(self._place[0])
        if self._entries is None:
            self._items.append(node)
        elif self._pending is None:
            self._pending = self._key(node, event)
        else:
            key, line, column = self._pending
            self._pending = None
            if key is None:
                self._merge(node, line)
            else:
                self._entries[key] = Entry(line, column, node)

    def node(self) -> Node:
        """Return what was built."""
        if self._entries is None:
            return check_nodes.sequence(self._items, *self._place)
        return check_nodes.mapping(self._entries, *self._place)

    def _key(self, node: Node, event: Any) -> tuple[str | None, int, int]:  # noqa: ANN401 -- PyYAML ships no types
        line, column = self._composer.place(event)
        if isinstance(event, ScalarEvent) and event.value == "<<" and event.implicit[0]:
            if self._merged is not None:
                raise UnreadableError(line, "a second merge key (<<) in one mapping; merge a list: <<: [*a, *b]")
            return None, line, column
        key = _key_text(node, event)
        if key is None:
            raise UnreadableError(line, "a key must be text; quote it (a Helm template must be rendered first)")
        entries = self._entries or {}
        if key in entries and key not in (self._merged or ()):
            where = f"the first is on line {entries[key].line}"
            raise UnreadableError(line, f"the same key stands twice in one mapping, {where}; keep one")
        if self._merged:
            self._merged.discard(key)
        return key, line, column

    def _merge(self, node: Node, line: int) -> None:
        """Take over the members of `node`, a mapping or a list of them, of which the first counts."""
        assert self._entries is not None  # noqa: S101 -- only mappings have keys
        sources = node.content if isinstance(node.content, list) else [node]
        if not all(isinstance(source.content, dict) for source in sources):
            raise UnreadableError(line, "a merge key (<<) needs a mapping or a list of mappings")
        merged: dict[str, Entry] = {}
        for source in sources:
            merged = {**source.content, **merged}
        if merged.keys() & self._entries.keys():
            raise UnreadableError(
                line,
                "a merge key (<<) over keys that stand before it: kubectl lets it win, "
                "the YAML specification does not; put it first",
            )
        self._entries.update(merged)
        self._merged = set(merged)


def _key_text(node: Node, event: Any) -> str | None:  # noqa: ANN401 -- PyYAML ships no types
    """Return a key as kubectl spells it, None for what is refused: collections, null, and what may be a decimal."""
    if isinstance(node.content, str):
        return node.content
    if not isinstance(event, ScalarEvent) or isinstance(resolve(event.value), float):
        return None
    if isinstance(node.content, bool):
        return "true" if node.content else "false"
    return str(node.content) if isinstance(node.content, int) else None
