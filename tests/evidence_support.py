"""A small evidence environment for tests: fixed keys, a log, and packs whose members can be changed."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from evidence import dsse, keyring, statement
from evidence.keys import PrivateKey
from evidence.log import Log
from evidence.pack import write_pack
from evidence.packfile import PackReader, PackWriter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from evidence.verify import Report

ORIGIN = "guardian/production/0a1b2c3d"
NOT_BEFORE = datetime(2026, 1, 1, tzinfo=UTC)


def fixed_key(number: int) -> PrivateKey:
    """Return the same key each time."""
    return PrivateKey.from_seed(bytes([number]) * 32)


ROOT_KEY, RECORD_KEY, LOG_KEY, OTHER_KEY = fixed_key(1), fixed_key(2), fixed_key(3), fixed_key(4)
ROOT = keyring.Root(ORIGIN, 1, (ROOT_KEY.public,))
RECORD = keyring.KeyEntry.of(RECORD_KEY, role="record", not_before=NOT_BEFORE)
LOG = keyring.KeyEntry.of(LOG_KEY, role="log", not_before=NOT_BEFORE)


def make_keyring(version: int = 1, *entries: keyring.KeyEntry, origin: str = ORIGIN, **options: Any) -> bytes:
    defaults: dict[str, Any] = {"threshold": 1, "root_keys": [ROOT_KEY], "entries": entries or (RECORD, LOG)}
    return keyring.create_keyring(origin=origin, version=version, **(defaults | options))


def record(kind: str = "restore-drill", *, key: PrivateKey = RECORD_KEY, **predicate: Any) -> bytes:
    """Return the signed envelope of a small record."""
    defaults: dict[str, Any] = {"recordId": statement.new_record_id(), "environment": "production", "result": "PASSED"}
    subject = {"name": "backup:erp/nightly", "digest": {"sha256": "ab" * 32}}
    return dsse.sign(statement.build(kind, [subject], defaults | predicate), key)


def key_event(envelope: bytes | None = None, *, key: PrivateKey = RECORD_KEY, **predicate: Any) -> bytes:
    """Return the record that brings a keyring."""
    return record("key-event", key=key, keyring=orjson.loads(envelope or make_keyring()), **predicate)


@dataclass(frozen=True)
class Place:
    """Where a log lies."""

    database: str
    objects: Path

    def open(self, *, writable: bool = True, origin: str = ORIGIN) -> Log:
        return Log.open(self.database, self.objects, origin=origin, log_key=LOG_KEY if writable else None)

    def fill(self, records: int = 4) -> None:
        """Write a keyring and records with beacons, the second with an attachment."""
        with self.open() as log:
            log.append([key_event()])
            attachment = log.put_object(b"a manifest of rows")
            named = {"name": "manifest", "mediaType": "application/json"}
            listed = [{**named, "saltedDigest": attachment.salted_digest, "size": attachment.size}]
            log.append([record(beacon=log.beacon(), attachments=listed, run="café ✓")])
            for _ in range(records - 2):
                log.append([record("policy-evaluation", beacon=log.beacon())])


def sqlite_place(folder: Path) -> Place:
    return Place(str(folder / "state" / "guardian.db"), folder / "state" / "objects")


def export(place: Place, path: Path, **options: Any) -> Path:
    """Write a pack and return its path."""
    defaults: dict[str, Any] = {"views": {"report.html": b"<h1>all is well</h1>"}, "coverage": b'{"runs":[]}'}
    with place.open(writable=False) as log:
        write_pack(path, log, record_key=RECORD_KEY, **(defaults | options))
    return path


def members_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zip_bytes(members: Mapping[str, bytes]) -> bytes:
    """Return a rightly written pack zip of these members."""
    file = io.BytesIO()
    writer = PackWriter(file)
    for name in sorted(members):
        writer.add(name, members[name])
    writer.finish()
    return file.getvalue()


def rewrite(path: Path, members: Mapping[str, bytes]) -> Path:
    path.write_bytes(zip_bytes(members))
    return path


def reader(members: Mapping[str, bytes]) -> PackReader:
    return PackReader(io.BytesIO(zip_bytes(members)))


def blamed(report: Report) -> set[str]:
    """Return the members that a report names."""
    return {member for member, _ in report.problems}
