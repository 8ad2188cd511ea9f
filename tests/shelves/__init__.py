"""Shelves: repositories of every format with real backups in them. A new format is registered in CASES."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.shelves import borg, restic, s3
from tests.shelves.base import Case, Content, Shelf

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CASES", "Case", "Content", "Shelf"]

CASES: Sequence[Case] = [
    *restic.CASES,
    *borg.CASES,
    *s3.CASES,
]
