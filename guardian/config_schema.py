"""The JSON Schema of guardian.yaml, for editors, made of the very models that validate it.

`python -m guardian.config_schema` writes guardian/schemas/guardian.schema.json again; `--check` compares only.
Invariant: what `config.load` accepts, the schema accepts; of what `load` refuses by shape, the schema refuses all that
a pattern, a list of words or a required key can say. I/O: the one file, when run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from guardian import config_cluster, config_models
from guardian import config_scalars as scalars
from guardian.config_words import WORDS
from guardian.model import Mode, Tier

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic_core import core_schema

SCHEMA_FILE: Final = Path(__file__).parent / "schemas" / "guardian.schema.json"
_MODES: Final = {"type": "string", "enum": [str(mode) for mode in Mode]}
# What validators accept that stand in the models themselves.
_ACCEPTED: Final[Mapping[object, JsonSchemaValue]] = {
    scalars.environment: {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$", "examples": ["production"]},
    scalars.cron: {"type": "string", "pattern": r"^\s*(?:\S+\s+){4}\S+\s*$", "examples": ["0 3 * * *"]},
    scalars.pointer: {
        "type": "string",
        "pattern": "^(?:/(?:[^~/]|~[01])+)+$",
        "examples": ["/settings/archive_command"],
    },
    scalars.database: {
        "type": "string",
        "minLength": 1,
        "not": {"pattern": "://"},
        "examples": [".guardian/guardian.db", "env:DATABASE_URL"],
    },
    scalars.modes: {
        "anyOf": [
            _MODES,
            {
                "type": "object",
                "properties": {str(tier): _MODES for tier in Tier},
                "additionalProperties": False,
                "minProperties": 1,
            },
        ]
    },
}


class _Generator(GenerateJsonSchema):
    """pydantic's generator, told what our validators accept and how defaults are written."""

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        return self._accepted(schema["function"]["function"]) or super().function_before_schema(schema)

    def function_after_schema(self, schema: core_schema.AfterValidatorFunctionSchema) -> JsonSchemaValue:
        function = schema["function"]["function"]
        if accepted := self._accepted(function):
            return accepted
        inner = super().function_after_schema(schema)
        if isinstance(function, scalars.Within) and inner.get("type") == "integer":
            inner |= {"minimum": function.low, "maximum": function.high}
        return inner

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        if "default" in made:
            written = _written(made.pop("default"), made)
            if written is not None:
                made["default"] = written
        return made

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """`key:` with nothing after it counts as left out, and is shown as such."""
        made = super().nullable_schema(schema)
        inner = [one for one in made.get("anyOf", ()) if one != {"type": "null"}]
        if len(inner) == 1 and isinstance(inner[0].get("type"), str) and "enum" not in inner[0]:
            return {**inner[0], "type": [inner[0]["type"], "null"]}
        return made

    @staticmethod
    def _accepted(function: object) -> JsonSchemaValue | None:
        if isinstance(function, scalars.OneOf):
            return {"type": "string", "enum": [str(word) for word in function.allowed]}
        try:
            return dict(_ACCEPTED[function]) if function in _ACCEPTED else None
        except TypeError:  # no function of ours: it cannot be a key
            return None


def generate() -> dict[str, Any]:
    """Return the schema. Raises LookupError if a key has no words, or words have no key."""
    made = config_models.RootModel.model_json_schema(by_alias=True, schema_generator=_Generator)
    models = {"RootModel": made, **made["$defs"]}
    _refuse_differing(models)
    for name, model in models.items():
        model.pop("title", None)
        for key, schema in model["properties"].items():
            schema.pop("title", None)
            model["properties"][key] = {"description": WORDS[f"{name}.{key}"], **schema}
    models["CollectorModel"]["allOf"] = list(_by_type(config_cluster.COLLECTOR_KEYS, models["CollectorModel"]))
    models["EngineModel"]["allOf"] = list(_by_type(config_cluster.ENGINE_KEYS, models["EngineModel"]))
    models["EngineModel"]["not"] = {"required": ["url", "command"]}
    models["ScheduleModel"]["allOf"] = [
        {"if": _is("job", "drill"), "then": {"required": ["asset"]}},
        {"if": _is("job", "scan"), "then": {"properties": {"asset": False}}},
    ]
    models["ApiModel"]["dependentRequired"] = {"certificate": ["key"], "key": ["certificate"]}
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://guardian.dev/schemas/guardian.schema.json",
        "title": "guardian.yaml",
    }
    return head | made | {"description": "Guardian's configuration. Secrets are references, never values."}


def text() -> str:
    """Return the schema as it is committed."""
    return json.dumps(generate(), indent=1, ensure_ascii=False) + "\n"


def _refuse_differing(models: Mapping[str, Any]) -> None:
    keys = {f"{name}.{key}" for name, model in models.items() for key in model.get("properties", ())}
    if differing := sorted(keys ^ WORDS.keys()):
        raise LookupError(f"guardian/config_words.py and the models differ in: {', '.join(differing)}; mend the former")


def _by_type(known: Mapping[str, Mapping[str, bool]], model: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield, for each type, the keys it needs and those of other types that it may not have."""
    bound = {key for keys in known.values() for key in keys}
    default = model["properties"]["type"].get("default")
    for kind, keys in known.items():
        condition = _is("type", kind)
        if kind == default:
            condition = {"properties": condition["properties"]}  # also where type is left out
        then: dict[str, Any] = {"properties": dict.fromkeys(sorted(bound - keys.keys()), False)}
        if required := [key for key, needed in keys.items() if needed]:
            then["required"] = required
        yield {"if": condition, "then": then}


def _is(key: str, value: str) -> dict[str, Any]:
    return {"properties": {key: {"const": value}}, "required": [key]}


def _written(value: object, schema: JsonSchemaValue) -> object:
    """Return a default as the file would spell it, None if it goes without saying."""
    pattern = schema.get("pattern", "")
    if value is None or isinstance(value, dict):
        return None
    if isinstance(value, list | tuple) and schema.get("type") == "string":
        host, port = value
        return f"{host}:{port}"
    if isinstance(value, list | tuple) and None in value:  # an expectation: the value itself, or else a range
        return value[0]
    if isinstance(value, float) and schema.get("type") == "string":
        return f"{round(value * 1000)}ms"
    if isinstance(value, int) and schema.get("type") == "string":
        units = {"GiB": 1024**3} if pattern.endswith("B)$") else {"d": 86_400, "h": 3600, "m": 60, "s": 1}
        return next(f"{value // size}{unit}" for unit, size in units.items() if value % size == 0)
    return value


def main(arguments: list[str]) -> int:
    """Write the file, or with --check compare it. Returns the exit code."""
    if arguments == ["--check"]:
        if SCHEMA_FILE.read_text("utf-8") == text():
            return 0
        print("guardian.schema.json is not what the models say; run: python -m guardian.config_schema", file=sys.stderr)  # noqa: T201
        return 1
    SCHEMA_FILE.write_text(text(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
