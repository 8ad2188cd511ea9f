"""A drill of a dump: unwrapped, read to its end, and restored into a fresh server.

Invariant: as for the copy of a cluster, nothing of the backup runs before the isolation was proved, and a dump that is
not whole is never restored.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from guardian.drills.checklist import StopDrill
from guardian.drills.obtaining import Allowance, Obtained, obtain, unwrap_encryption
from guardian.drills.restoring import Restored, facts, lacking, minimum_major, restore
from verifiers.layout import Layout
from verifiers.result import Check, Verdict
from verifiers.sandbox.programs import find_programs
from verifiers.sandbox.server import SandboxServer

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

    from guardian.drills.run import Run
    from verifiers.postgres.archive import Archive
    from verifiers.sandbox.isolation import Provider
    from verifiers.sources import BackupItem, Fetched

_GROWTH = 2  # restored tables with their indexes, against the data unpacked


class LogicalDrill:
    """The steps between a fetched dump and a database to look at.

    filestore, archive: of what was obtained, once `database` was called.
    """

    def __init__(self, run: Run, item: BackupItem, fetched: Fetched, folder: Path, isolation: Provider) -> None:
        self._run, self._item, self._fetched, self._folder, self._isolation = run, item, fetched, folder, isolation
        self.filestore: Path | None = None
        self.archive: Archive | None = None

    def database(self, stack: ExitStack) -> str:
        """Verify and restore; return the connection string of the database. Raises StopDrill or VerifierError."""
        run = self._run
        obtained = self._obtain()
        self.filestore, self.archive = obtained.filestore, obtained.dump.archive
        run.prove_isolation(self._isolation, self._folder)
        with run.phase("start"):
            server = SandboxServer(self._folder, find_programs(minimum_major(self.archive)), self._isolation)
            run.watch(stack, server)
            server.__enter__()
        self._started(server, obtained)
        restored = self._restore(server, obtained)
        return server.conninfo(restored.database)

    def _obtain(self) -> Obtained:
        run, item, fetched = self._run, self._item, self._fetched
        may = Allowance(self._folder, run.settings.disk_quota, run.tell)
        if fetched.form.encrypted or (fetched.globals is not None and fetched.globals[1].encrypted):
            with run.phase("decrypt"):
                fetched = unwrap_encryption(fetched, run.job, run.checklist, may)
        with run.phase("verify archive"):
            obtained = obtain(fetched, run.checklist, may)
        if obtained.dump.archive.layout is Layout.PLAIN:
            run.restore_whole()  # psql knows no sections
        run.room(self._folder, _GROWTH * (obtained.dump.data_bytes or 4 * item.size_bytes))
        return obtained

    def _started(self, server: SandboxServer, obtained: Obtained) -> None:
        run, dump = self._run, obtained.dump
        missing = lacking(server, dump)
        if missing:
            raise StopDrill(f"sandbox server lacks {', '.join(missing)}; install a PostgreSQL that has it")
        run.sandbox |= facts(server, dump.archive)
        version = server.programs.version
        message = f"PostgreSQL {version} started in the sandbox and answers."
        run.checklist.put(Check("server.started", None, Verdict.PASS, "answers", version, message))

    def _restore(self, server: SandboxServer, obtained: Obtained) -> Restored:
        run = self._run
        with run.phase("restore"):
            known = run.manifest.postgres if run.manifest else None
            restored = restore(
                server,
                obtained.dump,
                obtained.cluster,
                roles_of_manifest=known.roles if known else None,
                deadline_s=max(1.0, run.left_s()),
                scope=run.scope,
            )
        if restored.lacking_locale is not None:
            run.checklist.judge = restored.lacking_locale.judge
        run.checklist.put(replace(restored.check, duration_s=run.phases["restore"]))
        if not restored.whole:
            raise StopDrill("the restore did not come to its end")
        run.restored = True
        return restored
