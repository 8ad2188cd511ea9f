"""Every bucket of an account with what protects it: one call an aspect, several buckets at once.

Each call's name says what it gives; `s3:ListAllMyBuckets` gives names, dates and regions, `s3:GetBucketLocation` a
region it does not tell. No object is ever listed or read.

Invariant: at most one page of buckets is held. An aspect that is not configured is null (or off); one that could not be
read is absent, and told as Unreadable. A bucket that guardian.yaml names and the account does not list is asked for by
name.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from guardian.collectors.aws_documents import days, document, tags
from guardian.collectors.aws_errors import AwsError, Gaps, Parts, malformed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from guardian.collectors import Observed, Unreadable
    from guardian.collectors.aws_calls import Calls
    from guardian.collectors.aws_identity import Identity

BUCKET: Final = "aws.s3.Bucket"
LIST: Final = "s3:ListAllMyBuckets"
OF_ACCOUNT: Final = "s3:GetAccountPublicAccessBlock"
_BLOCKS: Final = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
_Read = tuple["Observed | None", list[AwsError]]


def buckets(
    calls: Calls, who: Identity, now: datetime, backup_buckets: Sequence[str]
) -> Iterator[Observed | Unreadable]:
    """Yield every bucket. Raises AwsError only where it holds for every other call too."""
    gaps, of_account = Gaps(), Parts()
    of_account.take("block", lambda: _block(calls.one(OF_ACCOUNT, AccountId=who.account)))
    for error in of_account.errors:
        gaps.add(BUCKET, f"account {who.account}", error)
    section = _Section(calls, who, now, frozenset(backup_buckets), of_account.attributes)
    unlisted = dict.fromkeys(backup_buckets)
    try:
        for page in calls.pages(LIST):
            found = page.get("Buckets", ())
            for one in found:
                unlisted.pop(one["Name"], None)
            yield from _read(calls, gaps, section.listed, found)
    except AwsError as error:
        if error.whole:
            raise
        gaps.add(BUCKET, f"account {who.account}", error)
    yield from _read(calls, gaps, section.named, [{"Name": name} for name in unlisted])
    yield from gaps.unreadable()


def _read(
    calls: Calls,
    gaps: Gaps,
    read: Callable[[Mapping[str, Any]], _Read],
    found: Sequence[Mapping[str, Any]],
) -> Iterator[Observed]:
    for one, (observed, errors) in zip(found, calls.each(read, found), strict=True):
        for error in errors:
            gaps.add(BUCKET, f"bucket {one['Name']}", error)
        if observed is not None:
            yield observed


class _Section:
    """of_account: the account's own public access block under `block`, nothing if it could not be read."""

    def __init__(
        self, calls: Calls, who: Identity, now: datetime, backups: frozenset[str], of_account: Mapping[str, Any]
    ) -> None:
        self._calls, self._who, self._now, self._backups = calls, who, now, backups
        self._of_account = of_account

    def listed(self, found: Mapping[str, Any]) -> _Read:
        """Read a bucket of the account's own list. One that was deleted since is none."""
        parts = self._bucket(found)
        return (None, []) if parts.gone else (self._observed(parts), parts.errors)

    def named(self, found: Mapping[str, Any]) -> _Read:
        """Read a bucket that is not on the account's list: another account's, or none."""
        parts = self._bucket(found, ours=False)
        if parts.gone:
            way_out = "correct backupBuckets, or make the bucket"
            return None, [AwsError(parts.gone.action, "missing", parts.gone.code, way_out)]
        if not parts.attributes.keys() - _KNOWN:
            return None, parts.errors
        return self._observed(parts), parts.errors

    def _bucket(self, found: Mapping[str, Any], *, ours: bool = True) -> Parts:
        name = found["Name"]
        parts = Parts()
        parts.attributes = {"name": name, "created": found.get("CreationDate"), "backup": name in self._backups}
        parts.take("region", lambda: found.get("BucketRegion") or self._region(name))
        region = parts.attributes.get("region")
        asked = _Asked(self._calls, name, region)
        parts.take("versioning", lambda: asked("s3:GetBucketVersioning") or {})
        versions = parts.attributes.pop("versioning", None)
        if versions is not None:
            parts.attributes["versioning"] = versions.get("Status", "Off")
            parts.attributes["mfaDelete"] = versions.get("MFADelete") == "Enabled"
        parts.take("objectLock", lambda: _object_lock(asked("s3:GetBucketObjectLockConfiguration")))
        parts.take("lifecycle", lambda: _lifecycle(asked("s3:GetLifecycleConfiguration"), self._now))
        parts.take("encryption", lambda: _encryption(asked("s3:GetEncryptionConfiguration")))
        parts.take("publicAccessBlock", lambda: _block(asked("s3:GetBucketPublicAccessBlock")))
        parts.take("policy", lambda: _policy(asked("s3:GetBucketPolicy")))
        parts.take("policyPublic", lambda: _is_public(asked("s3:GetBucketPolicyStatus")))
        parts.take("aclGrants", lambda: _grants(asked("s3:GetBucketAcl")))
        parts.take("website", lambda: asked("s3:GetBucketWebsite") is not None)
        parts.take("tags", lambda: tags((asked("s3:GetBucketTagging") or {}).get("TagSet")))
        if not ours:  # another account's block is not ours to read
            parts.attributes["accountPublicAccessBlock"] = None
        elif "block" in self._of_account:
            parts.attributes["accountPublicAccessBlock"] = self._of_account["block"]
        return parts

    def _observed(self, parts: Parts) -> Observed:
        attributes = parts.attributes
        arn = f"arn:{self._who.partition}:s3:::{attributes['name']}"
        region, labelled = attributes.get("region"), attributes.get("tags")
        return self._who.observed(BUCKET, arn, attributes, region=region, labelled=labelled)

    def _region(self, name: str) -> str:
        told = (self._calls.one("s3:GetBucketLocation", Bucket=name) or {}).get("LocationConstraint")
        return {None: "us-east-1", "": "us-east-1", "EU": "eu-west-1"}.get(told) or str(told)


# What is known of a bucket that told nothing.
_KNOWN: Final = frozenset({"name", "created", "backup", "accountPublicAccessBlock"})


class _Asked:
    """Calls about one bucket. What the answer should hold and does not is an answer of another shape."""

    def __init__(self, calls: Calls, name: str, region: str | None) -> None:
        self._calls, self._name, self._region = calls, name, region

    def __call__(self, action: str) -> dict[str, Any] | None:
        return self._calls.one(action, region=self._region, Bucket=self._name)


def _object_lock(answer: Mapping[str, Any] | None) -> dict[str, Any]:
    found = (answer or {}).get("ObjectLockConfiguration", {})
    retention = found.get("Rule", {}).get("DefaultRetention", {})
    kept = retention.get("Years", 0) * 365 + retention.get("Days", 0)
    enabled = found.get("ObjectLockEnabled") == "Enabled"
    return {"enabled": enabled, "mode": retention.get("Mode"), "retentionDays": kept or None}


def _lifecycle(answer: Mapping[str, Any] | None, now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "id": rule.get("ID"),
            "enabled": rule.get("Status") == "Enabled",
            "prefix": _prefix(rule),
            "expireDays": _expiry(rule.get("Expiration", {}), now),
            "noncurrentExpireDays": rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays"),
        }
        for rule in (answer or {}).get("Rules", ())
    ]


def _prefix(rule: Mapping[str, Any]) -> str:
    chosen = rule.get("Filter", {})
    return str(rule.get("Prefix") or chosen.get("Prefix") or chosen.get("And", {}).get("Prefix") or "")


def _expiry(expiration: Mapping[str, Any], now: datetime) -> int | None:
    """Return days until objects expire; where a date is set, the days until then, which is when all of them go."""
    if "Date" in expiration:
        return days(now, expiration["Date"])
    found = expiration.get("Days")
    return found if isinstance(found, int) else None


def _encryption(answer: Mapping[str, Any] | None) -> dict[str, Any]:
    rules = (answer or {}).get("ServerSideEncryptionConfiguration", {}).get("Rules", ())
    default: Mapping[str, Any] = next(
        (rule["ApplyServerSideEncryptionByDefault"] for rule in rules if "ApplyServerSideEncryptionByDefault" in rule),
        {},
    )
    return {"algorithm": default.get("SSEAlgorithm"), "keyArn": default.get("KMSMasterKeyID")}


def _block(answer: Mapping[str, Any] | None) -> dict[str, bool] | None:
    if answer is None:
        return None
    found = answer["PublicAccessBlockConfiguration"]
    return {name[0].lower() + name[1:]: found.get(name) is True for name in _BLOCKS}


def _policy(answer: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    try:
        return document(answer["Policy"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise malformed("s3:GetBucketPolicy") from error


def _is_public(answer: Mapping[str, Any] | None) -> bool:
    """Return whether the policy makes the bucket public: AWS's own judgement. Without a policy it does not."""
    return answer is not None and answer["PolicyStatus"]["IsPublic"] is True


def _grants(answer: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """Return who is granted what. Accounts are told apart by a hash: their canonical id is nobody's business."""
    grants = []
    for grant in (answer or {}).get("Grants", ()):
        grantee = grant["Grantee"]
        who = grantee.get("URI") or "id:" + hashlib.sha256(str(grantee.get("ID")).encode()).hexdigest()[:16]
        grants.append({"grantee": who, "permission": grant["Permission"]})
    return grants
