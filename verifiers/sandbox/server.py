"""A PostgreSQL server in a folder, isolated, reachable from outside through one socket.

Invariant: connections from outside reach the server that was started here and no other, whatever restored code does
inside: the socket is hard-linked out of the box before anything was restored, so nothing in the box can redirect it.

Folder given by the caller, made ready here:
    box/     writable inside: box/data, box/socket      etc/     passwd, group, postgresql.conf, pg_hba.conf
    socket/  the link for connections from outside      logs/    server and client messages, which may hold row values
    backup/  what is to be restored, read-only inside
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self
from urllib.parse import quote

import psycopg
from psycopg.conninfo import make_conninfo

from verifiers.sandbox import SANDBOX_ID, LackingError, LimitError, SandboxError
from verifiers.sandbox.options import PORT, SUPERUSER, ServerOptions
from verifiers.sandbox.process import Running, descendants, kill_in, start
from verifiers.sandbox.providers import Provider, View, closed_to

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from verifiers.sandbox.programs import ServerPrograms

_SOCKET = f".s.PGSQL.{PORT}"
_SOCKET_PATH_BYTES = 107  # sockaddr_un.sun_path, less the final zero
_POLL_S = 0.02
_FAST_STOP_S = 60


@dataclass(frozen=True, slots=True)
class Completed:
    """A client program's end. stderr: its messages, in the sandbox folder since they may hold row values."""

    returncode: int
    stderr: Path
    stdout: Path


class SandboxServer:
    """A context manager: the server runs inside the `with`, and nothing of it after."""

    def __init__(
        self, folder: Path, programs: ServerPrograms, provider: Provider, options: ServerOptions | None = None
    ) -> None:
        self.folder = folder.resolve()
        self.programs = programs
        self.provider = provider
        self.options = options or ServerOptions()
        self._running: Running | None = None
        self._stopped = False
        self._stack = contextlib.ExitStack()
        self._clients: set[Running] = set()
        self._socket_fd = -1

    # -- life

    def __enter__(self) -> Self:
        """Prepare the folder, run initdb if there is no data yet, start, and wait until it answers.

        Raises LackingError, LimitError (not ready in time) or SandboxError with what the server said.
        """
        try:
            self.prepare()
            if not (self.folder / "box/data/PG_VERSION").exists():
                self._initdb()
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the server: cleanly if durable, else at once. Idempotent; also safe from another thread."""
        if self.options.durable and self._running is not None and self._running.returncode is None:
            with contextlib.suppress(LimitError):
                if self._running.signal_program(signal.SIGINT, "postgres"):
                    self._running.wait(_FAST_STOP_S)
        self.kill()
        self._stack.close()

    def kill(self) -> None:
        """Kill the server and every client program at once; connections end with an error. Safe from another thread."""
        self._stopped = True
        for running in [*self._clients, *([self._running] if self._running else [])]:
            running.kill()
        if (self.folder / "box").exists():
            kill_in(self.folder / "box")

    def shut_down(self, deadline_s: float) -> None:
        """Stop the server in order, so that its files are as one leaves them; programs can still be `run`.

        Raises LimitError if it takes longer, SandboxError if it ends otherwise.
        """
        if self._running is None or not self._running.signal_program(signal.SIGINT, "postgres"):
            raise SandboxError("the sandbox server ended before it was asked to")
        status = self._running.wait(deadline_s)
        if status != 0:
            raise SandboxError(f"the sandbox server ended with status {status}: {_last_lines(self.log)}")

    @property
    def log(self) -> Path:
        """The server's log; it may hold row values."""
        return self.folder / "logs/server.log"

    # -- use

    def conninfo(self, dbname: str = "postgres", user: str = SUPERUSER) -> str:
        """Return a connection string for psycopg in this process, however long the folder's path is."""
        return make_conninfo(host=f"/proc/self/fd/{self._socket_fd}", port=PORT, user=user, dbname=dbname)

    def socket_folder(self) -> Path:
        """Return a folder name for PGHOST in other processes: the socket's, or a short alias if that is too long."""
        folder = self.folder / "socket"
        if len(os.fsencode(folder / _SOCKET)) <= _SOCKET_PATH_BYTES:
            return folder
        alias = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="guardian-"))) / "s"
        alias.symlink_to(folder)
        return alias

    def url(self, dbname: str = "postgres", user: str = SUPERUSER) -> str:
        """Return a URL for any process of this user, valid while the server runs."""
        return f"postgresql://{quote(user)}@/{quote(dbname)}?host={quote(str(self.socket_folder()), safe='')}"

    def inside(self, path: Path) -> str:
        """Return the name of a host path for programs run by `run`. Raises ValueError if they do not see it."""
        return str(self.provider.inside(path.resolve(), self._view))

    def make_folder(self, name: str) -> Path:
        """Make an empty folder that the server may write in, such as one for a tablespace; return its host path."""
        folder = self.folder / "box" / name
        folder.mkdir(mode=0o700)
        if self.provider.user is not None:
            os.chown(folder, self.provider.user, self.provider.user)
        return folder

    def processes(self) -> list[int]:
        """Return the host's ids of all processes of the server, with what isolates it."""
        return descendants(self._running.pid) if self._running is not None else []

    def settings(self) -> dict[str, str]:
        """Return the settings that make measurements here differ from a production server's."""
        return self.options.reported()

    def run(
        self,
        argv: Sequence[str],
        *,
        deadline_s: float,
        stdin: IO[bytes] | None = None,
        stdout: IO[bytes] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run a client program of the same set, isolated, as the superuser of this server.

        argv: program name, then arguments with paths as `inside` gives them. deadline_s: seconds, then it is killed.
        stdout: where its output goes; without it, into the file that Completed names.
        Raises LimitError past the deadline, SandboxError if the server was killed meanwhile.
        """
        name = argv[0]
        number = sum(1 for _ in (self.folder / "logs").iterdir())
        paths = [self.folder / "logs" / f"{number:03d}-{name}.{kind}" for kind in ("stdout", "stderr")]
        program = self.provider.inside(self.programs.program(name), self._view)
        fd = os.open(self.folder / "box/socket", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            # Bubblewrap closes what it does not know, and shows the socket under a short name anyhow.
            host = f"/proc/self/fd/{fd}" if self.provider.name == "none" else self.inside(self.folder / "box/socket")
            variables = {"PGHOST": host, "PGPORT": str(PORT), "PGUSER": SUPERUSER, **(env or {})}
            with _private(paths[0]) as out, _private(paths[1]) as err:
                running = self._launch(
                    [str(program), *argv[1:]],
                    stdin=stdin,
                    stdout=stdout or out,
                    stderr=err,
                    env=variables,
                    pass_fds=[fd],
                )
        finally:
            os.close(fd)
        self._clients.add(running)
        try:
            status = running.wait(deadline_s)
        finally:
            running.kill()
            self._clients.discard(running)
        if self._stopped:
            raise SandboxError(f"{name} ended because the sandbox was stopped")
        return Completed(status, paths[1], paths[0])

    # -- making it

    @property
    def _view(self) -> View:
        backup = self.folder / "backup"
        return View(self.folder / "box", self.folder / "etc", self.programs, backup if backup.is_dir() else None)

    def prepare(self) -> None:
        """Make the folders and files of a server that is not started yet, so that programs can be `run`."""
        user = self.provider.user
        for name, mode in (("box", 0o700), ("box/socket", 0o700), ("etc", 0o755), ("socket", 0o700), ("logs", 0o700)):
            path = self.folder / name
            path.mkdir(exist_ok=True)
            path.chmod(mode)
            if user is not None and name.startswith("box"):
                os.chown(path, user, user)
        number = user if user is not None else 1000  # the id that bwrap shows for us in its user namespace
        self._write("etc/passwd", f"guardian:x:{number}:{number}::/tmp:/bin/sh\n")
        self._write("etc/group", f"guardian:x:{number}:\n")
        self._write("etc/postgresql.conf", self.options.postgresql_conf(self.programs.major))
        self._write("etc/pg_hba.conf", self.options.pg_hba_conf())
        if self.provider.name == "none" and user is not None:
            self._make_reachable(user)

    def _make_reachable(self, user: int) -> None:
        """Let the unprivileged user reach folder and programs by their names, as nothing is bound anywhere here."""
        os.chown(self.folder, -1, user)
        self.folder.chmod(stat.S_IMODE(self.folder.stat().st_mode) | 0o010)
        if closed := closed_to(user, self.folder / "box"):
            raise LackingError(
                f"without isolation, root runs servers as user {user}, who cannot enter {closed}; set sandbox.folder "
                "to one below /var/tmp, or use provider bwrap"
            )
        if self.programs.read_only and closed_to(user, self.programs.bin):
            copy = self.folder / "programs"
            if not copy.exists():
                for folder in self.programs.read_only:
                    shutil.copytree(folder, copy / folder.name, symlinks=True)
                os.chmod(copy, 0o755)  # noqa: PTH101, S103 -- PostgreSQL's programs are no secret
            common = self.programs.read_only[0].parent
            self.programs = type(self.programs)(
                copy / self.programs.bin.relative_to(common), self.programs.major, self.programs.version, [copy]
            )

    def _write(self, name: str, content: str) -> None:
        path = self.folder / name
        path.write_text(content, encoding="utf-8")
        path.chmod(0o644)

    def _initdb(self) -> None:
        argv = [str(self._program("initdb")), "-D", "data", *self.options.initdb_arguments(self.programs.major)]
        log, other = self.folder / "logs/initdb.log", self.provider.initdb_user
        if other is not None and other != self.provider.user:
            os.chown(self.folder / "box", other, -1)
        with _private(log) as out:
            running = self._launch(argv, stdout=out, stderr=out, user=other)
            status = running.wait(self.options.start_deadline_s)
        if other is not None and self.provider.user is not None and other != self.provider.user:
            for place, folders, files in os.walk(self.folder / "box"):
                for name in (".", *folders, *files):
                    os.chown(Path(place, name), self.provider.user, self.provider.user, follow_symlinks=False)
        if status != 0:
            raise SandboxError(f"initdb of PostgreSQL {self.programs.version} exited {status}: {_last_lines(log)}")

    def _start(self) -> None:
        etc = self.provider.inside(self.folder / "etc", self._view)
        argv = [str(self._program("postgres")), "-D", "data"]
        argv += ["-c", f"config_file={etc}/postgresql.conf", "-c", f"hba_file={etc}/pg_hba.conf"]
        for link in (self.folder / "socket" / _SOCKET, self.folder / "box/socket" / _SOCKET):
            link.unlink(missing_ok=True)
        log = self.log
        with _private(log) as out:
            self._running = self._launch(argv, stdout=out, stderr=out)
        self._socket_fd = os.open(self.folder / "socket", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        self._stack.callback(os.close, self._socket_fd)
        end = time.monotonic() + self.options.start_deadline_s
        while not self._answers():
            if self._running.returncode is not None:
                raise SandboxError(
                    f"the sandbox server (PostgreSQL {self.programs.version}) ended at start with status "
                    f"{self._running.returncode}: {_last_lines(log)}"
                )
            if time.monotonic() > end:
                raise LimitError(f"the sandbox server did not answer within {self.options.start_deadline_s:.0f} s")
            time.sleep(_POLL_S)

    def _answers(self) -> bool:
        source, link = self.folder / "box/socket" / _SOCKET, self.folder / "socket" / _SOCKET
        try:
            if not link.exists():
                if not stat.S_ISSOCK(source.lstat().st_mode):
                    return False
                os.link(source, link, follow_symlinks=False)
            with psycopg.connect(self.conninfo(), connect_timeout=10):
                return True
        except FileNotFoundError:
            return False
        except psycopg.OperationalError as error:
            if f'role "{SUPERUSER}" does not exist' in str(error):  # of a restored cluster; waiting would not help
                raise SandboxError(f"the restored cluster has no role {SUPERUSER}, which drills connect as") from error
            return False

    def _program(self, name: str) -> Path:
        return self.provider.inside(self.programs.program(name), self._view)

    def _launch(
        self,
        argv: Sequence[str],
        *,
        stdin: IO[bytes] | None = None,
        stdout: IO[bytes] | None = None,
        stderr: IO[bytes] | None = None,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        user: int | None = None,
    ) -> Running:
        if self._stopped:
            raise SandboxError("the sandbox was stopped")
        command = self.provider.command(argv, self._view, user=user)
        fds = pass_fds if self.provider.name == "none" else ()
        return start(command, self.folder / "box", env=env, stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=fds)


def owned_by_sandbox(path: Path, provider: Provider) -> None:
    """Let sandboxed programs read a dump, a file or a flat folder: they run as another user when Guardian is root."""
    if provider.user is not None:
        for each in [path, *(path.iterdir() if path.is_dir() else ())]:
            os.chown(each, -1, SANDBOX_ID, follow_symlinks=False)
            each.chmod(0o550 if each.is_dir() else 0o440)
        os.chown(path.parent, -1, SANDBOX_ID, follow_symlinks=False)
        path.parent.chmod(0o710)


def _private(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600), "wb")


def _last_lines(log: Path, count: int = 3) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return " / ".join(line.strip() for line in lines[-count:]) or "it said nothing"
