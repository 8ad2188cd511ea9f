"""Realistic pods of an Odoo estate, 2 to 13 KB as an API server sends them, each one another. Pure."""

from __future__ import annotations

import hashlib
import random
from typing import Any


def pods(count: int, *, seed: int = 1) -> list[dict[str, Any]]:
    """Return `count` pods that comply, no two alike, of the sizes that estates have."""
    choose = random.Random(seed)
    return [_pod(number, choose) for number in range(count)]


def _pod(number: int, choose: random.Random) -> dict[str, Any]:
    containers = choose.choice([1, 1, 1, 2, 2, 3])
    variables = choose.choice([0, 3, 8, 15, 40])
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"odoo-{number}",
            "namespace": "erp",
            "labels": {"app": "odoo", "app.kubernetes.io/name": "odoo", "pod-template-hash": f"{number:010x}"},
            "annotations": {"checksum/config": hashlib.sha256(str(number).encode()).hexdigest()},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "odoo-5d8f7c9b4", "uid": "d9607e19-f88f-11e6"}
            ],
        },
        "spec": {
            "containers": [_container(number, at, variables) for at in range(containers)],
            "initContainers": [_container(number, 9, 2)],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "odoo",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 101,
                "fsGroup": 101,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "schedulerName": "default-scheduler",
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
            "enableServiceLinks": True,
            "preemptionPolicy": "PreemptLowerPriority",
            "volumes": [
                {"name": "data", "persistentVolumeClaim": {"claimName": "odoo-data"}},
                {"name": "conf", "configMap": {"name": "odoo-conf", "defaultMode": 420}},
                {"name": "tmp", "emptyDir": {}},
            ],
        },
    }


def _container(number: int, at: int, variables: int) -> dict[str, Any]:
    probe = {
        "httpGet": {"path": "/web/health", "port": 8069, "scheme": "HTTP"},
        "periodSeconds": 10,
        "timeoutSeconds": 1,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    digest = hashlib.sha256(f"{number}/{at}".encode()).hexdigest()
    return {
        "name": f"c{at}",
        "image": f"registry.example.com/erp/odoo@sha256:{digest}",
        "imagePullPolicy": "IfNotPresent",
        "args": ["--workers=4", "--limit-memory-hard=2684354560", "--db-filter=^erp$"],
        "env": [
            *({"name": f"ODOO_SETTING_{v}", "value": f"value-{number}-{v}"} for v in range(variables)),
            {"name": "PGPASSWORD", "valueFrom": {"secretKeyRef": {"name": "odoo", "key": "password"}}},
        ],
        "ports": [{"name": "http", "containerPort": 8069, "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "2Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        **({} if at == 9 else {"livenessProbe": probe, "readinessProbe": probe}),
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "volumeMounts": [
            {"name": "data", "mountPath": "/var/lib/odoo"},
            {"name": "conf", "mountPath": "/etc/odoo", "readOnly": True},
        ],
    }
