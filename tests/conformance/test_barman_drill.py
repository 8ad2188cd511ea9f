"""A drill of backups made by the real Barman: as files or tars, by pg_basebackup or rsync, recovered in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from guardian.model import Target, TargetKind
from tests.conformance.test_pgbackrest_drill import proved, tree
from tests.drill_support import by_id
from tests.keeper_support import Catalogue, drill
from tests.physical_support import now
from tests.tools.apt import need, why_not
from verifiers.result import Verdict
from verifiers.sandbox import LackingError
from verifiers.sandbox.programs import find_programs
from verifiers.sources import Place, open_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from verifiers.sandbox.isolation import Provider

STREAMED = "backup_method = postgres\n"


@pytest.fixture(scope="module")
def catalogue() -> Iterator[Catalogue]:
    """A live cluster that Barman keeps."""
    try:
        find_programs(15, exact=True)
    except LackingError as error:
        pytest.skip(str(error))
    made = Catalogue(STREAMED)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    """Where drills restore."""
    return tmp_path / "sandbox"


@pytest.mark.parametrize("settings", [
    "",
    "compression = gzip\n",
    "backup_compression = gzip\ncompression = bzip2\n",
    "backup_compression = lz4\ncompression = lz4\n",
    "backup_compression = zstd\ncompression = xz\n",
], ids=["files", "log gz", "tar gz, log bz2", "tar lz4, log lz4", "tar zst, log xz"])  # fmt: skip
def test_backup_is_proved_sound_and_its_catalogue_left_as_it_was(
    catalogue: Catalogue, sandbox: Path, sandbox_provider: Provider, settings: str
) -> None:
    catalogue.configure(STREAMED + settings)
    catalogue.back_up()
    before = tree(catalogue.home)
    found = proved(drill(Place("barman", str(catalogue.home)), sandbox_provider.name, sandbox))
    assert by_id(found)["archive.complete"].message.startswith("pg_verifybackup finds all")
    assert by_id(found)["recovery.target"].message.startswith("The recovery reached the end of the archive")
    assert tree(catalogue.home) == before


def test_copy_by_rsync_counts_by_its_size_and_says_so(
    catalogue: Catalogue, sandbox: Path, sandbox_provider: Provider
) -> None:
    if reason := why_not({"rsync": "rsync"}):
        pytest.skip(reason)
    need({"rsync": "rsync"})
    catalogue.configure("backup_method = local-rsync\n")
    catalogue.back_up()
    found = proved(drill(Place("barman", str(catalogue.home)), sandbox_provider.name, sandbox))
    assert "keeps no checksums" in by_id(found)["archive.complete"].message


@pytest.mark.parametrize("settings", [STREAMED, "backup_method = local-rsync\n"], ids=["postgres", "rsync"])
def test_tablespaces_come_with_the_backup(
    catalogue: Catalogue, sandbox: Path, sandbox_provider: Provider, settings: str
) -> None:
    if "rsync" in settings and (reason := why_not({"rsync": "rsync"})):
        pytest.skip(reason)
    need({"rsync": "rsync"})
    cluster = catalogue.cluster
    name = "attic" + str("rsync" in settings).lower()
    cluster.sql(f"CREATE TABLESPACE {name} LOCATION '{cluster.make_folder(name)}'")
    cluster.sql(f"CREATE TABLE kept TABLESPACE {name} AS SELECT generate_series(1, 1000) n")
    try:
        catalogue.configure(settings)
        catalogue.back_up()
        proved(drill(Place("barman", str(catalogue.home)), sandbox_provider.name, sandbox))
    finally:
        cluster.sql("DROP TABLE kept")
        cluster.sql(f"DROP TABLESPACE {name}")


@pytest.mark.parametrize("kind", ["end", "time", "lsn", "name", "xid"])
def test_backup_is_recovered_to_a_target(
    catalogue: Catalogue, sandbox: Path, sandbox_provider: Provider, kind: str
) -> None:
    catalogue.configure(STREAMED)
    catalogue.back_up()
    cluster = catalogue.cluster
    xid = cluster.insert()
    at, lsn = now(), str(cluster.sql(f"SELECT pg_create_restore_point('{kind}-here')::text"))
    cluster.insert()
    catalogue.archive()
    value = {"time": at, "lsn": lsn, "name": f"{kind}-here", "xid": xid}.get(kind, "")
    place = Place("barman", str(catalogue.home), server="main")
    found = proved(drill(place, sandbox_provider.name, sandbox, target=Target(TargetKind(kind), value)))
    assert by_id(found)["recovery.target"].verdict is Verdict.PASS


def test_digest_is_that_of_what_is_fetched(catalogue: Catalogue, tmp_path: Path) -> None:
    catalogue.configure(STREAMED)
    catalogue.back_up()
    source = open_source("postgres", Place("barman", str(catalogue.home)))
    newest = source.locate()[-1]
    fetched = source.fetch(newest, tmp_path, lambda _: None)
    assert (fetched.sha256, fetched.bytes) == source.digest(newest)
