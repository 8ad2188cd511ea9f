"""What findings come to at admission: allow, warn or deny. Pure.

What was judged and violates a control in mode deny is denied; so is what a control in mode deny could not judge, for
whatever takes so long or is so odd that no verdict comes of it is no ordinary object. Only where nothing was judged at
all, because Guardian itself was late, is the answer the one declared for the namespace.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from guardian.model import Mode, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardian.model import Finding

LONGEST_WARNING: Final = 120  # characters; longer ones are cut by clients in places of their own


class Outcome(StrEnum):
    """How a review ended.

    error: a control, or the whole object, could not be judged; overdue: nothing was, in time; exempt: there was nothing
    to judge.
    """

    ALLOW = "allow"
    WARN = "warn"
    DENY = "deny"
    ERROR = "error"
    OVERDUE = "overdue"
    EXEMPT = "exempt"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What besides the findings decides.

    healing: the cluster itself asks, or the object is on its way out: nothing is denied. closed: what was not judged is
    denied here. exempt: why there was nothing to judge. unchecked: why nothing was judged although there was; overdue:
    because it was too late.
    """

    healing: bool = False
    closed: bool = False
    exempt: str = ""
    unchecked: str = ""
    overdue: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What the findings come to. violated: what is denied. unchecked: why something could not be judged."""

    outcome: Outcome
    allowed: bool
    warnings: Sequence[str]
    violated: Sequence[Finding]
    unchecked: Sequence[str]


def answer(findings: Sequence[Finding], here: Circumstances) -> Answer:
    """Return the answer to a request with these findings."""
    if here.exempt:
        return Answer(Outcome.EXEMPT, allowed=True, warnings=(), violated=(), unchecked=())
    open_ones = [f for f in findings if f.verdict is Verdict.FAIL and f.waiver is None]
    denied = [] if here.healing else [f for f in open_ones if f.mode is Mode.DENY]
    shown = [f for f in open_ones if f.mode.rank >= Mode.WARN.rank and f not in denied]
    unsure = [f for f in findings if f.verdict is Verdict.ERROR and f.mode.rank >= Mode.WARN.rank]
    reasons = [f"[{f.control}] could not be judged: {f.message}" for f in unsure]
    if here.unchecked:
        reasons.append(f"this request was not judged: {here.unchecked}")
    binding = bool(here.unchecked) or any(f.mode is Mode.DENY for f in unsure)
    refused = bool(denied) or (binding and here.closed and not here.healing)
    if denied:
        outcome = Outcome.DENY
    elif reasons:
        outcome = Outcome.OVERDUE if here.overdue else Outcome.ERROR
    else:
        outcome = Outcome.WARN if shown else Outcome.ALLOW
    warnings = [_warning(f) for f in shown]
    if not refused:
        warnings += [cut(f"guardian {reason}", LONGEST_WARNING) for reason in reasons]
    return Answer(outcome, not refused, warnings, denied, reasons)


def cut(text: str, longest: int) -> str:
    """Return `text`, or its beginning with three dots: headers carry no letters but ASCII."""
    return text if len(text) <= longest else text[: longest - 3] + "..."


def _warning(finding: Finding) -> str:
    """Return one line: the message if it fits, else how many places are wrong and the first of them."""
    text = f"guardian {finding.control}: {finding.message}"
    places = finding.observed if isinstance(finding.observed, list) else []
    fields = [place["field"] for place in places if isinstance(place, dict) and isinstance(place.get("field"), str)]
    if len(text) > LONGEST_WARNING and fields:
        more = f" and {len(fields) - 1} more" if len(fields) > 1 else ""
        text = f"guardian {finding.control}: {fields[0]}{more}; `guardian check` says what to do"
    return cut(text, LONGEST_WARNING)
