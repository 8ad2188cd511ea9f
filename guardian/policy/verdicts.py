"""What a policy said, made into exactly one verdict for each resource. Pure, no I/O.

Invariant: a policy can only make things worse. It may say fail, error or skip of a resource it was asked about;
anything else it says, and anything it leaves unsaid, is an error. Only this module makes a `pass`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from guardian.model import Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from guardian.policy.engine import Judgement

# What Rego may say, the worst first: of several findings on one resource the worst verdict counts.
_SAYABLE: Final = (Verdict.FAIL, Verdict.ERROR, Verdict.SKIP)
_KEYS: Final = {"resource", "verdict", "message", "expected", "observed"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One verdict with its reason."""

    verdict: Verdict
    message: str = ""
    expected: Any = None
    observed: Any = None


_MALFORMED: Final = Outcome(
    Verdict.ERROR, "the policy is defective: it has a finding without verdict, message or facts"
)
PASS: Final = Outcome(Verdict.PASS)
# What one finding may take: names in it are others' to choose, and a record must stay one that can be kept and read.
LONGEST_MESSAGE: Final = 20_000
LARGEST_FACTS: Final = 100_000  # bytes of JSON
UNJUDGED: Final = Outcome(Verdict.ERROR, "the policy did not judge this resource: a fact that it needs is missing")


def of_one(judgement: Judgement, resource: str) -> dict[str, Outcome]:
    """Return the verdict of a resource-scoped control on `resource`."""
    return of_many(judgement, [resource], [resource], judged=[resource])


def of_many(
    judgement: Judgement, subjects: Sequence[str], known: Collection[str], *, judged: Iterable[Any] | None = None
) -> dict[str, Outcome]:
    """Return a verdict for each of `subjects`.

    known: every id the policy could rightly speak of; what it says of those that are not subjects (off) is dropped.
    judged: what it judged, where that is not for the policy to say.
    A finding that is malformed, or on anything else, makes every verdict of this judgement an error: it cannot be told
    which resource was meant.
    """
    if judgement.error is not None:
        return dict.fromkeys(subjects, Outcome(Verdict.ERROR, judgement.error))
    said = judgement.judged if judged is None else judged
    if not all(isinstance(name, str) and name in known for name in said):
        return _broken(subjects, "it says that it judged what it was not asked about")
    covered = set(said)
    findings: dict[str, list[Mapping[str, Any]]] = {}
    for finding in judgement.findings:
        name = finding.get("resource") if isinstance(finding, dict) else None
        if not isinstance(name, str):
            return _broken(subjects, "one of its findings names no resource")
        if name not in covered:
            return _broken(subjects, f"it has a finding on {name!r}, which it did not judge")
        findings.setdefault(name, []).append(finding)
    return {name: _merged(findings.get(name, ())) if name in covered else UNJUDGED for name in subjects}


def _broken(subjects: Iterable[str], what: str) -> dict[str, Outcome]:
    return dict.fromkeys(subjects, Outcome(Verdict.ERROR, f"the policy is defective: {what}"))


def _merged(findings: Iterable[Mapping[str, Any]]) -> Outcome:
    outcomes = [_outcome(finding) for finding in findings]
    if not outcomes:
        return PASS
    worst = min(outcomes, key=lambda outcome: _SAYABLE.index(outcome.verdict)).verdict
    counting = sorted(
        (outcome for outcome in outcomes if outcome.verdict is worst), key=lambda outcome: outcome.message
    )
    if len(counting) == 1:
        return counting[0]
    return Outcome(
        worst,
        "; ".join(outcome.message for outcome in counting),
        [outcome.expected for outcome in counting],
        [outcome.observed for outcome in counting],
    )


def _outcome(finding: Mapping[str, Any]) -> Outcome:
    message, verdict = finding.get("message"), finding.get("verdict")
    if set(finding) != _KEYS or not isinstance(message, str) or not message or not isinstance(verdict, str):
        return _MALFORMED
    if verdict not in set(_SAYABLE):
        return _MALFORMED
    return Outcome(Verdict(verdict), _cut(message), _bounded(finding["expected"]), _bounded(finding["observed"]))


def _cut(message: str) -> str:
    return message if len(message) <= LONGEST_MESSAGE else f"{message[:LONGEST_MESSAGE]}... and more"


def _bounded(facts: Any) -> Any:  # noqa: ANN401 -- any JSON value
    """Return facts of a size that can be kept; of others only their size."""
    size = len(orjson.dumps(facts)) if isinstance(facts, str | list | dict) else 0
    return facts if size <= LARGEST_FACTS else {"omitted": f"{size} bytes, more than a finding may hold"}
