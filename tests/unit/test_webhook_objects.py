"""What installs the webhook: who is asked about what, and what the Pods are given; pure."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from guardian import config
from guardian.errors import UsageError
from guardian.kubernetes_kinds import DEFAULT_KINDS
from guardian.policy.metadata import Catalogue
from guardian.usecases.builtin_controllers import is_controller, usernames
from guardian.usecases.webhook_manifests import Install, admission_kinds, by_url, in_cluster, preparations
from guardian.usecases.webhook_registration import registration

if TYPE_CHECKING:
    from pathlib import Path

    from guardian.policy.bundle import Bundle
    from guardian.settings import Settings

URL = "https://guardian.example:8443/v1/admit"
BUNDLE = b"-----BEGIN CERTIFICATE-----\n"
INSTALL = Install(image="registry.example/guardian@sha256:00", ca_bundle=BUNDLE)
SECRETS = {"GUARDIAN_DATABASE": "postgresql://u:canary-database@h/d", "REDACTION": "canary-redaction"}


def settings_of(folder: Path, webhook: str = "", more: str = "", database: str = "env:GUARDIAN_DATABASE") -> Settings:
    (folder / "guardian.yaml").write_text(
        "environment: production\n"
        "collectors: [{name: prod, type: kubernetes}]\n"
        f'webhook: {{certificate: tls/tls.pem, key: "file:tls/tls.key"{webhook}}}\n'
        f'storage: {{database: "{database}", objects: state/objects}}\n'
        'keys: {redaction: "env:REDACTION"}\n' + more
    )
    return config.load(folder / "guardian.yaml")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path, ", failClosed: [erp, mes]")


def webhooks(settings: Settings, kinds: Any = DEFAULT_KINDS) -> dict[str, dict[str, Any]]:
    (registered,) = by_url(settings, URL, kinds=kinds, ca_bundle=BUNDLE)
    return {webhook["name"].partition(".")[0]: webhook for webhook in registered["webhooks"]}


def selected(webhook: dict[str, Any]) -> tuple[str, str, list[str]]:
    (expression,) = webhook["namespaceSelector"]["matchExpressions"]
    return expression["key"], expression["operator"], expression["values"]


def asked(webhook: dict[str, Any], scope: str) -> set[str]:
    return {name for rule in webhook["rules"] if rule["scope"] == scope for name in rule["resources"]}


def test_only_declared_namespaces_fail_closed_and_no_label_but_the_name_exempts(settings: Settings) -> None:
    found = webhooks(settings)
    assert {name: webhook["failurePolicy"] for name, webhook in found.items()} == {
        "fail-closed": "Fail",
        "self-healing": "Ignore",
        "fail-open": "Ignore",
    }
    label = "kubernetes.io/metadata.name"
    assert selected(found["fail-closed"]) == selected(found["self-healing"]) == (label, "In", ["erp", "mes"])
    assert selected(found["fail-open"]) == (label, "NotIn", ["erp", "guardian", "kube-system", "mes"])
    for webhook in found.values():
        assert "objectSelector" not in webhook
        assert (webhook["sideEffects"], webhook["matchPolicy"]) == ("NoneOnDryRun", "Equivalent")
        assert (webhook["timeoutSeconds"], webhook["admissionReviewVersions"]) == (5, ["v1"])
        assert webhook["clientConfig"] == {"url": URL, "caBundle": base64.b64encode(BUNDLE).decode()}


def test_without_namespaces_that_fail_closed_nothing_does(tmp_path: Path) -> None:
    found = webhooks(settings_of(tmp_path, ", failClosed: []"))
    assert list(found) == ["fail-open"]
    assert found["fail-open"]["failurePolicy"] == "Ignore"


def test_objects_without_a_namespace_are_asked_about_by_one_webhook(settings: Settings) -> None:
    found = webhooks(settings)
    assert asked(found["fail-open"], "Cluster") == {"namespaces", "nodes", "clusterroles", "clusterrolebindings"}
    assert asked(found["fail-closed"], "Cluster") == {"namespaces"}  # told apart by their own name
    assert asked(found["fail-closed"], "Namespaced") == asked(found["fail-open"], "Namespaced")


def test_containers_added_to_a_running_pod_are_asked_about_and_other_parts_are_not(settings: Settings) -> None:
    resources = asked(webhooks(settings)["fail-open"], "Namespaced")
    assert {name for name in resources if "/" in name} == {"pods/ephemeralcontainers", "pods/resize"}
    assert {"pods", "deployments", "networkpolicies", "rolebindings"} <= resources


def test_users_kinds_are_asked_about_in_any_version_and_any_scope(settings: Settings) -> None:
    found = webhooks(settings, ["k8s.example.com.Policy", "k8s.core.Endpoints", "k8s.networking.k8s.io.Ingress"])
    rules = {rule["resources"][0]: rule for rule in found["fail-open"]["rules"] if rule["scope"] == "Namespaced"}
    assert set(rules) == {"policies", "endpoints", "ingresses"}
    assert (rules["policies"]["apiGroups"], rules["policies"]["apiVersions"]) == (["example.com"], ["*"])
    assert rules["endpoints"]["apiGroups"] == [""]
    assert asked(found["fail-open"], "Cluster") == {"policies"}


def test_every_builtin_controller_is_named_in_the_condition_that_spares_it(settings: Settings) -> None:
    def healing(name: str) -> str:
        conditions = {entry["name"]: entry["expression"] for entry in webhooks(settings)[name]["matchConditions"]}
        return str(conditions["healing"])

    named = set(re.findall(r'"([^"]+)"', healing("self-healing")))
    assert named == {*usernames(), "system:node:", "system:nodes", "metadata"}
    assert all(is_controller(name, ()) for name in usernames())
    assert "system:serviceaccount:kube-system:replicaset-controller" in named
    assert healing("fail-closed") == f"!({healing('self-healing')})"
    assert "healing" not in {entry["name"] for entry in webhooks(settings)["fail-open"]["matchConditions"]}


def test_nothing_to_judge_is_nothing_to_install(settings: Settings) -> None:
    with pytest.raises(UsageError, match="no control judges a Kubernetes kind at admission"):
        webhooks(settings, ["postgres.Role", "guardian.Service"])


@pytest.mark.parametrize("namespace", ["kube-system", "own"])
def test_namespace_that_must_be_exempt_cannot_fail_closed(settings: Settings, namespace: str) -> None:
    assert settings.webhook is not None
    webhook = dataclasses.replace(settings.webhook, fail_closed=(namespace,), exempt=())
    with pytest.raises(UsageError, match=f"failClosed names {namespace}, which is exempt"):
        registration(webhook, kinds=DEFAULT_KINDS, client={"url": URL}, ca_bundle=None, own_namespace="own")


def test_kinds_are_those_of_controls_that_judge_at_admission(policy_bundle: Bundle) -> None:
    controls = dict(policy_bundle.catalogue.controls)
    name, control = next(iter(controls.items()))
    controls[name] = dataclasses.replace(
        control, stages=("audit", "admission"), judges=("k8s.apps.Deployment", "postgres.Role")
    )
    audited = [dataclasses.replace(c, stages=("audit",)) for other, c in controls.items() if other != name]
    only = Catalogue({c.id: c for c in [controls[name], *audited]})
    assert admission_kinds(only) == ["k8s.apps.Deployment"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://h/v1/admit", "https"),
        ("https:///v1/admit", "https"),
        ("https://u:p@h/v1/admit", "no user"),
        ("https://h/v1/admit?x=1", "no user, query"),
        ("https://h/v1/admit#x", "no user, query or fragment"),
        ("https://h/other", "answers at /v1/admit"),
        ("https://h:99999/v1/admit", "no URL"),
        ("guardian:8443", "https"),
    ],
)
def test_url_that_an_api_server_would_not_call_is_refused(settings: Settings, url: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        by_url(settings, url, kinds=DEFAULT_KINDS, ca_bundle=None)


@pytest.mark.parametrize("url", ["https://h:8443", "https://h:8443/", "https://h:8443/v1/admit"])
def test_path_of_the_url_may_be_left_out(settings: Settings, url: str) -> None:
    (registered,) = by_url(settings, url, kinds=DEFAULT_KINDS, ca_bundle=None)
    assert {json.dumps(w["clientConfig"]) for w in registered["webhooks"]} == {'{"url": "https://h:8443/v1/admit"}'}


def one(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [obj for obj in objects if obj["kind"] == kind]
    return found


def test_no_secret_is_in_any_object_or_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    more = 'engine: {type: opa, url: "https://opa.example", token: "file:keys/opa.token"}\n'
    settings = settings_of(tmp_path, more=more)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "opa.token").write_text("canary-token")
    printed = json.dumps(in_cluster(settings, INSTALL, kinds=DEFAULT_KINDS)) + str(preparations(settings, INSTALL))
    assert "canary" not in printed
    assert [obj["kind"] for obj in in_cluster(settings, INSTALL, kinds=DEFAULT_KINDS)].count("Secret") == 0


def test_what_the_pod_mounts_is_what_the_commands_make(tmp_path: Path) -> None:
    settings = settings_of(
        tmp_path,
        ", clientCA: /srv/ca/clients.pem",
        'engine: {type: opa, url: "https://opa.example", token: "env:OPA_TOKEN", ca: opa.pem}\n'
        "policies: {folder: policies}\n",
    )
    install = dataclasses.replace(INSTALL, policies=("erp/odoo.rego", "lib/odoo.rego", "params.yaml"))
    spec = one(in_cluster(settings, install, kinds=DEFAULT_KINDS), "Deployment")["spec"]["template"]["spec"]
    named: set[tuple[str, str, str]] = set()
    for volume in spec["volumes"]:
        for source in volume.get("projected", {}).get("sources", []):
            for kind, content in source.items():
                named |= {(kind.lower(), content["name"], item["key"]) for item in content["items"]}
        if "configMap" in volume:
            named |= {("configmap", volume["configMap"]["name"], item["key"]) for item in volume["configMap"]["items"]}
    for variable in spec["containers"][0]["env"]:
        if "valueFrom" in variable:
            reference = variable["valueFrom"]["secretKeyRef"]
            named.add(("secret", reference["name"], reference["key"]))
    made: set[tuple[str, str, str]] = set()
    for command in preparations(settings, install):
        found = re.fullmatch(
            r"kubectl --namespace guardian create (configmap|secret tls|secret generic) (\S+) (.*)", command
        )
        assert found is not None
        if found[1] == "secret tls":
            made |= {("secret", found[2], key) for key in ("tls.crt", "tls.key")}
        else:
            keys = re.findall(r"--from-file=([\w.-]+)=", found[3])
            made |= {(found[1].partition(" ")[0], found[2], key) for key in keys}
    assert named == made
    places = {mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
    assert {
        "/etc/guardian",
        "/etc/guardian/tls",
        "/srv/ca",
        "/etc/guardian/policies",
        "/etc/guardian/state/spool",
    } <= places


def test_policies_lie_in_the_pod_as_they_lie_here(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, more="policies: {folder: policies}\n")
    paths = ("erp/odoo.rego", "mes/odoo.rego", "params.yaml")
    install = dataclasses.replace(INSTALL, policies=paths)
    spec = one(in_cluster(settings, install, kinds=DEFAULT_KINDS), "Deployment")["spec"]["template"]["spec"]
    (volume,) = [volume["configMap"] for volume in spec["volumes"] if volume["name"] == "guardian-policies"]
    assert [item["path"] for item in volume["items"]] == list(paths)
    (command,) = [text for text in preparations(settings, install) if "configmap guardian-policies" in text]
    sources = dict(re.findall(r"--from-file=(\S+)=(\S+)", command))
    assert {item["key"]: str(tmp_path / "policies" / item["path"]) for item in volume["items"]} == sources
    assert all(re.fullmatch(r"[-._a-zA-Z0-9]+", key) for key in sources)  # what a ConfigMap takes


def test_policies_whose_keys_would_be_one_are_refused(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, more="policies: {folder: policies}\n")
    install = dataclasses.replace(INSTALL, policies=("a/b__c.rego", "a__b/c.rego"))
    with pytest.raises(UsageError, match=r"a/b__c\.rego and a__b/c\.rego would both be a__b__c\.rego"):
        in_cluster(settings, install, kinds=DEFAULT_KINDS)


def test_pods_need_no_priority_that_a_quota_must_allow_and_are_replaced_with_the_configuration(
    settings: Settings,
) -> None:
    install = dataclasses.replace(INSTALL, configuration="sha256:12")
    template = one(in_cluster(settings, install, kinds=DEFAULT_KINDS), "Deployment")["spec"]["template"]
    assert template["metadata"]["annotations"] == {"admission.guardian/configuration": "sha256:12"}
    assert "priorityClassName" not in template["spec"]


def test_pods_of_a_webhook_with_client_certificates_are_probed_without_one(tmp_path: Path) -> None:
    for webhook, probe in (("", "httpGet"), (", clientCA: clients.pem", "tcpSocket")):
        objects = in_cluster(settings_of(tmp_path, webhook), INSTALL, kinds=DEFAULT_KINDS)
        container = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert probe in container[name]


def test_own_namespace_is_exempt_whatever_its_name(tmp_path: Path) -> None:
    install = dataclasses.replace(INSTALL, namespace="compliance")
    objects = in_cluster(settings_of(tmp_path, ", exempt: [kube-system]"), install, kinds=DEFAULT_KINDS)
    (webhook,) = one(objects, "ValidatingWebhookConfiguration")["webhooks"]
    assert selected(webhook)[1:] == ("NotIn", ["compliance", "kube-system"])
    assert webhook["clientConfig"]["service"] == {
        "namespace": "compliance",
        "name": "guardian-webhook",
        "path": "/v1/admit",
        "port": 443,
    }
    assert {obj["metadata"].get("namespace", "compliance") for obj in objects} == {"compliance"}


def test_selectors_of_service_budget_and_policy_are_the_labels_of_the_pods(settings: Settings) -> None:
    objects = in_cluster(settings, INSTALL, kinds=DEFAULT_KINDS)
    deployment = one(objects, "Deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    policies = [obj["spec"]["podSelector"] for obj in objects if obj["kind"] == "NetworkPolicy"]
    assert policies == [{}, {"matchLabels": labels}]
    assert one(objects, "Service")["spec"]["selector"] == labels
    assert one(objects, "PodDisruptionBudget")["spec"]["selector"] == {"matchLabels": labels}
    assert deployment["selector"] == {"matchLabels": labels}
    assert {c["labelSelector"]["matchLabels"] == labels for c in _spread(deployment)} == {True}
    assert deployment["replicas"] == 2


def _spread(deployment: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = deployment["template"]["spec"]["topologySpreadConstraints"]
    return found


def test_network_policies_let_in_the_port_alone_and_out_what_the_webhook_asks(tmp_path: Path) -> None:
    more = 'engine: {type: opa, url: "https://opa.example:8181"}\n'
    objects = in_cluster(settings_of(tmp_path, ', listen: "0.0.0.0:9443"', more), INSTALL, kinds=DEFAULT_KINDS)
    nothing, some = [obj["spec"] for obj in objects if obj["kind"] == "NetworkPolicy"]
    assert nothing == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert some["ingress"] == [{"ports": [{"protocol": "TCP", "port": 9443}]}]
    assert [[port["port"] for port in rule["ports"]] for rule in some["egress"]] == [[53, 53], [5432, 8181]]


def test_certificates_of_cert_manager_are_for_the_names_of_the_service(settings: Settings) -> None:
    install = Install(image="i", namespace="compliance", cert_manager=True)
    objects = in_cluster(settings, install, kinds=DEFAULT_KINDS)
    made = [obj for obj in objects if obj["apiVersion"] == "cert-manager.io/v1"]
    assert [obj["kind"] for obj in made] == ["Issuer", "Certificate", "Issuer", "Certificate"]
    serving = made[-1]["spec"]
    assert serving["dnsNames"] == ["guardian-webhook.compliance.svc", "guardian-webhook.compliance.svc.cluster.local"]
    assert (serving["secretName"], serving["issuerRef"]["name"]) == ("guardian-webhook-tls", "guardian-webhook-ca")
    assert made[2]["spec"] == {"ca": {"secretName": made[1]["spec"]["secretName"]}}
    registered = one(objects, "ValidatingWebhookConfiguration")
    wanted = {"cert-manager.io/inject-ca-from": "compliance/guardian-webhook"}
    assert registered["metadata"]["annotations"] == wanted
    assert all("caBundle" not in webhook["clientConfig"] for webhook in registered["webhooks"])
    assert not any("secret tls" in command for command in preparations(settings, install))


@pytest.mark.parametrize(
    ("install", "said"),
    [
        (dataclasses.replace(INSTALL, namespace="Guardian"), "no name for a namespace"),
        (dataclasses.replace(INSTALL, namespace="a" * 64), "no name for a namespace"),
        (dataclasses.replace(INSTALL, image=" "), "no container image"),
        (dataclasses.replace(INSTALL, ca_bundle=None), "by which CA"),
    ],
)
def test_install_that_could_not_work_is_refused(settings: Settings, install: Install, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        in_cluster(settings, install, kinds=DEFAULT_KINDS)


@pytest.mark.parametrize(
    ("webhook", "database", "said"),
    [
        ("", "guardian.db", "a log that two replicas cannot share"),
        (', listen: "127.0.0.1:8443"', "env:GUARDIAN_DATABASE", "nobody outside the Pod reaches"),
        (", spool: tls", "env:GUARDIAN_DATABASE", "/etc/guardian/tls .in the Pod. files of different kinds"),
    ],
)
def test_configuration_that_could_not_work_in_a_pod_is_refused(
    tmp_path: Path, webhook: str, database: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        in_cluster(settings_of(tmp_path, webhook, database=database), INSTALL, kinds=DEFAULT_KINDS)


def test_configuration_without_a_webhook_is_refused(settings: Settings) -> None:
    without = dataclasses.replace(settings, webhook=None)
    with pytest.raises(UsageError, match="has no `webhook:`"):
        by_url(without, URL, kinds=DEFAULT_KINDS, ca_bundle=None)
    with pytest.raises(UsageError, match="has no `webhook:`"):
        in_cluster(without, INSTALL, kinds=DEFAULT_KINDS)
