"""A run's findings for tests of machine formats: every verdict, a waiver, hostile text, with places or without."""

from __future__ import annotations

from typing import Any

from guardian.model import Finding, Mode, Severity, Verdict
from guardian.reports.judged import Judged, Located, Place, Problem

HOSTILE = "evil\x1b[2J\x00\x9b\u202e\ud800\ufffe]]> <b>&\U0001f600"
CONTROLS: dict[str, dict[str, Any]] = {
    "workload.image-digest": {
        "title": "Container images are pinned by digest",
        "description": "Every image is named with its digest.\nA tag can move.",
        "remediation": "Name the image with its digest.",
        "severity": "high",
        "relatedResources": [
            {"ref": "https://kubernetes.io/docs/concepts/containers/images/", "description": "images"}
        ],
        "frameworks": {"nist-800-53r5": ["CM-2"], "soc2": ["CC8.1"]},
    },
    "workload.resources": {"title": "Containers state what they need", "severity": "medium"},
}
ODOO = "k8s:cluster/apps/Deployment/erp/odoo"
IMAGE = "spec.template.spec.containers[0].image"


def finding(verdict: Verdict, resource: str = ODOO, control: str = "workload.image-digest", **changes: Any) -> Finding:
    """One finding of this verdict."""
    severity = Severity(CONTROLS[control]["severity"])
    message = changes.pop("message", "" if verdict is Verdict.PASS else "container odoo is not pinned")
    mode = changes.pop("mode", Mode.DENY)
    observed = changes.pop("observed", [{"field": IMAGE, "value": "odoo:17"}])
    return Finding(control, resource, verdict, severity, message, "a digest", observed, mode, **changes)


def judged(*, line: int = 12, places: bool = True, problems: bool = True) -> Judged:
    """A run with every verdict. line: where the first finding stands."""
    waiver = {"reason": "vendor image", "ticket": "OPS-7", "expires": "2026-12-01T00:00:00Z"}

    def at(*where: Place) -> tuple[Place, ...]:
        return where if places else ()

    first, second = Place("deploy/o doo.yaml", line, 9, IMAGE), Place("deploy/o doo.yaml", line + 4, 9, "spec.x")
    located = [
        Located(finding(Verdict.FAIL), at(first, second)),
        Located(finding(Verdict.FAIL, "k8s:cluster/core/Pod/erp/w", waiver=waiver), at(Place("/abs/w.yaml", 1))),
        Located(finding(Verdict.PASS, "k8s:cluster/core/Pod/erp/ok"), at(Place("deploy/ok.yaml", 1))),
        Located(finding(Verdict.ERROR, control="workload.resources", message=HOSTILE), at(Place("stdin", 3))),
        Located(finding(Verdict.SKIP, f"k8s:cluster/core/Pod/erp/{HOSTILE}"), at(Place("deploy/s.yaml", 2))),
        Located(finding(Verdict.FAIL, "k8s:c/core/Pod/a/b", mode=Mode.WARN), at(Place("../b.yaml", 7, 3, "spec"))),
        Located(
            finding(Verdict.FAIL, "k8s:c/core/Pod/a/c", "workload.resources", mode=Mode.AUDIT), at(Place("c.yaml", 1))
        ),
    ]
    return Judged(
        command="check",
        environment="production",
        engine="wasm",
        engine_version="50",
        bundle_digest="ab" * 32,
        controls=CONTROLS,
        located=located,
        problems=[Problem(f"bad{HOSTILE}.yaml", 4, f"not valid YAML {HOSTILE}")] if problems else [],
        exit_code=1,
    )
