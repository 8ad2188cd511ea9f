"""The words and numbers of guardian.yaml: durations, sizes, names, secret references. No I/O.

Invariant: no message repeats a value unless it is short plain text in a place where secrets do not belong.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from guardian.config_cron import parse_cron
from guardian.config_yaml import show_key
from guardian.kubernetes_kinds import BUILT_IN_GROUPS, BUILT_IN_KINDS, DEFAULT_KINDS, split
from guardian.model import Mode, Target, TargetKind, Tier

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_BYTES: dict[str, int] = {"B": 1} | {f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGT", 1)}
_BYTES |= {f"{prefix}B": 1000**power for power, prefix in enumerate("KMGT", 1)}
_LONGEST_S = 100 * 366 * 86_400
_LONGEST_LOCK_S = 10


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


def file_reference(value: str) -> str:
    """Accept a reference to a file: what is read again when it changes, such as the key of a certificate."""
    if not value.startswith("file:"):
        raise _wrong("must be a file: reference; it is read again when the file changes")
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
        parse_cron(value)
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


@dataclass(frozen=True, slots=True)
class OneOf:
    """Accepts a word of a closed list. what: what the words are, for the message."""

    what: str
    allowed: tuple[str, ...]

    def __call__(self, value: object) -> str:
        """Return the word. Raises what pydantic reports."""
        if isinstance(value, str) and value in self.allowed:
            return value
        raise _wrong(f"{shown(value)} is not a known {self.what}; supported: {', '.join(self.allowed)}")


def one_of(what: str, *allowed: str) -> OneOf:
    """Return a validator for a closed list of words."""
    return OneOf(what, allowed)


@dataclass(frozen=True, slots=True)
class Within:
    """Accepts whole numbers from `low` to `high`. unit: for the message."""

    low: int
    high: int
    unit: str = ""

    def __call__(self, value: int) -> int:
        """Return the number. Raises what pydantic reports."""
        if not self.low <= value <= self.high:
            expected = f"{self.low}{self.unit} to {self.high}{self.unit}"
            raise _wrong(f"{shown(value)}{self.unit} is out of range; expected {expected}")
        return value


def within(low: int, high: int, unit: str = "") -> Within:
    """Return a validator for whole numbers from `low` to `high`."""
    return Within(low, high, unit)


def _fine_duration(value: object) -> float:
    matched = re.fullmatch(r"([0-9]{1,6})(ms|s)", value) if isinstance(value, str) else None
    if matched is None or matched[1].strip("0") == "":
        raise _wrong(f"{shown(value)} is not a short time; expected one like 4s or 800ms")
    return int(matched[1]) / (1000 if matched[2] == "ms" else 1)


def _lock_timeout(value: float) -> float:
    if value > _LONGEST_LOCK_S:
        raise _wrong(f"longer than {_LONGEST_LOCK_S} s, for which every writer would be kept waiting; shorten it")
    return value


def shorter(deadline_s: float | None, timeout_s: int | None) -> float | None:
    """Accept a deadline before the timeout; None: not stated, or itself wrong."""
    if deadline_s is not None and timeout_s is not None and deadline_s >= timeout_s:
        raise _wrong(f"must be shorter than the timeout of {timeout_s}s, after which nobody waits for the answer")
    return deadline_s


def _expectation(value: object) -> tuple[bool | float | str | None, float | None, float | None]:
    """Return what an answer must equal, else between which numbers it must lie."""
    if isinstance(value, bool | int | float | str):
        return value, None, None
    if not isinstance(value, dict) or not value or not value.keys() <= {"min", "max"}:
        raise _wrong(f"{shown(value)} cannot be expected; write true, false, a number, a text, or {{min: 1, max: 2}}")
    least, most = value.get("min"), value.get("max")
    for bound in (least, most):
        if isinstance(bound, bool) or not isinstance(bound, int | float | None):
            raise _wrong(f"{shown(bound)} is no number; write numbers, like {{min: 1, max: 2}}")
    if least is None and most is None:
        raise _wrong("an empty range holds every number; give min, max, or both")
    if least is not None and most is not None and least > most:
        raise _wrong("min is greater than max, so that nothing lies between; exchange them")
    return None, least, most


def _recovery_target(value: object) -> Target:
    """Return where a recovery ends: {to: end}, {to: latest}, or one of time, lsn, name and xid."""
    if not isinstance(value, dict) or len(value) != 1:
        raise _wrong("expected one of {to: latest}, {to: end}, {time: ...}, {lsn: ...}, {name: ...} and {xid: ...}")
    [(key, wanted)] = value.items()
    text = str(wanted) if isinstance(wanted, int) and not isinstance(wanted, bool) else wanted
    forms = {
        "to": r"latest|end",
        "lsn": r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}",
        "name": r"[ -~]{1,63}",
        "xid": r"[0-9]{1,20}",
    }
    if key == "time" and isinstance(text, str):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise _wrong(f"{shown(text)} is no time with its offset; write one like 2026-11-23T11:00:00Z, in quotes")
        return Target(TargetKind.TIME, moment.isoformat())
    if key not in forms or not isinstance(text, str) or not re.fullmatch(forms[key], text):
        raise _wrong(f"{shown(key)}: {shown(wanted)} names no end of a recovery; see the documentation of `recover`")
    return Target(TargetKind(text)) if key == "to" else Target(TargetKind(key), text)


def _listen(value: object) -> tuple[str, int]:
    matched = (
        re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([\w.-]{1,253})):([0-9]{1,5})", value)
        if isinstance(value, str)
        else None
    )
    if matched is None or not 0 <= int(matched[3]) <= 65_535:
        raise _wrong(f"{shown(value)} is not an address to listen on; expected one like 0.0.0.0:8443 or [::]:8443")
    return matched[1] or matched[2], int(matched[3])


def _url(value: str) -> str:
    """Accept https, and http where nothing between could read it; never a user or password inside."""
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    if parts.username is not None or parts.password is not None:
        raise _wrong("a URL must not hold a user or password (not repeated here); write token: env:NAME or file:PATH")
    if not host or re.search(r"[\s\0]", value) or parts.query or parts.fragment:
        raise _wrong("expected a URL like https://opa.example:8181, without query")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise _wrong("must begin with https://; http:// only to this machine (localhost, 127.0.0.1, [::1])")
    return value.rstrip("/")


def is_loopback(host: str) -> bool:
    """Tell whether `host`, a name or an address, is this machine and no other."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _namespace(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", value):
        raise _wrong(f"{shown(value)} cannot be a namespace; use a-z, 0-9 and '-', at most 63")
    return value


def _aws_region(value: str) -> str:
    if not re.fullmatch(r"[a-z]{2,3}(-[a-z]+){1,3}-[0-9]{1,2}", value):
        raise _wrong(f"{shown(value)} is not an AWS region; expected one like eu-central-1")
    return value


def _environment_name(value: str) -> str:
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]{0,127}", value):
        raise ValueError(f"{shown(value)} is no name of an environment variable; expected one like AWS_ACCESS_KEY_ID")
    return value


def _kubernetes_kind(value: str) -> str:
    """Accept a well-formed kind; one that Kubernetes does not know is refused where it is surely a slip of the pen."""
    if value in BUILT_IN_KINDS:
        return value
    try:
        group, word = split(value)
    except ValueError:
        near = difflib.get_close_matches(value, sorted(BUILT_IN_KINDS), n=1) or [
            known
            for known in (*DEFAULT_KINDS, *sorted(BUILT_IN_KINDS))
            if known.rpartition(".")[2].lower() in {value.lower(), value.lower().removesuffix("s")}
        ]
        hint = f"did you mean {near[0]}?" if near else "expected one like k8s.apps.Deployment or k8s.core.Pod"
        raise _wrong(f"{shown(value)} is not a Kubernetes kind; {hint}") from None
    if group in BUILT_IN_GROUPS:
        near = difflib.get_close_matches(value, sorted(BUILT_IN_KINDS), n=1, cutoff=0.9)
        if near:
            raise _wrong(f"{shown(word)} is not a kind of its group; did you mean {near[0]}?")
    return value


def _text(pattern: str, *examples: str) -> WithJsonSchema:
    """Return how a type is written, for editors: what its validator accepts, as far as a pattern says."""
    return WithJsonSchema({"type": "string", "pattern": f"^(?:{pattern})$", "examples": list(examples)})


Duration = Annotated[int, BeforeValidator(_duration), _text("[0-9]{1,10}[smhdw]", "0s", "15m", "4h")]
Positive = Annotated[
    int, BeforeValidator(_duration), AfterValidator(_positive), _text("(?!0+[smhdw])[0-9]{1,10}[smhdw]", "15m", "24h")
]
Size = Annotated[int, BeforeValidator(_size), _text("(?!0+[KMGTB])[0-9]{1,9}(?:[KMGT]i?)?B", "500MiB", "50GiB")]
Reference = Annotated[
    str, BeforeValidator(_reference), _text(r"env:[A-Za-z_][A-Za-z0-9_]*|file:[^\n]+", "env:NAME", "file:keys/name.key")
]
FileReference = Annotated[
    str, BeforeValidator(_reference), AfterValidator(file_reference), _text(r"file:[^\n]+", "file:tls/tls.key")
]
FineDuration = Annotated[
    float, BeforeValidator(_fine_duration), _text("(?!0+(?:ms|s))[0-9]{1,6}(?:ms|s)", "4s", "800ms")
]
LockTimeout = Annotated[
    float,
    BeforeValidator(_fine_duration),
    AfterValidator(_lock_timeout),
    _text("(?!0+(?:ms|s))[0-9]{1,6}(?:ms|s)", "100ms", "1s"),
]
Listen = Annotated[
    tuple[str, int],
    BeforeValidator(_listen),
    _text(r"(?:\[[0-9a-fA-F:.]+\]|[\w.-]{1,253}):[0-9]{1,5}", "127.0.0.1:8480", "[::]:8443"),
]
Url = Annotated[str, AfterValidator(_url), _text(r"https?://[^\s@?#]+", "https://opa.example:8181")]
Namespace = Annotated[str, AfterValidator(_namespace), _text("[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", "erp")]
AwsRegion = Annotated[str, AfterValidator(_aws_region), _text("[a-z]{2,3}(?:-[a-z]+){1,3}-[0-9]{1,2}", "eu-central-1")]
KubernetesKind = Annotated[
    str, AfterValidator(_kubernetes_kind), _text(r"k8s\.[A-Za-z0-9.-]+\.[A-Z][A-Za-z0-9]*", "k8s.apps.Deployment")
]
EnvironmentName = Annotated[str, AfterValidator(_environment_name), _text("[A-Z_][A-Z0-9_]*", "AWS_ACCESS_KEY_ID")]
PathText = Annotated[str, AfterValidator(_path), Field(json_schema_extra={"minLength": 1})]
Name = Annotated[str, AfterValidator(_name), _text("[A-Za-z0-9][A-Za-z0-9._-]{0,62}", "erp")]
RecoveryTarget = Annotated[
    Target,
    PlainValidator(_recovery_target),
    WithJsonSchema(
        {
            "type": "object",
            "properties": {
                "to": {"enum": ["latest", "end"]},
                "time": {"type": "string"},
                "lsn": {"type": "string"},
                "name": {"type": "string"},
                "xid": {"type": ["integer", "string"]},
            },
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 1,
        }
    ),
]
_NUMBER = {"type": "number"}
Expectation = Annotated[
    tuple[bool | float | str | None, float | None, float | None],
    PlainValidator(_expectation),
    WithJsonSchema(
        {
            "default": True,
            "anyOf": [
                {"type": ["boolean", "number", "string"]},
                {
                    "type": "object",
                    "properties": {"min": _NUMBER, "max": _NUMBER},
                    "additionalProperties": False,
                    "minProperties": 1,
                },
            ],
        }
    ),
]
Text = Annotated[str, Field(min_length=1, max_length=500)]
