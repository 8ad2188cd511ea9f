from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardian.collectors import Unreadable
from guardian.collectors.aws_documents import days, document, tags
from guardian.collectors.aws_errors import AwsError, Gaps

NOW = datetime(2026, 11, 23, 11, tzinfo=UTC)


def statement(**members: object) -> dict[str, Any]:
    [found] = document({"Version": "2012-10-17", "Statement": {"Effect": "Allow", **members}})["statements"]
    return dict(found)


def test_one_and_a_list_of_one_are_alike_and_actions_small() -> None:
    one = statement(Action="S3:GetObject", Resource="arn:aws:s3:::B/*")
    assert one == statement(Action=["s3:getobject"], Resource=["arn:aws:s3:::B/*"])
    assert (one["actions"], one["resources"], one["notActions"]) == (["s3:getobject"], ["arn:aws:s3:::B/*"], None)
    assert statement(NotAction="IAM:*", NotResource="*")["notActions"] == ["iam:*"]


@pytest.mark.parametrize("principal", ["*", {"AWS": "*"}, {"AWS": ["arn:aws:iam::1:root", "*"]}])
def test_everyone_is_everyone_however_it_is_spelled(principal: object) -> None:
    assert statement(Principal=principal)["principals"]["*"] is True


def test_a_principal_is_told_by_its_kind() -> None:
    found = statement(Principal={"Service": "ec2.amazonaws.com", "CanonicalUser": "abc"})["principals"]
    expected = {"AWS": [], "Service": ["ec2.amazonaws.com"], "Federated": [], "CanonicalUser": ["abc"], "*": False}
    assert found == expected
    assert statement(NotPrincipal={"AWS": "1"})["notPrincipals"]["AWS"] == ["1"]


def test_conditions_are_lists_of_texts() -> None:
    found = statement(Condition={"Bool": {"aws:SecureTransport": False}, "StringLike": {"aws:Referer": ["a", "b"]}})
    assert found["conditions"] == {
        "Bool": {"aws:SecureTransport": ["false"]},
        "StringLike": {"aws:Referer": ["a", "b"]},
    }


def test_text_is_parsed_percent_encoded_or_not() -> None:
    text = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]})
    assert document(text) == document(quote(text)) == document(json.loads(text))


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        "no JSON",
        {"Statement": [{"Effect": "allow"}]},
        {"Statement": ["x"]},
        {"Statement": [{"Effect": "Allow", "Actions": "*"}]},
        {"Statement": [{"Effect": "Allow", "Action": {"a": 1}}]},
        {"Statement": [{"Effect": "Allow", "Principal": "arn"}]},
        {"Statement": [{"Effect": "Allow", "Condition": {"Bool": []}}]},
    ],
)
def test_what_is_no_policy_is_refused(raw: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        document(raw)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["Statement", "Effect", "Action", "Principal", "Condition", "Sid"]), inner)
    ),
    max_leaves=12,
)


@given(_JSON)
def test_whatever_comes_is_a_document_or_refused(raw: object) -> None:
    try:
        found = document(raw)
    except (ValueError, TypeError):
        return
    assert all(one["effect"] in {"Allow", "Deny"} for one in found["statements"])


def test_days_are_whole_and_never_less_than_none() -> None:
    assert days(NOW - timedelta(days=89, hours=23), NOW) == 89
    assert days(NOW + timedelta(hours=1), NOW) == 0
    assert days(None, NOW) is None
    assert tags([{"Key": "a", "Value": "b"}, {"Key": "c"}]) == {"a": "b", "c": ""}


def test_one_call_that_fails_often_is_told_once() -> None:
    gaps = Gaps()
    for number in range(1000):
        gaps.add("k", f"bucket b{number}", AwsError("s3:GetBucketAcl", "forbidden", "AccessDenied", "allow it"))
    gaps.add("k", "bucket x", AwsError("s3:GetBucketAcl", "throttled", "SlowDown", "wait"))
    first = "s3:GetBucketAcl of bucket b0, bucket b1, bucket b2 and 997 more: AccessDenied; allow it"
    second = "s3:GetBucketAcl of bucket x: SlowDown; wait"
    assert list(gaps.unreadable()) == [Unreadable("k", "forbidden", first), Unreadable("k", "throttled", second)]
