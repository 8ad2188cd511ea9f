"""A whole drill of a real backup: what it proves, what it finds, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
import time
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import psycopg
import pytest

from guardian.drills.checklist import CHECKS
from guardian.model import Assertion, Assurance
from tests.drill_support import ROWS, RUN_1, RUN_2, Estate, by_id, verdicts
from verifiers.result import Verdict
from verifiers.sandbox.options import ServerOptions
from verifiers.sandbox.process import processes_in
from verifiers.sandbox.programs import all_programs, find_programs
from verifiers.sandbox.server import SandboxServer
from verifiers.sandbox.workspace import sweep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardian.model import Drill
    from verifiers.sandbox.isolation import Provider


@pytest.fixture
def estate(
    postgres_server: SandboxServer, postgres_url: str, sandbox_provider: Provider, tmp_path: Path
) -> Iterator[Estate]:
    database = psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"]
    made = Estate(postgres_server, str(database), tmp_path, sandbox_provider.name)
    made.fill()
    yield made
    assert not list(made.sandbox.glob("*-7000-*")), "a drill leaves nothing behind"


def valid(drill: Drill) -> Drill:
    """Return the drill, having seen that its JSON is what the schema says."""
    schema = json.loads(files("guardian.schemas").joinpath("drill.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(json.loads(json.dumps(drill.to_json())), schema)
    assert [check.id for check in drill.result.checks] == list(CHECKS)
    return drill


def test_whole_backup_of_an_odoo_pair_is_proved_exact(estate: Estate) -> None:
    estate.back_up()
    drill = valid(estate.drill())
    not_passed = {check.id: check.message for check in drill.result.checks if check.verdict is not Verdict.PASS}
    skipped = {"pages", "recovery.target", "assertions", "isolation", "backup.locked", "anomaly"}
    assert set(not_passed) <= skipped, not_passed
    assert (drill.result.verdict, drill.result.assurance) == (Verdict.PASS, Assurance.EXACT)
    assert drill.result.restored
    assert [phase.name for phase in drill.result.phases] == [
        "locate", "fetch", "verify archive", "restore", "start", "compare", "application checks", "teardown",
    ]  # fmt: skip
    assert drill.result.restore_seconds is not None
    assert drill.estimated_rto_s == drill.result.restore_seconds + 210
    assert drill.result.measurements["rows"] > 1000
    assert drill.result.measurements["files"] == 20
    assert drill.result.sandbox["settings"]["fsync"] == "off"
    assert by_id(drill)["neutralised"].observed == {"switchedOff": {"ir_mail_server": 1, "ir_cron": 1}}
    assert set(estate.told) >= {"fetch", "restore", "compare", "teardown"}


def test_backup_without_manifest_is_proved_sound(estate: Estate) -> None:
    estate.back_up()
    estate.manifest = None
    drill = valid(estate.drill(required=Assurance.SOUND))
    assert (drill.result.verdict, drill.result.assurance) == (Verdict.PASS, Assurance.SOUND)
    above = {check_id for check_id, level in CHECKS.items() if level is Assurance.EXACT}
    assert above <= verdicts(drill, "skip")
    assert "above the required level sound" in by_id(drill)["content.hashes"].message


def test_backup_that_needs_a_manifest_and_has_none_is_an_error(estate: Estate) -> None:
    estate.back_up()
    estate.manifest = None
    drill = valid(estate.drill(required=Assurance.EXACT))
    assert (drill.result.verdict, drill.result.assurance) == (Verdict.ERROR, Assurance.SOUND)
    assert verdicts(drill, "error") == {check_id for check_id, level in CHECKS.items() if level is Assurance.EXACT}
    assert "guardian manifest erp" in by_id(drill)["content.hashes"].message


def test_plain_database_is_drilled_without_a_filestore(estate: Estate) -> None:
    estate.type = "postgres"
    estate.back_up()
    drill = valid(estate.drill())
    assert (drill.result.verdict, drill.result.assurance) == (Verdict.PASS, Assurance.EXACT)
    assert {"filestore.bijection", "filestore.content", "filestore.manifest", "neutralised"} <= verdicts(drill, "skip")


def test_one_changed_digit_fails_at_content_hashes_alone(estate: Estate) -> None:
    def change(dump: Path) -> None:
        data = dump.read_bytes()
        assert data.count(b"\t2562.50\t") == 1
        dump.write_bytes(data.replace(b"\t2562.50\t", b"\t2562.51\t"))

    estate.back_up("--compress=0", change=change)
    drill = valid(estate.drill())
    assert verdicts(drill, "fail") == {"content.hashes"}
    assert verdicts(drill, "error") == set()
    assert "sale_order" in by_id(drill)["content.hashes"].message
    assert (drill.result.verdict, drill.result.assurance) == (Verdict.FAIL, Assurance.SOUND)


def test_truncated_archive_fails_at_archive_complete_and_nothing_is_restored(estate: Estate) -> None:
    def cut(dump: Path) -> None:
        dump.write_bytes(dump.read_bytes()[:-2000])

    estate.back_up(change=cut)
    drill = valid(estate.drill())
    assert verdicts(drill, "fail") == {"archive.complete"}
    assert drill.result.verdict is Verdict.FAIL
    assert drill.result.assurance is None
    assert not drill.result.restored
    assert by_id(drill)["amcheck"].message == "not run: archive.complete did not pass"
    assert "restore" not in {phase.name for phase in drill.result.phases}


def test_lost_files_fail_at_the_bijection_with_their_number(estate: Estate) -> None:
    estate.back_up()
    kept = estate.dump.parent / "filestore"
    for path in sorted(path for path in kept.rglob("*") if path.is_file())[:3]:
        path.unlink()
    drill = valid(estate.drill())
    assert verdicts(drill, "fail") == {"filestore.bijection", "filestore.manifest"}
    assert by_id(drill)["filestore.bijection"].observed["rowsWithoutFile"] == 3


def test_folder_without_its_dump_fails_as_incomplete(estate: Estate) -> None:
    estate.back_up()
    estate.manifest = None
    estate.dump.unlink()
    drill = valid(estate.drill())
    assert verdicts(drill, "fail") == {"archive.complete"}
    assert "db.dump is missing" in by_id(drill)["archive.complete"].message


def test_zero_byte_dump_fails(estate: Estate) -> None:
    estate.back_up()
    estate.manifest = None
    estate.dump.write_bytes(b"")
    assert verdicts(valid(estate.drill()), "fail") == {"archive.complete"}


def test_asset_without_any_backup_is_an_error_that_says_so(estate: Estate) -> None:
    estate.backups.mkdir()
    drill = valid(estate.drill())
    assert drill.result.verdict is Verdict.ERROR
    assert "there is no backup in" in by_id(drill)["archive.complete"].message


def test_missing_backup_folder_is_an_error_that_names_it(estate: Estate) -> None:
    drill = valid(estate.drill())
    assert drill.result.verdict is Verdict.ERROR
    assert str(estate.backups) in by_id(drill)["archive.complete"].message


@pytest.mark.parametrize("place", ["backups", "backups/sandbox", "filestore/.sandbox", "."])
def test_sandbox_folder_among_backups_or_files_is_refused_before_anything_is_made(estate: Estate, place: str) -> None:
    estate.back_up()
    estate.sandbox_name = place
    before = sorted(estate.folder.rglob("*"))
    drill = valid(estate.drill())
    assert drill.result.verdict is Verdict.ERROR
    assert verdicts(drill, "fail") == set()
    assert "set sandbox.folder to a folder of its own" in by_id(drill)["archive.complete"].message
    assert sorted(estate.folder.rglob("*")) == before


def test_no_isolation_is_accepted_by_name_only(estate: Estate) -> None:
    estate.back_up()
    estate.provider, estate.accept_none = "none", ()
    drill = valid(estate.drill())
    assert by_id(drill)["isolation"].verdict is Verdict.ERROR
    assert "sandbox.acceptNone" in by_id(drill)["isolation"].message
    assert not drill.result.restored, "nothing was restored without isolation"

    estate.accept_none = ["erp"]
    drill = valid(estate.drill())
    assert by_id(drill)["isolation"].verdict is Verdict.SKIP
    assert drill.result.verdict is Verdict.PASS


def test_extension_that_the_sandbox_lacks_is_an_error_and_never_a_fail(estate: Estate) -> None:
    estate.back_up()
    data = estate.dump.read_bytes()
    assert b"plpgsql" not in data
    with psycopg.connect(estate.conninfo()) as connection:
        connection.execute("CREATE EXTENSION citext")
    shutil.rmtree(estate.backups)
    estate.back_up(change=lambda dump: dump.write_bytes(dump.read_bytes().replace(b"citext", b"nosuch")))
    drill = valid(estate.drill())
    assert verdicts(drill, "fail") == set()
    assert drill.result.verdict is Verdict.ERROR
    assert "sandbox server lacks extension nosuch" in by_id(drill)["restore.messages"].message


def test_quota_that_cannot_hold_the_restore_is_an_error_before_it_begins(estate: Estate) -> None:
    estate.back_up()
    estate.quota = 1 << 20
    drill = valid(estate.drill())
    assert drill.result.verdict is Verdict.ERROR
    assert verdicts(drill, "fail") == set()
    assert "sandbox.diskQuota" in by_id(drill)["restore.messages"].message


def test_quota_used_up_on_the_way_is_an_error_and_never_a_fail(estate: Estate) -> None:
    with psycopg.connect(estate.conninfo()) as connection:
        # Small in the dump and large when restored, which no look at the archive can foresee.
        connection.execute("CREATE TABLE factor AS SELECT 1::bigint AS n")
        connection.execute(
            "CREATE MATERIALIZED VIEW grows AS SELECT repeat(md5(s::text), 50) FROM factor, generate_series(1, n) s"
        )
        connection.execute("UPDATE factor SET n = 5000000")
    estate.back_up()
    estate.quota = 700 << 20
    drill = valid(estate.drill())
    assert drill.result.verdict is Verdict.ERROR
    assert verdicts(drill, "fail") == set()
    assert "the disk quota of 0.68 GiB was used up" in by_id(drill)["identity"].message


def test_passed_deadline_is_an_error_and_never_a_fail(estate: Estate) -> None:
    estate.back_up()
    drill = valid(estate.drill(deadline_s=0.0))
    assert drill.result.verdict is Verdict.ERROR
    assert verdicts(drill, "fail") == set()
    assert "deadline of 0 s" in by_id(drill)["identity"].message


def test_roles_of_the_source_are_made_in_the_sandbox(estate: Estate) -> None:
    with psycopg.connect(estate.conninfo(), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS drill_owner")
        connection.execute("CREATE ROLE drill_owner")
        connection.execute("CREATE TABLE owned (id integer PRIMARY KEY)")
        connection.execute("ALTER TABLE owned OWNER TO drill_owner")
    try:
        estate.back_up()
        drill = valid(estate.drill())
        estate.manifest = None
        without = valid(estate.drill(required=Assurance.SOUND, run_id=RUN_2))
    finally:
        with psycopg.connect(estate.conninfo(), autocommit=True) as connection:
            connection.execute("DROP OWNED BY drill_owner")
            connection.execute("DROP ROLE drill_owner")
    assert drill.result.verdict is Verdict.PASS
    assert by_id(drill)["restore.messages"].observed["rolesFrom"] == "manifest and archive"
    assert without.result.verdict is Verdict.PASS
    assert by_id(without)["restore.messages"].observed["rolesFrom"] == "archive"


@pytest.mark.parametrize("major", [programs.major for programs in all_programs()])
def test_backup_of_every_server_version_here_is_proved_exact(
    major: int, sandbox_provider: Provider, tmp_path: Path
) -> None:
    programs = find_programs(major, exact=True)
    with (
        tempfile.TemporaryDirectory(prefix="gt-") as folder,
        SandboxServer(Path(folder), programs, sandbox_provider, ServerOptions(durable=True)) as server,
    ):
        with psycopg.connect(server.conninfo(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE erp TEMPLATE template0")
        estate = Estate(server, "erp", tmp_path, sandbox_provider.name)
        estate.fill()
        estate.back_up()
    drill = valid(estate.drill())
    assert verdicts(drill, "fail") | verdicts(drill, "error") == set()
    assert drill.result.assurance is Assurance.EXACT
    assert drill.result.sandbox["postgresVersion"].startswith(str(major))


def test_logs_are_kept_only_when_asked_for_and_no_sweep_takes_them(estate: Estate) -> None:
    estate.back_up()
    estate.keep_logs = True
    valid(estate.drill())
    assert sweep(estate.sandbox) == []
    kept = estate.sandbox / "kept_logs" / RUN_1
    assert "pg_restore" in " ".join(path.name for path in kept.iterdir())
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700


def test_logs_that_cannot_be_kept_leave_an_error_and_no_copy(estate: Estate) -> None:
    estate.back_up()
    estate.keep_logs = True
    estate.sandbox.mkdir()
    (estate.sandbox / "kept_logs").write_text("a file in the way")
    drill = valid(estate.drill())
    assert drill.result.verdict is Verdict.ERROR
    assert verdicts(drill, "error") == {"isolation"}
    assert "its logs could not be kept" in by_id(drill)["isolation"].message
    assert [path.name for path in estate.sandbox.iterdir()] == ["kept_logs"]


def test_copy_that_cannot_be_removed_is_an_error_with_the_reason(estate: Estate) -> None:
    in_the_way = estate.sandbox / f".{RUN_1}"  # the name under which a run's folder is removed

    def block(phase: str) -> None:
        if phase == "teardown":
            in_the_way.mkdir()
            (in_the_way / "file").touch()

    estate.back_up()
    estate.on_phase = block
    drill = valid(estate.drill())
    assert drill.result.verdict is Verdict.ERROR
    assert verdicts(drill, "error") == {"isolation"}
    assert "its folder could not be removed" in by_id(drill)["isolation"].message
    assert drill.result.assurance is None
    shutil.rmtree(in_the_way)
    told: list[object] = []
    assert [leftover.run_id for leftover in sweep(estate.sandbox, before_removal=told.append)] == [RUN_1]
    assert told == [], "the drill itself was recorded, so it is not recorded as killed"


def test_quota_used_up_after_the_last_check_is_an_error_all_the_same(estate: Estate) -> None:
    def use_up(phase: str) -> None:
        if phase == "application checks":
            folder = estate.sandbox / RUN_1
            with (folder / "logs/large").open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, 1 << 30)
            end = time.monotonic() + 60
            while processes_in(folder / "box"):
                assert time.monotonic() < end
                time.sleep(0.05)

    estate.type = "postgres"  # nothing asks the server in the last phase
    estate.back_up()
    estate.quota = 1 << 30
    estate.on_phase = use_up
    drill = valid(estate.drill())
    assert drill.result.verdict is Verdict.ERROR
    assert verdicts(drill, "error") == {"isolation"}
    assert "the disk quota of 1.00 GiB was used up" in by_id(drill)["isolation"].message.lower().replace("gib", "GiB")


def test_assertion_that_does_not_hold_on_the_restored_copy_fails_the_drill_by_name(estate: Estate) -> None:
    estate.back_up()
    estate.assertions = [Assertion("orders", "SELECT count(*) FROM sale_order", expect=ROWS)]
    assert by_id(valid(estate.drill()))["assertions"].verdict is Verdict.PASS
    estate.assertions = [Assertion("mail", "SELECT bool_or(active) FROM ir_mail_server")]
    drill = valid(estate.drill(run_id=RUN_2))
    assert drill.result.verdict is Verdict.FAIL  # neutralised before it is asked: no mail server is active in the copy
    assert "mail (expected True, found False)" in by_id(drill)["assertions"].message
