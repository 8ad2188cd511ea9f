"""Resources of AWS for tests of policies, in the form of the collector: right by default, changed by keyword."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guardian.model import Resource, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ACCOUNT: Final = "123456789012"
SERVICE: Final = "erp-plant1"


def aws(kind: str, identity: str, region: str | None = None, /, **attributes: Any) -> Resource:
    """Return one resource of the account; region: None for what is global."""
    scope: dict[str, Any] = {"account": ACCOUNT, "labels": {}, "tags": attributes.get("tags", {})}
    scope |= {"region": region} if region else {}
    source = {"collector": "aws", "name": "aws-prod"}
    return Resource(kind, identity, SERVICE, Tier.CRITICAL, None, scope, source, attributes)


def arn(rest: str) -> str:
    """Return the ARN of something in the account's IAM, such as `role/app`."""
    return f"arn:aws:iam::{ACCOUNT}:{rest}"


def statement(
    actions: Sequence[str] | None, resources: Sequence[str] | None, effect: str = "Allow", /, **changes: Any
) -> dict[str, Any]:
    """Return one statement as the collector writes it: no principals, no condition."""
    return {
        "sid": None,
        "effect": effect,
        "actions": None if actions is None else [action.lower() for action in actions],
        "notActions": None,
        "resources": None if resources is None else list(resources),
        "notResources": None,
        "principals": None,
        "notPrincipals": None,
        "conditions": {},
        **changes,
    }


def document(*statements: dict[str, Any]) -> dict[str, Any]:
    """Return a policy document."""
    return {"version": "2012-10-17", "statements": list(statements)}


def principals(*, everybody: bool = False, **named: Sequence[str]) -> dict[str, Any]:
    """Return principals such as `AWS=[…]`, `Service=[…]`, `everybody=True`."""
    lists = {kind: list(named.get(kind, [])) for kind in ("AWS", "Service", "Federated")}
    return {**lists, "*": everybody}


def policies(*inline: dict[str, Any], attached: Sequence[str] = ()) -> dict[str, Any]:
    """Return what an identity holds: inline documents, and attached policies by name (or by ARN of AWS's own)."""
    arns = [name if name.startswith("arn:") else arn(f"policy/{name}") for name in attached]
    return {
        "attached": [{"name": found.rsplit("/", 1)[1], "arn": found} for found in arns],
        "inline": [{"name": f"own-{i}", "document": found} for i, found in enumerate(inline)],
    }


def account(**changes: Any) -> Resource:
    """Return an account whose root user is locked away, read by a role of Guardian's."""
    root = {"mfaActive": True, "accessKeys": 0, "lastUsed": "2025-01-07T08:00:00Z", "lastUsedDays": 685}
    attributes = {
        "account": ACCOUNT,
        "alias": "plant1",
        "caller": f"arn:aws:sts::{ACCOUNT}:assumed-role/guardian/scan",
        "callerRoleArn": arn("role/guardian"),
        "root": {**root, **changes.pop("root", {})},
        "passwordPolicy": None,
        **changes,
    }
    return aws("aws.iam.Account", f"aws:aws-prod/account/{ACCOUNT}", **attributes)


def user(name: str = "anna", **changes: Any) -> Resource:
    """Return a person with a second factor and a young key."""
    attributes = {
        "name": name,
        "path": "/",
        "arn": arn(f"user/{name}"),
        "created": "2026-01-07T08:00:00Z",
        "passwordEnabled": True,
        "passwordLastUsedDays": 1,
        "mfaDevices": [{"serial": arn(f"mfa/{name}"), "type": "virtual"}],
        "accessKeys": [{"id": "…WXYZ", "status": "Active", "ageDays": 20, "lastUsedDays": 1, "service": "s3"}],
        "groups": [],
        "policies": policies(),
        "boundary": None,
        "tags": {},
        **changes,
    }
    return aws("aws.iam.User", arn(f"user/{name}"), **attributes)


def group(name: str = "staff", **changes: Any) -> Resource:
    """Return a group that may nothing."""
    attributes = {"name": name, "arn": arn(f"group/{name}"), "policies": policies(), **changes}
    return aws("aws.iam.Group", arn(f"group/{name}"), **attributes)


def trust(**named: Sequence[str]) -> dict[str, Any]:
    """Return the trust policy of a role for `Service=[…]`, `AWS=[…]` or `Federated=[…]`."""
    return document(statement(["sts:AssumeRole"], None, principals=principals(everybody=False, **named)))


def role(name: str = "app", **changes: Any) -> Resource:
    """Return a role of EC2 that may nothing."""
    attributes = {
        "name": name,
        "path": "/",
        "arn": arn(f"role/{name}"),
        "created": "2026-01-07T08:00:00Z",
        "serviceLinked": False,
        "trust": trust(Service=["ec2.amazonaws.com"]),
        "policies": policies(),
        "boundary": None,
        "lastUsedDays": 1,
        "tags": {},
        **changes,
    }
    return aws("aws.iam.Role", arn(f"role/{name}"), **attributes)


def policy(name: str = "reader", *statements: dict[str, Any], **changes: Any) -> Resource:
    """Return a customer-managed policy; of AWS's own the name is the ARN."""
    managed = name.startswith("arn:")
    identity = name if managed else arn(f"policy/{name}")
    attributes = {
        "name": identity.rsplit("/", 1)[1],
        "arn": identity,
        "managedBy": "aws" if managed else "customer",
        "attachments": 1,
        "document": document(*(statements or [statement(["s3:GetObject"], ["arn:aws:s3:::erp-files/*"])])),
        "tags": {},
        **changes,
    }
    return aws("aws.iam.Policy", identity, **attributes)


def rule(
    ports: tuple[int, int] | None = (443, 443), cidrs4: Sequence[str] = ("0.0.0.0/0",), **changes: Any
) -> dict[str, Any]:
    """Return a rule of a security group; ports: None for all."""
    return {
        "protocol": "tcp",
        "fromPort": ports[0] if ports else None,
        "toPort": ports[1] if ports else None,
        "cidrs4": list(cidrs4),
        "cidrs6": [],
        "prefixLists": [],
        "groups": [],
        "description": "",
        **changes,
    }


def security_group(name: str = "web", *ingress: dict[str, Any], **changes: Any) -> Resource:
    """Return a security group that is open for HTTPS."""
    identity = f"arn:aws:ec2:eu-central-1:{ACCOUNT}:security-group/sg-{name}"
    attributes = {
        "groupId": f"sg-{name}",
        "name": name,
        "description": "",
        "vpcId": "vpc-1",
        "default": False,
        "inUse": True,
        "ingress": list(ingress or [rule()]),
        "egress": [rule(None, protocol="all")],
        "tags": {},
        **changes,
    }
    return aws("aws.ec2.SecurityGroup", identity, "eu-central-1", **attributes)


BLOCKED: Final = dict.fromkeys(
    ("blockPublicAcls", "ignorePublicAcls", "blockPublicPolicy", "restrictPublicBuckets"), True
)


def bucket(name: str = "erp-backups", **changes: Any) -> Resource:
    """Return a bucket of backups that is locked, private, and keeps what it has for 35 days."""
    attributes = {
        "name": name,
        "region": "eu-central-1",
        "created": "2026-01-07T08:00:00Z",
        "backup": True,
        "versioning": "Enabled",
        "mfaDelete": False,
        "objectLock": {"enabled": True, "mode": "COMPLIANCE", "retentionDays": 35},
        "lifecycle": [{"id": "old", "enabled": True, "prefix": "", "expireDays": 60, "noncurrentExpireDays": 60}],
        "encryption": {"algorithm": "aws:kms", "keyArn": f"arn:aws:kms:eu-central-1:{ACCOUNT}:key/1"},
        "publicAccessBlock": dict(BLOCKED),
        "accountPublicAccessBlock": None,
        "policy": None,
        "policyPublic": None,
        "aclGrants": [{"grantee": "0123456789abcdef", "permission": "FULL_CONTROL"}],
        "website": False,
        "tags": {},
        **changes,
    }
    return aws("aws.s3.Bucket", f"arn:aws:s3:::{name}", "eu-central-1", **attributes)


EVERYTHING: Final = statement(["*"], ["*"])
DELETES: Final = statement(
    ["s3:Delete*", "s3:PutLifecycleConfiguration"], ["arn:aws:s3:::erp-backups", "arn:aws:s3:::erp-backups/*"]
)
PASSES: Final = statement(
    ["iam:PassRole", "ec2:RunInstances"],
    ["*"],
    conditions={"StringEquals": {"iam:PassedToService": ["ec2.amazonaws.com"]}},
)
GUARDED: Final = statement(
    ["s3:Delete*", "s3:Put*"],
    ["arn:aws:s3:::erp-backups", "arn:aws:s3:::erp-backups/*"],
    "Deny",
    principals=principals(everybody=True),
    conditions={"ArnNotEquals": {"aws:PrincipalArn": [arn("role/backup-admin")]}},
)
PUBLIC: Final = statement(["s3:GetObject"], ["arn:aws:s3:::www/*"], principals=principals(everybody=True), sid="Read")
# Of every kind something right and something wrong: what the engines are compared on.
SAMPLES: Final[Mapping[str, Sequence[Resource]]] = {
    "aws.iam.Account": [account(), account(root={"mfaActive": False, "accessKeys": 1, "lastUsedDays": 2})],
    "aws.iam.User": [
        user(groups=["staff"]),
        user("batch", passwordEnabled=False, mfaDevices=[], policies=policies(document(DELETES))),
        user(
            "eve", mfaDevices=[], accessKeys=[{"id": "…ABCD", "status": "Active", "ageDays": 400, "lastUsedDays": None}]
        ),
        user("ops", policies=policies(document(EVERYTHING), attached=["reader"])),
    ],
    "aws.iam.Group": [
        group(policies=policies(document(statement(["s3:List*"], ["*"])))),
        group("admins", policies=policies(document(EVERYTHING))),
    ],
    "aws.iam.Role": [
        role(
            policies=policies(
                document(statement(["s3:PutObject"], ["arn:aws:s3:::erp-backups/*"])), attached=["reader"]
            )
        ),
        role("guardian", trust=trust(AWS=[arn("root")]), policies=policies(attached=["reader"])),
        role("purge", policies=policies(document(DELETES, statement(["s3:Delete*"], ["*"], "Deny")))),
        role("ci", policies=policies(document(PASSES)), boundary=arn("policy/reader")),
    ],
    "aws.iam.Policy": [
        policy(),
        policy("pass", PASSES),
        policy("keys", statement(["iam:*AccessKey*"], [arn("user/*")])),
        policy("arn:aws:iam::aws:policy/AdministratorAccess", EVERYTHING),
    ],
    "aws.ec2.SecurityGroup": [
        security_group(),
        security_group("ssh", rule((22, 22)), rule((5432, 5432), ["10.0.0.0/8"])),
        security_group("halves", rule((0, 65535), ["0.0.0.0/1", "128.0.0.0/1"], cidrs6=["::/0"])),
        security_group("list", rule((22, 22), [], prefixLists=["pl-1"])),
    ],
    "aws.s3.Bucket": [
        bucket(),
        bucket(policy=document(GUARDED)),
        bucket("half", objectLock={"enabled": True, "mode": "GOVERNANCE", "retentionDays": 7}, versioning="Suspended"),
        bucket("www", backup=False, policy=document(PUBLIC), policyPublic=True, publicAccessBlock=None, website=True),
    ],
}
