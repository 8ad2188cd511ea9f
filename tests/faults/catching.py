"""What a test of a fault asserts of a drill, and the table of what all of them found."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.faults.matrix import CELLS, FAULTS, FORMS, REASONS, TABLE
from verifiers.result import Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    import pytest

    from guardian.model import Drill

PROPERTY = "fault"  # the name under which a test's report carries its cells, also from a worker of xdist


@dataclass(frozen=True)
class Caught:
    """The fixture `caught` of one test; see matrix.py."""

    node: pytest.Item

    def __call__(
        self,
        fault: int,
        form: str,
        drill: Drill,
        *,
        by: str | Mapping[str, str],
        says: str = "",
        verdict: str = "fail",
        beyond: Collection[str] = (),
    ) -> None:
        """Assert that the drill is red by `by` and nothing else, and enter the cell."""
        expected = {by: says} if isinstance(by, str) else by
        found = {check.id: check for check in drill.result.checks}
        told = {key: f"{check.verdict}: {check.message}" for key, check in found.items() if check.verdict != "skip"}
        assert drill.result.verdict is Verdict(verdict), told
        assert drill.result.assurance is None or drill.result.assurance.rank < drill.result.required.rank, told
        for check_id, word in expected.items():
            assert found[check_id].verdict is Verdict(verdict), told
            assert found[check_id].message, f"{check_id} says nothing"
            assert re.search(word, found[check_id].message), f"{word!r} is not in: {found[check_id].message}"
        failed = {key for key, check in found.items() if check.verdict is Verdict.FAIL}
        assert failed <= {*expected, *beyond}, {key: told[key] for key in failed - {*expected, *beyond}}
        self._enter(fault, form, " ".join(expected))

    def told(self, fault: int, form: str, *, by: str, message: str, says: str) -> None:
        """Enter what no drill tells: a policy's finding, a record, an exit with its reason."""
        assert re.search(says, message), f"{says!r} is not in: {message}"
        self._enter(fault, form, by)

    def _enter(self, fault: int, form: str, by: str) -> None:
        assert fault in FAULTS, f"matrix.py has no fault {fault}"
        assert form in FORMS, f"matrix.py has no format {form}"
        self.node.user_properties.append((PROPERTY, f"{fault} {form} {by}"))


class Collected:
    """The cells of a run. skipped: tests of this folder that did not run, and so proved nothing."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, str], set[str]] = defaultdict(set)
        self.skipped = 0

    def take(self, properties: Iterable[tuple[str, object]]) -> None:
        """Take what one passed test entered."""
        for name, value in properties:
            if name == PROPERTY:
                fault, form, by = str(value).split(" ", 2)
                self.cells[int(fault), form].update(by.split())

    @property
    def gaps(self) -> list[str]:
        """What is asked for and was not caught."""
        missing = sorted(CELLS - set(self.cells))
        return [f"fault {fault} ({FAULTS[fault].name}) in {form}" for fault, form in missing]

    def lines(self) -> Iterator[str]:
        """Yield the table: fault x format, with the checks as letters."""
        checks = sorted({by for cell in self.cells.values() for by in cell})
        letters = {check: _letter(number) for number, check in enumerate(checks)}
        upright = [form.rjust(max(map(len, FORMS))) for form in FORMS]
        yield from (" " * 38 + "".join(f"{letter:>3}" for letter in row) for row in zip(*upright, strict=True))
        caught = extra = 0
        for fault in TABLE:
            asked = set(fault.asked)
            whole = all((fault.number, form) in self.cells for form in asked)
            caught += whole and fault.number <= 40
            extra += whole and fault.number > 40
            cells = "".join(f"{self._cell(fault.number, form, letters, asked):>3}" for form in FORMS)
            yield f"{fault.label:>3} {fault.name:<34}{cells}"
        yield ""
        yield "caught by: " + ", ".join(f"{letter} {check}" for check, letter in letters.items())
        yield "· does not apply, = content proved in another format, ! gap:"
        yield from (f"   {reason}: {text}" for reason, text in REASONS.items())
        yield f"{caught}/40 faults caught, and {extra}/{len(TABLE) - 40} accidents; {len(self.cells)} cells"

    def _cell(self, fault: int, form: str, letters: Mapping[str, str], asked: Collection[str]) -> str:
        found = self.cells.get((fault, form))
        if found:
            return "".join(letters[check] for check in sorted(found))[:2]
        return "!" if form in asked else "=" if FAULTS[fault].reasons[form] == "same" else "·"


def _letter(number: int) -> str:
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[number]
