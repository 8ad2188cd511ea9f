"""The checkpoint outside the database only moves forward."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from evidence import checkpoint
from evidence.errors import InvalidEvidenceError, LogRolledBackError
from evidence.remembered import Remembered
from tests.evidence_support import LOG_KEY, ORIGIN

if TYPE_CHECKING:
    from pathlib import Path


def note(size: int, fill: int = 0) -> bytes:
    return checkpoint.sign(ORIGIN, size, bytes([fill]) * 32, LOG_KEY)


def test_a_smaller_checkpoint_never_replaces_a_larger_one(tmp_path: Path) -> None:
    remembered = Remembered(tmp_path / "new" / "checkpoint")
    assert remembered.read() is None
    for size, expected in ((3, 3), (5, 5), (4, 5), (5, 5), (6, 6), (0, 6)):
        remembered.raise_to(note(size))
        assert remembered.read() == note(expected)
    assert remembered.path.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in remembered.path.parent.iterdir()) == ["checkpoint", "checkpoint.lock"]


def test_two_roots_for_one_size_are_a_fork(tmp_path: Path) -> None:
    remembered = Remembered(tmp_path / "checkpoint")
    remembered.raise_to(note(3))
    with pytest.raises(LogRolledBackError, match="forked"):
        remembered.raise_to(note(3, fill=1))
    assert remembered.read() == note(3)


def test_a_damaged_file_is_not_overwritten(tmp_path: Path) -> None:
    remembered = Remembered(tmp_path / "checkpoint")
    remembered.path.write_bytes(b"")
    with pytest.raises(InvalidEvidenceError):
        remembered.raise_to(note(3))
    assert remembered.read() == b""
