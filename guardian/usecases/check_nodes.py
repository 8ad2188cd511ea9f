"""A parsed document that knows where each part of it stands: what the manifest readers make and findings point into.

Invariant: a Node holds JSON values only, is no deeper than MAX_DEPTH and, with every alias written out, no larger than
MAX_NODES values and MAX_TEXT characters; so whoever walks it needs no limits of his own. No I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

MAX_DEPTH: Final = 128
MAX_NODES: Final = 500_000
MAX_TEXT: Final = 32 << 20

_INDEX = re.compile(r"\[(\d{1,9})\]")
_QUOTED_KEY = re.compile(r"\[(?:\"([^\"]*)\"|'([^']*)')\]")


class UnreadableError(Exception):
    """A document that cannot be read as Kubernetes would read it. The message repeats no value: it may be a secret."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class MalformedError(UnreadableError):
    """Text that is not of the language it was read as; it may be of another."""


@dataclass(frozen=True, slots=True)
class Node:
    """One value and where it begins; lines and columns count from 1, columns in characters.

    content: text, number, boolean or None; a list of Nodes; or a dict of key to Entry. nodes, text, depth: how much the
    value holds with aliases written out.
    """

    content: Any
    line: int
    column: int
    nodes: int = 1
    text: int = 0
    depth: int = 1

    def plain(self) -> Any:  # noqa: ANN401 -- any JSON value
        """Return the value itself, every alias written out."""
        if isinstance(self.content, dict):
            return {key: entry.node.plain() for key, entry in self.content.items()}
        if isinstance(self.content, list):
            return [node.plain() for node in self.content]
        return self.content

    def member(self, key: str) -> Node | None:
        """Return the value under `key`, None if this is no mapping or has none."""
        entry = self.content.get(key) if isinstance(self.content, dict) else None
        return entry.node if entry else None


@dataclass(frozen=True, slots=True)
class Entry:
    """One member of a mapping: where its key stands, and its value."""

    line: int
    column: int
    node: Node


def scalar(content: object, line: int, column: int) -> Node:
    """Return the node of a value that holds no others."""
    return Node(content, line, column, 1, len(content) if isinstance(content, str) else 0)


def sequence(items: list[Node], line: int, column: int) -> Node:
    """Return the node of a list. Raises UnreadableError if it is too large."""
    return _measured(items, items, line, column)


def mapping(entries: dict[str, Entry], line: int, column: int) -> Node:
    """Return the node of a mapping. Raises UnreadableError if it is too large."""
    return _measured(entries, [entry.node for entry in entries.values()], line, column, sum(map(len, entries)))


def _measured(content: object, inner: list[Node], line: int, column: int, keys: int = 0) -> Node:
    node = Node(
        content,
        line,
        column,
        1 + sum(one.nodes for one in inner),
        keys + sum(one.text for one in inner),
        1 + max((one.depth for one in inner), default=0),
    )
    if node.depth > MAX_DEPTH:
        raise too_deep(line)
    if node.nodes > MAX_NODES or node.text > MAX_TEXT:
        raise too_large(line)
    return node


def too_large(line: int) -> UnreadableError:
    """Return the error of a value that holds too much."""
    return UnreadableError(
        line,
        f"with its aliases written out this holds more than {MAX_NODES:,} values or {MAX_TEXT:,} characters; "
        "no Kubernetes object is that large: split it",
    )


def too_deep(line: int) -> UnreadableError:
    """Return the error of a value that is nested too deeply."""
    return UnreadableError(line, f"nested more than {MAX_DEPTH} levels deep; no Kubernetes object is: flatten it")


def locate(root: Node, field: str) -> tuple[int, int]:
    """Return line and column of `field`, or of the nearest thing around it that there is.

    field: a path such as `spec.containers[0].image`; a key may hold dots (the longest that fits is meant) or stand
    quoted in brackets.
    """
    node, place = root, (root.line, root.column)
    while field:
        if isinstance(node.content, list):
            found = _INDEX.match(field)
            if found is None or int(found[1]) >= len(node.content):
                break
            node = node.content[int(found[1])]
            place, field = (node.line, node.column), field[found.end() :].removeprefix(".")
        else:
            key, rest = _key(node, field)
            if key is None:
                break
            entry = node.content[key]
            node, place, field = entry.node, (entry.line, entry.column), rest
    return place


def _key(node: Node, field: str) -> tuple[str | None, str]:
    """Return the key of `node` that `field` begins with, and the rest of the path."""
    if not isinstance(node.content, dict):
        return None, field
    quoted = _QUOTED_KEY.match(field)
    if quoted:
        key = quoted[1] if quoted[1] is not None else quoted[2]
        return (key if key in node.content else None), field[quoted.end() :].removeprefix(".")
    fits = [key for key in node.content if field == key or field.startswith((f"{key}.", f"{key}["))]
    key = max(fits, key=len, default=None)
    return (None, field) if not key else (key, field[len(key) :].removeprefix("."))
