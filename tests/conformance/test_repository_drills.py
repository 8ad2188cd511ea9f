"""Drills of what restic and Borg keep: dumps, copies of clusters and Odoo pairs, made and kept by the real programs."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import psycopg
import pytest

from guardian.model import Assurance, Source
from tests.drill_support import STAMP, Estate, by_id
from tests.formats_support import DATABASE, against
from tests.physical_support import Plant
from tests.repository_support import FORMATS, PROGRAMS, Kept
from tests.shelves.base import PASSPHRASE
from tests.support import guardian
from tests.tools.apt import need, why_not
from verifiers import filestore
from verifiers.postgres.manifest import capture
from verifiers.sandbox.programs import find_programs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.formats_support import Dumps
    from verifiers.sandbox.isolation import Provider
    from verifiers.sandbox.server import SandboxServer


@pytest.fixture(autouse=True)
def _programs() -> None:
    if reason := why_not(PROGRAMS):
        pytest.skip(reason)
    need(PROGRAMS)


@pytest.fixture(params=FORMATS)
def kept(request: pytest.FixtureRequest, tmp_path: Path, sandbox_provider: Provider) -> Kept:
    return Kept(request.param, tmp_path, sandbox_provider.name)


def put(dumps: Dumps, folder: Path, form: str = "custom") -> Path:
    """Make a folder as a nightly job leaves it."""
    made = folder / "nightly"
    made.mkdir()
    source = dumps.path(form)
    (shutil.copytree if source.is_dir() else shutil.copy2)(source, made / source.name)
    (made / "globals.sql").write_bytes(dumps.cluster)
    return made


@pytest.mark.parametrize("form", ["custom", "plain.gz", "directory"])
def test_dump_in_a_repository_is_proved_exact_with_its_manifest(kept: Kept, dumps: Dumps, form: str) -> None:
    kept.source = Source("db", DATABASE, None)
    kept.store(put(dumps, kept.folder, form))
    kept.describe(dumps.content)
    drill = kept.drill(Assurance.EXACT)
    assert against(drill) == {}
    assert drill.result.assurance is Assurance.EXACT
    checks = by_id(drill)
    assert checks["backup.digest"].verdict == "pass"
    said = {"restic": "restic verified the checksum", "borg": "Borg verified the checksum"}[kept.format]
    assert said in checks["archive.complete"].message
    assert drill.result.backup["format"] == kept.format
    assert not list((kept.folder / "sandbox").glob("*-7000-*")), "a drill leaves nothing behind"


def test_copy_of_a_cluster_in_a_repository_is_proved_sound(
    kept: Kept, sandbox_provider: Provider, tmp_path: Path
) -> None:
    live = tmp_path / "live-plant"
    live.mkdir()
    plant = Plant(live, find_programs(18, exact=True), sandbox_provider)
    plant.start()
    try:
        copy = plant.back_up("-Fp", "-Xstream")
    finally:
        plant.stop()
    kept.holds, kept.source = "pg_basebackup", Source("db", "erp", None)
    kept.store(copy)
    drill = kept.drill()
    assert against(drill) == {}
    assert drill.result.assurance is Assurance.SOUND
    assert "pg_verifybackup" in by_id(drill)["archive.complete"].message, "the server's own manifest is what counts"


def test_odoo_pair_in_a_repository_is_proved_exact(kept: Kept, postgres_server: SandboxServer, tmp_path: Path) -> None:
    database = f"pair_{kept.format}"
    with psycopg.connect(postgres_server.conninfo(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {database} TEMPLATE template0")
    try:
        (tmp_path / "estate").mkdir()
        estate = Estate(postgres_server, database, tmp_path / "estate", kept.provider)
        estate.fill()
        estate.back_up()
        kept.type, kept.source = "odoo", Source("db", database, str(estate.filestore))
        kept.store(estate.backups / STAMP)
        kept.describe(capture(estate.conninfo(), key=bytes(range(32))), filestore.capture(estate.filestore))
        drill = kept.drill(Assurance.EXACT)
    finally:
        with psycopg.connect(postgres_server.conninfo(), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {database} WITH (FORCE)")
    assert against(drill) == {}
    assert drill.result.assurance is Assurance.EXACT
    assert by_id(drill)["filestore.bijection"].verdict == "pass"


def test_old_dump_in_a_new_snapshot_is_as_old_as_it_is(kept: Kept, dumps: Dumps) -> None:
    """The job that dumps stopped weeks ago, and the repository goes on keeping its last dump every night."""
    kept.source = Source("db", DATABASE, None)
    made = put(dumps, kept.folder)
    dump = next(path for path in made.iterdir() if path.suffix == ".dump")
    dump = dump.rename(made / "erp.dump")
    os.utime(dump, (1_770_000_000, 1_770_000_000))
    kept.store(made)
    drill = kept.drill()
    assert drill.result.measurements["rpoSeconds"] > 20 * 86_400


def test_drill_by_the_command_line_reads_a_restic_repository(
    dumps: Dumps, tmp_path: Path, sandbox_provider: Provider
) -> None:
    kept = Kept("restic", tmp_path, sandbox_provider.name)
    kept.store(put(dumps, tmp_path))
    assert guardian("init", "--dir", str(tmp_path / "env"), "--environment", "staging").code == 0
    config = tmp_path / "env" / "guardian.yaml"
    (tmp_path / "env" / "passphrase").write_text(PASSPHRASE)
    (tmp_path / "env" / "passphrase").chmod(0o600)
    block = SERVICES.format(repository=kept.repository, database=DATABASE, provider=sandbox_provider.name)
    text = config.read_text().replace("\nservices: []", block).replace("\ncollectors: []", COLLECTORS)
    config.write_text(text)
    result = guardian("drill", "erp", "--config", str(config), "--format", "json")
    assert result.code == 0, result.stderr
    assert "restic verified the checksum" in json.dumps(json.loads(result.stdout))
    assert PASSPHRASE not in result.stdout + result.stderr
    (tmp_path / "env" / "passphrase").write_text("another")
    lost = guardian("drill", "erp", "--config", str(config), "--format", "json")
    assert lost.code == 3, lost.stdout + lost.stderr
    assert "does not open the restic repository" in lost.stdout + lost.stderr


COLLECTORS = """
collectors: [{name: erp-db, type: postgres, dsn: "env:ERP_DSN"}]"""
SERVICES = """
sandbox: {{provider: {provider}, acceptNone: [erp]}}
services:
- {{name: plant, owner: ops, tier: standard, tenancy: dedicated, dataClass: internal, escalation: oncall,
   rto: 4h, rpo: 24h, recovery: {{detect: 5m, decide: 5m, redirect: 5m}},
   assets: [{{name: erp, type: postgres, assurance: sound, source: {{postgres: erp-db, database: {database}}},
             backups: [{{name: nightly, format: restic, path: {repository}, server: db1,
                         decrypt: {{password: "file:passphrase"}}}}]}}]}}
"""
