"""How reports write things: verdicts, durations, sizes, moments, lists, and text that others chose. Pure.

Invariant: no text of others reaches a terminal or a page with characters that move a cursor or turn the reading order.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import orjson

from guardian.model import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

VERDICT_WORDS: Final[Mapping[Verdict, str]] = {
    Verdict.PASS: "PASS",
    Verdict.FAIL: "FAIL",
    Verdict.ERROR: "ERROR",
    Verdict.SKIP: "SKIP",
}

FRAMEWORKS: Final[Mapping[str, str]] = {
    "nist-800-53r5": "NIST 800-53",
    "iso-27001-2022": "ISO 27001",
    "soc2": "SOC 2",
    "pci-dss-v4": "PCI DSS 4",
    "dora": "DORA",
    "nis2": "NIS 2",
}

# C0 and C1 controls move cursors and forge lines on a terminal; bidirectional controls turn the reading order of names.
_UNSAFE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def plain(text: object) -> str:
    r"""Return `text` with every character that could move a cursor or hide written out as `\uXXXX`. Newlines stay."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", str(text))


def duration(seconds: float | None) -> str:
    """Return seconds for people: `<1 ms`, `420 ms`, `12.3 s`, `4 min 5 s`, `2 days 4 h`; None is `not known`."""
    if seconds is None:
        return "not known"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.0005 else "<1 ms"
    if round(seconds, 1) < 60:
        return f"{seconds:.0f} s" if seconds == int(seconds) else f"{seconds:.1f} s"
    left, parts = round(seconds), []
    for size, one, many in ((86400, "day", "days"), (3600, "h", "h"), (60, "min", "min"), (1, "s", "s")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {one if count == 1 else many}")
        elif parts:
            break
    return " ".join(parts[:2])


def size(count: float) -> str:
    """Return bytes for people, in decimal units as disks are sold: `17.9 MB`."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def moment(when: datetime) -> str:
    """Return an aware moment for people: `23 November 2026, 11:40 UTC`. It must be UTC."""
    return f"{when.day} {_MONTHS[when.month - 1]} {when.year}, {when:%H:%M} UTC"


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return `1 file`, `3 files`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(names: Sequence[str], most: int = 6) -> str:
    """Return `a`, `a and b`, `a, b and c`, or the first `most` and how many more."""
    if len(names) > most:
        return ", ".join(names[:most]) + f" and {len(names) - most} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


def compact(value: object, most: int = 400) -> str:
    """Return a JSON value on one line, keys sorted, cut visibly after `most` characters."""
    text = value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=str).decode()
    return text if len(text) <= most else f"{text[:most]} … ({len(text) - most} characters more)"
