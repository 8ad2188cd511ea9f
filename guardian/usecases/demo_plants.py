"""What the demo does to the backups of its assets, and what a drill must find of it. Data, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from guardian.model import Assurance, Verdict
from guardian.usecases import demo_faults as faults

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Plant:
    """One asset of the demo and what is done to its backup.

    options: for the wrapped backup command. after: done to the finished backup folder. expected: the checks that must
    fail; empty for the good one. also: checks that may fail as well, since the same damage shows there.
    """

    asset: str
    database: str
    what: str
    options: Sequence[str] = ()
    after: Callable[[Path], object] | None = None
    expected: frozenset[str] = frozenset()
    also: frozenset[str] = frozenset()

    @property
    def verdict(self) -> Verdict:
        """The verdict that must come out."""
        return Verdict.FAIL if self.expected else Verdict.PASS

    @property
    def assurance(self) -> Assurance | None:
        """The assurance that must come out of a good backup; None where any is right."""
        return None if self.expected else Assurance.EXACT


PLANTS = (
    Plant("erp-good", "erp_good", "nothing"),
    Plant(
        "erp-digit",
        "erp_digit",
        "one digit of one row changed while the backup was written",
        options=("--alter-digit",),
        expected=frozenset({"content.hashes"}),
    ),
    Plant(
        "erp-files",
        "erp_files",
        f"{faults.LOST_FILES} files of the filestore lost",
        after=faults.lose_files,
        expected=frozenset({"filestore.bijection"}),
        also=frozenset({"filestore.manifest"}),
    ),
    Plant(
        "erp-truncated",
        "erp_truncated",
        "the archive cut short",
        after=faults.truncate_archive,
        expected=frozenset({"archive.complete"}),
        also=frozenset({"backup.digest"}),
    ),
)
