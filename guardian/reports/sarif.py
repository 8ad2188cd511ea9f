"""Findings as SARIF 2.1.0, for code scanning. Pure.

What did not pass is a result: a fail has the level of its mode (what admission would do: deny is an error, warn a
warning, audit a note), the severity of its control stands in the rule as `security-severity`. A verdict `error` is a
result of kind `open`: section 3.27.9 has it for what lacked the facts to be decided. What could not be read at all is
a tool execution notification. Passes and skips are counted in the run's properties, not listed: readers of SARIF take
each result for a defect. A waived finding is suppressed, with the waiver's reason.

Invariant: `partialFingerprints` depend on control and resource only, so a finding keeps its identity when lines move.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from guardian import __version__
from guardian.model import Mode, Severity, Verdict
from guardian.reports import words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardian.reports.judged import Judged, Located, Place, Problem

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
# What GitHub shows as critical (above 9), high (7), medium (4) and low.
_SCORES: Final = {Severity.CRITICAL: "9.5", Severity.HIGH: "8.0", Severity.MEDIUM: "5.5", Severity.LOW: "2.0"}
_LEVELS: Final = {Mode.DENY: "error", Mode.WARN: "warning", Mode.AUDIT: "note"}
_BY_SEVERITY: Final = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
}
_ROOT: Final = "%SRCROOT%"
_SHOWN: Final = (Verdict.FAIL, Verdict.ERROR)


def log(judged: Judged) -> dict[str, Any]:
    """Return one SARIF log with one run."""
    rules = list(judged.controls)
    fingerprints: Counter[str] = Counter()
    shown = [one for one in judged.located if one.finding.verdict in _SHOWN]
    counts = Counter(one.finding.verdict for one in judged.located)
    run = {
        "tool": {
            "driver": {
                "name": "guardian",
                "semanticVersion": __version__,
                "rules": [_rule(name, judged.controls[name]) for name in rules],
            }
        },
        "automationDetails": {"id": f"guardian-{judged.command}/{judged.environment}/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": judged.complete,
                "exitCode": judged.exit_code,
                "toolExecutionNotifications": [_notification(problem) for problem in judged.problems],
            }
        ],
        "results": [_result(one, rules.index(one.finding.control), fingerprints) for one in shown],
        "properties": {
            "environment": judged.environment,
            "engine": judged.engine,
            "engineVersion": judged.engine_version,
            "bundleDigest": judged.bundle_digest,
            "counts": {verdict.value: counts[verdict] for verdict in Verdict},
        },
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(name: str, about: Mapping[str, Any]) -> dict[str, Any]:
    severity = Severity(about["severity"])
    title = _text(about["title"])
    remedy = _text(about.get("remediation") or "")
    text = "\n\n".join(filter(None, (_text(about.get("description") or title), remedy and f"How to fix: {remedy}")))
    frameworks = [
        f"{words.FRAMEWORKS.get(framework, framework)} {clause}"
        for framework, clauses in about.get("frameworks", {}).items()
        for clause in clauses
    ]
    rule: dict[str, Any] = {
        "id": name,
        "name": "".join(part.capitalize() for part in name.replace("-", ".").split(".")),
        "shortDescription": {"text": title},
        "fullDescription": {"text": _text(about.get("description") or title)},
        "help": {"text": text, "markdown": text},
        "defaultConfiguration": {"level": _BY_SEVERITY[severity]},
        "properties": {
            "security-severity": _SCORES[severity],
            "precision": "very-high",
            "tags": ["security", *frameworks],
        },
    }
    links = [str(link["ref"]) for link in about.get("relatedResources", ()) if link.get("ref")]
    if links:
        rule["helpUri"] = links[0]
    return rule


def _result(one: Located, rule: int, fingerprints: Counter[str]) -> dict[str, Any]:
    finding = one.finding
    failed = finding.verdict is Verdict.FAIL
    identity = f"{finding.control}\0{finding.resource}"
    fingerprints[identity] += 1
    again = f"\0{fingerprints[identity]}" if fingerprints[identity] > 1 else ""
    result: dict[str, Any] = {
        "ruleId": finding.control,
        "ruleIndex": rule,
        "kind": "fail" if failed else "open",
        "level": _LEVELS[finding.mode] if failed else "none",
        "message": {"text": _text(finding.message)},
        "locations": _locations(one),
        "partialFingerprints": {
            "controlAndResource/v1": hashlib.sha256((identity + again).encode("utf-8", "replace")).hexdigest()
        },
        "properties": {
            "resource": _text(finding.resource),
            "mode": finding.mode,
            "severity": finding.severity,
            "expected": finding.expected,
            "observed": finding.observed,
        },
    }
    if finding.waiver:
        why = _text(finding.waiver.get("reason") or "waived")
        result["suppressions"] = [
            {"kind": "external", "status": "accepted", "justification": why, "properties": dict(finding.waiver)}
        ]
    return result


def _locations(one: Located) -> list[dict[str, Any]]:
    """Return each place that must be mended (section 3.27.12), or the resource alone where no file is known."""
    name = _text(one.finding.resource)
    if not one.places:
        return [{"logicalLocations": [{"fullyQualifiedName": name, "kind": "resource"}]}]
    return [
        {
            "physicalLocation": _physical(place.file, {"startLine": place.line, "startColumn": place.column}),
            "logicalLocations": [_logical(name, place)],
        }
        for place in one.places
    ]


def _logical(resource: str, place: Place) -> dict[str, Any]:
    if not place.field:
        return {"fullyQualifiedName": resource, "kind": "resource"}
    field = _text(place.field)
    return {"fullyQualifiedName": f"{resource}#{field}", "name": field, "kind": "member"}


def _physical(file: str, region: Mapping[str, int]) -> dict[str, Any]:
    """Return where a file is: below the checkout as far as it can be told, else by its absolute path."""
    path = PurePath(file)
    if path.is_absolute() or ".." in path.parts:
        location = {"uri": ("file://" if path.is_absolute() else "") + _quoted(path)}
    else:
        location = {"uri": _quoted(path), "uriBaseId": _ROOT}
    return {"artifactLocation": location, "region": dict(region)}


def _quoted(path: PurePath) -> str:
    return quote(path.as_posix(), errors="replace")


def _notification(problem: Problem) -> dict[str, Any]:
    return {
        "level": "error",
        "message": {"text": _text(problem.message)},
        "locations": [{"physicalLocation": _physical(problem.file, {"startLine": problem.line})}],
    }


def _text(value: object) -> str:
    """Return text for any viewer: nothing that hides or moves a cursor, nothing that is no UTF-8."""
    return words.plain(value).encode("utf-8", "replace").decode()
