"""This environment's own verified records as a source: drills, and slots of drills that did not take place.

No I/O: the records are read and verified elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardian.collectors import Observed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime


class Records:
    """Verified drill results. name: the environment's. drills: attributes of guardian.Drill, each with its recordId.

    slots: attributes of guardian.Slot, of the slots of drills that were missed or that nobody closed, and no others.
    """

    type = "records"
    id_scheme = "records"
    kinds: Sequence[str] = ("guardian.Drill", "guardian.Slot")
    sensitive: Mapping[str, Sequence[str]] = {}

    def __init__(
        self, environment: str, drills: Sequence[Mapping[str, Any]], slots: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        self.name = environment
        self._drills = drills
        self._slots = slots

    def collect(self, now: datetime) -> Iterator[Observed]:  # noqa: ARG002 -- ages came with the attributes
        """Yield every drill and every slot handed in."""
        for drill in self._drills:
            key = f"{self.name}/drill/{drill['recordId']}"
            yield Observed("guardian.Drill", key, dict(drill), asset=drill["asset"])
        for slot in self._slots:
            yield Observed("guardian.Slot", f"{self.name}/slot/{slot['slot']}", dict(slot), asset=slot["asset"])
