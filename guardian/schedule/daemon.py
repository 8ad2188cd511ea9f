"""The daemon, `guardian run`: fires what is due, runs it in child processes, and closes what nobody ran.

Invariant: what must happen follows from rows in the database and not from this process: it may be killed at any moment,
and the next daemon, or another one on the same database, carries on. SIGTERM and SIGINT end it in order.
I/O: everything its parts do, signals, standard error.
"""

from __future__ import annotations

import contextlib
import os
import queue
import secrets
import socket
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING, Final

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from guardian import __version__
from guardian.errors import UsageError
from guardian.schedule import notify
from guardian.schedule.children import Service, wait_for
from guardian.schedule.http import Monitor
from guardian.schedule.jobs import PROGRAM, Jobs
from guardian.schedule.metrics import Metrics
from guardian.schedule.status import Status
from guardian.schedule.steady import Steady
from guardian.schedule.sweep import Sweep
from guardian.schedule.trigger import SlotTrigger
from guardian.serving.ending import asked_to_end
from guardian.store import slots
from guardian.store.database import Database
from guardian.usecases import planning
from guardian.usecases.drill import record_killed
from guardian.usecases.following import Follower
from guardian.usecases.ledger import Ledger
from guardian.usecases.spool import backlog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from guardian.settings import Settings
    from guardian.usecases.planning import Job

    Clock = Callable[[], datetime]

log_events = structlog.get_logger()

SWEEP_S: Final = 5.0
STOP_S: Final = 60.0
_COUNT_S: Final = 60.0
_FOLLOW_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Options:
    """What tests wire differently. clock: the time that slots go by, None for the database's. monotonic: what it is
    held against. sweep_s: seconds between passes. stop_s: seconds that children have to end. program: runs a job.
    """

    clock: Clock | None = None
    monotonic: Callable[[], float] | None = None
    sweep_s: float = SWEEP_S
    stop_s: float = STOP_S
    program: Sequence[str] = PROGRAM
    verbose: bool = False


def serve(settings: Settings, *, say: Callable[[str], None], options: Options | None = None) -> None:
    """Run until SIGTERM or SIGINT. To be called in the main thread. say: tells a person what it will do, line by line.

    Raises UsageError if there is nothing to do, or the address does not serve, and what opening log and database raise.
    """
    jobs = planning.jobs_of(settings)
    if not jobs and settings.webhook is None and settings.api is None:
        raise UsageError(
            f"{settings.path} gives the daemon nothing to do; add at least one of\n"
            '  schedules: [{job: scan, cron: "0 * * * *"}, {job: drill, asset: NAME, cron: "0 3 * * *", grace: 1h}]\n'
            '  api: {listen: "127.0.0.1:8480"}\n'
            '  webhook: {certificate: tls/tls.pem, key: "file:tls/tls.key"}'
        )
    chosen = options or Options()
    with Database(settings) as database, contextlib.ExitStack() as stack:
        database.migrate()
        daemon = _Daemon(settings, jobs, database, chosen)
        monitor = Monitor(settings.daemon, daemon.status, daemon.metrics)
        stack.callback(monitor.close)
        stack.enter_context(asked_to_end(daemon.stop))
        monitor.start()
        daemon.begin()
        for line in _announced(settings, jobs, monitor.place, daemon.now()):
            say(line)
        daemon.run()


def _announced(settings: Settings, jobs: Sequence[Job], place: str, now: datetime) -> Iterator[str]:
    yield f"guardian {__version__} guards {settings.environment}, configured in {settings.path}"
    for job in jobs:
        due = job.next_due(now)
        when = f"{due:%Y-%m-%d %H:%M} UTC" if due else "never"
        crons = ", ".join(f"{cron} ({zone})" for cron, zone in job.schedules)
        yield f"  {job.name}: {crons}; next {when}; grace {job.grace_s} s, attempts {job.attempts}"
    if not jobs:
        yield "  no schedule: nothing runs by itself"
    yield f"  /healthz, /readyz and /metrics on http://{place}"
    if settings.webhook is not None:
        yield f"  webhook on https://{settings.webhook.host}:{settings.webhook.port}"
    if settings.api is not None:
        yield f"  API and console on {settings.api.host}:{settings.api.port}"


class _Wake:
    """Ends a pause early. `set` is safe in a signal handler, which an Event's is not."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        self._queue.put(None)

    def wait(self, seconds: float) -> None:
        with contextlib.suppress(queue.Empty):
            self._queue.get(timeout=max(0.01, seconds))
            while True:
                self._queue.get_nowait()


@dataclass(slots=True)
class _Daemon:
    settings: Settings
    jobs: Sequence[Job]
    database: Database
    options: Options
    status: Status = field(default_factory=Status)
    metrics: Metrics = field(init=False)
    _wake: _Wake = field(default_factory=_Wake)
    _steady: Steady = field(default_factory=Steady)
    _stopping: bool = False
    _running: Jobs = field(init=False)
    _sweep: Sweep = field(init=False)
    _services: list[Service] = field(init=False)
    _counted: float = 0.0
    _told: bool = False
    _ours: bool = True

    def __post_init__(self) -> None:
        verbose = self.options.verbose
        self.metrics = Metrics(self.settings.environment, __version__)
        owner = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
        self._sweep = Sweep(self.settings, self.database, self.jobs, owner)
        self._running = Jobs(
            self.settings,
            self.database,
            self.now,
            self.metrics,
            self._wake.set,
            [],
            program=self.options.program,
            verbose=verbose,
        )
        named = {"webhook": self.settings.webhook, "api": self.settings.api}
        self._services = [
            Service.of(name, self.settings.path, self._wake.set, verbose=verbose)
            for name, configured in named.items()
            if configured is not None
        ]

    def now(self) -> datetime:
        """Return the time that slots go by."""
        return self.options.clock() if self.options.clock is not None else self.database.now()

    def stop(self) -> None:
        """End `run`. Safe in a signal handler."""
        self._stopping = True
        self._wake.set()

    def begin(self) -> None:
        """Bring the schedule in force, and clear up after the dead. Raises what opening the log raises."""
        planning.bring_in_force(self.settings, self.database, self.jobs, self.now)
        try:
            with Ledger(self.settings, writable=True) as ledger:
                record_killed(self.settings, ledger)
        except Exception as error:  # noqa: BLE001 -- what cannot be cleared up keeps no slot from being run
            log_events.error("leftovers_not_swept", reason=str(error))  # noqa: TRY400

    def run(self) -> None:
        """Go round until `stop`, then end everything in order."""
        firing = BackgroundScheduler(timezone=UTC, executors={"default": ThreadPoolExecutor(1)})
        for job in self.jobs:
            firing.add_job(self._wake.set, SlotTrigger(job), id=job.name, coalesce=True, misfire_grace_time=None)
        firing.start()
        done = threading.Event()
        following = threading.Thread(target=self._follow, args=[done], name="follower", daemon=True)
        following.start()
        try:
            while not self._stopping:
                more = self._round()
                if not self._stopping:
                    self._wake.wait(0 if more else self.options.sweep_s)
        finally:
            notify.tell("STOPPING=1")
            self.status.tell(("it is stopping",))
            firing.shutdown(wait=False)
            done.set()
            self._end()

    def _round(self) -> bool:
        """Do what is to be done now; tell whether there is more of it. Never raises: the next round tries again."""
        self.status.tick()
        for service in self._services:
            service.tend(time.monotonic())
        lacking = [f"the {service.name} does not answer" for service in self._services if not service.answers]
        more = well = False
        try:
            now = self.now()
            self._running.tend(now)
            if self._believed(now):
                ours = self._sweep.make(now)
                if not ours:
                    lacking.append("another schedule than that of guardian.yaml is in force: nothing is begun here")
                self._tell_ours(ours)
                more = self._sweep.close(now, ours=ours)
                if ours and not self._stopping:
                    self._begin_due(self.now())  # closing may have waited longer for the log than a lease lasts
            else:
                lacking.append("the clock jumped: nothing is begun or closed until it has stayed where it is")
            self._count()
            well = True
        except Exception as error:  # noqa: BLE001 -- a database that is away must not end the daemon
            log_events.error("sweep_failed", error=type(error).__name__, reason=str(error))  # noqa: TRY400
            lacking.append("the last look at the slots failed, see the log")
        self._tell_ready(lacking, well=well)
        return more

    def _believed(self, now: datetime) -> bool:
        """Tell whether the clock may be acted on; one that a test drives alone is the test's affair."""
        if self.options.clock is not None and self.options.monotonic is None:
            return True
        return self._steady.holds(now, (self.options.monotonic or time.monotonic)())

    def _begin_due(self, now: datetime) -> None:
        room = self.settings.daemon.jobs - len(self._running.running)
        for claim in self._sweep.claims(now, room):
            if claim.attempt == 1:
                self.metrics.lateness.observe((now - claim.slot.due).total_seconds())
            self._running.start(claim, now)

    def _count(self) -> None:
        every = time.monotonic() - self._counted >= _COUNT_S
        with self.database.reading() as session:
            self.metrics.slots(slots.open_counts(session), slots.closed_counts(session) if every else None)
        if every:
            self._counted = time.monotonic()
        if self.settings.webhook is not None:
            self.metrics.spool(backlog(self.settings.webhook.spool).files)

    def _tell_ours(self, ours: bool) -> None:
        if self._ours and not ours:
            log_events.error(
                "schedule_superseded",
                reason="another daemon brought another schedule in force; this one begins nothing until both have the "
                "same `schedules:`",
            )
        elif ours and not self._ours:
            log_events.info("schedule_ours_again")
        self._ours = ours

    def _tell_ready(self, lacking: Sequence[str], *, well: bool) -> None:
        if self.status.tell(tuple(lacking)):
            log_events.info("readiness_changed", lacking=list(lacking))
        self.metrics.swept(well=well, ready=not lacking)
        if not self._told:
            self._told = True
            notify.tell("READY=1")  # it has begun; whether it is well is what /readyz says
        if "WATCHDOG_USEC" in os.environ:
            notify.tell("WATCHDOG=1")

    def _follow(self, done: threading.Event) -> None:
        """Read new records for metrics, in a thread of its own: the first look at a long log takes its time."""
        follower = Follower(self.settings)
        while not done.is_set():
            try:
                news = follower.look()
                if news is not None:
                    self.metrics.followed(news)
            except Exception as error:  # noqa: BLE001 -- metrics end no daemon
                log_events.error("log_not_followed", reason=str(error))  # noqa: TRY400
            done.wait(min(_FOLLOW_S, 2 * self.options.sweep_s))

    def _end(self) -> None:
        children = [service.child for service in self._services if service.child is not None]
        for child in children:
            child.stop()
        began = time.monotonic()
        self._running.stop(self.options.stop_s)
        wait_for(children, max(0.0, self.options.stop_s - (time.monotonic() - began)))
        for service in self._services:
            if service.runs and service.child is not None:
                log_events.error("service_killed", service=service.name, reason="it did not end in time")
                service.child.kill()
        log_events.info("daemon_stopped")
