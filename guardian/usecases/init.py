"""Make a new environment: guardian.yaml, keys, the root of keys and the log with its first record.

Invariant: nothing that exists is overwritten; a half-made environment is never left without a message that says so.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING

import orjson

from evidence import keyring
from evidence.statement import new_record_id
from guardian import config
from guardian.errors import UsageError
from guardian.records import key_event
from guardian.usecases.ledger import Ledger, new_run, root_path

if TYPE_CHECKING:
    from pathlib import Path

    from guardian.settings import Settings

# Below .guardian, beside the evidence: a file of Guardian's own making, which nobody edits.
SCHEMA = ".guardian/guardian.schema.json"
TEMPLATE = """\
# yaml-language-server: $schema=.guardian/guardian.schema.json
# Guardian's configuration. Every duration and size carries its unit; secrets are references (env:NAME, file:PATH).
# Relative paths are relative to this file.
environment: {environment}

# What the business runs. Uncomment and adapt; `guardian scan` says what is missing.
services: []
# - name: erp-plant1
#   owner: ops
#   escalation: oncall
#   tier: critical            # critical | standard | low
#   tenancy: dedicated
#   dataClass: confidential
#   rto: 4h
#   rpo: 15m
#   recovery: {{detect: 5m, decide: 10m, redirect: 5m}}
#   dependsOn: []
#   match: [{{collector: erp-db}}]
#   assets:
#   - name: erp
#     type: odoo              # odoo: database and filestore | postgres
#     source: {{postgres: erp-db, database: erp, filestore: /srv/odoo/filestore/erp}}
#     backups: [{{name: nightly, format: pg_dump, path: /backups/erp, every: 24h}}]

# Where Guardian looks.
collectors: []
# - {{name: erp-db, type: postgres, dsn: "env:ERP_DSN"}}   # postgresql://guardian:...@host/postgres
# - {{name: prod-eu, type: kubernetes, kubeconfig: /etc/guardian/kubeconfig}}   # omit kubeconfig inside the cluster
# - {{name: aws-prod, type: aws, regions: [eu-central-1], backupBuckets: [erp-backups]}}   # docs/aws.md

# What judges: in this process, or an OPA server, or an OPA that Guardian starts. Your own Rego beside the bundled.
engine: {{type: wasm}}
# engine: {{type: opa, url: "https://opa.example:8181", token: "env:OPA_TOKEN", ca: /etc/guardian/opa-ca.pem}}
# engine: {{type: opa, command: /usr/local/bin/opa}}
# policies: {{folder: rego}}

# The admission webhook. failClosed: where what could not be judged in time is denied (default: the namespaces that
# critical services match).
# webhook: {{collector: prod-eu, listen: "0.0.0.0:8443", certificate: tls/tls.pem, key: "file:tls/tls.key",
#           timeout: 5s, deadline: 4s, failClosed: [erp], exempt: [kube-system, guardian]}}

# When `guardian run` scans and drills (docs/daemon.md), and where `guardian api` answers (docs/api.md).
# schedules:
# - {{job: scan, cron: "*/15 * * * *", grace: 10m}}
# - {{job: drill, asset: erp, cron: "0 3 * * *", timeZone: Europe/Berlin, grace: 2h, attempts: 2}}
# daemon: {{listen: "127.0.0.1:9465", lease: 60s, jobs: 1}}
# api: {{listen: "127.0.0.1:8480"}}   # another address needs certificate and key, or behindProxy

storage: {{database: .guardian/guardian.db, objects: .guardian/objects}}
keys: {{record: "file:keys/record.pem", log: "file:keys/log.pem", redaction: "file:keys/redaction.key"}}
"""


@dataclass(frozen=True, slots=True)
class Initialised:
    """What was made. fingerprint: hex SHA-256 of root.json, to be kept elsewhere and compared by auditors."""

    config: Path
    root: Path
    root_key: Path
    origin: str
    fingerprint: str


def init(path: Path, *, environment: str | None) -> Initialised:
    """Make an environment: its configuration at `path` if there is none yet, then keys, root.json and the log.

    environment: for a new configuration; None: `production`. An existing one is used as it is.
    Raises UsageError if the environment was made before, or is another than the one named.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _write_new(path, TEMPLATE.format(environment=environment or "production").encode(), mode=0o644)
        write_schema(path.parent / SCHEMA)
    settings = config.load(path)
    if environment not in (None, settings.environment):
        raise UsageError(f"{path} is of environment {settings.environment!r}, not {environment!r}; edit it, or omit it")
    return init_keys(settings)


def schema() -> bytes:
    """Return the JSON Schema of guardian.yaml, as this version reads it."""
    return resources.files("guardian.schemas").joinpath("guardian.schema.json").read_bytes()


def write_schema(path: Path) -> None:
    """Write the JSON Schema of guardian.yaml for editors, in place of an older one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    _write_new(path, schema(), mode=0o644)


def init_keys(settings: Settings) -> Initialised:
    """Make keys, root.json and the log for an existing guardian.yaml, and log keyring version 1."""
    root_file = root_path(settings)
    if root_file.exists():
        raise UsageError(f"{root_file} exists already: this environment is initialised")
    started_on = datetime.now(UTC)
    record_path, log_path = settings.keys.record.path, settings.keys.log.path
    for path in (record_path, log_path, settings.keys.redaction.path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    root_key_path = record_path.parent / "root.pem"
    root_key = keyring.generate_key(root_key_path)
    record_key, log_key = keyring.generate_key(record_path), keyring.generate_key(log_path)
    _write_new(settings.keys.redaction.path, secrets.token_hex(32).encode() + b"\n", mode=0o600)
    origin = f"guardian/{settings.environment}/{secrets.token_hex(4)}"
    root = keyring.Root(origin=origin, threshold=1, roots=(root_key.public,))
    envelope = keyring.create_keyring(
        origin=origin,
        version=1,
        threshold=1,
        root_keys=[root_key],
        entries=[
            keyring.KeyEntry.of(record_key, role="record", not_before=started_on),
            keyring.KeyEntry.of(log_key, role="log", not_before=started_on),
        ],
    )
    _write_new(root_file, root.to_json(), mode=0o644)
    with Ledger(settings, writable=True, create=True) as ledger:
        run = new_run("init", started_on, run_id=new_record_id())
        digest = hashlib.sha256(envelope).hexdigest()
        ledger.append([key_event(run, ledger.context(), orjson.loads(envelope), version=1, digest=digest)])
    return Initialised(
        settings.path, root_file, root_key_path, origin, hashlib.sha256(root_file.read_bytes()).hexdigest()
    )


def _write_new(path: Path, data: bytes, *, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise UsageError(f"{path} exists already; move it away if this environment is to be made anew") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
