"""A fetched copy of a cluster's files made ready for a server of ours: unpacked, verified, stripped of its own will.

Invariant: whatever the copy holds, its server starts with our settings only, reads no archive but the one handed in,
and no tablespace lies outside the sandbox. Nothing of the copy runs here.
"""

from __future__ import annotations

import os
import re
import shutil
from functools import partial
from typing import TYPE_CHECKING

from guardian.drills.checklist import StopDrill
from verifiers.postgres.physical import Control, Label, PhysicalError
from verifiers.result import Assurance, Check, Verdict
from verifiers.sources.copying import new_file
from verifiers.sources.pg_basebackup import LABEL, MANIFEST, TAR
from verifiers.sources.tarfiles import unpack as unpack_tar
from verifiers.sources.unwrapping import pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from verifiers.sandbox.server import Completed, SandboxServer

# What would make the server follow its old self: settings by ALTER SYSTEM, an archive's commands, another's lock.
_WILL = (
    "postgresql.auto.conf",
    "recovery.signal",
    "standby.signal",
    "recovery.conf",
    "postmaster.pid",
    "postmaster.opts",
)
_SHOWN = 5
# Settings that run a command or load a library.
_RUNS = re.compile(
    r"^\s*(\w+_command|\w+_preload_libraries|archive_library|jit_provider|dynamic_library_path)\b",
    re.MULTILINE | re.IGNORECASE,
)


def runs_something(data: Path) -> list[str]:
    """Return the names of the copy's settings that would run a command or load a library; never their values."""
    found: set[str] = set()
    for name in ("postgresql.conf", "postgresql.auto.conf", "recovery.conf"):
        path = data / name
        if path.is_file() and not path.is_symlink():
            with path.open(encoding="utf-8", errors="replace") as stream:
                found.update(map(str.lower, _RUNS.findall(stream.read(1 << 20))))
    return sorted(found)


def unpack(tars: Path, data: Path, written: Callable[[int], None]) -> dict[str, Path]:
    """Unpack base.tar, pg_wal.tar and the tablespaces' into the new folder `data`; return folder by tablespace's OID.

    written: told the bytes written so far; what it raises ends the work. The tars are removed one by one.
    Raises DamagedError where one is not whole, SourceError where it holds what a cluster does not.
    """
    data.mkdir(mode=0o700)
    spaces: dict[str, Path] = {}
    done = 0
    names = sorted((path.name for path in tars.iterdir()), key=lambda name: (not name.startswith("base."), name))
    for name in names:
        matched = TAR.fullmatch(name)
        if matched is None:
            if name == MANIFEST:
                (tars / name).rename(data / name)
            continue
        stem = matched[1]
        target = data if stem == "base" else data / "pg_wal" if stem == "pg_wal" else data.parent / f"tablespace-{stem}"
        if stem.isdigit():
            spaces[stem] = target
        target.mkdir(mode=0o700, exist_ok=True)
        path = tars / name
        done += unpack_tar(pieces(path), target, partial(_further, written, done), name=name)
        path.unlink()
    return spaces


def _further(written: Callable[[int], None], before: int, more: int) -> None:
    written(before + more)


def lay_tablespaces(server: SandboxServer, data: Path, spaces: Mapping[str, Path]) -> None:
    """Let the cluster find its tablespaces in the sandbox, and nothing elsewhere."""
    links = data / "pg_tblspc"
    links.mkdir(mode=0o700, exist_ok=True)
    for link in links.iterdir():
        if link.is_symlink():
            link.unlink()
    for oid, folder in spaces.items():
        (links / oid).symlink_to(server.inside(folder))


def has_manifest(data: Path) -> bool:
    """Whether the server listed every file of the copy, with its checksum, when it was made."""
    return (data / MANIFEST).is_file()


def verified(by: str) -> Check:
    """`archive.complete` of a copy that has no manifest of the server's. by: what its keeper verified, in words."""
    expected = "every file as its keeper recorded it"
    said = f"There is no {MANIFEST} of the server's own; {by}."
    return Check("archive.complete", Assurance.RESTORED, Verdict.PASS, expected, by, said)


def verify(server: SandboxServer, data: Path, *, parse_wal: bool, deadline_s: float) -> Check:
    """`archive.complete`: pg_verifybackup finds every file as the backup's manifest has it, and the log it needs."""
    argv = ["pg_verifybackup", "--quiet", *([] if parse_wal else ["--no-parse-wal"]), server.inside(data)]
    done = server.run(argv, deadline_s=deadline_s)
    expected = "every file of backup_manifest, each with its checksum, and no other"
    problems = complaints(done, "pg_verifybackup")
    if done.returncode == 0:
        files = sum(len(files) for _, _, files in os.walk(data))
        observed = {"files": files, "walParsed": parse_wal}
        said = f"pg_verifybackup finds all {files} files as the backup's manifest has them."
        return Check("archive.complete", Assurance.RESTORED, Verdict.PASS, expected, observed, said)
    if not problems:
        said = f"pg_verifybackup ended with status {done.returncode} and said nothing."
        return Check("archive.complete", Assurance.RESTORED, Verdict.ERROR, expected, None, said)
    more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    told_first = "; ".join(problems[:_SHOWN])
    said = f"The backup is not what the server sent when it was made: {told_first}{more}. Take a new one."
    told = {"problems": len(problems), "told": problems[:50]}
    return Check("archive.complete", Assurance.RESTORED, Verdict.FAIL, expected, told, said)


def complaints(done: Completed, program: str) -> list[str]:
    """Return what a client program complained of, a line each, without its name and its hints."""
    text = done.stderr.read_text(encoding="utf-8", errors="replace")[: 1 << 20]
    lines = [line.removeprefix(f"{program}: ").removeprefix("error: ") for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith(("hint:", "detail:"))]


def control_of(server: SandboxServer, data: Path) -> Control:
    """Return what the control file says. Raises PhysicalError if pg_controldata cannot read it."""
    done = server.run(["pg_controldata", server.inside(data)], deadline_s=60, env={"LC_ALL": "C", "TZ": "UTC"})
    text = done.stdout.read_text(encoding="utf-8", errors="replace")
    if done.returncode != 0 or "calculated CRC checksum does not match" in text + done.stderr.read_text(
        errors="replace"
    ):
        raise PhysicalError("the control file global/pg_control is damaged, or of another version of PostgreSQL")
    return Control.parse(text)


def label_of(data: Path) -> Label:
    """Return what backup_label says. Raises PhysicalError."""
    try:
        return Label.parse((data / LABEL).read_text(encoding="utf-8", errors="replace")[:65536])
    except OSError as error:
        raise PhysicalError(f"cannot read {LABEL}: {error.strerror}") from error


def make_ready(server: SandboxServer, data: Path, spaces: Mapping[str, Path], *, from_archive: bool) -> None:
    """Take the copy's own will from it, and give it to the sandbox's user.

    from_archive: it is recovered by an archive of log, not by what log lies in it alone.
    """
    for name in _WILL:
        (data / name).unlink(missing_ok=True)
    map_file = data / "tablespace_map"
    if map_file.exists():
        named = set(re.findall(r"^(\d+) ", map_file.read_text(encoding="utf-8", errors="replace"), re.MULTILINE))
        if named - spaces.keys():
            missing = ", ".join(sorted(named - spaces.keys()))
            raise StopDrill(
                f"the backup's tablespaces {missing} did not come with it; with pg_basebackup, take it with -Ft"
            )
        map_file.unlink()
    if from_archive:
        new_file(data / "recovery.signal").close()
    for root in (data, *spaces.values()):
        give(root, server.provider.user)


def give(root: Path, user: int | None) -> None:
    """Give a folder and all in it to the sandbox's user, and to nobody else. user: None for Guardian's own."""
    for place, folders, files in os.walk(root):
        for name in (".", *folders, *files):
            path = os.path.join(place, name)  # noqa: PTH118 -- a cluster has many files
            if user is not None:
                os.chown(path, user, user, follow_symlinks=False)
            if not os.path.islink(path):  # noqa: PTH114 -- as above
                os.chmod(path, 0o700 if name == "." or name in folders else 0o600)  # noqa: PTH101 -- as above


def discard(path: Path) -> None:
    """Remove what is not needed any more, so that it counts against no quota."""
    shutil.rmtree(path, ignore_errors=True)
