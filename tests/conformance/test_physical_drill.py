"""A drill of a copy of a cluster, made by the real pg_basebackup: what it proves, and how far it recovers."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from guardian.model import Assurance, Target, TargetKind
from tests.drill_support import by_id, verdicts
from tests.physical_support import Plant, now
from verifiers.result import Verdict
from verifiers.sandbox.programs import all_programs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from guardian.model import Drill
    from verifiers.sandbox.isolation import Provider

PROGRAMS = {programs.major: programs for programs in all_programs()}


@pytest.fixture(scope="module")
def plants(sandbox_provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Plant]]:
    """One live cluster a major version that this machine has."""
    made: dict[int, Plant] = {}
    for major, programs in PROGRAMS.items():
        made[major] = Plant(tmp_path_factory.mktemp(f"pg{major}"), programs, sandbox_provider)
        made[major].start()
    yield made
    for plant in made.values():
        plant.stop()


@pytest.fixture
def plant(plants: dict[int, Plant]) -> Iterator[Plant]:
    """The cluster of the newest version, without any copy yet."""
    newest = plants[max(plants)]
    newest.forget_backups()
    yield newest
    newest.forget_backups()
    newest.assertion = None
    assert not list(newest.sandbox.glob("*-7000-*")), "a drill leaves nothing behind"


def proved(drill: Drill) -> Drill:
    """Return the drill, having seen that it proved what can be proved without a manifest."""
    told = {check.id: check.message for check in drill.result.checks if check.verdict in {"fail", "error"}}
    assert told == {}
    assert (drill.result.verdict, drill.result.assurance) == (Verdict.PASS, Assurance.SOUND)
    assert by_id(drill)["pages"].verdict is Verdict.PASS
    return drill


@pytest.mark.parametrize("options", [("-Fp",), ("-Ft",), ("-Ft", "-z"), ("-Ft", "-Xfetch")], ids=" ".join)
@pytest.mark.parametrize("major", sorted(PROGRAMS))
def test_copy_is_proved_sound_by_a_server_of_its_own_version(
    plants: dict[int, Plant], major: int, options: tuple[str, ...]
) -> None:
    plant = plants[major]
    plant.forget_backups()
    plant.back_up(*options)
    drill = proved(plant.drill())
    assert str(drill.result.sandbox["postgresVersion"]).startswith(str(major))
    assert by_id(drill)["recovery.target"].expected == {"to": "end"}


def test_recovery_goes_to_the_end_of_the_archive_and_measures_what_would_be_lost(plant: Plant) -> None:
    plant.back_up("-Fp")
    plant.sql("INSERT INTO orders SELECT n, 'later' FROM generate_series(100001, 100010) n")
    plant.switch()
    drill = proved(plant.drill(wal=True))
    assert by_id(drill)["recovery.target"].message.startswith("The recovery reached the end of the archive")
    assert drill.result.measurements["rpoSeconds"] < 600


@pytest.mark.parametrize("kind", ["time", "lsn", "name", "xid"])
def test_recovery_stops_at_its_target(plant: Plant, kind: str) -> None:
    plant.back_up("-Fp")
    plant.sql("DROP TABLE IF EXISTS marks")
    plant.sql("CREATE TABLE marks (n int)")
    xid = plant.sql("WITH put AS (INSERT INTO marks VALUES (1) RETURNING 1) SELECT pg_current_xact_id()::text FROM put")
    plant.sql(f"SELECT pg_create_restore_point('before-{kind}')")
    values = {"time": now(), "lsn": plant.sql("SELECT pg_current_wal_lsn()"), "name": f"before-{kind}", "xid": xid}
    plant.sql("SELECT pg_sleep(0.05)")
    plant.sql("INSERT INTO marks VALUES (2)")
    plant.switch()
    target = Target(TargetKind(kind), str(values[kind]))
    plant.assertion = "SELECT count(*) FROM marks"
    drill = plant.drill(target, wal=True)
    proved(drill)
    assert by_id(drill)["assertions"].observed == {"asked": 1}


def test_copy_that_nothing_says_whose_it_is_can_be_any(plant: Plant) -> None:
    plant.back_up("-Fp")
    drill = plant.drill(database=None)
    assert verdicts(drill, "error") == {"identity"}
    assert by_id(drill)["pages"].verdict is Verdict.PASS


def test_database_that_is_not_in_the_cluster_fails_identity(plant: Plant) -> None:
    plant.back_up("-Fp")
    drill = plant.drill(database="payroll")
    assert verdicts(drill, "fail") == {"identity"}
    assert "'payroll'" in by_id(drill)["identity"].message


def test_tablespaces_of_a_tar_lie_in_the_sandbox_and_nowhere_else(plant: Plant) -> None:
    place = plant.server.make_folder("space")
    plant.sql(f"CREATE TABLESPACE space LOCATION '{plant.server.inside(place)}'", database="postgres")
    try:
        plant.sql("CREATE TABLE apart TABLESPACE space AS SELECT n FROM generate_series(1, 1000) n")
        plant.back_up("-Ft")
        before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
        plant.assertion = "SELECT count(*) FROM apart"
        assert by_id(proved(plant.drill()))["assertions"].observed == {"asked": 1000}
        assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before
    finally:
        plant.sql("DROP TABLE apart")
        plant.sql("DROP TABLESPACE space", database="postgres")


def test_settings_that_came_with_the_copy_are_not_followed(plant: Plant) -> None:
    plant.sql("ALTER SYSTEM SET archive_command = 'touch ../escaped'", database="postgres")
    try:
        plant.back_up("-Fp")
    finally:
        plant.sql("ALTER SYSTEM RESET archive_command", database="postgres")
    drill = proved(plant.drill())
    assert drill.result.restored


@pytest.mark.parametrize("options", [("-Fp",), ("-Ft", "-z")], ids=" ".join)
def test_increments_are_combined_with_what_they_build_on(plant: Plant, options: tuple[str, ...]) -> None:
    plant.sql("DROP TABLE IF EXISTS steps")
    plant.sql("CREATE TABLE steps (n int)")
    chain(plant, *options)
    plant.assertion = "SELECT count(*) FROM steps"
    drill = proved(plant.drill())
    assert by_id(drill)["assertions"].observed == {"asked": 3}
    assert drill.result.measurements["chainLength"] == 3


def test_increment_whose_parent_is_gone_is_no_backup(plant: Plant) -> None:
    plant.sql("DROP TABLE IF EXISTS steps")
    plant.sql("CREATE TABLE steps (n int)")
    first, second, _ = chain(plant)
    shutil.rmtree(second)
    drill = plant.drill()
    assert drill.result.verdict is Verdict.FAIL
    assert "there is no such copy" in by_id(drill)["archive.complete"].message
    shutil.rmtree(first)


def test_increment_whose_parent_was_damaged_is_no_backup(plant: Plant) -> None:
    plant.sql("DROP TABLE IF EXISTS steps")
    plant.sql("CREATE TABLE steps (n int)")
    first, _, _ = chain(plant)
    (first / "global/pg_filenode.map").write_bytes(b"\0" * 524)
    drill = plant.drill()
    assert drill.result.verdict is Verdict.FAIL
    assert "checksum mismatch" in by_id(drill)["archive.complete"].message


def chain(plant: Plant, *options: str) -> list[Path]:
    """Take a whole copy and two increments, a row before each; return their folders, oldest first."""
    made: list[Path] = []
    for number in range(3):
        plant.sql(f"INSERT INTO steps VALUES ({number})")
        since = [f"--incremental={made[-1] / 'backup_manifest'}"] if made else []
        made.append(plant.back_up(*(options or ("-Fp",)), *since, name=f"2026030{number + 1}T110000Z"))
    return made
