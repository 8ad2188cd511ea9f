"""Run the program that keeps a backup repository: restic, Borg, pgBackRest.

Invariant: an argument list, a clean environment, a deadline, an end to all it started, and no secret in what is told.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from typing import IO, TYPE_CHECKING, Final

from verifiers.sources.base import KeyMissingError, SourceError, masked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from verifiers.sources.base import Place, Readable

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASSED_ON: Final = ("LANG", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSH_AUTH_SOCK", "https_proxy", "no_proxy")
_POLL_S: Final = 0.2
_TOLD: Final = 2_000  # characters of stderr shown
_KEPT: Final = 1 << 20  # bytes of stderr looked at
_SHORTEST_SECRET: Final = 4  # a region or a number is none, and taking it out would garble what is told
ANSWER_BYTES: Final = 256 << 20  # a listing larger than this is no listing of backups


class ProgramError(SourceError):
    """A program failed. said: what it wrote to stderr, of much its end. status: its exit status."""

    def __init__(self, message: str, said: str, status: int) -> None:
        super().__init__(message)
        self.said, self.status = said, status


class Program:
    """One program of PATH. package: of Debian, for the message where it is missing."""

    def __init__(self, name: str, package: str) -> None:
        self.name, self.package = name, package

    @property
    def path(self) -> str:
        """Where it is. Raises SourceError naming the way to get it."""
        found = shutil.which(self.name, path=searched())
        if found is None:
            raise SourceError(
                f"the program {self.name} is needed to read this repository and is not on PATH; "
                f"install it, on Debian with: apt-get install {self.package}"
            )
        return found

    def run(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        deadline_s: float,
        secrets: Sequence[str] = (),
        poll: Callable[[], object] = lambda: None,
        heard: Callable[[str], object] = lambda _: None,
        folder: Path | None = None,
        scratch: Path | None = None,
    ) -> bytes:
        """Run it and return its stdout.

        environment: beside PATH, a HOME of its own, and a few harmless variables of ours. secrets: never told. poll:
        called about five times a second meanwhile; what it raises ends the program. heard: called with what it has
        written to stderr so far, whenever that grew, and at its end if it succeeds; may raise as well. folder: where it
        runs. scratch: folder for its HOME, where one is swept after a crash.
        Raises ProgramError when it fails, SourceError when it is missing, or does not end in time.
        """
        with tempfile.TemporaryDirectory(prefix="guardian-", dir=scratch) as home:
            variables = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
            variables |= {"PATH": searched(), "HOME": home, "LC_ALL": "C.UTF-8", "TMPDIR": home, **environment}
            # Without a name, so that nothing of what it told stays behind after a kill: segments of log hold rows.
            with tempfile.TemporaryFile(dir=home) as out, tempfile.TemporaryFile(dir=home) as err:
                listening = _Listening(err.fileno(), secrets, heard)
                child = subprocess.Popen(
                    [*_dying_with_us(), self.path, *arguments],
                    env=variables,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    cwd=folder or home,
                    start_new_session=True,
                )
                try:
                    status = self._wait(child, deadline_s, [listening.look, lambda: self._short(arguments, out), poll])
                finally:
                    _end(child)
                if status != 0:
                    said = listening.all()
                    told = f": {said[-_TOLD:]}" if said else " and said nothing"
                    raise ProgramError(f"{self.name} {arguments[0]} exited {status}{told}", said, status)
                listening.look()
                self._short(arguments, out)
                out.seek(0)
                return out.read()

    def _short(self, arguments: Sequence[str], out: IO[bytes]) -> None:
        """Raise SourceError where it answers more than a listing has; asked meanwhile, before it fills a disk."""
        if os.fstat(out.fileno()).st_size > ANSWER_BYTES:
            raise SourceError(f"{self.name} {arguments[0]} answered more than {ANSWER_BYTES >> 20} MiB")

    def _wait(self, child: subprocess.Popen[bytes], deadline_s: float, polls: Sequence[Callable[[], object]]) -> int:
        ends = time.monotonic() + deadline_s
        while True:
            try:
                return child.wait(_POLL_S)
            except subprocess.TimeoutExpired:
                for poll in polls:
                    poll()
                if time.monotonic() > ends:
                    raise SourceError(f"{self.name} did not end within {deadline_s:.0f} s") from None


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a program and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


class _Listening:
    """What a program writes to stderr, without the secrets."""

    def __init__(self, descriptor: int, secrets: Sequence[str], heard: Callable[[str], object]) -> None:
        # The longest first: one secret may be part of another.
        self._secrets = sorted((text for text in secrets if len(text) >= _SHORTEST_SECRET), key=len, reverse=True)
        self._descriptor, self._heard, self._size = descriptor, heard, 0

    def look(self) -> None:
        size = os.fstat(self._descriptor).st_size
        if size != self._size:
            self._size = size
            self._heard(self.all())

    def all(self) -> str:
        size = os.fstat(self._descriptor).st_size
        text = os.pread(self._descriptor, _KEPT, max(0, size - _KEPT)).decode("utf-8", "replace").strip()
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return masked(text)


def searched() -> str:
    """Return the PATH that programs are looked for in: ours, then the usual folders, which a timer's PATH may lack."""
    return os.pathsep.join(dict.fromkeys([*os.environ.get("PATH", "").split(os.pathsep), *_PATH.split(":")])).strip(":")


def _dying_with_us() -> Sequence[str]:
    """Return what makes a program end when we are killed, where the system has it."""
    setpriv = shutil.which("setpriv", path=_PATH)
    return (setpriv, "--pdeathsig", "KILL", "--") if setpriv else ()


def last_lines(said: str, count: int = 3) -> str:
    """Return the last lines that differ of what a program said, in one."""
    lines = [line.strip()[:300] for line in said.splitlines() if line.strip()]
    return "; ".join(list(dict.fromkeys(lines))[-count:])


def environment_of(place: Place) -> dict[str, str]:
    """Return the variables that are configured for a repository's program. Raises what their references raise."""
    return {name: value.read() for name, value in place.environment.items()}


def refuse_crowding(into: Path, needed: int) -> None:
    """Raise SourceError unless `needed` bytes find room in the folder `into`."""
    free = shutil.disk_usage(into).free
    if free < needed:
        raise SourceError(
            f"the backup takes {needed / 2**30:.2f} GiB and {free / 2**30:.2f} GiB are free in {into}; make room,"
            " or use a larger disk"
        )


def passphrase(secret: Readable | None, what: str) -> str:
    """Return the passphrase of a repository. Raises KeyMissingError where none is configured."""
    if secret is None:
        raise KeyMissingError(
            f"{what} is opened with a passphrase and none is configured; add `decrypt: {{password: file:PATH}}` to the"
            " backup in guardian.yaml"
        )
    return secret.read()
