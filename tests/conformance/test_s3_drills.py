"""Drills of what lies under a prefix of a real bucket: an Odoo pair, a copy of a cluster, a filestore."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from guardian.model import Assurance, Source
from tests.drill_support import STAMP, Estate, by_id
from tests.files_support import Folder
from tests.formats_support import against
from tests.physical_support import Plant
from tests.repository_support import Kept
from tests.shelves.s3 import PREFIX, new_bucket, place_of, upload
from verifiers import filestore
from verifiers.postgres.manifest import capture
from verifiers.sandbox.programs import find_programs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tools.seaweed import Seaweed
    from verifiers.sandbox.isolation import Provider
    from verifiers.sandbox.server import SandboxServer
    from verifiers.sources import Place


@dataclass
class Uploaded(Kept):
    """One bucket, and drills of the newest backup in it."""

    server: Seaweed | None = None
    bucket: str = ""

    def store(self, content: Path, name: str = STAMP) -> None:
        """Upload a folder."""
        assert self.server is not None
        self.bucket = new_bucket(self.server)
        upload(self.server.client(), self.bucket, content, f"{PREFIX}/{name}")

    def place(self, passphrase: str | None = None) -> Place:  # noqa: ARG002 -- there is none
        """The place of the job."""
        assert self.server is not None
        return place_of(self.server, self.bucket, holds=self.holds)


def uploaded(folder: Path, provider: Provider, server: Seaweed) -> Uploaded:
    return Uploaded("s3", folder, provider.name, server=server)


def test_copy_of_a_cluster_under_a_prefix_is_proved_sound(
    seaweed: Seaweed, sandbox_provider: Provider, tmp_path: Path
) -> None:
    live = tmp_path / "live-plant"
    live.mkdir()
    plant = Plant(live, find_programs(18, exact=True), sandbox_provider)
    plant.start()
    try:
        copy = plant.back_up("-Ft", "-Xstream")
    finally:
        plant.stop()
    kept = uploaded(tmp_path, sandbox_provider, seaweed)
    kept.holds, kept.source = "pg_basebackup", Source("db", "erp", None)
    kept.store(copy)
    drill = kept.drill()
    assert against(drill) == {}
    assert drill.result.assurance is Assurance.SOUND


def test_odoo_pair_under_a_prefix_is_proved_exact(
    seaweed: Seaweed, sandbox_provider: Provider, postgres_server: SandboxServer, tmp_path: Path
) -> None:
    kept, database = uploaded(tmp_path, sandbox_provider, seaweed), "pair_s3"
    with psycopg.connect(postgres_server.conninfo(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE pair_s3 TEMPLATE template0")
    try:
        (tmp_path / "estate").mkdir()
        estate = Estate(postgres_server, database, tmp_path / "estate", kept.provider)
        estate.fill()
        estate.back_up()
        kept.type, kept.source = "odoo", Source("db", database, str(estate.filestore))
        kept.store(estate.backups / STAMP)
        kept.describe(capture(estate.conninfo(), key=bytes(range(32))), filestore.capture(estate.filestore))
        drill = kept.drill(Assurance.EXACT)
    finally:
        with psycopg.connect(postgres_server.conninfo(), autocommit=True) as connection:
            connection.execute("DROP DATABASE pair_s3 WITH (FORCE)")
    assert against(drill) == {}
    assert drill.result.assurance is Assurance.EXACT
    assert by_id(drill)["filestore.bijection"].verdict == "pass"


def test_filestore_under_a_prefix_is_proved_exact(seaweed: Seaweed, sandbox_provider: Provider, tmp_path: Path) -> None:
    live = Folder(tmp_path / "papers")
    for number in range(20):
        path = live.live / f"year{number % 4}" / f"paper {number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("paper " * number)
        path.chmod(0o600)
    kept = uploaded(tmp_path, sandbox_provider, seaweed)
    kept.type, kept.source = "filestore", Source(None, None, str(live.live))
    kept.store(live.live)
    kept.describe(None, filestore.manifest.capture_plain(live.live))
    drill = kept.drill(Assurance.EXACT)
    assert against(drill) == {}
    assert drill.result.assurance is Assurance.EXACT
