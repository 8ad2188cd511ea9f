"""YAML 1.2 text -> plain values, with the line of every key and item. No I/O.

Invariant: nothing but mappings with text keys, lists, text, numbers, booleans and null comes out; no tag constructs
anything, no alias multiplies anything beyond MAX_NODES. No message repeats a value of the file: it may be a secret.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

MAX_BYTES = 1 << 20
MAX_NODES = 100_000
MAX_DEPTH = 64

_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = {f"{_TAG}{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "value", "map", "seq")}
_QUOTED = re.compile(r"'[^']{2,}'|\"[^\"]{2,}\"")

Location = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong: where (keys and list positions, and the line, 1 is the first), and what, with the way out."""

    line: int
    location: Location
    message: str


@dataclass(slots=True)
class Tree:
    """A parsed file: its value, the line of each location (1 is the first), and what was wrong on the way."""

    value: Any = None
    lines: dict[Location, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    nodes: int = 0

    def line(self, location: Location) -> int:
        """Return the line of `location`, or of the nearest thing around it that has one; 1 if nothing has."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)


def show_path(location: Location) -> str:
    """Return `services[0].assets[1].type` for ("services", 0, "assets", 1, "type"); odd keys are not repeated."""
    text = ""
    for step in location:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + show_key(step)
    return text


def show_key(key: str) -> str:
    """Return the key if it is a plain word, else a placeholder: `dsn:postgresql://u:pw@h` is a key too."""
    return key if re.fullmatch(r"[A-Za-z_][\w.-]{0,60}", key, re.ASCII) else "<odd key>"


def parse(data: bytes) -> Tree:
    """Parse one YAML document. What is wrong is in `problems`; `value` may then be incomplete, or None."""
    tree = Tree()
    try:
        root = _compose(data)
    except _UnreadableError as error:
        tree.problems.append(Problem(error.line, (), str(error)))
        return tree
    tree.value = _value(tree, root, (), frozenset())
    if tree.nodes > MAX_NODES:
        tree.value = None
        tree.problems = [Problem(1, (), f"aliases expand to more than {MAX_NODES} values; write them out")]
    return tree


class _UnreadableError(Exception):
    def __init__(self, message: str, line: int = 1) -> None:
        super().__init__(message)
        self.line = line


def _compose(data: bytes) -> Node:
    """Return the root node of the only document. Raises _UnreadableError without repeating anything of the text."""
    if len(data) > MAX_BYTES:
        raise _UnreadableError(f"the file is larger than {MAX_BYTES} bytes; a configuration is smaller")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _UnreadableError("not UTF-8 text; save the file as UTF-8", line) from error
    if _has_directive(text):
        raise _UnreadableError("%-directives are refused: the file is always read as YAML 1.2; remove the directive")
    try:
        root: Node | None = YAML(typ="safe", pure=True).compose(text)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _UnreadableError(f"not valid YAML: {error.reason}", line) from error
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        what = _QUOTED.sub("'...'", str(getattr(error, "problem", None) or type(error).__name__))
        raise _UnreadableError(f"not valid YAML: {what}", mark.line + 1 if mark else 1) from error
    except RecursionError as error:
        raise _UnreadableError("nested too deeply to be a configuration") from error
    if root is None:
        raise _UnreadableError("the file is empty; `guardian init` writes one to start from")
    return root


def _has_directive(text: str) -> bool:
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            return line.startswith("%")
    return False


def _value(tree: Tree, node: Node, at: Location, above: frozenset[int]) -> object:
    """Build the plain value of `node`, noting lines and problems. above: ids of the nodes around it, against loops."""
    line = node.start_mark.line + 1
    tree.lines.setdefault(at, line)
    tree.nodes += 1
    if tree.nodes > MAX_NODES:
        return None
    if id(node) in above or len(above) > MAX_DEPTH:
        tree.problems.append(Problem(line, at, "an alias contains itself, or the nesting is too deep; write it out"))
        return None
    tag = str(node.tag)
    if tag not in _PLAIN_TAGS:
        tree.problems.append(Problem(line, at, "YAML tags are refused; write a plain value"))
        return None
    inner = above | {id(node)}
    if isinstance(node, MappingNode):
        return _mapping(tree, node, at, inner)
    if isinstance(node, SequenceNode):
        return [_value(tree, item, (*at, place), inner) for place, item in enumerate(node.value)]
    return _scalar(tree, node, tag, at)


def _mapping(tree: Tree, node: MappingNode, at: Location, inner: frozenset[int]) -> dict[str, object]:
    found: dict[str, object] = {}
    first: dict[str, int] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if key_node.tag == f"{_TAG}merge":
            tree.problems.append(Problem(line, at, "merge keys (<<) are not YAML 1.2; write the keys out"))
            continue
        if not isinstance(key_node, ScalarNode):
            tree.problems.append(Problem(line, at, "a key must be plain text"))
            continue
        key = str(key_node.value)
        if key in found:
            where = f"the first is on line {first[key]}; keep one"
            tree.problems.append(Problem(line, (*at, key), f"this key stands twice; {where}"))
            continue
        first[key] = line
        tree.lines[(*at, key)] = line
        found[key] = _value(tree, value_node, (*at, key), inner)
    return found


def _scalar(tree: Tree, node: Node, tag: str, at: Location) -> object:
    text = str(node.value)
    try:
        match tag.removeprefix(_TAG):
            case "null":
                return None
            case "bool":
                return {"true": True, "false": False}[text.lower()]
            case "int":
                return _integer(text)
            case "float":
                return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    except (KeyError, ValueError):
        tree.problems.append(
            Problem(node.start_mark.line + 1, at, "this value does not fit its YAML tag; remove the tag")
        )
        return None
    return text


def _integer(text: str) -> int:
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    base = {"0o": 8, "0x": 16, "0b": 2}.get(digits[:2].lower(), 10)
    if len(digits) > 100:
        raise ValueError("too long")
    return sign * int(digits[2:] if base != 10 else digits, base)
