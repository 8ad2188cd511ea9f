"""Security groups of every configured region, with their rules, and whether a network interface uses them.

Invariant: nothing but the ids of groups in use is kept of interfaces; groups leave as their pages come.
`ec2:DescribeNetworkInterfaces` gives inUse, `ec2:DescribeSecurityGroups` the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guardian.collectors.aws_documents import tags
from guardian.collectors.aws_errors import CERTIFICATE, UNREACHABLE, AwsError, Gaps

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from guardian.collectors import Observed, Unreadable
    from guardian.collectors.aws_calls import Calls
    from guardian.collectors.aws_identity import Identity

SECURITY_GROUP: Final = "aws.ec2.SecurityGroup"
GROUPS: Final = "ec2:DescribeSecurityGroups"
INTERFACES: Final = "ec2:DescribeNetworkInterfaces"
# What a region answers that is not enabled for the account, where the same credentials are good elsewhere.
_REGION_OFF: Final = "unauthorized"
_ALL: Final = "-1"


def security_groups(calls: Calls, who: Identity, regions: Sequence[str]) -> Iterator[Observed | Unreadable]:
    """Yield every security group of `regions`. Raises AwsError only where it holds for every other call too."""
    gaps = Gaps()
    for region in regions:
        used: set[str] | None = None
        try:
            used = {
                group["GroupId"]
                for page in calls.pages(INTERFACES, region=region)
                for interface in page.get("NetworkInterfaces", ())
                for group in interface.get("Groups", ())
            }
        except AwsError as error:
            gaps.add(SECURITY_GROUP, region, of_region(error))
            if error.whole:
                continue
        try:
            for page in calls.pages(GROUPS, region=region):
                for found in page.get("SecurityGroups", ()):
                    yield _observed(found, who, region, used)
        except AwsError as error:
            gaps.add(SECURITY_GROUP, region, of_region(error))
    yield from gaps.unreadable()


def of_region(error: AwsError) -> AwsError:
    """Return an error as one of a region alone. Raises it if it holds everywhere."""
    if error.reason == _REGION_OFF:
        way_out = "enable the region for this account, or remove it from regions"
        return AwsError(error.action, "region-disabled", error.code, way_out)
    if error.whole and error.reason not in {UNREACHABLE, CERTIFICATE}:
        raise error
    return error


def _observed(found: Mapping[str, Any], who: Identity, region: str, used: set[str] | None) -> Observed:
    group = found["GroupId"]
    owner = found.get("OwnerId") or who.account
    arn = found.get("SecurityGroupArn") or f"arn:{who.partition}:ec2:{region}:{owner}:security-group/{group}"
    labelled = tags(found.get("Tags"))
    attributes = {
        "groupId": group,
        "name": found.get("GroupName"),
        "description": found.get("Description"),
        "vpcId": found.get("VpcId"),
        "default": found.get("GroupName") == "default",
        "ingress": [_rule(one) for one in found.get("IpPermissions", ())],
        "egress": [_rule(one) for one in found.get("IpPermissionsEgress", ())],
        "tags": labelled,
    }
    if used is not None:
        attributes["inUse"] = group in used
    return who.observed(SECURITY_GROUP, arn, attributes, region=region, labelled=labelled)


def _rule(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rule. No ports, or -1, means every port (of ICMP: every type)."""
    ranges4, ranges6 = found.get("IpRanges", ()), found.get("Ipv6Ranges", ())
    lists, pairs = found.get("PrefixListIds", ()), found.get("UserIdGroupPairs", ())
    said = [one["Description"] for one in (*ranges4, *ranges6, *lists, *pairs) if one.get("Description")]
    protocol = str(found.get("IpProtocol", _ALL)).lower()
    return {
        "protocol": "all" if protocol == _ALL else _NUMBERED.get(protocol, protocol),
        "fromPort": _port(found.get("FromPort")),
        "toPort": _port(found.get("ToPort")),
        "cidrs4": [one["CidrIp"] for one in ranges4],
        "cidrs6": [one["CidrIpv6"] for one in ranges6],
        "prefixLists": [one["PrefixListId"] for one in lists],
        "groups": [one.get("GroupId") or one.get("GroupName", "") for one in pairs],
        "description": "; ".join(dict.fromkeys(said)) or None,
    }


def _port(number: int | None) -> int | None:
    return None if number == -1 else number


_NUMBERED: Final = {"6": "tcp", "17": "udp", "1": "icmp"}
