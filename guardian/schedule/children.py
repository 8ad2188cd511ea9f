"""The processes of the daemon: jobs, and the webhook and API beside it.

Invariant: every child holds the read end of a pipe whose other end only this process has: when this process closes it,
or dies however, the child ends. I/O: processes, pipes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

import guardian
from guardian.telemetry import READY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

log_events = structlog.get_logger()

_PAUSES_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)  # before a service that ended early is started again
_EARLY_S: Final = 60.0


class Child:
    """A running program of this package. It has a process group of its own: Ctrl-C reaches the daemon only."""

    def __init__(self, command: Sequence[str], ended: Callable[[], None], *, tells: bool = False) -> None:
        """Start it. ended: called, in another thread, when it has ended. Raises OSError if it cannot be started.

        tells: it says when it answers (`telemetry.announce`), as services do; `ended` is called then too.
        """
        self.answers = False
        heard, said = os.pipe() if tells else (-1, -1)
        # -P keeps the working directory off the path, so the package as it runs here is named.
        home = str(Path(guardian.__file__).parents[1])
        path = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
        try:
            self._process = subprocess.Popen(
                [*command],
                stdin=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path), **({READY: str(said)} if tells else {})},
                process_group=0,
                pass_fds=[said] if tells else [],
            )
        except OSError:
            if tells:
                os.close(heard)
            raise
        finally:
            if tells:
                os.close(said)
        self._ended = ended
        if tells:
            threading.Thread(target=self._listen, args=[heard], name=f"ready-{self.pid}", daemon=True).start()
        threading.Thread(target=self._wait, name=f"child-{self.pid}", daemon=True).start()

    def _listen(self, heard: int) -> None:
        with open(heard, "rb", buffering=0) as pipe:
            self.answers = bool(pipe.read(1))
        if self.answers:
            self._ended()  # so that whoever waits looks at once

    def _wait(self) -> None:
        self._process.wait()
        self._ended()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status, minus the signal that killed it, None while it runs."""
        return self._process.poll()

    @property
    def ending(self) -> str:
        """How it ended, for people."""
        status = self.status or 0
        return f"exit status {status}" if status >= 0 else f"killed by signal {-status}"

    def stop(self) -> None:
        """Ask it to end, once: its lifeline makes that a SIGTERM."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def kill(self) -> None:
        """End it and its group at once, and wait for it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self.stop()


def wait_for(children: Sequence[Child], seconds: float, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Return when all have ended, at the latest after so many seconds. meanwhile: called now and then."""
    until = time.monotonic() + seconds
    while any(child.status is None for child in children) and time.monotonic() < until:
        meanwhile()
        time.sleep(0.1)


@dataclass(slots=True)
class Service:
    """A command of Guardian that runs beside the jobs, and is started again when it ends. Times: monotonic."""

    name: str
    command: Sequence[str]
    ended: Callable[[], None]
    child: Child | None = None
    failures: int = 0
    started: float = 0.0
    not_before: float = field(default=0.0)

    @classmethod
    def of(cls, name: str, config: Path, ended: Callable[[], None], *, verbose: bool) -> Service:
        """Return the service of `guardian <name>`."""
        flags = ["--verbose"] if verbose else []
        program = [sys.executable, "-P", "-m", "guardian.schedule.service", *flags, name, "--config", str(config)]
        return cls(name, program, ended)

    @property
    def runs(self) -> bool:
        """Whether it runs now."""
        return self.child is not None and self.child.status is None

    @property
    def answers(self) -> bool:
        """Whether it runs and has said that it answers."""
        return self.runs and self.child is not None and self.child.answers

    def tend(self, now: float) -> None:
        """Start it if it is time to."""
        if self.child is not None and self.child.status is not None:
            self.failures = 0 if now - self.started >= _EARLY_S else self.failures + 1
            pause_s = _PAUSES_S[min(self.failures, len(_PAUSES_S) - 1)]
            self.not_before = now + pause_s
            log_events.error("service_ended", service=self.name, how=self.child.ending, restart_in_s=pause_s)
            self.child.stop()
            self.child = None
        if self.child is None and now >= self.not_before:
            try:
                self.child = Child(self.command, self.ended, tells=True)
            except OSError as error:
                self.not_before = now + _PAUSES_S[-1]
                log_events.error("service_not_started", service=self.name, reason=str(error))  # noqa: TRY400
                return
            self.started = now
            log_events.info("service_started", service=self.name, pid=self.child.pid)
