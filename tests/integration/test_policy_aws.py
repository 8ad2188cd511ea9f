"""The controls over AWS in a whole evaluation: each passes what is right, and fails what is wrong and says why."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from guardian.model import CollectorStatus, Mode, Snapshot, Tier, Verdict
from guardian.policy.evaluate import evaluate
from guardian.policy.standards import Standards
from guardian.settings import ControlSettings
from tests import aws_samples as aws
from tests import policy_support as make

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardian.model import Evaluation, Finding, Resource
    from guardian.policy.bundle import Bundle
    from guardian.policy.wasm import WasmEngine

KINDS = tuple(aws.SAMPLES)
GUARDIAN = aws.role("guardian", trust=aws.trust(AWS=[aws.arn("root")]))
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"


def scan(
    bundle: Bundle, engine: WasmEngine, *resources: Resource, status: str = "complete", **controls: ControlSettings
) -> Evaluation:
    """Return what a scan of the account finds that has these resources and, unless given, a blameless account."""
    found = {entry.id: entry for entry in (aws.account(), GUARDIAN, *resources)}
    collector = CollectorStatus("aws", "aws-prod", KINDS, status)
    snapshot = Snapshot(make.ENVIRONMENT, make.NOW, [collector], list(found.values()), b"", "0" * 64)
    standards = Standards.of(bundle.catalogue, make.settings(**controls))
    return evaluate(snapshot, engine=engine, catalogue=bundle.catalogue, standards=standards)


def of(evaluation: Evaluation, control: str, identity: str) -> Finding:
    """Return the one finding of a control on a resource."""
    [finding] = [entry for entry in evaluation.findings if (entry.control, entry.resource) == (control, identity)]
    return finding


# control, what is right, what is wrong, what is said of the wrong one
CASES: Sequence[tuple[str, Sequence[Resource], Sequence[Resource], str]] = [
    (
        "iam.root",
        [aws.account()],
        [aws.account(root={"mfaActive": False, "accessKeys": 1, "lastUsedDays": 3})],
        (
            "root of account 123456789012 has 1 access keys: delete them; it has no MFA device: assign one; "
            "it was used 3 days ago, the limit is 30 d: work by a role"
        ),
    ),
    (
        "iam.mfa",
        [aws.user()],
        [aws.user("eve", mfaDevices=[])],
        "user eve has a console password and no MFA device: register one, or delete the password",
    ),
    (
        "iam.key-age",
        [aws.user()],
        [aws.user("batch", accessKeys=[{"id": "…ABCD", "status": "Active", "ageDays": 400, "lastUsedDays": None}])],
        (
            "user batch: access key …ABCD is 400 days old, the limit is 90 d: replace it; access key …ABCD "
            "was never used in 400 days: delete it"
        ),
    ),
    (
        "iam.wildcard",
        [aws.policy()],
        [aws.policy(ADMINISTRATOR, aws.EVERYTHING)],
        "policy AdministratorAccess: statement 0 allows every action on every resource",
    ),
    (
        "iam.wildcard",
        [aws.group(policies=aws.policies(aws.document(aws.statement(["s3:GetObject"], ["*"]))))],
        [aws.role("ci", policies=aws.policies(aws.document(aws.PASSES)))],
        (
            "role ci: inline policy own-0, statement 0 allows iam:passrole of every role, with "
            "ec2:runinstances a way to the rights of any role"
        ),
    ),
    (
        "network.open-ingress",
        [aws.security_group()],
        [aws.security_group("db", aws.rule((5000, 6000), ["0.0.0.0/1", "128.0.0.0/1"], cidrs6=["::/0"]))],
        "security group sg-db (db): ingress[0] opens 5432, 5900, 5985, 5986 to 0.0.0.0/1, 128.0.0.0/1, ::/0",
    ),
    (
        "network.public-data",
        [aws.bucket()],
        [aws.bucket("www", backup=False, policy=aws.document(aws.PUBLIC), publicAccessBlock=None, website=True)],
        "bucket www (a website) is public by its policy, statement 0 (Read): block public access",
    ),
    (
        "backup.immutable",
        [aws.bucket()],
        [aws.bucket("soft", objectLock={"enabled": True, "mode": "GOVERNANCE", "retentionDays": 7})],
        (
            "bucket soft retains for 7 days, the least is 30 d; retains in mode GOVERNANCE, asked is "
            "COMPLIANCE: those who may bypass it may delete"
        ),
    ),
    (
        "iam.backup-deletion-path",
        [aws.bucket(), aws.role(policies=aws.policies(aws.document(aws.statement(["s3:PutObject"], ["*"]))))],
        [aws.bucket(), aws.role(policies=aws.policies(aws.document(aws.DELETES)))],
        (
            "backups in bucket erp-backups may be deleted, or kept for less time, by "
            "arn:aws:iam::123456789012:role/app, which a workload can assume by ec2.amazonaws.com "
            "(s3:DeleteBucketPolicy, s3:PutLifecycleConfiguration)"
        ),
    ),
]


@pytest.mark.parametrize(("control", "right", "wrong", "said"), CASES, ids=[case[0] for case in CASES])
def test_control_passes_what_is_right_and_fails_what_is_wrong(
    policy_bundle: Bundle,
    wasm_engine: WasmEngine,
    control: str,
    right: Sequence[Resource],
    wrong: Sequence[Resource],
    said: str,
) -> None:
    assert of(scan(policy_bundle, wasm_engine, *right), control, right[0].id).verdict is Verdict.PASS
    finding = of(scan(policy_bundle, wasm_engine, *wrong), control, wrong[0].id)
    assert (finding.verdict, finding.message) == (Verdict.FAIL, said)
    assert finding.mode is Mode.DENY


def test_right_account_has_neither_failures_nor_errors(policy_bundle: Bundle, wasm_engine: WasmEngine) -> None:
    people = aws.group(policies=aws.policies(aws.document(aws.statement(["s3:GetObject", "s3:ListBucket"], ["*"]))))
    found = [aws.user(groups=["staff"]), people, aws.role(), aws.policy(), aws.bucket(), aws.security_group()]
    evaluation = scan(policy_bundle, wasm_engine, *found)
    told = [
        (entry.control, entry.resource)
        for entry in evaluation.findings
        if entry.verdict in {Verdict.FAIL, Verdict.ERROR}
    ]
    assert told == []
    judged = {entry.control for entry in evaluation.findings}
    assert judged == {control for control, *_ in CASES}


@pytest.mark.parametrize("control", sorted({control for control, *_ in CASES}))
def test_what_the_collector_could_not_read_is_an_error(
    policy_bundle: Bundle, wasm_engine: WasmEngine, control: str
) -> None:
    kinds = policy_bundle.catalogue.controls[control].inputs
    errors = [make.unreadable("aws", "aws-prod", kind) for kind in kinds]
    evaluation = scan(policy_bundle, wasm_engine, aws.bucket(), *errors, status="partial")
    told = {entry.resource: entry.verdict for entry in evaluation.findings if entry.control == control}
    assert {told[error.id] for error in errors} == {Verdict.ERROR}
    if control == "iam.backup-deletion-path":
        assert told[aws.bucket().id] is Verdict.ERROR


def test_failure_is_told_though_something_could_not_be_read(policy_bundle: Bundle, wasm_engine: WasmEngine) -> None:
    purge = aws.role("purge", policies=aws.policies(aws.document(aws.DELETES)))
    lacking = make.unreadable("aws", "aws-prod", "aws.iam.User")
    evaluation = scan(policy_bundle, wasm_engine, aws.bucket(), purge, lacking, status="partial")
    assert of(evaluation, "iam.backup-deletion-path", aws.bucket().id).verdict is Verdict.FAIL


def test_account_without_buckets_of_backups_has_nobody_to_judge(policy_bundle: Bundle, wasm_engine: WasmEngine) -> None:
    other = aws.bucket("files", backup=False)
    evaluation = scan(policy_bundle, wasm_engine, other)
    for control in ("iam.backup-deletion-path", "backup.immutable"):
        assert of(evaluation, control, other.id).verdict is Verdict.SKIP
    [summary] = [entry for entry in scan(policy_bundle, wasm_engine).summaries if entry.control == "backup.immutable"]
    assert summary.population == 0


@pytest.mark.parametrize(
    ("control", "resource", "params"),
    [
        ("iam.wildcard", aws.policy(ADMINISTRATOR, aws.EVERYTHING), {"allowed": [ADMINISTRATOR]}),
        ("network.open-ingress", aws.security_group("ssh", aws.rule((22, 22))), {"allowed": ["sg-ssh"]}),
        ("network.open-ingress", aws.security_group("ssh", aws.rule((22, 22))), {"ports": ["3389"]}),
        ("network.public-data", aws.SAMPLES["aws.s3.Bucket"][3], {"allowed": ["www"]}),
        (
            "backup.immutable",
            aws.bucket(objectLock={"enabled": True, "mode": "COMPLIANCE", "retentionDays": 7}),
            {"minRetention": "7d"},
        ),
        (
            "backup.immutable",
            aws.bucket(objectLock={"enabled": True, "mode": "GOVERNANCE", "retentionDays": 35}),
            {"modes": ["GOVERNANCE"]},
        ),
        ("iam.root", aws.account(root={"lastUsedDays": 9}), {"usedWithin": "8d"}),
    ],
)
def test_what_guardian_yaml_says_is_kept_to(
    policy_bundle: Bundle, wasm_engine: WasmEngine, control: str, resource: Resource, params: Mapping[str, Any]
) -> None:
    stated: dict[str, Any] = {control.replace(".", "_").replace("-", "__"): ControlSettings(params=params)}
    settings = make.settings(**stated)
    policy_bundle.catalogue.check(settings)
    assert of(scan(policy_bundle, wasm_engine, resource), control, resource.id).verdict is Verdict.FAIL
    assert of(scan(policy_bundle, wasm_engine, resource, **stated), control, resource.id).verdict is Verdict.PASS


def test_reviewed_identity_may_delete_backups(policy_bundle: Bundle, wasm_engine: WasmEngine) -> None:
    admin = aws.role("backup-admin", policies=aws.policies(aws.document(aws.EVERYTHING)))
    guarded = aws.bucket(policy=aws.document(aws.GUARDED))
    stated = ControlSettings(params={"allowed": [aws.arn("role/backup-admin")]})
    workload = aws.role(policies=aws.policies(aws.document(aws.EVERYTHING)))
    open_one = scan(policy_bundle, wasm_engine, aws.bucket(), admin, workload, iam_backup__deletion__path=stated)
    assert "role/app" in of(open_one, "iam.backup-deletion-path", guarded.id).message
    evaluation = scan(policy_bundle, wasm_engine, guarded, admin, workload, iam_backup__deletion__path=stated)
    # What the bucket's policy refuses to all but one role, the rights of an administrator on a workload cannot do.
    assert of(evaluation, "iam.backup-deletion-path", guarded.id).verdict is Verdict.PASS


def test_tier_of_the_service_chooses_what_lock_is_enough(policy_bundle: Bundle, wasm_engine: WasmEngine) -> None:
    governed = aws.bucket(objectLock={"enabled": True, "mode": "GOVERNANCE", "retentionDays": 14})
    verdicts = {
        tier: of(
            scan(policy_bundle, wasm_engine, replace(governed, tier=tier)), "backup.immutable", governed.id
        ).verdict
        for tier in Tier
    }
    assert verdicts == {Tier.CRITICAL: Verdict.FAIL, Tier.STANDARD: Verdict.PASS, Tier.LOW: Verdict.PASS}
