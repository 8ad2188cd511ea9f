"""The API server that tests run against is a real one, answers as one, and leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import kubernetes
import pytest
from kubernetes.client import ApiClient, ApiException, AppsV1Api, AuthenticationV1Api, CoreV1Api, V1SelfSubjectReview

from tests.tools.build import TOOLS, tool_path
from tests.tools.kube import KubeApi, KubeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

ROOT = Path(__file__).resolve().parents[2]
REPLICASET_CONTROLLER = "system:serviceaccount:kube-system:replicaset-controller"
DEPLOYMENT: Mapping[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "odoo"},
    "spec": {
        "selector": {"matchLabels": {"app": "odoo"}},
        "template": {
            "metadata": {"labels": {"app": "odoo"}},
            "spec": {"containers": [{"name": "odoo", "image": "odoo:18"}]},
        },
    },
}
POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "odoo"}, "spec": DEPLOYMENT["spec"]["template"]["spec"]}


def test_server_is_the_pinned_kubernetes(kube_api: KubeApi) -> None:
    assert kube_api.version == f"v{TOOLS['kube-apiserver'].pinned()}"


def test_rbac_forbids_nobody_what_admin_may(kube_api: KubeApi, kube_namespace: str) -> None:
    with kube_api.client(token=kube_api.token("nobody")) as nobody, pytest.raises(ApiException) as refused:
        CoreV1Api(nobody).list_namespaced_secret(kube_namespace)
    assert refused.value.status == 403
    assert r"User \"nobody\" cannot list resource \"secrets\"" in str(refused.value.body)
    with kube_api.client() as admin:
        assert CoreV1Api(admin).list_namespaced_secret(kube_namespace).items == []


def test_deployment_is_stored_with_the_servers_defaults(kube_api: KubeApi, kube_namespace: str) -> None:
    kube_api.apply(DEPLOYMENT, namespace=kube_namespace).expect(201)
    with kube_api.client() as client:
        stored: Any = AppsV1Api(client).read_namespaced_deployment("odoo", kube_namespace)
    assert (stored.spec.replicas, stored.spec.strategy.type) == (1, "RollingUpdate")
    assert stored.spec.template.spec.restart_policy == "Always"


def test_field_that_does_not_exist_is_refused(kube_api: KubeApi, kube_namespace: str) -> None:
    wrong = {**DEPLOYMENT, "spec": DEPLOYMENT["spec"] | {"replica": 2}}
    answer = kube_api.apply(wrong, namespace=kube_namespace)
    assert answer.status == 500  # sic, with what is wrong as its message
    assert "replica" in answer.text


def test_controller_is_impersonated_with_all_its_groups(kube_api: KubeApi, kube_namespace: str) -> None:
    groups = ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"]
    with kube_api.client(impersonate=REPLICASET_CONTROLLER, groups=groups) as controller:
        assert who(controller) == (REPLICASET_CONTROLLER, groups)
        with pytest.raises(ApiException, match="Forbidden"):
            CoreV1Api(controller).list_namespaced_secret(kube_namespace)
    path = f"/api/v1/namespaces/{kube_namespace}/pods"
    kube_api.call("POST", path, POD, impersonate=REPLICASET_CONTROLLER, groups=groups).expect(201)


def test_kubeconfig_logs_its_user_in(kube_api: KubeApi, kube_namespace: str) -> None:
    account = f"system:serviceaccount:{kube_namespace}:default"
    for user in ("admin", "auditor", account):
        make: Callable[[str], ApiClient] = kubernetes.config.new_client_from_config
        with make(str(kube_api.kubeconfig(user))) as client:
            assert who(client)[0] == user


def test_token_of_an_unknown_user_or_group_is_refused_with_what_there_is(kube_api: KubeApi) -> None:
    for user, groups in (("mallory", ()), ("nobody", ("system:masters",))):
        with pytest.raises(KubeError, match=r"there are .*auditor"):
            kube_api.token(user, groups)


def test_namespace_is_gone_with_all_that_was_in_it(kube_api: KubeApi) -> None:
    with kube_api.namespace(labels={"team": "erp"}) as name:
        assert kube_api.call("GET", f"/api/v1/namespaces/{name}").json["metadata"]["labels"]["team"] == "erp"
        kube_api.apply(DEPLOYMENT, namespace=name).expect(201)
        kube_api.apply(POD | {"spec": POD["spec"] | {"nodeName": "node-1"}}, namespace=name).expect(201)
    assert kube_api.call("GET", f"/api/v1/namespaces/{name}").status == 404
    for path in ("/apis/apps/v1/deployments", "/api/v1/pods", "/api/v1/serviceaccounts"):
        assert name not in [item["metadata"]["namespace"] for item in kube_api.call("GET", path).json["items"]]


def test_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "kube-apiserver"
    broken.write_text("#!/bin/sh\necho no flag of mine >&2\nexit 7\n")
    broken.chmod(0o755)
    api = KubeApi(etcd=tool_path("etcd"), kube_apiserver=broken)
    with pytest.raises(KubeError, match=r"(?s)kube-apiserver ended with exit 7.*no flag of mine"), api:
        pass
    assert not api.folder.exists()
    assert servers_in(api.folder) == []


def test_nothing_is_left_after_the_context_ends() -> None:
    with KubeApi(etcd=tool_path("etcd"), kube_apiserver=tool_path("kube-apiserver")) as api:
        assert len(servers_in(api.folder)) == 2
    assert servers_in(api.folder) == []
    assert not api.folder.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_process_that_started_it_is_killed(number: signal.Signals) -> None:
    code = (
        "import time; from tests.tools.build import tool_path; from tests.tools.kube import KubeApi\n"
        "with KubeApi(etcd=tool_path('etcd'), kube_apiserver=tool_path('kube-apiserver')) as api:\n"
        "    print(api.folder, flush=True); time.sleep(600)\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as started:
        assert started.stdout is not None
        folder = Path(started.stdout.readline().strip())
        assert len(servers_in(folder)) == 2
        started.send_signal(number)
    deadline = time.monotonic() + 60
    while (folder.exists() or servers_in(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert servers_in(folder) == []
    assert not folder.exists()


def who(client: ApiClient) -> tuple[str, list[str]]:
    """The user and groups that the server takes the owner of `client` for."""
    answer: Any = AuthenticationV1Api(client).create_self_subject_review(V1SelfSubjectReview())
    return answer.status.user_info.username, answer.status.user_info.groups


def servers_in(folder: Path) -> list[int]:
    """Process ids of what runs in `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                where = str((entry / "cwd").readlink())
            except OSError:  # ended meanwhile, or another user's
                continue
            if where.removesuffix(" (deleted)") == str(folder):
                found.append(int(entry.name))
    return found
