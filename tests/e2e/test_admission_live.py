"""The webhook as a real API server calls it, and one fixture on every surface that judges it."""

from __future__ import annotations

import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from guardian import config
from guardian.usecases import replay, scan, webhook_install
from guardian.usecases.check import check
from guardian.usecases.ledger import Ledger
from tests.webhook_support import HOST, POLICIES, SLOW, Site, await_that

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.tools.kube import KubeApi

TIMEOUT_S = 5
CONTROLS = ("workload.image-digest", "workload.pod-security", "workload.resources")
DENY = "\ncontrols: {" + ", ".join(f"{control}: {{mode: deny}}" for control in CONTROLS) + "}"


def deployment(namespace: str) -> dict[str, Any]:
    """A Deployment with something wrong for each control, and much that the server will add defaults to."""
    container = {
        "name": "odoo",
        "image": "registry.example.com/odoo:18",
        "env": [{"name": "PGPASSWORD", "value": "canary-5e1c"}],
        "ports": [{"containerPort": 8069}],
        "livenessProbe": {"httpGet": {"path": "/web/health", "port": 8069}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "odoo", "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": {"app": "odoo"}},
            "template": {"metadata": {"labels": {"app": "odoo"}}, "spec": {"containers": [container]}},
        },
    }


def pod(namespace: str, name: str, image: str) -> dict[str, Any]:
    """A Pod of one container."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": [{"name": "c", "image": image}]},
    }


@contextmanager
def registered(site: Site, api: KubeApi) -> Iterator[None]:
    """Have the API server call the site's webhook while the block runs."""
    (site.folder / "ca.pem").write_bytes(site.authority.cert_pem.bytes())
    url = f"https://{HOST}:{site.port}/v1/admit"
    objects = webhook_install.elsewhere(config.load(site.config), url, ca_file=site.folder / "ca.pem")
    for obj in objects:
        api.apply(obj).expect(200)
    try:
        yield
    finally:
        for obj in objects:
            api.call("DELETE", f"{api.path_of(obj)}/{obj['metadata']['name']}").expect(200)


def test_one_fixture_has_the_same_findings_on_scan_check_webhook_and_replay(
    kube_api: KubeApi, kube_namespace: str, tmp_path: Path
) -> None:
    services = f"[{{name: erp, tier: critical, match: [{{collector: prod-eu, namespace: {kube_namespace}}}]}}]"
    site = Site.make(tmp_path / "site", services=services, kubeconfig=kube_api.kubeconfig(), extra=DENY)
    settings = config.load(site.config)
    wrong = deployment(kube_namespace)
    identity = f"k8s:prod-eu/apps/Deployment/{kube_namespace}/odoo"

    kube_api.apply(wrong).expect(201)  # stored with the server's defaults, before anything stands in its way
    scanned = scan.scan(settings, progress=lambda _step: None)
    by_scan = {
        finding.control: finding.to_json()
        for finding in scanned.evaluation.findings
        if finding.resource == identity and finding.control in CONTROLS
    }
    assert {name: finding["verdict"] for name, finding in by_scan.items()} == dict.fromkeys(CONTROLS, "fail")

    (tmp_path / "odoo.json").write_text(json.dumps(wrong))
    checked = check(
        [str(tmp_path / "odoo.json")],
        settings,
        stdin=io.BytesIO(),
        now=datetime.now(UTC),
        progress=lambda _step: None,
    )
    by_check = {located.finding.control: located.finding.to_json() for located in checked.located}
    assert by_check == by_scan

    path = kube_api.path_of(wrong)
    kube_api.call("DELETE", f"{path}/odoo").expect(200)
    with site.running(), registered(site, kube_api):
        await_that(lambda: kube_api.apply(wrong, dryRun="All").status == 403)
        denied = kube_api.apply(wrong)
        assert denied.status == 403
        assert all(f"[{control}] " in denied.text for control in CONTROLS)
        assert kube_api.call("GET", f"{path}/odoo").status == 404
        audited = kube_api.audited("patch", "deployments")[-1]["annotations"]
    with Ledger(settings, writable=False) as ledger:
        [decision] = [record for record in ledger.records() if record.kind == "admission-decision"]
    assert decision.predicate["resource"] == identity
    by_guardian = {name.rpartition("/")[2]: text for name, text in audited.items() if "admission.guardian/" in name}
    assert by_guardian["decision"] == decision.record_id
    assert by_guardian["bundle"] == decision.predicate["policy"]["bundleDigest"]
    assert by_guardian["violated"] == ",".join(CONTROLS)
    assert {finding["control"]: finding for finding in decision.predicate["findings"]} == by_scan
    assert "canary-5e1c" not in json.dumps(decision.predicate)

    replayed = replay.replay(settings, ())
    assert [(entry.kind, entry.same, entry.changed) for entry in replayed] == [
        ("policy-evaluation", True, []),
        ("admission-decision", True, []),
    ]


@pytest.mark.parametrize("closed", [True, False], ids=["fail-closed", "fail-open"])
def test_an_overloaded_engine_is_answered_for_before_the_api_server_gives_up(
    kube_api: KubeApi, kube_namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, closed: bool
) -> None:
    """Pods that no judging of comes to an end: those that are tried are denied, the others answered as declared."""
    namespaces = kube_namespace if closed else "other"
    webhook = f", failClosed: [{namespaces}], timeout: {TIMEOUT_S}s, deadline: 3s, queue: 1"
    site = Site.make(tmp_path / "site", policies=POLICIES, webhook=webhook)
    monkeypatch.setenv("PATH", f"{site.folder / 'bin'}:{os.environ['PATH']}")
    pods = [pod(kube_namespace, f"slow-{number}", SLOW) for number in range(6)]
    with site.running(), registered(site, kube_api):
        forbidden = pod(kube_namespace, "forbidden", "example.org/forbidden:1")
        await_that(lambda: kube_api.apply(forbidden, dryRun="All").status == 403)
        with ThreadPoolExecutor(len(pods)) as pool:
            answers = list(pool.map(kube_api.apply, pods))
    tried = [answer for answer in answers if answer.status == 403 and "could not be judged" in answer.text]
    late = [answer for answer in answers if answer not in tried]
    assert tried
    assert late
    for answer in late:
        if closed:
            assert answer.status == 403
            assert "Guardian refuses Pod" in answer.text
            assert "this request was not judged" in answer.text
        else:
            assert answer.status == 201
            assert any("this request was not judged" in text for text in answer.warnings)
    with Ledger(config.load(site.config), writable=False) as ledger:
        outcomes = [
            (record.predicate["outcome"], record.predicate["result"])
            for record in ledger.records()
            if record.kind == "admission-decision" and record.predicate["request"]["name"].startswith("slow-")
        ]
    assert sorted(outcomes) == sorted([("error", "ERROR")] * len(tried) + [("overdue", "ERROR")] * len(late))


def test_a_webhook_that_is_gone_blocks_only_people_where_the_namespace_fails_closed(
    kube_api: KubeApi, kube_namespace: str, tmp_path: Path
) -> None:
    site = Site.make(tmp_path / "site", webhook=f", failClosed: [{kube_namespace}]")
    forbidden = pod(kube_namespace, "forbidden", "example.org/forbidden:1")
    controller = "system:serviceaccount:kube-system:replicaset-controller"
    with registered(site, kube_api):
        await_that(lambda: kube_api.apply(forbidden, dryRun="All").status == 500)  # nobody listens
        healed = kube_api.apply(forbidden, impersonate=controller, groups=["system:masters"])
        assert healed.status == 201
        with kube_api.namespace() as elsewhere:
            kube_api.apply(pod(elsewhere, "any", "example.org/any:1")).expect(201)
