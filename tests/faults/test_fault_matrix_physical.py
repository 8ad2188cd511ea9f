"""Faults of copies of a cluster and of their archived log, each injected into a real one; healthy ones stay green.

The numbers are those of the fault matrix. Many of them are silent in PostgreSQL's own tools: a recovery that ends too
early starts a server without complaint.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
from typing import TYPE_CHECKING, Protocol

import psycopg
import pytest

from guardian.model import Target, TargetKind
from tests.drill_support import by_id, verdicts
from tests.physical_support import Plant, now
from verifiers.postgres.physical import lsn_number
from verifiers.result import Verdict
from verifiers.sandbox.programs import find_programs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from guardian.model import Drill
    from tests.faults.catching import Caught
    from verifiers.sandbox.isolation import Provider


class Red(Protocol):
    """The fixture `red`."""

    def __call__(
        self, drill: Drill, check: str, *words: str, form: str = "basebackup", beyond: Sequence[str] = ()
    ) -> None: ...


@pytest.fixture(scope="module")
def live(sandbox_provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """One live cluster of PostgreSQL 18."""
    made = Plant(tmp_path_factory.mktemp("plant"), find_programs(18, exact=True), sandbox_provider)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def plant(live: Plant) -> Iterator[Plant]:
    """The cluster without copies, and with an archive that is whole again afterwards."""
    live.forget_backups()
    kept = live.folder / "kept"
    live.switch()
    shutil.copytree(live.wal, kept)
    yield live
    live.switch()
    for path in kept.iterdir():
        shutil.copy2(path, live.wal / path.name)
    shutil.rmtree(kept)
    live.assertion = None


@pytest.fixture
def red(request: pytest.FixtureRequest, caught: Caught) -> Red:
    """Assert that the drill failed by this check with these words; a test of a number enters it in the matrix."""
    number = request.node.name.split("_")[1]

    def assert_red(drill: Drill, check: str, *words: str, form: str = "basebackup", beyond: Sequence[str] = ()) -> None:
        says = ".*".join(map(re.escape, words))
        if number.isdigit():
            log = ("restore.messages",) if check == "recovery.target" else ()  # the server's log says it as well
            caught(int(number), form, drill, by=check, says=says, beyond=(*beyond, *log))
            return
        assert by_id(drill)[check].verdict is drill.result.verdict is Verdict.FAIL, verdicts(drill, "error")
        assert re.search(says, by_id(drill)[check].message)

    return assert_red


def written(plant: Plant, count: int) -> list[str]:
    """Write and archive `count` segments; return their names."""
    names = []
    for number in range(count):
        plant.sql(f"INSERT INTO orders SELECT n, 'w' FROM generate_series({200_000 + number}, {200_000 + number}) n"
                  " ON CONFLICT DO NOTHING")  # fmt: skip
        names.append(plant.switch())
    return names


def test_03_truncated_compressed_tar(plant: Plant, red: Red) -> None:
    copy = plant.back_up("-Ft", "-z")
    base = copy / "base.tar.gz"
    base.write_bytes(base.read_bytes()[: base.stat().st_size // 2])
    red(plant.drill(), "archive.complete", "not complete", form="basebackup.tar.gz")


def test_07_bit_flipped_in_a_compressed_tar(plant: Plant, red: Red) -> None:
    copy = plant.back_up("-Ft", "-z")
    base = copy / "base.tar.gz"
    data = bytearray(base.read_bytes())
    data[len(data) // 2] ^= 4
    base.write_bytes(data)
    red(plant.drill(), "archive.complete", form="basebackup.tar.gz")


@pytest.mark.parametrize("keep", [0.5, 0.9])
def test_02_truncated_tar_at_the_border_of_a_member(plant: Plant, red: Red, keep: float) -> None:
    copy = plant.back_up("-Ft")
    base = copy / "base.tar"
    size = int(base.stat().st_size * keep) // 512 * 512
    base.write_bytes(base.read_bytes()[:size])
    red(plant.drill(), "archive.complete", form="basebackup.tar")


def test_08_zero_byte_tar(plant: Plant, red: Red) -> None:
    copy = plant.back_up("-Ft")
    (copy / "base.tar").write_bytes(b"")
    red(plant.drill(), "archive.complete", form="basebackup.tar")


def test_13_row_whose_key_points_nowhere(plant: Plant, red: Red) -> None:
    plant.sql("CREATE TABLE lines (id int PRIMARY KEY, order_id int CONSTRAINT lines_order REFERENCES orders)")
    plant.sql("SET session_replication_role = replica; INSERT INTO lines VALUES (1, 1), (2, -7)")
    plant.back_up("-Fp")
    drill = plant.drill()
    plant.sql("DROP TABLE lines")
    red(drill, "constraints", "lines_order")


def test_15_tablespace_whose_part_is_missing(plant: Plant, red: Red) -> None:
    place = plant.server.make_folder("space")
    plant.sql(f"CREATE TABLESPACE space LOCATION '{plant.server.inside(place)}'", database="postgres")
    plant.sql("CREATE TABLE apart TABLESPACE space AS SELECT 1 AS n")
    copy = plant.back_up("-Ft")
    [part] = [path for path in copy.glob("*.tar") if path.stem.isdigit()]
    part.unlink()
    drill = plant.drill()
    plant.sql("DROP TABLE apart")
    plant.sql("DROP TABLESPACE space", database="postgres")
    red(drill, "archive.complete", part.stem, form="basebackup.tar")


def test_16_copy_of_a_server_newer_than_any_here(plant: Plant, caught: Caught) -> None:
    (plant.back_up("-Fp") / "PG_VERSION").write_text("39\n")
    caught(16, "basebackup", plant.drill(), by="server.started", says="PostgreSQL 39", verdict="error")


def test_18_settings_that_would_run_a_command_or_a_library_are_not_followed(plant: Plant) -> None:
    copy = plant.back_up("-Fp")
    planted = copy / "planted"
    (copy / "postgresql.auto.conf").write_text(
        f"archive_mode = on\narchive_command = 'touch {planted}'\nrestore_command = 'touch {planted}'\n"
        "shared_preload_libraries = 'no_such_library'\nsession_preload_libraries = 'no_such_library'\n"
    )
    drill = plant.drill()
    assert drill.result.verdict is Verdict.PASS, [check.message for check in drill.result.checks]
    assert not planted.exists()
    said = by_id(drill)["restore.messages"]
    names = {"archive_command", "restore_command", "shared_preload_libraries", "session_preload_libraries"}
    assert names <= set(said.observed["ignoredSettings"])
    assert "touch" not in repr(said)


def test_18_tablespace_map_that_leads_out_of_the_sandbox(plant: Plant, caught: Caught, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o777)
    copy = plant.back_up("-Fp")
    (copy / "tablespace_map").write_text(f"16999 {outside}\n")
    caught(18, "basebackup", plant.drill(), by="archive.complete", says="tablespace_map")
    assert list(outside.iterdir()) == []


def test_19_gap_in_the_archived_log(plant: Plant, red: Red) -> None:
    plant.back_up("-Fp")
    names = written(plant, 3)
    (plant.wal / names[1]).unlink()
    drill = plant.drill(wal=True)
    red(drill, "recovery.target", names[1], "cannot be recovered")
    assert by_id(drill)["server.started"].verdict is Verdict.ERROR


def test_19_gap_before_the_target_names_the_segment(plant: Plant, red: Red) -> None:
    plant.back_up("-Fp")
    names = written(plant, 3)
    (plant.wal / names[1]).unlink()
    red(plant.drill(Target(TargetKind.TIME, now()), wal=True), "recovery.target", names[1])


@pytest.mark.parametrize("which", [1, 2], ids=["in the middle", "in the newest"])
def test_19_damaged_segment_ends_the_recovery_too_early(plant: Plant, red: Red, which: int) -> None:
    plant.back_up("-Fp")
    names = written(plant, 3)
    path = plant.wal / names[which]
    data = bytearray(path.read_bytes())
    data[0x60:0x68] = b"\xff" * 8
    path.write_bytes(data)
    red(plant.drill(wal=True), "recovery.target", "recovery ended")


@pytest.mark.parametrize("which", [0, 1], ids=["in the middle", "in the newest"])
def test_19_segment_that_is_zeros_from_the_border_of_a_record_on(plant: Plant, red: Red, which: int) -> None:
    plant.back_up("-Fp")
    names = []
    for number in range(2):
        plant.sql(f"CREATE TABLE IF NOT EXISTS kept_{number} AS SELECT 1")
        border = plant.sql("SELECT pg_current_wal_insert_lsn()") if number == which else None
        plant.sql(f"CREATE TABLE IF NOT EXISTS lost_{number} AS SELECT 1")
        names.append(plant.switch())
        if border is not None:
            at = lsn_number(str(border))
    path = plant.wal / names[which]
    data = path.read_bytes()
    path.write_bytes(data[: at % len(data)] + bytes(len(data) - at % len(data)))
    drill = plant.drill(wal=True)
    path.write_bytes(data)
    for number in range(2):
        plant.sql(f"DROP TABLE kept_{number}, lost_{number}")
    red(drill, "recovery.target", "recovery ended")


def test_19_newest_segment_of_another_cluster(plant: Plant, red: Red) -> None:
    plant.back_up("-Fp")
    names = written(plant, 2)
    path = plant.wal / names[1]
    data = path.read_bytes()
    path.write_bytes(data[:24] + bytes(byte ^ 0xFF for byte in data[24:32]) + data[32:])
    drill = plant.drill(wal=True)
    path.write_bytes(data)
    red(drill, "recovery.target", "different database system")


def test_19_truncated_segment(plant: Plant, red: Red) -> None:
    plant.back_up("-Fp")
    names = written(plant, 2)
    path = plant.wal / names[0]
    path.write_bytes(path.read_bytes()[: 1 << 20])
    red(plant.drill(wal=True), "recovery.target", names[0], "wrong size")


def test_19_truncated_compressed_segment(plant: Plant) -> None:
    plant.back_up("-Fp")
    names = written(plant, 2)
    path = plant.wal / names[0]
    packed = gzip.compress(path.read_bytes())
    path.unlink()
    path.with_name(f"{path.name}.gz").write_bytes(packed[: len(packed) // 2])
    drill = plant.drill(wal=True)
    path.with_name(f"{path.name}.gz").unlink()
    assert drill.result.verdict is not Verdict.PASS
    assert by_id(drill)["server.started"].verdict is Verdict.ERROR


def test_20_target_beyond_the_archive(plant: Plant, red: Red) -> None:
    plant.back_up("-Fp")
    written(plant, 1)
    drill = plant.drill(Target(TargetKind.TIME, "2099-01-01T00:00:00+00:00"), wal=True)
    red(drill, "recovery.target", "recovery ended before configured recovery target")


def test_20_restore_point_that_does_not_exist(plant: Plant, red: Red) -> None:
    plant.back_up("-Fp")
    written(plant, 1)
    red(plant.drill(Target(TargetKind.NAME, "never-made"), wal=True), "recovery.target")


def test_20_target_before_the_backup(plant: Plant, red: Red) -> None:
    plant.back_up("-Fp")
    written(plant, 1)
    drill = plant.drill(Target(TargetKind.TIME, "2020-01-01T00:00:00+00:00"), wal=True)
    red(drill, "recovery.target", "before this backup")


def test_20_position_before_the_backup(plant: Plant, red: Red) -> None:
    plant.back_up("-Fp")
    written(plant, 1)
    red(
        plant.drill(Target(TargetKind.LSN, "0/1000000"), wal=True),
        "recovery.target",
        "before consistent recovery point",
    )


def test_20_transaction_that_was_rolled_back(plant: Plant, red: Red) -> None:
    plant.back_up("-Fp")
    with psycopg.connect(plant.server.conninfo("erp")) as connection:
        [xid] = connection.execute(
            "INSERT INTO orders VALUES (900000, 'no') RETURNING pg_current_xact_id()::text"
        ).fetchone() or [""]
        connection.rollback()
    plant.switch()
    red(plant.drill(Target(TargetKind.XID, xid), wal=True), "recovery.target", xid, "rolled back")


def test_21_segments_of_a_timeline_whose_history_is_missing(plant: Plant, red: Red) -> None:
    plant.back_up("-Fp")
    names = written(plant, 3)
    promoted = plant.wal / f"00000002{names[2][8:]}"
    shutil.copy2(plant.wal / names[2], promoted)  # as a standby promoted meanwhile would have archived it
    drill = plant.drill(wal=True)
    promoted.unlink()
    red(drill, "recovery.target", "followed timeline 1", "00000002.history")


def test_22_copy_of_another_cluster(plant: Plant, red: Red) -> None:
    plant.back_up("-Fp")
    drill = plant.drill(database="payroll")
    red(drill, "identity", "payroll")


def test_23_collation_of_another_version_than_the_indexes_were_built_with(plant: Plant, red: Red) -> None:
    plant.sql("UPDATE pg_database SET datcollversion = '0.9' WHERE datname = 'erp'")
    plant.back_up("-Fp")
    drill = plant.drill()
    plant.sql("ALTER DATABASE erp REFRESH COLLATION VERSION")
    red(drill, "extensions", "collations of another version", "default")


def test_24_page_that_was_damaged_before_the_backup(plant: Plant, red: Red) -> None:
    plant.sql("DROP TABLE IF EXISTS doomed")
    plant.sql("CREATE TABLE doomed AS SELECT n, repeat('y', 100) AS t FROM generate_series(1, 5000) n")
    relative = str(plant.sql("SELECT pg_relation_filepath('doomed')"))
    plant.sql("VACUUM (FREEZE) doomed")  # so that nothing writes the page once more
    plant.sql("CHECKPOINT")
    with (plant.folder / "live/box/data" / relative).open("r+b") as file:
        file.seek(8192 + 4000)
        file.write(b"\0\xff\0\xff")
    plant.back_up("-Fp", "--no-verify-checksums")  # as a backup made by copying files would have taken it
    drill = plant.drill()
    plant.sql("DROP TABLE doomed")
    beyond = ("amcheck", "catalog.readable")
    red(drill, "pages", "failed their checksum", relative.rpartition("/")[2], beyond=beyond)
    assert by_id(drill)["archive.complete"].verdict is Verdict.PASS  # its own manifest is content with it


def test_25_index_that_disagrees_with_its_table(plant: Plant, red: Red) -> None:
    plant.sql("DROP TABLE IF EXISTS words")
    plant.sql("CREATE TABLE words (w text)")
    plant.sql("CREATE OR REPLACE FUNCTION short(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT left($1, 1)'")
    plant.sql("CREATE INDEX words_short ON words (short(w))")
    plant.sql("INSERT INTO words SELECT md5(n::text) FROM generate_series(1, 2000) n")
    plant.sql("CREATE OR REPLACE FUNCTION short(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT right($1, 1)'")
    plant.back_up("-Fp")
    drill = plant.drill()
    plant.sql("DROP TABLE words")
    red(drill, "amcheck", "words_short")


@pytest.mark.parametrize(
    ("harm", "word"),
    [
        (lambda copy: next((copy / "base").glob("*/1259")).unlink(), "not on disk"),
        (lambda copy: (copy / "base/1/99999999").write_bytes(b"x" * 8192), "not in the manifest"),
        (lambda copy: (copy / "global/pg_filenode.map").write_bytes(b"\0" * 524), "checksum mismatch"),
    ],
    ids=["missing", "extra", "changed"],
)
def test_26_file_missing_extra_or_changed(plant: Plant, red: Red, harm: Callable[[Path], object], word: str) -> None:
    harm(plant.back_up("-Fp"))
    red(plant.drill(), "archive.complete", word)


def test_26_manifest_that_was_changed_to_fit(plant: Plant, red: Red) -> None:
    copy = plant.back_up("-Fp")
    manifest = json.loads((copy / "backup_manifest").read_text())
    manifest["Files"] = [entry for entry in manifest["Files"] if entry.get("Path") != "global/pg_filenode.map"]
    (copy / "global/pg_filenode.map").unlink()
    (copy / "backup_manifest").write_text(json.dumps(manifest))
    red(plant.drill(), "archive.complete", "manifest")


def test_27_increment_whose_parent_is_gone(plant: Plant, red: Red) -> None:
    first = plant.back_up("-Fp", name="20260301T100000Z")
    plant.back_up("-Fp", f"--incremental={first / 'backup_manifest'}")
    shutil.rmtree(first)
    red(plant.drill(), "archive.complete", "there is no such copy", form="basebackup.incremental")


def test_backup_that_broke_off_is_no_backup(plant: Plant, red: Red) -> None:
    copy = plant.back_up("-Fp")
    (copy / "backup_manifest").unlink()
    red(plant.drill(), "archive.complete", "broke off")


def test_log_that_neither_came_along_nor_was_archived(plant: Plant, red: Red) -> None:
    plant.back_up("-Fp", "-Xnone")
    red(plant.drill(), "archive.complete", "write-ahead log")


def test_log_that_came_only_with_the_archive_is_enough(plant: Plant) -> None:
    plant.back_up("-Fp", "-Xnone")
    written(plant, 1)
    assert plant.drill(wal=True).result.verdict is Verdict.PASS


def test_segment_archived_while_it_was_filled_counts_as_far_as_it_goes(plant: Plant) -> None:
    plant.back_up("-Fp")
    names = written(plant, 2)
    path = plant.wal / names[1]
    data = path.read_bytes()
    path.unlink()
    path.with_name(f"{path.name}.partial").write_bytes(data[:0x1000] + bytes(len(data) - 0x1000))
    drill = plant.drill(wal=True)
    path.with_name(f"{path.name}.partial").unlink()
    path.write_bytes(data)
    assert {check.id: check.message for check in drill.result.checks if check.verdict in {"fail", "error"}} == {}


def test_link_in_a_copy_is_not_followed(plant: Plant) -> None:
    copy = plant.back_up("-Fp")
    (copy / "pg_tblspc/16999").symlink_to("/etc")
    drill = plant.drill()
    assert drill.result.verdict is Verdict.ERROR
    assert any("symbolic link" in check.message for check in drill.result.checks)
