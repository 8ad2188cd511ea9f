"""What a record says, in words, by its kind; and its statement as text that is still the signed one. Pure.

Invariants: no sentence says more than the statement. The statement's text differs from the signed payload in
white space between its tokens alone, so that the browser can compare the two.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from guardian.model import Verdict
from guardian.reports import words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KINDS: Final[Mapping[str, str]] = {
    "restore-drill": "Restore drill",
    "policy-evaluation": "Scan",
    "source-manifest": "Source manifest",
    "admission-decision": "Admission decision",
    "admission-gap": "Gap in admission records",
    "missed-slot": "Missed slot",
    "schedule": "Schedule",
    "key-event": "Keys",
    "access-event": "Access to evidence",
    "waiver": "Waiver",
    "attestation": "Attestation",
    "log-succession": "Succession of logs",
    "retention-event": "Retention",
}
_MOST: Final = 200  # findings on a page; the statement beneath has them all
_ORDER: Final = (Verdict.FAIL, Verdict.ERROR, Verdict.SKIP, Verdict.PASS)


@dataclass(frozen=True, slots=True)
class Scan:
    """A scan's findings and counts as its page shows them. controls: judged ones, (id, counts); others: (id, why)."""

    findings: Sequence[Mapping[str, Any]]
    omitted: int
    controls: Sequence[tuple[str, Mapping[str, Any]]]
    others: Sequence[tuple[str, str]]


def sentences(kind: str, row: Mapping[str, Any], predicate: Mapping[str, Any]) -> list[str]:
    """Return what a verified record says, in a few sentences."""
    said: list[str] = _TELL.get(kind, _plain)(row, predicate)
    if predicate.get("reason") and kind != "missed-slot":
        said.append(f"Reason: {predicate['reason']}.")
    return said


def scan(predicate: Mapping[str, Any]) -> Scan:
    """Return findings and counts of a policy-evaluation, worst first."""
    findings = sorted(predicate["findings"], key=lambda one: _ORDER.index(Verdict(one["verdict"])))
    shown = [one for one in findings if one["verdict"] != Verdict.SKIP][:_MOST]
    counts = predicate["counts"]
    judged = [(name, entry) for name, entry in counts.items() if entry.get("scope", "judged") == "judged"]
    judged.sort(key=lambda item: (-item[1].get("fail", 0), -item[1].get("error", 0), item[0]))
    others = [(name, entry.get("reason") or entry["scope"]) for name, entry in sorted(counts.items())
              if entry.get("scope", "judged") != "judged"]  # fmt: skip
    skipped = sum(one["verdict"] == Verdict.SKIP for one in findings)
    return Scan(shown, len(findings) - skipped - len(shown) + predicate["findingsOmitted"], judged, others)


def statement_text(envelope: str) -> str:
    """Return the payload of an envelope, given in base64, as indented JSON: token by token as it was signed."""
    payload = base64.b64decode(orjson.loads(base64.b64decode(envelope))["payload"]).decode()
    return _indented(payload)


def keyring_text(statement: Mapping[str, Any]) -> str:
    """Return the keyring's envelope of a key-event's statement, as JSON."""
    return orjson.dumps(statement["predicate"]["keyring"]).decode()


def _indented(text: str) -> str:
    """Return JSON with line breaks between its tokens; every token stays byte for byte."""
    out: list[str] = []
    depth, at = 0, 0
    while at < len(text):
        sign = text[at]
        if sign == '"':
            end = at + 1
            while text[end] != '"':
                end += 2 if text[end] == "\\" else 1
            out.append(text[at : end + 1])
            at = end + 1
            continue
        if sign in "{[":
            closing = text[at + 1 : at + 2]
            if closing in {"}", "]"}:
                out.append(sign + closing)
                at += 2
                continue
            depth += 1
            out.append(sign + "\n" + "  " * depth)
        elif sign in "}]":
            depth -= 1
            out.append("\n" + "  " * depth + sign)
        elif sign == ",":
            out.append(",\n" + "  " * depth)
        elif sign == ":":
            out.append(": ")
        else:
            out.append(sign)
        at += 1
    return "".join(out)


def _drill(row: Mapping[str, Any], predicate: Mapping[str, Any]) -> list[str]:
    what = f"the newest backup of {row['asset']}" if row["asset"] else "a backup"
    backup = (predicate.get("backup") or {}).get("id")
    if backup and row["asset"]:
        what = f"backup {backup} of {row['asset']}"
    ends = {
        "PASSED": f"Guardian restored {what}, and every check that was asked for passed.",
        "FAILED": f"Guardian drilled {what}, and it did not come back as it should.",
    }
    return [ends.get(row["result"], f"Whether {what} restores is not known: the drill could not finish.")]


def _scan(_row: Mapping[str, Any], predicate: Mapping[str, Any]) -> list[str]:
    judged = [entry for entry in predicate["counts"].values() if entry.get("scope", "judged") == "judged"]
    if not judged:
        return ["Nothing was judged: no control is known to hold or not to hold."]
    failing = sum(entry.get("fail", 0) > 0 for entry in judged)
    erring = sum(entry.get("error", 0) > 0 and not entry.get("fail", 0) for entry in judged)
    resources = (predicate.get("inventory") or {}).get("resources")
    found = f"{words.counted(resources, 'resource')} collected, " if isinstance(resources, int) else ""
    told = f"{found}{words.counted(len(judged), 'control')} judged: {failing} violated, {erring} could not be checked."
    return [told[0].upper() + told[1:]]


def _manifest(row: Mapping[str, Any], predicate: Mapping[str, Any]) -> list[str]:
    backup = (predicate.get("backup") or {}).get("id")
    with_backup = f", in the same snapshot as its backup {backup}" if backup else ", without a backup"
    return [
        f"The content of the live source of {row['asset']} was written down{with_backup}: what a drill compares with."
    ]


def _decision(_row: Mapping[str, Any], predicate: Mapping[str, Any]) -> list[str]:
    request = predicate.get("request") or {}
    name = "/".join(str(request[key]) for key in ("kind", "namespace", "name") if request.get(key))
    verb = "let through" if predicate.get("allowed") else "refused"
    said = [f"A request to {str(request.get('operation', 'change')).lower()} {name or 'a resource'} was {verb}."]
    if predicate.get("message"):
        said.append(f"It was told: {predicate['message']}")
    return said


def _gap(_row: Mapping[str, Any], predicate: Mapping[str, Any]) -> list[str]:
    return [
        f"{predicate['count']} admission decisions were answered and not recorded one by one: {predicate['why']}.",
        "What they decided is not in the evidence.",
    ]


def _missed(row: Mapping[str, Any], predicate: Mapping[str, Any]) -> list[str]:
    return [f"Nobody ran {row['slot'] or predicate['run']['job']} in time: {predicate['reason']}."]


def _schedule(_row: Mapping[str, Any], predicate: Mapping[str, Any]) -> list[str]:
    return [f"From then on {words.counted(len(predicate['jobs']), 'job')} had to run at the times below."]


def _keys(_row: Mapping[str, Any], predicate: Mapping[str, Any]) -> list[str]:
    version = predicate.get("version", "?")
    said = "the keys that may sign records and the log from here on, vouched for by the root keys"
    return [f"Version {version} of the keyring came into force: {said}."]


def _access(_row: Mapping[str, Any], predicate: Mapping[str, Any]) -> list[str]:
    total = sum(entry.get("count", 0) for entry in predicate["accesses"])
    said = [f"{words.counted(total, 'request')} for evidence in this period, by whom and for what below."]
    if predicate.get("accessesOmitted"):
        said.append(f"{predicate['accessesOmitted']} more were not listed one by one.")
    return said


def _plain(row: Mapping[str, Any], _predicate: Mapping[str, Any]) -> list[str]:
    return [f"A record of kind {row['kind']} about {row['subject']}."]


_TELL: Final[Mapping[str, Any]] = {
    "restore-drill": _drill,
    "policy-evaluation": _scan,
    "source-manifest": _manifest,
    "admission-decision": _decision,
    "admission-gap": _gap,
    "missed-slot": _missed,
    "schedule": _schedule,
    "key-event": _keys,
    "access-event": _access,
}
