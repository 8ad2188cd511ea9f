"""Who the cluster's own controllers are: told by who asks, never by an ownerReference, which anyone may write. No I/O.

Source: Kubernetes 1.36, plugin/pkg/auth/authorizer/rbac/bootstrappolicy/testdata/controller-role-bindings.yaml.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_NAMES: Final = ("system:kube-scheduler", "system:kube-controller-manager", "system:apiserver")
NODES: Final = "system:node:"
NODES_GROUP: Final = "system:nodes"
_ACCOUNTS: Final = "system:serviceaccount:kube-system:"
_CONTROLLERS: Final = frozenset(
    {
        "attachdetach-controller",
        "certificate-controller",
        "clusterrole-aggregation-controller",
        "cronjob-controller",
        "daemon-set-controller",
        "deployment-controller",
        "device-taint-eviction-controller",
        "disruption-controller",
        "endpoint-controller",
        "endpointslice-controller",
        "endpointslicemirroring-controller",
        "ephemeral-volume-controller",
        "expand-controller",
        "generic-garbage-collector",
        "horizontal-pod-autoscaler",
        "job-controller",
        "legacy-service-account-token-cleaner",
        "namespace-controller",
        "node-controller",
        "persistent-volume-binder",
        "pod-garbage-collector",
        "pv-protection-controller",
        "pvc-protection-controller",
        "replicaset-controller",
        "replication-controller",
        "resource-claim-controller",
        "resourcequota-controller",
        "root-ca-cert-publisher",
        "route-controller",
        "selinux-warning-controller",
        "service-account-controller",
        "service-cidrs-controller",
        "service-controller",
        "statefulset-controller",
        "ttl-after-finished-controller",
        "ttl-controller",
        "validatingadmissionpolicy-status-controller",
        "volumeattributesclass-protection-controller",
    }
)


def is_controller(username: str, groups: Collection[str]) -> bool:
    """Tell whether a user is a controller of Kubernetes itself, its scheduler, its API server or a node."""
    if username in _NAMES:
        return True
    if username.startswith(NODES):
        return NODES_GROUP in groups
    return username.startswith(_ACCOUNTS) and username.removeprefix(_ACCOUNTS) in _CONTROLLERS


def usernames() -> Sequence[str]:
    """Return every name that `is_controller` holds for, in order, but those of nodes, which begin with NODES."""
    return (*_NAMES, *(f"{_ACCOUNTS}{name}" for name in sorted(_CONTROLLERS)))
