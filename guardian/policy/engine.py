"""The protocol behind which policy engines stand, and the one shape of what they return. No I/O here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Judgement:
    """What Rego said of one input for one control.

    findings: raw finding objects `{resource, verdict, message, expected, observed}`, verdict one of fail, error, skip.
    judged: ids judged (snapshot scope; for a resource scope the engine fills in the input's id).
    error: why evaluation itself failed (deadline, memory, abort, builtin), None if it did not; then findings are empty.
    """

    control: str
    findings: Sequence[Mapping[str, Any]]
    judged: Sequence[str]
    error: str | None = None


class Engine(Protocol):
    """Evaluates compiled controls. One instance belongs to one thread."""

    name: str
    version: str
    bundle_digest: str

    def judge(
        self, scope: str, controls: Mapping[str, Mapping[str, Any]], document: Mapping[str, Any]
    ) -> Sequence[Judgement]:
        """Judge one input by several controls of one scope (`resource` or `snapshot`) in one crossing.

        controls: control id -> its resolved params. document: `input` without params.
        Returns one Judgement a control, in the order given. Never raises for a bad input: that is Judgement.error.
        """
        ...

    def close(self) -> None:
        """Let go of what the engine holds; no judgement may follow. More than once is harmless."""
        ...
