"""What a verification found, and what it cannot prove. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

INDEPENDENCE: Final = (
    "Independence: no witness cosigned this log and no timestamp authority stamped it. What was verified is that"
    " nothing changed since the checkpoint was signed; that the operator did not write another log, or write this one"
    " later than it says, is not proved. Keys count as valid from the keyring version that lists them to the one that"
    " revokes them, by order in the log; their validity periods were not judged, since no trusted time is at hand."
)
MAX_PROBLEMS: Final = 1000


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a verification.

    problems: (member, message), at most MAX_PROBLEMS; a member is a name in the pack, or `record 7`, `checkpoint`,
    `head` and the like for the live log. size: records that the checkpoint covers; records: how many were verified;
    complete: they are all of them. self_asserted: the keys came from the pack itself, whose fingerprint (hex SHA-256 of
    their root.json) must be compared with one got elsewhere.
    """

    problems: tuple[tuple[str, str], ...]
    origin: str
    size: int
    records: int
    complete: bool
    self_asserted: bool
    fingerprint: str
    independence: str = INDEPENDENCE

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong. Says nothing of `self_asserted`."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """Return the report's JSON shape."""
        return {
            "ok": self.ok,
            "problems": [{"member": member, "message": message} for member, message in self.problems],
            "origin": self.origin,
            "size": self.size,
            "records": self.records,
            "complete": self.complete,
            "selfAsserted": self.self_asserted,
            "fingerprint": self.fingerprint,
            "independence": self.independence,
        }
