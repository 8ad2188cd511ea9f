"""Files and folders that survive a power cut and are nobody else's to read.

Invariant: a file written here is either absent, the old one, or whole.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def make_private_folder(folder: Path) -> None:
    """Create `folder` and every missing parent, each 0700; what exists keeps its mode."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)  # another process may be first
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush the folder itself: ext4 may otherwise lose a rename or a new name."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_file(path: Path, content: bytes, *, sync_name: bool = True) -> None:
    """Replace `path` by `content` atomically, mode 0600.

    sync_name: also flush the folder, so that the new name survives a power cut; without it the old file may come back.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if sync_name:
        sync_folder(path.parent)
