from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from guardian.errors import UsageError
from guardian.usecases.collector_role import manifest

SHIPPED = Path(__file__).parents[2] / "deploy" / "kubernetes-collector.yaml"


def test_shipped_manifest_is_the_one_that_is_made() -> None:
    assert SHIPPED.read_text(encoding="utf-8") == manifest()


def test_role_lists_what_is_collected_and_nothing_else() -> None:
    _, role, binding = YAML(typ="safe", pure=True).load_all(manifest(namespace="ops"))
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"list"}
    resources = {resource for rule in role["rules"] for resource in rule["resources"]}
    assert {"pods", "nodes", "clusterroles"} <= resources
    assert not resources & {"secrets", "*", "configmaps"}
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "guardian-collector", "namespace": "ops"}]


def test_role_of_some_kinds_has_only_these() -> None:
    _, role, _ = YAML(typ="safe", pure=True).load_all(manifest(["k8s.apps.Deployment"]))
    assert role["rules"] == [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"]}]
    with pytest.raises(UsageError, match=r"k8s\.core\.Secret is none of the kinds"):
        manifest(["k8s.core.Secret"])
