"""The page of every kind of record, also of runs that ended before they had anything to say."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
import requests

from evidence.statement import KINDS
from guardian.api.console import telling
from guardian.records import AttachmentRef, admission_decision, admission_gap, source_manifest
from guardian.usecases import tokens
from tests.console_server import serving
from tests.reading_support import Writer, environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

NOW = "2026-11-01T00:00:00.000Z"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[tuple[dict[str, Any], str]]]:
    """Every record of a log of many kinds, with the text of its page."""
    folder = tmp_path_factory.mktemp("kinds")
    settings = environment(folder)
    with (folder / "guardian.yaml").open("a", encoding="utf-8") as file:
        file.write('api: {listen: "127.0.0.1:0", requestsPerMinute: 100000}\n')
    writer = Writer(settings)
    writer.some_of_all()
    _more(writer)
    headers = {"Authorization": f"Bearer {tokens.add(settings, 'reader', 'auditor').token}"}
    with serving(settings.path) as url:
        rows = requests.get(f"{url}/v1/records?limit=200", headers=headers, timeout=60).json()["records"]
        found = []
        for row in rows:
            page = requests.get(f"{url}/console/records/{row['index']}", headers=headers, timeout=60)
            assert page.status_code == 200, row
            found.append((row, re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page.text.partition("<main")[2]))))
        yield found


def _more(writer: Writer) -> None:
    context = writer.context()
    backup = {"id": "erp-1", "sha256": "cd" * 32, "sizeBytes": 5}
    manifest = AttachmentRef("manifest.json", "application/json", 5, "ab" * 32)
    request = {"operation": "CREATE", "kind": "Deployment", "namespace": "erp", "name": "odoo", "uid": "u1"}
    resource = {"id": "k8s:prod/apps/Deployment/erp/odoo", "service": "erp-plant1"}
    finding = {"control": "workload.pods", "resource": resource["id"], "verdict": "fail", "severity": "high",
               "message": "odoo runs as root", "expected": None, "observed": None, "mode": "deny",
               "waiver": None}  # fmt: skip
    decision = {
        "id": "019abe6d-0000-7000-8000-0000000000aa", "case": {"request": request, "resource": resource},
        "caseDigest": "ab" * 32, "policy": {"bundleDigest": "ab" * 32, "engine": "wasm", "engineVersion": "1"},
        "outcome": "denied", "allowed": False, "message": "odoo runs as root", "warnings": [], "findings": [finding],
    }  # fmt: skip
    gap = {
        "id": "019abe6d-0000-7000-8000-0000000000bb",
        "from": None,
        "until": NOW,
        "count": 7,
        "why": "the disk was full",
    }
    writer.write(
        source_manifest(writer.run("manifest:erp"), context, asset="erp", service="erp-plant1", backup=backup,
                        measurements={"rows": 5}, attachments=[manifest]),
        admission_decision(writer.run("admission"), context, decision, manifest),
        admission_gap(writer.run("admission"), context, gap),
    )  # fmt: skip


def test_every_record_has_a_page_that_says_its_kind_and_its_result(pages: list[tuple[dict[str, Any], str]]) -> None:
    assert len(pages) > 18
    for row, text in pages:
        assert telling.KINDS[row["kind"]] in text
        said = {"PASSED": "PASS", "FAILED": "FAIL", "SKIPPED": "SKIP"}.get(row["result"], row["result"])
        assert said in text.split("Record", 1)[0] + text


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("admission-decision", "A request to create Deployment/erp/odoo was refused. It was told: odoo runs as root"),
        ("admission-gap", "7 admission decisions were answered and not recorded one by one: the disk was full."),
        ("source-manifest", "The content of the live source of erp was written down, in the same snapshot as"),
        ("missed-slot", "Nobody ran drill:erp@2026-11-01T"),
        ("restore-drill", "the newest backup of erp restores is not known: the drill could not finish. Reason: killed"),
        ("restore-drill", "Whether a backup restores is not known"),
        ("policy-evaluation", "Nothing was judged: no control is known to hold or not to hold. Reason: job ended"),
        ("key-event", "Version 1 of the keyring came into force"),
    ],
)  # fmt: skip
def test_its_page_says_in_words_what_it_is(pages: list[tuple[dict[str, Any], str]], kind: str, said: str) -> None:
    assert any(said in text for row, text in pages if row["kind"] == kind), [
        t[:900] for r, t in pages if r["kind"] == kind
    ]


def test_every_kind_of_record_has_a_name_for_people() -> None:
    assert set(KINDS) <= set(telling.KINDS)


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        {"a": [], "b": {}},
        {"a": 'x"{}[],: \\', "b": ["\\\\", '\\"', {"c": 1.5e-7}]},
        {"": None, "t": [True, -0.0]},
    ],
    ids=str,
)
def test_the_indented_statement_is_the_same_json_token_by_token(value: Any) -> None:
    source = json.dumps(value, separators=(",", ":"))
    shown = telling._indented(source)
    assert json.loads(shown) == value
    assert re.sub(r'"(?:[^"\\]|\\.)*"|\s+', lambda m: m[0] if m[0][0] == '"' else "", shown) == source
