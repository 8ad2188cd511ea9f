"""What Kubernetes 1.36 itself makes of roles and bindings is no finding, and one word more or less in them is.

The objects are those of the API server's own tests (tests/data/kubernetes_1_36_rbac.json), and those of a real server.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from guardian.model import Resource, Verdict
from guardian.policy import verdicts
from guardian.policy.build import POLICIES, read_params, run_opa

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from guardian.policy.wasm import WasmEngine
    from tests.tools.kube import KubeApi

DATA = json.loads((Path(__file__).parents[1] / "data" / "kubernetes_1_36_rbac.json").read_text())
CONTROLS = {
    "Role": "rbac.wildcard",
    "ClusterRole": "rbac.wildcard",
    "RoleBinding": "rbac.cluster-admin",
    "ClusterRoleBinding": "rbac.cluster-admin",
}
EQUIVALENT = read_params("params.yaml", (POLICIES / "params.yaml").read_bytes())["rbac.cluster-admin"]["params"][
    "equivalent"
]["value"]
FOR_PEOPLE = {"admin", "cluster-admin", "edit", "view"}
PARAMS: Mapping[str, Mapping[str, Any]] = {
    "rbac.wildcard": {"allowed": []},
    "rbac.cluster-admin": {"allowed": ["Group:system:masters"], "equivalent": EQUIVALENT},
}


def filled(objects: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield the objects, aggregated roles with the rules that the controller gives them."""
    roles = {found["metadata"]["name"]: found for found in objects if found["kind"] == "ClusterRole"}

    def rules(found: Mapping[str, Any]) -> list[Any]:
        gathered: list[Any] = []
        for selector in found.get("aggregationRule", {}).get("clusterRoleSelectors", []):
            for other in roles.values():
                labels = other["metadata"].get("labels", {})
                if other is not found and selector["matchLabels"].items() <= labels.items():
                    gathered += [rule for rule in rules(other) if rule not in gathered]
        return gathered or found.get("rules", [])

    for found in objects:
        yield {**found, "rules": rules(found)} if found["kind"] == "ClusterRole" else found


def judged(engine: WasmEngine, found: Mapping[str, Any]) -> verdicts.Outcome:
    """Return what the control of its kind says of one object."""
    kind, metadata = found["kind"], found["metadata"]
    scope = {"cluster": "prod", "labels": metadata.get("labels", {})}
    scope |= {"namespace": metadata["namespace"]} if metadata.get("namespace") else {}
    identity = f"k8s:prod/rbac.authorization.k8s.io/{kind}/{metadata.get('namespace', '')}/{metadata['name']}"
    attributes = {key: value for key, value in found.items() if key != "kind"}
    resource = Resource(f"k8s.rbac.authorization.k8s.io.{kind}", identity, None, None, None, scope, {}, attributes)
    control = CONTROLS[kind]
    [judgement] = engine.judge("resource", {control: PARAMS[control]}, {"resource": resource.to_json()})
    return verdicts.of_one(judgement, identity)[identity]


@pytest.mark.parametrize("gates", ["as shipped", "all feature gates"])
def test_nothing_that_ships_with_kubernetes_fails(gates: str, wasm_engine: WasmEngine) -> None:
    gated = {found["metadata"]["name"]: found for found in DATA["featureGates"]} if gates != "as shipped" else {}
    objects = [gated.pop(f["metadata"]["name"], f) if f["kind"] == "ClusterRole" else f for f in DATA["objects"]]
    found = {(entry["kind"], entry["metadata"]["name"]): entry for entry in filled([*objects, *gated.values()])}
    outcomes = {key: judged(wasm_engine, entry) for key, entry in found.items()}
    wrong = {key: told for key, told in outcomes.items() if told.verdict not in {Verdict.PASS, Verdict.SKIP}}
    assert wrong == {}
    assert len(found) > 125
    shipped = {key[1] for key, told in outcomes.items() if told.message.startswith("ships with Kubernetes 1.36")}
    assert {"admin", "edit", "cluster-admin", "system:node", "system:kube-controller-manager"} <= shipped
    assert "view" not in shipped
    assert len(shipped) == 14


def test_shipped_rules_under_another_name_fail(wasm_engine: WasmEngine) -> None:
    renamed = []
    for found in filled(DATA["objects"]):
        if found["kind"] == "ClusterRole" and judged(wasm_engine, found).message.startswith("ships"):
            other = {**copy.deepcopy(dict(found)), "metadata": {**found["metadata"], "name": "system:mine"}}
            renamed.append(judged(wasm_engine, other).verdict)
    assert renamed == [Verdict.FAIL] * 14


def test_shipped_role_with_one_verb_more_fails(wasm_engine: WasmEngine) -> None:
    """Each rule that is passed over is so as it ships only."""
    changed = []
    for found in filled(DATA["objects"]):
        if found["kind"] == "ClusterRole" and judged(wasm_engine, found).message.startswith("ships"):
            for rule in copy.deepcopy(dict(found))["rules"]:
                alone = {**found, "rules": [rule]}
                if judged(wasm_engine, alone).message.startswith("ships"):
                    rule["verbs"].append("surprise")
                    changed.append(judged(wasm_engine, alone).verdict)
    assert set(changed) == {Verdict.FAIL}
    assert len(changed) > 20


def test_every_rule_of_the_table_is_one_that_ships(opa: Path) -> None:
    """A rule in the table that nobody ships would be a way out."""
    roles = {found["metadata"]["name"]: found for found in filled(DATA["objects"]) if found["kind"] == "ClusterRole"}
    for name, rules in table(opa, "rules").items():
        shipped = [
            {key: sorted(values) for key, values in rule.items()}
            for rule in roles[name.removeprefix("ClusterRole:")]["rules"]
        ]
        assert [rule for rule in rules if {key: sorted(values) for key, values in rule.items()} not in shipped] == []


def test_shipped_binding_of_cluster_admin_passes_and_one_to_anna_fails(wasm_engine: WasmEngine) -> None:
    [binding] = [
        found for found in DATA["objects"] if found["metadata"]["name"] == "cluster-admin" and "roleRef" in found
    ]
    assert judged(wasm_engine, binding).verdict is Verdict.PASS
    assert judged(wasm_engine, {**binding, "subjects": [{"kind": "User", "name": "anna"}]}).verdict is Verdict.FAIL


def table(opa: Path, name: str) -> dict[str, Any]:
    """Return what lib/shipped_roles.rego holds under `name`."""
    asked = f"data.guardian.lib.shipped_roles.{name}"
    return dict(json.loads(run_opa(opa, ["eval", "--data", "lib", "--format", "raw", asked], POLICIES)))


def test_roles_that_are_passed_over_for_their_rules_are_bound_as_they_ship_only(opa: Path) -> None:
    """But for cluster-admin, whose subjects are a parameter, and the roles that are bound to people."""
    refused = {name.removeprefix("ClusterRole:") for name in table(opa, "rules")}
    assert set(EQUIVALENT) == refused - {"cluster-admin", "admin", "edit", "system:aggregate-to-edit"}
    shipped: dict[str, list[str]] = {}
    for found in DATA["objects"]:
        for subject in found.get("subjects") or []:
            if found["roleRef"]["name"] in EQUIVALENT:
                place = f"{subject['namespace']}/" if subject["kind"] == "ServiceAccount" else ""
                name = f"{subject['kind']}:{place}{subject['name']}"
                shipped.setdefault(found["roleRef"]["name"], []).append(name)
    assert table(opa, "subjects") == shipped


def test_shipped_binding_of_a_powerful_role_to_anna_fails(wasm_engine: WasmEngine) -> None:
    bindings = [found for found in DATA["objects"] if found.get("roleRef", {}).get("name") in EQUIVALENT]
    assert {judged(wasm_engine, found).verdict for found in bindings} == {Verdict.PASS, Verdict.SKIP}
    anna = {"kind": "User", "name": "anna"}
    grown = [{**found, "subjects": [*(found.get("subjects") or []), anna]} for found in bindings]
    assert {judged(wasm_engine, found).verdict for found in grown} == {Verdict.FAIL}
    assert len(grown) > 8


def test_roles_and_bindings_of_a_fresh_api_server_do_not_fail(kube_api: KubeApi, wasm_engine: WasmEngine) -> None:
    plural = {kind: f"{kind.lower()}s" for kind in CONTROLS}
    objects = [
        {**entry, "kind": kind}
        for kind, name in plural.items()
        for entry in kube_api.call("GET", f"/apis/rbac.authorization.k8s.io/v1/{name}").expect(200)["items"]
        if entry["metadata"]["name"].startswith("system:") or entry["metadata"]["name"] in FOR_PEOPLE
    ]
    wrong = {
        (entry["kind"], entry["metadata"]["name"]): outcome
        for entry in objects
        if (outcome := judged(wasm_engine, entry)).verdict not in {Verdict.PASS, Verdict.SKIP}
    }
    assert wrong == {}
    assert len(objects) > 125
