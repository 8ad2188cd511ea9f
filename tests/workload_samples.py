"""What the controls of workloads are compared on: drawn resources, right ones, and what a pass rests on."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from guardian.model import Resource, Tier
from tests.workload_support import IMAGE, TEMPLATES, container, template, workload

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

APP = {"app": "odoo"}
SPREAD = {
    "maxSkew": 1,
    "topologyKey": "kubernetes.io/hostname",
    "whenUnsatisfiable": "DoNotSchedule",
    "labelSelector": {"matchLabels": APP},
}


def deployment(name: str = "odoo", **spec: Any) -> Resource:
    """Return a Deployment of two replicas that the scheduler must keep apart."""
    pod = template(topologySpreadConstraints=[SPREAD])
    pod["metadata"] = {"labels": {"app": name}}
    given = {"replicas": 2, "selector": {"matchLabels": {"app": name}}, **spec}
    return workload("k8s.apps.Deployment", pod, name=name, **given)


def budget(**spec: Any) -> Resource:
    """Return a PodDisruptionBudget that lets one pod of the Deployment go."""
    attributes = {
        "apiVersion": "policy/v1",
        "metadata": {"name": "odoo", "namespace": "erp"},
        "spec": {"selector": {"matchLabels": APP}, **(spec or {"maxUnavailable": 1})},
    }
    return _observed("k8s.policy.PodDisruptionBudget", "policy/PodDisruptionBudget/erp/odoo", "erp", attributes)


def running(name: str, node: str, phase: str = "Running") -> Resource:
    """Return a Pod of the Deployment on a node."""
    attributes = {
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": "erp", "labels": APP},
        "spec": {"nodeName": node, "containers": []},
        "status": {"phase": phase},
    }
    return _observed("k8s.core.Pod", f"core/Pod/erp/{name}", "erp", attributes)


def node(name: str, zone: str | None) -> Resource:
    """Return a Node in a zone."""
    labels = {"kubernetes.io/hostname": name} | ({} if zone is None else {"topology.kubernetes.io/zone": zone})
    return _observed("k8s.core.Node", f"core/Node/{name}", None, {"metadata": {"name": name, "labels": labels}})


def _observed(kind: str, place: str, namespace: str | None, attributes: Mapping[str, Any]) -> Resource:
    scope: dict[str, Any] = {"cluster": "prod-eu", "labels": attributes["metadata"].get("labels", {})}
    if namespace is not None:
        scope["namespace"] = namespace
    source = {"collector": "kubernetes", "name": "prod-eu"}
    return Resource(kind, f"k8s:prod-eu/{place}", "erp-plant1", Tier.CRITICAL, None, scope, source, attributes)


# Places of a pod's template and what may stand there, right and wrong.
CHANGES: Sequence[tuple[Sequence[Any], Sequence[Any]]] = [
    (("metadata", "annotations"), [None, {"container.apparmor.security.beta.kubernetes.io/odoo": "unconfined"}, {}]),
    (("spec", "hostNetwork"), [True, False, None]),
    (("spec", "hostPID"), [True, False]),
    (("spec", "hostUsers"), [True, False]),
    (("spec", "os"), [{"name": "windows"}, {"name": "linux"}, None]),
    (("spec", "securityContext"), [None, {}]),
    (("spec", "securityContext", "runAsNonRoot"), [True, False, None]),
    (("spec", "securityContext", "runAsUser"), [0, 101]),
    (("spec", "securityContext", "seccompProfile"), [None, {"type": "Unconfined"}, {"type": "Localhost"}]),
    (("spec", "securityContext", "sysctls"), [None, [{"name": "kernel.msgmax", "value": "1"}]]),
    (("spec", "volumes"), [None, [{"name": "host", "hostPath": {"path": "/"}}], [{"name": "nfs", "nfs": {}}]]),
    (("spec", "volumes"), [[{"name": "i", "image": {"reference": ref}}] for ref in ("addons:1", IMAGE)]),
    (("spec", "resources"), [None, {"limits": {"cpu": "2", "memory": "4Gi"}}, {"limits": {"memory": "1Ti"}}]),
    (("spec", "initContainers"), [None, []]),
    (("spec", "ephemeralContainers"), [[{"name": "debug", "image": "busybox"}]]),
    (("spec", "containers", 0, "image"), ["odoo:17", "odoo", f"odoo@sha512:{'ab' * 64}", IMAGE.upper(), ""]),
    (("spec", "containers", 0, "ports"), [None, [{"containerPort": 80, "hostPort": 80}], [{"containerPort": 80}]]),
    (("spec", "containers", 0, "livenessProbe"), [{"httpGet": {"host": "elsewhere", "port": 80}}, None]),
    (("spec", "containers", 0, "securityContext"), [None, {}, {"privileged": True}]),
    (("spec", "containers", 0, "securityContext", "procMount"), ["Default", "Unmasked"]),
    (("spec", "containers", 0, "securityContext", "capabilities"), [{"add": ["SYS_ADMIN"]}, {"drop": ["ALL"]}]),
    (("spec", "containers", 0, "securityContext", "seLinuxOptions"), [{"type": "spc_t"}, {"level": "s0"}]),
    (("spec", "containers", 0, "resources"), [None, {}, {"limits": {"cpu": "1", "memory": "1Gi"}}]),
    (("spec", "containers", 0, "resources", "limits", "memory"), ["0", "65Gi", "64Gi", "1e9", "lots", 512, 0.5]),
    (("spec", "containers", 0, "resources", "limits", "cpu"), ["16", "16001m", "17", "-1"]),
    (("spec", "containers", 0, "resources", "requests", "cpu"), ["0", "1.5", None, "100u"]),
]


def changed(pod: dict[str, Any], path: Sequence[Any], value: Any) -> dict[str, Any]:
    """Return a copy of `pod` with `value` at `path`; as it is where the path has gone."""
    result = copy.deepcopy(pod)
    parent: Any = result
    for key in path[:-1]:
        parent = parent[key] if isinstance(parent, list) else (parent or {}).get(key)
    if isinstance(parent, dict):
        parent[path[-1]] = value
    return result


@st.composite
def pods(draw: st.DrawFn) -> list[Resource]:
    """A workload of any kind with none to three things changed."""
    pod = template()
    for _ in range(draw(st.integers(0, 3))):
        path, values = draw(st.sampled_from(CHANGES))
        pod = changed(pod, path, copy.deepcopy(draw(st.sampled_from(values))))
    return [workload(draw(st.sampled_from(sorted(TEMPLATES))), pod)]


@st.composite
def clusters(draw: st.DrawFn) -> list[Resource]:
    """Deployments with drawn replicas, budgets, pods and nodes."""
    found = [deployment(replicas=draw(st.sampled_from([0, 1, 2, 2, 3, None])))]
    if draw(st.booleans()):
        found.append(deployment("crm", replicas=draw(st.integers(1, 3))))
    if draw(st.booleans()):
        found.append(workload("k8s.apps.StatefulSet", template(), name="db", replicas=2))
    selectors = [{"matchLabels": APP}, {}, None, {"matchExpressions": [{"key": "app", "operator": "Exists"}]}]
    limits = [{"maxUnavailable": value} for value in (0, 1, 2, "50%", "51%", "x")]
    limits += [{"minAvailable": value} for value in (0, 1, 2, "50%", "1%")]
    chosen = draw(st.lists(st.sampled_from(limits), max_size=1))
    found += [budget(**spec, selector=draw(st.sampled_from(selectors))) for spec in chosen]
    places = draw(st.lists(st.sampled_from(["n1", "n2", "n3"]), max_size=3))
    phases = st.sampled_from(["Running", "Running", "Running", "Pending"])
    found += [running(f"odoo-{number}", place, draw(phases)) for number, place in enumerate(places)]
    zones: list[str | None] = draw(
        st.sampled_from([["a", "b", "a"], ["a", "a", "a"], [None, None, None], ["a", "b"], ["a"], []])
    )
    return found + [node(f"n{number}", zone) for number, zone in enumerate(zones, 1)]


WHAT: Mapping[str, st.SearchStrategy[list[Resource]]] = {
    "workload.image-digest": pods(),
    "workload.pod-security": pods(),
    "workload.resources": pods(),
    "workload.replicas": clusters(),
}
PARAMS: Mapping[str, Mapping[str, Any]] = {
    "workload.image-digest": {},
    "workload.pod-security": {"level": "restricted", "namespaces": {"kube-system": "privileged"}},
    "workload.resources": {"maxCpu": [16, 0], "maxMemory": [64 * 1024**3, 0]},
    "workload.replicas": {"minReplicas": 2},
}
# As little as a control needs for a pass, so that most of it is needed.
_SECURE = {
    "securityContext": {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
        "sysctls": [{"name": "net.ipv4.tcp_syncookies"}],
    },
    "containers": [
        {
            "name": "odoo",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            "ports": [{"containerPort": 8069}],
        }
    ],
    "volumes": [{"emptyDir": {}}],
}
_PINNED = {
    "initContainers": [{"name": "migrate", "image": IMAGE}],
    "containers": [{"name": "odoo", "image": IMAGE}],
    "volumes": [{"image": {"reference": IMAGE}}],
}
_SIZED = {"containers": [{"name": "odoo", "resources": container()["resources"]}]}
_BARE = {"metadata": {"labels": APP}}
GOOD: Mapping[str, list[Resource]] = {
    "workload.image-digest": [workload("k8s.core.Pod", {"spec": _PINNED})],
    "workload.pod-security": [workload("k8s.core.Pod", {"spec": _SECURE})],
    "workload.resources": [workload("k8s.core.Pod", {"spec": _SIZED})],
    "workload.replicas": [
        workload("k8s.apps.Deployment", _BARE, replicas=2, selector={"matchLabels": APP}),
        budget(),
        *[running(f"odoo-{number}", f"n{number}") for number in (1, 2)],
        *[node(f"n{number}", zone) for number, zone in ((1, "a"), (2, "b"))],
        workload("k8s.apps.StatefulSet", {}, name="db", replicas=1),
    ],
}
# What a pass does not rest on, and changes that leave a true pass: see test_policy_engines_agree.py.
INDIFFERENT: Mapping[str, set[Any]] = {
    "workload.image-digest": {"apiVersion", "metadata"},
    "workload.pod-security": {"apiVersion", "metadata"},
    "workload.resources": {"apiVersion", "metadata"},
    "workload.replicas": {"apiVersion", "namespace", "containers", "k8s.apps.StatefulSet", "kubernetes.io/hostname"},
}
_OPTIONAL: Mapping[str, Mapping[str, Sequence[Any]]] = {
    "workload.image-digest": {
        "deleted": ["initContainers", "volumes", "image", 0],
        "null": ["initContainers", "volumes", "image"],
        "another type": [0],
    },
    "workload.pod-security": {
        "deleted": ["sysctls", "ports", "containerPort", "volumes", "emptyDir", 0],
        "null": ["sysctls", "ports", "containerPort", "volumes", "emptyDir"],
        "another type": ["containerPort", "emptyDir", 0],
    },
    # A limit stands for a request.
    "workload.resources": {"deleted": ["memory"], "null": ["memory"]},
    # An empty selector selects everything, and a cluster whose nodes name no zone has none.
    "workload.replicas": {
        "deleted": ["name", "metadata", "matchLabels", "app", "labels", "topology.kubernetes.io/zone"],
        "null": ["name", "metadata", "matchLabels", "labels", "topology.kubernetes.io/zone"],
        "another type": ["name", "metadata", "selector", "labels", "topology.kubernetes.io/zone"],
    },
}
STILL_RIGHT = {
    (control, change, key) for control, changes in _OPTIONAL.items() for change, keys in changes.items() for key in keys
}
