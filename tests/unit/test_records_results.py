"""What a record's `result` says of the findings it carries."""

from __future__ import annotations

import pytest

from guardian.model import Finding, Mode, Severity, Verdict
from guardian.records import result_of_findings


def finding(verdict: Verdict, mode: Mode = Mode.DENY, waiver: dict[str, str] | None = None) -> Finding:
    return Finding("a.b", "pg:x/server", verdict, Severity.HIGH, "", None, None, mode, waiver)


@pytest.mark.parametrize(
    ("verdicts", "result"),
    [
        ([], "SKIPPED"),
        ([Verdict.SKIP], "SKIPPED"),
        ([Verdict.PASS, Verdict.SKIP], "PASSED"),
        ([Verdict.PASS, Verdict.ERROR], "ERROR"),
        ([Verdict.ERROR, Verdict.FAIL], "FAILED"),
    ],
)
def test_fail_comes_before_could_not_check_and_that_before_pass(verdicts: list[Verdict], result: str) -> None:
    assert result_of_findings([finding(verdict) for verdict in verdicts]) == result


def test_waived_fail_does_not_count() -> None:
    assert result_of_findings([finding(Verdict.FAIL, waiver={"id": "w"})]) == "PASSED"


def test_fail_in_a_milder_mode_than_asked_for_does_not_count() -> None:
    findings = [finding(Verdict.FAIL, mode=Mode.AUDIT)]
    assert result_of_findings(findings) == "FAILED"
    assert result_of_findings(findings, Mode.WARN) == "PASSED"


def test_what_could_not_be_read_is_an_error_even_if_no_control_reads_it() -> None:
    assert result_of_findings([finding(Verdict.PASS)], complete=False) == "ERROR"
    assert result_of_findings([finding(Verdict.FAIL)], complete=False) == "FAILED"
