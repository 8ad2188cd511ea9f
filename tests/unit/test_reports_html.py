"""The HTML report: true to its input, alone in the world, and safe with names that others chose."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from enum import Enum
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import pytest

from guardian.model import Verdict
from guardian.reports.html import render
from guardian.reports.view import MOST_FINDINGS, headline, view
from tests import report_samples as samples

HOSTILE = (
    "</style><script>alert(1)</script><img src=x onerror=alert(1)>\" onload='alert(1)' `{{ 7*7 }}` \x1b[2J\u202e&amp;"
)
VOID = {"meta", "br", "hr"}


class Page(HTMLParser):
    """Elements with their attributes, text, and whether every element was closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.text += " " if tag in {"td", "th", "dt", "dd", "p", "li"} else ""
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def shape(self) -> set[tuple[str, str]]:
        """Every pair of an element and an attribute that occurs."""
        return {(tag, name) for tag, attributes in self.elements for name in ["", *attributes]}


def hostile(value: Any) -> Any:
    """Return the value with every string in it replaced, those apart that are words of the product."""
    if isinstance(value, str) and not isinstance(value, Enum):
        return value if value in {"judged", "out of scope", "off", "restore-drill"} else HOSTILE
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: hostile(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return dataclasses.replace(value, **fields)
    if isinstance(value, dict):
        return {key: hostile(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(hostile(entry) for entry in value)
    return value


def test_report_states_verdict_services_drills_controls_evidence_and_limits() -> None:
    text = re.sub(r"\s+", " ", Page(render(samples.report_input())).text)
    for said in (
        "Action is needed",
        "1 of 4 drilled backups came back as they should.",
        "Do not rely on the backup of erp-digit, erp-files and erp-truncated",
        "5 controls judged, 2 violated, 1 could not be checked.",
        "20 min 4 s",
        "within 4 h",
        "Every row of every table equals what the source held",
        "content.hashes failed",
        "public.account_move_line",
        "old_admin can log in and is a superuser",
        "ALTER ROLE name NOSUPERUSER;",
        "NIST 800-53 AC-6(5)",
        "no kubernetes collector is configured",
        "guardian/production/5a1c99e0",
        "c4" * 32,
        "guardian verify pack.zip --root root.json",
        "No witness outside this administration",
        "No timestamp authority",
        "fsync=off",
    ):
        assert said in text
    for record in samples.records():
        assert record["recordId"] in text


def test_same_input_gives_the_same_bytes() -> None:
    assert render(samples.report_input()) == render(samples.report_input())


def test_hostile_text_in_every_field_adds_no_element_no_attribute_and_no_control_character() -> None:
    given = samples.report_input()
    broken = dataclasses.replace(hostile(given), controls={HOSTILE: hostile(samples.controls()["postgres.superusers"])})
    page = render(broken)
    clean, dirty = Page(render(given)), Page(page)
    assert dirty.shape <= clean.shape
    assert "script" not in {tag for tag, _ in dirty.elements}
    assert "49" not in re.findall(r"\b49\b", dirty.text)
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e]", page)
    assert "<script>alert(1)</script>" in dirty.text  # shown, as text
    assert page.count("</style>") == 1


@pytest.mark.parametrize("field", ["environment", "verify_command"])
def test_hostile_text_in_the_head_and_in_the_command_is_text(field: str) -> None:
    page = Page(render(samples.report_input(**{field: HOSTILE})))
    assert "script" not in {tag for tag, _ in page.elements}


def test_page_allows_itself_nothing_but_its_own_style_sheet() -> None:
    text = render(samples.report_input())
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policies = [a["content"] for tag, a in Page(text).elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == [f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"]


def test_page_asks_for_nothing_from_anywhere() -> None:
    page = Page(render(samples.report_input()))
    for tag, attributes in page.elements:
        assert tag not in {"script", "link", "img", "iframe", "object", "embed", "form", "base", "use", "image"}
        assert not {"src", "href", "style", "srcset", "action"} & set(attributes), tag
        assert not any(name.startswith("on") for name in attributes)
    style = files("guardian.reports").joinpath("report.css").read_text(encoding="utf-8")
    assert "url(" not in style
    assert "@import" not in style


def test_tables_have_headers_and_pictures_have_words() -> None:
    page = Page(render(samples.report_input()))
    assert ("html", {"lang": "en"}) in page.elements
    for tag, attributes in page.elements:
        if tag == "th":
            assert attributes.get("scope") in {"col", "row"}
        if tag == "svg":
            assert attributes.get("aria-hidden") == "true" or attributes.get("aria-label")
    assert sum(tag == "h1" for tag, _ in page.elements) == 1


def test_verdicts_are_words_not_only_colours() -> None:
    text = render(samples.report_input())
    for verdict in Verdict:
        badges = re.findall(rf'<span class="badge {verdict}">(\w+)</span>', text)
        assert set(badges) <= {verdict.name, "waived"}


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_text_has_a_contrast_of_at_least_4_5_on_every_ground_it_stands_on(theme: str) -> None:
    style = files("guardian.reports").joinpath("report.css").read_text(encoding="utf-8")
    light, dark, printed = (
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
        for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    )
    colours = {"light": light, "dark": {**light, **dark}, "print": {**light, **printed}}[theme]
    for ground in ("page", "card", "faint"):
        for ink in ("ink", "soft", "link"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    for verdict in ("pass", "fail", "error", "skip"):
        assert contrast(colours[verdict], colours[f"{verdict}-soft"]) >= 4.5, verdict
        assert contrast(colours["ink"], colours[f"{verdict}-soft"]) >= 4.5, verdict


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours. Source: WCAG 2.2, relative luminance and contrast ratio."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_headline_is_never_better_than_the_worst_thing_on_the_page() -> None:
    good = [samples.drill("erp-good")]
    service = dataclasses.replace(samples.service(), assets=samples.service().assets[:1])
    judged = samples.evaluation()
    passing = [finding for finding in judged.findings if finding.verdict is Verdict.PASS]
    summaries = [
        dataclasses.replace(s, population=s.counts[Verdict.PASS], counts={Verdict.PASS: s.counts[Verdict.PASS]})
        for s in judged.summaries
    ]
    clean = samples.report_input(
        drills=good,
        services=[service],
        evaluation=dataclasses.replace(judged, findings=passing, summaries=summaries),
    )
    assert headline(clean).verdict is Verdict.PASS
    worse: dict[str, tuple[dict[str, Any], Verdict]] = {
        "drill failed": ({"drills": [samples.drill("erp-good", "content.hashes")]}, Verdict.FAIL),
        "drill died": ({"drills": [samples.drill("erp-good", checks=[], phases=[])]}, Verdict.ERROR),
        "asset never drilled": ({"services": [samples.service()]}, Verdict.ERROR),
        "no drill at all": ({"drills": [], "services": []}, Verdict.ERROR),
        "never scanned": ({"evaluation": None}, Verdict.ERROR),
        "control violated": ({"evaluation": judged}, Verdict.FAIL),
    }
    for name, (changes, verdict) in worse.items():
        assert headline(dataclasses.replace(clean, **changes)).verdict is verdict, name


def test_waived_fails_are_shown_and_do_not_count() -> None:
    judged = samples.evaluation()
    findings = [
        dataclasses.replace(f, waiver={"ticket": "OPS-1"}) if f.verdict is Verdict.FAIL else f for f in judged.findings
    ]
    given = samples.report_input(
        evaluation=dataclasses.replace(judged, findings=findings), drills=[samples.drill("erp-good")]
    )
    assert "violated" in " ".join(headline(given).sentences)
    assert "0 violated" in " ".join(headline(given).sentences)
    text = render(given)
    assert "waived" in text
    assert "old_admin can log in" in text


def test_never_drilled_asset_is_listed_as_not_checked() -> None:
    text = re.sub(r"\s+", " ", Page(render(samples.report_input(drills=[samples.drill("erp-good")]))).text)
    assert "Never drilled: erp-digit, erp-files and erp-truncated." in text
    assert "drill of erp-digit every check this asset was never drilled" in text


def test_backup_that_failed_does_not_boast_of_its_recovery_time() -> None:
    by_asset = {one.drill.asset.name: one for one in view(samples.report_input()).drills}
    assert by_asset["erp-good"].rto.state == "within"
    assert by_asset["erp-digit"].rto.state == "moot"
    assert by_asset["erp-truncated"].rto.measured == "not measured"


def test_thousands_of_findings_are_counted_and_the_first_are_shown() -> None:
    judged = samples.evaluation()
    bad = next(finding for finding in judged.findings if "old_admin" in finding.resource)
    many = [dataclasses.replace(bad, resource=f"pg:erp-db/role/r{number}") for number in range(5000)]
    text = render(samples.report_input(evaluation=dataclasses.replace(judged, findings=many)))
    assert text.count("pg:erp-db/role/r") == MOST_FINDINGS
    assert f"{5000 - MOST_FINDINGS:,} more findings" in text


def test_empty_environment_renders_and_claims_nothing() -> None:
    empty = samples.report_input(evaluation=None, controls={}, services=[], drills=[], records=[], log={})
    text = Page(render(empty)).text
    assert "Not everything could be checked" in text
    assert "Nothing is known about whether the backups restore." in text
