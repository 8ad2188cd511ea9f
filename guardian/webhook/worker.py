"""One worker: a process that serves the shared socket with an engine, a spool folder and a certificate of its own.

Invariants: it takes requests only once its engine has judged a pod. It holds no signing key and opens none. It ends
when its supervisor does. SIGTERM: it stops accepting, answers what is under way, writes what is spooled, and exits 0.
I/O: sockets, spool, certificate files, policies; guardian.yaml through `config`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import math
import os
import queue
import signal
import socket
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson
import structlog
import uvloop

from guardian import config, telemetry
from guardian.errors import GuardianError, UsageError
from guardian.serving.server import Server, configuration
from guardian.serving.tls import Certificate, Files
from guardian.usecases.admission_answer import Outcome
from guardian.usecases.review import Reviewer
from guardian.usecases.spool import backlog
from guardian.webhook.answering import Answering
from guardian.webhook.app import App
from guardian.webhook.counters import Counters
from guardian.webhook.judging import Job, Judging
from guardian.webhook.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import uvicorn

    from guardian.settings import WebhookSettings
    from guardian.usecases.review import Decision
    from guardian.webhook.judging import Reviews

log_events = structlog.get_logger()

# What a worker says to its supervisor: it takes requests; or why it cannot, as a usage error or another, in words.
READY: Final = b"R"
USAGE: Final = b"U"
FAILED: Final = b"F"
ENGINE_S: Final = 60.0  # to load policies and judge the first pod
_TICK_S: Final = 0.25
_CERTIFICATE_S: Final = 1.0
_KEEP_ALIVE_S: Final = 120  # longer than an API server keeps an idle connection, so that it never loses a request by it
# The GIL passes from the engine's thread to the event loop's within this time; Python's 5 ms are longer than a review.
_SWITCH_S: Final = 0.0005

# A dry run in a namespace that nobody exempts: judged like any other, written nowhere.
_POD: Final = orjson.dumps(
    {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "guardian-self-review",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "operation": "CREATE",
            "userInfo": {"username": "guardian", "groups": []},
            "name": "guardian-self-review",
            "namespace": "guardian-self-review",
            "dryRun": True,
            "object": {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "guardian-self-review", "namespace": "guardian-self-review"},
                "spec": {"containers": [{"name": "main", "image": "example.org/main:1"}]},
            },
        },
    }
)


class Worker:
    """What serves; made and run inside an event loop."""

    def __init__(
        self,
        settings: WebhookSettings,
        listener: socket.socket,
        counters: Counters,
        open_reviews: Callable[[], Reviews],
    ) -> None:
        """listener: bound already. open_reviews: makes what answers reviews, in the thread that will use it."""
        self._settings, self._listener, self._counters = settings, listener, counters
        self._certificate = Certificate(Files("webhook", settings.certificate, settings.key, settings.client_ca))
        self._judging = Judging(open_reviews, queue=settings.queue)
        self._recorder = Recorder(settings.spool)
        self._server: Server | None = None
        self._stopping = False

    async def serve(self, ready: Callable[[], None]) -> None:
        """Serve until `stop`. ready: called once requests are taken. Raises GuardianError if it cannot begin."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._begin)
        gc.collect()
        gc.freeze()  # policies and code stay: no later collection has to walk them within somebody's deadline
        answering = Answering(self._settings, self._judging, self._recorder, self._counters)
        app = App(answering, unready=self._unready, metrics=self._metrics)
        self._server = Server(self._configuration(app), ready)
        self._server.should_exit = self._stopping
        tending = [loop.create_task(self._tick()), loop.create_task(self._watch_certificate())]
        try:
            await self._server.serve(sockets=[self._listener])
        finally:
            for task in tending:
                task.cancel()
            await loop.run_in_executor(None, self._end)

    def stop(self) -> None:
        """Stop accepting; `serve` returns when all is answered and written."""
        self._stopping = True
        if self._server is not None:
            self._server.should_exit = True

    def _begin(self) -> None:
        try:
            self._judging.start(ENGINE_S)
        except TimeoutError as error:
            raise GuardianError(str(error)) from error
        self._prove()
        self._recorder.ready(5.0)

    def _prove(self) -> None:
        """Have a small pod judged, as a dry run: what cannot judge that must get no requests. Raises GuardianError."""
        answers: queue.SimpleQueue[Decision | Exception] = queue.SimpleQueue()
        until = time.monotonic() + ENGINE_S
        job = Job(
            _POD,
            decision_id="self-review",
            now=datetime.now(UTC),
            deadline=until,
            latest=until,
            decided=lambda _job, answer: answers.put(answer),
        )
        self._judging.submit(job)
        try:
            answer = answers.get(timeout=ENGINE_S)
        except queue.Empty:
            raise GuardianError(f"the policy engine did not judge a pod within {ENGINE_S:g} s") from None
        if isinstance(answer, Exception):
            raise GuardianError(f"the policy engine cannot judge a pod: {answer}") from answer
        if answer.outcome in {Outcome.ERROR, Outcome.OVERDUE}:
            reasons = answer.message or "; ".join(answer.warnings)
            raise GuardianError(f"the policy engine cannot judge a pod: {reasons}")

    def _end(self) -> None:
        self._judging.close(self._settings.deadline_s)
        self._recorder.close(10.0)

    def _configuration(self, app: App) -> uvicorn.Config:
        return configuration(
            app,
            keep_alive_s=_KEEP_ALIVE_S,
            grace_s=math.ceil(self._settings.timeout_s) + 1,
            context=lambda: self._certificate.context,
            date_header=False,
        )

    def _unready(self) -> str | None:
        if self._stopping:
            return "stopping"
        if not self._judging.ready:
            return "the policy engine is not ready"
        if self._recorder.trouble is not None:
            return "the spool cannot be written"
        if self._certificate.expires <= datetime.now(UTC):
            return f"the certificate expired at {self._certificate.expires.isoformat()}"
        return None

    def _metrics(self) -> str:
        found = backlog(self._settings.spool)
        age_s = max(0.0, time.time() - found.oldest) if found.oldest else 0.0
        measured = {
            "spool_files": found.files,
            "spool_bytes": found.size_bytes,
            "spool_oldest_seconds": round(age_s, 3),
            "spool_damaged": found.damaged,
        }
        return self._counters.prometheus(measured)

    async def _tick(self) -> None:
        """A few times a second: replace a stuck engine, and say how things are."""
        overdue = self._counters.get("outcome.overdue")
        replaced = self._counters.get("engines_replaced")
        shed = self._counters.get("shed")
        while True:
            self._judging.watch()
            if self._judging.hopeless and not self._stopping:
                log_events.error("webhook_worker_gave_up", reason="too many engines are stuck")
                self.stop()
            counters = self._counters
            counters.set("heartbeat_ns", time.monotonic_ns())
            counters.set("queue_depth", self._judging.waiting)
            counters.set("ready", int(self._unready() is None))
            counters.set("certificate_expires_s", int(self._certificate.expires.timestamp()))
            counters.set("engines_replaced", replaced + self._judging.replaced)
            counters.set("shed", shed + self._recorder.shed)
            now_overdue = counters.get("outcome.overdue")
            if now_overdue != overdue:
                log_events.warning("webhook_reviews_overdue", ever=now_overdue)
                overdue = now_overdue
            await asyncio.sleep(_TICK_S)

    async def _watch_certificate(self) -> None:
        while True:
            await asyncio.sleep(_CERTIFICATE_S)
            await asyncio.to_thread(self._certificate.reload, datetime.now(UTC))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one worker of the supervisor that began this process."""
    parser = argparse.ArgumentParser(prog="guardian.webhook.worker", description=main.__doc__)
    parser.add_argument("--config", type=Path, required=True)
    for name in ("--listener", "--supervisor", "--counters", "--slot"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args(arguments)
    telemetry.configure(verbose=options.verbose)
    sys.setswitchinterval(_SWITCH_S)
    supervisor = socket.socket(fileno=options.supervisor)
    counters = Counters(options.counters, options.slot)
    os.close(options.counters)
    listener = socket.socket(fileno=options.listener)
    try:
        settings = config.load(options.config)
        if settings.webhook is None:
            raise UsageError(f"{settings.path} has no `webhook:`")
        threading.Thread(
            target=_end_with, args=(supervisor, 2.0 * settings.webhook.timeout_s), name="supervisor", daemon=True
        ).start()
        worker = Worker(settings.webhook, listener, counters, lambda: Reviewer.open(settings))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(worker, supervisor))
    except (GuardianError, OSError) as error:
        # The supervisor raises it as its own if no worker ever served.
        with contextlib.suppress(OSError):
            supervisor.sendall((USAGE if isinstance(error, UsageError) else FAILED) + str(error).encode()[:4000])
        sys.exit(1)


async def _run(worker: Worker, supervisor: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    await worker.serve(lambda: supervisor.sendall(READY))


def _end_with(supervisor: socket.socket, grace_s: float) -> None:
    """Wait for the supervisor's end, however it came, and end this process: in order, or else by force."""
    with contextlib.suppress(OSError):
        while supervisor.recv(1):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_s)
    os._exit(1)


if __name__ == "__main__":
    main()
