"""A manifest and the object that the API server makes of it get the same findings, to the byte."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import workload_samples
from tests.workload_support import TEMPLATES, defaulted, every_kind, template, workload

if TYPE_CHECKING:
    from guardian.model import Resource
    from guardian.policy.wasm import WasmEngine

RESOURCE_SCOPED = ["workload.image-digest", "workload.pod-security", "workload.resources"]
WITHIN_SESSION = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@st.composite
def changed_pods(draw: st.DrawFn) -> dict[str, Any]:
    """A pod's template with one to four things changed, of what is valid for the API server."""
    pod = template()
    for _ in range(draw(st.integers(1, 4))):
        path, values = draw(st.sampled_from(workload_samples.CHANGES))
        pod = workload_samples.changed(pod, path, draw(st.sampled_from(values)))
    return pod


def findings(engine: WasmEngine, resource: Resource) -> list[str]:
    document = {"now": "2026-11-23T11:00:00Z", "environment": "production", "resource": resource.to_json()}
    params = {control: workload_samples.PARAMS[control] for control in RESOURCE_SCOPED}
    judgements = engine.judge("resource", params, document)
    assert [judgement.error for judgement in judgements] == [None] * len(RESOURCE_SCOPED)
    return [json.dumps(list(judgement.findings), sort_keys=True) for judgement in judgements]


def test_findings_are_the_same_with_and_without_what_the_api_server_fills_in(wasm_engine: WasmEngine) -> None:
    differing = set()

    @settings(max_examples=600, deadline=None, database=None, derandomize=True, suppress_health_check=WITHIN_SESSION)
    @given(changed_pods())
    def compare(pod: dict[str, Any]) -> None:
        manifest = findings(wasm_engine, workload("k8s.core.Pod", pod))
        live = findings(wasm_engine, workload("k8s.core.Pod", defaulted(pod)))
        assert manifest == live
        differing.update(manifest)

    compare()
    assert len(differing) > 50


@pytest.mark.parametrize("kind", sorted(TEMPLATES))
def test_right_workload_of_every_kind_draws_no_finding(kind: str, wasm_engine: WasmEngine) -> None:
    assert findings(wasm_engine, workload(kind, template())) == ["[]"] * len(RESOURCE_SCOPED)


def test_wrong_pod_draws_the_same_violations_in_every_kind(wasm_engine: WasmEngine) -> None:
    bare = {"spec": {"containers": [{"name": "odoo", "image": "odoo:17"}]}}
    places = {"k8s.core.Pod": "spec."}
    for resource in every_kind(bare):
        prefix = places.get(resource.kind, ".".join([*TEMPLATES[resource.kind], "spec."]))
        observed = [entry for text in findings(wasm_engine, resource) for entry in json.loads(text)[0]["observed"]]
        assert len(observed) == 8
        assert all(entry["field"].startswith(f"{prefix}containers[0].") for entry in observed)
        assert {entry["container"] for entry in observed} == {"odoo"}


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ({"limits": {"memory": "66560Mi"}}, {"limits": {"memory": "65Gi"}}),
        ({"limits": {"memory": "1Gi", "cpu": 17}}, {"limits": {"memory": "1024Mi", "cpu": "17000m"}}),
        (
            {"limits": {"memory": "0.5"}, "requests": {"cpu": 0.0}},
            {"limits": {"memory": "500m"}, "requests": {"cpu": "0"}},
        ),
    ],
)
def test_quantity_is_told_the_same_as_it_was_written_and_as_the_api_server_keeps_it(
    written: dict[str, Any], kept: dict[str, Any], wasm_engine: WasmEngine
) -> None:
    told = [
        findings(wasm_engine, workload("k8s.core.Pod", template(containers=[{"name": "odoo", "resources": given}])))[2]
        for given in (written, kept)
    ]
    assert told[0] == told[1] != "[]"
