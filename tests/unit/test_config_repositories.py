"""Backup jobs that read repositories: what loads, and which mistakes are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from guardian import config
from guardian.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from guardian.model import BackupJob

CONFIG = """\
environment: production
services:
- {{name: plant, owner: ops, escalation: oncall, tier: critical, tenancy: dedicated, dataClass: confidential,
   rto: 4h, rpo: 15m, recovery: {{detect: 5m, decide: 10m, redirect: 5m}},
   assets: [{{name: erp, type: {kind}, source: {{postgres: erp-db, database: erp, filestore: /srv/fs}},
             backups: [{job}]}}]}}
collectors: [{{name: erp-db, type: postgres, dsn: "env:ERP_DSN"}}]
engine: {{type: wasm}}
storage: {{database: .guardian/guardian.db, objects: .guardian/objects}}
keys: {{record: "file:keys/record.pem", log: "file:keys/log.pem", redaction: "file:keys/redaction.key"}}
"""


def load(folder: Path, job: str, kind: str = "odoo") -> BackupJob:
    path = folder / "guardian.yaml"
    path.write_text(CONFIG.format(job=job, kind=kind), encoding="utf-8")
    [loaded] = config.load(path).services[0].assets[0].backups
    return loaded


@pytest.mark.parametrize("form", ["restic", "borg"])
def test_repository_by_url_with_passphrase_and_variables_loads(tmp_path: Path, form: str) -> None:
    job = load(
        tmp_path,
        f"{{name: n, format: {form}, path: 'ssh://backup@vault/./erp', server: db1, every: 24h,"
        ' decrypt: {password: "file:secret"}, environment: {BORG_RSH: "env:RSH"}}',
    )
    assert (job.format, job.path, job.place.server) == (form, "ssh://backup@vault/./erp", "db1")
    assert job.place.remote
    assert job.place.secret is not None
    assert set(job.place.environment) == {"BORG_RSH"}


@pytest.mark.parametrize("form", ["restic", "borg"])
def test_folder_of_this_machine_is_relative_to_the_file(tmp_path: Path, form: str) -> None:
    assert load(tmp_path, f"{{name: n, format: {form}, path: repo, every: 24h}}").path == str(tmp_path / "repo")


@pytest.mark.parametrize(
    ("job", "says"),
    [
        ("{name: n, format: restik, path: r, every: 24h}", "restic"),
        ("{name: n, format: restic, path: r, every: 24h, endpoint: 'https://x'}", "belongs to format s3"),
        ("{name: n, format: borg, path: r, every: 24h, wal: w}", "holds: pg_basebackup"),
        ("{name: n, format: pg_dump, path: r, every: 24h, server: db1}", "restic or borg"),
    ],
)
def test_mistake_is_told_with_the_way_out(tmp_path: Path, job: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load(tmp_path, job)
