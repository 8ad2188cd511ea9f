"""Examples of answers, for OpenAPI. A test holds each against its schema. No I/O."""

from __future__ import annotations

from typing import Any

ID = "019aaf00-6f2e-7c1a-9d2b-5d8f3b1c2a10"
TIME = "2026-11-24T03:04:11.250Z"
ROW: dict[str, Any] = {
    "index": 41,
    "recordId": ID,
    "kind": "restore-drill",
    "subject": "backup:erp/nightly-2026-11-24",
    "asset": "erp",
    "service": "erp-plant1",
    "result": "PASSED",
    "assurance": "exact",
    "slot": "drill:erp@2026-11-24T03:00:00Z",
    "time": TIME,
}
DRILL: dict[str, Any] = {
    "index": 41,
    "recordId": ID,
    "asset": "erp",
    "service": "erp-plant1",
    "backup": {"id": "nightly-2026-11-24", "takenAt": "2026-11-24T01:00:02Z"},
    "result": "PASSED",
    "verdict": "pass",
    "assurance": "exact",
    "requiredAssurance": "exact",
    "restoreSeconds": 212.4,
    "estimatedRtoSeconds": 1412.4,
    "rpoSeconds": 7449,
    "objectives": {"rtoSeconds": 14400, "rpoSeconds": 900},
    "rto": "within",
    "rpo": "beyond",
    "slot": "drill:erp@2026-11-24T03:00:00Z",
    "startedOn": "2026-11-24T03:00:00.100Z",
    "finishedOn": TIME,
    "phases": [{"name": "restore", "seconds": 212.4}],
    "failedChecks": [],
    "erredChecks": [],
    "reason": None,
}
COUNTS: dict[str, Any] = {"pass": 3, "fail": 1, "error": 0, "skip": 0}
SERVICE: dict[str, Any] = {
    "name": "erp-plant1",
    "owner": "ops",
    "escalation": "oncall",
    "tier": "critical",
    "tenancy": "dedicated",
    "dataClass": "confidential",
    "objectives": {"rtoSeconds": 14400, "rpoSeconds": 900},
    "verdict": "fail",
    "reason": None,
    "controls": [
        {
            "control": "backup.restore-tested",
            "title": "Backups are restored and verified",
            "severity": "high",
            "verdict": "fail",
            "counts": COUNTS,
            "record": 40,
            "recordId": ID,
            "time": TIME,
        }
    ],
    "assets": [
        {
            "name": "erp",
            "type": "odoo",
            "requiredAssurance": "exact",
            "backups": [{"name": "nightly", "format": "pg_dump", "everySeconds": 86400}],
            "drill": DRILL,
        }
    ],
    "waivers": [],
    "nextSlots": [{"job": "drill:erp", "due": "2026-11-25T03:00:00Z"}],
}
PROBLEMS: list[Any] = [
    {
        "type": "urn:guardian:problem:not-found",
        "title": "Not Found",
        "status": 404,
        "detail": "there is no record '99'",
        "instance": "/v1/records/99",
    }
]
RECORDS: list[Any] = [
    {
        "record": ROW,
        "statement": {"_type": "https://in-toto.io/Statement/v1"},
        "envelope": "eyJwYXlsb2FkIjoi",
        "entry": "eyJ2IjoxfQ==",
        "proof": {
            "origin": "guardian/production/1a2b3c4d",
            "leafIndex": 41,
            "treeSize": 42,
            "hashes": ["m7qJpP1zYV0l6mO8wq0sT6nC3xk0Yq0l2m1n4o5p6q8="],
        },
        "checkpoint": "guardian/production/1a2b3c4d\n42\nm7qJpP1zYV0l6mO8wq0sT6nC3xk0Yq0l2m1n4o5p6q8=\n",
        "keys": {"record": [], "log": []},
        "previous": 40,
        "next": None,
    }
]
CONTROLS: list[Any] = [
    {
        "controls": [
            {
                "id": "backup.restore-tested",
                "title": "Backups are restored and verified",
                "description": "Each asset had a drill that passed, lately.",
                "severity": "high",
                "scope": "snapshot",
                "stages": ["scan"],
                "frameworks": {"ISO27001": ["A.8.13"]},
                "remediation": "Run `guardian drill`.",
                "modes": {"critical": "deny", "standard": "warn", "low": "audit"},
                "last": {"record": 40, "recordId": ID, "time": TIME, "counts": COUNTS},
            }
        ]
    }
]
COVERAGES: list[Any] = [
    {
        "schema": "guardian/coverage/v2",
        "environment": "production",
        "from": "2026-11-23T00:00:00.000Z",
        "to": "2026-11-24T00:00:00.000Z",
        "asOf": TIME,
        "schedules": [],
        "jobs": [],
        "counts": {"passed": 1, "missed": 1},
        "missing": [
            {
                "slot": "drill:erp@2026-11-23T03:00:00Z",
                "job": "drill:erp",
                "due": "2026-11-23T03:00:00Z",
                "state": "missed",
                "reason": "no daemon ran",
            }
        ],
        "astray": [],
        "manual": [],
        "complete": False,
        "note": "",
    }
]
PACKS: list[Any] = [
    {
        "id": ID,
        "state": "running",
        "requestedAt": TIME,
        "done": 120,
        "total": 4810,
        "records": None,
        "sizeBytes": None,
        "sha256": None,
        "finishedAt": None,
        "expiresAt": None,
        "problem": None,
        "file": None,
    }
]
RECORD_PAGES: list[Any] = [
    {"records": [ROW], "next": "/v1/records?service=erp-plant1&cursor=41", "size": 42, "behind": 0}
]
DRILL_PAGES: list[Any] = [{"drills": [DRILL], "next": None, "size": 42, "behind": 0}]
ENVELOPES: list[Any] = [
    {
        "payload": "eyJfdHlwZSI6",
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"keyid": "1f3a", "sig": "c2ln"}],
    }
]
