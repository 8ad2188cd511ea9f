"""The Rego builtins that Guardian provides to compiled policies, each exactly as OPA computes it. Pure, no I/O.

Inside the module run strings, arrays, objects, sets, numbers, regular expressions and CIDRs. What is neither in there
nor here is refused by name when a module is loaded: it could make a verdict depend on more than its input.
Arguments arrive as OPA's own text of values (JSON, and `{1,2}` and `set()` for sets) and results leave as JSON.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|set\(\)|[\[\]{},:]|[^\s\[\]{},:"]+')
VERB: Final = re.compile(r"%([sdv%])")
_INT64: Final = range(-(2**63), 2**63)
_SHORT_ESCAPES: Final = {
    7: "\\a",
    8: "\\b",
    9: "\\t",
    10: "\\n",
    11: "\\v",
    12: "\\f",
    13: "\\r",
    34: '\\"',
    92: "\\\\",
}


class BuiltinError(Exception):
    """The arguments are not what the builtin takes; in Rego the expression becomes undefined."""


class _Argument:
    """One argument of sprintf as Go's fmt sees it: a type name and the text of its value."""

    def __init__(self, type_name: str, text: str) -> None:
        self.type_name = type_name
        self.text = text


def sprintf(format_text: str, values_text: str) -> str:
    """Return what OPA's sprintf returns, as JSON. Verbs: %s, %d, %v and %%, without flags.

    Raises BuiltinError for other verbs and for operands of a wrong type. Source: OPA v1/topdown/strings.go.
    """
    pattern = json.loads(format_text) if format_text.startswith('"') else None
    if pattern is None or not values_text.startswith("["):
        raise BuiltinError("sprintf takes a string and an array")
    arguments = [_argument(element) for element in _elements(values_text)]
    if "%" in VERB.sub("", pattern):
        raise BuiltinError(f"sprintf is provided for %s, %d, %v and %% only; found {pattern!r}")
    rest = iter(arguments)
    used = 0

    def fill(match: re.Match[str]) -> str:
        nonlocal used
        verb = match[1]
        if verb == "%":
            return "%"
        argument = next(rest, None)
        if argument is None:
            return f"%!{verb}(MISSING)"
        used += 1
        return _formatted(verb, argument)

    text = VERB.sub(fill, pattern)
    extra = ", ".join(f"{argument.type_name}={argument.text}" for argument in arguments[used:])
    return json.dumps(f"{text}%!(EXTRA {extra})" if extra else text, ensure_ascii=False)


def _formatted(verb: str, argument: _Argument) -> str:
    fits = {"v": True, "s": argument.type_name in {"string", "*big.Int"}, "d": "int" in argument.type_name.lower()}
    return argument.text if fits[verb] else f"%!{verb}({argument.type_name}={argument.text})"


def _argument(tokens: list[str]) -> _Argument:
    first = tokens[0]
    if first.startswith('"'):
        return _Argument("string", json.loads(first))
    if re.fullmatch(r"-?\d+", first):
        number = int(first)
        return _Argument("int64" if number in _INT64 else "*big.Int", str(number))
    if re.fullmatch(r"-?\d.*", first):
        value = float(first) if "." in first else math.inf
        return _Argument("string", first) if math.isinf(value) else _Argument("float64", _go_float(value))
    return _Argument("string", _rego_text(tokens))


def _elements(array_text: str) -> list[list[str]]:
    """Return the tokens of each element of the text of an array."""
    elements: list[list[str]] = []
    depth, current = 0, list[str]()
    for piece in _TOKEN.findall(array_text)[1:-1]:
        depth += (piece in {"[", "{"}) - (piece in {"]", "}"})
        if piece == "," and depth == 0:
            elements.append(current)
            current = []
        else:
            current.append(piece)
    return [*elements, current] if current else elements


def _rego_text(tokens: list[str]) -> str:
    """Return the text that OPA's `String()` gives a value: its tokens with a space after commas and colons."""
    spaced = {",": ", ", ":": ": "}
    return "".join(_go_quoted(json.loads(token)) if token[0] == '"' else spaced.get(token, token) for token in tokens)


def _go_quoted(text: str) -> str:
    """Return `text` as Go's strconv.Quote does."""
    return '"' + "".join(_go_character(character) for character in text) + '"'


def _go_character(character: str) -> str:
    code = ord(character)
    if code in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[code]
    if character.isprintable():
        return character
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _go_float(value: float) -> str:
    """Return `value` as Go's %v: the shortest digits, with an exponent below 1e-4 and from 1e21."""
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    if not isinstance(exponent, int) or value == 0:
        return "-0" if sign else "0"
    text = "".join(map(str, digits))
    point = len(text) + exponent
    minus = "-" if sign else ""
    if not -4 <= point - 1 < 21:
        fraction = f".{text[1:]}" if len(text) > 1 else ""
        return f"{minus}{text[0]}{fraction}e{point - 1:+03d}"
    if point <= 0:
        return f"{minus}0.{'0' * -point}{text}"
    if point >= len(text):
        return minus + text + "0" * (point - len(text))
    return f"{minus}{text[:point]}.{text[point:]}"


PROVIDED: Final[Mapping[str, Callable[..., str]]] = {"sprintf": sprintf}
