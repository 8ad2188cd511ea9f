"""The controls over AWS from an account that is there: collected from a moto server, then judged by the policies."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from guardian import config
from guardian.collectors import aws_iam_account
from guardian.model import Verdict
from guardian.policy.evaluate import evaluate
from guardian.policy.standards import Standards
from guardian.usecases.collect import collect
from tests.aws_support import ACCOUNT, ENVIRONMENT, REGIONS, REPORT_HEADER, ROOT_LINE, Canned, Gate, Moto, report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from guardian.model import Finding
    from guardian.policy.bundle import Bundle
    from guardian.policy.wasm import WasmEngine

NOW = datetime.now(UTC).replace(microsecond=0)
IAM = f"arn:aws:iam::{ACCOUNT}:"
OWN = "arn:aws:iam::aws:policy/"
BACKUPS = ("vault", "soft", "bare")
ADMIN = f"{IAM}role/backup-admin"
BLOCK = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}
ROOT = f"aws:prod/account/{ACCOUNT}"


class Judged(Protocol):
    """Collect the account through a gate and judge it; days: how much later than now."""

    def __call__(
        self, answer: Callable[[str, str], Canned | None] = ..., *, days: int = 0
    ) -> Mapping[tuple[str, str], Finding]:
        """Return the findings by control and resource."""
        ...


def allow(actions: object, resources: object, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources, **more}


def text(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def trust(**who: str) -> str:
    return text({"Effect": "Allow", "Principal": who, "Action": "sts:AssumeRole"})


@pytest.fixture(scope="module")
def server() -> Iterator[Moto]:
    with Moto() as running:
        yield running


@pytest.fixture
def moto(server: Moto, monkeypatch: pytest.MonkeyPatch) -> Moto:
    """An account with AWS's own policies, and the role that Guardian assumes."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
    monkeypatch.setattr(aws_iam_account, "_POLL_S", 0.0)
    server.reset()
    iam = server.client("iam")
    iam.create_role(RoleName="guardian", AssumeRolePolicyDocument=trust(AWS=f"{IAM}root"))
    reads = (Path(__file__).parents[2] / "deploy" / "aws-collector-policy.json").read_text(encoding="utf-8")
    iam.put_role_policy(RoleName="guardian", PolicyName="reads", PolicyDocument=reads)
    return server


@pytest.fixture
def judged(policy_bundle: Bundle, wasm_engine: WasmEngine, moto: Moto, tmp_path: Path) -> Judged:
    (tmp_path / "redaction.key").write_text(secrets.token_hex(32), encoding="utf-8")
    (tmp_path / "redaction.key").chmod(0o600)

    def judge(
        answer: Callable[[str, str], Canned | None] = lambda _action, _about: None, *, days: int = 0
    ) -> Mapping[tuple[str, str], Finding]:
        with Gate(moto, answer) as gate:
            (tmp_path / "guardian.yaml").write_text(
                "environment: production\nkeys: {redaction: 'file:redaction.key'}\n"
                f"collectors: [{{name: prod, type: aws, regions: [{', '.join(REGIONS)}], endpoint: '{gate.url}', "
                f"roleArn: '{IAM}role/guardian', backupBuckets: [{', '.join(BACKUPS)}]}}]\n"
                "services: [{name: erp-plant1, tier: critical, match: [{collector: prod}]}]\n"
                f"controls: {{iam.backup-deletion-path: {{params: {{allowed: ['{ADMIN}']}}}}}}\n",
                encoding="utf-8",
            )
            settings = config.load(tmp_path / "guardian.yaml")
            snapshot = collect(settings, now=NOW + timedelta(days=days), drills=[])
        standards = Standards.of(policy_bundle.catalogue, settings)
        done = evaluate(snapshot, engine=wasm_engine, catalogue=policy_bundle.catalogue, standards=standards)
        return {(finding.control, finding.resource): finding for finding in done.findings}

    return judge


def verdict(found: Mapping[tuple[str, str], Finding], control: str, resource: str) -> Verdict:
    finding = found[control, resource]
    assert finding.message or finding.verdict is Verdict.PASS
    return finding.verdict


def bucket(moto: Moto, name: str, *, lock: tuple[str, int] | None = None, **more: Any) -> None:
    s3 = moto.client("s3")
    if lock:
        more["ObjectLockEnabledForBucket"] = True
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGIONS[0]}, **more)
    if lock:
        rule = {"DefaultRetention": {"Mode": lock[0], "Days": lock[1]}}
        s3.put_object_lock_configuration(
            Bucket=name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
        )


def backups(moto: Moto) -> None:
    """The buckets that guardian.yaml names, all of them closed to all but the one role."""
    bucket(moto, "vault", lock=("COMPLIANCE", 35))
    bucket(moto, "soft", lock=("GOVERNANCE", 3))
    bucket(moto, "bare")
    for name in BACKUPS:
        arn = f"arn:aws:s3:::{name}"
        refused = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": ["s3:Delete*", "s3:Put*Configuration", "s3:PutBucket*", "s3:PutObjectRetention",
                       "s3:PutObjectLegalHold", "s3:BypassGovernanceRetention"],
            "Resource": [arn, f"{arn}/*"],
            "Condition": {"ArnNotEquals": {"aws:PrincipalArn": ADMIN}},
        }  # fmt: skip
        moto.client("s3").put_bucket_policy(Bucket=name, Policy=text(refused))


def test_root_fails_as_it_is_used_and_passes_once_it_is_locked_away(judged: Judged, moto: Moto) -> None:
    backups(moto)
    found = judged()
    assert verdict(found, "iam.root", ROOT) is Verdict.FAIL
    assert "has no MFA device" in found["iam.root", ROOT].message

    def locked_away(action: str, _about: str) -> Canned | None:
        if action == "iam:GetCredentialReport":
            line = ROOT_LINE.replace("2026-11-20T10:00:00+00:00", "2020-02-01T10:00:00+00:00")
            line = line.replace("2026-11-22T10:00:00+00:00", "N/A").replace("false,true,2020", "true,false,2020")
            return report(REPORT_HEADER + line)
        if action == "iam:GetAccountSummary":
            entries = {"AccountMFAEnabled": 1, "AccountAccessKeysPresent": 0}
            inside = "".join(f"<entry><key>{key}</key><value>{n}</value></entry>" for key, n in entries.items())
            return (
                200,
                f"<R><GetAccountSummaryResult><SummaryMap>{inside}</SummaryMap></GetAccountSummaryResult></R>".encode(),
            )
        return None

    passed = judged(locked_away)
    assert verdict(passed, "iam.root", ROOT) is Verdict.PASS, passed["iam.root", ROOT].message


def test_people_need_a_second_factor_and_keys_that_are_few_and_young(judged: Judged, moto: Moto) -> None:
    backups(moto)
    iam = moto.client("iam")
    for name in ("anna", "eve", "robot"):
        iam.create_user(UserName=name)
        iam.create_access_key(UserName=name)
    for name in ("anna", "eve"):
        iam.create_login_profile(UserName=name, Password=secrets.token_urlsafe(12) + "aA1!")
    serial = iam.create_virtual_mfa_device(VirtualMFADeviceName="anna")["VirtualMFADevice"]["SerialNumber"]
    codes = {"AuthenticationCode1": "123456", "AuthenticationCode2": "123457"}
    iam.enable_mfa_device(UserName="anna", SerialNumber=serial, **codes)
    iam.create_access_key(UserName="eve")
    found = judged()
    assert verdict(found, "iam.mfa", f"{IAM}user/anna") is Verdict.PASS
    assert verdict(found, "iam.mfa", f"{IAM}user/eve") is Verdict.FAIL
    assert verdict(found, "iam.mfa", f"{IAM}user/robot") is Verdict.SKIP
    assert verdict(found, "iam.key-age", f"{IAM}user/anna") is Verdict.PASS
    assert verdict(found, "iam.key-age", f"{IAM}user/eve") is Verdict.FAIL
    assert verdict(judged(days=400), "iam.key-age", f"{IAM}user/anna") is Verdict.FAIL


def test_rights_fail_by_every_spelling_and_pass_as_an_ordinary_account_has_them(judged: Judged, moto: Moto) -> None:
    backups(moto)
    iam = moto.client("iam")
    wide = {
        "star": allow("*", "*"),
        "split": allow(["s3:*", "IAM:*"], ["*"]),
        "not-action": {"Effect": "Allow", "NotAction": "s3:Get*", "Resource": "*"},
        "not-resource": {"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:s3:::erp"},
        "conditioned": allow("*", "*", Condition={"StringLike": {"aws:PrincipalArn": "*"}}),
        "passes": allow(["iam:PassRole", "EC2:RunInstances"], "*"),
        "own-user": allow("iam:Put*Policy", f"{IAM}user/${{aws:username}}"),
        "no-boundary": allow(
            "iam:PutRolePolicy", "*", Condition={"ArnLike": {"iam:PermissionsBoundary": f"{OWN}Administrator*"}}
        ),
    }
    narrow = {
        "reader": allow(["s3:Get*", "s3:List*"], "*"),
        "own-keys": allow(["iam:*AccessKey*", "iam:ChangePassword"], f"{IAM}user/${{aws:username}}"),
        "pass-one": allow(["iam:PassRole", "ec2:RunInstances"], f"{IAM}role/app"),
    }
    for name, statement in (wide | narrow).items():
        iam.create_policy(PolicyName=name, PolicyDocument=text(statement))
    iam.create_policy(PolicyName="many", PolicyDocument=text(allow("iam:Get*", "*"), allow("iam:C*", "*")))
    iam.create_role(RoleName="app", AssumeRolePolicyDocument=trust(Service="ec2.amazonaws.com"))
    for name in ("AdministratorAccess", "ReadOnlyAccess"):
        iam.attach_role_policy(RoleName="app", PolicyArn=f"{OWN}{name}")
    iam.put_role_policy(RoleName="guardian", PolicyName="more", PolicyDocument=text(allow("*", "*")))
    linked = iam.create_service_linked_role(AWSServiceName="autoscaling.amazonaws.com")["Role"]["Arn"]
    found = judged()
    for name in (*wide, "many"):
        assert verdict(found, "iam.wildcard", f"{IAM}policy/{name}") is Verdict.FAIL, name
    for name in narrow:
        assert verdict(found, "iam.wildcard", f"{IAM}policy/{name}") is Verdict.PASS, name
    assert verdict(found, "iam.wildcard", f"{OWN}AdministratorAccess") is Verdict.FAIL
    assert verdict(found, "iam.wildcard", f"{OWN}ReadOnlyAccess") is Verdict.PASS
    assert verdict(found, "iam.wildcard", f"{IAM}role/app") is Verdict.SKIP  # judged as the policies that it has
    assert verdict(found, "iam.wildcard", f"{IAM}role/guardian") is Verdict.FAIL
    assert verdict(found, "iam.wildcard", linked) is Verdict.SKIP


def test_ingress_fails_by_range_halves_and_ipv6_and_passes_for_default_and_referenced_groups(
    judged: Judged, moto: Moto
) -> None:
    backups(moto)
    ec2 = moto.client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    tcp = {"IpProtocol": "tcp", "FromPort": 5000, "ToPort": 6000}
    ids: dict[str, str] = {}

    def group(name: str, *rules: dict[str, Any]) -> None:
        ids[name] = ec2.create_security_group(GroupName=name, Description="x", VpcId=vpc)["GroupId"]
        ec2.authorize_security_group_ingress(GroupId=ids[name], IpPermissions=list(rules))

    group("https", tcp | {"FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]})
    group("inside", tcp | {"IpRanges": [{"CidrIp": "10.0.0.0/8"}]})
    group("referenced", tcp | {"UserIdGroupPairs": [{"GroupId": ids["https"]}]})
    group("range", tcp | {"IpRanges": [{"CidrIp": "0.0.0.0/0"}]})
    group("halves", tcp | {"IpRanges": [{"CidrIp": "0.0.0.0/1"}]}, tcp | {"IpRanges": [{"CidrIp": "128.0.0.0/1"}]})
    group("six", tcp | {"Ipv6Ranges": [{"CidrIpv6": "::/0"}]})
    group("all", {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]})
    group("listed", tcp | {"PrefixListIds": [{"PrefixListId": "pl-12345678"}]})
    ids["default"] = next(g["GroupId"] for g in ec2.describe_security_groups()["SecurityGroups"]
                          if g["GroupName"] == "default")  # fmt: skip
    found = judged()
    seen = {name: verdict(found, "network.open-ingress", _group(found, number)) for name, number in ids.items()}
    passed, failed = ("https", "inside", "referenced", "default"), ("range", "halves", "six", "all")
    assert seen == dict.fromkeys(passed, Verdict.PASS) | dict.fromkeys(failed, Verdict.FAIL) | {"listed": Verdict.ERROR}


def _group(found: Mapping[tuple[str, str], Finding], number: str) -> str:
    return next(resource for _, resource in found if resource.endswith(f":security-group/{number}"))


def test_buckets_fail_that_anybody_reads_and_pass_whatever_else_they_lack(judged: Judged, moto: Moto) -> None:
    backups(moto)
    s3 = moto.client("s3")

    def policy(name: str, **more: Any) -> None:
        bucket(moto, name)
        reads = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{name}/*"}
        s3.put_bucket_policy(Bucket=name, Policy=text(reads | more))

    bucket(moto, "plain")
    bucket(moto, "half-blocked")
    s3.put_public_access_block(Bucket="half-blocked", PublicAccessBlockConfiguration={"BlockPublicAcls": True})
    policy("cdn", Principal={"Service": "cloudfront.amazonaws.com"})
    policy("org", Condition={"StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}})
    policy("held")
    s3.put_public_access_block(Bucket="held", PublicAccessBlockConfiguration=BLOCK)
    policy("open")
    policy("tls", Condition={"Bool": {"aws:SecureTransport": "true"}})
    policy("anywhere", Condition={"IpAddress": {"aws:SourceIp": ["0.0.0.0/1", "128.0.0.0/1"]}})
    policy("anyone", Condition={"StringEquals": {"aws:userid": "anonymous"}})
    policy("any-vpc", Condition={"StringLike": {"aws:SourceVpce": "vpce-*"}})
    bucket(moto, "listed", ACL="public-read")
    found = judged()
    seen = {name: verdict(found, "network.public-data", f"arn:aws:s3:::{name}") for name in (
        "plain", "half-blocked", "cdn", "org", "held", "open", "tls", "anywhere", "anyone", "any-vpc", "listed",
    )}  # fmt: skip
    passed = ("plain", "half-blocked", "cdn", "org", "held")
    failed = ("open", "tls", "anywhere", "anyone", "any-vpc", "listed")
    assert seen == dict.fromkeys(passed, Verdict.PASS) | dict.fromkeys(failed, Verdict.FAIL)


def test_backups_are_kept_where_locked_and_closed_and_nowhere_else(judged: Judged, moto: Moto) -> None:
    backups(moto)
    iam = moto.client("iam")
    iam.create_role(RoleName="app", AssumeRolePolicyDocument=trust(Service="ec2.amazonaws.com"))
    iam.attach_role_policy(RoleName="app", PolicyArn=f"{OWN}AdministratorAccess")
    bucket(moto, "elsewhere")
    found = judged()
    of = {name: f"arn:aws:s3:::{name}" for name in (*BACKUPS, "elsewhere")}
    immutable = {name: verdict(found, "backup.immutable", arn) for name, arn in of.items()}
    assert immutable == {
        "vault": Verdict.PASS, "soft": Verdict.FAIL, "bare": Verdict.FAIL, "elsewhere": Verdict.SKIP,
    }  # fmt: skip
    for name in BACKUPS:  # the administrator is refused by the buckets themselves
        passed = found["iam.backup-deletion-path", of[name]]
        assert passed.verdict is Verdict.PASS, passed.message
    assert verdict(found, "iam.backup-deletion-path", of["elsewhere"]) is Verdict.SKIP

    moto.client("s3").delete_bucket_policy(Bucket="soft")
    expires = {"ID": "soon", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 2}}
    moto.client("s3").put_bucket_lifecycle_configuration(Bucket="vault", LifecycleConfiguration={"Rules": [expires]})
    found = judged()
    opened = found["iam.backup-deletion-path", of["soft"]]
    assert opened.verdict is Verdict.FAIL
    assert f"{IAM}role/app, which a workload can assume by ec2.amazonaws.com" in opened.message
    assert verdict(found, "iam.backup-deletion-path", of["vault"]) is Verdict.PASS
    assert verdict(found, "backup.immutable", of["vault"]) is Verdict.FAIL
