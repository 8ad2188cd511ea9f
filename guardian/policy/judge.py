"""One resource goes in, one verdict for each control that applies to it comes out: the core of scan, check, webhook and
replay. Pure but for the engine it is handed.

Invariant: a verdict is remembered under everything it depends on: the resource's bytes, whose tier chooses the
parameters; bundle and standards are one for each judge. A control that reads the time or the request is judged anew.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

import orjson

from guardian.model import Finding, Mode
from guardian.policy import verdicts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from guardian.model import Resource, Tier
    from guardian.policy.engine import Engine
    from guardian.policy.metadata import Catalogue, Control
    from guardian.policy.standards import Standards
    from guardian.policy.verdicts import Outcome


# In one object: more than any workload holds. Policies on more only run into their deadline.
MOST_VALUES: Final = 50_000
_LONGEST_KEPT: Final = 2000  # characters of a message; longer ones are rare, and would fill the memory


class Judge:
    """Judges single resources by the resource-scoped controls, under one engine and one set of standards.

    Belongs to one thread, as its engine does.
    """

    def __init__(self, engine: Engine, catalogue: Catalogue, standards: Standards, *, remember: int = 0) -> None:
        """remember: how many verdicts to keep, 0 for none; the least lately used goes first."""
        self.engine, self.catalogue, self.standards = engine, catalogue, standards
        self._remember = remember
        self.answered = True  # whether the engine did, when it was last asked
        self._known: OrderedDict[tuple[str, bytes], Outcome] = OrderedDict()

    def controls(self, kind: str, tier: Tier | None, stage: str) -> list[Control]:
        """Return the resource-scoped controls of `stage` that judge `kind` and are not off for `tier`."""
        return [
            control
            for control in self.catalogue.of_resources(kind, stage)
            if self.standards.at(control.id, tier).mode is not Mode.OFF
        ]

    def outcomes(
        self,
        resource: Resource,
        controls: Sequence[Control],
        *,
        now: datetime,
        request: Mapping[str, Any] | None = None,
    ) -> dict[str, Outcome]:
        """Return the verdict of each of `controls` on `resource`, by control id; it crosses into the engine once.

        request: what is asked of the API server, None where nothing is.
        """
        document = resource.to_json()
        digest = _digest(document) if self._remember else b""
        found: dict[str, Outcome] = {}
        asked: list[Control] = []
        self.answered = True
        for control in controls:
            known = self._recall(control, digest)
            if known is None:
                asked.append(control)
            else:
                found[control.id] = known
        if asked:
            params = {control.id: self.standards.at(control.id, resource.tier).params for control in asked}
            given = {**common_input(self.standards.environment, now), "resource": document}
            if request is not None:
                given["request"] = request
            for control, judgement in zip(asked, self.engine.judge("resource", params, given), strict=True):
                [outcome] = verdicts.of_one(judgement, resource.id).values()
                found[control.id] = outcome
                self.answered = self.answered and judgement.answered
                if judgement.error is None:  # a deadline says nothing of the next time
                    self._keep(control, digest, outcome)
        return found

    def findings(
        self, resource: Resource, *, stage: str, now: datetime, request: Mapping[str, Any] | None = None
    ) -> list[Finding]:
        """Return every finding of `stage` on `resource`, passes included, by control id."""
        controls = self.controls(resource.kind, resource.tier, stage)
        outcomes = self.outcomes(resource, controls, now=now, request=request)
        return [
            finding(control, resource.id, outcomes[control.id], self.standards.at(control.id, resource.tier).mode)
            for control in controls
        ]

    def _recall(self, control: Control, digest: bytes) -> Outcome | None:
        if not self._remember or control.uses:
            return None
        key = control.id, digest
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
        return known

    def _keep(self, control: Control, digest: bytes, outcome: Outcome) -> None:
        if not self._remember or control.uses or len(outcome.message) > _LONGEST_KEPT:
            return
        self._known[control.id, digest] = outcome
        if len(self._known) > self._remember:
            self._known.popitem(last=False)


def finding(control: Control, resource: str, outcome: Outcome, mode: Mode) -> Finding:
    """Return the finding of one verdict."""
    return Finding(
        control=control.id,
        resource=resource,
        verdict=outcome.verdict,
        severity=control.severity,
        message=outcome.message,
        expected=outcome.expected,
        observed=outcome.observed,
        mode=mode,
    )


def common_input(environment: str, now: datetime) -> dict[str, Any]:
    """Return the members of every input: the environment, and `now` in whole seconds of UTC."""
    return {"now": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "environment": environment}


def _digest(document: Any) -> bytes:  # noqa: ANN401 -- any JSON value
    return hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).digest()
