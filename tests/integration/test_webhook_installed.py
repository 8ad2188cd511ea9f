"""What installs the webhook, on a real API server: accepted without a warning, restricted, and asked as declared."""

from __future__ import annotations

import base64
import dataclasses
import json
import secrets
import ssl
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from guardian import config
from guardian.kubernetes_kinds import DEFAULT_KINDS
from guardian.usecases import certificates
from guardian.usecases.webhook_manifests import Install, by_url, in_cluster, service_hosts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from guardian.settings import Settings
    from tests.tools.kube import KubeApi
    from tests.tools.kube_calls import Answer

IMAGE = f"registry.example/guardian@sha256:{'0' * 64}"
CONFIGURATION = """\
environment: production
collectors: [{name: prod, type: kubernetes}]
webhook: {certificate: tls/tls.pem, key: "file:tls/tls.key", clientCA: tls/clients.pem, failClosed: [erp]}
storage: {database: "env:GUARDIAN_DATABASE", objects: .guardian/objects}
engine: {type: opa, url: "https://opa.example:8181", token: "file:keys/opa.token", ca: opa/ca.pem}
policies: {folder: policies}
"""
REPLICASET_CONTROLLER = "system:serviceaccount:kube-system:replicaset-controller"
MASTERS = ("system:masters", "system:authenticated")
CONTAINER = {"name": "odoo", "image": "odoo:18"}
REGISTRATION = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/guardian"
STRATEGIC = "application/strategic-merge-patch+json"


def pod(name: str = "odoo") -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [CONTAINER]}}


def deployment(name: str = "odoo") -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [CONTAINER]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    path = tmp_path / "guardian.yaml"
    path.write_text(CONFIGURATION)
    return config.load(path)


@pytest.fixture
def own_namespace(kube_api: KubeApi) -> Iterator[str]:
    name = f"guardian-{secrets.token_hex(4)}"
    yield name
    kube_api.delete_namespace(name)


@pytest.mark.parametrize("client_ca", [True, False])
def test_every_object_is_taken_without_a_warning_and_the_pods_are_restricted(
    kube_api: KubeApi, own_namespace: str, settings: Settings, tmp_path: Path, client_ca: bool
) -> None:
    made = certificates.make(service_hosts(own_namespace), tmp_path / "tls", now=datetime.now(UTC), days=30)
    if not client_ca:
        assert settings.webhook is not None
        settings = dataclasses.replace(settings, webhook=dataclasses.replace(settings.webhook, client_ca=None))
    bundle = certificates.read_bundle(made.authority)
    install = Install(
        image=IMAGE,
        namespace=own_namespace,
        ca_bundle=bundle,
        policies=("erp/odoo.rego", "params.yaml"),
        configuration=f"sha256:{'0' * 64}",
    )
    objects = in_cluster(settings, install, kinds=DEFAULT_KINDS)
    try:
        for obj in objects:
            for dry_run in ({"dryRun": "All"}, {}):
                answer = kube_api.apply(obj, **dry_run)
                answer.expect(201)
                assert list(answer.warnings) == [], obj["kind"]
    finally:
        kube_api.call("DELETE", REGISTRATION)
    deployed = next(obj for obj in objects if obj["kind"] == "Deployment")
    pods = f"/api/v1/namespaces/{own_namespace}/pods"
    template = deployed["spec"]["template"]
    made_of_it = {"apiVersion": "v1", "kind": "Pod", **template}
    made_of_it["metadata"] = {**template["metadata"], "name": "replica"}
    accepted = kube_api.call("POST", pods, made_of_it, fieldValidation="Strict")
    accepted.expect(201)
    assert list(accepted.warnings) == []
    for key in ("allowPrivilegeEscalation", "capabilities"):  # the namespace does look
        wrong = json.loads(json.dumps(made_of_it))
        wrong["metadata"]["name"] = "other"
        del wrong["spec"]["containers"][0]["securityContext"][key]
        refused = kube_api.call("POST", pods, wrong)
        assert refused.status == 403
        assert 'violates PodSecurity \\"restricted' in refused.text


class Endpoint:
    """A webhook that allows everything and remembers what it was asked."""

    def __init__(self, folder: Path) -> None:
        made = certificates.make(["127.0.0.1"], folder, now=datetime.now(UTC), days=1)
        self.bundle = certificates.read_bundle(made.authority)
        self.asked: list[Mapping[str, Any]] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
                endpoint.asked.append(request)
                answer: dict[str, Any] = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
                content = json.dumps(answer | {"response": {"uid": request["uid"], "allowed": True}}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(made.certificate, made.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}/v1/admit"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(30)
        self._server.server_close()


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    running = Endpoint(tmp_path / "endpoint")
    yield running
    running.close()


@pytest.fixture
def closed(kube_api: KubeApi) -> Iterator[str]:
    with kube_api.namespace("closed") as name:
        yield name


@pytest.fixture
def exempt(kube_api: KubeApi) -> Iterator[str]:
    with kube_api.namespace("exempt") as name:
        yield name


@pytest.fixture
def install(kube_api: KubeApi, closed: str, exempt: str, settings: Settings) -> Iterator[Callable[[str, bytes], None]]:
    """Install the webhook at a URL, and return once the API server heeds it."""
    assert settings.webhook is not None
    webhook = dataclasses.replace(settings.webhook, fail_closed=(closed,), exempt=(exempt,))

    def apply(url: str, bundle: bytes) -> None:
        made = dataclasses.replace(settings, webhook=webhook)
        (registered,) = by_url(made, url, kinds=DEFAULT_KINDS, ca_bundle=bundle)
        answer = kube_api.apply(registered)
        answer.expect(201)
        assert list(answer.warnings) == []

    yield apply
    kube_api.call("DELETE", REGISTRATION).expect(200)
    wait_until(lambda: create(kube_api, deployment("probe"), closed, dryRun="All").status == 201)


def create(api: KubeApi, obj: Mapping[str, Any], namespace: str, **how: Any) -> Answer:
    path = {"Deployment": "/apis/apps/v1", "Lease": "/apis/coordination.k8s.io/v1"}.get(obj["kind"], "/api/v1")
    return api.call("POST", f"{path}/namespaces/{namespace}/{obj['kind'].lower()}s", obj, **how)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "the API server does not heed the change"
        time.sleep(0.05)


def test_each_request_is_asked_about_once_or_never(
    kube_api: KubeApi, kube_namespace: str, closed: str, exempt: str, endpoint: Endpoint, install: Any
) -> None:
    install(endpoint.url, endpoint.bundle)
    probe = deployment("probe")
    wait_until(lambda: create(kube_api, probe, closed, dryRun="All").status == 201 and bool(endpoint.asked))
    wait_until(lambda: create(kube_api, probe, kube_namespace, dryRun="All").status == 201 and len(endpoint.asked) > 1)

    def asked(answer: Answer) -> list[tuple[str, str, str]]:
        answer.expect(201)
        seen = [(r["operation"], r["resource"]["resource"], r.get("subResource", "")) for r in endpoint.asked]
        endpoint.asked.clear()
        return seen

    endpoint.asked.clear()
    controller: dict[str, Any] = {"impersonate": REPLICASET_CONTROLLER, "groups": MASTERS}
    node: dict[str, Any] = {"impersonate": "system:node:n1", "groups": ("system:nodes", *MASTERS)}
    made = ("CREATE", "deployments", "")
    for namespace in (kube_namespace, closed):
        assert asked(create(kube_api, deployment(), namespace)) == [made]
        assert asked(create(kube_api, pod(), namespace, **controller)) == [("CREATE", "pods", "")]
        debugger = {"spec": {"ephemeralContainers": [{"name": "debug", "image": "busybox:1"}]}}
        path = f"/api/v1/namespaces/{namespace}/pods/odoo/ephemeralcontainers"
        patched = kube_api.call("PATCH", path, debugger, content_type=STRATEGIC)
        assert asked(patched) == [("UPDATE", "pods", "ephemeralcontainers")]
        label = {"metadata": {"labels": {"team": "erp", "kubernetes.io/metadata.name": exempt}}}
        path = f"/api/v1/namespaces/{namespace}"
        assert asked(kube_api.call("PATCH", path, label, content_type=STRATEGIC)) == [("UPDATE", "namespaces", "")]
        assert asked(create(kube_api, deployment("unlabelled"), namespace)) == [made]
        for part in ("scale", "status"):
            path = f"/apis/apps/v1/namespaces/{namespace}/deployments/odoo/{part}"
            assert asked(kube_api.call("PATCH", path, {"metadata": {}}, content_type=STRATEGIC)) == []
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "leader"}}
        assert asked(create(kube_api, lease, namespace)) == []
    for namespace in (exempt, "kube-system"):
        assert asked(create(kube_api, deployment(), namespace, dryRun="All")) == []
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "guardian-test"}}
    roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    assert asked(kube_api.call("POST", roles, {**role, "rules": []}, dryRun="All")) == [("CREATE", "clusterroles", "")]
    forged = {"name": "forged", "labels": {"kubernetes.io/metadata.name": "kube-system"}}
    content = {"apiVersion": "v1", "kind": "Namespace", "metadata": forged}
    answer = kube_api.call("POST", "/api/v1/namespaces", content, dryRun="All")
    assert asked(answer) == [("CREATE", "namespaces", "")]
    machine = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}
    assert asked(kube_api.call("POST", "/api/v1/nodes", machine, dryRun="All")) == [("CREATE", "nodes", "")]
    assert asked(kube_api.call("POST", "/api/v1/nodes", machine, dryRun="All", **node)) == []
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    assert asked(kube_api.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review)) == []


def test_without_an_answer_only_people_in_namespaces_that_fail_closed_are_refused(
    kube_api: KubeApi, kube_namespace: str, closed: str, exempt: str, endpoint: Endpoint, install: Any
) -> None:
    finalized = deployment("leaving")
    finalized["metadata"]["finalizers"] = ["example.com/hold"]
    create(kube_api, finalized, closed).expect(201)
    path = f"/apis/apps/v1/namespaces/{closed}/deployments/leaving"
    kube_api.call("DELETE", path).expect(200)
    endpoint.close()
    install(endpoint.url, endpoint.bundle)
    wait_until(lambda: create(kube_api, deployment("probe"), closed, dryRun="All").status != 201)

    refused = create(kube_api, deployment(), closed)
    assert refused.status == 500
    assert 'failed calling webhook "fail-closed.admission.guardian"' in refused.json["message"]
    label = {"metadata": {"labels": {"team": "erp"}}}
    assert kube_api.call("PATCH", f"/api/v1/namespaces/{closed}", label, content_type=STRATEGIC).status == 500

    controller: dict[str, Any] = {"impersonate": REPLICASET_CONTROLLER, "groups": MASTERS}
    assert create(kube_api, pod(), closed, **controller).status == 201
    release = {"metadata": {"finalizers": None}}
    kube_api.call("PATCH", path, release, content_type="application/merge-patch+json").expect(200)
    assert kube_api.call("GET", path).status == 404
    for namespace in (kube_namespace, exempt, "kube-system"):
        assert create(kube_api, deployment(), namespace, dryRun="All").status == 201
    assert kube_api.call("PATCH", f"/api/v1/namespaces/{kube_namespace}", label, content_type=STRATEGIC).status == 200
    mended = kube_api.call("PATCH", REGISTRATION, {"metadata": {"labels": {"a": "b"}}}, content_type=STRATEGIC)
    assert mended.status == 200  # whoever repairs the webhook is never asked to pass it


def test_what_is_being_deleted_is_spared_only_while_nothing_but_its_metadata_changes(
    kube_api: KubeApi, closed: str, endpoint: Endpoint, install: Any
) -> None:
    rbac = {"apiGroup": "rbac.authorization.k8s.io"}
    held = {"finalizers": ["example.com/hold"]}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "held", **held},
        "roleRef": {**rbac, "kind": "ClusterRole", "name": "view"},
        "subjects": [{**rbac, "kind": "User", "name": "known"}],
    }
    role = {"apiVersion": binding["apiVersion"], "kind": "Role", "metadata": {"name": "held", **held}}  # has no rules
    workload = deployment("held")
    workload["metadata"] |= held
    folder = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{closed}"
    paths = [
        f"{folder}/rolebindings/held",
        f"{folder}/roles/held",
        f"/apis/apps/v1/namespaces/{closed}/deployments/held",
    ]
    for path, obj in zip(paths, (binding, role, workload), strict=True):
        kube_api.call("POST", path.removesuffix("/held"), obj).expect(201)
        kube_api.call("DELETE", path).expect(200)
    endpoint.close()
    install(endpoint.url, endpoint.bundle)
    wait_until(lambda: create(kube_api, deployment("probe"), closed, dryRun="All").status != 201)

    merge: dict[str, Any] = {"content_type": "application/merge-patch+json"}
    attacker = [{**rbac, "kind": "User", "name": "attacker"}]
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    changes: list[tuple[str, dict[str, Any]]] = [
        (paths[0], {"subjects": attacker}),
        (paths[0], {"subjects": None}),
        (paths[0], {"subjects": attacker, "metadata": {"finalizers": None}}),
        (paths[1], {"rules": rules}),
        (paths[2], {"spec": {"replicas": 7}}),
    ]
    for path, change in changes:
        refused = kube_api.call("PATCH", path, change, **merge)
        assert (refused.status, "fail-closed.admission.guardian" in refused.text) == (500, True), (path, change)
    put = json.loads(kube_api.call("GET", paths[0]).text) | {"subjects": attacker}
    assert kube_api.call("PUT", paths[0], put).status == 500
    for path in paths:
        kube_api.call("PATCH", path, {"metadata": {"labels": {"team": "erp"}}}, **merge).expect(200)
        kube_api.call("PATCH", path, {"metadata": {"finalizers": None}}, **merge).expect(200)
        assert kube_api.call("GET", path).status == 404


def test_name_of_a_node_is_a_nodes_only_in_the_group_of_nodes(
    kube_api: KubeApi, closed: str, endpoint: Endpoint, install: Any
) -> None:
    endpoint.close()
    install(endpoint.url, endpoint.bundle)
    wait_until(lambda: create(kube_api, deployment("probe"), closed, dryRun="All").status != 201)

    def status(name: str, *groups: str) -> int:
        who: dict[str, Any] = {"impersonate": name, "groups": (*groups, *MASTERS)}
        return create(kube_api, deployment(), closed, dryRun="All", **who).status

    assert status("system:node:n1", "system:nodes") == 201
    assert status("system:node:n1") == 500
    assert status("n1", "system:nodes") == 500
    assert status(REPLICASET_CONTROLLER) == 201


def test_bundle_in_the_registration_is_exactly_the_authority(settings: Settings, tmp_path: Path) -> None:
    made = certificates.make(["guardian.example"], tmp_path / "tls", now=datetime.now(UTC), days=30)
    bundle = certificates.read_bundle(made.authority)
    (registered,) = by_url(settings, "https://guardian.example:8443", kinds=DEFAULT_KINDS, ca_bundle=bundle)
    for webhook in registered["webhooks"]:
        assert base64.b64decode(webhook["clientConfig"]["caBundle"]) == made.authority.read_bytes()
