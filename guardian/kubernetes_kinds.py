"""Kinds of Kubernetes objects by Guardian's names, `k8s.<group or core>.<Kind>`, and what the built-in ones are.

Pure data: which kinds the bundled controls read, which groups Kubernetes itself serves, which of their kinds have no
namespace. A test holds these lists against the discovery of a real API server.
"""

from __future__ import annotations

import re
from typing import Final

PREFIX: Final = "k8s."
CORE: Final = "core"

# What the bundled controls read, with the plural of its path in the API.
PLURALS: Final = {
    "k8s.core.Namespace": "namespaces",
    "k8s.core.Node": "nodes",
    "k8s.core.Pod": "pods",
    "k8s.core.ReplicationController": "replicationcontrollers",
    "k8s.core.Service": "services",
    "k8s.apps.DaemonSet": "daemonsets",
    "k8s.apps.Deployment": "deployments",
    "k8s.apps.ReplicaSet": "replicasets",
    "k8s.apps.StatefulSet": "statefulsets",
    "k8s.batch.CronJob": "cronjobs",
    "k8s.batch.Job": "jobs",
    "k8s.networking.k8s.io.NetworkPolicy": "networkpolicies",
    "k8s.policy.PodDisruptionBudget": "poddisruptionbudgets",
    "k8s.rbac.authorization.k8s.io.ClusterRole": "clusterroles",
    "k8s.rbac.authorization.k8s.io.ClusterRoleBinding": "clusterrolebindings",
    "k8s.rbac.authorization.k8s.io.Role": "roles",
    "k8s.rbac.authorization.k8s.io.RoleBinding": "rolebindings",
}
DEFAULT_KINDS: Final = tuple(PLURALS)

# Other groups, also those below k8s.io, come from custom resource definitions and aggregated servers.
BUILT_IN_GROUPS: Final = frozenset(
    {
        "",
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "apps",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "autoscaling",
        "batch",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "extensions",
        "flowcontrol.apiserver.k8s.io",
        "imagepolicy.k8s.io",
        "internal.apiserver.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "policy",
        "rbac.authorization.k8s.io",
        "resource.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
        "storagemigration.k8s.io",
    }
)
CLUSTER_SCOPED: Final = frozenset(
    f"k8s.{group}.{kind}"
    for group, kinds in {
        CORE: "ComponentStatus Namespace Node PersistentVolume",
        "admissionregistration.k8s.io": (
            "MutatingAdmissionPolicy MutatingAdmissionPolicyBinding MutatingWebhookConfiguration "
            "ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration"
        ),
        "apiextensions.k8s.io": "CustomResourceDefinition",
        "apiregistration.k8s.io": "APIService",
        "authentication.k8s.io": "SelfSubjectReview TokenReview",
        "authorization.k8s.io": "SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview",
        "certificates.k8s.io": "CertificateSigningRequest ClusterTrustBundle",
        "flowcontrol.apiserver.k8s.io": "FlowSchema PriorityLevelConfiguration",
        "imagepolicy.k8s.io": "ImageReview",
        "internal.apiserver.k8s.io": "StorageVersion",
        "networking.k8s.io": "IPAddress IngressClass ServiceCIDR",
        "node.k8s.io": "RuntimeClass",
        "rbac.authorization.k8s.io": "ClusterRole ClusterRoleBinding",
        "resource.k8s.io": "DeviceClass DeviceTaintRule ResourcePoolStatusRequest ResourceSlice",
        "scheduling.k8s.io": "PriorityClass",
        "storage.k8s.io": "CSIDriver CSINode StorageClass VolumeAttachment VolumeAttributesClass",
        "storagemigration.k8s.io": "StorageVersionMigration",
    }.items()
    for kind in kinds.split()
)
NAMESPACED: Final = frozenset(
    f"k8s.{group}.{kind}"
    for group, kinds in {
        CORE: (
            "Binding ConfigMap Endpoints Event LimitRange PersistentVolumeClaim Pod PodTemplate "
            "ReplicationController ResourceQuota Secret Service ServiceAccount"
        ),
        "apps": "ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet",
        "authorization.k8s.io": "LocalSubjectAccessReview",
        "autoscaling": "HorizontalPodAutoscaler",
        "batch": "CronJob Job",
        "certificates.k8s.io": "PodCertificateRequest",
        "coordination.k8s.io": "Lease LeaseCandidate",
        "discovery.k8s.io": "EndpointSlice",
        "events.k8s.io": "Event",
        "networking.k8s.io": "Ingress NetworkPolicy",
        "policy": "PodDisruptionBudget",
        "rbac.authorization.k8s.io": "Role RoleBinding",
        "resource.k8s.io": "ResourceClaim ResourceClaimTemplate",
        "scheduling.k8s.io": "PodGroup Workload",
        "storage.k8s.io": "CSIStorageCapacity",
    }.items()
    for kind in kinds.split()
)
BUILT_IN_KINDS: Final = CLUSTER_SCOPED | NAMESPACED

_API_VERSION = re.compile(r"(?:([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)/)?(v[a-z0-9]{1,61})")
_KIND = re.compile(r"[A-Z][A-Za-z0-9]{0,62}")
_FULL = re.compile(r"k8s\.([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)\.([A-Z][A-Za-z0-9]{0,62})")


def kind_of(api_version: str, kind: str) -> str:
    """Return `k8s.apps.Deployment` for ("apps/v1", "Deployment"), `k8s.core.Pod` for ("v1", "Pod").

    Raises ValueError if either is not of Kubernetes' form.
    """
    found = _API_VERSION.fullmatch(api_version)
    if found is None:
        raise ValueError("apiVersion is not of the form v1 or group/v1")
    if _KIND.fullmatch(kind) is None:
        raise ValueError("kind is not a word like Deployment")
    return f"{PREFIX}{found[1] or CORE}.{kind}"


def split(kind: str) -> tuple[str, str]:
    """Return the API group, "" for core, and the Kind of a name like `k8s.networking.k8s.io.NetworkPolicy`.

    Raises ValueError if it is none.
    """
    found = _FULL.fullmatch(kind)
    if found is None:
        raise ValueError("not a kind of the form k8s.<group or core>.<Kind>")
    return ("" if found[1] == CORE else found[1]), found[2]


def is_namespaced(kind: str) -> bool | None:
    """Whether objects of `kind` live in a namespace; None for kinds that Kubernetes itself does not define."""
    group, _ = split(kind)
    return kind not in CLUSTER_SCOPED if group in BUILT_IN_GROUPS else None
