"""A password in the URL of a repository opens it, and is never told."""

from __future__ import annotations

import pytest

from guardian.model import BackupJob
from verifiers.sources import Place
from verifiers.sources.base import masked

SECRET = "hunter%2F2"
WITH_PASSWORD = [
    ("rest:https://guardian:hunter%2F2@vault:8000/erp", "rest:https://guardian:…@vault:8000/erp"),
    ("s3:https://AKIA:hunter%2F2@minio.example/bucket", "s3:https://AKIA:…@minio.example/bucket"),
    ("s3://AKIA:hunter%2F2@bucket/prefix", "s3://AKIA:…@bucket/prefix"),
    ("sftp://guardian:hunter%2F2@vault:22//srv/erp", "sftp://guardian:…@vault:22//srv/erp"),
    ("sftp:guardian:hunter%2F2@vault:/srv/erp", "sftp:guardian:…@vault:/srv/erp"),
    ("guardian:hunter%2F2@vault:/srv/erp", "guardian:…@vault:/srv/erp"),
    ("ssh://:hunter%2F2@vault/./erp", "ssh://:…@vault/./erp"),
]


@pytest.mark.parametrize(("path", "told"), WITH_PASSWORD)
def test_password_in_a_repository_url_is_masked_wherever_the_job_is_told(path: str, told: str) -> None:
    place = Place("restic", path)
    assert place.shown == told
    assert BackupJob("nightly", place, None).path == told
    assert SECRET not in repr(place)
    assert place.path == path, "what opens it keeps the password"
    assert set(place.passwords) == {SECRET, "hunter/2"}, "as written, and as a program may say it"


@pytest.mark.parametrize(
    "path",
    [
        "rest:https://vault:8000/erp",
        "rest:https://vault:8000/erp@2026",
        "s3:https://minio.example:9000",
        "sftp:backup@vault:/srv/a:b@c",
        "ssh://backup@vault:22/./erp",
        "s3://bucket/prefix",
        "backup@vault:/srv/erp",
        "/srv/odd:name@folder",
    ],
)
def test_place_without_a_password_is_told_as_it_is(path: str) -> None:
    place = Place("restic", path)
    assert place.shown == path
    assert place.passwords == ()


@pytest.mark.parametrize("password", ["a/b", "1234x", "p@ss", "a:b", "xy"])
def test_odd_password_is_masked_whole(password: str) -> None:
    assert Place("restic", f"rest:https://u:{password}@vault/erp").shown == "rest:https://u:…@vault/erp"


def test_passwords_of_urls_within_a_text_are_masked() -> None:
    text = "Fatal: Get https://u:one@vault/config: refused\nthen sftp://v:two@other/ gave up"
    assert masked(text) == "Fatal: Get https://u:…@vault/config: refused\nthen sftp://v:…@other/ gave up"
