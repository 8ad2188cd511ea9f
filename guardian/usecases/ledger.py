"""The environment's evidence log opened with its keys: the one place where use cases append and read records.

Invariant: what is read from here was verified against the root of keys before anything acts on it.
"""

from __future__ import annotations

import getpass
import os
import re
import socket
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import structlog

from evidence import dsse, keyring, statement
from evidence.errors import InvalidEvidenceError, LogBusyError
from evidence.log import Log
from evidence.statement import new_record_id
from evidence.verify import VerifiedRecord, verified_records
from guardian import __version__
from guardian.errors import GuardianError, UsageError
from guardian.records import AttachmentRef, Context, Run, backup_name
from guardian.settings import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from evidence.keyring import PrivateKey, Root
    from evidence.store import Within
    from guardian.model import Claim
    from guardian.settings import Settings

log_events = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Appended:
    """Where a record went. index: its place in the log."""

    index: int
    record_id: str


class Ledger:
    """The log of one environment, opened for writing (with the log key) or for reading only."""

    def __init__(self, settings: Settings, *, writable: bool, create: bool = False) -> None:
        """Open the log of `settings`; only `guardian init` creates it.

        Raises UsageError where the environment was never initialised, EvidenceError where its log is gone or cut.
        """
        self.root_path = root_path(settings)
        if not self.root_path.exists():
            raise UsageError(
                f"{self.root_path} is missing: this environment has no root of keys yet; `guardian init` makes one"
            )
        self.settings = settings
        self.root: Root = keyring.read_root(self.root_path)
        self._record_key: PrivateKey | None = keyring.load_key(settings.keys.record.path) if writable else None
        log_key = keyring.load_key(settings.keys.log.path) if writable else None
        if self._record_key is not None and log_key is not None and not create:
            self._check_keys(self._record_key, log_key)
        self._records: list[VerifiedRecord] | None = None
        self._image_digest = image_digest(os.environ) if writable else None
        self.log = Log.open(
            database_url(settings), settings.storage.objects, origin=self.root.origin, log_key=log_key, create=create
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.log.close()

    def _check_keys(self, record_key: PrivateKey, log_key: PrivateKey) -> None:
        """Refuse keys that the keyring in force does not know: what they sign would never verify."""
        origin, objects = self.root.origin, self.settings.storage.objects
        with Log.open(database_url(self.settings), objects, origin=origin, log_key=None) as log:
            events = [dsse.open_envelope(envelope) for _, envelope in log.key_events()]
        statements = [statement.parse_statement(event.payload) for event in events]
        ring = keyring.verify_keyring([keyring.envelope_of(s.predicate) for s in statements], self.root)
        for name, key in (("record", record_key), ("log", log_key)):
            try:
                ring.find(key.id, (name,))
            except InvalidEvidenceError as error:
                raise UsageError(
                    f"keys.{name} of {self.settings.path} is not the {name} key of this environment: {error}. "
                    "Nothing was written; correct `keys:`"
                ) from error

    def context(self) -> Context:
        """Return what surrounds a run that begins now, with the last checkpoint as its beacon."""
        host, beacon = socket.gethostname(), self.log.beacon()
        return Context(self.settings.environment, __version__, host, beacon, self._image_digest)

    def append(self, statements: Sequence[bytes], *, within: Within | None = None) -> Sequence[Appended]:
        """Sign each statement with the record key and append all in one commit, then sign a checkpoint.

        within: changes other tables of the same database in that commit, such as the slot that a record closes.
        """
        if self._record_key is None:
            raise GuardianError("this log was opened for reading only")
        appended = self.log.append([dsse.sign(payload, self._record_key) for payload in statements], within=within)
        for entry in appended:
            log_events.info("record_appended", index=entry.index, record_id=entry.record_id)
        return [Appended(entry.index, entry.record_id) for entry in appended]

    def attach(self, name: str, media_type: str, content: bytes) -> AttachmentRef:
        """Store `content` as an object, durably, before the record that names it is appended."""
        attachment = self.log.put_object(content)
        return AttachmentRef(name, media_type, len(content), attachment.salted_digest)

    def records(self) -> list[VerifiedRecord]:
        """Return every record, verified, oldest first; verified anew only when the log has grown."""
        if self._records is None or len(self._records) != self.log.size:
            self._records = list(verified_records(self.log, self.root))
        return self._records

    def manifest_for(self, asset: str, backup_id: str) -> tuple[str, bytes] | None:
        """Return record id and bytes of the newest manifest of one backup, None if none was logged."""
        wanted = backup_name(asset, backup_id)
        for record in reversed(self.records()):
            if record.kind == "source-manifest" and record.subject == wanted:
                [attachment] = record.predicate["attachments"]
                return record.record_id, self.log.get_object(attachment["saltedDigest"])
        return None

    def has_manifest(self, asset: str) -> bool:
        """Tell whether any manifest with a backup was ever logged for `asset`: then `exact` is required by default."""
        return any(
            record.kind == "source-manifest" and record.predicate["asset"] == asset and record.predicate["backup"]
            for record in self.records()
        )

    def drills(self, now: datetime) -> list[dict[str, Any]]:
        """Return the attributes of `guardian.Drill` for every drill in the log. now: UTC, for ages."""
        return [
            drill_attributes(record, now)
            for record in self.records()
            if record.kind == "restore-drill" and record.predicate["asset"] is not None
        ]


def can_open(settings: Settings) -> bool:
    """Open the log as a signer would, and close it again; False if another process holds it, so that nothing was found
    out. Raises what opening it raises.
    """
    try:
        with Ledger(settings, writable=True):
            return True
    except LogBusyError:
        return False


def drill_attributes(record: VerifiedRecord, now: datetime) -> dict[str, Any]:
    """Return one verified drill record as the attributes that policies judge. Ages are whole seconds."""
    predicate = record.predicate
    run, measurements = predicate["run"], predicate["measurements"]
    finished = datetime.fromisoformat(run["finishedOn"])
    checks = predicate["checks"]
    backup = predicate.get("backup") or {}
    taken_at = backup.get("takenAt")
    return {
        "asset": predicate["asset"],
        "service": predicate["service"],
        "backupId": backup.get("id"),
        "backupTakenAt": taken_at,
        "backupAgeSeconds": int((now - datetime.fromisoformat(taken_at)).total_seconds()) if taken_at else None,
        "recordId": record.record_id,
        "slot": run.get("slot"),
        "logIndex": record.index,
        "startedOn": run["startedOn"],
        "finishedOn": run["finishedOn"],
        "ageSeconds": int((now - finished).total_seconds()),
        "verdict": {"PASSED": "pass", "FAILED": "fail"}.get(predicate["result"], "error"),
        "assurance": predicate["assurance"],
        "requiredAssurance": predicate.get("requiredAssurance"),
        "restoreSeconds": measurements.get("restoreSeconds"),
        "estimatedRtoSeconds": measurements.get("estimatedRtoSeconds"),
        "rpoSeconds": measurements.get("rpoSeconds"),
        "scope": predicate.get("scope") or "full",
        "restoreRegression": measurements.get("restoreRegression"),
        "passedChecks": [check["id"] for check in checks if check["verdict"] == "pass"],
        "failedChecks": [check["id"] for check in checks if check["verdict"] == "fail"],
        "erredChecks": [check["id"] for check in checks if check["verdict"] == "error"],
    }


def database_url(settings: Settings) -> str:
    """Return the log's database: a SQLite path, or the PostgreSQL URL read from its secret."""
    database: Path | Secret = settings.storage.database
    return database.read() if isinstance(database, Secret) else str(database)


def root_path(settings: Settings) -> Path:
    """Return where this environment's root of keys lies: root.json beside guardian.yaml."""
    return settings.path.parent / "root.json"


def image_digest(environ: Mapping[str, str]) -> str | None:
    """Return the digest of the container image this runs in, as GUARDIAN_IMAGE_DIGEST says; None if it says nothing.

    Raises UsageError if it is no digest: what is signed must not be a typing error.
    """
    told = environ.get("GUARDIAN_IMAGE_DIGEST", "")
    if not told:
        return None
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", told):
        raise UsageError("GUARDIAN_IMAGE_DIGEST is no image digest; expected sha256: and 64 hex digits, or nothing")
    return told


def new_run(
    job: str,
    started_on: datetime,
    finished_on: datetime | None = None,
    *,
    run_id: str | None = None,
    claim: Claim | None = None,
) -> Run:
    """Return the identity of a run of `job` started by the current user, or for the slot of `claim`."""
    run = Run(run_id or new_record_id(), job, started_on, finished_on or datetime.now(UTC), actor())
    return run if claim is None else replace(run, trigger="schedule", attempt=claim.attempt, slot=claim.slot)


def actor() -> str:
    """Return who runs this process, as `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a uid without a passwd entry, as in containers
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
