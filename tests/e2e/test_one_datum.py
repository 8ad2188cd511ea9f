"""One role and one backup, each followed from its collector to a pack that a stranger verifies."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from guardian import config
from guardian.usecases.init import init_keys
from tests.support import guardian

if TYPE_CHECKING:
    from pathlib import Path

    from verifiers.sandbox.server import SandboxServer


@pytest.fixture
def environment(tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ERP_DSN", postgres_url)
    database = psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"]
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE plant (id integer PRIMARY KEY, name text)")
        connection.execute("INSERT INTO plant SELECT n, 'plant ' || n FROM generate_series(1, 500) n")
    path = tmp_path / "guardian.yaml"
    path.write_text(
        f"""\
environment: staging
services:
- name: erp
  owner: ops
  escalation: oncall
  tier: standard
  tenancy: dedicated
  dataClass: internal
  rto: 1h
  rpo: 24h
  recovery: {{detect: 5m, decide: 10m, redirect: 5m}}
  dependsOn: []
  match: [{{collector: erp-db}}]
  assets:
  - name: erp
    type: postgres
    source: {{postgres: erp-db, database: {database}}}
    backups: [{{name: nightly, format: pg_dump, path: backups, every: 24h}}]
collectors: [{{name: erp-db, type: postgres, dsn: "env:ERP_DSN"}}]
"""
    )
    init_keys(config.load(path))
    return path


def _packed_predicates(environment: Path) -> list[dict[str, object]]:
    pack = environment.parent / "pack.zip"
    assert guardian("evidence", "export", "--output", str(pack), "--config", str(environment)).code == 0
    verified = guardian("verify", str(pack), "--root", str(environment.parent / "root.json"))
    assert verified.code == 0, verified.stdout + verified.stderr
    with zipfile.ZipFile(pack) as members:
        names = sorted(name for name in members.namelist() if name.startswith("records/"))
        return [json.loads(base64.b64decode(json.loads(members.read(name))["payload"]))["predicate"] for name in names]


def test_superuser_role_is_a_finding_in_the_verified_pack(environment: Path, postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE one_datum LOGIN SUPERUSER")
        try:
            scanned = guardian("scan", "--config", str(environment), "--format", "json")
        finally:
            connection.execute("DROP ROLE one_datum")
    assert scanned.code == 1, scanned.stderr
    findings = [f for predicate in _packed_predicates(environment) for f in predicate.get("findings", [])]  # type: ignore[attr-defined]
    [finding] = [f for f in findings if f["resource"] == "pg:erp-db/role/one_datum"]
    assert (finding["control"], finding["verdict"]) == ("postgres.superusers", "fail")


def test_backup_with_manifest_is_an_exact_drill_in_the_verified_pack(
    environment: Path, postgres_server: SandboxServer
) -> None:
    script = 'exec "$0" -Fc --snapshot="$GUARDIAN_SNAPSHOT" -f "$GUARDIAN_BACKUP_DIR/20261123T110000Z.dump"'
    pg_dump = str(postgres_server.programs.program("pg_dump"))
    taken = guardian("manifest", "erp", "--config", str(environment), "--backup", "--", "sh", "-c", script, pg_dump)
    assert taken.code == 0, taken.stderr
    drilled = guardian("drill", "erp", "--config", str(environment))
    assert drilled.code == 0, drilled.stdout + drilled.stderr
    [drill] = [p for p in _packed_predicates(environment) if p.get("checks")]
    assert (drill["result"], drill["assurance"]) == ("PASSED", "exact")
    assert drill["backup"]["id"] == "20261123T110000Z"  # type: ignore[index]


def test_failing_backup_command_makes_no_manifest_and_exits_1(environment: Path) -> None:
    refused = guardian("manifest", "erp", "--config", str(environment), "--backup", "--", "false")
    assert refused.code == 1
    assert "No manifest was made" in refused.stderr
    silent = guardian("manifest", "erp", "--config", str(environment), "--backup", "--", "true")
    assert silent.code == 1
    assert "no new backup" in silent.stderr
    rows = json.loads(guardian("evidence", "list", "--config", str(environment), "--format", "json").stdout)["records"]
    assert [row["kind"] for row in rows] == ["key-event"]


def test_backup_that_is_being_taken_is_passed_over_by_a_drill(
    environment: Path, postgres_server: SandboxServer
) -> None:
    pg_dump = str(postgres_server.programs.program("pg_dump"))
    config = str(environment)
    dump = 'set -e; "$0" -Fc --snapshot="$GUARDIAN_SNAPSHOT" -f "$GUARDIAN_BACKUP_DIR/$1.dump"; sleep "$2"'

    def command(stamp: str, seconds: str) -> list[str]:
        return ["manifest", "erp", "--config", config, "--backup", "--", "sh", "-c", dump, pg_dump, stamp, seconds]

    assert guardian(*command("20261123T110000Z", "0")).code == 0
    now = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y%m%dT%H%M%SZ")
    slow = subprocess.Popen([sys.executable, "-m", "guardian", *command(now, "600")], start_new_session=True)
    try:
        while not list((environment.parent / "backups").glob(f"{now}.dump")):
            assert slow.poll() is None
            time.sleep(0.05)
        refused = guardian(*command("20261123T120000Z", "0"))
        assert (refused.code, "being taken by another run" in refused.stderr) == (2, True)
        drilled = guardian("drill", "erp", "--config", config, "--format", "json")
    finally:
        os.killpg(slow.pid, signal.SIGKILL)
        slow.wait()
    assert drilled.code == 0, drilled.stderr
    assert json.loads(drilled.stdout)["drills"][0]["backup"]["id"] == "20261123T110000Z"


def test_edited_snapshot_is_judged_but_never_signed(environment: Path) -> None:
    config, path = str(environment), environment.parent / "taken.jsonl"
    (environment.parent / "backups").mkdir(exist_ok=True)
    assert guardian("snapshot", "--output", str(path), "--config", config).code == 0
    judged = guardian("scan", "--snapshot", str(path), "--config", config, "--format", "json")
    assert json.loads(judged.stdout)["record"] is None
    assert "not signed" in judged.stderr
    path.write_bytes(path.read_bytes().replace(b'"environment":"staging"', b'"environment":"development"'))
    other = guardian("scan", "--snapshot", str(path), "--config", config)
    assert (other.code, "of environment 'development'" in other.stderr) == (2, True)
    rows = json.loads(guardian("evidence", "list", "--config", config, "--format", "json").stdout)["records"]
    assert [row["kind"] for row in rows] == ["key-event"]
