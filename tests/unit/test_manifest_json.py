"""The manifest as a document: one spelling, every field checked, and the backup it belongs to."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from verifiers.filestore import FileEntry, FilestoreManifest
from verifiers.manifest import Manifest, ManifestError, RestorePoint, digest_check
from verifiers.postgres.manifest import Identity, LargeObjects, PostgresManifest, TableContent
from verifiers.postgres.snapshot import SequenceState
from verifiers.result import Verdict

POSTGRES = PostgresManifest(
    method="record",
    key_id="0123456789abcdef",
    taken_at="2026-03-01T11:00:00.123Z",
    lsn="0/16B3748",
    identity=Identity("erp", "7711328521249979186", "UTF8", "C", "C", "libc", None, 180006),
    tables={
        "public.big": TableContent(2000, "-123456789012345678901234", None, "ab" * 32),
        "public.small": TableContent(3, None, "cd" * 32, "ef" * 32),
    },
    excluded={"public.u": "unlogged"},
    materialized_views={"public.mv": None, "public.other": TableContent(1, None, "aa" * 32, "bb" * 32)},
    sequences={"public.s": SequenceState(-5, True, -1, False)},
    large_objects=LargeObjects(2, None, None),
    extensions={"plpgsql": "1.0"},
    collations={"default": None},
    roles={"odoo": ["login"]},
    catalog={"table public.big": "ab" * 16},
)
FILES = FilestoreManifest({"ab/abcd": FileEntry(3, "ab" * 32)})
POINT = RestorePoint("guardian-20260301-0a1b", "0/16B3790", 1)
WHOLE = Manifest("erp", "20260301T110000Z", "2026-03-01T11:00:00.000Z", "cd" * 32, 99, POSTGRES, FILES, POINT)


@pytest.mark.parametrize(
    "manifest",
    [
        WHOLE,
        replace(WHOLE, filestore=None),
        replace(WHOLE, recovery=None),
        replace(WHOLE, postgres=None, recovery=None),
        replace(WHOLE, backup_id=None, dump_sha256=None, dump_size=None, recovery=None),
        replace(WHOLE, postgres=replace(POSTGRES, key_id=None, tables={})),
    ],
)
def test_manifest_survives_its_own_bytes(manifest: Manifest) -> None:
    data = manifest.to_json()
    assert Manifest.from_json(data) == manifest
    assert Manifest.from_json(data).to_json() == data


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data.replace(b'"asset":"erp"', b'"asset":"erp","asset":"erp"'),
        lambda data: data.replace(b'"asset":"erp"', b'"asset": "erp"'),
        lambda data: data.replace(b'"asset":"erp"', b'"asset":"\\u0065rp"'),
        lambda data: data + b"\n",
        lambda data: data[:-1],
        lambda data: b"\xff" + data,
        lambda _: b"",
        lambda _: b"[]",
        lambda _: b"null",
    ],
)
def test_another_spelling_is_refused(spoil: Any) -> None:
    with pytest.raises(ManifestError, match="manifest"):
        Manifest.from_json(spoil(WHOLE.to_json()))


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("schema",), "guardian/manifest/v2", "schema"),
        (("asset",), 7, "asset"),
        (("asset",), None, "asset"),
        (("extra",), 1, "extra"),
        (("takenAt",), "yesterday", "takenAt"),
        (("backup",), None, "backup"),
        (("backup", "dumpSize"), -1, "dumpSize"),
        (("backup", "dumpSize"), True, "dumpSize"),
        (("backup", "dumpSha256"), "AB" * 32, "dumpSha256"),
        (("backup", "more"), 1, "more"),
        (("postgres", "method"), "xor", "method"),
        (("postgres", "keyId"), "zz", "keyId"),
        (("postgres", "lsn"), "", "lsn"),
        (("postgres", "identity", "serverVersion"), "18", "serverVersion"),
        (("postgres", "identity", "more"), 1, "more"),
        (("postgres", "tables", "public.big", "rows"), 1.5, "public.big"),
        (("postgres", "tables", "public.big", "rows"), "2000", "public.big"),
        (("postgres", "tables", "public.big", "hash"), "0x1", "public.big"),
        (("postgres", "tables", "public.big", "keyed"), "ab" * 32, "public.big"),
        (("postgres", "tables", "public.big", "more"), 1, "public.big"),
        (("postgres", "tables"), [], "tables"),
        (("postgres", "sequences", "public.s"), [1, 1, 1, False], "public.s"),
        (("postgres", "sequences", "public.s"), [True, True, 1, False], "public.s"),
        (("postgres", "largeObjects", "count"), None, "count"),
        (("postgres", "roles", "odoo"), "login", "odoo"),
        (("postgres", "catalog", "table public.big"), "no hex", "table public.big"),
        (("filestore", "files", "ab/abcd"), [3, "short"], "ab/abcd"),
        (("filestore", "files", "ab/abcd"), [True, "ab" * 32], "ab/abcd"),
        (("filestore", "more"), 1, "filestore"),
        (("recovery", "name"), "with'quote", "recovery.name"),
        (("recovery", "name"), "x" * 64, "recovery.name"),
        (("recovery", "lsn"), "16B3790", "recovery.lsn"),
        (("recovery", "timeline"), "1", "recovery.timeline"),
        (("recovery", "more"), 1, "recovery"),
        (("recovery",), [], "recovery"),
        (("postgres",), None, "postgres"),
    ],
)
def test_malformed_field_is_named(path: tuple[str, ...], value: object, named: str) -> None:
    document = orjson.loads(WHOLE.to_json())
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(ManifestError) as caught:
        Manifest.from_json(orjson.dumps(document, option=orjson.OPT_SORT_KEYS))
    assert named in str(caught.value)


def test_manifest_of_nothing_is_refused() -> None:
    with pytest.raises(ManifestError, match="tells nothing"):
        replace(WHOLE, postgres=None, filestore=None, recovery=None)
    with pytest.raises(ManifestError, match="without a backup"):
        replace(WHOLE, backup_id=None)


def _leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(value, dict):
        return []
    return [found for key in value for found in [(*path, key), *_leaves(value[key], (*path, key))]]


def test_no_field_of_a_fixed_shape_may_be_missing() -> None:
    free = {
        "tables",
        "excluded",
        "materializedViews",
        "sequences",
        "extensions",
        "collations",
        "roles",
        "catalog",
        "files",
    }
    document = orjson.loads(WHOLE.to_json())
    fixed = [path for path in _leaves(document) if not free & set(path[:-1])]
    assert len(fixed) > 25
    for path in fixed:
        changed = orjson.loads(WHOLE.to_json())
        place = changed
        for step in path[:-1]:
            place = place[step]
        del place[path[-1]]
        with pytest.raises(ManifestError):
            Manifest.from_json(orjson.dumps(changed, option=orjson.OPT_SORT_KEYS))


def test_manifest_belongs_to_the_dump_by_its_digest() -> None:
    digest = hashlib.sha256(b"PGDMP and more").hexdigest()
    backup = ("20260301T110000Z", digest, 14)
    manifest = Manifest.of("erp", backup, datetime(2026, 3, 1, 11, tzinfo=UTC), POSTGRES, FILES)
    assert manifest.backup_json() == {"id": "20260301T110000Z", "sha256": digest, "sizeBytes": 14}
    assert digest_check(manifest, digest).verdict is Verdict.PASS
    assert digest_check(manifest, "0" * 64).verdict is Verdict.FAIL
    assert digest_check(None, digest).verdict is Verdict.SKIP
