"""A snapshot goes in, a verdict for every control and resource comes out. Pure but for the engine it is handed.

Invariant: nothing that was to be judged is passed over in silence. `pass` is what was judged and drew no finding; what
a policy left out, said malformed, or could not say is `error`; so is what a source could not tell. The same snapshot,
bundle and settings give the same findings, byte for byte, in the same order.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from guardian.model import COLLECTION_ERROR, ControlSummary, Evaluation, Mode, Tier, Verdict
from guardian.policy import verdicts
from guardian.policy.judge import Judge, common_input, finding
from guardian.policy.verdicts import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from guardian.model import Resource, Snapshot
    from guardian.policy.engine import Engine
    from guardian.policy.metadata import Catalogue, Control
    from guardian.policy.standards import Standards

_STAGE: Final = "audit"


def evaluate(snapshot: Snapshot, *, engine: Engine, catalogue: Catalogue, standards: Standards) -> Evaluation:
    """Judge `snapshot` by every control of `catalogue`, as of the moment it was taken.

    A control's population is its resources that are not `off`; a source that could not be read counts as one `error` on
    its CollectionError's id, beside the population.
    """
    view = _View.of(snapshot, standards)
    results: dict[str, dict[str, Outcome]] = {name: {} for name in catalogue.controls}
    by_scope: dict[str, list[Control]] = {"resource": [], "snapshot": []}
    for control in catalogue.controls.values():
        if view.out_of_scope(control) is None and not view.off_everywhere(control):
            by_scope[control.scope].append(control)
            results[control.id] |= view.unread(control)
    _judge_resources(view, by_scope["resource"], Judge(engine, catalogue, standards), results)
    for control in by_scope["snapshot"]:
        results[control.id] |= _judge_snapshot(view, control, engine)
    findings = [
        finding(control, resource, outcome, view.mode(control, resource))
        for control in catalogue.controls.values()
        for resource, outcome in sorted(results[control.id].items())
    ]
    return Evaluation(
        findings=findings,
        summaries=[_summary(view, control, results[control.id]) for control in catalogue.controls.values()],
        bundle_digest=engine.bundle_digest,
        engine=engine.name,
        engine_version=engine.version,
    )


@dataclass(frozen=True, slots=True)
class _View:
    """The snapshot arranged for judging: resources by kind and id, what is configured, what could not be read."""

    by_kind: Mapping[str, Sequence[Resource]]
    tiers: Mapping[str, Tier | None]
    configured: frozenset[str]
    errors: Mapping[str, Mapping[str, str]]
    now: datetime
    standards: Standards

    @classmethod
    def of(cls, snapshot: Snapshot, standards: Standards) -> _View:
        by_kind: dict[str, list[Resource]] = {}
        for resource in sorted(snapshot.resources, key=lambda resource: resource.id):
            by_kind.setdefault(resource.kind, []).append(resource)
        return cls(
            by_kind=by_kind,
            tiers={resource.id: resource.tier for resource in snapshot.resources},
            configured=frozenset(kind for status in snapshot.collectors for kind in status.kinds),
            errors=_errors(snapshot, by_kind.get(COLLECTION_ERROR, ())),
            now=snapshot.taken_at,
            standards=standards,
        )

    def out_of_scope(self, control: Control) -> str | None:
        """Return why a control is not judged here at all, None if it is."""
        if _STAGE not in control.stages:
            return "judged at admission only"
        if self.configured.isdisjoint(control.judges):
            return f"no collector is configured that reads {', '.join(control.judges)}"
        return None

    def off_everywhere(self, control: Control) -> bool:
        """Tell whether the control is off for every tier, or for every resource there is."""
        subjects = [resource for kind in control.judges for resource in self.by_kind.get(kind, ())]
        tiers: Iterable[Tier | None] = {resource.tier for resource in subjects} or set(Tier)
        if any(kind in self.errors for kind in control.inputs):
            tiers = set(Tier)
        return all(self.standards.at(control.id, tier).mode is Mode.OFF for tier in tiers)

    def subjects(self, control: Control) -> list[Resource]:
        """Return the resources that get a verdict of `control`: of the kinds it judges, and not off."""
        return [
            resource
            for kind in control.judges
            for resource in self.by_kind.get(kind, ())
            if self.standards.at(control.id, resource.tier).mode is not Mode.OFF
        ]

    def unread(self, control: Control) -> dict[str, Outcome]:
        """Return an error for every source that one of the control's kinds could not be read from."""
        return {
            identity: Outcome(Verdict.ERROR, f"{kind} could not be read: {reason}")
            for kind in control.inputs
            for identity, reason in self.errors.get(kind, {}).items()
        }

    def mode(self, control: Control, resource: str) -> Mode:
        """Return what the control does to a resource; to a source that could not be read, the sternest of all tiers."""
        if resource in self.tiers and not resource.startswith("error:"):
            return self.standards.at(control.id, self.tiers[resource]).mode
        return max((self.standards.at(control.id, tier).mode for tier in Tier), key=lambda mode: mode.rank)


def _errors(snapshot: Snapshot, stated: Iterable[Resource]) -> dict[str, dict[str, str]]:
    """Return by kind the ids of what could not be read, with the reason: as stated, or by a collector that failed."""
    errors: dict[str, dict[str, str]] = {}
    for resource in stated:
        kind = resource.attributes.get("kind") or resource.id.rsplit("/", 1)[-1]
        told = [
            text for name in ("reason", "detail") if isinstance(text := resource.attributes.get(name), str) and text
        ]
        errors.setdefault(str(kind), {})[resource.id] = ": ".join(told) or "no reason given"
    for status in snapshot.collectors:
        if status.status == "failed":
            for kind in status.kinds:
                identity = f"error:{status.type}/{status.name}/{kind}"
                errors.setdefault(kind, {}).setdefault(identity, f"collector {status.name} failed")
    return errors


def _judge_resources(
    view: _View, controls: Sequence[Control], judge: Judge, results: Mapping[str, dict[str, Outcome]]
) -> None:
    """Judge resource by resource: each crosses into the engine once, for all controls of its kind."""
    wanted: dict[str, list[Control]] = {}
    resources: dict[str, Resource] = {}
    for control in controls:
        for resource in view.subjects(control):
            wanted.setdefault(resource.id, []).append(control)
            resources[resource.id] = resource
    for identity, resource in sorted(resources.items()):
        for name, outcome in judge.outcomes(resource, wanted[identity], now=view.now).items():
            results[name][identity] = outcome


def _judge_snapshot(view: _View, control: Control, engine: Engine) -> dict[str, Outcome]:
    """Judge all resources of the kinds that `control` judges together."""
    subjects = view.subjects(control)
    if not subjects:
        return {}
    incomplete = sorted(kind for kind in control.inputs if kind in view.errors)
    context = [kind for kind in incomplete if kind not in control.judges]
    if context and "incomplete" not in control.uses:
        unknown = Outcome(Verdict.ERROR, f"could not be judged: {', '.join(context)} could not all be read")
        return {resource.id: unknown for resource in subjects}
    resources = {
        kind: [resource.to_json() for resource in view.by_kind.get(kind, ())]
        for kind in control.inputs
        if kind in view.configured
    }
    params = {
        resource.id: view.standards.at(control.id, resource.tier).params
        for kind in control.judges
        for resource in view.by_kind.get(kind, ())
    }
    document = {
        **common_input(view.standards.environment, view.now),
        "resources": resources,
        "services": view.standards.services,
        "incomplete": incomplete,
    }
    [judgement] = engine.judge("snapshot", {control.id: params}, document)
    return verdicts.of_many(judgement, [resource.id for resource in subjects], params)


def _summary(view: _View, control: Control, results: Mapping[str, Outcome]) -> ControlSummary:
    reason = view.out_of_scope(control)
    scope = "out of scope" if reason else "judged"
    if reason is None and view.off_everywhere(control):
        scope, reason = "off", "mode is off"
    counted = Counter(outcome.verdict for outcome in results.values())
    return ControlSummary(
        control=control.id,
        title=control.title,
        severity=control.severity,
        population=0 if reason else len(view.subjects(control)),
        counts={verdict: counted[verdict] for verdict in Verdict},
        scope=scope,
        reason=reason or "",
    )
