"""The role that ships in deploy/postgres-role.sql is enough for a scan and for a backup with its manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from guardian import config
from guardian.usecases.init import init_keys
from tests.support import guardian

if TYPE_CHECKING:
    from collections.abc import Iterator

    from verifiers.sandbox.server import SandboxServer

ROLE = Path(__file__).parents[2] / "deploy" / "postgres-role.sql"


@pytest.fixture
def environment(tmp_path: Path, postgres_server: SandboxServer, postgres_url: str) -> Iterator[Path]:
    database = str(psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"])
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA plant")
        connection.execute("CREATE TABLE plant.line (id integer PRIMARY KEY, name text)")
        connection.execute("INSERT INTO plant.line SELECT n, 'line ' || n FROM generate_series(1, 200) n")
        connection.execute(ROLE.read_text(encoding="utf-8").encode())
        try:
            (tmp_path / "backups").mkdir()
            dsn = tmp_path / "dsn"
            dsn.touch(mode=0o600)
            dsn.write_text(postgres_server.url(database, "guardian"))
            path = tmp_path / "guardian.yaml"
            path.write_text(
                f"""\
environment: staging
services:
- name: plant
  match: [{{collector: plant-db}}]
  assets:
  - name: plant
    type: postgres
    source: {{postgres: plant-db, database: {database}}}
    backups: [{{name: nightly, format: pg_dump, path: backups, every: 24h}}]
collectors: [{{name: plant-db, type: postgres, dsn: "file:dsn"}}]
"""
            )
            init_keys(config.load(path))
            yield path
        finally:
            connection.execute("DROP OWNED BY guardian")
            connection.execute("DROP ROLE guardian")


def test_shipped_role_can_be_scanned_with_nothing_unreadable(environment: Path) -> None:
    scanned = json.loads(guardian("scan", "--config", str(environment), "--format", "json").stdout)
    assert [f for f in scanned["findings"] if f["resource"].startswith("error:")] == []
    verdicts = {f["verdict"] for f in scanned["findings"] if f["control"] == "postgres.durability"}
    assert verdicts <= {"pass", "fail"}


def test_shipped_role_can_back_up_and_the_drill_is_exact(environment: Path, postgres_server: SandboxServer) -> None:
    script = 'exec "$0" -Fc --snapshot="$GUARDIAN_SNAPSHOT" -f "$GUARDIAN_BACKUP_DIR/20261123T110000Z.dump"'
    pg_dump = str(postgres_server.programs.program("pg_dump"))
    taken = guardian("manifest", "plant", "--config", str(environment), "--backup", "--", "sh", "-c", script, pg_dump)
    assert taken.code == 0, taken.stderr
    drilled = guardian("drill", "plant", "--config", str(environment), "--format", "json")
    assert drilled.code == 0, drilled.stdout + drilled.stderr
    assert json.loads(drilled.stdout)["drills"][0]["assurance"] == "exact"
