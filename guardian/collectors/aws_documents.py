"""Policy documents, tags and ages in one shape each, whatever of AWS's spellings came. No I/O.

Invariant: a document means here what it meant to AWS; what is not understood raises, and never passes for less.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

_EITHER: Final = {
    "Action": "actions",
    "NotAction": "notActions",
    "Resource": "resources",
    "NotResource": "notResources",
    "Principal": "principals",
    "NotPrincipal": "notPrincipals",
}
_KINDS_OF_PRINCIPAL: Final = ("AWS", "Service", "Federated")
_MEMBERS: Final = frozenset({"Sid", "Effect", "Condition", *_EITHER})


def document(raw: object) -> dict[str, Any]:
    """Return a policy document with every choice of spelling taken: lists always, actions in small letters.

    raw: JSON text, percent-encoded or not, or what was parsed from it. Raises ValueError or TypeError for no policy.
    """
    if isinstance(raw, str):
        raw = json.loads(raw if raw.lstrip().startswith("{") else unquote(raw))
    if not isinstance(raw, dict):
        raise TypeError("a policy document must be an object")
    statements = raw.get("Statement", [])
    if not isinstance(statements, list):
        statements = [statements]
    version = raw.get("Version")
    return {"version": None if version is None else str(version), "statements": [_statement(one) for one in statements]}


def policies(detail: Mapping[str, Any], inline: str) -> dict[str, Any]:
    """Return the policies of a user, group or role as account details have them. inline: name of the inline list.

    Raises as `document` does, or KeyError.
    """
    return {
        "attached": [
            {"name": one["PolicyName"], "arn": one["PolicyArn"]} for one in detail.get("AttachedManagedPolicies", ())
        ],
        "inline": [
            {"name": one["PolicyName"], "document": document(one["PolicyDocument"])} for one in detail.get(inline, ())
        ],
    }


def tags(found: Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    """Return AWS's list of tags as a mapping."""
    return {one["Key"]: one.get("Value", "") for one in found or ()}


def days(since: datetime | None, now: datetime) -> int | None:
    """Return whole days from `since` to `now`, 0 if it is yet to come, None without a date."""
    return None if since is None else max(0, (now - since).days)


def _statement(raw: object) -> dict[str, Any]:
    if not isinstance(raw, dict) or raw.get("Effect") not in {"Allow", "Deny"}:
        raise ValueError("a statement must be an object that allows or denies")
    unknown = set(raw) - _MEMBERS
    if unknown:
        raise ValueError("a statement has members that are none of a policy")
    statement: dict[str, Any] = {"sid": raw.get("Sid"), "effect": raw["Effect"]}
    for member, name in _EITHER.items():
        value = raw.get(member)
        if member not in raw:
            statement[name] = None
        elif member.endswith("Principal"):
            statement[name] = _principals(value)
        else:
            texts = _texts(value)
            statement[name] = [text.lower() for text in texts] if member.endswith("Action") else texts
    statement["conditions"] = _conditions(raw.get("Condition", {}))
    return statement


def _principals(raw: object) -> dict[str, Any]:
    """Return who is meant. `*`: everyone, however it was spelled. Kinds beside the usual three only where present."""
    if raw == "*":
        return {**{kind: [] for kind in _KINDS_OF_PRINCIPAL}, "*": True}
    if not isinstance(raw, dict):
        raise TypeError("a principal must be an object, or *")
    named = {kind: _texts(raw.get(kind, [])) for kind in dict.fromkeys((*_KINDS_OF_PRINCIPAL, *raw))}
    return {**named, "*": "*" in named["AWS"]}


def _conditions(raw: object) -> dict[str, dict[str, list[str]]]:
    if not isinstance(raw, dict) or not all(isinstance(keys, dict) for keys in raw.values()):
        raise ValueError("a condition must be an object of objects")
    return {operator: {key: _texts(values) for key, values in keys.items()} for operator, keys in raw.items()}


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str | int | float | bool) for one in values):
        raise ValueError("expected a text or a list of texts")
    return [one if isinstance(one, str) else json.dumps(one) for one in values]
