from __future__ import annotations

import json
import secrets
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from guardian import config
from guardian.collectors import Observed, Unreadable, aws_iam_account
from guardian.collectors.aws import Aws
from guardian.collectors.aws_calls import CALLS
from guardian.redact import is_redacted
from guardian.settings import AwsCollector
from guardian.usecases.collect import collect, read_snapshot
from tests.aws_support import ACCOUNT, ENVIRONMENT, REGIONS, Gate, Moto, report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardian.model import Resource, Snapshot

NOW = datetime.now(UTC).replace(microsecond=0)
CANARY = "CANARY" + secrets.token_hex(8)
ALLOW = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "S3:Get*", "Resource": "*"}}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:ExternalId": CANARY}},
        }
    ],
}
STATEMENT: dict[str, Any] = {
    "sid": None,
    "effect": "Allow",
    "actions": ["s3:get*"],
    "notActions": None,
    "resources": ["*"],
    "notResources": None,
    "principals": None,
    "notPrincipals": None,
    "conditions": {},
}
BLOCK = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": False}


@pytest.fixture(scope="module")
def server() -> Iterator[Moto]:
    with Moto() as running:
        yield running


@pytest.fixture
def moto(server: Moto, monkeypatch: pytest.MonkeyPatch) -> Moto:
    """An account with nothing in it but what every account has."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(aws_iam_account, "_POLL_S", 0.0)
    server.reset()
    return server


def observed(
    url: str, *, regions: tuple[str, ...] = REGIONS, page: int | None = None, **keys: Any
) -> list[Observed | Unreadable]:
    return list(Aws(AwsCollector("prod", regions, endpoint=url, **keys), page=page).collect(NOW))


def of(found: list[Observed | Unreadable], kind: str) -> list[dict[str, Any]]:
    return [dict(item.attributes) for item in found if isinstance(item, Observed) and item.kind == kind]


def unreadable(found: list[Observed | Unreadable]) -> list[Unreadable]:
    return [item for item in found if isinstance(item, Unreadable)]


def snapshot(folder: Path, url: str, more: str = "", services: str = "") -> Snapshot:
    (folder / "redaction.key").write_text(secrets.token_hex(32), encoding="utf-8")
    (folder / "redaction.key").chmod(0o600)
    text = (
        "environment: test\nkeys: {redaction: 'file:redaction.key'}\n"
        f"collectors:\n- {{name: prod, type: aws, regions: [eu-central-1], endpoint: '{url}'}}\n{more}{services}"
    )
    (folder / "guardian.yaml").write_text(text, encoding="utf-8")
    return collect(config.load(folder / "guardian.yaml"), now=NOW, drills=())


def by_id(found: Snapshot) -> dict[str, Resource]:
    return {resource.id: resource for resource in found.resources}


def fill(moto: Moto) -> dict[str, str]:
    """One of each, with what each may have. Returns the full id of the user's access key."""
    iam, s3 = moto.client("iam"), moto.client("s3")
    iam.create_user(UserName="anna", Path="/ops/", Tags=[{"Key": "service", "Value": "ops"}])
    key = iam.create_access_key(UserName="anna")["AccessKey"]["AccessKeyId"]
    iam.create_login_profile(UserName="anna", Password=secrets.token_urlsafe(12) + "aA1!")
    serial = iam.create_virtual_mfa_device(VirtualMFADeviceName="anna")["VirtualMFADevice"]["SerialNumber"]
    codes = {"AuthenticationCode1": "123456", "AuthenticationCode2": "123457"}
    iam.enable_mfa_device(UserName="anna", SerialNumber=serial, **codes)
    iam.put_user_policy(UserName="anna", PolicyName="own", PolicyDocument=json.dumps(ALLOW))
    policy = iam.create_policy(
        PolicyName="reader", PolicyDocument=json.dumps(ALLOW), Tags=[{"Key": "service", "Value": "ops"}]
    )["Policy"]["Arn"]
    iam.attach_user_policy(UserName="anna", PolicyArn=policy)
    iam.create_group(GroupName="staff")
    iam.put_group_policy(GroupName="staff", PolicyName="g", PolicyDocument=json.dumps(ALLOW))
    iam.add_user_to_group(UserName="anna", GroupName="staff")
    iam.create_role(RoleName="backup", Path="/sys/", AssumeRolePolicyDocument=json.dumps(TRUST))
    iam.attach_role_policy(RoleName="backup", PolicyArn=policy)
    iam.create_account_alias(AccountAlias="plant")
    iam.update_account_password_policy(MinimumPasswordLength=14, RequireSymbols=True)
    where = {"LocationConstraint": REGIONS[0]}
    s3.create_bucket(Bucket="erp-backups", ObjectLockEnabledForBucket=True, CreateBucketConfiguration=where)
    retention = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 35}}
    s3.put_object_lock_configuration(
        Bucket="erp-backups", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": retention}
    )
    kms = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": f"arn:aws:kms:{REGIONS[0]}:{ACCOUNT}:key/k"}
    s3.put_bucket_encryption(
        Bucket="erp-backups",
        ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": kms}]},
    )
    s3.put_public_access_block(Bucket="erp-backups", PublicAccessBlockConfiguration=BLOCK)
    rule = {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "daily/"}, "Expiration": {"Days": 90}}
    rule["NoncurrentVersionExpiration"] = {"NoncurrentDays": 10}
    s3.put_bucket_lifecycle_configuration(Bucket="erp-backups", LifecycleConfiguration={"Rules": [rule]})
    s3.put_bucket_tagging(Bucket="erp-backups", Tagging={"TagSet": [{"Key": "service", "Value": "erp"}]})
    west = moto.client("s3", REGIONS[1])
    west.create_bucket(Bucket="site", CreateBucketConfiguration={"LocationConstraint": REGIONS[1]}, ACL="public-read")
    everyone = {
        "Sid": "all",
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::site/*",
    }
    west.put_bucket_policy(Bucket="site", Policy=json.dumps({"Version": "2012-10-17", "Statement": [everyone]}))
    west.put_bucket_website(Bucket="site", WebsiteConfiguration={"IndexDocument": {"Suffix": "index.html"}})
    ec2 = moto.client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    group = ec2.create_security_group(GroupName="web", Description="the web", VpcId=vpc)["GroupId"]
    ec2.create_tags(Resources=[group], Tags=[{"Key": "service", "Value": "erp"}])
    ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[
            {
                "IpProtocol": "tcp",
                "FromPort": 443,
                "ToPort": 443,
                "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "customers"}],
                "Ipv6Ranges": [{"CidrIpv6": "::/0"}],
            },
            {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]},
        ],
    )
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    ec2.create_network_interface(SubnetId=subnet, Groups=[group])
    return {"key": key, "policy": policy, "group": group, "vpc": vpc}


def test_a_user_has_keys_devices_password_groups_and_policies(moto: Moto) -> None:
    made = fill(moto)
    with Gate(moto) as gate:
        [user] = of(observed(gate.url), "aws.iam.User")
    arn = f"arn:aws:iam::{ACCOUNT}:user/ops/anna"
    assert isinstance(user.pop("created"), datetime)
    assert user == {
        "name": "anna",
        "path": "/ops/",
        "arn": arn,
        "passwordEnabled": True,
        "passwordLastUsedDays": None,
        "mfaDevices": [{"serial": f"arn:aws:iam::{ACCOUNT}:mfa/anna", "type": "virtual"}],
        "accessKeys": [
            {"id": f"…{made['key'][-4:]}", "status": "Active", "ageDays": 0, "lastUsedDays": None, "service": None}
        ],
        "groups": ["staff"],
        "policies": {
            "attached": [{"name": "reader", "arn": made["policy"]}],
            "inline": [{"name": "own", "document": {"version": "2012-10-17", "statements": [STATEMENT]}}],
        },
        "boundary": None,
        "tags": {"service": "ops"},
    }


def test_groups_roles_and_policies_are_of_one_shape(moto: Moto) -> None:
    made = fill(moto)
    with Gate(moto) as gate:
        found = observed(gate.url)
    document = {"version": "2012-10-17", "statements": [STATEMENT]}
    [group] = of(found, "aws.iam.Group")
    assert group["policies"] == {"attached": [], "inline": [{"name": "g", "document": document}]}
    [role] = of(found, "aws.iam.Role")
    assert (role["path"], role["serviceLinked"], role["lastUsedDays"]) == ("/sys/", False, None)
    [trust] = role["trust"]["statements"]
    assert trust["principals"] == {
        "AWS": [f"arn:aws:iam::{ACCOUNT}:root"], "Service": [], "Federated": [], "*": False
    }  # fmt: skip
    assert trust["conditions"] == {"StringEquals": {"sts:ExternalId": [CANARY]}}
    [policy] = of(found, "aws.iam.Policy")
    assert policy == {
        "name": "reader",
        "arn": made["policy"],
        "managedBy": "customer",
        "attachments": 2,
        "document": document,
        "tags": {"service": "ops"},
    }


def test_of_the_policies_of_aws_those_that_are_attached_are_read(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
    moto.reset()
    iam = moto.client("iam")
    iam.create_user(UserName="boss")
    iam.attach_user_policy(UserName="boss", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    with Gate(moto) as gate:
        [policy] = of(observed(gate.url, regions=REGIONS[:1]), "aws.iam.Policy")
    assert (policy["name"], policy["managedBy"], policy["attachments"]) == ("AdministratorAccess", "aws", 1)
    assert policy["document"]["statements"][0]["actions"] == ["*"]


def test_the_account_tells_of_its_root_user_and_of_whom_guardian_acts_as(moto: Moto) -> None:
    fill(moto)
    with Gate(moto) as gate:
        [account] = of(observed(gate.url), "aws.iam.Account")
    last = datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert account.pop("root") == {
        "mfaActive": False, "accessKeys": 0, "lastUsed": last, "lastUsedDays": (NOW - last).days
    }  # fmt: skip
    policy = account.pop("passwordPolicy")
    assert (policy["minimumPasswordLength"], policy["requireSymbols"]) == (14, True)
    assert account == {
        "account": ACCOUNT,
        "alias": "plant",
        "caller": f"arn:aws:sts::{ACCOUNT}:user/moto",
        "callerRoleArn": None,
    }


def test_security_groups_of_two_regions_with_their_rules(moto: Moto) -> None:
    made = fill(moto)
    with Gate(moto) as gate:
        found = [item for item in observed(gate.url) if item.kind == "aws.ec2.SecurityGroup"]
    groups = {item.key: item for item in found if isinstance(item, Observed)}
    assert sorted(item.scope["region"] for item in groups.values()) == ["eu-central-1", "eu-central-1", "eu-west-1"]
    web = groups[f"aws:ec2:{REGIONS[0]}:{ACCOUNT}:security-group/{made['group']}"]
    assert web.scope == {"account": ACCOUNT, "region": REGIONS[0], "labels": {}, "tags": {"service": "erp"}}
    common: dict[str, Any] = {"prefixLists": [], "cidrs4": [], "cidrs6": [], "groups": []}
    everything = {**common, "protocol": "all", "fromPort": None, "toPort": None, "description": None}
    assert web.attributes == {
        "groupId": made["group"],
        "name": "web",
        "description": "the web",
        "vpcId": made["vpc"],
        "default": False,
        "inUse": True,
        "tags": {"service": "erp"},
        "ingress": [
            {
                **common,
                "protocol": "tcp",
                "fromPort": 443,
                "toPort": 443,
                "cidrs4": ["0.0.0.0/0"],
                "cidrs6": ["::/0"],
                "description": "customers",
            },
            {**everything, "groups": [made["group"]]},
        ],
        "egress": [{**everything, "cidrs4": ["0.0.0.0/0"]}],
    }
    assert [item.attributes["inUse"] for item in groups.values() if item.attributes["default"]] == [False, False]


def test_a_bucket_tells_everything_that_protects_it(moto: Moto) -> None:
    fill(moto)
    with Gate(moto) as gate:
        buckets = {
            item["name"]: item for item in of(observed(gate.url, backup_buckets=("erp-backups",)), "aws.s3.Bucket")
        }
    backups, site = buckets["erp-backups"], buckets["site"]
    assert isinstance(backups.pop("created"), datetime)
    [grant] = backups.pop("aclGrants")
    assert (grant["grantee"][:3], len(grant["grantee"]), grant["permission"]) == ("id:", 19, "FULL_CONTROL")
    assert backups == {
        "name": "erp-backups",
        "region": REGIONS[0],
        "backup": True,
        "versioning": "Enabled",
        "mfaDelete": False,
        "objectLock": {"enabled": True, "mode": "COMPLIANCE", "retentionDays": 35},
        "lifecycle": [{"id": "old", "enabled": True, "prefix": "daily/", "expireDays": 90, "noncurrentExpireDays": 10}],
        "encryption": {"algorithm": "aws:kms", "keyArn": f"arn:aws:kms:{REGIONS[0]}:{ACCOUNT}:key/k"},
        "publicAccessBlock": {
            "blockPublicAcls": True,
            "ignorePublicAcls": True,
            "blockPublicPolicy": True,
            "restrictPublicBuckets": False,
        },
        "accountPublicAccessBlock": None,
        "policy": None,
        "policyPublic": False,
        "website": False,
        "tags": {"service": "erp"},
    }
    assert (site["region"], site["backup"], site["versioning"], site["website"]) == (REGIONS[1], False, "Off", True)
    assert (site["policyPublic"], site["publicAccessBlock"]) == (True, None)
    assert site["encryption"] == {"algorithm": None, "keyArn": None}
    assert site["objectLock"] == {"enabled": False, "mode": None, "retentionDays": None}
    assert site["policy"]["statements"][0]["principals"]["*"] is True
    assert {"grantee": "http://acs.amazonaws.com/groups/global/AllUsers", "permission": "READ"} in site["aclGrants"]


def test_every_page_is_read_once(moto: Moto) -> None:
    iam, ec2, s3 = moto.client("iam"), moto.client("ec2"), moto.client("s3")
    for number in range(13):
        iam.create_user(UserName=f"u{number}")
        ec2.create_security_group(GroupName=f"g{number}", Description="d")
        s3.create_bucket(Bucket=f"bucket-{number}", CreateBucketConfiguration={"LocationConstraint": REGIONS[0]})
    for number in range(7):
        iam.create_policy(PolicyName=f"p{number}", PolicyDocument=json.dumps(ALLOW))
    with Gate(moto) as gate:
        found = observed(gate.url, regions=REGIONS[:1], page=5)
    assert not unreadable(found)
    keys = [item.key for item in found if isinstance(item, Observed)]
    assert len(keys) == len(set(keys))
    counts = Counter(item.kind for item in found)
    assert counts == {
        "aws.iam.User": 13, "aws.iam.Policy": 7, "aws.iam.Account": 1, "aws.ec2.SecurityGroup": 14, "aws.s3.Bucket": 13
    }  # fmt: skip
    pages = ("iam:GetAccountAuthorizationDetails", "ec2:DescribeSecurityGroups", "s3:ListAllMyBuckets")
    assert [gate.asked[action] for action in pages] == [4, 3, 3]


def test_the_shipped_policy_allows_the_calls_that_are_made_and_no_other(moto: Moto) -> None:
    fill(moto)
    with Gate(moto, lambda action, _about: report() if action == "iam:GetCredentialReport" else None) as gate:
        assert not unreadable(observed(gate.url, backup_buckets=("erp-backups",)))
        asked = set(gate.asked)
    assert asked == set(CALLS)
    shipped = json.loads((Path(__file__).parents[2] / "deploy/aws-collector-policy.json").read_text())
    granted = [action for statement in shipped["Statement"] for action in statement["Action"]]
    assert all(statement["Effect"] == "Allow" for statement in shipped["Statement"])
    assert Counter(granted) == Counter(asked - {"sts:GetCallerIdentity"})  # which nobody can be denied


def test_a_scan_of_an_account_matches_services_by_tags_and_keeps_no_secret(moto: Moto, tmp_path: Path) -> None:
    made = fill(moto)
    iam, ec2 = moto.client("iam"), moto.client("ec2")
    iam.tag_user(UserName="anna", Tags=[{"Key": "db-password", "Value": CANARY}, {"Key": "uri", "Value": _url()}])
    ec2.create_security_group(GroupName="odd", Description=f"password={CANARY}", VpcId=made["vpc"])
    services = (
        "services:\n- {name: erp, match: [{collector: prod, tags: {service: erp}}]}\n"
        "- {name: ops, match: [{collector: prod, tags: {service: ops}}]}\n"
        "- {name: sys, match: [{collector: prod, idPrefix: 'arn:aws:iam::123456789012:role/sys/'}]}\n"
    )
    with Gate(moto) as gate:
        taken = snapshot(tmp_path, gate.url, services=services)
    found = by_id(taken)
    assert CANARY.encode() not in taken.data
    assert made["key"].encode() not in taken.data
    owners = {
        identity: resource.service
        for identity, resource in found.items()
        if resource.kind.startswith("aws.") and resource.service
    }
    assert owners == {
        f"arn:aws:iam::{ACCOUNT}:user/ops/anna": "ops",
        made["policy"]: "ops",
        f"arn:aws:iam::{ACCOUNT}:role/sys/backup": "sys",
        f"arn:aws:ec2:{REGIONS[0]}:{ACCOUNT}:security-group/{made['group']}": "erp",
        "arn:aws:s3:::erp-backups": "erp",
    }
    anna = found[f"arn:aws:iam::{ACCOUNT}:user/ops/anna"]
    assert set(anna.redacted) == {"/tags/db-password", "/tags/uri"}
    assert anna.scope["tags"]["service"] == "ops"
    assert is_redacted(anna.scope["tags"]["db-password"])
    assert found[f"aws:prod/account/{ACCOUNT}"].source == {"collector": "aws", "name": "prod"}
    [status] = [status for status in taken.collectors if status.type == "aws"]
    assert (status.status, set(status.kinds)) == ("complete", set(Aws.kinds))
    assert read_snapshot(taken.data).digest == taken.digest


def test_what_two_collectors_see_has_two_ids(moto: Moto, tmp_path: Path) -> None:
    moto.client("iam").create_user(UserName="anna")
    more = f"- {{name: again, type: aws, regions: [eu-central-1], endpoint: '{moto.url}'}}\n"
    found = by_id(snapshot(tmp_path, moto.url, more))
    arn = f"arn:aws:iam::{ACCOUNT}:user/anna"
    assert [found[identity].source["name"] for identity in (arn, f"{arn}#again")] == ["prod", "again"]


def _url() -> str:
    return f"https://odoo:{CANARY}@erp.example/"
