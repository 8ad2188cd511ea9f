"""The console in a real Chromium: what its pages say, and for whom they work."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests
from playwright.sync_api import expect

from guardian.reports import words
from tests.console_support import DAYS, HOSTILE

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser, Page

    from tests.browser_support import Console

pytest_plugins = ["tests.browser_support"]

PAGES = ("/console/", "/console/services/erp-plant1", "/console/drills", "/console/drills?asset=erp",
         "/console/coverage?month={month}", "/console/records", "/console/records/{drill}", "/console/records/{scan}",
         "/console/records/{schedule}", "/console/records/{access}", "/console/records/0",
         "/console/records/{missed}")  # fmt: skip
# For every text that shows: its colour, and the opaque colour behind it. Large text may have less contrast.
CONTRAST = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.textContent.trim() || !element.checkVisibility()) continue;
    if (element.closest(".hidden, svg, noscript, option, .later")) continue;
    const style = getComputedStyle(element);
    let behind = element;
    while (behind && (rgb(getComputedStyle(behind).backgroundColor)[3] ?? 1) < 1) behind = behind.parentElement;
    const colours = [rgb(style.color), behind ? rgb(getComputedStyle(behind).backgroundColor) : [255, 255, 255]];
    const [a, b] = colours.map(light).sort((x, y) => y - x);
    const size = parseFloat(style.fontSize);
    const least = size >= 24 || (size >= 18.7 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < least) found.push(`${ratio.toFixed(2)}: ${node.textContent.trim().slice(0, 40)}`);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def places(console: Console) -> dict[str, str]:
    """Addresses of one record of each kind."""

    def newest(**query: str) -> str:
        return str(console.api("/v1/records?" + "&".join(f"{k}={v}" for k, v in query.items()))["records"][0]["index"])

    return {
        "month": console.estate.month,
        "drill": newest(kind="restore-drill", verdict="fail"),
        "scan": newest(kind="policy-evaluation"),
        "schedule": newest(kind="schedule"),
        "missed": newest(kind="missed-slot"),
        # The oldest: it was made with a name that would do harm; newer ones are of these tests.
        "access": str(console.api("/v1/records?kind=access-event&order=oldest")["records"][0]["index"]),
    }


def flat(page: Page, selector: str = "main") -> str:
    """Return the text that shows, on one line."""
    return re.sub(r"\s+", " ", page.inner_text(selector)).replace("\N{NO-BREAK SPACE}", " ")


def test_a_wrong_token_is_refused_in_words_and_the_right_one_opens_the_page_that_was_asked_for(
    visit: Callable[..., Page], console: Console
) -> None:
    page = visit("/console/records?kind=restore-drill", token=None)
    assert page.url.startswith(f"{console.url}/console/login?next=")
    page.fill("#token", "gdn_" + "A" * 43)
    page.click("main button")
    assert "not known here" in flat(page, "[role=alert]")
    assert page.context.cookies() == []
    page.fill("#token", console.estate.token)
    page.click("main button")
    page.wait_for_url(f"{console.url}/console/records?kind=restore-drill")
    [cookie] = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")


@pytest.mark.parametrize(
    "elsewhere",
    ["//evil.example/", "https://evil.example/", "/\\evil.example", "/console/..//evil.example",
     "/console//evil.example", "javascript:alert(1)",
     "/console/\r\nSet-Cookie:a=b", "/v1/records", "/console/login?next=/console/login"],
)  # fmt: skip
def test_after_the_login_nobody_is_sent_elsewhere(console: Console, elsewhere: str) -> None:
    answer = requests.post(
        f"{console.url}/console/login",
        data={"token": console.estate.token, "next": elsewhere},
        headers={"Origin": console.url},
        allow_redirects=False,
        timeout=30,
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/")


def test_a_form_of_another_site_begins_and_ends_no_session(console: Console) -> None:
    for path in ("login", "logout"):
        answer = requests.post(
            f"{console.url}/console/{path}",
            data={"token": console.estate.token},
            headers={"Origin": "https://evil.example"},
            allow_redirects=False,
            timeout=30,
        )
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


def test_after_logging_out_the_session_is_over_for_whoever_kept_its_cookie(
    visit: Callable[..., Page], console: Console
) -> None:
    page = visit()
    [cookie] = page.context.cookies()
    page.click("text=Log out")
    page.wait_for_url(re.compile("/console/login"))
    assert page.context.cookies() == []
    kept = requests.get(
        f"{console.url}/console/",
        cookies={cookie["name"]: cookie["value"]},
        allow_redirects=False,
        timeout=30,
    )
    assert kept.headers["location"].startswith("/console/login")


def test_services_say_what_the_api_says_and_the_headline_is_the_worst_of_them(
    visit: Callable[..., Page], console: Console
) -> None:
    page = visit("/console/")
    assert flat(page, ".headline h1") == "Action is needed"
    assert "1 could not be checked" in flat(page, ".headline")
    cards = {flat(page, f"article:nth-of-type({n}) h3"): flat(page, f"article:nth-of-type({n})") for n in (1, 2, 3)}
    services = {service["name"]: service for service in console.api("/v1/services")["services"]}
    assert cards.keys() == services.keys()
    for name, service in services.items():
        drills = [asset["drill"] for asset in service["assets"] if asset["drill"]]
        worst = max((drill["estimatedRtoSeconds"] for drill in drills), default=None)
        assert (words.duration(worst) if worst else "not measured") in cards[name]
        assert f"tier {service['tier']} · owner {service['owner']}" in cards[name]
        fails = sum(control["verdict"] == "fail" for control in service["controls"])
        assert (f"{fails} violated" in cards[name]) == (fails > 0)
    assert cards["wiki"].startswith("ERROR")
    assert "Never drilled: wiki." in cards["wiki"]
    assert cards["shop-north"].startswith("PASS")


def test_a_service_shows_its_assets_objectives_and_controls_with_what_to_do(
    visit: Callable[..., Page], console: Console
) -> None:
    page = visit("/console/services/erp-plant1")
    service = console.api("/v1/services/erp-plant1")
    said = flat(page)
    for asset in service["assets"]:
        drill = asset["drill"]
        for part in (words.duration(drill["restoreSeconds"]), words.duration(drill["rpoSeconds"]), drill["assurance"]):
            assert part in said
    assert "beyond 1 day" in said
    assert page.locator("details.control-row").count() == len(service["controls"])
    row = page.locator("details.control-row", has_text="postgres.superusers")
    row.locator("summary").click()
    remedy = next(c for c in console.api("/v1/controls")["controls"] if c["id"] == "postgres.superusers")["remediation"]
    shown = re.sub(r"\s+", " ", row.inner_text())
    assert re.sub(r"\s+", " ", remedy.replace("`", "")).strip()[:60] in shown


def test_drills_are_one_mark_each_and_their_numbers_stand_in_the_table(
    visit: Callable[..., Page], console: Console
) -> None:
    page = visit("/console/drills?asset=erp")
    drills = console.api("/v1/drills?asset=erp&limit=200")["drills"]
    assert len(drills) == DAYS - 3
    marks = page.locator("svg.timeline g title").all_text_contents()
    assert len(marks) == len(drills)
    assert page.locator("svg.timeline circle.m.pass").count() == sum(d["verdict"] == "pass" for d in drills)
    assert page.locator("svg.timeline path.m.fail").count() == sum(d["verdict"] == "fail" for d in drills)
    assert page.locator("svg.timeline path.m.error").count() == sum(d["verdict"] == "error" for d in drills)
    rows = page.locator("table.stack tbody tr").all_inner_texts()
    for drill, row in zip(drills, rows, strict=True):
        assert words.duration(drill["estimatedRtoSeconds"]) in row
        assert f"record {drill['index']}" in row
    assert "1 beyond the recovery time objective" in flat(page, "figcaption")


def test_coverage_has_one_cell_a_slot_and_names_those_that_nobody_ran(
    visit: Callable[..., Page], console: Console
) -> None:
    began = console.estate.began
    end = began + timedelta(days=DAYS)
    page = visit(f"/console/coverage?from={began:%Y-%m-%d}&to={end - timedelta(days=1):%Y-%m-%d}")
    document: Any = console.api(f"/v1/coverage?since={began:%Y-%m-%d}&until={end:%Y-%m-%d}")
    for state, count in document["counts"].items():
        assert page.locator(f".days .cell.slot-{state}").count() == count
    named = page.locator("table.stack tbody tr").all_inner_texts()
    assert len(named) == len(document["missing"]) >= 3
    assert sum("missed" in row for row in named) == 1
    cell = page.locator(".days a.cell.slot-error").first
    cell.click()
    page.wait_for_url(re.compile(r"/console/records/\d+$"))
    assert "Restore drill of erp" in flat(page, "h1")


def test_records_are_filtered_and_paged_without_losing_or_repeating_one(
    visit: Callable[..., Page], console: Console
) -> None:
    page = visit("/console/records?kind=restore-drill")
    seen: list[int] = []
    while True:
        seen += [int(text) for text in page.locator("table tbody th").all_inner_texts()]
        older = page.locator("a[rel=next]")
        if not older.count():
            break
        older.click()
        page.wait_for_load_state()
    wanted = [d["index"] for d in console.api("/v1/records?kind=restore-drill&limit=200")["records"]]
    assert seen == wanted
    page.goto(f"{console.url}/console/records?verdict=fail&asset=erp")
    assert [r["index"] for r in console.api("/v1/records?verdict=fail&asset=erp")["records"]] == [
        int(text) for text in page.locator("table tbody th").all_inner_texts()
    ]


def test_a_token_for_one_service_shows_that_one_and_for_others_that_there_is_nothing(
    visit: Callable[..., Page], console: Console, places: dict[str, str]
) -> None:
    page = visit("/console/", token=console.estate.limited)
    assert page.locator("article.service").count() == 1
    assert "erp" not in page.content()
    for path in ("/console/services/erp-plant1", f"/console/records/{places['drill']}", "/console/records/99999"):
        answer = page.goto(console.url + path)
        assert answer is not None
        assert answer.status == 404
        assert flat(page, "h1") == "There is no such page"


@pytest.mark.parametrize("path", ["/console/coverage?month=x", "/console/drills?from=yesterday",
                                  "/console/records?kind=nonsense", "/console/records?cursor=-1",
                                  "/console/coverage?from=2020-01-01&to=2024-01-01"])  # fmt: skip
def test_a_question_that_cannot_be_answered_is_refused_in_words(
    visit: Callable[..., Page], console: Console, path: str
) -> None:
    page = visit()
    answer = page.goto(console.url + path)
    assert answer is not None
    assert answer.status == 400
    assert flat(page, "h1") == "That cannot be shown"


def test_texts_of_others_are_text_on_every_page(
    visit: Callable[..., Page], console: Console, places: dict[str, str]
) -> None:
    page = visit()
    shown = 0
    for path in PAGES:
        page.goto(console.url + path.format(**places))
        page.wait_for_load_state("networkidle")
        shown += page.inner_text("main").count("<img src=x onerror=window.harmed=1>")
        assert page.evaluate("window.harmed") is None
        assert page.locator("img, main script:not([type])").count() == 0
        assert "\u202e" not in page.content()
    assert shown >= 5  # a drill's check, a scan's findings, a missed slot, an access, and statements
    assert "<script>" in HOSTILE


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_in_both_schemes(
    visit: Callable[..., Page], console: Console, places: dict[str, str], scheme: str
) -> None:
    page = visit(color_scheme=scheme)
    for path in ("/console/login", *PAGES):
        page.goto(console.url + path.format(**places))
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert page.evaluate(CONTRAST) == [], path


def test_light_and_dark_differ(visit: Callable[..., Page]) -> None:
    shots = [visit(color_scheme=scheme).screenshot() for scheme in ("light", "dark")]
    assert shots[0] != shots[1]


def test_nothing_is_wider_than_a_narrow_screen(
    visit: Callable[..., Page], console: Console, places: dict[str, str]
) -> None:
    page = visit(viewport={"width": 360, "height": 740})
    for path in PAGES:
        page.goto(console.url + path.format(**places))
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path


def test_on_paper_there_is_no_navigation(visit: Callable[..., Page], console: Console, places: dict[str, str]) -> None:
    page = visit(f"/console/records/{places['drill']}")
    assert page.locator("header nav").is_visible()
    page.emulate_media(media="print")
    for gone in ("header nav", ".who", ".actions", ".crumbs", ".skip-link", "#root-form"):
        assert not page.locator(gone).first.is_visible(), gone
    assert page.locator("h1").is_visible()
    page.goto(f"{console.url}/console/records")
    assert not page.locator(".filters").is_visible()


def test_the_keyboard_alone_leads_from_the_login_to_a_record(visit: Callable[..., Page], console: Console) -> None:
    page = visit("/console/login", token=None)
    expect(page.locator("#token")).to_be_focused()  # by itself, but a browser under load does it after `load`
    page.keyboard.type(console.estate.token)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{console.url}/console/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    assert page.locator(".skip-link").bounding_box()["y"] >= 0  # type: ignore[index]  # it is there: it has the focus
    _tab_to(page, "Records")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{console.url}/console/records")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the skip link, past bar and navigation
    first = page.locator("table tbody th a").first.inner_text()
    _tab_to(page, first)
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Enter")
    page.wait_for_url(f"{console.url}/console/records/{first}")


def test_every_page_has_one_heading_landmarks_and_names_for_what_has_the_focus(
    visit: Callable[..., Page], console: Console, places: dict[str, str]
) -> None:
    page = visit()
    for path in ("/console/login", *PAGES):
        page.goto(console.url + path.format(**places))
        assert page.locator("h1").count() == 1, path
        assert page.locator("main").count() == page.locator("body > header").count() == 1
        assert page.evaluate("[...document.querySelectorAll('table')].every((one) => one.caption)"), path
        assert page.evaluate("document.querySelectorAll('svg:not([aria-hidden]):not([aria-label])').length") == 0, path
        fields = "[...document.querySelectorAll('input:not([type=hidden]), select')]"
        assert page.evaluate(f"{fields}.every((one) => one.labels.length)"), path
        assert page.evaluate("new Set([...document.querySelectorAll('[id]')].map((one) => one.id)).size") == (
            page.locator("[id]").count()
        ), path
        assert page.locator("[style], style, script:not([src])").count() == 0, path


def test_without_javascript_everything_shows_and_nothing_is_called_verified(
    visit: Callable[..., Page], console: Console, places: dict[str, str]
) -> None:
    page = visit(java_script_enabled=False)
    for path in PAGES:
        answer = page.goto(console.url + path.format(**places))
        assert answer is not None
        assert answer.status == 200
    page.goto(f"{console.url}/console/records/{places['drill']}")
    assert "NOT CHECKED" in flat(page, "#verify")
    assert "JavaScript is off" in flat(page, "#verify")
    assert page.locator("#verify .badge.pass").count() == 0


def test_every_answer_forbids_what_the_console_does_not_need(console: Console, browser: Browser) -> None:
    for path in ("/console/", "/console/login", "/console/static/console.css", "/console/nothing"):
        answer = requests.get(
            console.url + path,
            headers={"Authorization": f"Bearer {console.estate.token}"},
            allow_redirects=False,
            timeout=30,
        )
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert browser.is_connected()


def _tab_to(page: Page, text: str, most: int = 60) -> None:
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == text:
            return
    pytest.fail(f"the tab key never reached {text!r}")
