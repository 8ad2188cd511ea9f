"""One drill: fetch a backup, restore it in a sandbox, look at everything, tear down, and say what was proved.

Invariant: `run_drill` returns a result whose checks are all of `checklist.CHECKS`, whatever happens on the way, and
leaves nothing behind. Only a signal ends it otherwise. A teardown that fails is told as an error of `isolation`, and
what it left a sweep finds.
The source of the backup is never touched. What is returned holds no row, DETAIL or CONTEXT.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from guardian.drills import locked
from guardian.drills.catalogue import why_none
from guardian.drills.checklist import BEYOND_DATA, Checklist, StopDrill
from guardian.drills.copies import compared
from guardian.drills.examination import Examination, Progress
from guardian.drills.files import FilesDrill
from guardian.drills.freshness import Age, heartbeat
from guardian.drills.isolating import prove_isolation
from guardian.drills.judged_by_history import judge_by_history
from guardian.drills.logical import LogicalDrill
from guardian.drills.machine import machine
from guardian.drills.obtaining import Allowance
from guardian.drills.physical import PhysicalDrill
from guardian.drills.plan import DrillPlan
from guardian.drills.room import see_room
from guardian.drills.stopping import terminable
from guardian.model import Assurance, Drill, rfc3339
from verifiers.compressed import DamagedError
from verifiers.errors import VerifierError
from verifiers.manifest import Manifest, digest_check
from verifiers.result import DRILL_PHASES, Check, DrillResult, Phase, Scope, Verdict
from verifiers.sandbox.isolation import Provider, provider
from verifiers.sandbox.workspace import Watch, Workspace, refuse_overlap
from verifiers.sources import KeyMissingError, SourceError, open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guardian.model import Asset, BackupJob, Service
    from guardian.settings import SandboxSettings
    from verifiers.postgres.archive import Archive
    from verifiers.sandbox.server import SandboxServer
    from verifiers.sources import BackupItem, BackupSource, Fetched


DEADLINE_S = 12 * 3600.0


def run_drill(
    *,
    run_id: str,
    asset: Asset,
    service: Service,
    job: BackupJob,
    backup: BackupItem | None,
    required: Assurance,
    manifest: bytes | None,
    key: bytes,
    settings: SandboxSettings,
    progress: Progress,
    deadline_s: float = DEADLINE_S,
    slot: str | None = None,
    plan: DrillPlan | None = None,
) -> Drill:
    """Restore and verify one backup of `asset`; never raises for what it finds.

    backup: None where there is none; the result then says why. manifest: the signed manifest of this backup, if one was
    logged. key: the environment's 32-byte key, for the keyed parts of it. deadline_s: seconds for everything.
    slot: the id of the slot that asks for it, kept with what this leaves if it is killed. plan: by the asset's policy
    and history; None for a full drill without any.
    """
    started_on = datetime.now(UTC)
    run = Run(asset, service, job, backup, required, manifest, key, settings, progress, started_on, deadline_s)
    run.slot = slot
    run.follow(plan or DrillPlan())
    why = ""
    with terminable():
        try:
            run.all(run_id)
        except StopDrill as stop:
            why = str(stop)
        except (VerifierError, OSError) as error:
            why = str(error)
        except Exception as error:  # noqa: BLE001 -- a defect must still leave a record; its text may hold rows
            why = f"{type(error).__name__}, a defect of Guardian; please report it"
    if run.breach is not None:
        why = run.breach
    run.checklist.end(why, run.amiss)
    result = DrillResult(
        required=required,
        checks=run.checklist.result(why or "the drill ended early"),
        phases=[Phase(name, run.phases[name]) for name in DRILL_PHASES if name in run.phases],
        backup=run.described(),
        restored=run.restored,
        sandbox=run.sandbox,
        measurements=run.measurements,
        scope=run.scope,
    )
    return Drill(run_id, asset, service, started_on, datetime.now(UTC), result)


@dataclass(slots=True)
class Run:
    """The state of one drill while it goes on."""

    asset: Asset
    service: Service
    job: BackupJob
    backup: BackupItem | None
    required: Assurance
    manifest_bytes: bytes | None
    key: bytes
    settings: SandboxSettings
    progress: Progress
    started_on: datetime
    deadline_s: float
    checklist: Checklist = field(init=False)
    phases: dict[str, float] = field(default_factory=dict)
    sandbox: dict[str, Any] = field(default_factory=dict)
    measurements: dict[str, float | int] = field(default_factory=dict)
    restored: bool = False
    sha256: str | None = None
    breach: str | None = None
    amiss: list[str] = field(default_factory=list)
    manifest: Manifest | None = None
    incomparable: str = ""  # why the content that was restored is not that of the manifest's moment
    slot: str | None = None
    plan: DrillPlan = field(default_factory=DrillPlan)
    scope: Scope = Scope.FULL
    age: Age = field(init=False)
    _end: float = 0.0
    _phase: str = ""  # under way
    _before: int = 0  # bytes in the sandbox when it began

    def __post_init__(self) -> None:
        self.checklist = Checklist(self.required)
        self.age = Age(self.started_on, self.backup.taken_at if self.backup else None)
        self._end = time.monotonic() + self.deadline_s

    def follow(self, plan: DrillPlan) -> None:
        """Take the plan, before anything else."""
        self.plan, self.scope = plan, plan.scope
        if plan.scope is Scope.DATA_ONLY:
            self.checklist.cannot = dict.fromkeys(BEYOND_DATA, f"data-only drill; {plan.last_full}")

    def restore_whole(self) -> None:
        """Restore everything, whatever the plan: the backup is of a kind that has no parts."""
        self.scope, self.checklist.cannot = Scope.FULL, {}

    def all(self, run_id: str) -> None:
        """Go through the whole drill. Raises StopDrill or VerifierError where it cannot go on."""
        self._keep_apart()
        with self.phase("locate"):
            item = self._locate()
        isolation = provider(self.settings.provider)
        self.sandbox |= machine(isolation.name, self.settings.folder)
        info = {"asset": self.asset.name, "startedOn": rfc3339(self.started_on), "backup": item.id}
        info |= {"slot": self.slot} if self.slot else {}
        workspace = Workspace.create(self.settings.folder, run_id, info, isolation)
        with contextlib.ExitStack() as stack:
            stack.callback(self._tear_down, workspace, run_id)
            if self.asset.type == "filestore":
                self._files(item, workspace.folder)
                return
            fetched = self._fetch(item, workspace.folder)
            if fetched.form.layout.physical:
                self._physical(item, fetched, workspace.folder, isolation, stack)
            else:
                self._logical(item, fetched, workspace.folder, isolation, stack)
            judge_by_history(self, item)

    def _files(self, item: BackupItem, folder: Path) -> None:
        """Read a folder of files."""
        self.restore_whole()
        FilesDrill(self, item).all(lambda: self._fetch(item, folder))
        judge_by_history(self, item)

    def _logical(
        self, item: BackupItem, fetched: Fetched, folder: Path, isolation: Provider, stack: contextlib.ExitStack
    ) -> None:
        """Restore a dump into a fresh server."""
        self.checklist.skip("recovery.target", "a logical backup holds one moment and has no recovery target")
        logical = LogicalDrill(self, item, fetched, folder, isolation)
        conninfo = logical.database(stack)
        self._examine(conninfo, logical.filestore, logical.archive, fetched.database)

    def _physical(
        self, item: BackupItem, fetched: Fetched, folder: Path, isolation: Provider, stack: contextlib.ExitStack
    ) -> None:
        """Recover a copy of a whole cluster."""
        self.restore_whole()
        physical = PhysicalDrill(self, item, fetched, folder, isolation)
        server = physical.database(stack)
        self._examine(server.conninfo(physical.choose_database(server)), None, None)
        with self.phase("compare"):
            self.checklist.run(["pages"], lambda: physical.pages(server))

    def watch(self, stack: contextlib.ExitStack, server: SandboxServer) -> None:
        """Hold quota and deadline over the server until the stack ends, which stops it."""
        watch = Watch(
            server.folder,
            quota_bytes=self.settings.disk_quota,
            deadline_s=self.left_s(),
            stop=server.kill,
            seen=self._grew,
        )
        stack.callback(self._end_watch, watch)
        stack.callback(self._undo, "the server could not be stopped", server.stop)
        watch.start()

    # -- phases

    def _keep_apart(self) -> None:
        """Nothing that must outlive a drill may lie where drills make and remove folders."""
        others = {}
        if not self.job.place.remote:
            others[f"the folder of backup {self.job.name} of {self.asset.name}"] = Path(self.job.path)
        if self.asset.source.filestore is not None:
            others[f"the filestore of {self.asset.name}"] = Path(self.asset.source.filestore)
        refuse_overlap(self.settings.folder, others)

    def _locate(self) -> BackupItem:
        if self.backup is None:
            raise StopDrill(why_none(self.asset, self.job))
        if self.manifest_bytes is not None:
            self.manifest = Manifest.from_json(self.manifest_bytes)
            described = (self.manifest.asset, self.manifest.backup_id)
            if described != (self.asset.name, self.backup.id):
                raise StopDrill(f"the manifest handed over is that of backup {described[1]} of {described[0]}")
        locked.enter(self.checklist, self.asset, self.job, self.backup)
        if not self.asset.assertions:
            self.checklist.skip("assertions", "no assertions are configured for this asset")
        if self.manifest is not None:
            self.age = replace(self.age, by_manifest=datetime.fromisoformat(self.manifest.taken_at))
        self._tell_age()
        return self.backup

    def _fetch(self, item: BackupItem, folder: Path) -> Fetched:
        """Copy the backup out of its place, as it is."""
        self.room(folder, item.size_bytes)
        into = folder / "backup"
        into.mkdir(mode=0o700)
        may = Allowance(folder, self.settings.disk_quota, self.tell)
        with self.phase("fetch"):
            try:
                fetched = self.source.fetch(item, into, lambda done: may.written("fetch", 0, done, item.size_bytes))
            except KeyMissingError as error:
                self.checklist.error("archive.complete", f"The backup could not be opened: {error}.")
                raise
            except DamagedError as error:
                self.incomplete(str(error))
            except SourceError as error:
                if item.complete is not False:
                    raise
                # The look at the folder had already shown that something is missing: a defect of the backup.
                self.incomplete(item.reason or str(error))
        if fetched.taken_at is not None and (self.age.taken_at is None or fetched.taken_at < self.age.taken_at):
            self.age = replace(self.age, taken_at=fetched.taken_at)  # a repository may keep an old one anew each day
            self._tell_age()
        self.sha256 = fetched.sha256
        self.measurements["backupBytes"] = fetched.bytes
        by_manifest = digest_check(self.manifest, fetched.sha256)
        self.checklist.run(["backup.digest"], lambda: compared(by_manifest, self.asset, self.job, item, fetched))
        return fetched

    @property
    def source(self) -> BackupSource:
        """What reads the backups of the job."""
        return open_source(self.asset.type, self.job.place)

    def incomplete(self, reason: str) -> NoReturn:
        """Enter that the backup is not whole, and end the drill."""
        message = f"The backup is not complete: {reason}. Take a new one, and look into why this one broke off."
        self.checklist.put(Check("archive.complete", None, Verdict.FAIL, "a complete backup", reason, message))
        raise StopDrill("archive.complete did not pass")

    def prove_isolation(self, isolation: Provider, folder: Path) -> None:
        """Nothing of a backup runs before this: without isolation only for an asset that accepts it by name."""
        prove_isolation(self.checklist, self.asset.name, self.settings.accept_none, isolation, folder)

    def _examine(
        self, conninfo: str, filestore: Path | None, archive: Archive | None, named: str | None = None
    ) -> None:
        examination = Examination(
            self.checklist,
            self.asset,
            self.manifest,
            self.key,
            self.measurements,
            self.tell,
            self.left_s,
            self.plan.heapallindexed,
            self.plan.heapallindexed_said,
            self.scope,
        )
        with self.phase("compare"):
            examination.content(conninfo, self.incomparable)
            examination.database(conninfo, archive, named)
            examination.files(conninfo, filestore)
            examination.count(conninfo)
            if self.asset.source.heartbeat is not None:
                beat = heartbeat(conninfo, self.asset.source.heartbeat, max(1.0, self.left_s()))
                self.age = replace(self.age, heartbeat=beat)
                self._tell_age()
        with self.phase("application checks"):
            examination.application(conninfo)

    def _tear_down(self, workspace: Workspace, run_id: str) -> None:
        with self.phase("teardown"):
            if self.settings.keep_logs:
                self._undo("its logs could not be kept", lambda: self._keep_logs(workspace.folder / "logs", run_id))
            self._undo("its folder could not be removed", workspace.close)

    def _keep_logs(self, logs: Path, run_id: str) -> None:
        if logs.is_dir():
            kept = self.settings.folder / "kept_logs"  # no run id, so no sweep takes it for a run's folder
            kept.mkdir(mode=0o700, exist_ok=True)
            shutil.move(logs, kept / run_id)

    def _undo(self, failing: str, step: Callable[[], None]) -> None:
        """Take one step of the teardown; if it fails, the next ones follow all the same, and the result tells."""
        try:
            step()
        except (VerifierError, OSError) as error:
            self.amiss.append(f"{failing}: {error}")

    def recovered_to(self, newest: datetime) -> None:
        """Take in the newest commit that a recovery reached."""
        self.age = replace(self.age, newest=newest)
        self._tell_age()

    def _tell_age(self) -> None:
        """Enter `freshness` and the RPO by what is known so far. Whether that is acceptable is judged by policy."""
        age, plan = self.age, self.plan
        check = partial(age.check, self.job, self.asset.name, newest=plan.newest, unread=plan.unread)
        self.checklist.run(["freshness"], check)
        if age.seconds is not None:
            self.measurements["rpoSeconds"] = age.seconds

    # -- small things

    def _end_watch(self, watch: Watch) -> None:
        watch.close()
        self.breach = watch.breach

    def left_s(self) -> float:
        """Return the seconds left of the deadline."""
        return self._end - time.monotonic()

    def room(self, folder: Path, needed: int) -> None:
        """Raise StopDrill unless `needed` bytes find room beside what is spared."""
        see_room(self.settings, folder, needed)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time one phase, also in parts."""
        self.progress(name, None, None)
        began = time.monotonic()
        self._phase = name
        try:
            yield
        finally:
            self._phase = ""
            self.phases[name] = self.phases.get(name, 0.0) + time.monotonic() - began

    def _grew(self, used: int) -> None:
        """Tell how much a restore has written: its programs do not say."""
        if self._phase == "restore":
            self.progress("restore", used - self._before, None)
        else:
            self._before = used

    def tell(self, phase: str, done: int | None, total: int | None) -> None:
        """Tell how far a phase is. Raises StopDrill past the deadline."""
        if self.left_s() <= 0:
            raise StopDrill(f"the deadline of {self.deadline_s:.0f} s passed")
        self.progress(phase, done, total)

    def described(self) -> dict[str, Any]:
        """Return what the record says of the backup."""
        if self.backup is None:
            return {"id": None, "format": self.job.format, "takenAt": None, "sizeBytes": None, "sha256": None}
        taken_at = self.backup.taken_at
        return {
            "id": self.backup.id,
            "format": self.job.format,
            "job": self.job.name,
            "takenAt": rfc3339(taken_at) if taken_at else None,
            "sizeBytes": self.backup.size_bytes,
            "sha256": self.sha256,
        }
