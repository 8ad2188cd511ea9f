"""Sample resources by kind, and resources generated from them: what the engines are compared on.

A new control needs nothing here if samples of its kinds are there; a new kind needs a row in SAMPLES: something right,
and where that is easy something wrong, so that both ways through a policy are walked. Everything drawn is drawn from a
seed, so that a failure comes back.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from guardian.model import Resource, Tier
from tests import aws_samples
from tests import policy_support as make

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from guardian.policy.metadata import Control

IMAGE: Final = f"registry.example.com/erp/odoo:17.0@sha256:{'0123456789abcdef' * 4}"


def kubernetes(kind: str, name: str, namespace: str | None = "erp", /, **body: Any) -> Resource:
    """Return a Kubernetes object of `kind` as collected; namespace: None for what is of the whole cluster."""
    group, plain = kind.removeprefix("k8s.").rsplit(".", 1)
    metadata = {"name": name, **({"namespace": namespace} if namespace else {}), **body.pop("metadata", {})}
    attributes = {"apiVersion": "v1" if group == "core" else f"{group}/v1", "metadata": metadata, **body}
    place = f"{namespace}/{name}" if namespace else name
    scope = {"cluster": "prod-eu", "labels": metadata.get("labels", {})}
    scope |= {"namespace": namespace or name} if namespace or plain == "Namespace" else {}
    source = {"collector": "kubernetes", "name": "prod-eu"}
    identity = f"k8s:prod-eu/{group}/{plain}/{place}"
    return Resource(kind, identity, "erp-plant1", Tier.CRITICAL, None, scope, source, attributes)


def container(name: str = "odoo", **changes: Any) -> dict[str, Any]:
    """Return a container with everything asked of one."""
    return {
        "name": name,
        "image": IMAGE,
        "ports": [{"containerPort": 8069}],
        "resources": {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "runAsNonRoot": True,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "livenessProbe": {"httpGet": {"path": "/web/health", "port": 8069}},
        "readinessProbe": {"httpGet": {"path": "/web/ready", "port": 8069}},
        **changes,
    }


SPREAD: Final[Mapping[str, Any]] = {
    "maxSkew": 1,
    "topologyKey": "kubernetes.io/hostname",
    "whenUnsatisfiable": "DoNotSchedule",
    "labelSelector": {"matchLabels": {"app": "odoo"}},
}
GOOD_POD: Final[Mapping[str, Any]] = {
    "topologySpreadConstraints": [SPREAD],
    "securityContext": {"runAsNonRoot": True, "runAsUser": 101, "seccompProfile": {"type": "RuntimeDefault"}},
    "initContainers": [container("migrate")],
    "containers": [container(), container("sidecar")],
    "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "odoo"}}, {"name": "tmp", "emptyDir": {}}],
}
BAD_POD: Final[Mapping[str, Any]] = {
    "hostNetwork": True,
    "hostPID": True,
    "securityContext": {"runAsUser": 0, "sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]},
    "containers": [
        {
            "name": "odoo",
            "image": "odoo:latest",
            "ports": [{"containerPort": 8069, "hostPort": 8069}],
            "securityContext": {"privileged": True, "capabilities": {"add": ["SYS_ADMIN"]}, "procMount": "Unmasked"},
            "resources": {"limits": {"memory": "64Gi"}},
        }
    ],
    "volumes": [{"name": "host", "hostPath": {"path": "/"}}],
}
DATABASE_POD: Final[Mapping[str, Any]] = {**GOOD_POD, "containers": [container(ports=[{"containerPort": 5432}])]}
LABELS: Final = {"app": "odoo"}


def _runs(kind: str, *path: str, **spec: Any) -> list[Resource]:
    """Return a right and a wrong workload of `kind`, whose pods' spec and metadata are below `path` of its spec."""
    found = []
    for name, pod in (("odoo", GOOD_POD), ("shop", BAD_POD)):
        inner: dict[str, Any] = {"metadata": {"labels": {"app": name}}, "spec": copy.deepcopy(dict(pod))}
        for key in reversed(path):
            inner = {key: inner}
        found.append(kubernetes(kind, name, spec={**copy.deepcopy(spec), **inner}, metadata={"labels": {"app": name}}))
    return found


def _role(kind: str, namespace: str | None) -> list[Resource]:
    rules = {
        "reader": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}],
        "owner": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}],
        "thief": [{"apiGroups": [""], "resources": ["secrets", "pods/exec"], "verbs": ["get", "create"]}],
        "edge": [
            {"nonResourceURLs": ["*"], "verbs": ["get"]},
            {"apiGroups": ["rbac"], "resources": ["x"], "verbs": []},
        ],
        "hooks": [
            {
                "apiGroups": ["admissionregistration.k8s.io"],
                "resources": ["validatingwebhookconfigurations"],
                "verbs": ["get", "delete"],
            },
            {"nonResourceURLs": ["/a*", "/api/*"], "verbs": ["get"]},
        ],
    }
    selectors = [{"matchLabels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}, {"matchLabels": {"a": "b"}}]
    sum_of = kubernetes(kind, "sum", namespace, rules=None, aggregationRule={"clusterRoleSelectors": selectors})
    return [*(kubernetes(kind, name, namespace, rules=found) for name, found in rules.items()), sum_of]


def _binding(kind: str, namespace: str | None) -> list[Resource]:
    subjects: dict[str, list[dict[str, Any]]] = {
        "nobody": [],
        "admins": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:masters"}],
        "odoo": [{"kind": "ServiceAccount", "namespace": "erp", "name": "odoo"}],
        "anna": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "anna"}],
    }
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    manager = "system:kube-controller-manager"
    shipped = {**reference, "name": manager}
    return [
        *(kubernetes(kind, name, namespace, subjects=who, roleRef=dict(reference)) for name, who in subjects.items()),
        kubernetes(kind, "manager", namespace, subjects=[{"kind": "User", "name": manager}], roleRef=shipped),
    ]


def _policies() -> list[Resource]:
    kind = "k8s.networking.k8s.io.NetworkPolicy"
    peer = {"podSelector": {"matchLabels": LABELS}}
    return [
        kubernetes(kind, "deny", spec={"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}),
        kubernetes(
            kind,
            "database",
            spec={
                "podSelector": {"matchLabels": {"app": "postgres"}},
                "ingress": [{"from": [peer], "ports": [{"port": 5432, "protocol": "TCP"}]}],
                "policyTypes": ["Ingress"],
            },
        ),
        kubernetes(kind, "open", spec={"podSelector": {}, "ingress": [{}], "egress": [{}]}),
        kubernetes(
            kind,
            "wide",
            spec={
                "podSelector": {},
                "ingress": [{"from": [{"namespaceSelector": {}, "podSelector": {}}]}],
                "egress": [
                    {
                        "to": [{"ipBlock": {"cidr": "0.0.0.0/2", "except": ["10.0.0.0/8"]}}],
                        "ports": [{"port": 1, "endPort": 32767}, {"port": 32768, "endPort": 65535}],
                    }
                ],
            },
        ),
    ]


RBAC: Final = "k8s.rbac.authorization.k8s.io"
SAMPLES: Final[Mapping[str, Sequence[Resource]]] = {
    "guardian.Service": [make.service(), make.service("shop", owner="", tier="low")],
    "guardian.Asset": [
        make.asset(),
        make.asset("crm", rpoSeconds=None, backups=[], type="postgres"),
        make.asset("slow", schedules=[]),
    ],
    "guardian.Drill": [
        make.drill(),
        make.drill("r2", ageSeconds=900000, verdict="fail", assurance="restored", failedChecks=["filestore.content"]),
        make.drill("r4", of="slow", restoreSeconds=90000, estimatedRtoSeconds=91200, rpoSeconds=90000),
        make.drill("r3", of="crm", verdict="error", restoreSeconds=None, estimatedRtoSeconds=None, erredChecks=["x"]),
    ],
    "guardian.Slot": [
        make.slot(),
        make.slot("2026-11-23T10:30:00Z"),
        make.slot("2026-11-23T10:45:00Z", of="slow", state="absent", recordId=None, logIndex=None),
    ],
    "backup.Backup": [make.backup(), make.backup("old", ageSeconds=900000), make.backup("half", complete=False)],
    "postgres.Server": [
        make.server(overrides=[{"role": "x", "database": None, "settings": {"synchronous_commit": "on"}}]),
        make.server("other", settings={"fsync": "off", "full_page_writes": "on", "synchronous_commit": "off"}),
        make.server("open", settings={"listen_addresses": "*", "ssl": "on"}),
    ],
    "postgres.Role": [
        make.role("anna", canBecome=["staff"]),
        make.role("staff", canLogin=False, superuser=True),
        make.role("postgres", superuser=True),
        make.role("batch", createRole=True, replication=True),
    ],
    "postgres.Database": [
        make.resource("postgres.Database", "pg:erp-db/database/erp", {"name": "erp", "owner": "odoo"})
    ],
    "postgres.HbaRule": [
        make.hba_rule(server="open"),
        make.hba_rule(2, server="open", type="host", method="md5"),
        make.hba_rule(3, server="open", type="host", address="127.0.0.1", netmask="255.255.255.255", method="trust"),
    ],
    "postgres.Replica": [make.resource("postgres.Replica", "pg:erp-db/replica/r1", {"state": "streaming"})],
    "k8s.core.Pod": [
        kubernetes("k8s.core.Pod", "odoo", spec=dict(GOOD_POD), metadata={"labels": LABELS}),
        kubernetes("k8s.core.Pod", "shop", spec=dict(BAD_POD)),
        kubernetes("k8s.core.Pod", "db", spec=dict(DATABASE_POD), metadata={"labels": {"app": "postgres"}}),
    ],
    "k8s.core.ReplicationController": _runs("k8s.core.ReplicationController", "template", replicas=2),
    "k8s.apps.Deployment": _runs("k8s.apps.Deployment", "template", replicas=2, selector={"matchLabels": LABELS}),
    "k8s.apps.StatefulSet": _runs("k8s.apps.StatefulSet", "template", replicas=1, serviceName="odoo"),
    "k8s.apps.DaemonSet": _runs("k8s.apps.DaemonSet", "template"),
    "k8s.apps.ReplicaSet": _runs("k8s.apps.ReplicaSet", "template", replicas=1),
    "k8s.batch.Job": _runs("k8s.batch.Job", "template", backoffLimit=2),
    "k8s.batch.CronJob": _runs("k8s.batch.CronJob", "jobTemplate", "spec", "template", schedule="0 3 * * *"),
    "k8s.core.Namespace": [
        kubernetes(
            "k8s.core.Namespace", "erp", None, metadata={"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
        ),
        kubernetes("k8s.core.Namespace", "shop", None),
    ],
    "k8s.core.Node": [
        kubernetes("k8s.core.Node", name, None, metadata={"labels": {"topology.kubernetes.io/zone": zone}}, spec={})
        for name, zone in (("n1", "a"), ("n2", "b"))
    ],
    "k8s.core.Service": [
        kubernetes("k8s.core.Service", "odoo", spec={"selector": LABELS, "ports": [{"port": 80, "targetPort": 8069}]}),
        kubernetes(
            "k8s.core.Service",
            "db",
            spec={
                "type": "LoadBalancer",
                "selector": {"app": "postgres"},
                "ports": [{"port": 5432, "protocol": "TCP"}],
            },
        ),
    ],
    "k8s.policy.PodDisruptionBudget": [
        kubernetes(
            "k8s.policy.PodDisruptionBudget", "odoo", spec={"minAvailable": 1, "selector": {"matchLabels": LABELS}}
        ),
        kubernetes("k8s.policy.PodDisruptionBudget", "shop", spec={"maxUnavailable": "100%", "selector": {}}),
    ],
    "k8s.networking.k8s.io.NetworkPolicy": _policies(),
    f"{RBAC}.ClusterRole": _role(f"{RBAC}.ClusterRole", None),
    f"{RBAC}.Role": _role(f"{RBAC}.Role", "erp"),
    f"{RBAC}.ClusterRoleBinding": _binding(f"{RBAC}.ClusterRoleBinding", None),
    f"{RBAC}.RoleBinding": _binding(f"{RBAC}.RoleBinding", "erp"),
    **aws_samples.SAMPLES,
}
DELETE: Final = object()
JUNK: Final[Sequence[Any]] = (
    *(None, True, False, 0, -1, 3.5, 2**53, "", "on", "off", "erp", "x", "5432", "64Gi", "*"),
    *([], ["x"], [None], [{}], {}, {"x": 1}, {"$redacted": "ab", "class": "unknown"}),
)


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value inside `value`."""
    found: list[tuple[Any, ...]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += [(*at, key), *paths(inner, (*at, key))]
    return found


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return a copy of `value` with what is at `path` replaced, or gone for DELETE."""
    result = copy.deepcopy(value)
    parent = result
    for key in path[:-1]:
        parent = parent[key]
    if new is DELETE:
        del parent[path[-1]]
    else:
        parent[path[-1]] = copy.deepcopy(new)
    return result


def at(value: Any, path: tuple[Any, ...]) -> Any:
    """Return what is at `path`."""
    for key in path:
        value = value[key]
    return value


def likely(draw: random.Random, attributes: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return the attributes with up to three changes such as people make: of the same type, or a part left out."""
    result = copy.deepcopy(dict(attributes))
    for _ in range(draw.randint(0, 3)):
        places = paths(result)
        if not places:
            break
        path = draw.choice(places)
        found = at(result, path)
        new: Any = found
        if draw.random() < 0.25:
            new = DELETE
        elif isinstance(found, bool):
            new = not found
        elif isinstance(found, int | float):
            new = draw.choice([0, 1, found - 1, found + 1, found * 10])
        elif isinstance(found, str):
            new = draw.choice(_texts(kind, path[-1]))
        elif isinstance(found, list):
            new = draw.choice([[], [*found, *found[:1]], found[1:]])
        elif isinstance(found, dict) and found:
            new = {key: inner for key, inner in found.items() if key != draw.choice(sorted(found))}
        result = changed(result, path, new)
    return result


def _texts(kind: str, key: Any) -> list[str]:
    """Return the texts that samples of `kind` have under `key`, and one that none has."""
    found = {
        value
        for sample in SAMPLES[kind]
        for path in paths(sample.attributes)
        if path[-1] == key and isinstance(value := at(sample.attributes, path), str)
    }
    return [*sorted(found), "other"]


def garbled(draw: random.Random, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes with one to three facts deleted, or replaced by something that no source yields."""
    result = dict(attributes)
    for _ in range(draw.randint(1, 3)):
        places = paths(result)
        if places:
            result = changed(result, draw.choice(places), draw.choice([DELETE, DELETE, *JUNK]))
    return result


def generated(draw: random.Random, kind: str, *, garble: bool = False) -> Resource:
    """Return a resource of `kind` made from one of its samples."""
    sample = draw.choice(SAMPLES[kind])
    attributes = garbled(draw, sample.attributes) if garble else likely(draw, sample.attributes, kind)
    return replace(sample, attributes=attributes, tier=draw.choice([*Tier, None]))


def estate(draw: random.Random, control: Control, *, garble: bool = False) -> list[Resource]:
    """Return resources of all kinds that a snapshot-scoped control reads, each with an id of its own."""
    found: dict[str, Resource] = {}
    for kind in control.inputs:
        for _ in range(draw.randint(1, 4)):
            resource = generated(draw, kind, garble=garble and draw.random() < 0.5)
            found.setdefault(resource.id, resource)
    return list(found.values())
