"""A drill of backups made by the real pgBackRest: whole, differential, incremental, compressed, encrypted, in time."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from guardian.model import Assurance, Target, TargetKind
from tests.drill_support import by_id
from tests.keeper_support import Secret, Stanza, drill
from tests.physical_support import now
from tests.tools.apt import need, why_not
from verifiers.result import Verdict
from verifiers.sandbox import LackingError
from verifiers.sandbox.programs import find_programs
from verifiers.sources import Place, open_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from guardian.model import Drill
    from verifiers.sandbox.isolation import Provider

PROGRAMS = {"pgbackrest": "pgbackrest"}


@pytest.fixture(scope="module")
def stanza() -> Iterator[Stanza]:
    """A live cluster that pgBackRest keeps, with its tablespace."""
    if reason := why_not(PROGRAMS):
        pytest.skip(reason)
    need(PROGRAMS)
    try:
        find_programs(15, exact=True)
    except LackingError as error:
        pytest.skip(str(error))  # Debian's pgBackRest knows no newer version
    made = Stanza()
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    """Where drills restore."""
    return tmp_path / "sandbox"


def tree(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return what a repository holds, with sizes and times."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            found[str(path.relative_to(folder))] = (status.st_size, status.st_mtime_ns, status.st_mode)
    return found


def proved(found: Drill) -> Drill:
    """Return the drill, having seen that it proved what can be proved without a manifest."""
    told = {check.id: check.message for check in found.result.checks if check.verdict in {"fail", "error"}}
    assert told == {}
    assert (found.result.verdict, found.result.assurance) == (Verdict.PASS, Assurance.SOUND)
    assert by_id(found)["pages"].verdict is Verdict.PASS
    return found


@pytest.mark.parametrize("compression", ["none", "gz", "lz4", "zst", "bz2"])
def test_backup_is_proved_sound_and_its_repository_left_as_it_was(
    stanza: Stanza, sandbox: Path, sandbox_provider: Provider, compression: str
) -> None:
    stanza.configure(compression)
    stanza.back_up()
    stanza.cluster.switch()
    before = tree(stanza.repository)
    found = proved(drill(Place("pgbackrest", str(stanza.repository)), sandbox_provider.name, sandbox))
    assert "pgBackRest held every file" in by_id(found)["archive.complete"].message
    assert by_id(found)["recovery.target"].message.startswith("The recovery reached the end of the archive")
    assert tree(stanza.repository) == before


def test_differential_and_incremental_backups_are_proved_sound(
    stanza: Stanza, sandbox: Path, sandbox_provider: Provider
) -> None:
    stanza.configure("zst")
    place = Place("pgbackrest", str(stanza.repository), server="main")
    stanza.back_up()
    for kind, letter in (("diff", "D"), ("incr", "I")):
        stanza.cluster.sql(f"UPDATE orders SET note = '{kind}' WHERE id % 7 = 0")
        stanza.back_up(kind)
        stanza.cluster.switch()
        found = proved(drill(place, sandbox_provider.name, sandbox))
        assert found.result.backup["id"].endswith(letter)
        assert found.result.backup["sha256"]


def test_encrypted_backup_is_proved_with_its_passphrase_only(
    stanza: Stanza, sandbox: Path, sandbox_provider: Provider
) -> None:
    stanza.back_up(repo=2)
    stanza.cluster.switch()
    vault = str(stanza.vault)
    proved(drill(Place("pgbackrest", vault, secret=Secret(stanza.PASSPHRASE)), sandbox_provider.name, sandbox))


def test_backup_is_recovered_to_its_own_end(stanza: Stanza, sandbox: Path, sandbox_provider: Provider) -> None:
    stanza.back_up()
    stanza.cluster.sql("CREATE TABLE after_the_backup ()")
    stanza.cluster.switch()
    place = Place("pgbackrest", str(stanza.repository))
    found = proved(drill(place, sandbox_provider.name, sandbox, target=Target(TargetKind.END)))
    assert by_id(found)["recovery.target"].message.startswith("The recovery reached the end of the backup")


@pytest.mark.parametrize("kind", ["time", "lsn", "name", "xid"])
def test_backup_is_recovered_to_a_target(stanza: Stanza, sandbox: Path, sandbox_provider: Provider, kind: str) -> None:
    stanza.back_up()
    cluster = stanza.cluster
    xid = cluster.insert()
    at, lsn = now(), str(cluster.sql(f"SELECT pg_create_restore_point('{kind}-here')::text"))
    cluster.insert()
    cluster.switch()
    value = {"time": at, "lsn": lsn, "name": f"{kind}-here", "xid": xid}[kind]
    place = Place("pgbackrest", str(stanza.repository))
    found = proved(drill(place, sandbox_provider.name, sandbox, target=Target(TargetKind(kind), value)))
    assert by_id(found)["recovery.target"].verdict is Verdict.PASS


def test_tablespaces_come_with_the_backup_and_lie_in_the_sandbox(
    stanza: Stanza, sandbox: Path, sandbox_provider: Provider
) -> None:
    cluster = stanza.cluster
    cluster.sql(f"CREATE TABLESPACE attic LOCATION '{cluster.make_folder('attic')}'")
    cluster.sql("CREATE TABLE kept TABLESPACE attic AS SELECT generate_series(1, 1000) n")
    try:
        stanza.back_up()
        cluster.switch()
        proved(drill(Place("pgbackrest", str(stanza.repository)), sandbox_provider.name, sandbox))
    finally:
        cluster.sql("DROP TABLE kept")
        cluster.sql("DROP TABLESPACE attic")


def test_digest_is_that_of_what_is_fetched(stanza: Stanza, tmp_path: Path) -> None:
    stanza.back_up()
    source = open_source("postgres", Place("pgbackrest", str(stanza.repository)))
    items = source.locate()
    assert len({item.id for item in items}) == len(items)
    assert [item.taken_at for item in items] == sorted(item.taken_at for item in items if item.taken_at)
    told: list[int] = []
    fetched = source.fetch(items[-1], tmp_path, told.append)
    assert (fetched.sha256, fetched.bytes) == source.digest(items[-1])
    assert told[-1] == fetched.bytes == items[-1].size_bytes
