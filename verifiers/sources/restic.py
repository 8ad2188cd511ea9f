"""Snapshots in a restic repository.

Invariant: the repository is never written to and never locked, restic keeps no cache, and the passphrase is in its
environment only. A snapshot whose data are damaged or lacking is a defect of the backup, told as DamagedError; a wrong
passphrase is KeyMissingError; whatever else restic says is an error that repeats its words.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from verifiers.compressed import DamagedError
from verifiers.sources.base import BackupItem, Fetched, KeyMissingError, SourceError
from verifiers.sources.contents import digest_in, take
from verifiers.sources.pg_dump import oldest_first
from verifiers.sources.program import Program, ProgramError, environment_of, last_lines, passphrase, refuse_crowding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from verifiers.sources.base import Place

LISTING_S: Final = 600.0
FETCH_S: Final = 7 * 86400.0  # the drill's own deadline, told through `progress`, comes first
_ALWAYS: Final = ("--no-lock", "--no-cache")
# Ways of restic's own to open a repository.
_OPENING: Final = frozenset({"RESTIC_PASSWORD", "RESTIC_PASSWORD_FILE", "RESTIC_PASSWORD_COMMAND"})
_VERIFIED: Final = "restic verified the checksum of every piece it restored and read every file again"
_NO_KEY: Final = re.compile(r"wrong password|no key found|empty password is not|an empty password", re.IGNORECASE)
# What Guardian's side lacks, and no defect of a backup.
_OURS: Final = re.compile(
    r"no space left|disk quota|permission denied|operation not permitted|read-only file system|input/output error"
    r"|connection|timeout|timed out|no such host|network|TLS|x509|certificate|access ?denied|forbidden|unauthorized"
    r"|too many open files|cannot allocate|out of memory",
    re.IGNORECASE,
)
# Packs and index that should be there and are not, or do not hold what they should.
_DAMAGED: Final = re.compile(
    r"ciphertext verification failed|invalid hash|hash (?:does not match|mismatch)|invalid data returned"
    r"|not found in (?:the )?(?:repository|index)|unexpected EOF|Invalid file size|Unexpected content in|wrong data"
    r"|(?:Load\(<|ReadFull\(<|load <?)(?:data|tree)[^\n]*(?:no such file|not exist|not found|EOF|too short)"
    r"|pack file[^\n]*(?:is damaged|cannot be|too short)|zstd: |decompress|invalid tree|damaged",
)
_GONE: Final = re.compile(r"no matching ID|no snapshot found|<snapshot/[^\n]*(?:no such file|not exist)", re.IGNORECASE)
_MISSING_PACK: Final = re.compile(r"(<data/[0-9a-f]+>)[^\n]*(?:no such file|not exist|(?:404 |\(404\) ?)Not Found)")


class MissingPackError(DamagedError):
    """A pack that the index names is not in the repository."""


class Restic:
    """The snapshots of one repository, of one host where the place names one.

    place.server: a host, or `host:/path` for snapshots of that path only. deadline_s: for every run of restic, instead
    of what each may take.
    """

    format = "restic"

    def __init__(self, asset_type: str, place: Place, *, deadline_s: float | None = None) -> None:
        self.asset_type, self.place, self.deadline_s = asset_type, place, deadline_s
        self._program = Program("restic", "restic")

    def locate(self) -> list[BackupItem]:
        """See BackupSource. The size is told where restic (0.17 and later) kept it in the snapshot."""
        host, _, path = (self.place.server or "").partition(":")
        chosen = [*(("--host", host) if host else ()), *(("--path", path) if path else ())]
        listed = self._json("snapshots", "--json", *chosen)
        if listed is None:
            return []
        if not isinstance(listed, list) or not all(isinstance(snapshot, dict) for snapshot in listed):
            raise SourceError(f"restic snapshots of {self.place.shown} answered something that is no list of snapshots")
        shared = Counter(str(snapshot.get("id"))[:8] for snapshot in listed)
        return sorted((self._item(snapshot, shared) for snapshot in listed), key=oldest_first)

    def fetch(self, item: BackupItem, into: Path, progress: Callable[[int], None]) -> Fetched:
        """See BackupSource. Raises DamagedError where what the snapshot needs is lacking or damaged."""
        root = self._restored(item, into, progress)
        return take(root, into, self.asset_type, self.place, progress, verified=_VERIFIED)

    def digest(self, item: BackupItem) -> tuple[str, int]:
        """See BackupSource. The snapshot is restored into a folder of its own for it."""
        return digest_in(self, item)

    def _item(self, snapshot: Mapping[str, Any], shared: Mapping[str, int]) -> BackupItem:
        identity, at = snapshot.get("id"), snapshot.get("time")
        if not isinstance(identity, str) or not re.fullmatch("[0-9a-f]{64}", identity) or not isinstance(at, str):
            raise SourceError(f"restic snapshots of {self.place.shown} answered a snapshot without an id or a time")
        summary = snapshot.get("summary")
        size = summary.get("total_bytes_processed") if isinstance(summary, dict) else None
        short = identity[:8]
        return BackupItem(
            short if shared[short] == 1 else identity,
            Path(self.place.shown) / identity,
            _moment(at),
            size if isinstance(size, int) else 0,
            complete=None,
        )

    def _restored(self, item: BackupItem, into: Path, progress: Callable[[int], None]) -> Path:
        """Restore a snapshot into a folder below `into`, and return that."""
        if item.path.parent != Path(self.place.shown):
            raise SourceError(f"{item.path} is not in the repository {self.place.shown}")
        if any(into.iterdir()):
            raise SourceError(f"{into} is not empty; a backup is fetched into a new folder")
        identity, root = item.path.name, into / ".restored"
        stats = self._json("stats", identity, "--mode", "restore-size", "--json")
        size = stats.get("total_size") if isinstance(stats, dict) else None
        if not isinstance(size, int):
            raise SourceError(f"restic stats of {self.place.shown} answered no size")
        refuse_crowding(into, size)
        arguments = ("restore", identity, "--target", str(root), "--verify")
        root.mkdir(mode=0o700)
        try:
            self._run(arguments, FETCH_S, progress, into)
        except MissingPackError:
            # A prune at work meanwhile moves what a snapshot needs to other packs: those are found when asked again.
            shutil.rmtree(root)
            root.mkdir(mode=0o700)
            self._run(arguments, FETCH_S, progress, into)
        return root

    def _json(self, *arguments: str) -> object:
        answer = self._run(arguments, LISTING_S)
        try:
            return json.loads(answer)
        except ValueError as error:
            raise SourceError(f"restic {arguments[0]} of {self.place.shown} answered no JSON") from error

    def _run(
        self,
        arguments: tuple[str, ...],
        deadline_s: float,
        progress: Callable[[int], None] = lambda _: None,
        scratch: Path | None = None,
    ) -> bytes:
        environment = environment_of(self.place)
        secrets = [*environment.values(), *self.place.passwords]
        if self.place.secret is not None or not environment.keys() & _OPENING:
            environment["RESTIC_PASSWORD"] = passphrase(self.place.secret, f"the restic repository {self.place.shown}")
            secrets.append(environment["RESTIC_PASSWORD"])
        environment |= {"RESTIC_REPOSITORY": self.place.path, "TZ": "UTC"}
        try:
            return self._program.run(
                (*arguments, *_ALWAYS),
                environment=environment,
                deadline_s=self.deadline_s or deadline_s,
                secrets=secrets,
                poll=lambda: progress(0),
                heard=_hear,
                scratch=scratch,
            )
        except ProgramError as error:
            self._judge(error)

    def _judge(self, error: ProgramError) -> NoReturn:
        """Say whose fault it is."""
        said, place = error.said, self.place.shown
        if _NO_KEY.search(said):
            message = f"the passphrase does not open the restic repository {place}; give the one that does in `decrypt`"
            raise KeyMissingError(message) from error
        if _GONE.search(said):
            raise SourceError(f"the snapshot is no longer in the restic repository {place}: {error}") from error
        if _MISSING_PACK.search(said):
            _hear(said)
        if _DAMAGED.search(said) and not _OURS.search(said):
            raise DamagedError(f"restic could not restore it from {place}: {last_lines(said)}") from error
        raise SourceError(f"the restic repository {place}: {error}") from error


def _hear(said: str) -> None:
    """End restic when it begins to ask again and again for a pack that is not there."""
    missing = _MISSING_PACK.search(said)
    if missing:
        raise MissingPackError(f"pack {missing[1]} is missing in the restic repository")


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError as error:
        raise SourceError(f"restic told a time that is none: {text[:40]!r}") from error
