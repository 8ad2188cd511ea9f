from __future__ import annotations

import json
import secrets
import socket
from typing import TYPE_CHECKING

import pytest
import requests

from guardian import config
from guardian.collectors import Observed, aws_iam_account, aws_session
from guardian.collectors.aws import Aws
from guardian.collectors.aws_calls import CALLS
from guardian.settings import AwsCollector, Secret
from guardian.usecases.doctor import State, _accounts
from tests.aws_support import ACCOUNT, ENVIRONMENT, REGIONS, Gate, Moto, refusal, report
from tests.integration.test_collect_aws import NOW, observed, of, unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.aws_support import Canned


@pytest.fixture(scope="module")
def server() -> Iterator[Moto]:
    with Moto() as running:
        yield running


@pytest.fixture
def moto(server: Moto, monkeypatch: pytest.MonkeyPatch) -> Moto:
    """An account with two users of one key each, two buckets and nothing else."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(aws_iam_account, "_POLL_S", 0.0)
    server.reset()
    for name in ("one", "two"):
        server.client("iam").create_user(UserName=name)
        server.client("iam").create_access_key(UserName=name)
        where = {"LocationConstraint": REGIONS[0]}
        server.client("s3").create_bucket(Bucket=f"bucket-{name}", CreateBucketConfiguration=where)
    return server


def refusing(action: str, code: str, status: int = 403, about: str = "") -> Callable[[str, str], Canned | None]:
    return lambda asked, of_what: refusal(code, status) if asked == action and about in of_what else None


DENIED = {
    "iam:ListMFADevices": ("aws.iam.User", "mfaDevices"),
    "iam:ListAccessKeys": ("aws.iam.User", "accessKeys"),
    "iam:GetCredentialReport": ("aws.iam.User", "passwordEnabled"),
    "iam:ListAccountAliases": ("aws.iam.Account", "alias"),
    "iam:GetAccountPasswordPolicy": ("aws.iam.Account", "passwordPolicy"),
    "ec2:DescribeNetworkInterfaces": ("aws.ec2.SecurityGroup", "inUse"),
    "s3:GetAccountPublicAccessBlock": ("aws.s3.Bucket", "accountPublicAccessBlock"),
    "s3:GetBucketAcl": ("aws.s3.Bucket", "aclGrants"),
    "s3:GetBucketObjectLockConfiguration": ("aws.s3.Bucket", "objectLock"),
    "s3:GetBucketPolicy": ("aws.s3.Bucket", "policy"),
    "s3:GetBucketPolicyStatus": ("aws.s3.Bucket", "policyPublic"),
    "s3:GetBucketPublicAccessBlock": ("aws.s3.Bucket", "publicAccessBlock"),
    "s3:GetBucketTagging": ("aws.s3.Bucket", "tags"),
    "s3:GetBucketVersioning": ("aws.s3.Bucket", "versioning"),
    "s3:GetBucketWebsite": ("aws.s3.Bucket", "website"),
    "s3:GetEncryptionConfiguration": ("aws.s3.Bucket", "encryption"),
    "s3:GetLifecycleConfiguration": ("aws.s3.Bucket", "lifecycle"),
}


def test_what_is_denied_is_absent_and_named(moto: Moto) -> None:
    with Gate(moto, lambda action, _about: refusal("AccessDenied") if action in DENIED else None) as gate:
        found = observed(gate.url, regions=REGIONS[:1])
    told = unreadable(found)
    assert {item.reason for item in told} == {"forbidden"}
    for action, (kind, attribute) in DENIED.items():
        items = of(found, kind)
        assert items
        assert all(attribute not in item for item in items)
        [said] = [item.detail for item in told if item.kind == kind and item.detail.startswith(f"{action} ")]
        assert said.endswith(": AccessDenied; allow it, as deploy/aws-collector-policy.json does")
    assert "passwordLastUsedDays" not in of(found, "aws.iam.User")[0]
    assert "AKIA" not in str(found)  # AWS's words hold what was sent


def test_root_is_unknown_where_the_summary_is_denied(moto: Moto) -> None:
    with Gate(moto, refusing("iam:GetAccountSummary", "AccessDenied")) as gate:
        found = observed(gate.url, regions=REGIONS[:1])
    [account] = of(found, "aws.iam.Account")
    assert (account["root"]["mfaActive"], account["root"]["accessKeys"]) == (None, None)
    assert [item.kind for item in unreadable(found)] == ["aws.iam.Account"]


def test_a_key_whose_use_is_denied_keeps_its_age(moto: Moto) -> None:
    with Gate(moto, refusing("iam:GetAccessKeyLastUsed", "AccessDenied")) as gate:
        found = observed(gate.url, regions=REGIONS[:1])
    [key] = of(found, "aws.iam.User")[0]["accessKeys"]
    assert (key["status"], key["ageDays"], "lastUsedDays" in key) == ("Active", 0, False)
    assert [item.kind for item in unreadable(found)] == ["aws.iam.User"]


def test_what_is_denied_of_one_bucket_is_its_own(moto: Moto) -> None:
    with Gate(moto, refusing("s3:GetBucketPolicy", "AccessDenied", about="bucket-two")) as gate:
        found = observed(gate.url, regions=REGIONS[:1])
    one, two = of(found, "aws.s3.Bucket")
    assert (one["policy"], "policy" in two, two["policyPublic"]) == (None, False, False)
    [told] = unreadable(found)
    assert told.detail.startswith("s3:GetBucketPolicy of bucket bucket-two: AccessDenied; ")


@pytest.mark.parametrize(
    ("action", "kinds"),
    [
        ("iam:GetAccountAuthorizationDetails", ["User", "Group", "Role", "Policy"]),
        ("ec2:DescribeSecurityGroups", ["SecurityGroup"]),
        ("s3:ListAllMyBuckets", ["Bucket"]),
    ],
)
def test_a_list_that_is_denied_costs_its_kinds_alone(moto: Moto, action: str, kinds: list[str]) -> None:
    with Gate(moto, refusing(action, "UnauthorizedOperation")) as gate:
        found = observed(gate.url, regions=REGIONS[:1])
    assert [item.kind.rpartition(".")[2] for item in unreadable(found)] == kinds
    assert all("UnauthorizedOperation" in item.detail for item in unreadable(found))
    left = {"aws.iam.User", "aws.ec2.SecurityGroup", "aws.s3.Bucket"} - {item.kind for item in unreadable(found)}
    assert left <= {item.kind for item in found if isinstance(item, Observed)}


def test_a_list_that_breaks_off_is_unreadable_and_what_came_is_kept(moto: Moto) -> None:
    for number in range(9):
        moto.client("ec2").create_security_group(GroupName=f"g{number}", Description="d")
    answer = lambda action, about: (  # noqa: E731 -- of the second page alone
        refusal("InternalError", 400) if action == "ec2:DescribeSecurityGroups" and "NextToken" in about else None
    )
    with Gate(moto, answer) as gate:
        found = observed(gate.url, regions=REGIONS[:1], page=5)
    assert len(of(found, "aws.ec2.SecurityGroup")) == 5
    assert [item.kind for item in unreadable(found)] == ["aws.ec2.SecurityGroup"]


def test_a_call_that_is_throttled_twice_is_tried_again(moto: Moto) -> None:
    left = {"iam:ListAccountAliases": 2, "s3:ListAllMyBuckets": 2}

    def answer(action: str, _about: str) -> Canned | None:
        if left.get(action, 0) == 0:
            return None
        left[action] -= 1
        return refusal("Throttling", 400) if not action.startswith("s3") else refusal("SlowDown", 503)

    with Gate(moto, answer) as gate:
        found = observed(gate.url, regions=REGIONS[:1])
        asked = gate.asked
    assert not unreadable(found)
    assert [asked[action] for action in left] == [3, 3]


def test_a_call_that_is_always_throttled_is_unreadable(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws_session, "_ATTEMPTS", 2)
    with Gate(moto, refusing("iam:ListAccountAliases", "Throttling", 400)) as gate:
        found = observed(gate.url, regions=REGIONS[:1])
        assert gate.asked["iam:ListAccountAliases"] == 2
    assert [(item.kind, item.reason) for item in unreadable(found)] == [("aws.iam.Account", "throttled")]


def test_a_region_that_is_not_enabled_costs_its_groups_alone(moto: Moto) -> None:
    off = lambda action, _about: refusal("AuthFailure", 401) if action.startswith("ec2:") else None  # noqa: E731 -- one use
    with Gate(moto, off) as gate:
        found = observed(gate.url, regions=("ap-east-1",))
    assert {(item.kind, item.reason) for item in unreadable(found)} == {("aws.ec2.SecurityGroup", "region-disabled")}
    assert "ap-east-1: AuthFailure; enable the region" in unreadable(found)[0].detail
    assert of(found, "aws.s3.Bucket")


@pytest.mark.parametrize(
    ("code", "reason"),
    [("ExpiredToken", "expired"), ("InvalidClientTokenId", "unauthorized"), ("SignatureDoesNotMatch", "unauthorized")],
)
def test_credentials_that_are_not_taken_cost_every_kind_once(moto: Moto, code: str, reason: str) -> None:
    with Gate(moto, refusing("sts:GetCallerIdentity", code)) as gate:
        found = observed(gate.url)
        assert set(gate.asked) == {"sts:GetCallerIdentity"}
    assert [item.kind for item in found] == list(Aws.kinds)
    assert {item.reason for item in unreadable(found)} == {reason}
    assert "renew or correct the credentials of this process" in unreadable(found)[0].detail


def test_a_token_that_expires_midway_costs_what_is_left(moto: Moto) -> None:
    with Gate(moto, refusing("ec2:DescribeNetworkInterfaces", "ExpiredToken", 400)) as gate:
        found = observed(gate.url)
    assert [item.kind for item in unreadable(found)] == ["aws.ec2.SecurityGroup", "aws.s3.Bucket"]
    assert len(of(found, "aws.iam.User")) == 2


def test_no_credentials_at_all_says_so(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    found = observed(moto.url)
    assert [item.kind for item in found] == list(Aws.kinds)
    assert {item.reason for item in unreadable(found)} == {"no-credentials"}
    found = observed(moto.url, profile="plant")
    assert "profile plant" in unreadable(found)[0].detail


def test_an_endpoint_that_does_not_answer_is_unreachable(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    del moto
    monkeypatch.setattr(aws_session, "_ATTEMPTS", 1)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        found = observed(f"http://127.0.0.1:{held.getsockname()[1]}")
    assert [item.kind for item in found] == list(Aws.kinds)
    assert {item.reason for item in unreadable(found)} == {"unreachable"}


def test_an_answer_that_is_no_answer_of_aws_is_malformed(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws_session, "_ATTEMPTS", 1)
    with Gate(
        moto, lambda action, _about: (200, b"<html>") if action == "ec2:DescribeSecurityGroups" else None
    ) as gate:
        found = observed(gate.url, regions=REGIONS[:1])
    assert [(item.kind, item.reason) for item in unreadable(found)] == [("aws.ec2.SecurityGroup", "malformed")]


@pytest.mark.parametrize("content", ["", "user,arn\n1,2\n"])
def test_a_report_that_is_none_leaves_passwords_unknown(moto: Moto, content: str) -> None:
    with Gate(moto, lambda action, _about: report(content) if action == "iam:GetCredentialReport" else None) as gate:
        found = observed(gate.url, regions=REGIONS[:1])
    assert {item.kind for item in unreadable(found)} <= {"aws.iam.User", "aws.iam.Account"}
    assert "aws.iam.Account" in {item.kind for item in unreadable(found)}
    assert "lastUsed" not in of(found, "aws.iam.Account")[0]["root"]


def test_endpoints_of_the_environment_do_not_count(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_STS"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert of(observed(moto.url, regions=REGIONS[:1], role_arn=f"arn:aws:iam::{ACCOUNT}:role/g"), "aws.s3.Bucket")


def test_a_role_is_assumed_with_its_external_id(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTERNAL", shared := secrets.token_hex(8))
    trust = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}}
    iam = moto.client("iam")
    arn = iam.create_role(RoleName="guardian", Path="/audit/", AssumeRolePolicyDocument=json.dumps(trust))["Role"][
        "Arn"
    ]
    with Gate(moto) as gate:
        found = observed(gate.url, regions=REGIONS[:1], role_arn=arn, external_id=Secret("env:EXTERNAL"))
        assumed = [body for _path, body in gate.requests if "Action=AssumeRole" in body]
    assert len(assumed) == 1
    assert f"ExternalId={shared}" in assumed[0]
    [account] = of(found, "aws.iam.Account")
    assert account["caller"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/guardian/guardian"
    assert account["callerRoleArn"] == arn
    assert shared not in str(found)


def test_a_role_that_may_not_be_assumed_says_which(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTERNAL", secrets.token_hex(8))
    arn = f"arn:aws:iam::{ACCOUNT}:role/closed"
    with Gate(moto, refusing("sts:AssumeRole", "AccessDenied")) as gate:
        found = observed(gate.url, role_arn=arn, external_id=Secret("env:EXTERNAL"))
    assert {item.reason for item in unreadable(found)} == {"forbidden"}
    assert f"sts:AssumeRole: AccessDenied; see that the trust policy of {arn}" in unreadable(found)[0].detail
    found = observed(moto.url, role_arn=arn, external_id=Secret("env:MISSING"))
    assert {item.reason for item in unreadable(found)} == {"not-configured"}


def test_a_backup_bucket_of_another_account_is_asked_for_by_name(moto: Moto) -> None:
    listed = b"<R><Buckets></Buckets></R>"
    with Gate(moto, lambda action, _about: (200, listed) if action == "s3:ListAllMyBuckets" else None) as gate:
        found = observed(gate.url, regions=REGIONS[:1], backup_buckets=("bucket-one", "bucket-none"))
    [bucket] = of(found, "aws.s3.Bucket")
    assert (bucket["name"], bucket["backup"], bucket["created"], bucket["versioning"]) == (
        "bucket-one",
        True,
        None,
        "Off",
    )
    [told] = unreadable(found)
    assert (told.reason, told.detail.split(":")[1]) == ("missing", "GetBucketLocation of bucket bucket-none")


def test_a_backup_bucket_that_tells_nothing_is_unreadable_and_no_resource(moto: Moto) -> None:
    with Gate(
        moto, lambda _action, about: refusal("AccessDenied") if about in {"elsewhere", "bucket-two"} else None
    ) as gate:
        found = observed(gate.url, regions=REGIONS[:1], backup_buckets=("elsewhere",))
    assert [item["name"] for item in of(found, "aws.s3.Bucket")] == ["bucket-one", "bucket-two"]
    assert any("elsewhere" in item.detail for item in unreadable(found))


def test_a_user_that_is_deleted_meanwhile_is_none(moto: Moto) -> None:
    with Gate(moto, refusing("iam:ListMFADevices", "NoSuchEntity", 404, about="UserName=two")) as gate:
        found = observed(gate.url, regions=REGIONS[:1])
    assert [item["name"] for item in of(found, "aws.iam.User")] == ["one"]
    assert not unreadable(found)


def test_a_key_that_is_deleted_meanwhile_costs_itself_and_not_its_user(moto: Moto) -> None:
    with Gate(moto, refusing("iam:GetAccessKeyLastUsed", "NoSuchEntity", 404)) as gate:
        found = observed(gate.url, regions=REGIONS[:1])
    assert [(item["name"], item["accessKeys"]) for item in of(found, "aws.iam.User")] == [("one", []), ("two", [])]
    assert not unreadable(found)


def test_what_moto_itself_denies_is_told(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    key = moto.client("iam").create_access_key(UserName="one")["AccessKey"]
    few = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": ["iam:*", "sts:*"], "Resource": "*"}}
    moto.client("iam").put_user_policy(UserName="one", PolicyName="few", PolicyDocument=json.dumps(few))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    requests.post(f"{moto.url}/moto-api/reset-auth", data="0", timeout=30).raise_for_status()
    try:
        found = list(Aws(AwsCollector("prod", REGIONS[:1], endpoint=moto.url)).collect(NOW))
    finally:
        requests.post(f"{moto.url}/moto-api/reset-auth", data="inf", timeout=30).raise_for_status()
    assert {item.kind for item in unreadable(found) if item.reason == "forbidden"} == {
        "aws.ec2.SecurityGroup",
        "aws.s3.Bucket",
    }
    assert len(of(found, "aws.iam.User")) == 2


def test_doctor_says_whom_guardian_acts_as_and_what_it_may_not(moto: Moto, tmp_path: Path) -> None:
    def items(url: str) -> list[tuple[str, State, str]]:
        text = f"environment: test\ncollectors:\n- {{name: p, type: aws, regions: [eu-central-1], endpoint: '{url}'}}\n"
        (tmp_path / "guardian.yaml").write_text(text, encoding="utf-8")
        found = _accounts(config.load(tmp_path / "guardian.yaml"), lambda _said: None)
        return [(item.name, item.state, item.detail) for item in found]

    said = f"as arn:aws:sts::{ACCOUNT}:user/moto; every kind can be read, security groups in eu-central-1"
    assert items(moto.url) == [("AWS account p", State.OK, said)]
    with Gate(moto, refusing("iam:GetAccountSummary", "AccessDenied")) as gate:
        [(_, state, detail)] = items(gate.url)
        assert set(gate.asked) <= set(CALLS)
    assert state is State.MISSING
    assert "1 call(s) failed, the first: iam:GetAccountSummary: AccessDenied" in detail
    with Gate(moto, refusing("sts:GetCallerIdentity", "ExpiredToken")) as gate:
        [(_, state, detail)] = items(gate.url)
    assert (state, detail.split(";")[0]) == (State.MISSING, "sts:GetCallerIdentity: ExpiredToken")


def test_a_backup_bucket_whose_name_is_none_costs_itself_alone(moto: Moto) -> None:
    with Gate(moto) as gate:
        found = observed(gate.url, regions=REGIONS[:1], backup_buckets=("no bucket!",))
    assert [item["name"] for item in of(found, "aws.s3.Bucket")] == ["bucket-one", "bucket-two"]
    assert {(item.kind, item.reason) for item in unreadable(found)} == {("aws.s3.Bucket", "refused")}
    assert all("bucket no bucket!: " in item.detail for item in unreadable(found))


def test_an_answer_of_another_shape_costs_one_attribute(moto: Moto) -> None:
    odd = b"<ServerSideEncryptionConfiguration><Rule></Rule></ServerSideEncryptionConfiguration>"
    wrong = {
        "s3:GetBucketPolicy": (200, b'{"Statement": [{"Effect": "Maybe"}]}'),
        "s3:GetEncryptionConfiguration": (200, odd),
        "s3:GetBucketPolicyStatus": (200, b"<PolicyStatus></PolicyStatus>"),
    }
    with Gate(moto, lambda action, about: wrong.get(action) if about == "bucket-one" else None) as gate:
        found = observed(gate.url, regions=REGIONS[:1])
    one, two = of(found, "aws.s3.Bucket")
    assert two.keys() - one.keys() == {"policy", "policyPublic"}
    assert one["encryption"] == {"algorithm": None, "keyArn": None}
    assert {item.reason for item in unreadable(found)} == {"malformed"}
