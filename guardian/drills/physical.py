"""A drill of a physical backup: the copy of a cluster is recovered by a server of its own version, then looked at.

Invariant: as for a dump, nothing of the backup runs before the isolation was proved, and every step that could not be
taken is an error. What the recovery reached is asked of the server and held against where it should have ended.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

import psycopg

from guardian.drills import chain, cluster_files, restore_point
from guardian.drills.checklist import StopDrill
from guardian.drills.obtaining import Allowance
from verifiers.compressed import DamagedError
from verifiers.postgres import checks
from verifiers.postgres.physical import (
    Control,
    Label,
    PhysicalError,
    Said,
    Segment,
    Target,
    TargetKind,
    classify_log,
    damaged_record,
    log_check,
    lsn_number,
    stopped_at_abort,
    timeline_followed,
)
from verifiers.postgres.session import connect
from verifiers.result import Assurance, Check, Verdict
from verifiers.sandbox import SandboxError
from verifiers.sandbox.options import ServerOptions
from verifiers.sandbox.programs import find_programs
from verifiers.sandbox.server import SandboxServer, owned_by_sandbox
from verifiers.sources import open_archive

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

    from guardian.drills.run import Run
    from verifiers.manifest import RestorePoint
    from verifiers.sandbox.isolation import Provider
    from verifiers.sources import BackupItem, Fetched, LogArchive

_SHUT_DOWN_S = 300
# They made the copy, and know what is in it. Others keep whatever they are given, also a copy that broke off.
_MAKERS = {"pgbackrest", "barman"}
_POLL_S = 0.05
_STATE = """
    SELECT pg_is_in_recovery(), pg_last_wal_replay_lsn()::text, pg_last_xact_replay_timestamp(),
        CASE WHEN pg_is_in_recovery() THEN pg_get_wal_replay_pause_state() END
"""
_DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1"


@dataclass(frozen=True, slots=True)
class Reached:
    """Where a recovery ended. lsn: the last position replayed, None where the server kept none; newest: last commit."""

    lsn: str | None
    newest: datetime | None


class PhysicalDrill:
    """The steps between a located backup and a database to look at."""

    def __init__(self, run: Run, item: BackupItem, fetched: Fetched, folder: Path, isolation: Provider) -> None:
        self._run, self._item, self._fetched, self._folder, self._isolation = run, item, fetched, folder, isolation
        self._data = folder / "box/data"
        self._target: Target = run.job.target
        self._point: RestorePoint | None = None  # that of the manifest, where the recovery is to end there
        self._archive: LogArchive | None = None
        self._checksums = False
        self._ignored: list[str] = []  # settings of the copy that would run something
        self._missing: str | None = None  # segment of the archive

    def database(self, stack: ExitStack) -> SandboxServer:
        """Verify and recover; return the running server. Raises StopDrill or VerifierError."""
        run = self._run
        self._whole()
        run.prove_isolation(self._isolation, self._folder)
        (self._folder / "box").mkdir(mode=0o700, exist_ok=True)
        with run.phase("restore"):
            links = chain.gather(run, self._item, self._fetched, self._folder / "box")
        spaces = dict(links[-1].spaces)
        server = SandboxServer(self._folder, find_programs(self._major(links[0].folder), exact=True), self._isolation)
        server.prepare()
        for link in links:
            cluster_files.lay_tablespaces(server, link.folder, link.spaces)
            for folder in (link.folder, *link.spaces.values()):
                cluster_files.give(folder, self._isolation.user)
        with run.phase("verify archive"):
            for link in links:
                self._verify(server, link)
        if len(links) > 1:
            with run.phase("restore"):
                chain.combine(run, server, links, self._data)
        try:
            control, label = cluster_files.control_of(server, self._data), cluster_files.label_of(self._data)
        except PhysicalError as error:
            run.incomplete(str(error))
        self._checksums = control.checksums
        with run.phase("fetch"):
            self._fetch_wal(label, control)
        self._ignored = cluster_files.runs_something(self._data)
        # Also where it shall end with the backup: that is where the copy becomes consistent.
        from_archive = self._archive is not None or self._target.kind is not TargetKind.END
        cluster_files.make_ready(server, self._data, spaces, from_archive=from_archive)
        server = self._server(server, control)
        run.watch(stack, server)
        self._recover(server, control)
        return server

    # -- steps

    def _whole(self) -> None:
        run = self._run
        if run.manifest is None:
            run.checklist.skip(
                "backup.digest",
                "No manifest was taken with this copy; `guardian manifest` with `quiesce` would add its digest.",
            )
        if self._item.complete is False:
            run.incomplete(self._item.reason)

    def _major(self, copy: Path) -> int:
        try:
            text = (copy / "PG_VERSION").read_text(encoding="ascii").strip()
            return int(text)
        except (OSError, ValueError) as error:
            raise StopDrill("the copy has no PG_VERSION that tells which server it is of") from error

    def _verify(self, server: SandboxServer, link: chain.Link) -> None:
        run, copy = self._run, link.folder
        parse_wal = any((copy / "pg_wal").glob("[0-9A-F]" * 24))
        if cluster_files.has_manifest(copy):
            [check] = run.checklist.run(
                ["archive.complete"],
                lambda: cluster_files.verify(server, copy, parse_wal=parse_wal, deadline_s=max(1.0, run.left_s())),
            )
        elif link.verified and run.job.format in _MAKERS:
            check = run.checklist.put(cluster_files.verified(link.verified))
        else:
            why = "It has no backup_manifest, and nothing else tells what files it should hold: whether it is whole"
            run.checklist.error("archive.complete", f"{why} is not known. Take a new one, with a manifest.")
            raise StopDrill("archive.complete could not be checked")
        if check.verdict is not Verdict.PASS:
            raise StopDrill("archive.complete did not pass")
        if not parse_wal and self._opened() is None:
            run.incomplete("it was made without the write-ahead log it needs, and no `wal:` archive is configured")

    def _opened(self) -> LogArchive | None:
        """Return the archive that is configured, or that belongs to the repository, None without one."""
        return open_archive(self._run.job.place, self._item.id)

    def _fetch_wal(self, label: Label, control: Control) -> None:
        """Copy the archive, if there is one, and see that no segment is missing between the backup and its newest."""
        run = self._run
        archive = self._opened()
        if run.checklist.wanted("content.hashes"):
            choice = restore_point.choose(run.job, run.manifest, archive, control.segment_bytes)
            self._target, self._point, run.incomparable = choice.target, choice.point, choice.why_not
        if self._target.kind is TargetKind.TIME and datetime.fromisoformat(self._target.value) < control.checkpoint_at:
            began = control.checkpoint_at.isoformat()
            why = f"The target {self._target.value} lies before this backup, which began at {began}: take an older one"
            self._off_target({"backupBegan": began}, why)
        if archive is None or (self._target.kind is TargetKind.END and self._has_wal()):
            return
        first = label.first(control.segment_bytes)
        self._missing = archive.gap(first, control.segment_bytes)
        if self._missing is not None and (self._target.kind is TargetKind.LATEST or self._point is not None):
            observed = {"missing": self._missing, "newest": archive.segments[-1]}
            self._off_target(observed, f"{self._lacks()}. Find it, or take a new backup now")
        into = self._folder / "backup/wal"
        into.mkdir(mode=0o700)
        may = Allowance(self._folder, run.settings.disk_quota, run.tell)
        before = int(run.measurements["backupBytes"])
        try:
            archive.fetch(into, first, control.segment_bytes, lambda done: may.written("fetch", before, done))
        except DamagedError as error:
            why = f"The archive {self._log} cannot be read to its end: {error}. Take a new backup now"
            self._off_target({"damaged": str(error)}, why)
        owned_by_sandbox(into, self._isolation)
        self._archive = archive

    def _lacks(self) -> str:
        return (
            f"The archive {self._log} lacks the segment {self._missing}: what was committed after it cannot be "
            "recovered"
        )

    @property
    def _log(self) -> str:
        return self._run.job.place.wal or f"in {self._run.job.path}"

    def _has_wal(self) -> bool:
        return any((self._data / "pg_wal").glob("[0-9A-F]" * 24))

    def _server(self, prepared: SandboxServer, control: Control) -> SandboxServer:
        run = self._run
        settings = {**control.settings, **self._target.settings(), "hot_standby": "on"}
        if self._archive is not None and self._target.kind is TargetKind.END:
            settings |= {"recovery_target": "immediate", "recovery_target_action": "pause"}
        settings["max_connections"] = str(max(40, int(settings["max_connections"])))
        settings["max_locks_per_transaction"] = str(max(1024, int(settings["max_locks_per_transaction"])))
        if self._archive is not None:
            # cat and not cp: the copy must be writable, and what is handed in is not
            segment = f'"{prepared.inside(self._folder / "backup/wal")}/%f"'
            settings["restore_command"] = f'test -f {segment} && cat {segment} > "%p"'
        if self._point is not None:
            settings["recovery_target_timeline"] = str(self._point.timeline)
        settings["wal_level"] = "replica"  # the source's senders, which standbys must match, need it
        options = ServerOptions(settings=settings, start_deadline_s=max(1.0, run.left_s()))
        return SandboxServer(self._folder, prepared.programs, self._isolation, options)

    def _recover(self, server: SandboxServer, control: Control) -> None:
        run = self._run
        with run.phase("start"):
            try:
                server.__enter__()
            except SandboxError as error:
                self._not_recovered(error)
        run.sandbox |= {
            "postgresVersion": server.programs.version,
            "sourceVersion": server.programs.version,
            "settings": server.settings(),
        }
        version = server.programs.version
        message = f"PostgreSQL {version} started on the copy and answers."
        run.checklist.put(Check("server.started", None, Verdict.PASS, "answers", version, message))
        with run.phase("recover to target"):
            try:
                reached = self._wait(server)
            except (psycopg.Error, SandboxError) as error:
                self._not_recovered(error)
            self._target_check(control, reached)
        with self._log_lines() as lines:
            check = replace(log_check(classify_log(lines)), duration_s=run.phases["start"])
        if self._ignored:
            said = f"{check.message} Ignored settings of the copy that run something: {', '.join(self._ignored)}."
            check = replace(check, observed={**check.observed, "ignoredSettings": self._ignored}, message=said)
        run.checklist.put(check)
        run.restored = True

    def _wait(self, server: SandboxServer) -> Reached:
        """Wait until the recovery has ended or paused at its target, and end it; return where it was."""
        while True:
            with connect(server.conninfo()) as session:
                recovering, lsn, newest, pause = session.execute(_STATE).fetchall()[0]
                if not recovering:
                    return Reached(lsn, newest)
                if pause == "paused":
                    session.execute("SELECT pg_promote(true, 600)")
                    return Reached(lsn, newest)
            self._run.tell("recover to target", None, None)
            time.sleep(_POLL_S)

    def _target_check(self, control: Control, reached: Reached) -> None:
        """Enter `recovery.target`: position, time and timeline reached against what was asked for."""
        run, target = self._run, self._target
        with self._log_lines() as lines:
            timeline = timeline_followed(lines) or control.timeline
        observed: dict[str, Any] = {"lsn": reached.lsn, "timeline": timeline}
        if reached.newest is not None:
            observed["newestCommit"] = reached.newest.astimezone(UTC).isoformat(timespec="milliseconds")
            run.recovered_to(reached.newest)
        wrong = self._beyond(control, reached, timeline)
        if wrong:
            self._off_target(observed, wrong)
        where = {TargetKind.END: "the end of the backup", TargetKind.LATEST: "the end of the archive"}
        said = f"The recovery reached {where.get(target.kind, f'{target.kind} {target.value}')}"
        message = f"{said}, at {reached.lsn}." if reached.lsn else f"{said}."
        run.checklist.put(Check("recovery.target", None, Verdict.PASS, target.to_json(), observed, message))

    def _beyond(self, control: Control, reached: Reached, timeline: int) -> str:
        """Say why the recovery is not where it should be; empty if it is."""
        target = self._target
        if self._point is not None:
            return restore_point.reached(self._point, reached.lsn, timeline)
        if target.kind is TargetKind.LATEST:
            return self._before_the_newest(control, reached, timeline)
        if target.kind is TargetKind.LSN and (
            reached.lsn is None or lsn_number(reached.lsn) < lsn_number(target.value)
        ):
            return f"The recovery ended at {reached.lsn}, before {target.value}"
        if target.kind is TargetKind.XID:
            with self._log_lines() as lines:
                if stopped_at_abort(lines):
                    return f"The transaction {target.value} was rolled back, so nothing of it could be recovered"
        newest = reached.newest if target.kind is TargetKind.TIME else None
        if newest is not None and newest > datetime.fromisoformat(target.value):
            return f"The recovery holds a commit of {newest.isoformat()}, later than {target.value}"
        return ""

    def _before_the_newest(self, control: Control, reached: Reached, timeline: int) -> str:
        segments = self._archive.segments if self._archive else []
        if not segments:
            return f"The archive {self._log} holds no segment, so nothing after the backup can be recovered"
        newest = segments[-1]
        start = Segment.parse(newest, control.segment_bytes).number * control.segment_bytes
        if reached.lsn is None or lsn_number(reached.lsn) < start:
            damaged = self._damaged()
            because = f": {damaged}" if damaged else ""
            return f"The recovery ended at {reached.lsn}, before the archive's newest segment {newest} begins{because}"
        damaged = self._damaged()
        if damaged is not None and self._archive and self._archive.is_whole(newest):
            return f"The recovery ended at {reached.lsn} within the archive, at a record that is damaged: {damaged}"
        if timeline < int(newest[:8], 16):
            return (
                f"The recovery followed timeline {timeline}, but the archive holds {int(newest[:8], 16)}, of a later "
                f"promotion: {newest[:8]}.history is missing there, or does not descend from this backup"
            )
        return ""

    def _damaged(self) -> str | None:
        with self._log_lines() as lines:
            return damaged_record(lines)

    def _log_lines(self) -> TextIO:
        return (self._folder / "logs/server.log").open(encoding="utf-8", errors="replace")

    def _off_target(self, observed: dict[str, Any], why: str) -> None:
        check = Check("recovery.target", None, Verdict.FAIL, self._target.to_json(), observed, f"{why}.")
        self._run.checklist.put(check)
        raise StopDrill("the recovery did not reach its target")

    def _not_recovered(self, error: Exception) -> None:
        """Say what kept the server from recovering: a defect of the backup or of its log, or of the sandbox."""
        checklist = self._run.checklist
        with self._log_lines() as lines:
            said = classify_log(lines)
        checklist.put(log_check(said))
        worst = next(
            (line for line in said if line.meaning is Said.BACKUP and line.severity in {"FATAL", "PANIC"}), None
        )
        if worst is not None:
            lacking = f" {self._lacks()}." if self._missing else ""
            message = f"The recovery ended without reaching its target: {worst.shown}.{lacking}"
            checklist.put(
                Check("recovery.target", None, Verdict.FAIL, self._target.to_json(), {"said": worst.shown}, message)
            )
            raise StopDrill("the server did not recover") from error
        raise error

    # -- afterwards

    def choose_database(self, server: SandboxServer) -> str:
        """Return the database to look at: the asset's, or the only one there is. Raises StopDrill."""
        wanted = self._run.asset.source.database
        with connect(server.conninfo()) as session:
            there = [name for (name,) in session.execute(_DATABASES)]
        if wanted is None:
            others = [name for name in there if name != "postgres"] or there
            if len(others) == 1:
                return str(others[0])
            raise StopDrill(
                f"the cluster holds {len(others)} databases; name the asset's under `source: {{database: NAME}}`: "
                f"{', '.join(others[:10])}"
            )
        if wanted not in there:
            message = f"The cluster holds no database {wanted!r}; it holds {', '.join(there[:10])}."
            self._run.checklist.put(
                Check("identity", None, Verdict.FAIL, {"database": wanted}, {"databases": there[:50]}, message)
            )
            raise StopDrill("the asset's database is not in the cluster")
        return wanted

    def pages(self, server: SandboxServer) -> Check:
        """`pages`: stop the server in order, and let pg_checksums read every page of the cluster."""
        if not self._checksums:
            return Check("pages", Assurance.SOUND, Verdict.SKIP, message="The cluster was made without checksums.")
        server.shut_down(_SHUT_DOWN_S)
        done = server.run(
            ["pg_checksums", "--check", "-D", server.inside(self._data)], deadline_s=max(1.0, self._run.left_s())
        )
        return checks.offline_pages(done.returncode, done.stdout, done.stderr)
