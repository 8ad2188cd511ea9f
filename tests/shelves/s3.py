"""A prefix of a bucket, on a real S3 server."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.shelves.base import PASSPHRASE, Case, Content, Shelf, Text
from tests.tools.seaweed import READER, REGION, Seaweed, User
from verifiers.sources import Place
from verifiers.sources.s3 import S3Prefix

if TYPE_CHECKING:
    import pytest

PREFIX = "backups/erp"


def upload(client: Any, bucket: str, folder: Path, prefix: str, **locked: Any) -> None:
    """Put every file below a folder under a prefix, as `aws s3 cp --recursive` does."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            key = f"{prefix}/{path.relative_to(folder)}"
            client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes(), **locked)


def place_of(server: Seaweed, bucket: str, user: User = READER, *, holds: str = "pg_dump") -> Place:
    """Return the place of a bucket's prefix, read by a user."""
    environment = {name: Text(value) for name, value in user.environment.items()}
    return Place(
        "s3",
        f"s3://{bucket}/{PREFIX}",
        holds=holds,
        environment=environment,
        endpoint=server.url,
        region=REGION,
    )


def new_bucket(server: Seaweed, *, versions: bool = False, locks: bool = False) -> str:
    """Make a bucket of our own and return its name."""
    name = f"bucket-{secrets.token_hex(6)}"
    server.client().create_bucket(Bucket=name, ObjectLockEnabledForBucket=locks)
    if versions and not locks:
        server.client().put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


class S3Shelf(Shelf):
    """Uploads of one asset. folder: named like the bucket, for messages; nothing is there."""

    format = "s3"
    encrypted = False
    links = False

    def __init__(self, folder: Path, content: Content, server: Seaweed) -> None:
        super().__init__(folder, content)
        self._server = server
        self._client = server.client()

    def make(self) -> None:
        """See Shelf. A prefix is there as long as something lies under it, such as its marker."""
        bucket = new_bucket(self._server)
        self.folder = Path(bucket)
        self._client.put_object(Bucket=bucket, Key=f"{PREFIX}/", Body=b"")

    def put(self, backup: str, *, link: bool = False) -> None:
        """See Shelf."""
        made = self.content.make(backup, link=link)
        if self.content.kind == "dump":  # globals of its own, as all lie in one place
            (made / "globals.sql").rename(made / f"{backup}.globals.sql")
        if self.content.kind == "files":
            upload(self._client, str(self.folder), made / "filestore", f"{PREFIX}/{backup}")
        else:
            upload(self._client, str(self.folder), made, PREFIX)

    def remove(self, backup: str) -> None:
        """See Shelf."""
        for key in self.keys():
            if key.startswith(f"{PREFIX}/{backup}"):
                self._client.delete_object(Bucket=str(self.folder), Key=key)

    def place(self, passphrase: str | None = PASSPHRASE) -> Place:  # noqa: ARG002 -- there is none
        """See Shelf."""
        return replace(place_of(self._server, str(self.folder)), holds=self.holds)

    def damage(self) -> None:
        """See Shelf. The dump is removed from each folder."""
        for key in self.keys():
            if key.endswith("/db.dump"):
                self._client.delete_object(Bucket=str(self.folder), Key=key)

    def impatient(self, deadline_s: float) -> S3Prefix:  # noqa: ARG002 -- it runs no program
        """See Shelf."""
        return S3Prefix(self.asset_type, self.place())

    def destroy(self) -> None:
        """See Shelf."""
        for key in self.keys():
            self._client.delete_object(Bucket=str(self.folder), Key=key)
        self._client.delete_bucket(Bucket=str(self.folder))

    def keys(self) -> list[str]:
        """Return what is stored."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=str(self.folder))
        return [found["Key"] for page in pages for found in page.get("Contents", ())]


def _opened(request: pytest.FixtureRequest, folder: Path, content: Content) -> Shelf:
    return S3Shelf(folder, content, request.getfixturevalue("seaweed"))


CASES = [Case("s3", kind, _opened) for kind in ("pair", "dump", "files", "cluster")]
