"""Tables for a terminal: the words are there, whole, with colour and without, whoever chose the names."""

from __future__ import annotations

import dataclasses
import io
import re
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from guardian.model import Assurance, Mode, Verdict
from guardian.reports import as_json, drill_report, table
from tests import report_samples as samples
from verifiers.result import Check

if TYPE_CHECKING:
    from rich.console import RenderableType

HOSTILE = "[bold red]x[/] \x1b[2J\x1b]0;owned\x07 \u202egnp.exe"


@dataclasses.dataclass
class Outcome:
    """A planted fact of the demo."""

    what: str = "drill erp-digit"
    planted: str = "one digit of one row changed"
    expected: str = "fail at content.hashes"
    observed: str = "fail at content.hashes"
    why: str = "1 of 39 tables differs"
    occurred: bool = True


def shown(*renderables: RenderableType, width: int = 100, terminal: bool = False) -> str:
    target = io.StringIO()
    console = Console(file=target, width=width, force_terminal=terminal, color_system="standard" if terminal else None)
    for renderable in renderables:
        console.print(renderable)
    return target.getvalue()


def everything(width: int = 100, *, terminal: bool = False) -> str:
    return shown(
        table.evaluation_table(samples.evaluation()),
        *(drill_report.drill_report(drill, "record 7 (019abe6d)") for drill in samples.drills()),
        drill_report.drills_table(samples.drills()),
        table.records_table(samples.records()),
        table.demo_table([Outcome(), Outcome(observed="pass, exact", occurred=False)]),
        width=width,
        terminal=terminal,
    )


def test_off_a_terminal_there_is_no_colour_code_and_every_verdict_is_a_word() -> None:
    text = everything()
    assert "\x1b" not in text
    for word in ("PASS", "FAIL", "ERROR", "SKIP", "OFF", "as planted", "WRONG"):
        assert word in text


def test_on_a_terminal_colour_is_added_to_the_words_and_takes_none_away() -> None:
    coloured = everything(terminal=True)
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == everything()


@pytest.mark.parametrize("width", [80, 100, 160])
def test_ids_and_causes_are_never_cut(width: int) -> None:
    text = everything(width)
    assert "…" not in text.replace("…3a91c204", "").replace("…77b0f1d9", "")
    for record in samples.records():
        assert record["recordId"] in text
    assert max(map(len, text.splitlines())) <= width
    unfolded = re.sub(r"\s+", "", text)
    for cause in ("public.account_move_line", "endsinsidethedataofpublic.sale_order_line", "pg:erp-db/role/old_admin"):
        assert cause in unfolded


def test_long_asset_names_are_folded_not_cut() -> None:
    name = "erp-" + "very-long-" * 6 + "end"
    text = shown(drill_report.drills_table([samples.drill(name, "content.hashes")]))
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 100
    assert text.count("end") >= 2


def test_drill_report_tells_verdict_proof_time_and_what_to_look_at() -> None:
    text = shown(drill_report.drill_report(samples.drill("erp-files", "filestore.bijection"), "record 7 (019abe6d)"))
    for said in ("FAIL  erp-files", "20261123T113944Z", "assurance restored (required exact)", "filestore.bijection",
                 "3 attachments have no file", '"rowsWithoutFile":3', "restored in 4.5 s", "20 min 4 s",
                 "within the objective of 4 h", "record 7 (019abe6d)"):  # fmt: skip
        assert said in text


def test_drill_report_tells_what_to_do_once_and_only_where_something_is_wrong() -> None:
    text = re.sub(r"\s+", " ", shown(drill_report.drill_report(samples.drill("x", "archive.complete"), "record 8")))
    assert "What to do 1. archive.complete: The archive is damaged" in text
    assert "2. " not in text.partition("What to do")[2], "what was not reached needs no advice of its own"
    assert "What to do" not in shown(drill_report.drill_report(samples.drill("erp-good"), "record 7"))


def test_what_could_not_be_checked_has_advice_of_its_own_and_not_that_of_damage() -> None:
    error = Check("filestore.content", Assurance.SOUND, Verdict.ERROR, message="Nothing tells what they should hold.")
    fine = Check("freshness", Assurance.RESTORED, Verdict.PASS)
    drill = samples.drill("files", checks=[fine, error])
    text = re.sub(r"\s+", " ", shown(drill_report.drill_report(drill, "record 8")))
    assert "1. filestore.content: mend what kept Guardian from checking" in text
    assert "older backup" not in text


def test_drill_report_tells_phases_with_what_they_worked_through() -> None:
    lines = shown(drill_report.drill_report(samples.drill("erp-good"), "record 7")).splitlines()
    [compare] = [line.split() for line in lines if line.strip().startswith("compare ")]
    assert compare == ["compare", "1.7", "s", "80,486", "rows,", "47,345/s"]
    assert [line.split()[0] for line in lines if line.strip().startswith(("fetch ", "teardown "))] == [
        "fetch",
        "teardown",
    ]


def test_drill_report_tells_how_much_of_what_is_kept_was_drilled() -> None:
    drill = samples.drill("erp-good")
    measured = {**drill.result.measurements, "keptBackups": 30, "keptBackupsDrilled": 12}
    sampled = dataclasses.replace(drill, result=dataclasses.replace(drill.result, measurements=measured))
    assert "12 of 30 backups kept were drilled" in shown(drill_report.drill_report(sampled, "record 7"))
    assert "coverage" not in shown(drill_report.drill_report(drill, "record 7"))


def test_drill_of_files_says_that_they_were_not_restored_where_they_were_only_read() -> None:
    drill = samples.drill("erp-good")
    measured = {**drill.result.measurements, "verifiedInPlace": 1}
    files = dataclasses.replace(
        drill,
        asset=dataclasses.replace(drill.asset, type="filestore"),
        result=dataclasses.replace(drill.result, measurements=measured),
    )
    said = re.sub(r"\s+", " ", shown(drill_report.drill_report(files, "record 7")))
    assert "Every file equals the one that the source held" in said
    assert "verified where it lies, and not restored" in said
    assert "row" not in said.partition("RPO")[0]


def test_checks_with_one_cause_stand_on_one_line() -> None:
    text = shown(drill_report.drill_report(samples.drill("erp-truncated", "archive.complete"), "record 8"))
    assert text.count("not reached: the archive is not complete") == 1
    assert "17 checks" in text


def test_objective_that_is_missed_is_said_in_words() -> None:
    service = dataclasses.replace(samples.service(), rto_s=60)
    assert "BEYOND the objective of 1 min" in shown(
        drill_report.drill_report(samples.drill("erp-good", service=service), "record 5")
    )


def test_evaluation_lists_fails_and_errors_with_their_messages_but_not_what_is_off() -> None:
    judged = samples.evaluation()
    off = [dataclasses.replace(finding, mode=Mode.OFF) for finding in judged.findings]
    text = shown(table.evaluation_table(judged))
    assert "old_admin can log in and is a superuser" in text
    assert "out of scope: no kubernetes collector is configured" in re.sub(r"\s+", " ", text)
    assert "old_admin" not in shown(table.evaluation_table(dataclasses.replace(judged, findings=off)))


def test_waived_finding_stays_a_fail_and_says_that_it_is_waived() -> None:
    judged = samples.evaluation()
    waived = [dataclasses.replace(f, waiver={"ticket": "OPS-1"}) for f in judged.findings if "old_admin" in f.resource]
    line = next(
        line
        for line in shown(table.evaluation_table(dataclasses.replace(judged, findings=waived))).splitlines()
        if "old_admin" in line
    )
    assert "FAIL" in line
    assert "waived" in line


def test_hostile_names_reach_the_terminal_as_text() -> None:
    drill = samples.drill("erp-digit", "content.hashes")
    checks = [
        dataclasses.replace(check, id=HOSTILE, message=HOSTILE, observed=HOSTILE) for check in drill.result.checks
    ]
    result = dataclasses.replace(drill.result, checks=checks, backup={"id": HOSTILE})
    hostile = dataclasses.replace(drill, asset=dataclasses.replace(drill.asset, name=HOSTILE), result=result)
    judged = samples.evaluation()
    findings = [dataclasses.replace(f, resource=HOSTILE, message=HOSTILE, control=HOSTILE) for f in judged.findings]
    summaries = [dataclasses.replace(s, control=HOSTILE, title=HOSTILE, reason=HOSTILE) for s in judged.summaries]
    text = shown(
        table.evaluation_table(dataclasses.replace(judged, findings=findings, summaries=summaries)),
        drill_report.drill_report(hostile, HOSTILE),
        drill_report.drills_table([hostile]),
        table.records_table([dict.fromkeys(row, HOSTILE) for row in samples.records()]),
        table.demo_table([Outcome(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, occurred=False)]),
        terminal=True,
    )
    assert not re.search(r"\x1b(?!\[[0-9;]*m)", text)
    assert "\x07" not in text
    assert "\u202e" not in text
    assert "[bold red]" in text


def test_json_of_an_evaluation_counts_controls_and_carries_every_finding() -> None:
    document = as_json.evaluation(samples.evaluation())
    assert document["schema"] == "guardian/evaluation/v1"
    assert document["counts"] == {"pass": 5, "fail": 4, "error": 1, "skip": 0}
    assert len(document["findings"]) == len(samples.evaluation().findings)
    superusers = next(c for c in document["controls"] if c["control"] == "postgres.superusers")
    assert superusers["counts"] == {"pass": 1, "fail": 1, "error": 0, "skip": 0}


def test_json_of_a_drill_names_its_schema_and_its_verdict() -> None:
    document = as_json.drill(samples.drill("erp-digit", "content.hashes"))
    assert (document["schema"], document["verdict"]) == ("guardian/drill/v1", Verdict.FAIL)
