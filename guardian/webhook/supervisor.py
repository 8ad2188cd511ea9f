"""The webhook's parent process: binds the socket once, keeps the workers running, and signs what they spool.

Invariants: it alone opens signing keys, and it takes no request; workers are given neither the keys nor the environment
variables that hold secrets they have no use for. A worker that ends is started again, later each time it ends early;
one that no longer tends its clock is killed first. No worker begins where the log cannot be signed into. SIGTERM and
SIGINT: workers answer what is under way, what is spooled is signed, then it returns, or says what could not be signed.
If it is killed, the workers see its socket close and end.
I/O: the socket, processes, the signer's.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog

from guardian.errors import GuardianError, UsageError
from guardian.serving.child import environment_for_child
from guardian.serving.ending import asked_to_end
from guardian.serving.tls import Certificate, Files
from guardian.usecases import decisions
from guardian.usecases.ledger import can_open
from guardian.usecases.spool import backlog
from guardian.webhook import counters as shared
from guardian.webhook.counters import Counters
from guardian.webhook.worker import ENGINE_S, READY, USAGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardian.settings import Settings, WebhookSettings

log_events = structlog.get_logger()

_PAUSES_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # before a worker that ended early is started again
_EARLY_S: Final = 30.0
_HUNG_S: Final = 15.0  # without a heartbeat, of which there are four a second
_STARTING_S: Final = 2 * ENGINE_S + 10
_SIGNER_PAUSE_S: Final = 5.0
_OPENING_S: Final = 20.0
_LOOK_S: Final = 0.1


def serve(settings: Settings, *, verbose: bool = False, listening: Callable[[str], None] = lambda _place: None) -> None:
    """Serve until SIGTERM or SIGINT. To be called in the main thread.

    listening: told `host:port` once the first worker takes requests. verbose: workers log everything.
    Raises UsageError if configuration, certificate or address do not serve, GuardianError if no worker can begin or
    decisions are left that could not be signed, and what opening the log raises.
    """
    webhook = settings.webhook
    if webhook is None:
        raise UsageError(f"{settings.path} has no `webhook:`; add one, see `guardian webhook --help`")
    files = Files("webhook", webhook.certificate, webhook.key, webhook.client_ca)
    Certificate(files)  # said here, once, and not by each worker
    stop = threading.Event()
    with _bound(webhook) as listener, asked_to_end(stop.set):
        supervisor = _Supervisor(settings, webhook, listener, verbose=verbose)
        signer = _Signer(settings, supervisor.counters, stop)
        signer.start()
        signer.opened.wait(_OPENING_S)  # a log that is held for longer keeps nobody from being answered
        try:
            supervisor.run(stop, listening)
        finally:
            listener.close()
            supervisor.stop()
            signer.finish()
    if signer.refused is not None:
        raise signer.refused
    left = backlog(webhook.spool)
    if left.files:
        raise GuardianError(
            f"{left.files} file(s) of decisions in {webhook.spool} could not be signed into the log"
            f"{f': {signer.failed}' if signer.failed else ''}. Keep them; once that is mended, the next "
            "`guardian webhook` with this configuration signs them"
        )


@dataclass(slots=True)
class _Slot:
    """The place of one worker. Times: monotonic."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    line: socket.socket | None = None
    started: float = 0.0
    ready: bool = False
    said: bytes = b""
    failures: int = 0
    not_before: float = 0.0


@dataclass(slots=True)
class _Supervisor:
    settings: Settings
    webhook: WebhookSettings
    listener: socket.socket
    verbose: bool = field(kw_only=True)
    counters: Counters = field(init=False)
    _memory: int = field(init=False)
    _slots: list[_Slot] = field(init=False)
    _environment: dict[str, str] = field(init=False)
    _served: bool = False

    def __post_init__(self) -> None:
        workers = self.webhook.workers
        self._memory = shared.create(workers + 1)
        self.counters = Counters(self._memory, workers)  # the last slot is the supervisor's own
        self._slots = [_Slot(number) for number in range(workers)]
        self._environment = environment_for_workers(self.settings)

    def run(self, stop: threading.Event, listening: Callable[[str], None]) -> None:
        """Keep the workers running until `stop`. Raises what the first worker to fail said, if none ever served."""
        while not stop.is_set():
            now = time.monotonic()
            for slot in self._slots:
                self._tend(slot, now)
            if not self._served and any(slot.ready for slot in self._slots):
                self._served = True
                host, port = self.listener.getsockname()[:2]
                listening(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
            stop.wait(_LOOK_S)

    def stop(self) -> None:
        """Let the workers end in order; after the time they may need, kill them."""
        for slot in self._slots:
            if slot.process is not None and slot.process.poll() is None:
                slot.process.send_signal(signal.SIGTERM)
        until = time.monotonic() + 2 * self.webhook.timeout_s + 12
        for slot in self._slots:
            if slot.process is None:
                continue
            try:
                slot.process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                reason = "it did not end in time"
                log_events.error("webhook_worker_killed", slot=slot.number, reason=reason)  # noqa: TRY400 -- says it all
                slot.process.kill()
                slot.process.wait()
            if slot.line is not None:
                slot.line.close()

    def _tend(self, slot: _Slot, now: float) -> None:
        if slot.process is None:
            if now >= slot.not_before:
                self._start(slot, now)
            return
        self._listen(slot)
        if slot.process.poll() is not None:
            self._ended(slot, now)
        elif self._hangs(slot, now):
            log_events.error("webhook_worker_killed", slot=slot.number, reason="it hung")
            slot.process.kill()

    def _start(self, slot: _Slot, now: float) -> None:
        slot.line, theirs = socket.socketpair()
        slot.line.setblocking(False)
        handles = (self.listener.fileno(), theirs.fileno(), self._memory)
        names = ("--listener", "--supervisor", "--counters")
        command = [sys.executable, "-P", "-m", "guardian.webhook.worker", "--config", str(self.settings.path)]
        for name, handle in zip(names, handles, strict=True):
            command += [name, str(handle)]
        command += ["--slot", str(slot.number), *(["--verbose"] if self.verbose else [])]
        self.counters.clear_gauges(slot.number)
        with theirs:
            # A process group of its own: Ctrl-C on a terminal reaches the supervisor only, which ends them in order.
            slot.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, pass_fds=handles, env=self._environment, process_group=0
            )
        slot.started, slot.ready, slot.said = now, False, b""
        log_events.info("webhook_worker_started", slot=slot.number, pid=slot.process.pid)

    def _listen(self, slot: _Slot) -> None:
        assert slot.line is not None  # noqa: S101 -- it has a process
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while part := slot.line.recv(4096):
                slot.said += part
        if slot.said == READY and not slot.ready:
            slot.ready = True
            log_events.info("webhook_worker_ready", slot=slot.number)

    def _ended(self, slot: _Slot, now: float) -> None:
        assert slot.process is not None  # noqa: S101 -- the caller has looked
        assert slot.line is not None  # noqa: S101 -- made with the process
        self._listen(slot)
        code, slot.process = slot.process.returncode, None
        slot.line.close()
        slot.line = None
        reason = "" if slot.ready else slot.said[1:].decode("utf-8", "replace")
        if not self._served and not slot.ready:
            kind = UsageError if slot.said.startswith(USAGE) else GuardianError
            raise kind(reason or f"a worker of the webhook ended with status {code} before it took requests")
        slot.failures = 0 if now - slot.started >= _EARLY_S else slot.failures + 1
        pause_s = _PAUSES_S[min(slot.failures, len(_PAUSES_S) - 1)]
        slot.not_before = now + pause_s
        slot.ready = False
        self.counters.clear_gauges(slot.number)
        self.counters.add("restarts")
        log_events.error("webhook_worker_ended", slot=slot.number, status=code, reason=reason, restart_in_s=pause_s)

    def _hangs(self, slot: _Slot, now: float) -> bool:
        if not slot.ready:
            return now - slot.started > _STARTING_S
        beat = self.counters.get("heartbeat_ns", slot.number) / 1e9
        return now - max(beat, slot.started) > _HUNG_S


def environment_for_workers(settings: Settings) -> dict[str, str]:
    """Return this process's environment without the secrets that only the supervisor, or nobody here, needs."""
    return environment_for_child(settings, needed=(settings.keys.redaction, settings.engine.token))


def _bound(webhook: WebhookSettings) -> socket.socket:
    """Return the socket. It listens once the first worker does: until then callers are refused, not kept waiting.

    Raises UsageError.
    """
    family = socket.AF_INET6 if ":" in webhook.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((webhook.host, webhook.port))
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise UsageError(f"cannot listen on webhook.listen {webhook.host}:{webhook.port}: {error.strerror}") from error
    return listener


class _Signer(threading.Thread):
    """Signs what is spooled. What fails is tried again, for the spool keeps everything; serving goes on meanwhile."""

    def __init__(self, settings: Settings, counters: Counters, stop: threading.Event) -> None:
        """stop: set if nothing can be signed at all; then `refused` says why."""
        super().__init__(name="signer", daemon=True)
        self._settings, self._counters, self._stop_all = settings, counters, stop
        self._done = threading.Event()
        self.opened = threading.Event()  # or refused
        self.refused: Exception | None = None
        self.failed = ""  # why signing failed the last time

    def run(self) -> None:
        """Sign until `finish`, and what is left then."""
        try:
            if not can_open(self._settings):
                log_events.warning("webhook_log_busy")
        except Exception as error:  # noqa: BLE001 -- whatever it is, the main thread raises it
            self._refuse(error)
            return
        finally:
            self.opened.set()
        first = True
        while True:
            try:
                decisions.sign_spool(self._settings, stop=self._done)
            except Exception as error:  # noqa: BLE001 -- serving goes on while the log cannot be written
                if first and isinstance(error, UsageError):
                    self._refuse(error)
                    return
                self.failed = str(error)
                self._counters.add("signer_failures")
                log_events.error("webhook_signing_failed", reason=str(error))  # noqa: TRY400 -- the reason says it
            first = False
            if self._done.wait(_SIGNER_PAUSE_S):
                return

    def _refuse(self, error: Exception) -> None:
        self.refused = error
        self._stop_all.set()

    def finish(self) -> None:
        """Return once everything is signed, or cannot be."""
        self._done.set()
        self.join()
