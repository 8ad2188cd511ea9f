"""What the daemon asks of a job, as arguments of its process. No I/O."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from guardian.model import Claim, Slot
from guardian.store import slots

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Order:
    """One attempt at one slot."""

    config: Path
    claim: Claim
    verbose: bool = False

    def arguments(self) -> list[str]:
        """Return it as arguments."""
        slot = self.claim.slot
        return [
            *("--config", str(self.config), "--job", slot.job, "--due", slots.instant(slot.due)),
            *("--token", str(self.claim.token), "--attempt", str(self.claim.attempt)),
            *(["--final"] if self.claim.final else []),
            *(["--verbose"] if self.verbose else []),
        ]

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Order:
        """Return the order of these arguments; ends the process where they are none."""
        parser = argparse.ArgumentParser(prog="guardian.schedule.job", allow_abbrev=False)
        parser.add_argument("--config", type=Path, required=True)
        parser.add_argument("--job", required=True)
        parser.add_argument("--due", type=datetime.fromisoformat, required=True)
        parser.add_argument("--token", type=int, required=True)
        parser.add_argument("--attempt", type=int, required=True)
        parser.add_argument("--final", action="store_true")
        parser.add_argument("--verbose", action="store_true")
        told = parser.parse_args(arguments)
        slot = Slot(told.job, told.due.astimezone(UTC))
        return cls(told.config, Claim(slot, told.token, told.attempt, told.final), told.verbose)
