"""Copies of a cluster's files: what their control file and label say, and what the server says while it recovers. Pure.

Invariant: a line of the server's log that is not known is told as unknown, never dropped; none is repeated with what it
quotes, but for names of segments, files and restore points.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from verifiers.errors import VerifierError
from verifiers.postgres.messages import censored
from verifiers.result import Assurance, Check, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# What a server in recovery must have at least as much of as the source had, by pg_controldata's words.
_AT_LEAST: Final = {
    "max_connections setting": "max_connections",
    "max_worker_processes setting": "max_worker_processes",
    "max_wal_senders setting": "max_wal_senders",
    "max_prepared_xacts setting": "max_prepared_transactions",
    "max_locks_per_xact setting": "max_locks_per_transaction",
}
_LOG_BYTES: Final = 1 << 32
_LABEL_START: Final = re.compile(r"^START WAL LOCATION: ([0-9A-F]+/[0-9A-F]+) \(file ([0-9A-F]{24})\)$", re.MULTILINE)


_INCREMENTAL: Final = re.compile(r"^INCREMENTAL FROM LSN: ([0-9A-F]+/[0-9A-F]+)$", re.MULTILINE)


class PhysicalError(VerifierError):
    """A file that every backup of a cluster has is not what it must be."""


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One segment of write-ahead log. number: its place in the log, counted in segments."""

    timeline: int
    number: int

    @classmethod
    def parse(cls, name: str, size: int) -> Segment:
        """Return the segment of a 24-digit name. size: bytes of a segment."""
        per_log = _LOG_BYTES // size
        return cls(int(name[:8], 16), int(name[8:16], 16) * per_log + int(name[16:], 16))

    def name(self, size: int) -> str:
        """Return its 24-digit name."""
        high, low = divmod(self.number, _LOG_BYTES // size)
        return f"{self.timeline:08X}{high:08X}{low:08X}"


class TargetKind(StrEnum):
    """Where a recovery ends. END: where the backup itself ended; LATEST: where the archive ends."""

    END = "end"
    LATEST = "latest"
    TIME = "time"
    LSN = "lsn"
    NAME = "name"
    XID = "xid"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a recovery shall end. value: a time with its offset, an LSN, a restore point's name or a transaction id."""

    kind: TargetKind = TargetKind.END
    value: str = ""

    def settings(self) -> dict[str, str]:
        """Return the server's settings that lead there; none for END, for which no archive is read."""
        if self.kind is TargetKind.END:
            return {}
        settings = {"recovery_target_timeline": "latest"}
        if self.kind is not TargetKind.LATEST:
            settings |= {f"recovery_target_{self.kind}": self.value, "recovery_target_action": "pause"}
        return settings

    def to_json(self) -> dict[str, str]:
        """Return the target as the check `recovery.target` names it."""
        return {"to": self.kind} if not self.value else {"to": self.kind, str(self.kind): self.value}


@dataclass(frozen=True, slots=True)
class Control:
    """What pg_controldata says. segment_bytes: size of a WAL segment. checksums: whether pages have them.

    checkpoint_at: aware UTC, of the checkpoint that the backup began with.
    """

    system_identifier: str
    checkpoint_at: datetime
    timeline: int
    segment_bytes: int
    checksums: bool
    settings: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> Control:
        """Read pg_controldata's output in the C locale and in UTC. Raises PhysicalError."""
        said = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        try:
            return cls(
                system_identifier=said["Database system identifier"].strip(),
                checkpoint_at=datetime.strptime(
                    said["Time of latest checkpoint"].strip(), "%a %b %d %H:%M:%S %Y"
                ).replace(tzinfo=UTC),
                timeline=int(said["Latest checkpoint's TimeLineID"]),
                segment_bytes=int(said["Bytes per WAL segment"]),
                checksums=said["Data page checksum version"].strip() != "0",
                settings={name: said[key].strip() for key, name in _AT_LEAST.items()},
            )
        except (KeyError, ValueError) as error:
            raise PhysicalError(f"pg_controldata did not say what is expected of it: {error}") from error


@dataclass(frozen=True, slots=True)
class Label:
    """What backup_label says: the log that a recovery needs begins here.

    incremental_from: where the copy began that this one builds on, None for one that stands alone.
    """

    lsn: str
    segment: str
    incremental_from: str | None = None

    @classmethod
    def parse(cls, text: str) -> Label:
        """Read a backup_label. Raises PhysicalError."""
        found = _LABEL_START.search(text)
        if found is None:
            raise PhysicalError("backup_label names no START WAL LOCATION: it is not the label of a backup")
        since = _INCREMENTAL.search(text)
        return cls(found[1], found[2], since[1] if since else None)

    def first(self, segment_bytes: int) -> Segment:
        """Return the first segment that a recovery reads."""
        return Segment.parse(self.segment, segment_bytes)


def lsn_number(lsn: str) -> int:
    """Return a log position such as `0/3000060` as a number of bytes. Raises ValueError."""
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


class Said(StrEnum):
    """What a line of a recovering server's log means."""

    HARMLESS = "harmless"
    BACKUP = "backup"  # a defect of the backup or of its log
    SANDBOX = "sandbox"  # this server cannot do it
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class LogLine:
    """One message. severity: as the server wrote it; shown: what may be told of it."""

    severity: str
    meaning: Said
    shown: str


_LINE: Final = re.compile(
    r"(?:^|.*? )(LOG|WARNING|ERROR|FATAL|PANIC|NOTICE|INFO|DEBUG\d?|"
    r"DETAIL|HINT|CONTEXT|STATEMENT|QUERY|LOCATION):  (.*)"
)
_ORDINARY: Final = frozenset({"LOG", "INFO", "NOTICE"})
_SEVERE: Final = frozenset({"WARNING", "ERROR", "FATAL", "PANIC"})
_CRASHED: Final = re.compile(r"[a-z ]+ \(PID \d+\) was terminated by (?:signal|exception) .*")
_KNOWN: Final = [
    (Said.HARMLESS, r"the database system is (starting up|not yet accepting|shutting down|in recovery).*"),
    (Said.HARMLESS, r"terminating connection due to administrator command|terminating autovacuum process"),
    (Said.HARMLESS, r"database \S+ has a collation version mismatch|database .* has no actual collation version"),
    (Said.SANDBOX, r".*not supported by this build.*"),
    (Said.SANDBOX, r"database files are incompatible with server"),
    (Said.SANDBOX, r"could not (map|create) .*memory.*|could not .*: No space left on device"),
    (Said.SANDBOX, r"recovery aborted because of insufficient parameter settings"),
    (Said.SANDBOX, r"hot standby is not possible because .*|resource manager with ID \d+ not registered"),
    (Said.SANDBOX, r"role \S+ does not exist"),
    (Said.BACKUP, r"recovery ended before configured recovery target was reached"),
    (Said.BACKUP, r"requested recovery stop point is before consistent recovery point"),
    (Said.BACKUP, r"requested timeline \d+ (is not a child of|does not contain) .*"),
    (Said.BACKUP, r"archive file \S+ has wrong size: \d+ instead of \d+"),
    (Said.BACKUP, r"recovery target timeline \d+ does not exist"),
    (Said.BACKUP, r"could not locate (required|a valid) checkpoint record.*|invalid checkpoint record.*"),
    (Said.BACKUP, r"WAL ends before (end of online backup|consistent recovery point|end of backup).*"),
    (Said.BACKUP, r"WAL was generated with \"wal_level=minimal\", cannot continue recovering"),
    (Said.BACKUP, r"invalid page in block \d+ of relation \S+.*|incorrect checksum in control file"),
    (Said.BACKUP, r"could not (open|read|access|find) (file|directory|redo location|WAL file) .*|could not stat .*"),
    (Said.BACKUP, r"WAL contains references to invalid pages"),
    (Said.BACKUP, r"\S+ is not a valid data directory|.*tablespace_map.*|invalid data in file .*"),
    (Said.BACKUP, r"page \d+ of relation \S+ (is uninitialized|does not exist)"),
]  # fmt: skip
_PATTERNS: Final = [(meaning, re.compile(pattern, re.DOTALL)) for meaning, pattern in _KNOWN]
_SHOWN: Final = 50


_RESTORED: Final = re.compile(r'restored log file "([0-9A-F]{8})[0-9A-F]{16}" from archive')


def timeline_followed(lines: Iterable[str]) -> int | None:
    """Return the timeline of the last segment that a recovering server took from the archive, None if it took none."""
    found = [matched[1] for line in lines if (matched := _RESTORED.search(line))]
    return int(found[-1], 16) if found else None


_DAMAGED: Final = re.compile(
    r"LOG:  ((?:incorrect resource manager data checksum|invalid (?:magic number|info bits|resource manager ID)|"
    r"unexpected pageaddr|record with incorrect prev-link|there is no contrecord flag|invalid contrecord length|"
    r"invalid record (?:offset|length)|record length \d+ at \S+ too long|missing contrecord|invalid xlog switch record|"
    r"out-of-sequence timeline ID|WAL file is from different database system)[ -~]*)"
)


def damaged_record(lines: Iterable[str]) -> str | None:
    """Return what a recovering server said of the record that it could not read and ended at, None if it said nothing.

    At the end of a segment that was filled to its end or switched from, it says nothing of the kind.
    """
    found = [matched[1] for line in lines if (matched := _DAMAGED.search(line))]
    return found[-1] if found else None


_ROLLED_BACK: Final = re.compile(r"recovery stopping (?:before|after) abort of (?:prepared )?transaction \d+")


def stopped_at_abort(lines: Iterable[str]) -> bool:
    """Tell whether a recovering server stopped at a transaction that was rolled back, and not at one that committed."""
    return any(_ROLLED_BACK.search(line) for line in lines)


def classify_log(lines: Iterable[str]) -> list[LogLine]:
    """Return the messages of a server's log that are more than LOG, each with what it means.

    A line that is no message and no part of one (those begin with a tab) is unknown: a program wrote it.
    """
    found = []
    for line in lines:
        matched = _LINE.match(line)
        if matched is None:
            if line.strip() and not line.startswith("\t"):
                found.append(LogLine("OUTPUT", Said.UNKNOWN, censored(line[:4000])[:300]))
            continue
        severity, text = matched[1], matched[2].strip()
        if severity in _ORDINARY and _CRASHED.fullmatch(text):
            found.append(LogLine(severity, Said.UNKNOWN, "a process of the server was terminated by a signal"))
        if severity not in _SEVERE:
            continue
        meaning = next((meaning for meaning, pattern in _PATTERNS if pattern.fullmatch(text)), Said.UNKNOWN)
        shown = text if meaning is not Said.UNKNOWN else censored(text[:4000])
        found.append(LogLine(severity, meaning, shown[:300]))
    return found


def log_check(lines: Sequence[LogLine]) -> Check:
    """`restore.messages` (restored) of a physical restore: what the server said until it was there."""
    counts = Counter(line.meaning for line in lines)
    told = [f"{line.severity}: {line.shown}" for line in lines if line.meaning is not Said.HARMLESS]
    observed: dict[str, Any] = {"messages": len(lines), **{kind.value: counts[kind] for kind in Said}}
    if told:
        observed["told"] = list(dict.fromkeys(told))[:_SHOWN]
    if counts[Said.BACKUP]:
        said = f"The server found the backup or its log defective: {told[0]}."
        return Check("restore.messages", Assurance.RESTORED, Verdict.FAIL, {"backup": 0}, observed, said)
    if counts[Said.SANDBOX] or counts[Said.UNKNOWN]:
        said = f"The server said what keeps it from being called restored: {told[0]}."
        return Check("restore.messages", Assurance.RESTORED, Verdict.ERROR, {"backup": 0}, observed, said)
    said = "The server recovered without a word beyond its ordinary log."
    return Check("restore.messages", Assurance.RESTORED, Verdict.PASS, {"backup": 0}, observed, said)
