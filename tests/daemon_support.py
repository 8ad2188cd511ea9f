"""Environments for the daemon, a clock that is stepped, and daemons in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from guardian import config
from guardian.model import Slot
from guardian.schedule.sweep import Sweep
from guardian.store.database import Database
from guardian.usecases import planning
from guardian.usecases.init import init_keys
from guardian.usecases.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from evidence.verify import VerifiedRecord
    from guardian.settings import Settings

ROOT = Path(__file__).parents[1]
URL = "GUARDIAN_TEST_URL"  # the environment variable that names a PostgreSQL database
YAML = """\
environment: production
services:
- name: erp-plant1
  owner: ops
  escalation: oncall
  tier: critical
  tenancy: dedicated
  dataClass: confidential
  rto: 4h
  rpo: 24h
  dependsOn: []
  match: []
  assets:
  - name: erp
    type: postgres
    source: {{}}
    backups: [{{name: nightly, format: pg_dump, path: backups, every: 24h}}]
schedules: [{schedules}]
daemon: {{listen: "127.0.0.1:{port}", lease: {lease_s}s, jobs: {jobs}}}
sandbox: {{provider: bwrap, folder: sandbox}}
storage: {{database: {database}, objects: .guardian/objects}}
{more}
"""
SCAN = '{job: scan, cron: "0 * * * *", grace: 30m}'


def write(
    folder: Path,
    *schedules: str,
    url: str | None = None,
    name: str = "guardian.yaml",
    lease_s: int = 60,
    jobs: int = 1,
    port: int = 9465,
    more: str = "",
) -> Settings:
    """Write a guardian.yaml and load it."""
    (folder / "backups").mkdir(exist_ok=True)
    database = f'"env:{URL}"' if url else ".guardian/guardian.db"
    text = YAML.format(
        schedules=", ".join(schedules), lease_s=lease_s, jobs=jobs, port=port, database=database, more=more
    )
    (folder / name).write_text(text)
    return config.load(folder / name)


def make(folder: Path, *schedules: str, url: str | None = None, **more: Any) -> Settings:
    """Make an environment with these schedules, its log and its tables."""
    settings = write(folder, *schedules, url=url, **more)
    init_keys(settings)
    with Database(settings) as database:
        database.migrate()
    return settings


class Clock:
    """A clock that stands still until it is stepped."""

    def __init__(self, text: str) -> None:
        self.now = datetime.fromisoformat(text)

    def __call__(self) -> datetime:
        return self.now

    def to(self, text: str) -> datetime:
        self.now = datetime.fromisoformat(text)
        return self.now

    def step(self, **by: float) -> datetime:
        self.now += timedelta(**by)
        return self.now


@dataclass
class Daemon:
    """The slot machinery of one daemon, without processes."""

    settings: Settings
    clock: Clock
    database: Database
    sweep: Sweep

    @classmethod
    def of(cls, settings: Settings, clock: Clock, *, owner: str = "one") -> Daemon:
        """Return a daemon that has brought its schedule in force."""
        database, jobs = Database(settings), planning.jobs_of(settings)
        planning.bring_in_force(settings, database, jobs, clock)
        return cls(settings, clock, database, Sweep(settings, database, jobs, owner))

    def round(self, room: int = 0) -> list[Any]:
        """Go round once, and return what was claimed."""
        ours = self.sweep.make(self.clock())
        while self.sweep.close(self.clock(), ours=ours):
            pass
        return list(self.sweep.claims(self.clock(), room)) if ours else []

    def close(self) -> None:
        self.database.close()


def records(settings: Settings) -> list[VerifiedRecord]:
    """Return the log's records, verified."""
    with Ledger(settings, writable=False) as ledger:
        return list(ledger.records())


def of_slots(settings: Settings) -> dict[str, list[tuple[int, str, str]]]:
    """Return (attempt, kind, result) of each record by its slot, in the log's order."""
    found: dict[str, list[tuple[int, str, str]]] = {}
    for record in records(settings):
        run = record.predicate["run"]
        if run["slot"] is not None:
            found.setdefault(run["slot"], []).append((run["attempt"], record.kind, record.predicate["result"]))
    return found


def slot(job: str, due: str) -> Slot:
    """Return the slot of a job at a time."""
    return Slot(job, datetime.fromisoformat(due))


def eventually(what: Callable[[], Any], *, seconds: float = 60, why: Callable[[], str] = lambda: "") -> Any:
    """Return the first true value of `what`, looked at until then."""
    until = time.monotonic() + seconds
    while True:
        if found := what():
            return found
        assert time.monotonic() < until, f"it did not happen within {seconds} s; {why()}"
        time.sleep(0.05)


class Process:
    """A program of its own, with its output in a file; killed at the end of the `with`."""

    def __init__(self, command: Sequence[str], output: Path, env: dict[str, str] | None = None) -> None:
        self.output = output
        with output.open("ab") as file:
            self.popen = subprocess.Popen(
                [sys.executable, *command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
                process_group=0,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()

    @property
    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def terminate(self, seconds: float = 90) -> int:
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(seconds)

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()

    def children(self) -> list[int]:
        """Return the process ids of its children."""
        return children_of(self.popen.pid)


def children_of(pid: int) -> list[int]:
    """Return the process ids of the living children of a process."""
    return [child for child, parent in _parents() if parent == pid]


def _parents() -> Iterator[tuple[int, int]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                after = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if after[0] not in "ZX":
                yield int(entry.name), int(after[1])


def is_alive(pid: int) -> bool:
    """Tell whether a process lives and is no zombie."""
    return any(pid == one for one, _ in _parents())
