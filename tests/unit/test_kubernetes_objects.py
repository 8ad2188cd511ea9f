from __future__ import annotations

import contextlib
import copy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardian.collectors.kubernetes import Kubernetes
from guardian.collectors.kubernetes_objects import DEFAULT_KINDS, observe, runs_nothing
from guardian.kubernetes_kinds import BUILT_IN_KINDS, kind_of, split
from guardian.model import Match, Resource, Service, Tier
from guardian.normalise import Estate, normalise
from guardian.policy.bundle import load as load_bundle
from guardian.redact import is_redacted
from guardian.settings import KubernetesCollector

COLLECTOR = Kubernetes(KubernetesCollector("prod-eu"))
CANARY = "zebraCANARYquokka"
DIGEST = "sha256:" + "0a1b" * 16


def resource(obj: dict[str, Any], *services: Service, cluster: str = "prod-eu") -> Resource:
    return normalise(observe(obj, cluster=cluster), COLLECTOR, Estate(services, bytes(32)))


def thing(kind: str, api_version: str = "v1", **more: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "namespace": "erp"}, **more}


def pod_spec() -> dict[str, Any]:
    container = {"name": "odoo", "image": f"registry.example/odoo@{DIGEST}"}
    return {name: [copy.deepcopy(container)] for name in ("containers", "initContainers", "ephemeralContainers")}


def workload(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "odoo"}}, "spec": spec}
    match kind:
        case "Pod":
            return thing("Pod", spec=spec)
        case "CronJob":
            return thing("CronJob", "batch/v1", spec={"jobTemplate": {"spec": {"template": template}}})
        case "Job":
            return thing("Job", "batch/v1", spec={"template": template})
        case "ReplicationController":
            return thing(kind, spec={"template": template})
        case "PodTemplate":
            return thing(kind, template=template)
        case _:
            return thing(kind, "apps/v1", spec={"template": template})


WORKLOADS = (
    *("Pod", "PodTemplate", "ReplicationController", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"),
    *("Job", "CronJob"),
)


@pytest.mark.parametrize(
    ("obj", "kind", "identity", "scope"),
    [
        (
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "odoo", "namespace": "erp"}},
            "k8s.apps.Deployment",
            "k8s:prod-eu/apps/Deployment/erp/odoo",
            {"cluster": "prod-eu", "namespace": "erp", "labels": {}},
        ),
        (
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "erp", "labels": {"a": "b"}}},
            "k8s.core.Namespace",
            "k8s:prod-eu/core/Namespace/erp",
            {"cluster": "prod-eu", "namespace": "erp", "labels": {"a": "b"}},
        ),
        (
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "namespace": "nonsense"}},
            "k8s.core.Node",
            "k8s:prod-eu/core/Node/n1",
            {"cluster": "prod-eu", "labels": {}},
        ),
        (
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "odoo-7d9-"}},
            "k8s.core.Pod",
            "k8s:prod-eu/core/Pod/default/odoo-7d9-*",
            {"cluster": "prod-eu", "namespace": "default", "labels": {}},
        ),
        (
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "system:x"}},
            "k8s.rbac.authorization.k8s.io.ClusterRole",
            "k8s:prod-eu/rbac.authorization.k8s.io/ClusterRole/system:x",
            {"cluster": "prod-eu", "labels": {}},
        ),
        (
            {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "g"}},
            "k8s.gateway.networking.k8s.io.GatewayClass",
            "k8s:prod-eu/gateway.networking.k8s.io/GatewayClass/g",
            {"cluster": "prod-eu", "labels": {}},
        ),
        (
            {"apiVersion": "example.org/v1alpha1", "kind": "Widget", "metadata": {"name": "w", "namespace": "erp"}},
            "k8s.example.org.Widget",
            "k8s:prod-eu/example.org/Widget/erp/w",
            {"cluster": "prod-eu", "namespace": "erp", "labels": {}},
        ),
    ],
)
def test_identity_and_scope_come_from_group_kind_namespace_and_name(
    obj: dict[str, Any], kind: str, identity: str, scope: dict[str, Any]
) -> None:
    found = resource(obj)
    assert (found.kind, found.id, found.scope) == (kind, identity, scope)
    assert "kind" not in found.attributes
    assert found.attributes["apiVersion"] == obj["apiVersion"]


def test_one_name_in_two_clusters_is_two_things() -> None:
    one, other = (resource(thing("Pod"), cluster=name).id for name in ("a", "b"))
    assert (one, other) == ("k8s:a/core/Pod/erp/x", "k8s:b/core/Pod/erp/x")


@pytest.mark.parametrize(
    ("obj", "why"),
    [
        ({}, "apiVersion is missing"),
        ({"apiVersion": "v1"}, "kind is missing"),
        ({"apiVersion": 1, "kind": "Pod"}, "apiVersion is missing, or not text"),
        ({"apiVersion": "apps/v1/x", "kind": "Pod"}, "apiVersion is not of the form"),
        ({"apiVersion": "../v1", "kind": "Pod"}, "apiVersion is not of the form"),
        ({"apiVersion": "v1", "kind": "Pod/x"}, "kind is not a word"),
        ({"apiVersion": "v1", "kind": "Pod"}, "metadata is missing"),
        ({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "x"}}, "metadata.name is missing"),
        ({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": 7, "generateName": "x"}}, "metadata.name is missing"),
        ({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a/b"}}, "metadata.name is not a name"),
        ({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "b/c"}}, "metadata.namespace is"),
        ({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": 3}}, "metadata.namespace is"),
        ({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": []}, "a PodList is a list of objects"),
        ({"apiVersion": "v1", "kind": "List", "items": []}, "a List is a list of objects"),
    ],
)
def test_what_is_no_object_is_refused_with_the_reason(obj: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        observe(obj, cluster="c")


def test_resource_of_a_namespace_belongs_to_the_service_that_names_it() -> None:
    erp = Service("erp", tier=Tier.CRITICAL, match=(Match("prod-eu", namespace="erp"),))
    shop = Service("shop", tier=Tier.LOW, match=(Match("prod-eu", labels={"app": "shop"}),))
    labelled = thing("Pod")
    labelled["metadata"]["labels"] = {"app": "shop"}
    assert resource(thing("Pod"), erp, shop).service == "erp"
    assert resource(labelled, erp, shop).service == "shop"
    assert resource({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "erp"}}, erp).tier == Tier.CRITICAL


def test_volatile_fields_are_dropped_and_the_rest_stays() -> None:
    pod = thing("Pod", status={"phase": "Running"})
    volatile = {"uid": "u", "generation": 3, "creationTimestamp": "t", "resourceVersion": "7", "managedFields": [1]}
    pod["metadata"] |= {**volatile, "selfLink": "/x", "deletionTimestamp": "t"}
    assert resource(pod).attributes == {
        "apiVersion": "v1",
        "metadata": {"name": "x", "namespace": "erp", "deletionTimestamp": "t"},
        "status": {"phase": "Running"},
    }
    condition = {"type": "Ready", "status": "True", "lastHeartbeatTime": "t", "lastTransitionTime": "t"}
    node = thing("Node", status={"conditions": [condition]})
    assert resource(node).attributes["status"] == {"conditions": [{"type": "Ready", "status": "True"}]}
    assert condition["lastHeartbeatTime"] == "t", "what was observed is not changed"


@pytest.mark.parametrize("kind", WORKLOADS)
def test_secrets_of_every_container_go_and_what_is_judged_stays(kind: str) -> None:
    spec = pod_spec()
    for containers in list(spec.values()):
        containers[0] |= {
            "env": [{"name": "A", "value": CANARY}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s"}}}],
            "args": ["--password", CANARY, f"--db-password={CANARY}"],
            "command": ["sh", "-c", f"PGPASSWORD={CANARY} psql postgres://u:{CANARY}@db/erp"],
            "livenessProbe": {
                "exec": {"command": ["mysql", f"--password={CANARY}"]},
                "httpGet": {"httpHeaders": [{"name": "X-Key", "value": CANARY}]},
            },
            "lifecycle": {"preStop": {"exec": {"command": ["redis-cli", "--token", CANARY]}}},
            "resources": {"limits": {"memory": "1Gi"}},
            "securityContext": {"runAsNonRoot": True},
        }
    obj = workload(kind, spec)
    obj["metadata"]["annotations"] = {
        "kubectl.kubernetes.io/last-applied-configuration": f'{{"x":"{CANARY}"}}',
        "note": f'{{"env":[{{"name":"DB_PASSWORD","value":"{CANARY}"}}]}}',
        "owner": "ops",
    }
    found = resource(obj)
    assert CANARY.encode() not in orjson.dumps(found.to_json())
    assert found.attributes["metadata"]["annotations"]["owner"] == "ops"
    text = orjson.dumps(found.attributes).decode()
    assert text.count(DIGEST) == 3
    assert text.count('"runAsNonRoot":true') == text.count('"memory":"1Gi"') == 3
    assert text.count('"secretKeyRef":{"name":"s"}') == 3


# Valid values that look like tokens to the patterns of `redact`.
LOOKALIKE = "ghp_" + "a1" * 10


def test_what_controls_judge_is_never_redacted_whatever_it_looks_like() -> None:
    spec = pod_spec() | {
        "serviceAccountName": LOOKALIKE,
        "volumes": [{"name": LOOKALIKE, "configMap": {"name": LOOKALIKE}}, {"hostPath": {"path": f"/{LOOKALIKE}"}}],
        "nodeSelector": {"pool": LOOKALIKE},
    }
    spec["containers"][0] |= {
        "image": f"registry.example:5000/md5{'0a' * 16}:AKIA{'A1' * 8}@{DIGEST}",
        "envFrom": [{"configMapRef": {"name": LOOKALIKE}}],
        "securityContext": {"seccompProfile": {"localhostProfile": LOOKALIKE}},
        "resources": {"limits": {f"example.org/{LOOKALIKE}": "1"}},
        "ports": [{"name": LOOKALIKE, "containerPort": 1}],
    }
    deployment = workload("Deployment", spec)
    deployment["metadata"]["labels"] = {"app": LOOKALIKE}
    deployment["spec"]["selector"] = {"matchLabels": {"app": LOOKALIKE}}
    deployment["spec"]["replicas"] = 2
    policy = thing(
        "NetworkPolicy",
        "networking.k8s.io/v1",
        spec={"podSelector": {"matchLabels": {"a": LOOKALIKE}}, "policyTypes": ["Ingress"]},
    )
    role = thing(
        "Role", "rbac.authorization.k8s.io/v1", rules=[{"resourceNames": [LOOKALIKE], "nonResourceURLs": ["/x"]}]
    )
    subject = {"kind": "User", "name": "https://idp.example:8443#alice@example.org"}
    binding = thing("RoleBinding", "rbac.authorization.k8s.io/v1", subjects=[subject], roleRef={"name": LOOKALIKE})
    service = thing("Service", spec={"selector": {"app": LOOKALIKE}, "ports": [{"name": LOOKALIKE}]})
    for obj in (deployment, policy, role, binding, service):
        found = resource(obj)
        assert found.redacted == ()
        assert found.attributes == {key: value for key, value in obj.items() if key != "kind"}


def test_image_that_is_no_reference_may_hide_a_password_and_is_redacted() -> None:
    spec = pod_spec()
    spec["initContainers"][0]["image"] = f"https://robot:{CANARY}@registry.example/odoo"
    found = resource(workload("Deployment", spec))
    assert found.redacted == ("/spec/template/spec/initContainers/0/image",)
    assert found.attributes["spec"]["template"]["spec"]["containers"][0]["image"].endswith(DIGEST)


def test_nothing_of_a_secret_is_kept_but_its_metadata() -> None:
    secret = thing("Secret", data={"k": CANARY}, stringData={"k": CANARY}, type="Opaque")
    secret["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": CANARY, "owner": "ops"}
    found = resource(secret)
    metadata = {"name": "x", "namespace": "erp", "annotations": {"owner": "ops"}}
    assert found.attributes == {"apiVersion": "v1", "type": "Opaque", "metadata": metadata}
    assert found.redacted == (), "not even a fingerprint"


@pytest.mark.parametrize(
    ("name", "value", "gone"),
    [
        ("DB_PASSWORD", CANARY, True),
        ("api-token", CANARY, True),
        ("odoo.conf", f"[options]\ndb_host = db\nadmin_passwd = {CANARY}\n", True),
        ("app.yaml", f"db:\n  host: db\n  password: {CANARY}\n", True),
        ("redis.conf", f"port 1\nrequirepass {CANARY}\n", True),
        ("url", f"amqp://u:{CANARY}@mq", True),
        ("odoo.conf", "[options]\nworkers = 4\nlist_db = False\n", False),
        ("app.yaml", "db:\n  host: db\n  passwordFile: /run/secrets/db\n", False),
        ("log_level", "info", False),
    ],
)
def test_values_of_config_maps_that_look_like_credentials_go(name: str, value: str, gone: bool) -> None:
    found = resource(thing("ConfigMap", data={name: value, "plain": "x"}, binaryData={"keystore": "AAAA"}))
    assert is_redacted(found.attributes["data"][name]) is gone
    assert found.attributes["data"]["plain"] == "x"
    assert is_redacted(found.attributes["binaryData"])


def test_object_that_nests_too_deeply_is_refused_but_not_for_its_managed_fields() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"f:a": deep}
    managed = thing("Pod", spec={"containers": []})
    managed["metadata"]["managedFields"] = [{"manager": "m", "fieldsV1": deep}]
    assert resource(managed).attributes == resource(thing("Pod", spec={"containers": []})).attributes
    for kind, version in (("Pod", "v1"), ("Secret", "v1"), ("ConfigMap", "v1"), ("Rollout", "argoproj.io/v1alpha1")):
        with pytest.raises(ValueError, match=f"^{kind} erp/x nests too deeply, more than 200 levels$"):
            observe(thing(kind, version, data=deep), cluster="c")


def test_env_and_passwords_of_custom_resources_go_at_any_depth() -> None:
    container = {"image": "x", "env": [{"name": "A", "value": CANARY}]}
    found = resource(
        thing(
            "Rollout",
            "argoproj.io/v1alpha1",
            spec={"template": {"spec": {"containers": [container]}}, "auth": {"adminPassword": CANARY}, "replicas": 2},
        )
    )
    assert found.redacted == ("/spec/auth/adminPassword", "/spec/template/spec/containers/0/env/0/value")
    assert found.attributes["spec"]["replicas"] == 2


def _places(value: object, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, item in inner for place in _places(item, (*at, key)))]


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=3,
)


@given(st.sampled_from(WORKLOADS), st.data())
def test_garbled_object_is_refused_with_a_reason_or_becomes_a_resource(kind: str, data: st.DataObject) -> None:
    obj: Any = {"in": workload(kind, pod_spec())}
    obj["in"]["metadata"] |= {"labels": {"a": "b"}, "annotations": {"c": "d"}}
    *way, last = data.draw(st.sampled_from(_places(obj)[1:]))
    here = obj
    for key in way:
        here = here[key]
    here[last] = data.draw(junk)
    if not isinstance(obj["in"], dict):
        return
    with contextlib.suppress(ValueError):
        orjson.dumps(resource(obj["in"]).to_json())


def test_what_runs_nothing_is_told() -> None:
    owner = {"ownerReferences": [{"kind": "Deployment", "controller": True}]}
    gone = {"metadata": owner, "spec": {"replicas": 0}, "status": {"replicas": 0}}
    assert runs_nothing("k8s.apps.ReplicaSet", gone)
    assert not runs_nothing("k8s.apps.ReplicaSet", {**gone, "metadata": {}}), "nobody would scale it up unseen"
    assert not runs_nothing("k8s.apps.ReplicaSet", {**gone, "status": {"replicas": 1}})
    assert not runs_nothing("k8s.apps.ReplicaSet", {**gone, "spec": {"replicas": 1}})
    assert not runs_nothing("k8s.apps.ReplicaSet", {**gone, "spec": {}}), "absent is one"
    assert not runs_nothing("k8s.apps.Deployment", gone)
    for phase, nothing in {"Succeeded": True, "Failed": True, "Running": False, "Pending": False}.items():
        assert runs_nothing("k8s.core.Pod", {"status": {"phase": phase}}) is nothing
    assert not runs_nothing("k8s.core.Pod", {})


def test_default_kinds_are_what_the_bundled_controls_read() -> None:
    read = {kind for control in load_bundle().catalogue.controls.values() for kind in control.inputs}
    assert {kind for kind in read if kind.startswith("k8s.")} == set(DEFAULT_KINDS)
    assert set(DEFAULT_KINDS) <= BUILT_IN_KINDS


def test_kind_names_go_there_and_back() -> None:
    assert kind_of("policy/v1", "PodDisruptionBudget") == "k8s.policy.PodDisruptionBudget"
    for kind in BUILT_IN_KINDS:
        group, word = split(kind)
        assert kind_of(f"{group}/v1" if group else "v1", word) == kind
    for nonsense in ("Pod", "k8s.Pod", "k8s.core.pod", "k8s.core.", "aws.core.Pod", "k8s.co/re.Pod"):
        with pytest.raises(ValueError, match="not a kind"):
            split(nonsense)
