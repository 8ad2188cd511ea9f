"""Verification in turns: what is unchanged and was read lately is not read again, and everything is within a period.

A file counts as unchanged if size, permissions, both times, inode and device are as they were when it was last read.
Each file has its own moment in the period, spread evenly by its name; the first drill after it reads the file. So each
drill reads the share that is due, and no file that counts as verified was last read longer ago than the period.
Invariant: content that changed without any of these is told: a disk or a memory did that, no program.
"""

from __future__ import annotations

import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from verifiers.filestore.remembered import Remembered, Remembering

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from verifiers.filestore.reading import File, Known, State

_NS: Final = 1_000_000_000
# Times of files move in steps of the kernel's clock: a write right before a read may share its time with one after.
_RACY_NS: Final = 2 * _NS


class Turns:
    """Holds a walk against what was verified before, and keeps what comes of it.

    kept: where that is; None compares with nothing and keeps nothing. reverify_s: the period; None reads everything.
    now: aware. Call `known` for every file in order, `see` for every one that came of it, and then `close`.
    """

    def __init__(self, kept: Path | None, *, reverify_s: int | None, now: datetime) -> None:
        before = Remembered.look(kept) if kept is not None else None
        self.first = before is None
        self._before: Iterator[File] = before.files() if before is not None else iter(())
        self._next = next(self._before, None)
        self._period = None if reverify_s is None else reverify_s * _NS
        self._now = self.began_ns = int(now.timestamp() * _NS)
        self._writing = Remembering(kept) if kept is not None else None
        self._awaited: dict[bytes, File] = {}  # of the files being read
        self.read = self.unchanged = self.new = self.changed = self.gone = 0
        self.rotten: list[str] = []
        self._oldest = self._now

    def known(self, raw: bytes, state: State) -> Known | None:
        """Return what needs no reading of a file."""
        before = self._past(raw)
        if before is None:
            self.new += 1
            return None
        known = before.known
        if self._period is not None and before.state == state and _settled(before) and not self._due(raw, known):
            return known
        self._awaited[raw] = before
        return None

    def see(self, file: File) -> None:
        """Take a file that was read, or was not as `known` gave what is known of it."""
        before = self._awaited.pop(file.raw, None)
        if file.known is not None:
            self.unchanged += 1
            self._oldest = min(self._oldest, file.known.read_at)
        else:
            self.read += 1
            if before is not None and file.digests[0] != before.digests[0]:
                self.changed += 1
                if file.steady and file.state == before.state and _settled(before):
                    self.rotten.append(file.path)
        if self._writing is not None:
            # What changed while it was read is read again next time.
            read_at = file.known.read_at if file.known else self._now if file.steady else 0
            self._writing.add(file.raw, file.state, file.digests[0], read_at)

    def close(self, *, keep: bool) -> None:
        """End; keep: whether this is what the next drill is to be held against."""
        while self._next is not None:
            self.gone += 1
            self._next = next(self._before, None)
        if self._writing is not None:
            writing, self._writing = self._writing, None
            (writing.keep if keep else writing.drop)()

    def describe(self, never: int) -> str:
        """Say what was read and what was not. never: files that could not be read."""
        said = [f"{self.read} files read now"]
        if self.unchanged:
            said.append(f"{self.unchanged} unchanged since verified, the oldest on {self.oldest:%Y-%m-%d}")
        if never:
            said.append(f"{never} never verified")
        return f"{', '.join(said)}: coverage {self.coverage(never):.4g} %"

    def coverage(self, never: int) -> float:
        """Return the percentage of files that were read within the period."""
        verified = self.read + self.unchanged
        return 100.0 * verified / (verified + never) if verified + never else 0.0

    @property
    def oldest(self) -> datetime:
        """When the file that counts as unchanged for longest was read."""
        return datetime.fromtimestamp(self._oldest / _NS, UTC)

    def observed(self, never: int) -> dict[str, Any]:
        """Return the numbers for a check."""
        found: dict[str, Any] = {"filesRead": self.read, "filesUnchanged": self.unchanged, "filesNeverVerified": never}
        if self.unchanged:
            found["oldestVerifiedOn"] = f"{self.oldest:%Y-%m-%dT%H:%M:%SZ}"
        return found | {"coveragePercent": round(self.coverage(never), 2)}

    def _past(self, raw: bytes) -> File | None:
        """Return what was kept of a file, counting those before it that are no more."""
        key = _key(raw)
        while self._next is not None and _key(self._next.raw) < key:
            self.gone += 1
            self._next = next(self._before, None)
        if self._next is None or self._next.raw != raw:
            return None
        found, self._next = self._next, next(self._before, None)
        return found

    def _due(self, raw: bytes, known: Known | None) -> bool:
        """Whether the file's moment in the period has passed since it was read; also for a read in the future."""
        if known is None or self._period is None:
            return True
        period = self._period
        moment = zlib.crc32(raw) * period >> 32
        return known.read_at > self._now or (self._now - moment) // period != (known.read_at - moment) // period


def _settled(before: File) -> bool:
    """Whether the state of a file told, when it was read, of every write before."""
    return before.known is not None and before.state.ctime_ns < before.known.read_at - _RACY_NS


def _key(raw: bytes) -> bytes:
    """Return what sorts as the walk does: a folder's name before those that begin with it."""
    return raw.replace(b"/", b"\0")
