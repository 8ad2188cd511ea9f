"""The spool loses nothing that it acknowledged, and says how much of the rest is gone."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import orjson
import pytest

from guardian.usecases.spool import Spool, SpoolError, backlog, commit, read_batches
from guardian.webhook.recorder import Recorder
from tests.webhook_support import await_that

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def _line(number: int) -> bytes:
    return orjson.dumps({"id": f"decision-{number}"})


def _ids(root: Path) -> list[str]:
    return [orjson.loads(line)["id"] for batch in read_batches(root) for line in batch.decisions]


def test_finished_files_are_read_in_order_and_gone_once_committed(tmp_path: Path) -> None:
    spool = Spool(tmp_path, file_age_s=1.0)
    spool.append([_line(1), _line(2)], now=0.0)
    spool.append([_line(3)], now=0.5)
    spool.append([_line(4)], now=1.5)
    assert _ids(tmp_path) == ["decision-1", "decision-2", "decision-3"]
    assert _ids(tmp_path) == ["decision-1", "decision-2", "decision-3"], "reading takes nothing away"
    for batch in list(read_batches(tmp_path)):
        commit(batch)
        commit(batch)
    spool.close()
    assert _ids(tmp_path) == ["decision-4"]


def test_a_living_writers_open_file_is_left_alone_and_a_dead_ones_is_read(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib\n"
        "from guardian.usecases.spool import Spool\n"
        "spool = Spool(pathlib.Path(sys.argv[1]))\n"
        'spool.append([b\'{"id": "one"}\'], now=0.0)\n'
        "spool.pending(7, 1_000_000_000, 2_000_000_000)\n"
        "print('written', flush=True)\n"
        "sys.stdin.read()\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        assert list(read_batches(tmp_path)) == []
        writer.send_signal(signal.SIGKILL)
    first, second = list(read_batches(tmp_path))
    assert first.decisions == (b'{"id": "one"}',)
    (gap,) = second.gaps
    assert (gap.count, gap.why, gap.since.second, gap.until.second) == (7, "worker", 1, 2)
    assert [batch.gaps[0].id for batch in read_batches(tmp_path) if batch.gaps] == [gap.id], "the same gap once more"
    commit(first)
    commit(second)
    assert list(read_batches(tmp_path)) == []
    assert list(tmp_path.iterdir()) == [], "nothing is left of a dead worker"


def test_a_torn_last_line_is_left_out_and_a_damaged_line_keeps_its_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append([_line(1)], now=0.0)
    spool.close()
    (path,) = spool.folder.glob("*.jsonl")
    path.write_bytes(_line(1) + b"\n\0\0\0\n" + _line(2) + b"\n" + _line(3)[:-4])
    (batch,) = read_batches(tmp_path)
    assert batch.decisions == (_line(1), _line(2))
    assert batch.damaged == 1
    commit(batch)
    assert [entry.suffix for entry in spool.folder.glob("0*")] == [".damaged"]
    assert list(read_batches(tmp_path)) == []
    assert backlog(tmp_path).damaged == 1


def test_only_the_owner_may_look_into_the_spool(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        spool = Spool(tmp_path / "spool")
        spool.append([_line(1)], now=0.0)
    finally:
        os.umask(before)
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in [spool.folder.parent, spool.folder, *spool.folder.iterdir()]
    }
    spool.close()
    assert {mode for name, mode in modes.items() if name in ("spool", spool.id)} == {0o700}
    assert {mode for name, mode in modes.items() if name not in ("spool", spool.id)} == {0o600}


@contextmanager
def small_files() -> Iterator[None]:
    """No file of this process grows beyond 4 KiB: what a full disk does, for whoever runs this.

    Not for a whole test: the file that the tests' own output goes to would not grow either.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_an_append_that_fails_leaves_nothing_of_itself_and_the_next_one_works(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append([_line(1)], now=0.0)
    with small_files(), pytest.raises(SpoolError, match=os.strerror(errno.EFBIG)):
        spool.append([_line(2), b'{"id": "' + b"x" * 8000 + b'"}'], now=0.0)
    spool.append([_line(3)], now=0.0)
    spool.close()
    assert _ids(tmp_path) == ["decision-1", "decision-3"]


def test_what_must_be_on_disk_is_there_when_the_recorder_says_so(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    found: list[tuple[bool, bool]] = []
    told = threading.Event()

    def done(saved: bool) -> None:
        held = any(b"decision-1" in path.read_bytes() for path in tmp_path.glob("*/*.open"))
        found.append((saved, held))
        told.set()

    recorder.first(_line(1), done)
    assert told.wait(30)
    recorder.close(30)
    assert found == [(True, True)]


def test_plain_allows_are_written_behind_and_all_of_them(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    for number in range(1000):
        recorder.behind(_line(number))
    recorder.close(30)
    assert _ids(tmp_path) == [f"decision-{number}" for number in range(1000)]
    assert [gap for batch in read_batches(tmp_path) for gap in batch.gaps] == []


def test_allows_above_the_bound_are_shed_and_a_gap_tells_how_many(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, waiting_bytes=200, start=False)  # nobody writes yet: everything waits
    for number in range(100):
        recorder.behind(_line(number))
    shed = recorder.shed
    recorder.start()
    recorder.close(30)
    gaps = [gap for batch in read_batches(tmp_path) for gap in batch.gaps]
    assert shed > 50
    assert sum(gap.count for gap in gaps) == shed
    assert {gap.why for gap in gaps} == {"queue"}
    assert len(_ids(tmp_path)) == 100 - shed


def test_more_unsigned_decisions_than_the_spool_may_hold_shed_allows_but_no_denial(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, spool_bytes=1)
    assert recorder.ready(30)
    recorder.behind(_line(0))
    await_that(lambda: recorder.full)
    recorder.behind(_line(1))
    told = threading.Event()
    recorder.first(_line(2), lambda _saved: told.set())
    assert told.wait(30)
    recorder.close(30)
    assert _ids(tmp_path) == ["decision-0", "decision-2"]
    assert [(gap.count, gap.why) for batch in read_batches(tmp_path) for gap in batch.gaps] == [(1, "backlog")]


def test_a_spool_that_cannot_be_written_is_said_counted_and_used_again_when_it_can(tmp_path: Path) -> None:
    blocked = tmp_path / "spool"
    blocked.write_text("a file where the folder should be")
    recorder = Recorder(blocked)
    told: list[bool] = []
    assert not recorder.ready(30)
    recorder.first(_line(1), told.append)
    recorder.behind(_line(2))
    await_that(lambda: told == [False] and recorder.shed == 1)
    blocked.unlink()
    await_that(lambda: recorder.trouble is None)
    recorder.first(_line(3), told.append)
    await_that(lambda: told == [False, True])
    recorder.close(30)
    assert _ids(blocked) == ["decision-3"]
    assert sum(gap.count for batch in read_batches(blocked) for gap in batch.gaps) == 2
