"""From a fetched backup to a dump that can be restored: decrypted, decompressed, and read to its end.

Invariant: nothing of the backup runs here, and no key leaves this process. What a key that is missing or does not fit
keeps from being checked is an error, what is damaged a failure of `archive.complete`.
"""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from guardian.drills.checklist import StopDrill
from guardian.errors import ConfigError
from verifiers.compressed import DamagedError
from verifiers.postgres.archive_toc import ArchiveError
from verifiers.postgres.cluster import Globals, read_globals
from verifiers.postgres.dumps import Dump, examine_dump, not_whole
from verifiers.postgres.plain_needs import UndecidedError
from verifiers.result import Check, Verdict
from verifiers.sandbox.options import SUPERUSER
from verifiers.sources.base import KeyMissingError
from verifiers.sources.unwrapping import decompress, decrypt, identities

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from guardian.drills.checklist import Checklist
    from guardian.model import BackupJob
    from verifiers.sources import Fetched
    from verifiers.sources.names import Named

_LOOK_BYTES = 16 << 20  # written between two looks at the disk
_FLOOR_BYTES = 256 << 20  # left free, as everybody else on the machine needs some
_CHECK = "archive.complete"


@dataclass(frozen=True, slots=True)
class Obtained:
    """A dump that is whole, and the globals that came with it. filestore: of an Odoo pair."""

    dump: Dump
    cluster: Globals | None
    filestore: Path | None


@dataclass(slots=True)
class Allowance:
    """What may be written while unwrapping. tell: takes (phase, bytes done, total) as the drill's progress does."""

    folder: Path
    quota_bytes: int
    tell: Callable[[str, int | None, int | None], None]
    _next: int = 0

    def written(self, phase: str, before: int, done: int, total: int | None = None) -> None:
        """Raise StopDrill where the next bytes are too many.

        before: bytes that lie in the folder already. total: those expected; unpacked, there may be more.
        """
        self.tell(phase, done, total if total is not None and done <= total else None)
        if before + done > self.quota_bytes:
            raise StopDrill(
                f"unwrapped, the backup takes more than the {self.quota_bytes / 2**30:.2f} GiB of sandbox.diskQuota"
            )
        if done >= self._next or done < _LOOK_BYTES:
            self._next = done + _LOOK_BYTES
            if shutil.disk_usage(self.folder).free < _FLOOR_BYTES:
                raise StopDrill(f"the disk of {self.folder} is full; make room, or set sandbox.folder to another disk")


def unwrap_encryption(fetched: Fetched, job: BackupJob, checklist: Checklist, may: Allowance) -> Fetched:
    """Decrypt what is encrypted of a fetched backup. Raises StopDrill, having entered why."""

    def plain(path: Path) -> Path:
        return decrypt(path, identities(_age(job)), partial(may.written, "decrypt", fetched.bytes))

    with _told(checklist):
        if fetched.dump is not None and fetched.form.encrypted:
            fetched = replace(fetched, dump=plain(fetched.dump))
        if fetched.globals is not None and fetched.globals[1].encrypted:
            path, named = fetched.globals
            fetched = replace(fetched, globals=(plain(path), named))
    return fetched


def obtain(fetched: Fetched, checklist: Checklist, may: Allowance) -> Obtained:
    """Decompress what is compressed as a whole, and read everything. Raises StopDrill, having entered why."""
    phase = "verify archive"

    def unpacked(path: Path, named: Named) -> Path:
        if named.compression == "none":
            return path
        return decompress(path, lambda done: may.written(phase, fetched.bytes, done))

    if fetched.dump is None:
        raise StopDrill("the backup holds no dump")
    with _told(checklist):
        path = unpacked(fetched.dump, fetched.form)
        globals_path = unpacked(*fetched.globals) if fetched.globals is not None else None
    found: list[Dump] = []
    cluster: list[Globals] = []

    def examine() -> Check:
        check, dump = examine_dump(path, fetched.form.layout, lambda done: may.tell(phase, done, None))
        if dump is None:
            return check
        found.append(dump)
        if globals_path is not None:
            try:
                cluster.append(read_globals(globals_path, superuser=SUPERUSER))
            except ArchiveError as error:
                return replace(check, verdict=Verdict.FAIL, message=f"Of the globals: {not_whole(str(error))}")
            except UndecidedError as error:
                return replace(check, verdict=Verdict.ERROR, message=f"The globals could not be judged: {error}.")
        if fetched.verified and check.verdict is Verdict.PASS:
            check = replace(check, message=f"{check.message} As it was fetched, {fetched.verified}.")
        return check

    [complete] = checklist.run([_CHECK], examine)
    if complete.verdict is not Verdict.PASS:
        raise StopDrill(f"{_CHECK} did not pass")
    if globals_path is not None:
        globals_path.unlink()  # it may hold passwords
    return Obtained(found[0], cluster[0] if cluster else None, fetched.filestore)


def _age(job: BackupJob) -> str:
    if job.age is None:
        raise KeyMissingError(
            f"the backup is encrypted with age and no key is configured for it; add `decrypt: {{age: file:PATH}}` to"
            f" backup {job.name} in guardian.yaml"
        )
    try:
        return job.age.read()
    except ConfigError as error:
        raise KeyMissingError(str(error)) from error


@contextlib.contextmanager
def _told(checklist: Checklist) -> Iterator[None]:
    """Enter what keeps a wrapped backup from being read, and end the drill."""
    try:
        yield
    except KeyMissingError as error:
        checklist.error(_CHECK, f"The backup could not be decrypted: {error}.")
        raise StopDrill(f"{_CHECK} could not be checked") from error
    except DamagedError as error:
        checklist.put(Check(_CHECK, None, Verdict.FAIL, "a whole file", None, not_whole(str(error))))
        raise StopDrill(f"{_CHECK} did not pass") from error
