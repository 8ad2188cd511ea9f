"""Users, groups, roles and policies of an account, page by page, and the account itself.

`iam:GetAccountAuthorizationDetails` gives all of them with their policies, documents, boundaries, tags (not those of
policies: `iam:ListPolicyTags`) and the last use of roles. Each user's keys and devices are asked for:
`iam:ListAccessKeys`, `iam:GetAccessKeyLastUsed`, `iam:ListMFADevices`. `aws_iam_account` says what the rest is made of.

Invariant: at most one page is held. What could not be read of a resource is absent from it, and told as Unreadable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guardian.collectors import Observed
from guardian.collectors.aws_documents import days, document, policies, tags
from guardian.collectors.aws_errors import GONE, AwsError, Gaps, Parts, malformed
from guardian.collectors.aws_iam_account import ACCOUNT, USER, Report, account, credential_report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from guardian.collectors import Unreadable
    from guardian.collectors.aws_calls import Calls
    from guardian.collectors.aws_identity import Identity

GROUP: Final = "aws.iam.Group"
ROLE: Final = "aws.iam.Role"
POLICY: Final = "aws.iam.Policy"
DETAILS: Final = "iam:GetAccountAuthorizationDetails"
FILTER: Final = ("User", "Role", "Group", "LocalManagedPolicy", "AWSManagedPolicy")
_Read = tuple[Observed | None, list[AwsError]]


def identities(calls: Calls, who: Identity, now: datetime, role_arn: str | None) -> Iterator[Observed | Unreadable]:
    """Yield the users, groups, roles and policies, then the account.

    role_arn: the role that guardian.yaml says to assume. Raises AwsError only where it holds for every other call too.
    """
    gaps = Gaps()
    report = credential_report(calls, who, gaps)
    section = _Section(calls, who, now, report)
    caller_role = role_arn if role_arn and role_arn.rpartition("/")[2] == who.role_name else None
    try:
        for page in calls.pages(DETAILS, Filter=list(FILTER)):
            for role in page.get("RoleDetailList", ()):
                if role["RoleName"] == who.role_name:
                    caller_role = role["Arn"]
            for kind, read, details in section.of(page):
                for detail, (observed, errors) in zip(details, calls.each(read, details), strict=True):
                    for error in errors:
                        gaps.add(kind, detail["Arn"], error)
                    if observed is not None:
                        yield observed
    except AwsError as error:
        if error.whole:
            raise
        for kind in (USER, GROUP, ROLE, POLICY):
            yield error.unreadable(kind)
    yield account(calls, who, now, report, caller_role, gaps)
    yield from gaps.unreadable()


class _Section:
    def __init__(self, calls: Calls, who: Identity, now: datetime, report: Report | None) -> None:
        self._calls, self._who, self._now, self._report = calls, who, now, report

    def of(
        self, page: Mapping[str, Any]
    ) -> Iterator[tuple[str, Callable[[Mapping[str, Any]], _Read], Sequence[Mapping[str, Any]]]]:
        """Yield what a page holds: a kind, what reads one of it, and all of them."""
        yield USER, self._user, page.get("UserDetailList", ())
        yield GROUP, self._group, page.get("GroupDetailList", ())
        yield ROLE, self._role, page.get("RoleDetailList", ())
        # of AWS's own, well over a thousand, those that somebody has
        used = [one for one in page.get("Policies", ()) if not _by_aws(one["Arn"]) or _is_used(one)]
        yield POLICY, self._policy, used

    def _user(self, detail: Mapping[str, Any]) -> _Read:
        name, arn = detail["UserName"], detail["Arn"]
        parts = Parts()
        parts.attributes = {
            "name": name,
            "path": detail.get("Path", "/"),
            "arn": arn,
            "created": detail.get("CreateDate"),
            "groups": list(detail.get("GroupList", ())),
            "boundary": _boundary(detail),
            "tags": tags(detail.get("Tags")),
        }
        parts.take("policies", lambda: _checked(lambda: policies(detail, "UserPolicyList")))
        if self._report is not None:
            row = self._report.users.get(arn)
            if row is None:  # AWS makes a report every four hours: this user is newer
                parts.take("passwordEnabled", lambda: self._has_password(name))
                parts.attributes["passwordLastUsedDays"] = None
            else:
                parts.attributes["passwordEnabled"] = row.password_enabled
                parts.attributes["passwordLastUsedDays"] = days(row.password_last_used, self._now)
        parts.take("mfaDevices", lambda: self._devices(name))
        parts.take("accessKeys", lambda: self._keys(name, parts.errors))
        return self._observed(USER, arn, parts)

    def _has_password(self, name: str) -> bool:
        return self._calls.one("iam:GetLoginProfile", UserName=name) is not None

    def _devices(self, name: str) -> list[dict[str, str]]:
        return [
            {"serial": device["SerialNumber"], "type": _device_type(device["SerialNumber"])}
            for page in self._calls.pages("iam:ListMFADevices", UserName=name)
            for device in page.get("MFADevices", ())
        ]

    def _keys(self, name: str, errors: list[AwsError]) -> list[dict[str, Any]]:
        keys = []
        for page in self._calls.pages("iam:ListAccessKeys", UserName=name):
            for found in page.get("AccessKeyMetadata", ()):
                full = found["AccessKeyId"]
                key: dict[str, Any] = {"id": f"…{full[-4:]}", "status": found["Status"]}
                key["ageDays"] = days(found["CreateDate"], self._now)
                try:
                    answer = self._calls.one("iam:GetAccessKeyLastUsed", AccessKeyId=full) or {}
                except AwsError as error:
                    if error.whole:
                        raise
                    if error.reason == GONE:
                        continue  # deleted since it was listed: that costs the key, never its user
                    errors.append(error)
                else:
                    last = answer.get("AccessKeyLastUsed", {})
                    service = last.get("ServiceName", "N/A")
                    key["lastUsedDays"] = days(last.get("LastUsedDate"), self._now)
                    key["service"] = None if service == "N/A" else service
                keys.append(key)
        return keys

    def _group(self, detail: Mapping[str, Any]) -> _Read:
        parts = Parts()
        parts.attributes = {"name": detail["GroupName"], "arn": detail["Arn"]}
        parts.take("policies", lambda: _checked(lambda: policies(detail, "GroupPolicyList")))
        return self._observed(GROUP, detail["Arn"], parts)

    def _role(self, detail: Mapping[str, Any]) -> _Read:
        path = detail.get("Path", "/")
        parts = Parts()
        parts.attributes = {
            "name": detail["RoleName"],
            "path": path,
            "arn": detail["Arn"],
            "created": detail.get("CreateDate"),
            "serviceLinked": path.startswith("/aws-service-role/"),
            "boundary": _boundary(detail),
            "lastUsedDays": days(detail.get("RoleLastUsed", {}).get("LastUsedDate"), self._now),
            "tags": tags(detail.get("Tags")),
        }
        parts.take("trust", lambda: _checked(lambda: document(detail["AssumeRolePolicyDocument"])))
        parts.take("policies", lambda: _checked(lambda: policies(detail, "RolePolicyList")))
        return self._observed(ROLE, detail["Arn"], parts)

    def _policy(self, detail: Mapping[str, Any]) -> _Read:
        arn = detail["Arn"]
        parts = Parts()
        parts.attributes = {
            "name": arn.rpartition("/")[2],
            "arn": arn,
            "managedBy": "aws" if _by_aws(arn) else "customer",
            "attachments": detail.get("AttachmentCount", 0),
        }
        parts.take("document", lambda: _checked(lambda: _default_version(detail)))
        if _by_aws(arn):
            parts.attributes["tags"] = {}
        else:
            parts.take("tags", lambda: self._policy_tags(arn))
        return self._observed(POLICY, arn, parts)

    def _policy_tags(self, arn: str) -> dict[str, str]:
        pages = self._calls.pages("iam:ListPolicyTags", PolicyArn=arn)
        return tags([tag for page in pages for tag in page.get("Tags", ())])

    def _observed(self, kind: str, arn: str, parts: Parts) -> _Read:
        if parts.gone:  # deleted since the page came
            return None, []
        return self._who.observed(kind, arn, parts.attributes, labelled=parts.attributes.get("tags")), parts.errors


def _checked(read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return read()
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise malformed(DETAILS) from error


def _default_version(detail: Mapping[str, Any]) -> dict[str, Any]:
    versions = detail["PolicyVersionList"]
    return document(next((one["Document"] for one in versions if one.get("IsDefaultVersion")), None))


def _boundary(detail: Mapping[str, Any]) -> str | None:
    arn = detail.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
    return arn if isinstance(arn, str) else None


def _by_aws(arn: str) -> bool:
    return arn.split(":")[4] == "aws"


def _is_used(detail: Mapping[str, Any]) -> bool:
    return bool(detail.get("AttachmentCount") or detail.get("PermissionsBoundaryUsageCount"))


def _device_type(serial: str) -> str:
    what = serial.rpartition(":")[2].partition("/")[0] if serial.startswith("arn:") else "hardware"
    return {"mfa": "virtual", "u2f": "fido", "sms-mfa": "sms"}.get(what, "hardware")


__all__ = ["ACCOUNT", "DETAILS", "FILTER", "GROUP", "POLICY", "ROLE", "USER", "identities"]
