"""Whom Guardian acts as in an account, and how what it sees there is named: ids are ARNs, tags go to the scope.

Asks AWS one thing: `sts:GetCallerIdentity`, which nobody can be denied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from guardian.collectors import Observed
from guardian.collectors.aws_calls import IDENTITY
from guardian.collectors.aws_errors import malformed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardian.collectors.aws_calls import Calls


@dataclass(frozen=True, slots=True)
class Identity:
    """account: 12 digits. caller: ARN of the credentials in use. collector: its name in guardian.yaml."""

    collector: str
    account: str
    caller: str

    @property
    def partition(self) -> str:
        """Return `aws`, `aws-cn` or `aws-us-gov`."""
        return self.caller.split(":")[1]

    @property
    def role_name(self) -> str | None:
        """Return the name of the role the caller has assumed, None if it is no role."""
        what, _, rest = self.caller.split(":", 5)[5].partition("/")
        return rest.split("/")[0] if what == "assumed-role" else None

    def observed(
        self,
        kind: str,
        arn: str,
        attributes: Mapping[str, Any],
        *,
        region: str | None = None,
        labelled: Mapping[str, str] | None = None,
    ) -> Observed:
        """Return one thing whose id is its ARN. labelled: its tags."""
        scheme, _, key = arn.partition(":")
        return Observed(kind, key, attributes, scope=self.scope(region, labelled), id_scheme=scheme)

    def scope(self, region: str | None = None, labelled: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the scope of something in this account. region: None for what is global."""
        where = {} if region is None else {"region": region}
        return {"account": self.account, **where, "labels": {}, "tags": dict(labelled or {})}


def identify(calls: Calls, collector: str) -> Identity:
    """Ask AWS whose credentials are in use. Raises AwsError."""
    answer = calls.one(IDENTITY) or {}
    account, caller = answer.get("Account"), answer.get("Arn")
    if not (isinstance(account, str) and isinstance(caller, str) and caller.count(":") >= 5):
        raise malformed(IDENTITY)
    return Identity(collector, account, caller)
