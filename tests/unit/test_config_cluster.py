# ruff: noqa: E501 -- a table of mistakes reads better unwrapped
from __future__ import annotations

from pathlib import Path

import pytest

from guardian import config
from guardian.errors import ConfigError
from guardian.settings import EngineSettings, KubernetesCollector, Secret, Settings, WebhookSettings

EXAMPLE = """\
environment: production
services:
- {name: erp, tier: critical, match: [{collector: prod-eu, namespace: erp}, {collector: prod-eu, namespace: kube-system}, {collector: other, namespace: db}]}
- {name: wiki, tier: low, match: [{collector: prod-eu, namespace: wiki}]}
collectors:
- {name: prod-eu, type: kubernetes, kubeconfig: kube/config, context: admin, kinds: [k8s.apps.Deployment, k8s.example.org.Widget]}
- {name: other, type: postgres, dsn: "env:DSN"}
engine: {type: opa, url: "https://opa.example:8181/", token: "env:T", ca: ca.pem}
policies: {folder: rego}
webhook: {certificate: tls/tls.crt, key: "file:tls/tls.key"}
"""
KUBE = "collectors: [{name: c, type: kubernetes}]\n"
HOOK = "certificate: c.pem, key: 'file:k.pem'"


def load(folder: Path, text: str, *, check_secrets: bool = False) -> Settings:
    path = folder / "guardian.yaml"
    path.write_text(text, encoding="utf-8")
    return config.load(path, check_secrets=check_secrets)


def complaints(folder: Path, text: str, *, check_secrets: bool = False) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(folder, text, check_secrets=check_secrets)
    return [line.removeprefix(f"{folder / 'guardian.yaml'}:") for line in str(caught.value).split("\n")]


def webhook(folder: Path, more: str, around: str = KUBE) -> WebhookSettings:
    found = load(folder, f"environment: e\n{around}webhook: {{{HOOK}{more}}}\n").webhook
    assert found is not None
    return found


def test_cluster_engine_policies_and_webhook_become_settings(tmp_path: Path) -> None:
    settings = load(tmp_path, EXAMPLE)
    assert settings.collectors[0] == KubernetesCollector(
        "prod-eu", tmp_path / "kube/config", "admin", ("k8s.apps.Deployment", "k8s.example.org.Widget")
    )
    token = Secret("env:T", f"{tmp_path}/guardian.yaml:8: engine.token: ")
    assert settings.engine == EngineSettings("opa", "https://opa.example:8181", token, tmp_path / "ca.pem", None)
    assert settings.policies == tmp_path / "rego"
    assert settings.webhook == WebhookSettings(
        collector="prod-eu",
        certificate=tmp_path / "tls/tls.crt",
        key=tmp_path / "tls/tls.key",
        spool=tmp_path / ".guardian/spool",
        fail_closed=("erp",),
    )


def test_what_is_not_said_of_a_cluster_has_its_default(tmp_path: Path) -> None:
    settings = load(tmp_path, "environment: e\n" + KUBE)
    assert settings.collectors == (KubernetesCollector("c"),)
    assert (settings.engine, settings.policies, settings.webhook) == (EngineSettings(), None, None)


def test_webhook_takes_what_is_said(tmp_path: Path) -> None:
    found = webhook(
        tmp_path,
        ", collector: c, listen: '[::1]:0', clientCA: ca.pem, timeout: 1s, deadline: 800ms, failClosed: [a], exempt: [],"
        " workers: 2, queue: 1, spool: /var/spool/g",
    )
    assert (found.host, found.port, found.client_ca) == ("::1", 0, tmp_path / "ca.pem")
    assert (found.timeout_s, found.deadline_s, found.workers, found.queue) == (1, 0.8, 2, 1)
    assert (found.fail_closed, found.exempt, found.spool) == (("a",), (), Path("/var/spool/g"))


@pytest.mark.parametrize(("timeout", "deadline_s"), [("30s", 4.0), ("5s", 4.0), ("3s", 2.4), ("1s", 0.8)])
def test_default_deadline_leaves_time_to_answer(tmp_path: Path, timeout: str, deadline_s: float) -> None:
    assert webhook(tmp_path, f", timeout: {timeout}").deadline_s == pytest.approx(deadline_s)


def test_spool_lies_beside_the_objects_where_the_database_is_a_server(tmp_path: Path) -> None:
    around = KUBE + "storage: {database: 'env:DB', objects: /srv/guardian/objects}\n"
    assert webhook(tmp_path, "", around).spool == Path("/srv/guardian/spool")


@pytest.mark.parametrize(
    "url", ["https://opa.example", "http://localhost:8181", "http://127.0.0.2:1", "http://[::1]:8181/sub"]
)
def test_opa_may_be_remote_over_tls_or_local(tmp_path: Path, url: str) -> None:
    assert load(tmp_path, f"environment: e\nengine: {{type: opa, url: '{url}'}}\n").engine.url == url


def test_opa_may_be_a_child_of_a_named_program(tmp_path: Path) -> None:
    settings = load(tmp_path, "environment: e\nengine: {type: opa, command: bin/opa}\n")
    assert settings.engine == EngineSettings("opa", command=tmp_path / "bin/opa")


CASES = {
    "key of another type of collector": (
        'collectors: [{name: c, type: postgres, dsn: "env:A", context: x}]',
        "collectors[0].context: belongs to a collector of type kubernetes, and this one is postgres; remove it, or change type",
    ),
    "dsn of a cluster": (
        'collectors: [{name: c, type: kubernetes, dsn: "env:A"}]',
        "collectors[0].dsn: belongs to a collector of type postgres, and this one is kubernetes; remove it, or change type",
    ),
    "postgres without dsn": (
        "collectors: [{name: c, type: postgres}]",
        "collectors[0].dsn: required, but missing; add it",
    ),
    "context without kubeconfig": (
        "collectors: [{name: c, type: kubernetes, context: x}]",
        "collectors[0].context: a context is one of a kubeconfig; add kubeconfig, or remove it",
    ),
    "kind without group": (
        "collectors: [{name: c, type: kubernetes, kinds: [Deployment]}]",
        "collectors[0].kinds[0]: 'Deployment' is not a Kubernetes kind; did you mean k8s.apps.Deployment?",
    ),
    "kind as kubectl says it": (
        "collectors: [{name: c, type: kubernetes, kinds: [pods]}]",
        "collectors[0].kinds[0]: 'pods' is not a Kubernetes kind; did you mean k8s.core.Pod?",
    ),
    "kind in small letters": (
        "collectors: [{name: c, type: kubernetes, kinds: [k8s.apps.deployment]}]",
        "collectors[0].kinds[0]: 'k8s.apps.deployment' is not a Kubernetes kind; did you mean k8s.apps.Deployment?",
    ),
    "kind misspelled": (
        "collectors: [{name: c, type: kubernetes, kinds: [k8s.apps.Deploymnet]}]",
        "collectors[0].kinds[0]: 'Deploymnet' is not a kind of its group; did you mean k8s.apps.Deployment?",
    ),
    "kind like nothing": (
        "collectors: [{name: c, type: kubernetes, kinds: [zzz]}]",
        "collectors[0].kinds[0]: 'zzz' is not a Kubernetes kind; expected one like k8s.apps.Deployment or k8s.core.Pod",
    ),
    "kind twice": (
        "collectors: [{name: c, type: kubernetes, kinds: [k8s.core.Pod, k8s.core.Pod]}]",
        "collectors[0].kinds[1]: 'k8s.core.Pod' stands twice; keep one",
    ),
    "asset in a cluster": (
        'services: [{name: s, assets: [{name: a, type: odoo, source: {postgres: c}}]}]\ncollectors: [{name: c, type: kubernetes}, {name: d, type: postgres, dsn: "env:A"}]',
        "services[0].assets[0].source.postgres: the collector 'c' is of type kubernetes; name one of type postgres: d",
    ),
    "wasm with a URL": (
        "engine: {url: 'https://x'}",
        "engine.url: belongs to an engine of type opa, and this one is wasm; remove it, or change type",
    ),
    "url and command": (
        "engine: {type: opa, url: 'https://x', command: /opa}",
        "engine.command: url and command exclude each other: OPA runs elsewhere, or as a child of Guardian; remove one",
    ),
    "token for a child": (
        "engine: {type: opa, token: 'env:T'}",
        "engine.token: is for an OPA server at url; add url, or remove it",
    ),
    "token itself": (
        "engine: {type: opa, url: 'https://x', token: hunter2}",
        "engine.token: a secret must be a reference, env:NAME or file:PATH, never the value itself (not repeated here); move the value there and write the reference",
    ),
    "ca of http": (
        "engine: {type: opa, url: 'http://localhost', ca: ca.pem}",
        "engine.ca: http has no certificate to check; use https, or remove it",
    ),
    "http to elsewhere": (
        "engine: {type: opa, url: 'http://opa.example'}",
        "engine.url: must begin with https://; http:// only to this machine (localhost, 127.0.0.1, [::1])",
    ),
    "http to what looks local": (
        "engine: {type: opa, url: 'http://127.0.0.1.example'}",
        "engine.url: must begin with https://; http:// only to this machine (localhost, 127.0.0.1, [::1])",
    ),
    "socket as URL": (
        "engine: {type: opa, url: /run/opa.sock}",
        "engine.url: expected a URL like https://opa.example:8181, without query",
    ),
    "port out of range": (
        "engine: {type: opa, url: 'https://opa:99999'}",
        "engine.url: expected a URL like https://opa.example:8181, without query",
    ),
    "URL with a password": (
        "engine: {type: opa, url: 'https://u:hunter2@opa'}",
        "engine.url: a URL must not hold a user or password (not repeated here); write token: env:NAME or file:PATH",
    ),
    "policies without folder": ("policies: {}", "policies.folder: required, but missing; add it"),
    "webhook without a cluster": (
        f"webhook: {{{HOOK}}}",
        "webhook: needs a collector of type kubernetes, whose name the ids carry; add one to collectors",
    ),
    "webhook of several clusters": (
        f"webhook: {{{HOOK}}}\ncollectors: [{{name: a, type: kubernetes}}, {{name: b, type: kubernetes}}]",
        "webhook: there are several clusters; add collector: one of a, b",
    ),
    "webhook of a database": (
        f'webhook: {{{HOOK}, collector: d}}\ncollectors: [{{name: d, type: postgres, dsn: "env:A"}}]',
        "webhook.collector: the collector 'd' is of type postgres; add one of type kubernetes to collectors",
    ),
    "webhook of an unknown cluster": (
        f"webhook: {{{HOOK}, collector: prod}}\ncollectors: [{{name: prd, type: kubernetes}}]",
        "webhook.collector: there is no collector called 'prod'; did you mean prd?",
    ),
    "webhook without certificate": (
        f"webhook: {{key: 'file:k'}}\n{KUBE}",
        "webhook.certificate: required, but missing; add it",
    ),
    "webhook key in the environment": (
        f"webhook: {{certificate: c, key: 'env:K'}}\n{KUBE}",
        "webhook.key: must be a file: reference; it is read again when the file changes",
    ),
    "timeout too long": (
        f"webhook: {{{HOOK}, timeout: 31s}}\n{KUBE}",
        "webhook.timeout: 31s is out of range; expected 1s to 30s",
    ),
    "deadline after the timeout": (
        f"webhook: {{{HOOK}, timeout: 3s, deadline: 3000ms}}\n{KUBE}",
        "webhook.deadline: must be shorter than the timeout of 3s, after which nobody waits for the answer",
    ),
    "deadline after the default timeout": (
        f"webhook: {{{HOOK}, deadline: 5s}}\n{KUBE}",
        "webhook.deadline: must be shorter than the timeout of 5s, after which nobody waits for the answer",
    ),
    "deadline without unit": (
        f"webhook: {{{HOOK}, deadline: 4}}\n{KUBE}",
        "webhook.deadline: 4 is not a short time; expected one like 4s or 800ms",
    ),
    "listening on a port only": (
        f"webhook: {{{HOOK}, listen: 8443}}\n{KUBE}",
        "webhook.listen: 8443 is not an address to listen on; expected one like 0.0.0.0:8443 or [::]:8443",
    ),
    "port beyond ports": (
        f"webhook: {{{HOOK}, listen: '0.0.0.0:65536'}}\n{KUBE}",
        "webhook.listen: this text is not an address to listen on; expected one like 0.0.0.0:8443 or [::]:8443",
    ),
    "namespace that cannot be": (
        f"webhook: {{{HOOK}, failClosed: [ERP]}}\n{KUBE}",
        "webhook.failClosed[0]: 'ERP' cannot be a namespace; use a-z, 0-9 and '-', at most 63",
    ),
    "closed but exempt": (
        f"webhook: {{{HOOK}, failClosed: [kube-system]}}\n{KUBE}",
        "webhook.failClosed[0]: 'kube-system' is exempt, so nothing is judged there; remove it here, or from webhook.exempt",
    ),
    "no workers": (f"webhook: {{{HOOK}, workers: 0}}\n{KUBE}", "webhook.workers: 0 is out of range; expected 1 to 64"),
    "unknown key of the webhook": (
        f"webhook: {{{HOOK}, clientCa: x}}\n{KUBE}",
        "webhook.clientCa: unknown key; did you mean clientCA?",
    ),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_mistake_is_named_with_its_line_and_the_way_out(tmp_path: Path, text: str, expected: str) -> None:
    found = complaints(tmp_path, f"environment: e\n{text}\n")
    assert found == [f"2: {expected}"]
    assert "hunter2" not in str(found)


def test_key_of_the_webhook_that_others_may_read_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "k.pem"
    key.touch()
    key.chmod(0o644)
    text = f"environment: e\n{KUBE}webhook: {{{HOOK}}}\n"
    expected = f"3: webhook.key: the key file may be used by others (mode 0644); run: chmod 0600 {key}"
    assert complaints(tmp_path, text) == [expected]
    key.chmod(0o600)
    assert load(tmp_path, text).webhook is not None


def test_missing_token_is_told_when_asked_for_and_the_webhooks_key_is_its_own_affair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GUARDIAN_TEST_TOKEN", raising=False)
    text = (
        f"environment: e\n{KUBE}engine: {{type: opa, url: 'https://x', token: 'env:GUARDIAN_TEST_TOKEN'}}\n"
        f"webhook: {{{HOOK}}}\n"
    )
    [found] = [line for line in complaints(tmp_path, text, check_secrets=True) if "keys." not in line]
    assert found.startswith("3: engine.token: the environment variable GUARDIAN_TEST_TOKEN is not set")
