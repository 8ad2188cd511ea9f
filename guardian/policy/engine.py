"""The protocol behind which policy engines stand, and what they have in common: what goes in, what comes out.

Invariant: two engines are given the same bytes, and what they say is put in the same order; so the same verdicts make
the same record. No I/O here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from guardian.errors import GuardianError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class EngineError(GuardianError):
    """The policies cannot be evaluated at all; the message names what is in the way and what to do."""


class EvaluationError(Exception):
    """One evaluation did not come to an end; the message is why, the same each time for the same cause."""


class DeadlineError(EvaluationError):
    """It was not over in time."""

    def __init__(self, deadline_s: float) -> None:
        super().__init__(f"evaluation exceeded its deadline of {deadline_s:g} s")


class UnansweredError(EvaluationError):
    """Nothing was evaluated: the engine itself is out of reach. No control is to blame."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What Rego said of one input for one control.

    findings: raw finding objects `{resource, verdict, message, expected, observed}`, verdict one of fail, error, skip.
    judged: ids judged (snapshot scope; for a resource scope the engine fills in the input's id).
    error: why evaluation itself failed (deadline, memory, abort, builtin), None if it did not; then findings are empty.
    answered: false where nothing was evaluated, because the engine did not answer: the input is not to blame then.
    """

    control: str
    findings: Sequence[Mapping[str, Any]]
    judged: Sequence[str]
    error: str | None = None
    answered: bool = True


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


_MOST_DEADLINES: Final = 2


def encode(controls: Mapping[str, Mapping[str, Any]], document: Mapping[str, Any]) -> bytes:
    """Return the JSON that policies see as `input`. Raises EvaluationError for what is not JSON."""
    try:
        return orjson.dumps({**document, "controls": controls})
    except (TypeError, ValueError, RecursionError) as error:
        raise EvaluationError(f"the input is not JSON with 64-bit numbers: {error}") from None


def judge_each(
    controls: Mapping[str, Mapping[str, Any]],
    judge: Callable[[Mapping[str, Mapping[str, Any]]], Mapping[str, Any]],
) -> list[Judgement]:
    """Judge by all of `controls` in one crossing and, when that fails, by each alone: one control cannot take another's
    verdict along.

    judge: crosses into the engine and returns its answers by control, or raises EvaluationError. Where nothing was
    evaluated at all, nothing is asked again; nor after several deadlines, so that one call ends in a few.
    """
    try:
        answers = judge(controls)
        return [_judgement(control, answers.get(control)) for control in controls]
    except EvaluationError as error:
        if len(controls) == 1 or isinstance(error, UnansweredError):
            return [failed(control, error) for control in controls]
    judgements: list[Judgement] = []
    given_up: EvaluationError | None = None
    deadlines = 0
    for control, params in controls.items():
        try:
            if given_up is not None:
                raise given_up
            judgements.append(_judgement(control, judge({control: params}).get(control)))
        except EvaluationError as error:
            judgements.append(failed(control, error))
            deadlines += isinstance(error, DeadlineError)
            if deadlines == _MOST_DEADLINES or isinstance(error, UnansweredError):
                given_up = error
    return judgements


def failed(control: str, error: EvaluationError) -> Judgement:
    """Return the judgement of an evaluation that did not come to an end."""
    return Judgement(control, (), (), error=str(error), answered=not isinstance(error, UnansweredError))


def _judgement(control: str, answer: Any) -> Judgement:  # noqa: ANN401 -- whatever the policy says
    """Return what a policy said, in an order that does not depend on the engine: Rego's sets have none."""
    if not isinstance(answer, dict) or not isinstance(answer.get("findings"), list):
        return Judgement(control, (), (), error="evaluation gave no verdict: the control is undefined for this input")
    judged = answer.get("judged", [])
    if not isinstance(judged, list):
        return Judgement(control, (), (), error="evaluation did not say what it judged")
    try:
        return Judgement(control, sorted(answer["findings"], key=_order), sorted(judged, key=_order))
    except TypeError:
        return Judgement(control, (), (), error="evaluation gave a verdict that is nested too deeply")


def _order(value: Any) -> bytes:  # noqa: ANN401 -- any JSON value
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
