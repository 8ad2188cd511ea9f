"""What a person sees of a drill while it goes on, on a real terminal; without one, nothing."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

DRILL = """
import time
from guardian.cli import drill_progress
with drill_progress.shown() as tell:
    tell("erp", "fetch", None, None)
    for done in (40_000_000, 80_000_000):
        time.sleep(0.1)
        tell("erp", "fetch", done, 80_000_000)
    tell("erp", "compare", None, None)
    tell("erp", "compare", 3, 7)
    time.sleep(0.2)
    tell("crm", "fetch", None, None)
"""


def on_a_terminal() -> str:
    """What the drill prints to a terminal of 120 columns, without control sequences."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen([sys.executable, "-c", DRILL], stderr=theirs, stdout=theirs, env=environment) as child:
        os.close(theirs)
        data = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            data += piece
        assert child.wait(30) == 0
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode())


def test_each_finished_phase_stays_with_its_time_and_throughput() -> None:
    lines = [line.strip() for line in re.split(r"[\r\n]+", on_a_terminal())]
    assert any(re.fullmatch(r"erp  fetch +\d+ ms  80.0 MB, \d+ MB/s", line) for line in lines), lines
    assert any(re.fullmatch(r"erp  compare +\d+ ms  3 objects, [\d,]+/s", line) for line in lines), lines
    assert any(re.match(r"crm  fetch", line) for line in lines), lines


def test_bar_says_how_much_of_how_much_is_done() -> None:
    assert re.search(r"erp: compare .*3 of 7", on_a_terminal())


def test_nothing_is_printed_where_there_is_no_terminal() -> None:
    done = subprocess.run([sys.executable, "-c", DRILL], capture_output=True, check=True, timeout=30)
    assert (done.stdout, done.stderr) == (b"", b"")
