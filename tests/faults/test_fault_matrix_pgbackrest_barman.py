"""Faults of pgBackRest repositories and Barman catalogues, each injected into one that the real program filled.

The numbers are those of the fault matrix. Everything here lies in the repository alone: the program that made the
backup called it done, and its listing still does.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from guardian.model import Target, TargetKind
from tests.drill_support import by_id
from tests.keeper_support import Catalogue, Secret, Stanza, drill
from tests.physical_support import now
from tests.tools.apt import need, why_not
from verifiers.result import Verdict
from verifiers.sandbox import LackingError
from verifiers.sandbox.programs import find_programs
from verifiers.sources import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from guardian.model import Drill
    from tests.faults.catching import Caught
    from verifiers.sandbox.isolation import Provider

PROGRAMS = {"pgbackrest": "pgbackrest"}
LOG = ("restore.messages",)  # what kept a recovery from its target, the server's log says as well
SEGMENT = re.compile(r"[0-9A-F]{24}(-[0-9a-f]{40}(\.\w+)?)?")


def _server_there() -> None:
    try:
        find_programs(15, exact=True)
    except LackingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def stanza() -> Iterator[Stanza]:
    """A live cluster that pgBackRest keeps, with a whole backup and two segments after it, plain and encrypted."""
    if reason := why_not(PROGRAMS):
        pytest.skip(reason)
    need(PROGRAMS)
    _server_there()
    made = Stanza()
    try:
        made.start()
        made.back_up()
        made.back_up(repo=2)
        _write(made.cluster.insert, made.cluster.switch)
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def catalogue() -> Iterator[Catalogue]:
    """A live cluster that Barman keeps, with a backup and segments after it."""
    _server_there()
    made = Catalogue("backup_method = postgres\ncompression = gzip\n")
    try:
        made.start()
        made.back_up()
        _write(made.cluster.insert, made.archive)
        yield made
    finally:
        made.stop()


def _write(insert: Callable[[], str], switch: Callable[[], str]) -> None:
    for _ in range(3):
        insert()
        switch()


@dataclass
class Kept:
    """A copy of a repository, to be damaged. form: column of the matrix."""

    form: str
    place: Place
    folder: Path
    provider: str
    sandbox: Path

    def drill(self, target: Target | None = None) -> Drill:
        """Drill its newest backup."""
        return drill(self.place, self.provider, self.sandbox, target=target)

    @property
    def backup(self) -> Path:
        """The files of the newest backup."""
        folder = "backup/main" if self.form == "pgbackrest" else "main/base"
        newest = max(path for path in (self.folder / folder).iterdir() if path.is_dir() and path.name[0] == "2")
        return newest / ("pg_data" if self.form == "pgbackrest" else "data")

    @property
    def log(self) -> list[Path]:
        """The archived segments."""
        folder = "archive/main/15-1" if self.form == "pgbackrest" else "main/wals"
        found = [path for path in (self.folder / folder).glob("*/*") if SEGMENT.fullmatch(path.name)]
        return sorted(found, key=lambda path: path.name)

    def largest(self) -> Path:
        """Return the largest file of a relation in the backup."""
        return max((path for path in (self.backup / "base").rglob("*") if path.is_file()), key=_size)


def _size(path: Path) -> int:
    return path.stat().st_size


@pytest.fixture
def pgbackrest(stanza: Stanza, tmp_path: Path, sandbox_provider: Provider) -> Kept:
    """The repository that is not encrypted."""
    folder = tmp_path / "repo"
    shutil.copytree(stanza.repository, folder, symlinks=True)
    return Kept("pgbackrest", Place("pgbackrest", str(folder)), folder, sandbox_provider.name, tmp_path / "sandbox")


@pytest.fixture
def barman(catalogue: Catalogue, tmp_path: Path, sandbox_provider: Provider) -> Kept:
    """The catalogue."""
    folder = tmp_path / "barman"
    shutil.copytree(catalogue.home, folder)
    return Kept("barman", Place("barman", str(folder)), folder, sandbox_provider.name, tmp_path / "sandbox")


@pytest.fixture(params=["pgbackrest", "barman"])
def kept(request: pytest.FixtureRequest) -> Kept:
    """Each of the two."""
    found: Kept = request.getfixturevalue(request.param)
    return found


def flip(path: Path, *, at: float = 0.5) -> None:
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[int(len(content) * at)] ^= 1
    path.write_bytes(content)


def test_07_bit_flipped_in_a_compressed_file(pgbackrest: Kept, caught: Caught) -> None:
    flip(pgbackrest.largest())
    caught(7, "pgbackrest", pgbackrest.drill(), by="archive.complete", says="not what it must be|checksum differs")


def test_08_file_of_zero_bytes(kept: Kept, caught: Caught) -> None:
    kept.largest().write_bytes(b"")
    caught(8, kept.form, kept.drill(), by="archive.complete")


def test_19_gap_in_the_log(kept: Kept, caught: Caught) -> None:
    lost = kept.log[-2]
    lost.unlink()
    caught(19, kept.form, kept.drill(), by="recovery.target", says=f"lacks the segment {lost.name[:24]}", beyond=LOG)


def test_19_segment_that_was_changed(kept: Kept, caught: Caught) -> None:
    flip(kept.log[-2])
    says = f"{kept.log[-2].name[:24]} is (damaged|not what was archived)"
    caught(19, kept.form, kept.drill(), by="recovery.target", says=says, beyond=LOG)


def test_19_segment_of_zero_bytes(kept: Kept, caught: Caught) -> None:
    kept.log[-1].write_bytes(b"")
    says = f"{kept.log[-1].name[:24]} is (damaged|not what was archived)"
    caught(19, kept.form, kept.drill(), by="recovery.target", says=says, beyond=LOG)


def test_20_target_before_the_backup(kept: Kept, caught: Caught) -> None:
    drilled = kept.drill(Target(TargetKind.TIME, "2020-01-01T00:00:00+00:00"))
    caught(20, kept.form, drilled, by="recovery.target", says="before this backup", beyond=LOG)


def test_20_target_that_the_log_does_not_reach(kept: Kept, caught: Caught) -> None:
    target = Target(TargetKind.TIME, now())
    caught(20, kept.form, kept.drill(target), by="recovery.target", says="without reaching its target", beyond=LOG)


def test_21_history_of_a_promotion_is_missing(kept: Kept, caught: Caught) -> None:
    newest = kept.log[-1]
    folder = newest.parent.with_name("00000002" + newest.parent.name[8:])
    folder.mkdir()
    shutil.copy2(newest, folder / ("00000002" + newest.name[8:]))
    caught(21, kept.form, kept.drill(), by="recovery.target", says="00000002.history is missing", beyond=LOG)


def test_22_another_database(kept: Kept, caught: Caught) -> None:
    drilled = drill(kept.place, kept.provider, kept.sandbox, database="shop")
    caught(22, kept.form, drilled, by="identity", says="holds no database 'shop'")


def test_24_page_damaged_before_the_backup(
    stanza: Stanza, tmp_path: Path, sandbox_provider: Provider, caught: Caught
) -> None:
    cluster = stanza.cluster
    cluster.sql("CREATE TABLE rotten AS SELECT n, repeat('r', 100) t FROM generate_series(1, 5000) n")
    file = str(cluster.sql("SELECT pg_relation_filepath('rotten')"))
    cluster.sql("CHECKPOINT")
    flip(cluster.folder / "db/data" / file)
    try:
        stanza.back_up()
        cluster.switch()
        place = Place("pgbackrest", str(stanza.repository))
        drilled = drill(place, sandbox_provider.name, tmp_path / "sandbox")
        caught(24, "pgbackrest", drilled, by="archive.complete", says="pages whose checksum is wrong")
    finally:
        cluster.sql("DROP TABLE rotten")
        stanza.forget(max(path.name for path in (stanza.repository / "backup/main").glob("2*F")))


def test_26_file_missing(kept: Kept, caught: Caught) -> None:
    kept.largest().unlink()
    says = "a file is missing" if kept.form == "pgbackrest" else "is present in the manifest but not on disk|is present"
    caught(26, kept.form, kept.drill(), by="archive.complete", says=says)


def test_26_file_changed(barman: Kept, caught: Caught) -> None:
    flip(barman.largest())
    caught(26, "barman", barman.drill(), by="archive.complete", says="checksum mismatch")


def test_26_manifest_of_the_backup_lost(pgbackrest: Kept, caught: Caught) -> None:
    for path in pgbackrest.backup.parent.glob("backup.manifest*"):
        path.unlink()
    caught(26, "pgbackrest", pgbackrest.drill(), by="archive.complete", says="a file is missing")


def test_26_backup_that_did_not_end(barman: Kept, caught: Caught) -> None:
    for info in (barman.folder / "main/meta").iterdir():
        text = info.read_text()
        info.write_text(re.sub("^status=.*$", "status=FAILED", text, flags=re.MULTILINE))
    caught(26, "barman", barman.drill(), by="archive.complete", says="status is FAILED")


def test_27_what_an_incremental_backup_builds_on_is_gone(
    stanza: Stanza, tmp_path: Path, sandbox_provider: Provider, caught: Caught
) -> None:
    stanza.back_up()  # its own: a label must be later than all before it, of backups removed too
    stanza.cluster.insert()
    stanza.back_up("incr")
    stanza.cluster.switch()
    folder = tmp_path / "repo"
    shutil.copytree(stanza.repository, folder, symlinks=True)
    stanza.forget(max(path.name for path in (stanza.repository / "backup/main").glob("2*F")))  # and what builds on it
    for full in (folder / "backup/main").glob("2*F"):
        shutil.rmtree(full)
    drilled = drill(Place("pgbackrest", str(folder)), sandbox_provider.name, tmp_path / "sandbox")
    caught(27, "pgbackrest", drilled, by="archive.complete", says="a file is missing")


@pytest.mark.parametrize(("secret", "says"), [
    (None, "no passphrase is configured"),
    (Secret("another-one"), "does not open"),
], ids=["lost", "rotated"])  # fmt: skip
def test_36_key_lost_or_rotated(
    stanza: Stanza, tmp_path: Path, sandbox_provider: Provider, caught: Caught, secret: Secret | None, says: str
) -> None:
    place = Place("pgbackrest", str(stanza.vault), secret=secret)
    drilled = drill(place, sandbox_provider.name, tmp_path / "sandbox")
    caught(36, "pgbackrest", drilled, by="archive.complete", says=says, verdict="error")
    assert stanza.PASSPHRASE not in str(drilled.result)


def test_healthy_repositories_stay_green(kept: Kept) -> None:
    found = kept.drill()
    assert found.result.verdict is Verdict.PASS, {key: check.message for key, check in by_id(found).items()}
