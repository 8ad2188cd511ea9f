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
from pathlib import Path
from typing import TYPE_CHECKING, Final

from verifiers.sources.base import KeyMissingError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from verifiers.sources.base import Readable

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASSED_ON: Final = ("LANG", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSH_AUTH_SOCK", "https_proxy", "no_proxy")
_POLL_S: Final = 0.2
_TOLD: Final = 2_000  # bytes of stderr shown
ANSWER_BYTES: Final = 256 << 20  # a listing larger than this is no listing of backups


class ProgramError(SourceError):
    """A program failed. said: what it wrote to stderr, its end. status: its exit status."""

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
        found = shutil.which(self.name, path=os.pathsep.join((os.environ.get("PATH", ""), _PATH)))
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
        folder: Path | None = None,
    ) -> bytes:
        """Run it and return its stdout.

        environment: beside PATH, a HOME of its own, and a few harmless variables of ours. secrets: never told. poll:
        called about five times a second meanwhile; what it raises ends the program. folder: where it runs.
        Raises ProgramError when it fails, SourceError when it is missing, or does not end in time.
        """
        with tempfile.TemporaryDirectory(prefix="guardian-") as home:
            variables = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
            variables |= {"PATH": _PATH, "HOME": home, "LC_ALL": "C.UTF-8", "TMPDIR": home, **environment}
            with (Path(home) / "stdout").open("w+b") as out, (Path(home) / "stderr").open("w+b") as err:
                child = subprocess.Popen(
                    [self.path, *arguments],
                    env=variables,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    cwd=folder or home,
                    start_new_session=True,
                )
                try:
                    status = self._wait(child, deadline_s, poll)
                finally:
                    _end(child)
                said = _ending(err.fileno(), secrets)
                if status != 0:
                    told = f": {said}" if said else " and said nothing"
                    raise ProgramError(f"{self.name} {arguments[0]} exited {status}{told}", said, status)
                if os.fstat(out.fileno()).st_size > ANSWER_BYTES:
                    raise SourceError(f"{self.name} {arguments[0]} answered more than {ANSWER_BYTES >> 20} MiB")
                out.seek(0)
                return out.read()

    def _wait(self, child: subprocess.Popen[bytes], deadline_s: float, poll: Callable[[], object]) -> int:
        ends = time.monotonic() + deadline_s
        while True:
            try:
                return child.wait(_POLL_S)
            except subprocess.TimeoutExpired:
                poll()
                if time.monotonic() > ends:
                    raise SourceError(f"{self.name} did not end within {deadline_s:.0f} s") from None


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a program and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _ending(descriptor: int, secrets: Sequence[str]) -> str:
    size = os.fstat(descriptor).st_size
    text = os.pread(descriptor, _TOLD, max(0, size - _TOLD)).decode("utf-8", "replace").strip()
    for secret in secrets:
        if secret:
            text = text.replace(secret, "…")
    return text


def passphrase(secret: Readable | None, what: str) -> str:
    """Return the passphrase of a repository. Raises KeyMissingError where none is configured."""
    if secret is None:
        raise KeyMissingError(
            f"{what} is opened with a passphrase and none is configured; add `decrypt: {{password: file:PATH}}` to the"
            " backup in guardian.yaml"
        )
    return secret.read()
