"""The words and numbers of guardian.yaml: durations, sizes, names, secret references. No I/O.

Invariant: no message repeats a value unless it is short plain text in a place where secrets do not belong.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from guardian.config_cron import check_cron
from guardian.config_yaml import show_key
from guardian.model import Mode, Tier

if TYPE_CHECKING:
    from collections.abc import Callable

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_BYTES: dict[str, int] = {"B": 1} | {f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGT", 1)}
_BYTES |= {f"{prefix}B": 1000**power for power, prefix in enumerate("KMGT", 1)}
_LONGEST_S = 100 * 366 * 86_400


def shown(value: object) -> str:
    """Return `value` quoted for a message if it is short and plain, else only what sort of thing it is."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)[:20]
    if isinstance(value, str) and re.fullmatch(r"[\w .,+*/-]{0,32}", value, re.ASCII):
        return f"{value!r}"
    return {str: "this text", list: "a list", dict: "a mapping", type(None): "null"}.get(type(value), "this")


def _wrong(message: str) -> PydanticCustomError:
    return PydanticCustomError("guardian", "{message}", {"message": message})


def _duration(value: object) -> int:
    matched = re.fullmatch(r"([0-9]{1,10})([smhdw])", value) if isinstance(value, str) else None
    seconds: int = int(matched[1]) * _SECONDS[matched[2]] if matched else _LONGEST_S + 1
    if seconds > _LONGEST_S:
        raise _wrong(f"{shown(value)} is not a duration; expected a whole number with its unit, like 15m, 4h, 7d")
    return seconds


def _positive(value: int) -> int:
    if value == 0:
        raise _wrong("must be longer than zero")
    return value


def _size(value: object) -> int:
    matched = re.fullmatch(r"([0-9]{1,9})([KMGT]?i?B)", value) if isinstance(value, str) else None
    if not matched or matched[2] not in _BYTES or matched[1].strip("0") == "":
        raise _wrong(f"{shown(value)} is not a size; expected a whole number with its unit, like 500MiB, 50GiB")
    return int(matched[1]) * _BYTES[matched[2]]


def _reference(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"env:[A-Za-z_][A-Za-z0-9_]*|file:[^\0\n]+", value):
        raise _wrong(
            "a secret must be a reference, env:NAME or file:PATH, never the value itself (not repeated here); "
            "move the value there and write the reference"
        )
    return value


def _path(value: str) -> str:
    if not value or "\0" in value:
        raise _wrong("expected the path of a file or folder")
    return value


def database(value: str) -> str:
    """Accept a SQLite path, or a reference to a URL; never the URL, which may hold a password."""
    if "://" in value or value.startswith("env:"):
        return _reference(value)
    return value if value.startswith("file:") else _path(value)


def _name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", value):
        raise _wrong(
            f"{shown(value)} cannot be a name; use letters, digits, '.', '_' and '-', at most 63, "
            "the first a letter or digit"
        )
    return value


def environment(value: str) -> str:
    """Accept the name of an environment."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", value):
        raise _wrong(f"{shown(value)} cannot be an environment; use a-z, 0-9 and '-', such as production")
    return value


def pointer(value: str) -> str:
    """Accept a JSON pointer, RFC 6901, whose segments may hold `*`."""
    if not re.fullmatch(r"(/([^~/]|~[01])+)+", value):
        raise _wrong("expected a JSON pointer into attributes, such as /settings/archive_command")
    return value


def cron(value: str) -> str:
    """Accept five valid cron fields."""
    try:
        check_cron(value)
    except ValueError as error:
        raise _wrong(f"not a cron expression: {error}; expected five fields, like 0 3 * * *") from error
    return value


def modes(value: object) -> dict[Tier | None, Mode]:
    """Return mode by tier; one mode alone counts for every tier (key None)."""
    pairs = value if isinstance(value, dict) else {None: value}
    found: dict[Tier | None, Mode] = {}
    for tier, mode in pairs.items():
        if tier is not None and tier not in set(Tier):
            raise _wrong(f"{show_key(tier)} is not a tier; expected one of: {', '.join(Tier)}")
        if not isinstance(mode, str) or mode not in set(Mode):
            raise _wrong(f"{shown(mode)} is not a mode; expected one of: {', '.join(Mode)}")
        found[None if tier is None else Tier(tier)] = Mode(mode)
    if not found:
        raise _wrong(f"empty; expected one of: {', '.join(Mode)}, or a mapping from tier to mode")
    return found


def one_of(what: str, *allowed: str, later: tuple[str, ...] = ()) -> Callable[[object], str]:
    """Return a validator for a closed list of words; `later`: words of the design that this version does not have."""

    def check(value: object) -> str:
        if isinstance(value, str) and value in allowed:
            return value
        supported = f"supported: {', '.join(allowed)}"
        if isinstance(value, str) and value in later:
            raise _wrong(f"{what} {value!r} is not available in this version; {supported}")
        raise _wrong(f"{shown(value)} is not a known {what}; {supported}")

    return check


Duration = Annotated[int, BeforeValidator(_duration)]
Positive = Annotated[int, BeforeValidator(_duration), AfterValidator(_positive)]
Size = Annotated[int, BeforeValidator(_size)]
Reference = Annotated[str, BeforeValidator(_reference)]
PathText = Annotated[str, AfterValidator(_path)]
Name = Annotated[str, AfterValidator(_name)]
Text = Annotated[str, Field(min_length=1, max_length=500)]
