"""A pgBackRest repository, read by pgBackRest itself: backups whole, differential or incremental, and their log.

Invariant: the repository is only read, no configuration of the host is, and no secret stands on a command line. What
the program says of damage is DamagedError, of a passphrase KeyMissingError; its words, which may hold what a wrong key
decrypted to, are not repeated.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from verifiers.compressed import KINDS, DamagedError, Unpacker
from verifiers.layout import Layout
from verifiers.postgres.physical import Segment
from verifiers.sources.base import BackupItem, Fetched, KeyMissingError, SourceError
from verifiers.sources.clusters import bring_home
from verifiers.sources.copying import new_file, tree_size
from verifiers.sources.names import Named, shown
from verifiers.sources.program import Program, ProgramError, environment_of
from verifiers.sources.wal_archive import Length, first_missing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from verifiers.sources.base import Place

_LOOK_S: Final = 600.0
_RESTORE_S: Final = 7 * 86400.0  # the drill's own deadline ends it sooner
_SALTED: Final = b"Salted__"  # how everything begins that pgBackRest encrypted
# pgBackRest's codes for what is wrong with the repository: checksum, file-invalid, format, file-missing,
# backup-set-invalid, crypto. That the passphrase fits was seen before.
_DAMAGE: Final = {26: "a checksum differs", 28: "a file is invalid", 29: "a file is not what it must be",
                  55: "a file is missing", 75: "the backup is not in the catalogue any more",
                  95: "encrypted data are damaged"}  # fmt: skip
_FILE: Final = re.compile(r"'(?:[^']*/)?((?:backup|archive)/[ -~]{1,300}?)'")
_DESTINATION: Final = re.compile(r"error restoring '(?:[^']*/cluster/)([ -~]{1,300}?)'")
_SEGMENT: Final = re.compile(
    r"(?:[0-9A-F]{16}/)?([0-9A-F]{24})(\.partial)?-([0-9a-f]{40})(\.gz|\.lz4|\.zst|\.bz2|\.xz)?"
)
_HISTORY: Final = re.compile(r"[0-9A-F]{8}\.history")
_LABEL: Final = re.compile(r"[0-9A-Z_-]{1,64}")
_MISSING_STANZA: Final = 1
_OTHER_ERROR: Final = 99


class PgBackRest:
    """Backups of a PostgreSQL cluster in one stanza of a repository."""

    format = "pgbackrest"

    def __init__(self, place: Place) -> None:
        self._repository = _Repository(place)

    def locate(self) -> list[BackupItem]:
        """See BackupSource. A differential or incremental backup is one of its own; pgBackRest finds what it needs."""
        stanza = self._repository.stanza()
        items = [self._item(stanza["name"], backup) for backup in stanza["backup"]]
        return sorted(items, key=lambda item: (item.taken_at or datetime.min.replace(tzinfo=UTC), item.id))

    def fetch(self, item: BackupItem, into: Path, progress: Callable[[int], None]) -> Fetched:
        """Let pgBackRest restore a backup to `into/cluster`, its tablespaces beside it; see BackupSource.

        Raises DamagedError for what pgBackRest finds missing or changed in the repository.
        """
        sha256, size = self.digest(item)
        cluster, spaces = into / "cluster", into / "spaces"
        cluster.mkdir(mode=0o700)
        spaces.mkdir(mode=0o700)
        arguments = ["restore", f"--set={item.id}", "--type=none", "--archive-mode=off"]
        arguments.append(f"--tablespace-map-all={spaces}")
        processes = str(min(4, len(os.sched_getaffinity(0))))
        extra = {"PGBACKREST_PG1_PATH": str(cluster), "PGBACKREST_PROCESS_MAX": processes}
        try:
            self._repository.run(
                arguments, stanza=item.path.name, extra=extra, deadline_s=_RESTORE_S, poll=_Growth(into, size, progress)
            )
        except ProgramError as error:
            raise _judged(error, item.id) from error
        bring_home(cluster, spaces, into)
        progress(size)
        verified = "pgBackRest held every file it restored against the checksum in the backup's manifest"
        return Fetched(cluster, None, size, sha256, item.form, verified=verified)

    def digest(self, item: BackupItem) -> tuple[str, int]:
        """Return (hex SHA-256 of the backup's manifest, which holds the checksum of every file; bytes restored)."""
        stanza = item.path.name
        name = f"backup/{stanza}/{item.id}/backup.manifest"
        try:
            manifest = self._repository.get(name, stanza)
        except ProgramError:
            try:
                manifest = self._repository.get(f"{name}.copy", stanza)  # as pgBackRest itself does
            except ProgramError as error:
                raise _judged(error, item.id) from error
        return hashlib.sha256(manifest).hexdigest(), item.size_bytes

    def _item(self, stanza: str, backup: Mapping[str, Any]) -> BackupItem:
        try:
            label, taken_at = str(backup["label"]), datetime.fromtimestamp(backup["timestamp"]["stop"], UTC)
            size = int(backup["info"]["size"])
        except (KeyError, TypeError, ValueError, OSError, OverflowError) as error:
            raise SourceError(f"pgbackrest info tells of a backup in a way that is not known: {error}") from error
        if not _LABEL.fullmatch(label):
            raise SourceError(f"pgbackrest info names a backup {shown(label)}, which is no label of its")
        reason = ""
        if backup.get("error"):
            reason = (
                "pgBackRest found pages whose checksum is wrong when it took it; "
                f"`pgbackrest info --set={label}` names the files"
            )
        return BackupItem(
            label,
            Path(self._repository.path) / "backup" / stanza,
            taken_at,
            size,
            not reason,
            reason,
            form=Named(label, Layout.CLUSTER),
        )


@dataclass(frozen=True, slots=True)
class _File:
    """A segment in the repository. path: below the archive's folder; sha1: of its content; kind: of compression."""

    path: str
    sha1: str
    kind: str
    whole: bool


class PgBackRestLog:
    """The write-ahead log that a repository keeps for the cluster of one backup."""

    def __init__(self, repository: _Repository, stanza: str, folder: str) -> None:
        self._repository, self._stanza, self._folder = repository, stanza, folder
        self._files: dict[str, list[_File]] = {}
        self._histories: list[str] = []
        partial: dict[str, list[_File]] = {}
        for path in repository.listing(folder, stanza):
            if _HISTORY.fullmatch(path):
                self._histories.append(path)
            elif (matched := _SEGMENT.fullmatch(path)) is not None:
                file = _File(path, matched[3], KINDS.get(matched[4] or "", "none"), not matched[2])
                (self._files if file.whole else partial).setdefault(matched[1], []).append(file)
        for name, files in partial.items():
            if name not in self._files and not any(other[:8] == name[:8] and other > name for other in self._files):
                self._files[name] = files

    @classmethod
    def of(cls, place: Place, label: str | None) -> PgBackRestLog:
        """Open the log of the cluster that the backup `label` is of; None: of the newest. Raises SourceError."""
        repository = _Repository(place)
        stanza = repository.stanza()
        backup = next((backup for backup in stanza["backup"] if backup.get("label") == label), None)
        archives = [archive for archive in stanza["archive"] if isinstance(archive.get("id"), str)]
        if backup is not None:
            archives = [archive for archive in archives if archive.get("database") == backup.get("database")]
        if not archives:
            raise SourceError(f"stanza {stanza['name']} of {repository.path} keeps no write-ahead log of this cluster")
        return cls(repository, stanza["name"], f"archive/{stanza['name']}/{archives[-1]['id']}")

    @property
    def segments(self) -> list[str]:
        """See LogArchive."""
        return sorted(self._files)

    def is_whole(self, name: str) -> bool:
        """See LogArchive."""
        return self._files[name][0].whole

    def gap(self, first: Segment, size: int) -> str | None:
        """See LogArchive."""
        return first_missing(self.segments, first, size)

    def fetch(self, into: Path, first: Segment, size: int, progress: Callable[[int], None]) -> int:
        """See LogArchive. Each segment is held against the SHA-1 that pgBackRest put into its name."""
        done = 0
        for history in self._histories:
            done += self._write(into / history, self._read(history))
        for name, files in sorted(self._files.items()):
            if Segment.parse(name, size).number < first.number:
                continue
            if len(files) > 1:
                raise DamagedError(f"the segment {name} is archived {len(files)} times with different content")
            done += self._segment(into / name, files[0], size)
            progress(done)
        return done

    def _segment(self, target: Path, file: _File, size: int) -> int:
        unpacker, digest, done = Unpacker(file.kind), hashlib.sha1(usedforsecurity=False), 0
        content, length = self._read(file.path), Length(target.name, size)
        try:
            with new_file(target) as sink:
                for piece in unpacker.feed(content):
                    digest.update(piece)
                    done += len(piece)
                    length.written(done)
                    view = memoryview(piece)
                    while view:
                        view = view[sink.write(view) :]
            unpacker.close()
        except DamagedError as error:
            raise DamagedError(f"the segment {target.name} is damaged in the repository: {error}") from error
        if digest.hexdigest() != file.sha1:
            raise DamagedError(f"the segment {target.name} is not what was archived: its SHA-1 differs")
        return done

    def _read(self, path: str) -> bytes:
        try:
            return self._repository.get(f"{self._folder}/{path}", self._stanza)
        except ProgramError as error:
            raise _judged(error, path.rpartition("/")[2]) from error

    def _write(self, target: Path, content: bytes) -> int:
        with new_file(target) as sink:
            view = memoryview(content)
            while view:
                view = view[sink.write(view) :]
        return len(content)


class _Repository:
    """One repository, and how pgBackRest is asked about it."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._program = Program("pgbackrest", "pgbackrest")
        self.path = place.shown  # as it is told

    def stanza(self) -> dict[str, Any]:
        """Return what `pgbackrest info` says of the stanza. Raises SourceError, KeyMissingError."""
        wanted = self._place.server
        if not self._place.remote and not os.access(self.path, os.R_OK | os.X_OK):
            raise SourceError(f"cannot read the pgBackRest repository {self.path}: no such folder, or not allowed")
        argument = [f"--stanza={wanted}"] if wanted else []
        try:
            said = self.run(["info", "--output=json", *argument])
            # Of a catalogue that it cannot read it repeats a piece, whatever bytes those are.
            found = json.loads(said.decode("utf-8", "replace"), strict=False)
        except ProgramError as error:
            raise SourceError(f"pgbackrest info failed (code {error.status}): {_first_line(error.said)}") from error
        except ValueError as error:
            raise SourceError("pgbackrest info did not answer in JSON") from error
        names = [str(each.get("name")) for each in found if isinstance(each, dict)]
        if len(names) != 1:
            there = f"several stanzas ({', '.join(sorted(names))}); name one as `server:`" if names else "no stanza"
            raise SourceError(f"the pgBackRest repository {self.path} holds {there}")
        [stanza] = found
        code = stanza.get("status", {}).get("code")
        if code == _MISSING_STANZA:
            raise SourceError(f"the pgBackRest repository {self.path} holds no stanza {names[0]!r}")
        if code == _OTHER_ERROR:
            raise self._unopened(names[0])
        return {"name": names[0], "backup": stanza.get("backup", []), "archive": stanza.get("archive", [])}

    def _unopened(self, stanza: str) -> SourceError:
        """Return why the catalogue of a stanza cannot be read: what lies there raw tells a key from damage."""
        try:
            encrypted = self.get(f"backup/{stanza}/backup.info", stanza, raw=True).startswith(_SALTED)
        except ProgramError as error:
            return SourceError(f"pgBackRest cannot read backup.info of stanza {stanza} (code {error.status})")
        if encrypted and self._place.secret is None:
            return KeyMissingError(
                f"the pgBackRest repository {self.path} is encrypted and no passphrase is configured; add "
                "`decrypt: {password: file:PATH}` with its repo1-cipher-pass to the backup in guardian.yaml"
            )
        if encrypted:
            return KeyMissingError(
                f"the configured passphrase does not open the pgBackRest repository {self.path}; put the "
                "repo1-cipher-pass that it was made with into the file that `decrypt` names. If that is lost, its "
                "backups are lost"
            )
        hint = "; it is not encrypted, so remove `decrypt`" if self._place.secret is not None else ""
        return SourceError(f"backup.info of stanza {stanza} in {self.path} is not what pgBackRest writes{hint}")

    def listing(self, folder: str, stanza: str) -> list[str]:
        """Return the files below a folder of the repository, sorted."""
        try:
            found = json.loads(self.run(["repo-ls", folder, "--recurse", "--output=json"], stanza=stanza))
        except ProgramError as error:
            raise SourceError(f"pgBackRest cannot list {folder} (code {error.status})") from error
        return sorted(path for path, entry in found.items() if entry.get("type") == "file")

    def get(self, path: str, stanza: str, *, raw: bool = False) -> bytes:
        """Return the content of one file of the repository, decrypted unless `raw`. Raises ProgramError."""
        return self.run(["repo-get", path], stanza=stanza, raw=raw)

    def run(
        self,
        arguments: Sequence[str],
        *,
        stanza: str | None = None,
        extra: Mapping[str, str] | None = None,
        raw: bool = False,
        deadline_s: float = _LOOK_S,
        poll: Callable[[], object] = lambda: None,
    ) -> bytes:
        """Run pgBackRest on the repository. raw: as if nothing were encrypted."""
        with tempfile.TemporaryDirectory(prefix="guardian-") as scratch:
            given = environment_of(self._place)
            variables = {**given, **self._location(), **(extra or {})}
            secrets = [*given.values(), *self._place.passwords]
            if self._place.secret is not None and not raw:
                secret = self._place.secret.read()
                secrets.append(secret)
                variables |= {"PGBACKREST_REPO1_CIPHER_TYPE": "aes-256-cbc", "PGBACKREST_REPO1_CIPHER_PASS": secret}
            variables |= {
                "PGBACKREST_CONFIG": "/dev/null",
                "PGBACKREST_LOCK_PATH": f"{scratch}/lock",
                "PGBACKREST_SPOOL_PATH": f"{scratch}/spool",
                "PGBACKREST_LOG_PATH": f"{scratch}/log",
                "PGBACKREST_LOG_LEVEL_FILE": "off",
                "PGBACKREST_LOG_LEVEL_CONSOLE": "off",
                "PGBACKREST_LOG_LEVEL_STDERR": "error",
            }
            if stanza is not None:
                variables["PGBACKREST_STANZA"] = stanza
            return self._program.run(
                arguments, environment=variables, deadline_s=deadline_s, secrets=secrets, poll=poll
            )

    def _location(self) -> dict[str, str]:
        if not self._place.remote:
            # A second try helps against a network, not on a disk.
            return {"PGBACKREST_REPO1_PATH": str(Path(self.path).resolve()), "PGBACKREST_JOB_RETRY": "0"}
        scheme, _, rest = self._place.path.partition("://")
        if scheme != "s3":
            raise SourceError(
                f"{self.path} is no place of a pgBackRest repository; write a folder, or s3://BUCKET/PATH with "
                "PGBACKREST_REPO1_S3_ENDPOINT and the like as `environment:`"
            )
        bucket, _, path = rest.partition("/")
        return {
            "PGBACKREST_REPO1_TYPE": "s3",
            "PGBACKREST_REPO1_S3_BUCKET": bucket,
            "PGBACKREST_REPO1_PATH": f"/{path}",
        }


class _Growth:
    """Tells how much of a restore is there, looking the less often the longer a look takes."""

    def __init__(self, folder: Path, total: int, progress: Callable[[int], None]) -> None:
        self._folder, self._total, self._progress = folder, total, progress
        self._next, self._last = 0.0, 0

    def __call__(self) -> None:
        began = time.monotonic()
        if began >= self._next:
            try:
                self._last = min(self._total, tree_size(self._folder))
            except OSError:  # a file went while it was looked at
                return
            finally:
                self._next = began + max(1.0, 20 * (time.monotonic() - began))
        self._progress(self._last)


def _judged(error: ProgramError, what: str) -> DamagedError | SourceError:
    """Return what a failure of pgBackRest means for a backup or segment."""
    found = _FILE.search(error.said) or _DESTINATION.search(error.said)
    where = f" ({found[1]})" if found else ""
    if error.status in _DAMAGE:
        return DamagedError(f"pgBackRest cannot give back {what}: {_DAMAGE[error.status]}{where}")
    return SourceError(f"pgBackRest failed on {what} with code {error.status}{where}: {_first_line(error.said)}")


def _first_line(said: str) -> str:
    """Return the first line of what pgBackRest said, if it is plain text."""
    line = next(iter(said.splitlines()), "")
    return line[:300] if line.isascii() and line.isprintable() else "it said nothing that can be repeated"
