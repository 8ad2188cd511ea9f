"""Secrets out of observations, before anything is kept: the value goes, a keyed fingerprint and its class stay. No I/O.

Invariant: redacting twice changes nothing, and the same secret under the same key has the same fingerprint, so that a
change of it shows. Empty values (null, "", [], {}) stay: that a secret is absent is a fact policies need.
"""

from __future__ import annotations

import hmac
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from guardian.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from guardian.settings import Secret

REDACTED = "$redacted"
CREDENTIAL, UNKNOWN = "credential", "unknown"

# What is a secret wherever it stands, whatever the path is called: what a text of that look holds, in small letters,
# and the look. `re` lets no other thread run meanwhile, so each look is linear with a small factor in hostile text:
# one start for each token, and no way back (`*+`). An end that is one of many is looked back at, not tried everywhere.
_WORDS = (
    *("password", "passwd", "passphrase", "secret", "token"),
    *("apikey", "api[_-]key", "accesskey", "access[_-]key", "privatekey", "private[_-]key"),
)
_WORD = f"(?:{'|'.join(_WORDS)})"
_MYSQL = r"(?<![\w.-])(?:mysql|mariadb)[\w-]*+(?=\s)"


def ending(words: Iterable[str]) -> str:
    """Return a pattern that holds behind any of `words`, each a pattern of one length."""
    return f"(?:{'|'.join(f'(?<={word})' for word in words)})"


_ENDING = ending(_WORDS)
_NAMES = ("pass", "pwd", "secret", "token", "key")
_LOOKS = tuple(
    (hints, re.compile(pattern))
    for hints, pattern in (
        (("://",), r"://[^\s/@:]*+:[^\s/@]++@"),  # URL with a password
        (("=",), rf"(?i:(?:{_WORD}|pwd|[_-]pass)s?\s*+=\s*+[^\s=])"),  # password=..., radiussecrets=...
        (("--",), rf"(?i:(?<![\w.-])(?:(?!--)[\w.-])*+--[\w.-]*+{_ENDING}[=\s]++\S)"),  # command line
        (("-u",), r"(?<!\S)-(?:u|-user)[=\s]++[^\s:]{1,64}+:(?!\d++(?:\s|$))\S"),  # curl -u user:password
        (("mysql", "mariadb"), rf"{_MYSQL}(?:(?!{_MYSQL})(?:\\\n|[^\n;|&]))*?\s-p[^\s]"),  # mysql -ppassword
        (("requirepass", "masterauth"), r"(?i:\b(?:requirepass|masterauth)\s++[^\s\"'])"),  # Redis
        (
            ("authorization",),
            r"""(?i:\bauthorization["']?\s*+[:=]\s*+["']?(?:basic|bearer|token)\s++\S)""",
        ),
        (("bearer",), r"(?i:\bbearer\s++[\w.~+/-]{16})"),
        (_NAMES, rf'(?i:"[\w.-]*+{_ENDING}"\s*+:\s*+"[^"])'),  # JSON in a text, as in annotations
        (
            ('"value"',),
            rf'(?i:"name"\s*+:\s*+"(?=[\w.-]*?{_WORD})[\w.-]*+"\s*+,\s*+"value"\s*+:\s*+"[^"])',
        ),
        (("scram-sha-256$", "md5"), r"SCRAM-SHA-256\$\d++:|\bmd5[0-9a-f]{32}\b"),  # PostgreSQL hashes
        (("$",), r"\$(?:2[abxy]|5|6|y|argon2(?:id|i|d))\$[\w./$+=,-]{16}"),  # crypt(3) hashes
        (("-----begin",), r"-----BEGIN (?:[A-Z]++ ){0,8}?PRIVATE KEY"),
        (("age-secret-key-1",), r"AGE-SECRET-KEY-1"),
        (("akia", "asia"), r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),  # AWS key id
        ((".eyj",), r"(?<![\w-])(?:(?!eyJ)[\w-])*+eyJ[\w-]{8,}+\.eyJ[\w-]{8}"),  # JWT
        (("gh", "glpat-", "xox"), r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abeprs]-)[\w-]{16}"),
        (("k_live_",), r"\b[sr]k_live_[\w-]{16}"),
    )
)
# Every look above holds one of these letters or is at least 16 long: most texts need no second look.
_HINT = re.compile(r"[=\s$\"@]")
_HINTLESS = 16
# An argument whose value is the next one: ["--password", "..."]; one that holds it: ["mysql", "-p..."].
_FLAG = re.compile(rf"--?[\w.-]*+{_ENDING}", re.IGNORECASE)
_USER_FLAGS = ("-u", "--user")
_MYSQL_PROGRAM = re.compile(r"(?:[^\s/]*+/)*+(?:mysql|mariadb)[\w-]*+")
_SECRET_NAME = re.compile(
    r"passw|passphrase|pwd|secret|token|credential|private_?key|api_?key|access_?key|conninfo|(^|[._])dsn$",
    re.IGNORECASE,
)
_TOKEN_BITS = 3.5  # Shannon bits a character from which a long mixed token is taken for a key, not for a name
_TOKEN_LENGTH = 20

_Pattern = tuple[re.Pattern[str], ...]


@dataclass(frozen=True, slots=True)
class Redacted:
    """Attributes without secrets, and JSON pointers (RFC 6901) to what was taken out, sorted."""

    attributes: dict[str, Any]
    pointers: Sequence[str]


def parse_key(secret: Secret) -> bytes:
    """Read the environment's redaction key, 32 bytes kept as 64 hexadecimal characters.

    Raises ConfigError, without repeating what was read, if it is missing or anything else.
    """
    text = secret.read().strip()
    if re.fullmatch(r"[0-9a-fA-F]{64}", text) is None:
        raise ConfigError(
            f"{secret.where}{secret.reference} must hold exactly 64 hexadecimal characters and does not; "
            "`openssl rand -hex 32` makes a key"
        )
    return bytes.fromhex(text)


def redact(
    attributes: Mapping[str, Any], *, sensitive: Iterable[str], key: bytes, keep: Iterable[str] = ()
) -> Redacted:
    """Take out the values at `sensitive` paths and everything that looks like a secret elsewhere.

    attributes: JSON values only. sensitive, keep: JSON pointers in which `*` stands for any text within one segment,
    sensitive ones in any case of letters; what `keep` names stays as it is, with all below it.
    key: the environment's redaction key.
    """
    work = _Work(key)
    value = work.walk(dict(attributes), "", _start(tuple(sensitive), tuple(keep)))
    return Redacted(value, tuple(sorted(work.pointers)))


def classify(name: str, value: object) -> str:
    """Say whether `value`, found under `name`, looks like a credential or is of unknown nature."""
    if _SECRET_NAME.search(name) or any(_looks_secret(text) or _has_key(text) for text in _texts(value)):
        return CREDENTIAL
    return UNKNOWN


def is_redacted(value: object) -> bool:
    """Whether `value` is what `redact` leaves in the place of a secret."""
    return (
        isinstance(value, dict)
        and value.keys() == {REDACTED, "class"}
        and value["class"] in {CREDENTIAL, UNKNOWN}
        and isinstance(value[REDACTED], str)
        and re.fullmatch(r"[0-9a-f]{64}", value[REDACTED]) is not None
    )


class _State:
    """Which patterns still match on the way to a place. Steps are remembered: objects of a kind share their paths.

    taken, kept: a sensitive pattern, one of `keep`, is used up, so this place is meant.
    """

    __slots__ = ("_alike", "_keep", "_sensitive", "_steps", "kept", "taken")

    def __init__(self, sensitive: tuple[_Pattern, ...], keep: tuple[_Pattern, ...]) -> None:
        self._sensitive, self._keep = sensitive, keep
        self.taken, self.kept = not all(sensitive), not all(keep)
        self._alike = all(pattern and pattern[0].pattern == ".*" for pattern in (*sensitive, *keep))
        self._steps: dict[str, _State] = {}

    def step(self, name: str) -> _State:
        """Return the state one name further down."""
        if not (self._sensitive or self._keep):
            return self
        if self._alike:  # as in lists, which may be long
            name = "*"
        found = self._steps.get(name)
        if found is None:
            if len(self._steps) >= _STEPS:  # names are the source's to choose
                self._steps.clear()
            found = self._steps[name] = _State(_matching(self._sensitive, name), _matching(self._keep, name))
        return found


_STEPS = 1024


def _matching(patterns: tuple[_Pattern, ...], name: str) -> tuple[_Pattern, ...]:
    return tuple(pattern[1:] for pattern in patterns if pattern[0].fullmatch(name))


@lru_cache(maxsize=4096)
def _compile(path: str, case: re.RegexFlag) -> _Pattern:
    segments = [segment.replace("~1", "/").replace("~0", "~") for segment in path.removeprefix("/").split("/")]
    return tuple(re.compile(".*".join(map(re.escape, segment.split("*"))), re.DOTALL | case) for segment in segments)


@lru_cache(maxsize=256)
def _start(sensitive: tuple[str, ...], keep: tuple[str, ...]) -> _State:
    return _State(
        tuple(_compile(path, re.IGNORECASE) for path in sensitive), tuple(_compile(path, re.NOFLAG) for path in keep)
    )


@dataclass(slots=True)
class _Work:
    key: bytes
    pointers: list[str] = field(default_factory=list)

    def walk(self, value: Any, at: str, state: _State, command: object = None) -> Any:  # noqa: ANN401 -- any JSON value
        """at: the JSON pointer to `value`. command: the list that `value` is the arguments of."""
        if isinstance(value, dict) and REDACTED in value and is_redacted(value):
            self.pointers.append(at)
            return value
        if state.kept or value is None or value in ("", [], {}):
            return value
        if state.taken or (isinstance(value, str) and _looks_secret(value)):
            return self._take(value, at)
        if isinstance(value, dict):
            return {
                name: self.walk(
                    item, f"{at}/{_escaped(name)}", state.step(name), value.get("command") if name == "args" else None
                )
                for name, item in value.items()
            }
        if isinstance(value, list):
            mysql = _calls_mysql(command) or _calls_mysql(value)
            return [
                self._take(item, f"{at}/{place}", "password")
                if (place and _is_value_of(value[place - 1], item)) or (mysql and _is_mysql_password(item))
                else self.walk(item, f"{at}/{place}", state.step(str(place)))
                for place, item in enumerate(value)
            ]
        return value

    def _take(self, value: object, at: str, name: str | None = None) -> dict[str, str]:
        """name: under which it was found, None for the last name of the pointer `at`."""
        self.pointers.append(at)
        digest = hmac.digest(self.key, orjson.dumps(value, option=orjson.OPT_SORT_KEYS), "sha256")
        return {REDACTED: digest.hex(), "class": classify(name or at.rpartition("/")[2], value)}


def _looks_secret(text: str) -> bool:
    if len(text) < _HINTLESS and _HINT.search(text) is None:
        return False
    small = text.lower()
    for hints, pattern in _LOOKS:  # no generator: this is asked of every text of every object
        for hint in hints:
            if hint in small:
                if pattern.search(text):
                    return True
                break
    return False


def _is_value_of(before: object, value: object) -> bool:
    """Whether `value` in a list is the secret that the argument before it announces."""
    if not (isinstance(before, str) and before.startswith("-") and isinstance(value, str)):
        return False
    if before in _USER_FLAGS:
        return re.fullmatch(r"[^\s:]{1,64}:(?!\d+$)\S+", value) is not None
    return value != "" and not value.startswith("-") and _FLAG.fullmatch(before) is not None


def _calls_mysql(command: object) -> bool:
    return isinstance(command, list) and any(isinstance(x, str) and _MYSQL_PROGRAM.fullmatch(x) for x in command)


def _is_mysql_password(argument: object) -> bool:
    return isinstance(argument, str) and argument.startswith("-p") and len(argument) > 2


def nests_deeper(value: object, levels: int) -> bool:
    """Whether lists and mappings stand in one another more than `levels` deep, found without recursion."""
    layer = [value]
    for _ in range(levels + 1):
        layer = [
            item
            for outer in layer
            if isinstance(outer, dict | list | tuple)
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not layer:
            return False
    return True


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1") if "/" in name or "~" in name else name


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _has_key(text: str) -> bool:
    """Whether a long token of letters and digits with much entropy stands in `text`."""
    return any(
        re.search(r"[0-9]", token) and re.search(r"[A-Za-z]", token) and _bits(token) >= _TOKEN_BITS
        for token in re.findall(rf"[A-Za-z0-9_+-]{{{_TOKEN_LENGTH},}}", text)
    )


def _bits(token: str) -> float:
    counts = Counter(token).values()
    return -sum(count / len(token) * math.log2(count / len(token)) for count in counts)
