"""What a scan said of each service, from its signed record and the attachments that the record names.

I/O: the attachments, verified by digest. Invariant: where it cannot be told which service a verdict is of, that is
said; it is never guessed.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import orjson

from evidence.errors import EvidenceError
from guardian.usecases.reading_rows import SCAN, verdict_counts
from guardian.usecases.reading_services import Judged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evidence.log import Log

_FINDINGS: Final = "findings.json"
_SNAPSHOT: Final = "snapshot.jsonl"


def judged_of(log: Log, index: int, predicate: Mapping[str, Any]) -> Judged:
    """Return what the scan in record `index` said, by control and service."""
    unread = frozenset(
        status["name"]
        for status in (predicate.get("inventory") or {}).get("collectors", [])
        if status["status"] != "complete"
    )
    attached = {one.get("name"): one.get("saltedDigest", "") for one in predicate.get("attachments") or []}
    try:
        if _FINDINGS not in attached or _SNAPSHOT not in attached:
            return _untold(predicate, unread, f"record {index} does not say which service its verdicts are of")
        findings = orjson.loads(log.get_object(attached[_FINDINGS]))
        service_of = _services(log.get_object(attached[_SNAPSHOT]))
        counts: dict[tuple[str, str | None], Counter[str]] = {}
        unwaived = set()
        for finding in findings:
            key = (finding["control"], service_of.get(finding["resource"]))
            counts.setdefault(key, Counter())[finding["verdict"]] += 1
            if finding["verdict"] == "fail" and finding.get("waiver") is None:
                unwaived.add(key)
    except (EvidenceError, ValueError, KeyError, TypeError, AttributeError):
        return _untold(predicate, unread, f"the findings of record {index} cannot be read")
    return Judged({key: dict(found) for key, found in counts.items()}, frozenset(unwaived), unread)


def verdicts_of(log: Log, index: int, kind: str, predicate: Mapping[str, Any]) -> dict[tuple[str, str, str], int]:
    """Return how often each control came to each verdict in a record, by (control, verdict, service or empty)."""
    if kind != SCAN or not predicate.get("counts"):
        return verdict_counts(kind, predicate)
    return {
        (control, verdict, service or ""): count
        for (control, service), counts in judged_of(log, index, predicate).counts.items()
        for verdict, count in counts.items()
        if count
    }


def _untold(predicate: Mapping[str, Any], unread: frozenset[str], problem: str) -> Judged:
    counts: dict[tuple[str, str | None], dict[str, int]] = {}
    for (control, verdict, _), count in verdict_counts(SCAN, predicate).items():
        counts.setdefault((control, None), {})[verdict] = count
    failed = frozenset(key for key, found in counts.items() if found.get("fail"))
    return Judged(counts, failed, unread, problem)


def _services(snapshot: bytes) -> dict[str, str | None]:
    """Return the service of each resource of a snapshot, by id."""
    found: dict[str, str | None] = {}
    for line in snapshot.splitlines()[1:]:
        resource = orjson.loads(line)
        found[resource["id"]] = resource["service"]
    return found
