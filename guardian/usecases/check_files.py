"""Paths -> the text of the manifests in them. Reads files and standard input; nothing else.

Invariant: what is named, and every manifest below a folder that is named, is either read or reported; of a folder only
hidden files and folders, and names that do not end in .yaml, .yml or .json, are left out.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from guardian.errors import UsageError
from guardian.reports.judged import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_BYTES: Final = 32 << 20
MAX_FILES: Final = 20_000
STDIN: Final = "-"
STDIN_NAME: Final = "stdin"
_SUFFIXES: Final = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Source:
    """One text. name: what a finding calls the file: the path as given, with what follows below a folder."""

    name: str
    text: str


def sources(paths: Sequence[str], stdin: BinaryIO) -> Iterator[Source | Problem]:
    """Yield the text of every manifest that `paths` name, folders in order of names; `-` is `stdin`.

    Raises UsageError if a path is not there, or standard input is named twice.
    """
    if paths.count(STDIN) > 1:
        raise UsageError("standard input (-) can be read once only; name it once")
    missing = [path for path in paths if path != STDIN and not os.path.lexists(path)]
    if missing:
        raise UsageError(f"there is no file or folder {', '.join(missing)}; name manifests, or - for standard input")
    for path in paths:
        if path == STDIN:
            yield _decoded(STDIN_NAME, stdin.read(MAX_BYTES + 1))
        elif Path(path).is_dir():
            for found in _below(Path(path)):
                yield found if isinstance(found, Problem) else _read(found, regular_only=True)
        else:
            yield _read(Path(path), regular_only=False)


def _below(folder: Path) -> Iterator[Path | Problem]:
    """Yield the manifests of a folder and of those in it, following links, none twice."""
    seen: set[tuple[int, int]] = set()
    waiting, count = [folder], 0
    while waiting:
        here = waiting.pop()
        try:
            known = here.stat()
            inside = sorted(here.iterdir()) if (known.st_dev, known.st_ino) not in seen else []
        except OSError as error:
            yield Problem(
                _shown(here), 1, f"this folder cannot be read: {error.strerror}; allow it, or name other paths"
            )
            continue
        seen.add((known.st_dev, known.st_ino))
        visible = [path for path in inside if not path.name.startswith(".")]
        for path in visible:
            if not path.is_dir() and path.name.lower().endswith(_SUFFIXES):
                count += 1
                if count > MAX_FILES:
                    yield Problem(_shown(folder), 1, f"more than {MAX_FILES:,} manifests; name smaller folders")
                    return
                yield path
        waiting += [path for path in reversed(visible) if path.is_dir()]


def _read(path: Path, *, regular_only: bool) -> Source | Problem:
    name = _shown(path)
    try:
        # a pipe that somebody put into a folder would be waited for without end
        if regular_only and not stat.S_ISREG(path.stat().st_mode):
            return Problem(name, 1, "this is not a regular file; remove it, or name it by itself")
        with path.open("rb") as file:
            return _decoded(name, file.read(MAX_BYTES + 1))
    except OSError as error:
        return Problem(name, 1, f"this file cannot be read: {error.strerror}")


def _shown(path: Path) -> str:
    """Return a path as text for every format: what is no UTF-8 in it is replaced."""
    return os.fsencode(path).decode("utf-8", "replace")


def _decoded(name: str, data: bytes) -> Source | Problem:
    if len(data) > MAX_BYTES:
        return Problem(name, 1, f"larger than {MAX_BYTES >> 20} MiB; split it, or scan the cluster: guardian scan")
    try:
        return Source(name, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Problem(name, line, "not UTF-8 text; save the file as UTF-8")
