"""iam.wildcard says of AWS's own policies what is known of them: moto has them all, as AWS publishes them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from moto.iam.aws_managed_policies import aws_managed_policies_data

from guardian.policy import verdicts
from tests import aws_samples as aws

if TYPE_CHECKING:
    from guardian.policy.wasm import WasmEngine

EVERYTHING = {"AdministratorAccess", "IAMFullAccess", "PowerUserAccess"}
WAYS = {"AWSLambda_FullAccess", "AmazonECS_FullAccess", "AmazonElasticMapReduceFullAccess", "DataScientist"}
HARMLESS = {
    "ReadOnlyAccess",
    "SecurityAudit",
    "job-function/ViewOnlyAccess",
    "AmazonEC2FullAccess",
    "AmazonS3FullAccess",
}


def listed(value: Any) -> Any:
    """Return what may be one text or a list as a list; nothing stays nothing."""
    return value if value is None or isinstance(value, list) else [value]


def collected(stated: dict[str, Any]) -> dict[str, Any]:
    """Return a policy document in the form of the collector."""
    return aws.document(
        *(
            aws.statement(
                listed(found.get("Action")),
                listed(found.get("Resource")),
                found["Effect"],
                notActions=listed(found.get("NotAction")),
                notResources=listed(found.get("NotResource")),
                conditions={
                    operator: {key: [str(value) for value in listed(values)] for key, values in keys.items()}
                    for operator, keys in found.get("Condition", {}).items()
                },
                sid=found.get("Sid"),
            )
            for found in listed(stated["Statement"])
        )
    )


@pytest.fixture(scope="module")
def told(wasm_engine: WasmEngine) -> dict[str, verdicts.Outcome]:
    """What is said of each policy, by name with its path."""
    outcomes = {}
    for name, found in json.loads(aws_managed_policies_data).items():
        path = found["Path"].removeprefix("/") + name
        policy = aws.policy(f"arn:aws:iam::aws:policy/{path}", document=collected(found["Document"]))
        document = {"resource": policy.to_json()}
        [judgement] = wasm_engine.judge("resource", {"iam.wildcard": {"allowed": []}}, document)
        outcomes[path] = verdicts.of_one(judgement, policy.id)[policy.id]
    return outcomes


def test_every_policy_of_aws_is_understood(told: dict[str, verdicts.Outcome]) -> None:
    assert len(told) > 1000
    assert [name for name, outcome in told.items() if outcome.verdict == "error"] == []
    assert {name.split("/")[0] for name, outcome in told.items() if outcome.verdict == "skip"} == {"aws-service-role"}


def test_policies_of_administrators_fail_and_those_of_readers_pass(told: dict[str, verdicts.Outcome]) -> None:
    assert {name for name in EVERYTHING if "statement 0 allows every action" in told[name].message} == EVERYTHING
    by_name = {path.rsplit("/", 1)[1] if "/" in path else path: outcome for path, outcome in told.items()}
    assert {name for name in WAYS if "a way to the rights of any role" in by_name[name].message} == WAYS
    assert {name for name in HARMLESS if told[name].verdict == "pass"} == HARMLESS


def test_few_of_them_fail(told: dict[str, verdicts.Outcome]) -> None:
    assert 20 < len([name for name, outcome in told.items() if outcome.verdict == "fail"]) < 60
