from __future__ import annotations

import secrets
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import trustme
from ruamel.yaml import YAML

from guardian import config
from guardian.collectors import Observed, Unreadable, kubernetes_access, kubernetes_calls
from guardian.collectors.kubernetes import Kubernetes
from guardian.collectors.kubernetes_objects import observe
from guardian.collectors.kubernetes_session import PAGE
from guardian.kubernetes_kinds import BUILT_IN_GROUPS, BUILT_IN_KINDS, DEFAULT_KINDS, PLURALS, is_namespaced
from guardian.normalise import Estate, normalise
from guardian.redact import is_redacted
from guardian.settings import KubernetesCollector
from guardian.usecases.collect import collect
from guardian.usecases.collector_role import manifest
from tests.tools.kube_interposer import Interposer, write_kubeconfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from guardian.model import Resource, Snapshot
    from tests.tools.kube import KubeApi

NOW = datetime(2026, 11, 23, 11, 0, tzinfo=UTC)
CANARY = "CANARY" + secrets.token_hex(8)
ERROR = "guardian.CollectionError"
ROLE = "k8s.rbac.authorization.k8s.io.Role"
MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: odoo, labels: {app: odoo}}
spec:
  replicas: 2
  selector: {matchLabels: {app: odoo}}
  template:
    metadata: {labels: {app: odoo}}
    spec:
      containers:
      - name: odoo
        image: registry.example/odoo:18
        args: [--workers, "4"]
        ports: [{containerPort: 8069}]
        env: [{name: HOST, value: db}]
        resources: {limits: {memory: 1Gi}}
"""


def observed(kubeconfig: Path | None, *kinds: str, name: str = "c") -> list[Observed | Unreadable]:
    return list(Kubernetes(KubernetesCollector(name, kubeconfig, None, kinds)).collect(NOW))


def unreadable(found: Sequence[Observed | Unreadable]) -> list[Unreadable]:
    return [item for item in found if isinstance(item, Unreadable)]


def seen(found: Sequence[Observed | Unreadable], namespace: str) -> list[Observed]:
    return [item for item in found if isinstance(item, Observed) and item.scope.get("namespace") == namespace]


def snapshot(folder: Path, *kubeconfigs: Path) -> Snapshot:
    """A scan's snapshot of clusters c0, c1, ..."""
    lines = [f"- {{name: c{n}, type: kubernetes, kubeconfig: {path}}}" for n, path in enumerate(kubeconfigs)]
    (folder / "redaction.key").write_text(secrets.token_hex(32), encoding="utf-8")
    (folder / "redaction.key").chmod(0o600)
    text = "environment: test\nkeys: {redaction: 'file:redaction.key'}\ncollectors:\n" + "\n".join(lines)
    (folder / "guardian.yaml").write_text(text, encoding="utf-8")
    return collect(config.load(folder / "guardian.yaml"), now=NOW, drills=())


def errors(snapshot: Snapshot) -> list[Resource]:
    return [resource for resource in snapshot.resources if resource.kind == ERROR]


@pytest.fixture
def account(kube_api: KubeApi, kube_namespace: str) -> Iterator[Path]:
    """Kubeconfig of an account that has the shipped role and no other right."""
    objects = list(YAML(typ="safe", pure=True).load_all(manifest(namespace=kube_namespace)))
    for obj in objects:
        kube_api.apply(obj).expect(201)
    yield kube_api.kubeconfig(f"system:serviceaccount:{kube_namespace}:guardian-collector")
    for obj in objects[1:]:
        path = kube_api._caller.path_of(obj)
        kube_api.call("DELETE", f"{path}/{obj['metadata']['name']}").expect(200)


def test_shipped_role_lets_its_owner_collect_everything_and_nothing_more(
    kube_api: KubeApi, kube_namespace: str, account: Path
) -> None:
    kube_api.apply({**YAML(typ="safe").load(MANIFEST)}, namespace=kube_namespace).expect(201)
    found = observed(account)
    assert unreadable(found) == []
    assert [item.kind for item in seen(found, kube_namespace)] == ["k8s.core.Namespace", "k8s.apps.Deployment"]
    whole = [f"/api{'s/' if '/' in group else '/'}{group}/{name}" for group, name in _paths()]
    token = kube_api.token(f"system:serviceaccount:{kube_namespace}:guardian-collector")
    assert {kube_api.call("GET", path, token=token).status for path in whole} == {200}
    for path in (
        "/api/v1/secrets",
        "/api/v1/configmaps",
        f"/api/v1/namespaces/{kube_namespace}/secrets",
        f"/apis/apps/v1/namespaces/{kube_namespace}/deployments/odoo",  # get is another verb than list
        "/api/v1/pods?watch=true",
    ):
        assert kube_api.call("GET", path, token=token).status == 403, path


def _paths() -> list[tuple[str, str]]:
    return [
        ("v1" if (group := kind.removeprefix("k8s.").rpartition(".")[0]) == "core" else f"{group}/v1", plural)
        for kind, plural in PLURALS.items()
    ]


def test_kind_that_is_denied_is_exactly_one_collection_error(
    kube_api: KubeApi, kube_namespace: str, account: Path, tmp_path: Path
) -> None:
    [_, role, _] = YAML(typ="safe", pure=True).load_all(manifest(namespace=kube_namespace))
    role["rules"] = [rule for rule in role["rules"] if rule["apiGroups"] != ["networking.k8s.io"]]
    kube_api.apply(role).expect(200)
    found = snapshot(tmp_path, account)
    [error] = errors(found)
    assert error.id == "error:kubernetes/c0/k8s.networking.k8s.io.NetworkPolicy"
    assert error.attributes["reason"] == "forbidden"
    for part in (
        f'"system:serviceaccount:{kube_namespace}:guardian-collector" may not list resource "networkpolicies"',
        '{apiGroups: ["networking.k8s.io"], resources: ["networkpolicies"], verbs: ["list"]}',
    ):
        assert part in error.attributes["detail"]
    assert {status.status for status in found.collectors if status.type == "kubernetes"} == {"partial"}


def test_twelve_hundred_objects_come_whole_and_in_pages(kube_api: KubeApi, kube_namespace: str, tmp_path: Path) -> None:
    def make(number: int) -> None:
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": f"r{number:04}"}}
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{kube_namespace}/roles"
        kube_api.call("POST", path, role).expect(201)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(make, range(1200)))
    with Interposer(kube_api) as between:
        found = observed(between.kubeconfig(tmp_path), ROLE)
    names = [item.key.rpartition("/")[2] for item in seen(found, kube_namespace)]
    assert names == [f"r{number:04}" for number in range(1200)]
    queries = [parse_qs(urlsplit(path).query) for path, _ in between.asked]
    assert len(queries) >= 3
    assert {query["limit"][0] for query in queries} == {str(PAGE)}
    assert all("continue" in query for query in queries[1:])


def test_planted_secrets_are_nowhere_in_the_snapshot(kube_api: KubeApi, kube_namespace: str, tmp_path: Path) -> None:
    deployment = YAML(typ="safe").load(MANIFEST)
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    container |= {
        "env": [{"name": "DB_PASSWORD", "value": CANARY}, {"name": "PLAIN", "value": f"x{CANARY}"}],
        "args": ["--db-password", CANARY, f"--smtp-password={CANARY}"],
        "command": ["sh", "-c", f"PGPASSWORD={CANARY} exec odoo"],
        "livenessProbe": {"exec": {"command": ["psql", f"postgres://u:{CANARY}@db/erp"]}},
    }
    deployment["metadata"]["annotations"] = {
        "kubectl.kubernetes.io/last-applied-configuration": f'{{"spec":"{CANARY}"}}',
        "backup": f"https://u:{CANARY}@backup.example/",
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}
    pod["spec"] = {"containers": [container], "initContainers": [{**container, "name": "i", "livenessProbe": None}]}
    kube_api.apply(deployment, namespace=kube_namespace).expect(201)
    kube_api.apply(pod, namespace=kube_namespace).expect(201)
    found = snapshot(tmp_path, kube_api.kubeconfig())
    assert errors(found) == []
    resources = {resource.id: resource for resource in found.resources}
    odoo = resources[f"k8s:c0/apps/Deployment/{kube_namespace}/odoo"]
    assert f"k8s:c0/core/Pod/{kube_namespace}/p" in resources
    assert len(odoo.redacted) == 8
    assert CANARY.encode() not in found.data
    assert kube_api.admin_token.encode() not in found.data


def test_config_maps_and_secrets_are_collected_only_when_asked_and_then_without_their_secrets(
    kube_api: KubeApi, kube_namespace: str, tmp_path: Path
) -> None:
    data = {"admin_password": CANARY, "odoo.conf": f"[options]\nadmin_passwd = {CANARY}\n", "workers": "4"}
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "odoo"}, "data": data}
    metadata = {"name": "db", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": CANARY}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"password": CANARY}}
    for obj in (config_map, secret):
        kube_api.apply(obj, namespace=kube_namespace).expect(201)
    with Interposer(kube_api) as between:
        found = observed(between.kubeconfig(tmp_path), "k8s.core.Secret", "k8s.core.ConfigMap")
    assert unreadable(found) == []
    [db, odoo] = seen(found, kube_namespace)
    assert db.attributes == {"apiVersion": "v1", "metadata": {**db.attributes["metadata"], "annotations": {}}}
    [listing] = [body for (path, _), body in zip(between.asked, between.sent, strict=True) if "/secrets?" in path]
    assert b'"data"' not in listing, "the server sends metadata alone"
    resource = normalise(odoo, Kubernetes(KubernetesCollector("c")), Estate((), bytes(32)))
    assert CANARY not in str(resource)
    assert {name for name, value in resource.attributes["data"].items() if is_redacted(value)} == {
        "admin_password",
        "odoo.conf",
    }
    assert {item.kind for item in observed(kube_api.kubeconfig()) if isinstance(item, Observed)} <= set(DEFAULT_KINDS)


def test_deployment_of_a_manifest_and_of_the_list_differ_by_server_defaults_only(
    kube_api: KubeApi, kube_namespace: str
) -> None:
    written = YAML(typ="safe").load(MANIFEST)
    kube_api.apply(written, namespace=kube_namespace).expect(201)
    [listed] = seen(observed(kube_api.kubeconfig(), "k8s.apps.Deployment"), kube_namespace)
    collector, estate = Kubernetes(KubernetesCollector("c")), Estate((), bytes(32))
    live = normalise(listed, collector, estate)
    declared = normalise(observe(written, cluster="c", default_namespace=kube_namespace), collector, estate)
    assert (live.id, live.kind, live.scope) == (declared.id, declared.kind, declared.scope)
    assert live.redacted == declared.redacted
    added = dict(_added(declared.attributes, live.attributes))
    assert added.pop("/metadata/namespace") == kube_namespace
    assert added.pop("/status") == {}
    assert added["/spec/progressDeadlineSeconds"] == 600
    assert {path.split("/")[1] for path in added} == {"spec"}, added
    assert not any("creationTimestamp" in path or "uid" in path for path in added)


def _added(declared: Any, live: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what is in `live` and not in `declared`; what is in both must be equal."""
    if isinstance(declared, dict):
        assert declared.keys() <= live.keys(), at
        for name, value in live.items():
            if name in declared:
                yield from _added(declared[name], value, f"{at}/{name}")
            else:
                yield f"{at}/{name}", value
    elif isinstance(declared, list):
        assert len(declared) == len(live), at
        for place, (one, other) in enumerate(zip(declared, live, strict=True)):
            yield from _added(one, other, f"{at}/{place}")
    else:
        assert declared == live, at


def test_same_names_in_two_clusters_are_two_things(kube_api: KubeApi, kube_namespace: str, tmp_path: Path) -> None:
    kube_api.apply(YAML(typ="safe").load(MANIFEST), namespace=kube_namespace).expect(201)
    kubeconfig = kube_api.kubeconfig()
    found = snapshot(tmp_path, kubeconfig, kubeconfig)
    ids = {resource.id for resource in found.resources if resource.id.endswith(f"/{kube_namespace}/odoo")}
    assert ids == {f"k8s:{name}/apps/Deployment/{kube_namespace}/odoo" for name in ("c0", "c1")}


def test_finished_pods_are_left_out_and_namespaces_being_deleted_are_not(
    kube_api: KubeApi, kube_namespace: str
) -> None:
    for name, phase in {"done": "Succeeded", "broken": "Failed", "busy": "Running"}.items():
        pod: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}}
        pod["spec"] = {"containers": [{"name": "c", "image": "x"}]}
        kube_api.apply(pod, namespace=kube_namespace).expect(201)
        path = f"/api/v1/namespaces/{kube_namespace}/pods/{name}/status"
        merge = "application/merge-patch+json"
        kube_api.call("PATCH", path, {"status": {"phase": phase}}, content_type=merge).expect(200)
    pods = seen(observed(kube_api.kubeconfig(), "k8s.core.Pod"), kube_namespace)
    assert [item.key.rpartition("/")[2] for item in pods] == ["busy"]
    kube_api.call("DELETE", f"/api/v1/namespaces/{kube_namespace}").expect(200)
    [leaving] = seen(observed(kube_api.kubeconfig(), "k8s.core.Namespace"), kube_namespace)
    assert leaving.attributes["metadata"]["deletionTimestamp"]


def test_custom_kinds_are_found_by_discovery_and_missing_ones_told(kube_api: KubeApi, kube_namespace: str) -> None:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.guardian.test"},
        "spec": {
            "group": "guardian.test",
            "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [
                {"name": name, "served": True, "storage": name == "v1", "schema": {"openAPIV3Schema": schema}}
                for name in ("v1alpha1", "v1")
            ],
        },
    }
    kube_api.apply(definition).expect(201)
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.guardian.test"
    try:
        while not _established(kube_api.call("GET", path).expect(200)):
            time.sleep(0.02)
        widget = {"apiVersion": "guardian.test/v1", "kind": "Widget", "metadata": {"name": "w"}, "size": 2**40}
        collection = f"/apis/guardian.test/v1/namespaces/{kube_namespace}/widgets"
        while kube_api.call("POST", collection, widget).status == 404:
            time.sleep(0.02)
        kinds = (
            "k8s.guardian.test.Widget",
            "k8s.guardian.test.Gadget",
            "k8s.nowhere.example.Thing",
            "k8s.authentication.k8s.io.TokenReview",
        )
        found = observed(kube_api.kubeconfig(), *kinds)
    finally:
        kube_api.call("DELETE", path).expect(200)
        while "guardian.test" in kube_api.call("GET", "/apis").text:
            time.sleep(0.02)
    [made] = seen(found, kube_namespace)
    assert (made.kind, made.key) == (kinds[0], f"c/guardian.test/Widget/{kube_namespace}/w")
    assert (made.attributes["apiVersion"], made.attributes["size"]) == ("guardian.test/v1", 2**40)
    assert [(item.kind, item.reason) for item in unreadable(found)] == [
        (kinds[1], "not-served"),
        (kinds[2], "not-served"),
        (kinds[3], "not-listable"),
    ]


def _established(definition: dict[str, Any]) -> bool:
    conditions = definition.get("status", {}).get("conditions") or ()
    return any(entry["type"] == "Established" and entry["status"] == "True" for entry in conditions)


def test_known_kinds_are_those_of_the_real_server(kube_api: KubeApi) -> None:
    groups = kube_api.call("GET", "/apis").expect(200)["groups"]
    versions = [f"/apis/{version['groupVersion']}" for group in groups for version in group["versions"]]
    for path in ("/api/v1", *versions):
        group = "" if path == "/api/v1" else path.split("/")[2]
        assert group in BUILT_IN_GROUPS
        for entry in kube_api.call("GET", path).expect(200)["resources"]:
            kind = f"k8s.{group or 'core'}.{entry['kind']}"
            if "/" not in entry["name"]:
                assert kind in BUILT_IN_KINDS
                assert is_namespaced(kind) is entry["namespaced"]
                assert PLURALS.get(kind, entry["name"]) == entry["name"]


def test_server_that_is_not_there_makes_every_kind_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes_calls, "_pause_s", lambda *_: 0.0)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and nobody listens
        server = f"https://127.0.0.1:{held.getsockname()[1]}"
        found = snapshot(tmp_path, write_kubeconfig(tmp_path / "k.json", server, CANARY))
    assert {error.attributes["kind"] for error in errors(found)} == set(DEFAULT_KINDS)
    [(reason, detail)] = {(error.attributes["reason"], error.attributes["detail"]) for error in errors(found)}
    assert (reason, detail) == ("unreachable", "listing namespaces: Connection refused")
    assert {status.status for status in found.collectors if status.type == "kubernetes"} == {"failed"}
    assert CANARY.encode() not in found.data


def test_certificate_of_another_authority_is_refused(kube_api: KubeApi, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    path = write_kubeconfig(tmp_path / "k.json", kube_api.url, CANARY, **{"certificate-authority": "other.pem"})
    found = unreadable(observed(path))
    assert {item.kind for item in found} == set(DEFAULT_KINDS)
    [(reason, detail)] = {(item.reason, item.detail) for item in found}
    assert reason == "certificate"
    assert "TLS failed: certificate verify failed: unable to get local issuer certificate" in detail
    assert CANARY not in detail


def test_token_that_is_not_accepted_is_told_without_it(kube_api: KubeApi, tmp_path: Path) -> None:
    ca = {"certificate-authority": str(kube_api.ca_file)}
    path = write_kubeconfig(tmp_path / "k.json", kube_api.url, CANARY, **ca)
    found = unreadable(observed(path))
    assert {item.kind for item in found} == set(DEFAULT_KINDS)
    expected = f"the API server does not accept the credentials of kubeconfig {path} (401); renew them"
    assert {(item.reason, item.detail) for item in found} == {("unauthorized", f"listing namespaces: {expected}")}


def test_pod_uses_its_own_account_and_reads_a_renewed_token(
    kube_api: KubeApi, kube_namespace: str, account: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert account.exists()
    monkeypatch.setattr(kubernetes_access, "ACCOUNT_FOLDER", tmp_path)
    assert {item.reason for item in unreadable(observed(None))} == {"not-configured"}
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", kube_api.url.rpartition(":")[2])
    (tmp_path / "ca.crt").write_bytes(kube_api.ca_file.read_bytes())
    assert f"the pod has no {tmp_path}/token" in unreadable(observed(None))[0].detail
    token = tmp_path / "token"
    token.write_text(kube_api.token(f"system:serviceaccount:{kube_namespace}:guardian-collector") + "\n")
    items = iter(Kubernetes(KubernetesCollector("c", kinds=("k8s.core.Namespace", "k8s.core.Node"))).collect(NOW))
    assert isinstance(next(items), Observed)
    token.write_text("stale", encoding="ascii")
    assert [item.reason for item in unreadable(list(items))] == ["unauthorized"]
