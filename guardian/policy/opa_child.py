"""An OPA server as a child of this process: started with one bundle, reachable by this process only, gone with it.

Invariant: only who holds the token of this start may ask, and may ask for nothing but verdicts; the token is in this
process's memory alone (the child is given its SHA-256). Nothing but `opa_keeper` and opa is left to run, and nothing
outlives this process, however it ends. I/O: a 0700 folder, two processes, a Unix socket, or loopback with TLS and a
certificate made for this start where Unix sockets cannot be had.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from guardian.policy import opa_keeper
from guardian.policy.bundle import archive
from guardian.policy.engine import EngineError
from guardian.policy.opa import Address, Connection
from guardian.policy.opa_certificate import write_certificate

if TYPE_CHECKING:
    from collections.abc import Sequence

START_S: Final = 30.0
STARTS: Final = 5  # so many in PERIOD_S, then the child is left dead for the rest of it
PERIOD_S: Final = 60.0
_END_S: Final = 10.0
_SOCKET_BYTES: Final = 107  # the longest path of a Unix socket, unix(7)
_LOOPBACK: Final = "127.0.0.1"
_AUTHZ: Final = """package system.authz

default allow := false

allow if {{
	crypto.sha256(input.identity) == "{digest}"
	permitted
}}

permitted if {{
	input.method == "POST"
	array.slice(input.path, 0, 3) == ["v1", "data", "guardian"]
}}

permitted if {{
	input.method == "GET"
	input.path == ["health"]
}}
"""


class Child:
    """`opa run --server` with one bundle. Belongs to one thread."""

    def __init__(self, opa: Path, bundle: bytes, *, start_s: float = START_S, sockets: bool = True) -> None:
        """Nothing is started yet. start_s: seconds that a start may take. sockets: whether Unix sockets are tried."""
        self._opa, self._bundle, self._start_s, self._sockets = opa, bundle, start_s, sockets
        self._address: Address | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._starts: list[float] = []
        self._last_words = ""

    def address(self) -> Address:
        """Return where it listens, started again if it died. Raises EngineError if that cannot be, or not so often."""
        if self._address is not None and self._keeper is not None and self._keeper.poll() is None:
            return self._address
        self._end()
        now = time.monotonic()
        self._starts = [start for start in self._starts if now - start < PERIOD_S]
        if len(self._starts) >= STARTS:
            raise EngineError(
                f"the opa child died {len(self._starts)} times in {PERIOD_S:g} s and is left dead for now{self._told()}"
            )
        self._starts.append(now)
        try:
            self._address = self._start()
        except BaseException:
            self._end()
            raise
        return self._address

    def why(self) -> str:
        """Return the last words of a child that has just died, empty while it lives."""
        if self._keeper is None:
            return ""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._keeper.wait(1.0)  # the connection breaks a moment before the keeper knows
            self._end()
            return f"the opa child died, and is started again for the next{self._told()}"
        return ""

    def close(self) -> None:
        """End it and remove its folder."""
        self._end()

    def _start(self) -> Address:
        self._folder = folder = Path(tempfile.mkdtemp(prefix="guardian-opa-"))
        token = secrets.token_urlsafe(32)
        digest = hashlib.sha256(token.encode()).hexdigest()
        authz = {
            ".manifest": b'{"roots":["system"],"rego_version":1}',
            "authz.rego": _AUTHZ.format(digest=digest).encode(),
        }
        (folder / "policies.tar.gz").write_bytes(self._bundle)
        (folder / "authz.tar.gz").write_bytes(archive(authz))
        path = folder / "s"
        if self._sockets and _takes_sockets(path):
            address = Address("localhost", 80, token=token, path=path)
            options = ["--addr", f"unix://{path.name}", "--unix-socket-perm", "600"]  # relative: opa runs in the folder
        else:
            port = _free_port()
            write_certificate(folder, _LOOPBACK)
            tls = ssl.create_default_context(cafile=folder / "certificate.pem")
            address = Address(_LOOPBACK, port, tls=tls, token=token)
            options = ["--addr", f"https://{_LOOPBACK}:{port}"]
            options += ["--tls-cert-file", "certificate.pem", "--tls-private-key-file", "key.pem"]
        self._run(folder, options)
        self._await(address)
        return address

    def _run(self, folder: Path, options: Sequence[str]) -> None:
        command = [str(self._opa), "run", "--server", *options]
        command += ["--authentication=token", "--authorization=basic", "--log-level=error", "--log-format=text"]
        command += ["--skip-version-check", "--bundle", "policies.tar.gz", "authz.tar.gz"]
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", opa_keeper.__file__, str(folder), *command],
            cwd="/",
            env={"LC_ALL": "C.UTF-8"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # what a terminal sends to this process is not for them
        )

    def _await(self, address: Address) -> None:
        due = time.monotonic() + self._start_s
        connection = Connection(address, self._start_s)
        try:
            while not connection.healthy():
                if self._keeper is None or self._keeper.poll() is not None:
                    self._end()
                    raise EngineError(f"{self._opa} does not start as a server{self._told()}")
                if time.monotonic() > due:
                    raise EngineError(f"{self._opa} was not ready after {self._start_s:g} s")
                time.sleep(0.02)
        finally:
            connection.close()

    def _end(self) -> None:
        """End keeper and opa, keep their last words, and see that the folder is gone."""
        self._address = None
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            try:
                log, _ = keeper.communicate(timeout=_END_S)  # closes its standard input, at which it ends
            except subprocess.TimeoutExpired:
                keeper.kill()  # the kernel kills opa along
                log, _ = keeper.communicate()
            lines = log.decode("utf-8", "replace").strip().splitlines()
            self._last_words = " ".join(" ".join(line for line in lines if "[WARNING]" not in line).split())[-500:]
        folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def _told(self) -> str:
        return f": {self._last_words}" if self._last_words else ""


def _takes_sockets(path: Path) -> bool:
    """Tell whether a Unix socket can be made at `path`."""
    if len(bytes(path)) > _SOCKET_BYTES:
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.bind(str(path))
        except OSError:
            return False
    path.unlink()
    return True


def _free_port() -> int:
    """Return a port that is free now. Should another process take it meanwhile, it lacks the key of the certificate."""
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
