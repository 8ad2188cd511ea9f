"""A large cluster is judged by both network controls within the default deadline and a fraction of the memory.

Memory stands for work here: WebAssembly frees nothing during an evaluation, so what is quadratic runs out of it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from guardian.policy import verdicts
from guardian.policy.wasm import WasmEngine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guardian.policy.bundle import Bundle

NAMESPACES = 500
LARGEST_BYTES = 192 * 1024 * 1024
PARAMS = {
    "network.database-reach": {"ports": ["5432", "6379"], "allowedNamespaces": [], "allowedBlocks": []},
    "network.default-deny": {"exempt": ["kube-system"]},
}


@pytest.fixture(scope="module")
def engine(policy_bundle: Bundle) -> Iterator[WasmEngine]:
    """The default engine, with less memory."""
    engine = WasmEngine(policy_bundle, memory_bytes=LARGEST_BYTES)
    yield engine
    engine.close()


def found(kind: str, namespace: str, name: str, **attributes: Any) -> dict[str, Any]:
    """Return one resource of the service that its namespace is named for."""
    metadata = {"name": name, "namespace": namespace, **attributes.pop("metadata", {})}
    return {
        "kind": kind,
        "id": f"k8s:prod/{kind}/{namespace}/{name}",
        "service": f"service-{namespace}",
        "scope": {"cluster": "prod", "namespace": namespace, "labels": {}},
        "attributes": {"metadata": metadata, **attributes},
    }


def pods(port: int) -> dict[str, Any]:
    """Return the spec of a pod as large as pods are."""
    environment = [{"name": f"SETTING_{i}", "value": "something"} for i in range(20)]
    return {"containers": [{"name": "main", "ports": [{"name": "main", "containerPort": port}], "env": environment}]}


def runs(kind: str, namespace: str, name: str, port: int) -> dict[str, Any]:
    """Return a workload whose pods have its name as label."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": pods(port)}
    return found(kind, namespace, name, spec={"selector": {"matchLabels": labels}, "template": template})


def of_namespace(name: str) -> Iterator[dict[str, Any]]:
    """Yield a namespace with a database, an application of three pods, two Services and two policies."""
    yield found("k8s.core.Namespace", name, name, metadata={"labels": {"team": name}})
    yield runs("k8s.apps.StatefulSet", name, "db", 5432)
    yield runs("k8s.apps.Deployment", name, "web", 8069)
    for pod, app, port in (
        ("db-0", "db", 5432),
        ("web-0", "web", 8069),
        ("web-1", "web", 8069),
        ("web-2", "web", 8069),
    ):
        owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": app, "controller": True}
        labels = {"app": app, "pod": pod}
        yield found("k8s.core.Pod", name, pod, metadata={"labels": labels, "ownerReferences": [owner]}, spec=pods(port))
    for app, port in (("db", 5432), ("web", 80)):
        ports = [{"port": port, "targetPort": "main"}]
        yield found("k8s.core.Service", name, app, spec={"selector": {"app": app}, "ports": ports})
    kind = "k8s.networking.k8s.io.NetworkPolicy"
    yield found(kind, name, "deny", spec={"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})
    peers = [
        {"podSelector": {"matchLabels": {"app": "web"}}},
        {"namespaceSelector": {"matchLabels": {"team": name}}},
        {"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "In", "values": ["of-nobody"]}]}},
    ]
    database = {"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{"from": peers, "ports": [{"port": 5432}]}]}
    yield found(kind, name, "database", spec=database)


def judged(engine: WasmEngine, bundle: Bundle, control: str, resources: Sequence[dict[str, Any]]) -> Counter[str]:
    """Return how many subjects got which verdict."""
    described = bundle.catalogue.controls[control]
    subjects = [entry["id"] for entry in resources if entry["kind"] in described.judges]
    by_kind = {kind: [entry for entry in resources if entry["kind"] == kind] for kind in described.inputs}
    document = {"resources": by_kind, "services": {}, "incomplete": []}
    [judgement] = engine.judge("snapshot", {control: dict.fromkeys(subjects, PARAMS[control])}, document)
    assert judgement.error is None
    return Counter(outcome.verdict.value for outcome in verdicts.of_many(judgement, subjects, subjects).values())


def test_five_hundred_namespaces_with_two_thousand_pods_and_a_thousand_policies(
    engine: WasmEngine, policy_bundle: Bundle
) -> None:
    resources = [entry for i in range(NAMESPACES) for entry in of_namespace(f"n{i}")]
    assert judged(engine, policy_bundle, "network.default-deny", resources) == {"pass": NAMESPACES}
    # the database passes, its pod is judged as it, and the application serves none
    assert judged(engine, policy_bundle, "network.database-reach", resources) == {
        "pass": NAMESPACES,
        "skip": 5 * NAMESPACES,
    }


def test_one_namespace_with_two_thousand_pods(engine: WasmEngine, policy_bundle: Bundle) -> None:
    resources = list(of_namespace("n"))
    pod = next(entry for entry in resources if entry["id"].endswith("/web-0"))
    more = [{**pod, "id": f"{pod['id']}-{i}"} for i in range(2000)]
    policy = next(entry for entry in resources if entry["id"].endswith("/database"))
    policies = [
        {**policy, "id": f"{policy['id']}-{i}", "attributes": {**policy["attributes"], "metadata": {"name": f"p{i}"}}}
        for i in range(200)
    ]
    told = judged(engine, policy_bundle, "network.database-reach", [*resources, *more, *policies])
    assert told == {"pass": 1, "skip": 2005}
