"""Findings as JUnit XML, for build servers: a suite a control, a test case a resource. Pure.

A fail is a failure, what could not be checked an error, what does not apply or is waived is skipped. A fail in a mode
milder than the exit code counts stays a failure: `type` says its mode. What could not be read is a suite of its own.

Invariant: the document is valid against the Jenkins schema junit-10.xsd and holds no character that XML 1.0 forbids.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from guardian.model import Verdict
from guardian.reports import words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardian.reports.judged import Judged, Located, Problem

UNREADABLE: Final = "input"
# XML 1.0 section 2.2; words.plain has written out what it knows of, surrogates and non-characters are left.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def document(judged: Judged) -> bytes:
    """Return the document, UTF-8 with its declaration."""
    suites = ET.Element("testsuites", name=f"guardian {judged.command} {judged.environment}")
    by_control: dict[str, list[Located]] = {name: [] for name in judged.controls}
    for one in judged.located:
        by_control[one.finding.control].append(one)
    for name, located in by_control.items():
        suite = ET.SubElement(suites, "testsuite", name=name)
        properties = ET.SubElement(suite, "properties")
        for key, value in (("title", judged.controls[name]["title"]), ("severity", judged.controls[name]["severity"])):
            ET.SubElement(properties, "property", name=key, value=_text(value))
        for one in located:
            _case(suite, one, str(judged.controls[name].get("remediation") or ""))
        _count(suite, [one.finding.verdict for one in located], sum(_waived(one) for one in located))
    if judged.problems:
        _unreadable(suites, judged.problems)
    for kind in ("tests", "failures", "errors"):
        suites.set(kind, str(sum(int(suite.get(kind, "0")) for suite in suites)))
    ET.indent(suites)
    return bytes(ET.tostring(suites, encoding="utf-8", xml_declaration=True)) + b"\n"


def _case(suite: ET.Element, one: Located, remedy: str) -> None:
    finding = one.finding
    case = ET.SubElement(suite, "testcase", name=_text(finding.resource), classname=finding.control)
    message = _text(finding.message)
    if _waived(one):
        reason = _text((finding.waiver or {}).get("reason") or "")
        ET.SubElement(case, "skipped", type="waived", message=f"waived: {reason}; {message}")
    elif finding.verdict is Verdict.SKIP:
        ET.SubElement(case, "skipped", type="skip", message=message)
    elif finding.verdict is not Verdict.PASS:
        tag = "failure" if finding.verdict is Verdict.FAIL else "error"
        element = ET.SubElement(case, tag, type=finding.mode.value, message=message)
        places = [f"{place.file}:{place.line}  {place.field}".rstrip() for place in one.places]
        facts = [f"expected: {words.compact(finding.expected)}", f"observed: {words.compact(finding.observed)}"]
        lines = [*places, finding.message, *(facts if finding.verdict is Verdict.FAIL else ())]
        element.text = _text("\n".join([*lines, *([f"how to fix: {remedy}"] if remedy else [])]))


def _unreadable(suites: ET.Element, problems: Sequence[Problem]) -> None:
    suite = ET.SubElement(suites, "testsuite", name=UNREADABLE)
    for problem in problems:
        name = _text(f"{problem.file}:{problem.line}")
        case = ET.SubElement(suite, "testcase", name=name, classname=UNREADABLE)
        ET.SubElement(case, "error", type="unreadable", message=_text(problem.message)).text = _text(
            f"{name}\n{problem.message}"
        )
    _count(suite, [Verdict.ERROR] * len(problems), 0)


def _count(suite: ET.Element, verdicts: Sequence[Verdict], waived: int) -> None:
    counts: Mapping[str, int] = {
        "tests": len(verdicts),
        "failures": verdicts.count(Verdict.FAIL) - waived,
        "errors": verdicts.count(Verdict.ERROR),
        "skipped": verdicts.count(Verdict.SKIP) + waived,
    }
    for name, count in counts.items():
        suite.set(name, str(count))


def _waived(one: Located) -> bool:
    return one.finding.verdict is Verdict.FAIL and bool(one.finding.waiver)


def _text(value: object) -> str:
    return _FORBIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", words.plain(value))
