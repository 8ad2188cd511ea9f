"""Modes and thresholds of controls: their defaults, their types, and their value for one environment and tier.

A value is parsed when it is read, never later: what leaves here is a number of seconds, a boolean, a list, and of a
Kubernetes quantity its whole units and billionths. No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final

from guardian.errors import ConfigError
from guardian.model import Mode, Tier

ENVIRONMENTS: Final = ("production", "staging", "development", "other")
STRICTEST: Final = Tier.CRITICAL
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SUFFIXES: Final = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGT", 1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGT", 1)},
}
# Policies cut quantities here (policies/lib/quantity.rego), so a threshold must lie below it.
QUANTITY_CEILING: Final = 10**18
# The levels of the Pod Security Standards, the laxest first.
POD_SECURITY_LEVELS: Final = ("privileged", "baseline", "restricted")


def parse_duration(value: object) -> int:
    """Return the seconds of a duration such as `8d`, `25h` or `90m`. Raises ValueError with what was expected."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}[smhdw]", value):
        return int(value[:-1]) * _UNITS[value[-1]]
    raise ValueError("expected a whole number with its unit (s, m, h, d or w), such as 90m or 8d")


def parse_quantity(value: object) -> list[int]:
    """Return a Kubernetes quantity such as `500m` or `8Gi` as `[whole units, billionths]`, rounded up.

    That is how policies compare quantities: in order, and exactly. Raises ValueError with what was expected.
    """
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(m|[kMGT]|[KMGT]i)?", text) if isinstance(text, str) else None
    if match:
        billionths = Decimal(match[1]) * _SUFFIXES[match[2] or ""] * 10**9
        whole, rest = divmod(int(billionths.to_integral_value(ROUND_CEILING)), 10**9)
        if whole < QUANTITY_CEILING:
            return [whole, rest]
    raise ValueError("expected a Kubernetes quantity, such as 500m, 2 or 8Gi")


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError("expected true or false")


def _integer(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("expected a whole number")


def _texts(value: object) -> list[str]:
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return list(value)
    raise ValueError("expected a list of names, such as [postgres]")


def _owners(value: object) -> dict[str, str]:
    if isinstance(value, Mapping) and all(isinstance(item, str) for pair in value.items() for item in pair):
        return dict(value)
    raise ValueError("expected a mapping of name to owner, such as {replicator: team-database}")


def _level(value: object) -> str:
    if isinstance(value, str) and value in POD_SECURITY_LEVELS:
        return value
    raise ValueError(f"expected one of {', '.join(POD_SECURITY_LEVELS)}")


def _levels(value: object) -> dict[str, str]:
    if isinstance(value, Mapping) and all(isinstance(name, str) and name for name in value):
        return {name: _level(level) for name, level in value.items()}
    raise ValueError("expected a mapping of namespace to level, such as {kube-system: privileged}")


TYPES: Final[Mapping[str, Callable[[object], Any]]] = {
    "duration": parse_duration,
    "boolean": _boolean,
    "integer": _integer,
    "texts": _texts,
    "owners": _owners,
    "quantity": parse_quantity,
    "level": _level,
    "levels": _levels,
}
# Types whose values are mappings themselves, so that guardian.yaml gives one value for all tiers.
_MAPPINGS: Final = ("owners", "levels")


def environment_key(environment: str) -> str:
    """Return the column of params.yaml that an environment is judged by."""
    return environment if environment in ENVIRONMENTS else "other"


@dataclass(frozen=True, slots=True)
class Table:
    """One parsed value for every environment and tier. cells: (environment key, tier) -> value."""

    cells: Mapping[tuple[str, Tier], Any]

    def at(self, environment: str, tier: Tier | None) -> Any:  # noqa: ANN401 -- as many types as parameters have
        """Return the value for a resource: without a tier, the strictest tier's."""
        return self.cells[environment_key(environment), tier or STRICTEST]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One threshold of a control: its type (a key of TYPES), what it is for, and its defaults."""

    name: str
    type: str
    about: str
    defaults: Table

    def override(self, value: object) -> Mapping[Tier, Any]:
        """Parse what guardian.yaml says: one value, or (but for the mappings of names) one by tier.

        Returns the value by tier; tiers that are not named keep their default. Raises ValueError.
        """
        parse = TYPES[self.type]
        if self.type not in _MAPPINGS and isinstance(value, Mapping):
            return {_tier(key): parse(item) for key, item in value.items()}
        parsed = parse(value)
        return dict.fromkeys(Tier, parsed)


def parse_defaults(control: str, raw: object) -> tuple[Table, Mapping[str, Parameter]]:
    """Return modes and parameters of one control as params.yaml states them. Raises ConfigError naming the place."""
    where = f"params.yaml: {control}"
    if not isinstance(raw, Mapping) or set(raw) != {"mode", "params"}:
        raise ConfigError(f"{where}: expected exactly `mode` and `params`")
    modes = _table(f"{where}.mode", raw["mode"], Mode)
    parameters = {}
    for name, stated in raw["params"].items():
        place = f"{where}.params.{name}"
        if not isinstance(stated, Mapping) or stated.get("type") not in TYPES or not stated.get("about"):
            raise ConfigError(f"{place}: expected a `type` of {', '.join(TYPES)}, and `about`")
        if ("value" in stated) == ("values" in stated):
            raise ConfigError(f"{place}: expected either `value` or `values`")
        parse = TYPES[stated["type"]]
        if "value" in stated:
            parsed = _parsed(place, stated["value"], parse)
            table = Table({(environment, tier): parsed for environment in ENVIRONMENTS for tier in Tier})
        else:
            table = _table(place, stated["values"], parse)
        parameters[name] = Parameter(name, stated["type"], stated["about"], table)
    return modes, parameters


def _table(where: str, raw: object, parse: Callable[[Any], Any]) -> Table:
    if not isinstance(raw, Mapping) or set(raw) != set(ENVIRONMENTS):
        raise ConfigError(f"{where}: expected a value for each of {', '.join(ENVIRONMENTS)}")
    cells = {}
    for environment in ENVIRONMENTS:
        stated = raw[environment]
        if isinstance(stated, Mapping) and set(stated) != set(Tier):
            raise ConfigError(f"{where}.{environment}: expected a value for each of {', '.join(Tier)}")
        for tier in Tier:
            value = stated[tier] if isinstance(stated, Mapping) else stated
            cells[environment, tier] = _parsed(f"{where}.{environment}", value, parse)
    return Table(cells)


def _parsed(where: str, value: object, parse: Callable[[Any], Any]) -> Any:  # noqa: ANN401 -- as parse returns
    try:
        return parse(value)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}; found {value!r}") from error


def _tier(key: object) -> Tier:
    try:
        return Tier(str(key))
    except ValueError as error:
        raise ValueError(f"expected tiers ({', '.join(Tier)}) as keys; found {key!r}") from error
