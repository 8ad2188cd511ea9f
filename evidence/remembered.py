"""The highest checkpoint seen, in a file outside the database, so that an old or another database is noticed.

Invariant: the file only ever moves to a larger log. A log smaller than it, or with another root at its size, is
refused.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from evidence import checkpoint
from evidence.durable import make_private_folder, write_file
from evidence.errors import EvidenceError, LogRolledBackError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Remembered:
    """The checkpoint file of one log."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> bytes | None:
        """Return the checkpoint's bytes, None if there is no file. Raises EvidenceError if it cannot be read."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise EvidenceError(f"cannot read the checkpoint {self.path}: {error.strerror}") from error

    def raise_to(self, note: bytes) -> None:
        """Remember `note` unless a larger one is remembered already.

        Raises LogRolledBackError if one of the same size has another root: two logs are being written.
        """
        new = checkpoint.parse(note)
        with self._lock():
            known = self.read()
            if known is not None:
                old = checkpoint.parse(known)
                if old.size == new.size and old.root != new.root:
                    raise LogRolledBackError(
                        f"the log {new.origin} has another record at its end than the checkpoint {self.path} signs"
                        f" for size {old.size}: it was forked; keep both and compare them with a pack"
                    )
                if old.size >= new.size:
                    return
            # the name need not be flushed: after a power cut an older checkpoint is still a true one
            write_file(self.path, note, sync_name=known is None)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Hold the file lock that keeps two processes from moving the checkpoint backwards between them."""
        make_private_folder(self.path.parent)
        try:
            handle = os.open(
                self.path.with_name(self.path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            raise EvidenceError(f"cannot write beside the checkpoint {self.path}: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
