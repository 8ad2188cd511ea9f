"""Faults of backups in a bucket: object lock, copies that differ, uploads that are not whole. On a real S3 server."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyrage
import pytest

from guardian.drills.run import run_drill
from guardian.model import Asset, Assurance, BackupJob, Service, Source
from guardian.settings import SandboxSettings
from tests.drill_support import KEY, RUN_1, by_id
from tests.formats_support import DATABASE, FORMS, STAMP, Dumps, Text, against
from tests.shelves.s3 import PREFIX, new_bucket, place_of
from tests.tools.seaweed import ADMIN, READER, Seaweed, User
from verifiers.result import Verdict
from verifiers.sources import Place, open_source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from guardian.model import Drill
    from tests.faults.catching import Caught
    from verifiers.sandbox.isolation import Provider

MONTH_S = 30 * 86400
NAME = f"{STAMP}.dump"
NOW = datetime.now(UTC).replace(microsecond=0)
FRESH = f"{NOW:%Y%m%dT%H%M%SZ}.dump"


class Vault:
    """One asset whose dumps lie in a bucket, and drills of the newest of them."""

    def __init__(self, server: Seaweed, dumps: Dumps, folder: Path, provider: str) -> None:
        self.server, self.dumps, self.folder, self.provider = server, dumps, folder, provider
        self.client = server.client()
        self.bucket = new_bucket(server, versions=True, locks=True)
        self.place = place_of(server, self.bucket)
        self.dump = dumps.path("custom").read_bytes()

    def put(self, name: str, data: bytes, **locked: Any) -> None:
        self.client.put_object(Bucket=self.bucket, Key=f"{PREFIX}/{name}", Body=data, **locked)

    def drill(self, user: User = READER, *jobs: BackupJob, **job: Any) -> Drill:
        """Drill the newest in the bucket. jobs: other ones of the asset. job: further words of this one."""
        there = BackupJob("vault", place_of(self.server, self.bucket, user), 86400, **job)
        asset = Asset("erp", "postgres", "plant", None, Source("db", DATABASE, None), (*jobs, there))
        return run_drill(
            run_id=RUN_1,
            asset=asset,
            service=Service("plant", assets=(asset,)),
            job=there,
            backup=open_source("postgres", there.place).locate()[-1],
            required=Assurance.RESTORED,
            manifest=None,
            key=KEY,
            settings=SandboxSettings(self.provider, ("erp",), 5 << 30, self.folder / "sandbox", False),
            progress=lambda _phase, _done, _total: None,
        )


@pytest.fixture
def vault(seaweed: Seaweed, dumps: Dumps, tmp_path: Path, sandbox_provider: Provider) -> Vault:
    return Vault(seaweed, dumps, tmp_path, sandbox_provider.name)


def until(seconds: int) -> dict[str, Any]:
    return {"ObjectLockRetainUntilDate": NOW + timedelta(seconds=seconds)}


def test_backup_that_is_locked_long_enough_passes_and_nobody_can_remove_it(vault: Vault) -> None:
    vault.put(FRESH, vault.dump, ObjectLockMode="COMPLIANCE", **until(MONTH_S))
    drill = vault.drill(ADMIN, lock_s=MONTH_S)
    check = by_id(drill)["backup.locked"]
    assert against(drill) == {}
    assert check.verdict is Verdict.PASS
    assert check.observed["modes"] == ["COMPLIANCE"]
    assert "GOVERNANCE" not in check.message
    [version] = vault.client.list_object_versions(Bucket=vault.bucket)["Versions"]
    with pytest.raises(vault.client.exceptions.ClientError, match="AccessDenied"):
        vault.client.delete_object(Bucket=vault.bucket, Key=version["Key"], VersionId=version["VersionId"])


def test_37_object_lock_absent(vault: Vault, caught: Caught) -> None:
    vault.put(FRESH, vault.dump)
    caught(37, "s3", vault.drill(ADMIN, lock_s=MONTH_S), by="backup.locked", says="is not locked at all")


def test_37_retention_that_ends_too_early(vault: Vault, caught: Caught) -> None:
    vault.put(FRESH, vault.dump, ObjectLockMode="COMPLIANCE", **until(MONTH_S - 2 * 3600))
    drill = vault.drill(ADMIN, lock_s=MONTH_S)
    caught(37, "s3", drill, by="backup.locked", says="held by COMPLIANCE until .* only, and `lock` asks for 30 days")


def test_37_globals_without_a_lock_are_part_of_the_backup(vault: Vault, caught: Caught) -> None:
    vault.put(FRESH, vault.dump, ObjectLockMode="COMPLIANCE", **until(MONTH_S))
    vault.put("globals.sql", vault.dumps.cluster)
    caught(37, "s3", vault.drill(ADMIN, lock_s=MONTH_S), by="backup.locked", says="1 of 2 objects .*globals.sql")


def test_governance_and_legal_hold_pass_and_are_called_what_they_are(vault: Vault) -> None:
    vault.put(FRESH, vault.dump, ObjectLockMode="GOVERNANCE", **until(MONTH_S - 1800))
    vault.put("globals.sql", vault.dumps.cluster, ObjectLockLegalHoldStatus="ON")
    check = by_id(vault.drill(ADMIN, lock_s=MONTH_S))["backup.locked"]
    assert check.verdict is Verdict.PASS, check.message
    assert "s3:BypassGovernanceRetention" in check.message
    assert "A legal hold lasts until somebody lifts it" in check.message


def test_lock_that_may_not_be_read_is_an_error_and_never_a_pass(vault: Vault) -> None:
    vault.put(FRESH, vault.dump, ObjectLockMode="COMPLIANCE", **until(MONTH_S))
    check = by_id(vault.drill(READER, lock_s=MONTH_S))["backup.locked"]
    assert check.verdict is Verdict.ERROR
    assert "allow s3:GetObjectRetention" in check.message
    assert by_id(vault.drill(READER))["backup.locked"].verdict is Verdict.SKIP


def original(vault: Vault, data: bytes | None) -> BackupJob:
    """Return the job whose backups the bucket has copies of."""
    folder = vault.folder / "original"
    folder.mkdir()
    if data is not None:
        (folder / NAME).write_bytes(data)
    return BackupJob("nightly", Place("pg_dump", str(folder)), 86400)


def test_copy_that_is_the_same_as_its_original_passes(vault: Vault) -> None:
    vault.put(NAME, vault.dump)
    check = by_id(vault.drill(READER, original(vault, vault.dump), copy_of="nightly"))["backup.digest"]
    assert check.verdict is Verdict.PASS
    assert "the same as its original" in check.message


def test_38_copy_differs_from_its_original(vault: Vault, caught: Caught) -> None:
    changed = bytearray(vault.dump)
    changed[200] ^= 1  # a byte of the archive's text that restores all the same
    vault.put(NAME, vault.dump)
    drill = vault.drill(READER, original(vault, bytes(changed)), copy_of="nightly")
    caught(38, "s3", drill, by="backup.digest", says=f"differs from its original, {STAMP} in job nightly")


def test_copy_whose_original_is_gone_is_not_compared_and_says_so(vault: Vault) -> None:
    vault.put(NAME, vault.dump)
    check = by_id(vault.drill(READER, original(vault, None), copy_of="nightly"))["backup.digest"]
    assert check.verdict is Verdict.SKIP
    assert f"nightly has no backup {STAMP} any more: not compared" in check.message


def test_original_that_cannot_be_read_is_an_error(vault: Vault) -> None:
    vault.put(NAME, vault.dump)
    lost = replace(original(vault, None), place=Place("pg_dump", str(vault.folder / "nowhere")))
    check = by_id(vault.drill(READER, lost, copy_of="nightly"))["backup.digest"]
    assert check.verdict is Verdict.ERROR
    assert "could not be read" in check.message


@pytest.mark.parametrize(
    ("form", "change", "says"),
    [
        ("custom", lambda data: data[: len(data) * 2 // 3], "cut|end|short"),
        ("plain.gz", lambda data: data[:-200], "end|cut|short"),
        ("plain.gz", lambda data: data[:300] + bytes([data[300] ^ 8]) + data[301:], ""),
        ("custom", lambda _: b"", "empty"),
    ],
    ids=["archive cut", "gz cut", "bit flipped", "zero bytes"],
)
def test_upload_that_is_not_whole_fails_the_drill(
    vault: Vault, form: str, change: Callable[[bytes], bytes], says: str
) -> None:
    vault.put(FORMS[form], change(vault.dumps.path(form).read_bytes()))
    check = by_id(vault.drill())["archive.complete"]
    assert check.verdict is Verdict.FAIL, check.message
    assert says == "" or any(word in check.message for word in says.split("|")), check.message


def test_encrypted_upload_whose_key_is_lost_is_an_error_and_no_defect(vault: Vault) -> None:
    vault.put(FORMS["custom.age"], vault.dumps.path("custom.age").read_bytes())
    drill = vault.drill(READER, age=Text(str(pyrage.x25519.Identity.generate())))
    assert drill.result.verdict is Verdict.ERROR
    assert any("none of the configured age keys opens this backup" in why for why in against(drill).values())
    assert against(vault.drill(READER, age=Text(str(vault.dumps.key)))) == {}
