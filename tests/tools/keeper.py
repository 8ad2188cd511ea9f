"""Runs servers for as long as its own standard input stays open, then kills them and removes their folder.

The process that wants the servers holds the other end of that pipe. However it ends, by returning, by SIGTERM, by
SIGKILL, the kernel closes the pipe, so that no server and no file outlives it. The keeper runs in a session of its own:
a Ctrl-C meant for the tests does not end the servers before the tests' own clean-up has talked to them.

    python keeper.py FOLDER '[["name", ["program", "argument", ...]], ...]'

Every server runs in FOLDER with its output in FOLDER/name.log. One that ends by itself is told on standard output.
Needs only the standard library.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LOOK_EVERY_S = 0.1


def keep(folder: Path, servers: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Run `servers` in `folder` until standard input ends or a signal asks to stop."""
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in servers:
            with (folder / f"{name}.log").open("wb") as log:
                running[name] = subprocess.Popen(
                    command,
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    # nothing inherited: a proxy or KUBERNETES_SERVICE_HOST of this machine must not matter
                    env={"PATH": os.defpath, "HOME": str(folder), "LC_ALL": "C.UTF-8"},
                )
        _wait(running)
    finally:
        for process in running.values():
            process.kill()  # what they hold is thrown away: no reason to let them end tidily
        for process in running.values():
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(running: Mapping[str, subprocess.Popen[bytes]]) -> None:
    told: set[str] = set()
    while not select.select([sys.stdin], [], [], _LOOK_EVERY_S)[0]:
        for name, process in running.items():
            if name not in told and process.poll() is not None:
                told.add(name)
                with contextlib.suppress(BrokenPipeError):
                    print(f"{name} ended with exit {process.returncode}", flush=True)  # noqa: T201 -- its answer


def _stop(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    for wanted in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(wanted, _stop)
    keep(Path(sys.argv[1]), json.loads(sys.argv[2]))
