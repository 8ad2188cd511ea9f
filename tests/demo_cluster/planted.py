"""What the estate of the demo has wrong, and whether a scan found that and nothing else. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guardian.usecases.demo_outcomes import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


# control, resource, and what was done to it
PLANTED: Final = (
    (
        "network.database-reach",
        "k8s:demo/apps/StatefulSet/reports/reports-db",
        "a database before which no policy stands",
    ),
    ("network.default-deny", "k8s:demo/core/Namespace/reports", "a namespace that denies nothing"),
    (
        "rbac.cluster-admin",
        "k8s:demo/rbac.authorization.k8s.io/ClusterRoleBinding/odoo-admin",
        "cluster-admin for Odoo",
    ),
    ("rbac.wildcard", "k8s:demo/rbac.authorization.k8s.io/ClusterRole/odoo-operator", "a role that may do everything"),
    ("workload.image-digest", "k8s:demo/apps/Deployment/erp/odoo-cron", "an image by tag"),
    ("workload.pod-security", "k8s:demo/apps/Deployment/erp/odoo-longpolling", "a privileged container"),
    ("workload.replicas", "k8s:demo/apps/Deployment/erp/odoo-portal", "one replica, no disruption budget"),
    ("workload.resources", "k8s:demo/apps/Deployment/erp/odoo-mail", "no memory limit"),
)


def found(findings: Sequence[dict[str, Any]]) -> Iterator[Outcome]:
    """Yield an outcome for each planted violation, then one for each verdict that nobody planted."""
    bad = {(f["control"], f["resource"]): f for f in findings if f["verdict"] in {"fail", "error"}}
    for control, resource, planted in PLANTED:
        finding = bad.pop((control, resource), None)
        fails = finding is not None and finding["verdict"] == "fail"
        yield Outcome(
            f"scan: {control}",
            f"{resource}: {planted}",
            "fail",
            finding["verdict"] if finding else "no violation",
            finding["message"] if finding else "",
            fails,
        )
    for (control, resource), finding in sorted(bad.items()):
        yield Outcome(
            f"scan: {control}", resource, "pass or skip", finding["verdict"], finding["message"], occurred=False
        )
    passed = sum(1 for finding in findings if finding["verdict"] == "pass")
    yield Outcome("scan: the rest", "what is right", "pass", f"{passed} pass, nothing else", "", occurred=passed > 0)
