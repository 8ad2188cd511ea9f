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
    of a view over one table. So a difference in these alone goes unnoticed here: between servers of one major version
    `exact` is compared too.
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


def exact(text: str) -> str:
    """Return a definition in a spelling that dump and restore on one major version leave as it is.

    Nothing is dropped but what cannot mean anything: parentheses of an AND among ANDs, or an OR among ORs, which
    `b IN (s, a, 1)` has until it is restored. A cast of a whole array constructor goes to its elements, as the parser
    does when it reads `IN ('a', 'b')` over varchar back: `(ARRAY[a, b])::text[]` is `ARRAY[(a)::text, (b)::text]`.
    """
    items = list(tokens(text))
    position = 0
    while position < len(items):
        if [item.upper() for item in items[position : position + 3]] == ["(", "ARRAY", "["]:
            items = _pushed(items, position)
        position += 1
    try:
        return " ".join(_flat(iter(items)))
    except RecursionError:  # hundreds of parentheses in one another: as it is
        return " ".join(items)


def _flat(items: Iterator[str]) -> list[str]:
    """Return the items up to a closing parenthesis, `((a OR b) OR c)` as `(a OR b OR c)`; likewise AND."""
    parts: list[list[str]] = []  # one token, or a group from its opening to its closing parenthesis
    kinds: list[str | None] = []  # of a group, the one connective that stands in it
    for item in items:
        if item == ")":
            break
        inner = _flat(items) if item == "(" else []
        parts.append(["(", *inner, ")"] if item == "(" else [item])
        kinds.append(_connective(inner))
    own = _connective([item for part in parts for item in part])
    flat: list[str] = []
    for place, part in enumerate(parts):
        around = [*parts[max(0, place - 1) : place], *parts[place + 1 : place + 2]]
        operand = own is not None and all(each == [own] for each in around)
        flat += part[1:-1] if operand and kinds[place] == own else part
    return flat


def _connective(items: Sequence[str]) -> str | None:
    """Return AND or OR, whichever alone stands outside all parentheses."""
    depth, found = 0, set()
    for item in items:
        depth += {"(": 1, ")": -1}.get(item, 0)
        if depth == 0 and item.upper() in {"AND", "OR"}:
            found.add(item)
    return found.pop() if len(found) == 1 else None


def _pushed(items: list[str], start: int) -> list[str]:
    """Return the items with the cast of the array constructor in parentheses at `start`, if any, at its elements."""
    parts = _elements(items, start + 2)
    end = start + 3 + sum(len(part) + 1 for part in parts)  # behind the closing bracket
    if not all(parts) or items[end : end + 2] != [")", "::"]:
        return items
    after = _after_type(items, end + 2)
    kind = items[end + 2 : after]
    if kind[-2:] != ["[", "]"]:
        return items
    cast: list[str] = []
    for part in parts:
        inner = kind if [item.upper() for item in part[:2]] == ["ARRAY", "["] else kind[:-2]
        cast += [",", "(", *part, ")", "::", *inner]
    return [*items[:start], "ARRAY", "[", *cast[1:], "]", *items[after:]]


def _elements(items: Sequence[str], opening: int) -> list[list[str]]:
    """Return what stands between the commas of the brackets that open at `opening`."""
    parts: list[list[str]] = [[]]
    depth = 0
    for item in items[opening + 1 :]:
        if depth == 0 and item == "]":
            break
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(item, 0)
        if depth == 0 and item == ",":
            parts.append([])
        else:
            parts[-1].append(item)
    return parts


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
