"""A drill of a plain folder of files: no server, nothing is run, every file is read.

Invariant: a backup that lies there as files is verified where it is and never called restored: nothing was copied, so
no time of a restore is known. What was verified is kept for the next drill only if nothing failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardian.drills.checklist import StopDrill
from guardian.drills.copies import compared
from verifiers.filestore import FilestoreError
from verifiers.filestore.plain import Terms, examine_plain
from verifiers.filestore.turns import Turns
from verifiers.manifest import digest_check
from verifiers.result import Check, Verdict
from verifiers.sources.base import Fetched
from verifiers.sources.directory import FileFolders

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from guardian.drills.run import Run
    from verifiers.sources import BackupItem

_NO_DATABASE: Final = (
    "restore.messages",
    "server.started",
    "recovery.target",
    "catalog.readable",
    "pages",
    "amcheck",
    "constraints",
    "indexes",
    "extensions",
    "filestore.bijection",
    "assertions",
    "catalog.diff",
    "content.rows",
    "content.hashes",
    "sequences",
    "large-objects",
    "materialized-views",
    "neutralised",
)
_READ: Final = ("archive.complete", "filestore.content", "filestore.manifest")
_VERIFIED: Final = "files_verified"  # no run id, so no sweep takes it for a run's folder


class FilesDrill:
    """The steps of one."""

    def __init__(self, run: Run, item: BackupItem) -> None:
        self._run, self._item = run, item

    def all(self, fetch: Callable[[], Fetched]) -> None:
        """Verify the backup in place where its format allows it, else what `fetch` gives."""
        run, source = self._run, self._run.source
        for check_id in _NO_DATABASE:
            run.checklist.skip(check_id, "not a database: a folder of files")
        run.checklist.skip("isolation", "nothing of the backup is run: its files are read, and no program opens them")
        run.checklist.skip("identity", "a folder of files bears no name; filestore.manifest tells if it is the one")
        if isinstance(source, FileFolders):
            root, terms = source.in_place(self._item), Terms(in_place=True, modes=True)
            if self._item.complete is False:
                run.incomplete(self._item.reason)
        else:
            fetched = fetch()
            if fetched.filestore is None:
                raise StopDrill("the backup holds no files")
            root, terms = fetched.filestore, Terms(in_place=False, modes=False, verified=fetched.verified)
            run.restored = True
        with run.phase("compare"):
            self._read(root, terms)

    def _read(self, root: Path, terms: Terms) -> None:
        run, checklist = self._run, self._run.checklist
        expected = run.manifest.filestore if run.manifest else None
        period = run.asset.drill.reverify_s if terms.in_place else None
        turns = Turns(self._kept(), reverify_s=period, now=run.started_on)
        whole = False
        try:
            examined = examine_plain(
                root, terms, turns, expected, lambda done: run.tell("compare", done, self._item.size_bytes)
            )
            whole = examined.sha256 is not None and all(check.verdict is not Verdict.FAIL for check in examined.checks)
        except FilestoreError as error:
            checklist.error("archive.complete", f"The files could not be read: {error}.")
            raise StopDrill("archive.complete could not be checked") from error
        finally:
            turns.close(keep=whole)
        for check in examined.checks:
            checklist.put(check)
        if expected is None:
            checklist.error(
                "filestore.manifest",
                "there is no manifest of this backup to compare with; take backups inside "
                f"`guardian manifest {run.asset.name} --backup -- …`, or write down a lower `assurance`",
            )
        run.measurements |= examined.measured.to_json()
        if terms.in_place:
            self._in_place(root, examined.sha256)
            run.measurements |= {"verifiedInPlace": 1, "filesUnchanged": turns.unchanged}
        if not turns.first:
            run.measurements |= {"filesChanged": turns.changed, "filesNew": turns.new, "filesGone": turns.gone}

    def _in_place(self, root: Path, sha256: str | None) -> None:
        """Enter the digest of what was not fetched."""
        run = self._run
        run.sha256 = sha256
        run.measurements["backupBytes"] = self._item.size_bytes
        if sha256 is not None:
            there = Fetched(None, root, self._item.size_bytes, sha256, self._item.form)
            by_manifest = digest_check(run.manifest, sha256)
            run.checklist.run(["backup.digest"], lambda: compared(by_manifest, run.asset, run.job, self._item, there))
        else:
            message = "Not every file could be read, so the folder's digest is not known."
            run.checklist.put(Check("backup.digest", None, Verdict.ERROR, message=message))

    def _kept(self) -> Path:
        run = self._run
        return run.settings.folder / _VERIFIED / run.asset.name / f"{run.job.name}.files"
