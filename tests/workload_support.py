"""Workloads for tests of policies: right by default, in every kind that makes pods, as the API server keeps them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

from guardian.model import Resource, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

IMAGE: Final = f"registry.example.com/erp/odoo:17.0@sha256:{'0123456789abcdef' * 4}"
# Where each kind keeps the template of its pods.
TEMPLATES: Final[Mapping[str, Sequence[str]]] = {
    "k8s.core.Pod": (),
    "k8s.core.ReplicationController": ("spec", "template"),
    "k8s.apps.Deployment": ("spec", "template"),
    "k8s.apps.StatefulSet": ("spec", "template"),
    "k8s.apps.DaemonSet": ("spec", "template"),
    "k8s.apps.ReplicaSet": ("spec", "template"),
    "k8s.batch.Job": ("spec", "template"),
    "k8s.batch.CronJob": ("spec", "jobTemplate", "spec", "template"),
}


def container(name: str = "odoo", **changes: Any) -> dict[str, Any]:
    """Return a container that every control of workloads passes."""
    return {
        "name": name,
        "image": IMAGE,
        "ports": [{"containerPort": 8069}],
        "resources": {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "livenessProbe": {"httpGet": {"path": "/web/health", "port": 8069}},
        **changes,
    }


def template(**changes: Any) -> dict[str, Any]:
    """Return a pod's metadata and spec: an init container, a sidecar, the application, two volumes."""
    return {
        "metadata": {"labels": {"app": "odoo"}, "annotations": {"checksum/config": "f00"}},
        "spec": {
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 101,
                "seccompProfile": {"type": "RuntimeDefault"},
                "sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}],
            },
            "initContainers": [container("migrate"), container("logs", restartPolicy="Always")],
            "containers": [container()],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "odoo"}}, {"name": "tmp"}],
            **changes,
        },
    }


def workload(kind: str, pod: Mapping[str, Any], *, name: str = "odoo", namespace: str = "erp", **spec: Any) -> Resource:
    """Return a workload of `kind` that runs `pod`. spec: the rest of its own spec."""
    group, plain = kind.removeprefix("k8s.").rsplit(".", 1)
    metadata = {**pod.get("metadata", {}), "name": name, "namespace": namespace}
    attributes: dict[str, Any] = {"apiVersion": "v1" if group == "core" else f"{group}/v1"}
    if kind == "k8s.core.Pod":
        attributes |= {**copy.deepcopy(dict(pod)), "metadata": metadata}
    else:
        inner: dict[str, Any] = copy.deepcopy(dict(pod))
        for key in reversed(TEMPLATES[kind]):
            inner = {key: inner}
        attributes |= {"metadata": {"name": name, "namespace": namespace}, **inner}
        attributes["spec"] |= copy.deepcopy(spec)
    identity = f"k8s:prod-eu/{group}/{plain}/{namespace}/{name}"
    scope = {"cluster": "prod-eu", "namespace": namespace, "labels": attributes["metadata"].get("labels", {})}
    source = {"collector": "kubernetes", "name": "prod-eu"}
    return Resource(kind, identity, "erp-plant1", Tier.CRITICAL, None, scope, source, attributes)


def every_kind(pod: Mapping[str, Any]) -> list[Resource]:
    """Return a workload of each kind that runs `pod`."""
    return [workload(kind, pod) for kind in TEMPLATES]


def defaulted(pod: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Pod as the API server keeps it: what it fills in on creation. Source: pkg/apis/core/v1/defaults.go."""
    live = copy.deepcopy(dict(pod))
    spec = live["spec"]
    defaults = {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler"}
    spec |= {**defaults, "terminationGracePeriodSeconds": 30, "enableServiceLinks": True, **spec}
    spec["securityContext"] = spec.get("securityContext") or {}
    for volume in spec.get("volumes") or ():
        if set(volume) == {"name"}:
            volume["emptyDir"] = {}
    for group in ("initContainers", "containers"):
        for entry in spec.get(group) or ():
            _default_container(live, entry)
    _default_pod_requests(spec)
    return live


def _default_pod_requests(spec: Mapping[str, Any]) -> None:
    """Fill in the requests of a pod with limits of its own. Their amount, in truth a sum, does not matter here."""
    own = spec.get("resources") or {}
    if not own.get("limits"):
        return
    entries = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    asked = [entry["resources"].get("requests") or {} for entry in entries]
    own["requests"] = {
        **{key: value for key, value in own["limits"].items() if key in {"cpu", "memory"}},
        **{key: value for requests in asked for key, value in requests.items() if key in {"cpu", "memory"}},
        **(own.get("requests") or {}),
    }


def _default_container(pod: Mapping[str, Any], entry: dict[str, Any]) -> None:
    entry |= {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", **entry}
    entry["imagePullPolicy"] = entry.get("imagePullPolicy", "IfNotPresent")
    entry["resources"] = entry.get("resources") or {}
    limits = entry["resources"].get("limits")
    if limits:
        entry["resources"]["requests"] = {**limits, **(entry["resources"].get("requests") or {})}
    for port in entry.get("ports") or ():
        port["protocol"] = port.get("protocol", "TCP")
        if pod["spec"].get("hostNetwork"):
            port["hostPort"] = port.get("hostPort") or port["containerPort"]
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if entry.get(probe):
            entry[probe] |= {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, **entry[probe]}
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    profile = annotations.get(f"container.apparmor.security.beta.kubernetes.io/{entry['name']}")
    if profile == "unconfined":
        entry["securityContext"] = {"appArmorProfile": {"type": "Unconfined"}, **(entry.get("securityContext") or {})}
    elif profile == "runtime/default":
        field = {"appArmorProfile": {"type": "RuntimeDefault"}}
        entry["securityContext"] = {**field, **(entry.get("securityContext") or {})}
    if entry.get("securityContext") is not None:
        entry["securityContext"] |= {"procMount": "Default", **entry["securityContext"]}
