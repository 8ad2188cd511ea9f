"""JUnit XML: only what the schema of Jenkins allows, counts that add up, no character that XML forbids."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from guardian.reports import junit
from tests.report_findings import judged

XS = "{http://www.w3.org/2001/XMLSchema}"
SCHEMA = ET.parse(Path(__file__).parents[1] / "data" / "junit-10.xsd").getroot()  # noqa: S314 -- our own file


def declared(name: str) -> tuple[dict[str, bool], set[str]]:
    """Return what the schema says of an element: attributes with whether they are required, and children."""
    [element] = [one for one in SCHEMA.findall(f"{XS}element") if one.get("name") == name]
    attributes = {str(one.get("name")): one.get("use") == "required" for one in element.iter(f"{XS}attribute")}
    return attributes, {str(one.get("ref")) for one in element.iter(f"{XS}element") if one.get("ref")}


def tree(**changes: bool) -> ET.Element:
    return ET.fromstring(junit.document(judged(**changes)))  # noqa: S314 -- made here


@pytest.mark.parametrize("places", [True, False])
@pytest.mark.parametrize("problems", [True, False])
def test_document_holds_only_what_the_schema_declares_and_all_it_requires(places: bool, problems: bool) -> None:
    root = tree(places=places, problems=problems)
    assert root.tag == "testsuites"
    for element in root.iter():
        attributes, children = declared(element.tag)
        assert set(element.attrib) <= set(attributes), element.tag
        assert {name for name, required in attributes.items() if required} <= set(element.attrib), element.tag
        assert {child.tag for child in element} <= children, element.tag


def test_suite_a_control_and_case_a_resource_with_one_outcome_each() -> None:
    found = {
        suite.get("name"): [[child.tag for child in case] for case in suite.findall("testcase")] for suite in tree()
    }
    assert found == {
        "workload.image-digest": [["failure"], ["skipped"], [], ["skipped"], ["failure"]],
        "workload.resources": [["error"], ["failure"]],
        "input": [["error"]],
    }


def test_counts_add_up() -> None:
    root = tree()
    for suite in root:
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(str(suite.get(name))) == len(suite.findall(f"testcase/{tag}"))
        assert int(str(suite.get("tests"))) == len(suite.findall("testcase"))
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("8", "3", "2")


def test_failure_says_where_what_and_how_to_fix_it() -> None:
    [failure, *_] = tree().iter("failure")
    text = str(failure.text)
    assert text.startswith("deploy/o doo.yaml:12  spec.template.spec.containers[0].image\ndeploy/o doo.yaml:16")
    assert 'observed: [{"field":"spec.template.spec.containers[0].image","value":"odoo:17"}]' in text
    assert text.endswith("how to fix: Name the image with its digest.")
    assert failure.get("type") == "deny"


def test_waived_failure_is_skipped_with_the_reason() -> None:
    [waived] = [one for one in tree().iter("skipped") if one.get("type") == "waived"]
    assert str(waived.get("message")).startswith("waived: vendor image; ")


def test_hostile_text_is_written_out_and_the_bytes_are_utf_8() -> None:
    document = junit.document(judged())
    text = document.decode()
    assert not [character for character in text if character < " " and character not in "\t\n"]
    assert "\\u001b[2J\\u0000" in text
    assert "\\ud800\\ufffe" in text
    assert "\U0001f600" in text
