"""The ValidatingWebhookConfiguration: which requests the API server asks the webhook about, and what holds without it.

Invariants, each of which keeps an outage of the webhook from becoming one of the cluster:
- Every request meets at most one of the three webhooks, so nothing is judged twice.
- Only the namespaces declared to fail closed are refused when nobody answers, and even there never the cluster's own
  controllers: a ReplicaSet that replaces a lost Pod is asked about, and goes on without an answer.
- kube-system, Guardian's own namespace and the exempt ones never reach the webhook. They are told by the label
  `kubernetes.io/metadata.name`, which the API server sets and nobody can forge; no other label exempts anything.
- Leases, access reviews, status and heartbeats never reach it, whatever kinds are judged. No I/O.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from guardian.errors import UsageError
from guardian.kubernetes_kinds import PLURALS, PREFIX, is_namespaced, split
from guardian.usecases.builtin_controllers import NODES, NODES_GROUP, usernames

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from guardian.policy.metadata import Catalogue
    from guardian.settings import WebhookSettings

NAME: Final = "guardian"
PATH: Final = "/v1/admit"
STAGE: Final = "admission"
ALWAYS_EXEMPT: Final = "kube-system"

_NAMESPACE: Final = f"{PREFIX}core.Namespace"
_NAME_LABEL: Final = "kubernetes.io/metadata.name"
_OPERATIONS: Final = ("CREATE", "UPDATE")
# Containers enter a Pod that exists, and its resources change, by these ways too; what they send is the whole Pod.
_PARTS: Final = {"pods": ("pods/ephemeralcontainers", "pods/resize")}

_LIST: Final = ", ".join(f'"{name}"' for name in usernames())
_NODE: Final = (
    f'(request.userInfo.username.startsWith("{NODES}") && has(request.userInfo.groups)'
    f' && "{NODES_GROUP}" in request.userInfo.groups)'
)
_CONTROLLER: Final = f"{_NODE} || request.userInfo.username in [{_LIST}]"
# Being deleted, with nothing but its metadata changed. What a finalizer keeps works on: new content is judged as ever.
_LEAVING: Final = (
    "(oldObject != null && has(oldObject.metadata.deletionTimestamp) && has(object.metadata.deletionTimestamp)"
    ' && object.all(key, key == "metadata" || (key in oldObject && object[key] == oldObject[key]))'
    " && oldObject.all(key, key in object))"
)
# What a control may warn of and never deny, see `usecases.review`: so it must not wait for an answer either. To refuse
# the removal of a finalizer would keep for ever what is being deleted.
_HEALING: Final = f"{_CONTROLLER} || {_LEAVING}"
_HEARTBEAT: Final = (
    '!(request.resource.group == "" && request.resource.resource == "nodes" && has(request.userInfo.groups)'
    f' && "{NODES_GROUP}" in request.userInfo.groups)'
)
_CONDITIONS: Final = (
    ("not-leases", 'request.resource.group != "coordination.k8s.io"'),
    ("not-reviews", '!(request.resource.group in ["authentication.k8s.io", "authorization.k8s.io"])'),
    ("not-status", '!has(request.subResource) || request.subResource in ["", "ephemeralcontainers", "resize"]'),
    ("not-heartbeats", _HEARTBEAT),
)


def admission_kinds(catalogue: Catalogue) -> list[str]:
    """Return the Kubernetes kinds that controls judge at admission, sorted."""
    judging = [control for control in catalogue.controls.values() if STAGE in control.stages]
    return sorted({kind for control in judging for kind in control.judges if kind.startswith(PREFIX)})


def registration(
    webhook: WebhookSettings,
    *,
    kinds: Sequence[str],
    client: Mapping[str, Any],
    ca_bundle: bytes | None,
    own_namespace: str | None,
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the ValidatingWebhookConfiguration.

    kinds: resource kinds to ask about; those that are not Kubernetes' are left out. client: `url` or `service`.
    ca_bundle: PEM certificates that the webhook's own is checked with; None where the system's serve, or something else
    writes them. own_namespace: where the webhook runs, None outside the cluster.
    Raises UsageError if there is nothing to ask about, or a namespace is to fail closed and to be exempt.
    """
    asked = sorted({kind for kind in kinds if kind.startswith(PREFIX)})
    if not asked:
        raise UsageError("no control judges a Kubernetes kind at admission; there is nothing to install a webhook for")
    exempt = sorted({ALWAYS_EXEMPT, *webhook.exempt, *([own_namespace] if own_namespace else [])})
    closed = sorted(set(webhook.fail_closed))
    both = sorted(set(exempt) & set(closed))
    if both:
        raise UsageError(
            f"webhook.failClosed names {', '.join(both)}, which is exempt: Guardian's own namespace and kube-system "
            "always are, for a webhook that judges what it needs to start could never start again; remove it there"
        )

    def one(
        name: str, *, where: tuple[str, Sequence[str]], policy: str, rules: object, who: str = ""
    ) -> dict[str, Any]:
        conditions = [*_CONDITIONS, *([("healing", who)] if who else [])]
        operator, values = where
        selector = {"key": _NAME_LABEL, "operator": operator, "values": list(values)}
        trust = {"caBundle": base64.b64encode(ca_bundle).decode()} if ca_bundle else {}
        return {
            "name": f"{name}.admission.guardian",
            "clientConfig": {**client, **trust},
            "rules": rules,
            "namespaceSelector": {"matchExpressions": [selector]},
            "matchConditions": [{"name": label, "expression": text} for label, text in conditions],
            "matchPolicy": "Equivalent",
            "failurePolicy": policy,
            "sideEffects": "NoneOnDryRun",
            "timeoutSeconds": webhook.timeout_s,
            "admissionReviewVersions": ["v1"],
        }

    webhooks = []
    if closed:
        within = [*_rules(asked, "Namespaced"), *_rules([kind for kind in asked if kind == _NAMESPACE], "Cluster")]
        here = ("In", closed)
        if within:
            webhooks += [
                one("fail-closed", where=here, policy="Fail", rules=within, who=f"!({_HEALING})"),
                one("self-healing", where=here, policy="Ignore", rules=within, who=_HEALING),
            ]
    everything = [*_rules(asked, "Namespaced"), *_rules(asked, "Cluster")]
    elsewhere = ("NotIn", sorted({*exempt, *closed}))
    webhooks.append(one("fail-open", where=elsewhere, policy="Ignore", rules=everything))
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": NAME, **({"annotations": dict(annotations)} if annotations else {})},
        "webhooks": webhooks,
    }


def _rules(kinds: Iterable[str], scope: str) -> list[dict[str, Any]]:
    """Return the rules for those of `kinds` that may have this scope, `Namespaced` or `Cluster`; one a group.

    Kinds that Kubernetes does not define may have either.
    """
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for kind in kinds:
        if is_namespaced(kind) in {None, scope == "Namespaced"}:
            plural = PLURALS.get(kind) or _plural(split(kind)[1])
            # The version that policies are written for; a request in another one is converted (matchPolicy).
            found[split(kind)[0], "v1" if kind in PLURALS else "*"] += [plural, *_PARTS.get(plural, ())]
    return [
        {
            "apiGroups": [group],
            "apiVersions": [version],
            "resources": sorted(resources),
            "operations": list(_OPERATIONS),
            "scope": scope,
        }
        for (group, version), resources in sorted(found.items())
    ]


def _plural(kind: str) -> str:
    """Return the plural of a Kind as Kubernetes itself guesses it (apimachinery, UnsafeGuessKindToResource)."""
    word = kind.lower()
    if word == "endpoints":
        return word
    if word.endswith("s"):
        return f"{word}es"
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"
