"""The Rego builtins that Guardian provides to compiled policies, each exactly as OPA computes it. Pure, no I/O.

Inside the module run strings, arrays, objects, sets, numbers, regular expressions and CIDRs. What is neither in there
nor here is refused by name when a module is loaded: it could make a verdict depend on more than its input.
Arguments arrive as OPA's own text of values (JSON, and `{1,2}` and `set()` for sets) and results leave as JSON.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

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


@dataclass(frozen=True, slots=True)
class _Value:
    """One Rego value. key: sorts as OPA sorts; text: as OPA's String() writes it; plain: if a string, what it says."""

    key: tuple[Any, ...]
    text: str
    plain: str | None = None


@dataclass(frozen=True, slots=True)
class _Argument:
    """One argument of sprintf as Go's fmt sees it: a type name and the text of its value."""

    type_name: str
    text: str


def sprintf(format_text: str, values_text: str) -> str:
    """Return what OPA's sprintf returns, as JSON. Verbs: %s, %d, %v and %%, without flags.

    Raises BuiltinError for other verbs and for operands of a wrong type. Source: OPA v1/topdown/strings.go.
    """
    pattern = json.loads(format_text) if format_text.startswith('"') else None
    if pattern is None or not values_text.startswith("["):
        raise BuiltinError("sprintf takes a string and an array")
    arguments = [_argument(value) for value in _elements(values_text)]
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


def _argument(value: _Value) -> _Argument:
    if value.plain is not None:
        return _Argument("string", value.plain)
    if not re.fullmatch(r"-?\d.*", value.text):
        return _Argument("string", value.text)
    whole = re.fullmatch(r"(-?\d+)(\.0*)?", value.text)
    if whole and len(value.text.lstrip("-")) <= 19 and int(whole[1]) in _INT64:
        return _Argument("int64", str(int(whole[1])))
    if "." in value.text:
        number = float(value.text)
        return _Argument("string", value.text) if math.isinf(number) else _Argument("float64", _go_float(number))
    if whole:
        return _Argument("*big.Int", str(int(value.text)))
    return _Argument("string", value.text)


def _elements(array_text: str) -> list[_Value]:
    """Return the elements of the text of an array."""
    pieces = iter(_TOKEN.findall(array_text))
    next(pieces)
    return _until("]", pieces)


def _until(end: str, pieces: Iterator[str]) -> list[_Value]:
    """Return the values up to the closing `end`; of an object, keys and values in turn."""
    found: list[_Value] = []
    for piece in pieces:
        if piece == end:
            return found
        if piece not in {",", ":"}:
            found.append(_value(piece, pieces))
    raise BuiltinError("a value does not end")


def _value(piece: str, pieces: Iterator[str]) -> _Value:
    """Return the value that begins with `piece`. Order of types and within them: OPA v1/ast/compare.go."""
    if piece == "[":
        items = _until("]", pieces)
        return _Value((4, [item.key for item in items]), f"[{', '.join(item.text for item in items)}]")
    if piece == "{":
        return _set_or_object(pieces)
    if piece == "set()":
        return _Value((6, []), piece)
    if piece[0] == '"':
        plain = json.loads(piece)
        return _Value((3, plain.encode("utf-8", "surrogatepass")), _go_quoted(plain), plain)
    if piece in {"null", "false", "true"}:
        return _Value((0,) if piece == "null" else (1, piece == "true"), piece)
    return _Value((2, Decimal(piece)), piece)


def _set_or_object(pieces: Iterator[str]) -> _Value:
    is_object, found = True, list[_Value]()
    for position, piece in enumerate(pieces):
        if piece == "}":
            break
        if position == 1:
            is_object = piece == ":"
        if piece not in {",", ":"}:
            found.append(_value(piece, pieces))
    if not is_object or len(found) == 1:
        found.sort(key=lambda item: item.key)
        return _Value((6, [item.key for item in found]), f"{{{', '.join(item.text for item in found)}}}")
    pairs = sorted(zip(found[::2], found[1::2], strict=True), key=lambda pair: pair[0].key)
    text = ", ".join(f"{key.text}: {value.text}" for key, value in pairs)
    return _Value((5, [(key.key, value.key) for key, value in pairs]), f"{{{text}}}")


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
    """Return `value` as Go's %v: the shortest digits, with an exponent below 1e-4 and from 1e6."""
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    if not isinstance(exponent, int) or value == 0:
        return "0"  # of -0.0 too: OPA has no negative zero
    text = "".join(map(str, digits))
    point = len(text) + exponent
    minus = "-" if sign else ""
    if not -4 <= point - 1 < 6:
        fraction = f".{text[1:]}" if len(text) > 1 else ""
        return f"{minus}{text[0]}{fraction}e{point - 1:+03d}"
    if point <= 0:
        return f"{minus}0.{'0' * -point}{text}"
    if point >= len(text):
        return minus + text + "0" * (point - len(text))
    return f"{minus}{text[:point]}.{text[point:]}"


PROVIDED: Final[Mapping[str, Callable[..., str]]] = {"sprintf": sprintf}
