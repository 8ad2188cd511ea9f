"""The Pods that serve the webhook in a cluster: two, on different nodes, each with no more than it needs. Pure: no I/O.

Invariant: they keep to the restricted Pod Security Standard, hold no token of the API server, and write nothing but
their spool, the shared objects and /tmp.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guardian.usecases.webhook_layout import FOLDER

if TYPE_CHECKING:
    from guardian.settings import WebhookSettings
    from guardian.usecases.webhook_layout import Layout

LABELS: Final = {"app.kubernetes.io/name": "guardian", "app.kubernetes.io/component": "webhook"}
_USER: Final = 65532


def deployment(
    webhook: WebhookSettings, plan: Layout, *, image: str, account: str, objects_claim: str, configuration: str
) -> dict[str, Any]:
    """Return the spec of the Deployment.

    plan: what is mounted where. account: name of the ServiceAccount. objects_claim: name of the claim of the objects.
    configuration: a digest of what the Pods read once, so that another configuration replaces them.
    Raises UsageError if the files of guardian.yaml cannot be mounted as they lie.
    """
    return {
        "replicas": 2,
        "selector": {"matchLabels": dict(LABELS)},
        # never fewer than two: the new one is ready before an old one goes
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "progressDeadlineSeconds": 300,
        "template": {
            "metadata": {"labels": dict(LABELS), "annotations": {"admission.guardian/configuration": configuration}},
            "spec": _pod(webhook, plan, image, account, objects_claim),
        },
    }


def _pod(webhook: WebhookSettings, plan: Layout, image: str, account: str, objects_claim: str) -> dict[str, Any]:
    spread = {
        "maxSkew": 1,
        "labelSelector": {"matchLabels": dict(LABELS)},
        "nodeTaintsPolicy": "Honor",  # a lost node must not count as a place that waits for its replica
    }
    volumes, mounts = plan.volumes(objects_claim=objects_claim)
    return {
        "serviceAccountName": account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 60,
        "topologySpreadConstraints": [
            {**spread, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"},
            {**spread, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"},
        ],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,  # so that the user can read the mounted keys, which others cannot
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "webhook",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["guardian"],
                "args": ["webhook", "--config", f"{FOLDER}/guardian.yaml"],
                "env": [
                    {"name": "HOME", "value": "/tmp"},  # noqa: S108 -- the Pod's own volume
                    *plan.environment(),
                ],
                "ports": [{"name": "https", "containerPort": webhook.port, "protocol": "TCP"}],
                "resources": _resources(webhook),
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "privileged": False,
                    "readOnlyRootFilesystem": True,
                    "runAsNonRoot": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                **_probes(webhook),
                # the Service stops sending requests some seconds after it is told to, not at once
                "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
                "volumeMounts": mounts,
            }
        ],
        "volumes": volumes,
    }


def _resources(webhook: WebhookSettings) -> dict[str, Any]:
    """Return what a replica asks for; 256 MiB a worker, as measured, and the process that supervises and signs."""
    memory = f"{256 * webhook.workers + 256}Mi"
    return {
        "requests": {"cpu": f"{100 * webhook.workers + 50}m", "memory": memory, "ephemeral-storage": "256Mi"},
        "limits": {"cpu": str(webhook.workers + 1), "memory": memory, "ephemeral-storage": "2Gi"},
    }


def _probes(webhook: WebhookSettings) -> dict[str, Any]:
    """Return the probes. With a client CA the kubelet, which has no certificate, only sees whether the port is open."""

    def ask(path: str) -> dict[str, Any]:
        if webhook.client_ca is not None:
            return {"tcpSocket": {"port": "https"}}
        return {"httpGet": {"path": path, "port": "https", "scheme": "HTTPS"}}

    return {
        "startupProbe": {**ask("/readyz"), "periodSeconds": 1, "failureThreshold": 120, "timeoutSeconds": 2},
        "readinessProbe": {**ask("/readyz"), "periodSeconds": 2, "failureThreshold": 2, "timeoutSeconds": 2},
        "livenessProbe": {**ask("/healthz"), "periodSeconds": 10, "failureThreshold": 4, "timeoutSeconds": 5},
    }
