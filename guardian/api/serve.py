"""The API's parent process: it holds the keys, takes no request, and keeps one child answering without any.

Invariants: it binds the socket once; a child that ends is started again, later each time it ends early. What the child
wrote down of who read what, it signs, at the latest `access.EVERY_S` later and before it ends. The two meet in the
database only. If it is killed, the child sees its pipe close and ends. I/O: the socket, a process, the use cases'.
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
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog

from guardian.api.child import GRACE_S, READY, USAGE, certificate_of
from guardian.errors import GuardianError, UsageError
from guardian.serving.child import environment_for_child
from guardian.serving.ending import asked_to_end
from guardian.settings import ApiSettings
from guardian.usecases import access, ledger, packs, tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guardian.settings import Settings

log_events = structlog.get_logger()

_PAUSES_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # before a child that ended early is started again
_EARLY_S: Final = 30.0
_STARTING_S: Final = 60.0
_LOOK_S: Final = 0.1
_SIGNER_LOOK_S: Final = 1.0
_SIGNER_PAUSE_S: Final = 5.0


def serve(
    settings: Settings,
    *,
    verbose: bool = False,
    listening: Callable[[str], None] = lambda _url: None,
    stop: threading.Event | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, or until `stop` is set where it is given: then from any thread.

    listening: told the URL once requests are taken. verbose: the child logs everything.
    Raises UsageError if configuration, certificate or address do not serve, GuardianError if no child can begin or
    accesses are left that could not be signed, and what opening the log raises.
    """
    api = settings.api or ApiSettings()
    certificate_of(api)  # said here, before anything is started
    tokens.prepare(settings)
    if not ledger.can_open(settings):
        log_events.warning("api_log_busy")
    ending = stop or threading.Event()
    with _bound(api) as listener, contextlib.nullcontext() if stop is not None else asked_to_end(ending.set):
        child = _Child(settings, listener, f"http{'s' if api.certificate else ''}", verbose=verbose)
        signer, writer = _Signer(settings), _Writer(settings)
        signer.start()
        writer.start()
        try:
            child.run(ending, listening)
        finally:
            listener.close()
            writer.stop.set()
            child.stop()
            signer.stop.set()
            writer.join()
            signer.join()
    if signer.failed:
        raise GuardianError(
            f"what was read could not be signed into the log: {signer.failed}. It is kept; the next `guardian api` "
            "signs it"
        )


@dataclass(slots=True)
class _Child:
    """The process that answers. Times: monotonic."""

    settings: Settings
    listener: socket.socket
    scheme: str
    verbose: bool = field(kw_only=True)
    _process: subprocess.Popen[bytes] | None = None
    _line: socket.socket | None = None
    _started: float = 0.0
    _said: bytes = b""
    _ready: bool = False
    _served: bool = False
    _failures: int = 0
    _not_before: float = 0.0

    def run(self, stop: threading.Event, listening: Callable[[str], None]) -> None:
        """Keep it running until `stop`. Raises what the first one to fail said, if none ever answered."""
        while not stop.is_set():
            now = time.monotonic()
            if self._process is None:
                if now >= self._not_before:
                    self._start(now)
            else:
                self._tend(now, listening)
            stop.wait(_LOOK_S)

    def stop(self) -> None:
        """Let it end in order; after the time it may need, kill it."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(GRACE_S + 5)
        except subprocess.TimeoutExpired:
            log_events.error("api_child_killed", reason="it did not end in time")  # noqa: TRY400 -- says it all
            self._process.kill()
            self._process.wait()
        if self._line is not None:
            self._line.close()

    def _start(self, now: float) -> None:
        self._line, theirs = socket.socketpair()
        self._line.setblocking(False)
        handles = (self.listener.fileno(), theirs.fileno())
        command = [sys.executable, "-P", "-m", "guardian.api.child", "--config", str(self.settings.path)]
        for name, handle in zip(("--listener", "--parent"), handles, strict=True):
            command += [name, str(handle)]
        command += ["--verbose"] if self.verbose else []
        with theirs:
            # A process group of its own: Ctrl-C on a terminal reaches the parent only, which ends it in order.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=handles,
                env=environment_for_child(self.settings, needed=[self.settings.storage.database]),
                process_group=0,
            )
        self._started, self._ready, self._said = now, False, b""
        log_events.info("api_child_started", pid=self._process.pid)

    def _tend(self, now: float, listening: Callable[[str], None]) -> None:
        assert self._process is not None  # noqa: S101 -- the caller has looked
        self._listen()
        if self._said == READY and not self._ready:
            self._ready = True
            if not self._served:
                self._served = True
                listening(self._url())
        if self._process.poll() is not None:
            self._ended(now)
        elif not self._ready and now - self._started > _STARTING_S:
            log_events.error("api_child_killed", reason="it did not begin in time")
            self._process.kill()

    def _listen(self) -> None:
        assert self._line is not None  # noqa: S101 -- made with the process
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while part := self._line.recv(4096):
                self._said += part

    def _ended(self, now: float) -> None:
        assert self._process is not None  # noqa: S101 -- the caller has looked
        assert self._line is not None  # noqa: S101 -- made with the process
        self._listen()
        code, self._process = self._process.returncode, None
        self._line.close()
        self._line = None
        reason = "" if self._ready else self._said[1:].decode("utf-8", "replace")
        if not self._served:
            kind = UsageError if self._said.startswith(USAGE) else GuardianError
            raise kind(reason or f"the API's process ended with status {code} before it took requests")
        self._failures = 0 if now - self._started >= _EARLY_S else self._failures + 1
        pause_s = _PAUSES_S[min(self._failures, len(_PAUSES_S) - 1)]
        self._not_before, self._ready = now + pause_s, False
        log_events.error("api_child_ended", status=code, reason=reason, restart_in_s=pause_s)

    def _url(self) -> str:
        host, port = self.listener.getsockname()[:2]
        return f"{self.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


class _Signer(threading.Thread):
    """Signs what was read. What fails is tried again, for the rows stay; answering goes on meanwhile."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="signer", daemon=True)
        self._settings = settings
        self.stop = threading.Event()  # set once nothing is answered any more
        self.failed = ""  # why signing failed the last time

    def run(self) -> None:
        """Sign until `stop`, and what is left then."""
        while not self.stop.is_set():
            self._sign(everything=False)
            self.stop.wait(_SIGNER_PAUSE_S if self.failed else _SIGNER_LOOK_S)
        self._sign(everything=True)

    def _sign(self, *, everything: bool) -> None:
        try:
            if everything or access.is_due(self._settings, datetime.now(UTC)):
                access.sign_waiting(self._settings)
            self.failed = ""
        except Exception as error:  # noqa: BLE001 -- answering goes on while the log cannot be written
            self.failed = str(error)
            log_events.error("api_signing_failed", reason=str(error))  # noqa: TRY400 -- the reason says it


class _Writer(threading.Thread):
    """Writes the packs asked for."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="packs", daemon=True)
        self._settings = settings
        self.stop = threading.Event()

    def run(self) -> None:
        """Write until `stop`; what is under way then waits for the next start."""
        while not self.stop.is_set():
            try:
                packs.write_waiting(self._settings, self.stop)
            except Exception as error:  # noqa: BLE001 -- answering goes on without packs
                log_events.error("api_packs_failed", reason=str(error))  # noqa: TRY400 -- the reason says it
                self.stop.wait(_SIGNER_PAUSE_S)


@contextlib.contextmanager
def _bound(api: ApiSettings) -> Iterator[socket.socket]:
    """Yield the socket. It listens once the child does. Raises UsageError."""
    family = socket.AF_INET6 if ":" in api.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((api.host, api.port))
            listener.setblocking(False)
        except OSError as error:
            raise UsageError(f"cannot listen on api.listen {api.host}:{api.port}: {error.strerror}") from error
        yield listener
