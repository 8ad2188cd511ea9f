"""Evaluations and drills as JSON documents for `--format json`, each with the name of its schema. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardian.model import Verdict

if TYPE_CHECKING:
    from guardian.model import ControlSummary, Drill, Evaluation


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
