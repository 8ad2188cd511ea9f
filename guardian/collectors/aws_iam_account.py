"""The account itself: its root user, password policy and alias, and what the credential report says of passwords.

`iam:GetAccountSummary` gives root's MFA and keys as they are now; the credential report
(`iam:GenerateCredentialReport`, `iam:GetCredentialReport`: up to four hours old, AWS makes no newer one) root's last
use and the passwords of users, `iam:GetLoginProfile` those of users that are newer than it;
`iam:GetAccountPasswordPolicy` and `iam:ListAccountAliases` the rest.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from guardian.collectors import Observed
from guardian.collectors.aws_documents import days
from guardian.collectors.aws_errors import AwsError, Gaps, Parts, malformed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardian.collectors.aws_calls import Calls
    from guardian.collectors.aws_identity import Identity

ACCOUNT: Final = "aws.iam.Account"
USER: Final = "aws.iam.User"
GENERATE: Final = "iam:GenerateCredentialReport"
_REPORT: Final = "iam:GetCredentialReport"
_DETAILS: Final = "iam:GetAccountAuthorizationDetails"
_SUMMARY: Final = "iam:GetAccountSummary"
_ROOT: Final = "<root_account>"
_POLLS, _POLL_S = 30, 2.0
_NEVER: Final = frozenset({"N/A", "no_information", "not_supported", ""})


@dataclass(frozen=True, slots=True)
class Row:
    """One user of the report. last_used: of password or keys, the newer one; None if never, as far as AWS knows."""

    password_enabled: bool
    password_last_used: datetime | None
    last_used: datetime | None
    active_keys: int


@dataclass(frozen=True, slots=True)
class Report:
    """The credential report: users by ARN, and the root user, None if the report has no line of it."""

    users: Mapping[str, Row]
    root: Row | None


def credential_report(calls: Calls, who: Identity, gaps: Gaps) -> Report | None:
    """Return the report, None if it cannot be had, which `gaps` then says of users and account.

    Raises AwsError only where it holds for every other call too.
    """
    try:
        _generate(calls)
        content = (calls.one(_REPORT) or {}).get("Content")
        return _parsed(content)
    except AwsError as error:
        if error.whole:
            raise
        for kind in (USER, ACCOUNT):
            gaps.add(kind, f"account {who.account}", error)
        return None


def account(
    calls: Calls, who: Identity, now: datetime, report: Report | None, caller_role: str | None, gaps: Gaps
) -> Observed:
    """Return the account. caller_role: ARN of the role the caller has assumed, None if that is not known or no role."""
    parts, root = Parts(), Parts()
    parts.attributes = {"account": who.account, "caller": who.caller}
    if caller_role is not None or who.role_name is None:
        parts.attributes["callerRoleArn"] = caller_role
    else:
        way_out = "allow iam:GetAccountAuthorizationDetails, or name the role in roleArn"
        parts.errors.append(AwsError(_DETAILS, "unknown-role", f"no role {who.role_name}", way_out))
    summary = Parts()
    summary.take("map", lambda: (calls.one(_SUMMARY) or {})["SummaryMap"])
    parts.errors += summary.errors
    root.attributes = _root(summary.attributes.get("map"), report, now)
    parts.attributes["root"] = root.attributes
    parts.take("alias", lambda: _alias(calls))
    parts.take("passwordPolicy", lambda: _password_policy(calls))
    if report is not None and report.root is None:
        parts.errors.append(AwsError(_REPORT, "incomplete", "it has no line of the root user", "read it by hand"))
    for error in parts.errors:
        gaps.add(ACCOUNT, f"account {who.account}", error)
    key = f"{who.collector}/account/{who.account}"
    return Observed(ACCOUNT, key, parts.attributes, scope=who.scope(), id_scheme="aws")


def _root(summary: Mapping[str, int] | None, report: Report | None, now: datetime) -> dict[str, Any]:
    """Return what is known of the root user: the summary is newer, the report counts keys."""
    row = report.root if report else None
    root: dict[str, Any] = {"mfaActive": None, "accessKeys": None}
    if summary is not None and "AccountMFAEnabled" in summary:
        root["mfaActive"] = summary["AccountMFAEnabled"] > 0
    if summary is not None and "AccountAccessKeysPresent" in summary:
        present = summary["AccountAccessKeysPresent"]
        root["accessKeys"] = max(present, row.active_keys if row and present else 0)
    if row is not None:
        root["lastUsed"] = row.last_used
        root["lastUsedDays"] = days(row.last_used, now)
    return root


def _alias(calls: Calls) -> str | None:
    pages = calls.pages("iam:ListAccountAliases")
    return next((str(alias) for page in pages for alias in page.get("AccountAliases", ())), None)


def _password_policy(calls: Calls) -> dict[str, Any] | None:
    found = (calls.one("iam:GetAccountPasswordPolicy") or {}).get("PasswordPolicy")
    return None if found is None else {name[0].lower() + name[1:]: value for name, value in found.items()}


def _generate(calls: Calls) -> None:
    for _ in range(_POLLS):
        if (calls.one(GENERATE) or {}).get("State") == "COMPLETE":
            return
        calls.pause(_POLL_S)
    raise AwsError(GENERATE, "deadline", f"no report after {_POLLS * _POLL_S:.0f} s", "scan again in some minutes")


def _parsed(content: object) -> Report:
    if not isinstance(content, bytes):
        raise malformed(_REPORT)
    users, root = {}, None
    try:
        for line in csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""), strict=True):
            row = _row(line)
            if line["user"] == _ROOT:
                root = row
            else:
                users[line["arn"]] = row
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise malformed(_REPORT) from error
    return Report(users, root)


def _row(line: Mapping[str, str]) -> Row:
    password = _moment(line["password_last_used"])
    keys = [_moment(line[f"access_key_{number}_last_used_date"]) for number in (1, 2)]
    used = [moment for moment in (password, *keys) if moment is not None]
    return Row(
        password_enabled=line["password_enabled"].lower() == "true",
        password_last_used=password,
        last_used=max(used, default=None),
        active_keys=sum(line[f"access_key_{number}_active"] == "true" for number in (1, 2)),
    )


def _moment(text: str) -> datetime | None:
    if text in _NEVER:
        return None
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    return moment
