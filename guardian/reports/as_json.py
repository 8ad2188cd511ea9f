"""Evaluations and drills as JSON documents for `--format json`, each with the name of its schema. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardian.model import Verdict

if TYPE_CHECKING:
    from guardian.model import ControlSummary, Drill, Evaluation
    from guardian.reports.judged import Checked


def evaluation(judged: Evaluation) -> dict[str, Any]:
    """Return one evaluation: every control with its population and counts, every finding, passes included."""
    return {
        "schema": "guardian/evaluation/v1",
        "engine": judged.engine,
        "engineVersion": judged.engine_version,
        "bundleDigest": judged.bundle_digest,
        "counts": {verdict.value: sum(1 for f in judged.findings if f.verdict is verdict) for verdict in Verdict},
        "controls": [_control(summary) for summary in judged.summaries],
        "findings": [finding.to_json() for finding in judged.findings],
    }


def check(checked: Checked, exit_code: int) -> dict[str, Any]:
    """Return one check in the shape of `check.schema.json`: every object, every finding, passes included."""
    return {
        "schema": "guardian/check/v1",
        "environment": checked.environment,
        "collector": checked.collector,
        "engine": checked.engine,
        "engineVersion": checked.engine_version,
        "bundleDigest": checked.bundle_digest,
        "exitCode": exit_code,
        "counts": checked.counts(),
        "objects": [
            {
                "id": subject.id,
                "kind": subject.kind,
                "service": subject.service,
                "tier": subject.tier,
                "file": subject.place.file,
                "line": subject.place.line,
                "verdict": subject.verdict,
            }
            for subject in checked.subjects
        ],
        "findings": [
            {"finding": one.finding.to_json(), "places": [place.to_json() for place in one.places]}
            for one in checked.located
        ],
        "problems": [problem.to_json() for problem in checked.problems],
        "notJudged": {"kinds": checked.kinds_not_judged(), "controls": dict(checked.not_judged)},
    }


def drill(done: Drill) -> dict[str, Any]:
    """Return one drill in the shape of `drill.schema.json`."""
    return done.to_json()


def _control(summary: ControlSummary) -> dict[str, Any]:
    return {
        "control": summary.control,
        "title": summary.title,
        "severity": summary.severity,
        "scope": summary.scope,
        "reason": summary.reason,
        "population": summary.population,
        "counts": {verdict.value: summary.counts.get(verdict, 0) for verdict in Verdict},
    }
