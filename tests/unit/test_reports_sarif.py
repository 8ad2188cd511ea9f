"""SARIF: valid against the standard's own schema, with identities that outlive edits and nothing a viewer misreads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft4Validator

from guardian.reports import sarif
from tests.report_findings import IMAGE, ODOO, judged

SCHEMA = json.loads((Path(__file__).parents[1] / "data" / "sarif-schema-2.1.0.json").read_bytes())


def run(**changes: Any) -> dict[str, Any]:
    [only] = sarif.log(judged(**changes))["runs"]
    return dict(only)


def results(**changes: Any) -> list[dict[str, Any]]:
    return list(run(**changes)["results"])


@pytest.mark.parametrize("places", [True, False])
@pytest.mark.parametrize("problems", [True, False])
def test_log_is_valid_sarif_for_check_and_scan(places: bool, problems: bool) -> None:
    document = json.loads(orjson.dumps(sarif.log(judged(places=places, problems=problems))))
    errors = [f"{list(error.path)}: {error.message}" for error in Draft4Validator(SCHEMA).iter_errors(document)]
    assert errors == []


def test_fails_and_what_could_not_be_judged_are_results_and_passes_and_skips_are_not() -> None:
    assert [(one["kind"], one["level"]) for one in results()] == [
        ("fail", "error"),
        ("fail", "error"),
        ("open", "none"),
        ("fail", "warning"),
        ("fail", "note"),
    ]
    assert run()["properties"]["counts"] == {"pass": 1, "fail": 4, "error": 1, "skip": 1}


def test_every_field_that_must_be_mended_is_a_location_with_its_region() -> None:
    first = results()[0]
    assert [one["physicalLocation"]["region"] for one in first["locations"]] == [
        {"startLine": 12, "startColumn": 9},
        {"startLine": 16, "startColumn": 9},
    ]
    assert first["locations"][0]["physicalLocation"]["artifactLocation"] == {
        "uri": "deploy/o%20doo.yaml",
        "uriBaseId": "%SRCROOT%",
    }
    assert first["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] == f"{ODOO}#{IMAGE}"


def test_file_outside_the_checkout_is_not_said_to_be_in_it() -> None:
    uris = [one["locations"][0]["physicalLocation"]["artifactLocation"] for one in results()]
    assert {"uri": "file:///abs/w.yaml"} in uris
    assert {"uri": "../b.yaml"} in uris


def test_scan_has_the_resource_as_its_place() -> None:
    assert results(places=False)[0]["locations"] == [
        {"logicalLocations": [{"fullyQualifiedName": ODOO, "kind": "resource"}]}
    ]


def test_fingerprints_stay_when_lines_move_and_differ_between_findings() -> None:
    here, moved = ([one["partialFingerprints"] for one in results(line=line)] for line in (12, 90))
    assert here == moved
    assert len({json.dumps(one) for one in here}) == len(here)


def test_waived_finding_is_suppressed_with_its_reason_and_no_other_is() -> None:
    suppressed = [one for one in results() if one.get("suppressions")]
    assert len(suppressed) == 1
    [suppression] = suppressed[0]["suppressions"]
    assert (suppression["kind"], suppression["status"]) == ("external", "accepted")
    assert suppression["justification"] == "vendor image"
    assert suppression["properties"]["ticket"] == "OPS-7"


def test_what_could_not_be_checked_makes_the_run_unsuccessful() -> None:
    [invocation] = run()["invocations"]
    assert (invocation["executionSuccessful"], invocation["exitCode"]) == (False, 1)
    [notification] = invocation["toolExecutionNotifications"]
    assert notification["level"] == "error"
    assert notification["locations"][0]["physicalLocation"]["region"] == {"startLine": 4}


def test_rules_tell_severity_and_remedy() -> None:
    first, second = run()["tool"]["driver"]["rules"]
    assert first["properties"]["security-severity"] == "8.0"
    assert "How to fix: Name the image with its digest." in first["help"]["text"]
    assert first["helpUri"].startswith("https://kubernetes.io/")
    assert "NIST 800-53 CM-2" in first["properties"]["tags"]
    assert second["properties"]["security-severity"] == "5.5"
    for one in results():
        assert [first, second][one["ruleIndex"]]["id"] == one["ruleId"]


def test_hostile_text_is_written_out() -> None:
    [message] = [one["message"]["text"] for one in results() if one["kind"] == "open"]
    assert message == "evil\\u001b[2J\\u0000\\u009b\\u202e?\ufffe]]> <b>&\U0001f600"
