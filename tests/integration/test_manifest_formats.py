from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from guardian import config
from guardian.errors import UsageError
from guardian.usecases.init import init
from guardian.usecases.manifest import manifest

if TYPE_CHECKING:
    from pathlib import Path

_CONFIGURATION = """\
environment: production
services:
- {name: erp-plant1, owner: ops, escalation: oncall, tier: critical, tenancy: dedicated, dataClass: confidential,
   rto: 4h, rpo: 15m, recovery: {detect: 5m, decide: 10m, redirect: 5m}, dependsOn: [], match: [{collector: erp-db}],
   assets: [{name: erp, type: postgres, source: {postgres: erp-db, database: erp},
             backups: [{name: base, format: pg_basebackup, path: backups, every: 24h}]}]}
collectors: [{name: erp-db, type: postgres, dsn: "env:ERP_DSN"}]
storage: {database: .guardian/guardian.db, objects: .guardian/objects}
keys: {record: "file:keys/record.pem", log: "file:keys/log.pem", redaction: "file:keys/redaction.key"}
"""


def test_no_manifest_is_taken_with_a_copy_of_a_cluster_and_its_command_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ERP_DSN", "postgresql://guardian@127.0.0.1:1/postgres")
    path = tmp_path / "guardian.yaml"
    path.write_text(_CONFIGURATION, encoding="utf-8")
    init(path, environment=None)
    command = [sys.executable, "-c", f"open({str(tmp_path / 'ran')!r}, 'w')"]
    named = r"copies a whole cluster \(pg_basebackup\).*Give the job `quiesce: .*or run the command without"
    with pytest.raises(UsageError, match=named):
        manifest(config.load(path), "erp", command, job_name=None, progress=lambda _said: None)
    assert not (tmp_path / "ran").exists()
