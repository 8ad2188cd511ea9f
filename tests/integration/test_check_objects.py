"""Objects as hostile or careless people write them are judged or reported, never passed over and never a crash."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from guardian.errors import UsageError
from guardian.model import Mode, Verdict
from guardian.reports import as_json, judged, junit, sarif
from guardian.usecases.check import check

if TYPE_CHECKING:
    from guardian.reports.judged import Checked

NOW = datetime(2026, 11, 23, 11, 0, tzinfo=UTC)
ODD: list[Any] = [None, 5, 1.5, True, "x", [], {}, [1], {"a": 1}, "\x00\ud83d", [[[]]], -1, "9" * 400, 2**70]
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "odoo", "namespace": "erp", "labels": {"app": "odoo"}, "annotations": {"a": "b"}},
    "spec": {
        "replicas": 2,
        "template": {
            "metadata": {"labels": {"app": "odoo"}},
            "spec": {
                "securityContext": {"runAsNonRoot": True},
                "initContainers": [{"name": "init", "image": "odoo:17"}],
                "containers": [{"name": "odoo", "image": "odoo:17", "env": [{"name": "A", "value": "b"}]}],
                "volumes": [{"name": "data", "emptyDir": {}}],
            },
        },
    },
}


def checked(text: str, **changes: Any) -> Checked:
    return check(["-"], None, stdin=io.BytesIO(text.encode()), now=NOW, progress=lambda _name: None, **changes)


def broken(random: Random) -> str:
    """A Deployment of which up to three values, at any depth, are another thing."""
    document = json.loads(json.dumps(DEPLOYMENT))
    for _ in range(random.randint(1, 3)):
        here = document
        while here:
            key = random.choice(list(here) if isinstance(here, dict) else range(len(here)))
            if random.random() < 0.3 or not isinstance(here[key], dict | list) or not here[key]:
                here[key] = json.loads(json.dumps(random.choice(ODD)))
                break
            here = here[key]
    return json.dumps(document)


def test_no_odd_object_is_passed_over_or_breaks_a_format() -> None:
    random = Random(20261123)
    texts = [broken(random) for _ in range(1000)]
    done = checked("\n".join(texts))
    lines = {subject.place.line for subject in done.subjects} | {problem.line for problem in done.problems}
    assert lines == set(range(1, 1001))
    assert not [problem for problem in done.problems if "itself broke" in problem.message]
    assert done.exit_code(Mode.DENY) == 1
    orjson.dumps(as_json.check(done, 1))
    orjson.dumps(sarif.log(judged.of_check(done, 1)))
    junit.document(judged.of_check(done, 1))


def test_object_as_deep_as_it_may_be_is_judged() -> None:
    done = checked("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: " + "{a: " * 120 + "1" + "}" * 120)
    assert {one.finding.verdict for one in done.located} <= {Verdict.ERROR, Verdict.FAIL}
    assert done.located


@pytest.mark.timeout(120)
def test_object_larger_than_any_workload_is_reported_before_policies_run_into_their_deadline() -> None:
    containers = ", ".join(["{name: x, image: y}"] * 30_000)
    done = checked(f"apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {{containers: [{containers}]}}\n")
    assert done.exit_code(Mode.DENY) == 3
    assert "holds more than" in done.problems[0].message


def test_generated_names_may_be_alike() -> None:
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {generateName: job-}\nspec: {}\n"
    done = checked(f"{pod}---\n{pod}")
    assert [subject.id for subject in done.subjects] == ["k8s:cluster/core/Pod/default/job-*"] * 2
    assert done.problems == []


def test_boolean_that_looks_like_text_is_not_taken_for_a_name() -> None:
    done = checked("apiVersion: v1\nkind: Pod\nmetadata: {name: on}\n")
    assert "metadata.name" in done.problems[0].message


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a/b", "x" * 64])
def test_namespace_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="--namespace"):
        checked("", namespace=name)
