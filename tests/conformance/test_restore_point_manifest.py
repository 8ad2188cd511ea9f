"""Manifests of a cluster's copies: true at a restore point, made while users write, and never at their cost."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import psycopg
import pytest

from guardian import config
from guardian.drills import cluster_files
from guardian.drills.catalogue import choose
from guardian.drills.run import run_drill
from guardian.model import Assurance, Recovery, Service, Target, TargetKind
from guardian.settings import SandboxSettings
from guardian.usecases.init import init
from guardian.usecases.ledger import Ledger
from guardian.usecases.manifest import BackupCommandError, manifest
from tests.drill_support import KEY, RUN_1, by_id, verdicts
from tests.physical_support import STAMP, Plant
from verifiers.manifest import Manifest, RestorePoint
from verifiers.postgres.manifest import capture, compare
from verifiers.postgres.patience import Patience
from verifiers.postgres.quiesce import QuiesceError, check_can_quiesce, quiesced
from verifiers.result import Verdict
from verifiers.sandbox.options import ServerOptions
from verifiers.sandbox.programs import find_programs
from verifiers.sandbox.server import SandboxServer
from verifiers.sources import open_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from guardian.model import Drill
    from guardian.settings import Settings
    from verifiers.sandbox.isolation import Provider

pytestmark = pytest.mark.timeout(300)

_PATIENT = Patience(0.5, 40)
_EXACT = {"catalog.diff", "content.rows", "content.hashes", "sequences", "large-objects", "materialized-views"}
_CONFIGURATION = """\
environment: production
services:
- {{name: plant, owner: ops, escalation: oncall, tier: critical, tenancy: dedicated, dataClass: confidential,
   rto: 4h, rpo: 15m, recovery: {{detect: 5m, decide: 10m, redirect: 5m}}, dependsOn: [], match: [{{collector: db}}],
   assets: [{{name: erp, type: postgres, source: {{postgres: db, database: erp}},
             backups: [{{name: base, format: pg_basebackup, path: {backups}, wal: {wal}, every: 24h,
                        quiesce: {{lockTimeout: {timeout}, attempts: {attempts}}}}}]}}]}}
collectors: [{{name: db, type: postgres, dsn: "env:ERP_DSN"}}]
storage: {{database: .guardian/guardian.db, objects: .guardian/objects}}
keys: {{record: "file:keys/record.pem", log: "file:keys/log.pem", redaction: "file:keys/redaction.key"}}
"""


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory, sandbox_provider: Provider) -> Iterator[Plant]:
    """A cluster of orders, with lines of orders and large objects, and prepared transactions allowed."""
    made = Plant(tmp_path_factory.mktemp("p"), find_programs(18, exact=True, prefer_embedded=True), sandbox_provider)
    made.start(max_prepared_transactions="5")
    made.sql("CREATE TABLE lines (id bigserial PRIMARY KEY, order_id int, amount numeric(12,2), at timestamptz)")
    made.sql("SELECT lo_from_bytea(n, ('object ' || n)::bytea) FROM generate_series(70001, 70020) n")
    try:
        yield made
    finally:
        made.stop()


class Writers:
    """Users who write all the time, each for himself. worst_s: the longest that one of their transactions took."""

    def __init__(self, conninfo: str, count: int) -> None:
        self.worst_s, self.done = 0.0, 0
        self.failed: list[str] = []
        self._conninfo, self._stop = conninfo, threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _write(self, number: int) -> None:
        statements = (
            b"INSERT INTO lines (order_id, amount, at) SELECT 1 + (random() * 19000)::int, random() * 100, now()",
            b"UPDATE orders SET note = note || '.' WHERE id = 1 + (random() * 19000)::int",
            b"DELETE FROM lines WHERE id IN (SELECT id FROM lines ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)",
            f"SELECT lo_put({70001 + number}, (random() * 100)::int, 'x')".encode(),
        )
        try:
            with psycopg.connect(self._conninfo, autocommit=True) as connection:
                while not self._stop.is_set():
                    began = time.monotonic()
                    with connection.transaction():
                        for statement in statements:
                            connection.execute(statement)
                    self.worst_s = max(self.worst_s, time.monotonic() - began)
                    self.done += 1
                    self._stop.wait(0.005)
        except psycopg.Error as error:
            self.failed.append(str(error))


@contextmanager
def holding(conninfo: str, statement: str) -> Iterator[int]:
    """Hold what `statement` locks in an open transaction; yield the process id of its session."""
    with psycopg.connect(conninfo) as connection:
        connection.execute(statement.encode())
        yield connection.info.backend_pid
        connection.rollback()


def until(conninfo: str, patience: Patience) -> None:
    """Make a restore point and let it go."""
    with quiesced(conninfo, "guardian-t", patience):
        pass


def configured(plant: Plant, folder: Path, timeout: str = "500ms", attempts: int = 40) -> Settings:
    path = folder / "guardian.yaml"
    text = _CONFIGURATION.format(backups=plant.backups, wal=plant.wal, timeout=timeout, attempts=attempts)
    path.write_text(text, encoding="utf-8")
    init(path, environment=None)
    return config.load(path)


def base_backup(plant: Plant, name: str) -> list[str]:
    """The command that an operator would wrap."""
    program = str(plant.programs.program("pg_basebackup"))
    code = (
        "import os, subprocess, sys; "
        f"sys.exit(subprocess.call([{program!r}, '-d', 'dbname=postgres', '-c', 'fast', '--no-sync', "
        f"'-D', os.path.join(os.environ['GUARDIAN_BACKUP_DIR'], {name!r})]))"
    )
    return [sys.executable, "-c", code]


def drilled(plant: Plant, document: bytes | None, target: Target | None = None) -> Drill:
    """Drill the newest copy with a manifest. target: as `recover` of guardian.yaml."""
    asset = plant.asset(target, wal=True)
    if target is not None:
        asset = replace(asset, backups=(replace(asset.backups[0], target_written=True),))
    job, item, _ = choose(asset)
    return run_drill(
        run_id=RUN_1,
        asset=asset,
        service=Service("plant", rto_s=3600, rpo_s=900, recovery=Recovery(60, 120, 30), assets=(asset,)),
        job=job,
        backup=item,
        required=Assurance.EXACT,
        manifest=document,
        key=KEY,
        settings=SandboxSettings(plant.provider.name, ("erp",), 5 << 30, plant.sandbox),
        progress=lambda _phase, _done, _total: None,
        deadline_s=300,
    )


def taken(plant: Plant) -> tuple[bytes, Any]:
    """Take a copy and its manifest, as `guardian manifest` does; return the document and what was measured."""
    plant.forget_backups()
    plant.back_up()
    conninfo = plant.server.conninfo("erp")
    with quiesced(conninfo, "guardian-test", _PATIENT) as quiet:
        postgres = capture(conninfo, snapshot=quiet.snapshot, key=KEY)
    asset = plant.asset(wal=True)
    source = open_source("postgres", asset.backups[0].place)
    [item] = source.locate()
    backup = (item.id, *source.digest(item))
    return Manifest.of("erp", backup, datetime.now(UTC), postgres, None, quiet.point).to_json(), quiet


def arrived(plant: Plant) -> None:
    """Wait until everything up to now is in the archive."""
    plant.switch()


def test_copy_taken_while_users_write_is_proved_exact_at_its_restore_point(plant: Plant) -> None:
    with Writers(plant.server.conninfo("erp"), 4) as writers:
        document, quiet = taken(plant)
        before = writers.done
        time.sleep(1)
        assert writers.done > before  # the copy goes on to be older than the database
    assert not writers.failed
    assert quiet.large_objects
    assert 0 < quiet.held_s <= quiet.waited_s
    arrived(plant)
    drill = drilled(plant, document)
    checks = by_id(drill)
    assert not verdicts(drill, Verdict.FAIL) | verdicts(drill, Verdict.ERROR), [
        (check.id, check.message) for check in drill.result.checks if check.verdict in {Verdict.FAIL, Verdict.ERROR}
    ]
    assert drill.result.assurance is Assurance.EXACT
    assert {checks[check_id].verdict for check_id in _EXACT} == {Verdict.PASS}
    assert checks["recovery.target"].expected == {"to": "name", "name": quiet.point.name}
    assert checks["backup.digest"].verdict is Verdict.PASS


def test_recovery_to_the_end_of_the_archive_is_not_compared(plant: Plant) -> None:
    document, quiet = taken(plant)
    plant.sql("INSERT INTO lines (order_id) VALUES (1)")
    arrived(plant)
    drill = drilled(plant, document, Target(TargetKind.LATEST))
    checks = by_id(drill)
    assert {checks[check_id].verdict for check_id in _EXACT} == {Verdict.ERROR}
    said = f"`recover` of backup base ends at latest, and the manifest is true at the restore point {quiet.point.name}"
    assert said in checks["content.hashes"].message
    assert checks["recovery.target"].verdict is Verdict.PASS


def test_archive_that_lacks_the_restore_point_is_told(plant: Plant) -> None:
    document, _ = taken(plant)
    read = Manifest.from_json(document)
    later = replace(read, recovery=RestorePoint("guardian-later", "FF/0", 1)).to_json()
    arrived(plant)
    drill = drilled(plant, later)
    message = by_id(drill)["content.hashes"].message
    assert "does not hold the segment 00000001000000FE000000FF" in message
    assert by_id(drill)["recovery.target"].verdict is Verdict.PASS


def test_point_at_another_position_is_no_pass(plant: Plant) -> None:
    document, quiet = taken(plant)
    read = Manifest.from_json(document)
    elsewhere = quiet.point.lsn[:-1] + ("1" if quiet.point.lsn[-1] != "1" else "2")
    moved = replace(read, recovery=replace(quiet.point, lsn=elsewhere))
    arrived(plant)
    check = by_id(drilled(plant, moved.to_json()))["recovery.target"]
    assert check.verdict is Verdict.FAIL
    assert f"lies at {elsewhere}" in check.message


def test_command_logs_a_manifest_with_its_restore_point_and_what_it_cost(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant.forget_backups()
    monkeypatch.setenv("ERP_DSN", plant.server.url("postgres"))
    settings = configured(plant, tmp_path)
    with Writers(plant.server.conninfo("erp"), 2):
        captured = manifest(settings, "erp", base_backup(plant, STAMP), job_name=None, progress=lambda _said: None)
    assert captured.backup_id is not None
    with Ledger(settings, writable=False) as ledger:
        found = ledger.manifest_for("erp", captured.backup_id)
    assert found is not None
    document = Manifest.from_json(found[1])
    assert document.recovery is not None
    assert document.recovery.name.startswith("guardian-")
    assert captured.measurements["quiesceAttempts"] >= 1
    assert captured.measurements["quiesceHeldSeconds"] <= captured.measurements["quiesceWaitSecondsAtMost"] < 5


def test_long_transaction_makes_it_give_up_and_nobody_waits_for_us(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant.forget_backups()
    monkeypatch.setenv("ERP_DSN", plant.server.url("postgres"))
    settings = configured(plant, tmp_path, "200ms", 10)
    conninfo = plant.server.conninfo("erp")
    secret = "UPDATE lines SET amount = 4711 WHERE false"
    with holding(conninfo, secret) as pid, Writers(conninfo, 3) as writers:
        time.sleep(0.5)  # now it is long
        began = time.monotonic()
        with pytest.raises(BackupCommandError) as caught:
            manifest(settings, "erp", base_backup(plant, STAMP), job_name=None, progress=lambda _said: None)
        assert time.monotonic() - began < 60
    message = str(caught.value)
    assert f"process {pid} (client backend, idle in transaction, in a transaction " in message
    assert "holds public.lines" in message
    assert "4711" not in message
    assert f"the backup {STAMP} is taken, and its drill reaches sound at most" in message
    assert not writers.failed
    assert writers.worst_s < 5
    with Ledger(settings, writable=False) as ledger:
        assert not ledger.has_manifest("erp")


def test_attempt_behind_a_new_transaction_ends_in_time(plant: Plant) -> None:
    """One that is younger than a lock may wait is worth waiting for, but no longer than that."""
    conninfo = plant.server.conninfo("erp")
    with holding(conninfo, "LOCK TABLE orders IN ROW EXCLUSIVE MODE"), Writers(conninfo, 2) as writers:
        began = time.monotonic()
        with pytest.raises(QuiesceError, match="no moment without writers was found in 1 attempts"):
            until(conninfo, Patience(1.0, 1))
        assert time.monotonic() - began < 30
    assert not writers.failed
    assert writers.worst_s < 1.0 + 5


def test_prepared_transaction_is_named(plant: Plant) -> None:
    conninfo = plant.server.conninfo("erp")
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("BEGIN")
        connection.execute("UPDATE lines SET amount = 0 WHERE false")
        connection.execute("PREPARE TRANSACTION 'forgotten'")
        try:
            with pytest.raises(QuiesceError, match="a prepared transaction 0 s old, which COMMIT PREPARED"):
                until(conninfo, Patience(0.1, 3))
        finally:
            connection.execute("ROLLBACK PREPARED 'forgotten'")


def test_table_that_is_being_made_at_that_moment_is_waited_for(plant: Plant) -> None:
    """No lock of ours holds it up, so whether it lies before the point is known only when it is over."""
    conninfo = plant.server.conninfo("erp")
    with psycopg.connect(conninfo) as connection:
        connection.execute("CREATE TABLE meanwhile (id int)")
        with pytest.raises(
            QuiesceError, match=f"process {connection.info.backend_pid} .* has written, and does not end"
        ):
            until(conninfo, Patience(0.2, 2))
        timer = threading.Timer(0.5, connection.commit)
        timer.start()
        with quiesced(conninfo, "guardian-t", _PATIENT) as quiet:
            content = capture(conninfo, snapshot=quiet.snapshot, key=KEY)
        timer.join()
    plant.sql("DROP TABLE meanwhile")
    assert quiet.attempts > 1
    assert "public.meanwhile" in content.tables


def test_role_without_the_rights_is_told_which_before_the_backup_is_taken(plant: Plant) -> None:
    plant.sql("CREATE ROLE modest LOGIN")
    plant.sql("GRANT pg_read_all_data TO modest")
    conninfo = psycopg.conninfo.make_conninfo(plant.server.conninfo("erp"), user="modest")
    with pytest.raises(QuiesceError, match=r'pg_catalog.pg_create_restore_point\(text\) TO "modest"'):
        check_can_quiesce(conninfo)
    for function in ("pg_create_restore_point(text)", "pg_switch_wal()"):
        plant.sql(f"GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO modest")
    with pytest.raises(QuiesceError, match="may not lock 2 tables, such as public"):
        check_can_quiesce(conninfo)
    plant.sql("GRANT UPDATE ON ALL TABLES IN SCHEMA public TO modest")
    check_can_quiesce(conninfo)
    with quiesced(conninfo, "guardian-modest", _PATIENT) as quiet:
        assert not quiet.large_objects  # a user's role may not lock pg_largeobject, and there are some
        whole = capture(plant.server.conninfo("erp"), key=KEY)
    unknown = replace(whole, large_objects=replace(whole.large_objects, bytes=None, hash=None))
    check = next(check for check in compare(unknown, whole) if check.id == "large-objects")
    assert check.verdict is Verdict.ERROR
    assert "may not read or lock them" in check.message


def test_standby_is_refused(plant: Plant, tmp_path_factory: pytest.TempPathFactory) -> None:
    plant.forget_backups()
    copy = plant.back_up(name="standby")
    (copy / "standby.signal").touch()
    folder = tmp_path_factory.mktemp("s")
    options = ServerOptions(durable=True, settings={"max_prepared_transactions": "5", "wal_level": "replica"})
    server = SandboxServer(folder, plant.programs, plant.provider, options)
    server.prepare()
    copy.rename(folder / "box/data")
    cluster_files.give(folder / "box/data", plant.provider.user)
    with server, pytest.raises(QuiesceError, match="the source is a standby, on which no restore point can be made"):
        check_can_quiesce(server.conninfo("erp"))
