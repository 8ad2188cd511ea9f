"""The pods that Kubernetes keeps as examples of its Pod Security Standards get the verdict that they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

from guardian.model import Verdict
from guardian.policy import verdicts
from tests.workload_support import defaulted, every_kind, workload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardian.model import Resource
    from guardian.policy.verdicts import Outcome
    from guardian.policy.wasm import WasmEngine

DATA = Path(__file__).resolve().parents[1] / "data" / "pod_security"
FIXTURES = sorted(path.relative_to(DATA).with_suffix("").as_posix() for path in DATA.glob("*/*/*.yaml"))
CONTROL = "workload.pod-security"


def pod_of(fixture: str) -> dict[str, Any]:
    pod: dict[str, Any] = YAML(typ="safe", pure=True).load((DATA / f"{fixture}.yaml").read_bytes())
    return pod


def judged(engine: WasmEngine, resource: Resource, level: str) -> Outcome:
    document = {"now": "2026-11-23T11:00:00Z", "environment": "production", "resource": resource.to_json()}
    [judgement] = engine.judge("resource", {CONTROL: {"level": level, "namespaces": {}}}, document)
    return verdicts.of_one(judgement, resource.id)[resource.id]


def breaks(outcome: Outcome) -> list[Mapping[str, Any]]:
    return [] if outcome.observed is None else list(outcome.observed)


def test_both_levels_have_their_examples() -> None:
    counts = {
        (level, expected): sum(name.startswith(f"{level}/{expected}/") for name in FIXTURES)
        for level in ("baseline", "restricted")
        for expected in ("pass", "fail")
    }
    assert counts == {
        ("baseline", "pass"): 15,
        ("baseline", "fail"): 34,
        ("restricted", "pass"): 23,
        ("restricted", "fail"): 76,
    }


@pytest.mark.parametrize("fixture", FIXTURES)
def test_example_of_kubernetes_gets_its_verdict_as_a_pod_and_in_every_template(
    fixture: str, wasm_engine: WasmEngine
) -> None:
    level, expected, name = fixture.split("/")
    found = {
        resource.kind: judged(wasm_engine, resource, level)
        for resource in every_kind(
            {key: value for key, value in pod_of(fixture).items() if key in {"metadata", "spec"}}
        )
    }
    assert {outcome.verdict for outcome in found.values()} == {Verdict(expected)}
    for outcome in found.values():
        checks = {entry["check"].lower().split("_")[0] for entry in breaks(outcome)}
        assert expected == "pass" or name.rstrip("0123456789").split("_")[0] in checks


@pytest.mark.parametrize("fixture", FIXTURES)
def test_finding_is_the_same_with_and_without_what_the_api_server_fills_in(
    fixture: str, wasm_engine: WasmEngine
) -> None:
    level, _, _ = fixture.split("/")
    pod = {key: value for key, value in pod_of(fixture).items() if key in {"metadata", "spec"}}
    manifest = judged(wasm_engine, workload("k8s.core.Pod", pod), level)
    live = judged(wasm_engine, workload("k8s.core.Pod", defaulted(pod)), level)
    assert manifest == live


@pytest.mark.parametrize("fixture", [name for name in FIXTURES if name.startswith("baseline/fail/")])
def test_nothing_is_forbidden_at_level_privileged(fixture: str, wasm_engine: WasmEngine) -> None:
    outcome = judged(wasm_engine, workload("k8s.core.Pod", pod_of(fixture)), "privileged")
    assert outcome.verdict is Verdict.SKIP
