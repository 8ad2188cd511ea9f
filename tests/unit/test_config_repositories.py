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


S3 = "{{name: {name}, format: s3, path: '{path}', every: 24h{more}}}"


def s3(name: str = "n", path: str = "s3://backups/erp", more: str = "") -> str:
    return S3.format(name=name, path=path, more=f", {more}" if more else "")


def test_lock_of_a_bucket_is_read_as_seconds_and_asked_of_nothing_else(tmp_path: Path) -> None:
    assert load(tmp_path, s3(more="lock: 30d")).lock_s == 30 * 86_400
    assert load(tmp_path, s3()).lock_s is None
    for form in ("restic", "borg", "tar", "pg_dump"):
        kind = "postgres" if form == "pg_dump" else "odoo"
        with pytest.raises(ConfigError, match=f"belongs to format s3, and this is {form}; remove it"):
            load(tmp_path, f"{{name: n, format: {form}, path: r, every: 24h, lock: 30d}}", kind)


@pytest.mark.parametrize("path", ["backups/erp", "/srv/backups", "https://minio/backups", "S3://backups/erp"])
def test_path_of_format_s3_is_a_bucket(tmp_path: Path, path: str) -> None:
    with pytest.raises(ConfigError, match="expected s3://BUCKET/PREFIX, found"):
        load(tmp_path, s3(path=path))


def test_password_in_a_wrong_path_of_format_s3_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected s3://BUCKET/PREFIX") as caught:
        load(tmp_path, s3(path="s3:https://key:hunter2-CANARY@minio/backups"))
    assert "hunter2-CANARY" not in str(caught.value)


def load_two(folder: Path, one: str, other: str) -> list[str | None]:
    path = folder / "guardian.yaml"
    path.write_text(CONFIG.format(job=f"{one}, {other}", kind="odoo"), encoding="utf-8")
    return [job.place.endpoint for job in config.load(path).services[0].assets[0].backups]


def test_one_prefix_at_two_endpoints_is_two_places(tmp_path: Path) -> None:
    ours, theirs = "https://minio.example", "https://other.example"
    one, other = s3("one", more=f"endpoint: '{ours}'"), s3("other", more=f"endpoint: '{theirs}'")
    assert load_two(tmp_path, one, other) == [ours, theirs]
    assert load_two(tmp_path, s3("one"), other) == [None, theirs]


def test_one_prefix_at_one_endpoint_is_one_place(tmp_path: Path) -> None:
    same = "endpoint: 'https://minio.example'"
    with pytest.raises(ConfigError, match="this backup folder is already that of erp's one"):
        load_two(tmp_path, s3("one", more=same), s3("other", more=same))


def test_repositories_whose_urls_differ_in_the_password_are_two_places(tmp_path: Path) -> None:
    one, other = (
        f"{{name: {name}, format: restic, path: 'rest:https://u:{name}-pw@vault/erp', every: 24h,"
        ' decrypt: {password: "file:secret"}}'
        for name in ("one", "other")
    )
    assert load_two(tmp_path, one, other) == [None, None]
