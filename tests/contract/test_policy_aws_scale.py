"""A large account is judged by the controls over IAM within the default deadline and less than half of the memory.

Memory stands for work here: WebAssembly frees nothing during an evaluation, so what is quadratic runs out of it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from guardian.policy import verdicts
from guardian.policy.wasm import WasmEngine
from tests import aws_samples as aws

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guardian.model import Resource
    from guardian.policy.bundle import Bundle

ROLES = 2000
BUCKETS = 20
LARGEST_BYTES = 224 * 1024 * 1024
SERVICES = ("ec2", "s3", "lambda", "rds", "dynamodb", "sqs", "logs", "iam", "ecs", "kms")


@pytest.fixture(scope="module")
def engine(policy_bundle: Bundle) -> Iterator[WasmEngine]:
    """The default engine, with less memory."""
    engine = WasmEngine(policy_bundle, memory_bytes=LARGEST_BYTES)
    yield engine
    engine.close()


def statements(number: int, *, count: int) -> Iterator[dict[str, Any]]:
    """Yield statements such as applications have: of several services, on names of their own."""
    for i in range(count):
        service = SERVICES[(number + i) % len(SERVICES)]
        actions = [f"{service}:{verb}" for verb in ("Get*", "Describe*", "List*", "PutItem")]
        resources = [
            f"arn:aws:{service}:*:{aws.ACCOUNT}:thing/app-{number}-{i}/*",
            f"arn:aws:{service}:::app-{number}*",
        ]
        conditions = {"StringEquals": {"aws:RequestedRegion": ["eu-central-1"]}}
        yield aws.statement(actions, resources, conditions=conditions)


def account() -> Iterator[Resource]:
    """Yield 2,000 roles with four statements of their own and two of 200 policies, and 20 buckets of backups."""
    yield aws.account()
    yield aws.role("guardian", trust=aws.trust(AWS=[aws.arn("root")]))
    yield aws.user()
    yield aws.group()
    yield aws.policy("shared")
    for i in range(200):
        yield aws.policy(f"p{i}", *statements(i, count=8))
    for i in range(ROLES):
        own = aws.document(*statements(i, count=4))
        yield aws.role(f"r{i}", policies=aws.policies(own, attached=[f"p{i % 200}", "shared"]))
    for i in range(BUCKETS):
        yield aws.bucket(f"backups-{i}")


def judged(engine: WasmEngine, bundle: Bundle, resources: Sequence[Resource]) -> Counter[str]:
    """Return how many buckets got which verdict."""
    control = bundle.catalogue.controls["iam.backup-deletion-path"]
    subjects = [entry.id for entry in resources if entry.kind in control.judges]
    by_kind = {kind: [entry.to_json() for entry in resources if entry.kind == kind] for kind in control.inputs}
    document = {"resources": by_kind, "services": {}, "incomplete": []}
    [judgement] = engine.judge("snapshot", {control.id: {key: {"allowed": []} for key in subjects}}, document)
    assert judgement.error is None
    return Counter(outcome.verdict.value for outcome in verdicts.of_many(judgement, subjects, subjects).values())


def test_two_thousand_roles_and_twenty_buckets_of_backups(engine: WasmEngine, policy_bundle: Bundle) -> None:
    assert judged(engine, policy_bundle, list(account())) == {"pass": BUCKETS}


def test_two_thousand_roles_that_a_bucket_refuses_one_by_one(engine: WasmEngine, policy_bundle: Bundle) -> None:
    everything = aws.policy("shared", aws.statement(["s3:*"], ["*"]))
    resources = [
        everything if entry.id == everything.id else entry for entry in account() if "backups-" not in entry.id
    ]
    names = ["arn:aws:s3:::backups-0", "arn:aws:s3:::backups-0/*"]
    refuses = aws.statement(["s3:*"], names, "Deny", principals=aws.principals(everybody=True))
    guarded = aws.bucket("backups-0", policy=aws.document(refuses))
    assert judged(engine, policy_bundle, [*resources, guarded, aws.bucket("backups-1")]) == {"pass": 1, "fail": 1}


def test_hundred_policies_with_a_thousand_actions_each(engine: WasmEngine) -> None:
    actions = [f"{SERVICES[i % len(SERVICES)]}:Get{i}*" for i in range(1000)]
    policy = aws.policy("reads", aws.statement(actions, ["*"])).to_json()
    for i in range(100):
        document = {"resource": {**policy, "id": f"{policy['id']}-{i}"}}
        [judgement] = engine.judge("resource", {"iam.wildcard": {"allowed": []}}, document)
        assert (judgement.error, judgement.findings) == (None, [])
