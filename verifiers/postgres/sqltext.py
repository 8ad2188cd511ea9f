"""SQL text as tokens: enough to read names out of statements and to compare definitions, not to rewrite or run them.

Invariant: quoted text is one token, so that nothing inside a string or a quoted name is taken for a keyword. No I/O.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*)
    | (?P<dollar>\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$)
    | (?P<string>[eE]'(?:[^'\\]|''|\\.)*' | (?:[bBxXnN]|[uU]&)?'(?:[^']|'')*')
    | (?P<name>"(?:[^"]|"")*")
    | (?P<word>[^\W\d][\w$]*)
    | (?P<number>\d[\w.]*)
    | (?P<mark>::|[-+*/<>=~!@\#%^&|`?]+|.)""",
    re.VERBOSE | re.DOTALL,
)

# Type names of more than one word, as format_type prints them, by their first word.
_TYPE_TAILS = {
    "double": ("precision",),
    "character": ("varying",),
    "bit": ("varying",),
    "timestamp": ("without time zone", "with time zone"),
    "time": ("without time zone", "with time zone"),
    "interval": ("year to month", "day to hour", "day to minute", "day to second", "hour to minute", "hour to second",
                 "minute to second", "year", "month", "day", "hour", "minute", "second"),
}  # fmt: skip


def tokens(text: str) -> Iterator[str]:
    """Yield the tokens of a text in order, without white space and comments."""
    for match in _TOKEN.finditer(text):
        if match.lastgroup != "space":
            yield match.group()


def statements(text: str) -> Iterator[list[str]]:
    """Yield the statements of a text as item lists, without their semicolons; empty ones are left out."""
    current: list[str] = []
    for item in tokens(text):
        if item != ";":
            current.append(item)
        elif current:
            yield current
            current = []
    if current:
        yield current


def identifier(item: str) -> str:
    """Return the name that a token stands for: quotes undone, or folded to lower case."""
    if item.startswith('"'):
        return item[1:-1].replace('""', '"')
    return item.lower()


def literal(item: str) -> str:
    """Return the value of a plain string literal."""
    return item[item.index("'") + 1 : -1].replace("''", "'")


def normalise(text: str) -> str:
    """Return a definition in a spelling that does not depend on the server's major version or on dump and restore.

    Dropped are white space, parentheses, casts and qualifiers of names: PostgreSQL 16 stopped qualifying the columns
    of a view over one table, and `IN ('a', 'b')` over varchar is printed with other casts after each restore. So a
    difference in these alone goes unnoticed here; types and references are compared as catalogue facts besides.
    """
    kept: list[str] = []
    items = list(tokens(text))
    position = 0
    while position < len(items):
        item = items[position]
        position += 1
        if item == "::":
            position = _after_type(items, position)
        elif item == "." and kept and _is_name(kept[-1]):
            kept.pop()
        elif item not in "()":
            kept.append(item if item[0] == "$" or item[-1] in "\"'" else item.lower())
    return " ".join(kept)


def _after_type(items: Sequence[str], position: int) -> int:
    """Return the index after the type name that begins at `position`: qualifiers, words, `(modifiers)`, `[]`."""
    if position >= len(items):
        return position
    first = items[position].lower()
    position += 1
    while items[position : position + 1] == ["."]:
        position += 2
    position = _after_modifiers(items, position)
    for tail in _TYPE_TAILS.get(first, ()):
        words = tail.split()
        if [item.lower() for item in items[position : position + len(words)]] == words:
            position = _after_modifiers(items, position + len(words))
            break
    while items[position : position + 2] == ["[", "]"]:
        position += 2
    return position


def _after_modifiers(items: Sequence[str], position: int) -> int:
    if items[position : position + 1] != ["("]:
        return position
    depth = 0
    for index in range(position, len(items)):
        depth += {"(": 1, ")": -1}.get(items[index], 0)
        if depth == 0:
            return index + 1
    return len(items)


def _is_name(item: str) -> bool:
    return item[0] == '"' or item[0].isalpha() or item[0] == "_"


def names_in_list(items: Iterable[str], stop: frozenset[str]) -> list[str]:
    """Return the names of a comma-separated list, up to a token that is none or one of `stop` (upper case)."""
    names = []
    for item in items:
        if item == ",":
            continue
        if item.upper() in stop or not _is_name(item):
            break
        names.append(identifier(item))
    return names
