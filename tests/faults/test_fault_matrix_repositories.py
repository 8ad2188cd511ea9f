"""Faults of what restic and Borg keep: of the repository itself, of its key, and of the dump that was put into it.

The numbers are those of the fault matrix, see matrix.py.
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from guardian.model import Source
from tests.drill_support import by_id
from tests.formats_support import DATABASE, against
from tests.repository_support import FORMATS, PROGRAMS, Kept
from tests.shelves.base import OTHER_PASSPHRASE, PASSPHRASE
from tests.shelves.restic import flip
from tests.tools.apt import need, why_not
from verifiers.sources import KeyMissingError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.catching import Caught
    from tests.formats_support import Dumps
    from verifiers.sandbox.isolation import Provider


@pytest.fixture(autouse=True)
def _programs() -> None:
    if reason := why_not(PROGRAMS):
        pytest.skip(reason)
    need(PROGRAMS)


@pytest.fixture(params=FORMATS)
def kept(request: pytest.FixtureRequest, tmp_path: Path, sandbox_provider: Provider) -> Kept:
    return Kept(request.param, tmp_path, sandbox_provider.name, source=Source("db", DATABASE, None))


def store(kept: Kept, dumps: Dumps, change: Callable[[Path], object] = lambda _: None) -> None:
    """Keep one dump. change: what befell it before."""
    made = kept.folder / "nightly"
    made.mkdir()
    dump = made / "erp.dump"
    shutil.copy2(dumps.path("custom"), dump)
    (made / "globals.sql").write_bytes(dumps.cluster)
    change(dump)
    kept.store(made)


def test_repository_without_fault_is_green(kept: Kept, dumps: Dumps) -> None:
    store(kept, dumps)
    assert against(kept.drill()) == {}


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
def test_07_bit_flipped_in_a_pack(caught: Caught, kept: Kept, dumps: Dumps, at: float) -> None:
    store(kept, dumps)
    flip(kept.data[-1], at)
    drill = kept.drill()
    caught(7, kept.format, drill, by="archive.complete", says=r"(?i)could not (restore|extract) it.*(failed|mismatch)")
    assert drill.result.assurance is None


def test_26_pack_is_missing(caught: Caught, kept: Kept, dumps: Dumps) -> None:
    store(kept, dumps)
    kept.data[-1].unlink()
    caught(26, kept.format, kept.drill(), by="archive.complete", says=r"(?i)missing|no such file")


def test_26_pack_is_cut_short(caught: Caught, kept: Kept, dumps: Dumps) -> None:
    store(kept, dumps)
    pack = kept.data[-1]
    pack.chmod(0o600)
    pack.write_bytes(pack.read_bytes()[: pack.stat().st_size // 2])
    caught(26, kept.format, kept.drill(), by="archive.complete", says=r"(?i)could not (restore|extract) it")


@pytest.mark.parametrize("passphrase", [OTHER_PASSPHRASE, None], ids=["rotated", "lost"])
def test_36_passphrase_lost_or_rotated(caught: Caught, kept: Kept, dumps: Dumps, passphrase: str | None) -> None:
    store(kept, dumps)
    drill = kept.drill(passphrase=passphrase)
    caught(36, kept.format, drill, by="archive.complete", says="passphrase.*decrypt", verdict="error")
    told = str([check.message for check in drill.result.checks])
    assert PASSPHRASE not in told
    assert OTHER_PASSPHRASE not in told


def test_36_key_is_gone_from_the_repository(kept: Kept, dumps: Dumps) -> None:
    """Nobody can open it any more: that is told before anything is drilled, when backups are looked for."""
    store(kept, dumps)
    if kept.format == "restic":
        for key in (kept.repository / "keys").iterdir():
            key.unlink()
    else:
        config = kept.repository / "config"
        text = config.read_text().partition("key = ")[0]
        config.write_text(text)
    with pytest.raises(KeyMissingError, match="decrypt"):
        kept.drill()


def emptied(dump: Path) -> None:
    dump.write_bytes(b"")


def truncated(dump: Path) -> None:
    dump.write_bytes(dump.read_bytes()[: dump.stat().st_size // 2])


@pytest.mark.parametrize(("change", "says"), [(emptied, "0 bytes"), (truncated, r"(?i)cut|not whole|ends")])
def test_dump_that_was_broken_when_it_was_put_there_fails(
    kept: Kept, dumps: Dumps, change: Callable[[Path], object], says: str
) -> None:
    """Faults 4 and 8: every checksum of the repository is right."""
    store(kept, dumps, change)
    drill = kept.drill()
    check = by_id(drill)["archive.complete"]
    assert check.verdict == "fail", check.message
    assert re.search(says, check.message), check.message


def test_snapshot_of_an_empty_folder_holds_no_backup(kept: Kept) -> None:
    (kept.folder / "nightly").mkdir()
    kept.store(kept.folder / "nightly")
    drill = kept.drill()
    assert drill.result.verdict == "error"
    told = str([check.message for check in drill.result.checks])
    assert "does not hold a backup by pg_dump" in told
