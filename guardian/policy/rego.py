"""What a Rego module does with its input, read off the syntax tree that `opa parse` gives. Pure, no I/O.

Invariant: a module passes only if everything it reads of its input can be named: no use of the whole input, no key that
is computed, no format of a message that engines could treat differently.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from guardian.policy.builtins import VERB

if TYPE_CHECKING:
    from collections.abc import Iterator


class RegoError(Exception):
    """A module does what no policy may do; the message says what, and what to do instead."""


@dataclass(frozen=True, slots=True)
class Reads:
    """What a module reads: keys directly below input, and the resource kinds below input.resources."""

    keys: frozenset[str]
    kinds: frozenset[str]


def reads(module: Any) -> Reads:  # noqa: ANN401 -- a syntax tree as opa writes it
    """Return what `module` reads of its input. Raises RegoError if that cannot be told."""
    keys, kinds = set(), set()
    for path in _input_paths(module):
        if len(path) < 2 or path[1].get("type") != "string":
            raise RegoError("reads the whole input, or a key of it that is computed; name the key: input.params")
        key = path[1]["value"]
        keys.add(key)
        if key == "resources":
            if len(path) < 3 or path[2].get("type") != "string":
                raise RegoError('reads all resources; name the kind: input.resources["postgres.Role"]')
            kinds.add(path[2]["value"])
    return Reads(frozenset(keys), frozenset(kinds))


def _input_paths(node: Any) -> Iterator[list[Any]]:  # noqa: ANN401 -- a syntax tree
    """Yield every reference into input, as the list of its terms, `input` first."""
    if isinstance(node, list):
        for item in node:
            yield from _input_paths(item)
    elif isinstance(node, dict):
        if node.get("type") == "ref":
            terms = node["value"]
            if _is_input(terms[0]):
                yield terms
                yield from _input_paths(terms[1:])
            else:
                yield from _input_paths(terms)
        elif _is_input(node):
            yield [node]
        else:
            yield from _input_paths(list(node.values()))


def _is_input(term: Any) -> bool:  # noqa: ANN401 -- a syntax tree
    return isinstance(term, dict) and term.get("type") == "var" and term.get("value") == "input"


def check_formats(module: Any) -> None:  # noqa: ANN401 -- a syntax tree
    """Refuse a sprintf whose format is computed, uses other verbs than the provided ones, or has not as many arguments.

    Raises RegoError.
    """
    for call in _calls(module, "sprintf"):
        pattern, arguments = call[1], call[2]
        if pattern.get("type") != "string" or "%" in VERB.sub("", pattern["value"]):
            raise RegoError("the format of sprintf must be a plain text with only %s, %d, %v and %% in it")
        wanted = len([verb for verb in re.findall(VERB, pattern["value"]) if verb != "%"])
        if arguments.get("type") != "array" or len(arguments["value"]) != wanted:
            raise RegoError(f"sprintf({pattern['value']!r}) needs an array of {wanted} arguments written out")


def check_negation(module: Any) -> None:  # noqa: ANN401 -- a syntax tree
    """Refuse `not` in a module that does not import future.keywords.not.

    Without the import, `not f(x)` with an undefined x is undefined and not true: the rule is lost, and what should have
    failed passes. Raises RegoError.
    """
    imported = any(
        [part["value"] for part in entry["path"]["value"]] == ["future", "keywords", "not"]
        for entry in module.get("imports", ())
    )
    if not imported and _negates(module):
        raise RegoError(
            "uses `not` without `import future.keywords.not`: on missing facts such a rule is silently lost"
        )


def _negates(node: Any) -> bool:  # noqa: ANN401 -- a syntax tree
    if isinstance(node, dict):
        return bool(node.get("negated")) or any(_negates(item) for item in node.values())
    return isinstance(node, list) and any(_negates(item) for item in node)


def _calls(node: Any, name: str) -> Iterator[list[Any]]:  # noqa: ANN401 -- a syntax tree
    """Yield the terms of every call of the builtin `name`, the operator first."""
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, list):
        if node and isinstance(node[0], dict) and node[0].get("type") == "ref" and len(node) >= 3:
            operator = node[0]["value"]
            if len(operator) == 1 and operator[0].get("value") == name and operator[0].get("type") == "var":
                yield node
        for item in node:
            yield from _calls(item, name)
