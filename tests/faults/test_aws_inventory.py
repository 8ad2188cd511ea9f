from __future__ import annotations

import json
import os
import subprocess
import sys

from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends
from moto.s3.models import s3_backends

from tests.aws_support import ACCOUNT, ENVIRONMENT, REGIONS, Gate, Moto

USERS, ROLES, POLICIES, BUCKETS, GROUPS = 1_000, 1_000, 500, 300, 27_200
MOST_MIB = 300
DOCUMENT = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}]}
)
# Collects in a process of its own, so that what moto holds does not count, and says what the peak is above the start.
CHILD = """
import re, sys
from datetime import UTC, datetime
from pathlib import Path
from guardian.collectors.aws import Aws
from guardian.normalise import Estate
from guardian.settings import AwsCollector
from guardian.usecases.collect import run

def peak():  # in MiB; what getrusage tells is the parent's
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

before = peak()
account = Aws(AwsCollector("prod", sys.argv[2:], endpoint=sys.argv[1]))
status, found = run(account, Estate((), bytes(32)), datetime.now(UTC))
print(status.status, len(found), len({item.id for item in found}), round(peak() - before))
"""


def fill(moto: Moto) -> None:
    """Thirty thousand objects besides rules and keys. Through moto's own models: its HTTP would take an hour."""
    moto.reset()
    iam = iam_backends[ACCOUNT]["aws"]
    for number in range(USERS):
        iam.create_user("us-east-1", f"user-{number}")
        iam.create_access_key(f"user-{number}")
        iam.put_user_policy(f"user-{number}", "own", DOCUMENT)
    for number in range(ROLES):
        iam.create_role(f"role-{number}", DOCUMENT, "/", None, "", [], "3600")
    for number in range(POLICIES):
        iam.create_policy("", "/", DOCUMENT, f"policy-{number}", [])
    s3 = s3_backends[ACCOUNT]["aws"]
    for number in range(BUCKETS):
        s3.create_bucket(f"bucket-{number}", REGIONS[0])
    for region in REGIONS:
        ec2 = ec2_backends[ACCOUNT][region]
        for number in range(GROUPS // len(REGIONS)):
            ec2.create_security_group(f"group-{number}", "one of many", force=True)


def test_thirty_thousand_objects_are_collected_in_bounded_memory() -> None:
    with Moto() as moto, Gate(moto) as gate:
        fill(moto)
        done = subprocess.run(
            [sys.executable, "-c", CHILD, gate.url, *REGIONS],
            capture_output=True,
            text=True,
            timeout=280,
            env={**os.environ, **ENVIRONMENT},
            check=False,
        )
        asked = gate.asked
    assert done.returncode == 0, done.stderr[-2000:]
    status, found, distinct, mib = done.stdout.split()[-4:]
    expected = USERS + ROLES + POLICIES + BUCKETS + GROUPS + len(REGIONS) + 1  # default groups, and the account
    print(f"{found} objects of {USERS} keys too, {sum(asked.values())} calls, {mib} MiB above the start")  # noqa: T201 -- a measurement
    assert (status, int(found), int(distinct)) == ("complete", expected, expected)
    assert expected > 30_000
    assert asked["ec2:DescribeSecurityGroups"] > GROUPS // 1000
    assert int(mib) < MOST_MIB
