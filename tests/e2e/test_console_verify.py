"""A record's page verifies itself in the browser, and finds every lie of the server that it can find."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page, Route

    from tests.browser_support import Console

pytest_plugins = ["tests.browser_support"]

STEPS = ("signature", "statement", "entry", "inclusion", "checkpoint", "keys", "root")


def open_record(page: Page, console: Console, index: int | str, change: Callable[[str], str] | None = None) -> None:
    """Open a record's page, changed on its way by `change`, and wait until its verification has ended."""
    if change is not None:

        def answer(route: Route) -> None:
            fetched = route.fetch()
            changed = change(fetched.text())
            assert changed != fetched.text()
            route.fulfill(response=fetched, body=changed)

        page.route(re.compile(r"/console/records/\d+$"), answer)
    page.goto(f"{console.url}/console/records/{index}")
    page.wait_for_function("document.getElementById('verify').dataset.state !== 'waiting'")


def states(page: Page) -> dict[str, str | None]:
    return {step: page.get_attribute(f"#step-{step}", "data-state") for step in STEPS}


def failed(page: Page) -> set[str]:
    return {step for step, state in states(page).items() if state == "fail"}


def flip(name: str, at: float = 0.5, nth: int = 0) -> Callable[[str], str]:
    """Return what changes one byte inside the nth base64 text of data-proof `name`."""

    def change(html: str) -> str:
        found = list(re.finditer(rf'data-proof="{name}"[^>]*>([^<]+)<', html))[nth]
        data = bytearray(base64.b64decode(found[1]))
        data[int(len(data) * at)] ^= 1
        return html[: found.start(1)] + base64.b64encode(data).decode() + html[found.end(1) :]

    return change


def replace(pattern: str, by: str | Callable[[re.Match[str]], str]) -> Callable[[str], str]:
    return lambda html: re.sub(pattern, by, html, count=1)


@pytest.fixture(scope="module")
def drill(console: Console) -> int:
    return int(console.api("/v1/records?kind=restore-drill&verdict=fail")["records"][0]["index"])


def test_every_kind_of_record_verifies_and_only_the_root_is_left_to_the_reader(
    visit: Callable[..., Page], console: Console
) -> None:
    page = visit()
    kinds = ("restore-drill", "policy-evaluation", "missed-slot", "schedule", "access-event", "key-event")
    for kind in kinds:
        open_record(page, console, console.api(f"/v1/records?kind={kind}")["records"][0]["index"])
        assert states(page) == {**dict.fromkeys(STEPS, "pass"), "root": "ask"}, kind
        assert page.inner_text("#verify .badge") == "CHECKS HOLD"
        assert "compare the root" in page.inner_text("#verify-text")


def test_the_roots_fingerprint_makes_it_verified_and_another_one_not(
    visit: Callable[..., Page], console: Console, drill: int
) -> None:
    root = console.estate.settings.path.parent / "root.json"
    page = visit()
    open_record(page, console, drill)
    page.fill("#root-given", "ab" * 32)
    page.keyboard.press("Enter")
    page.wait_for_selector('#step-root[data-state="fail"]')
    assert page.inner_text("#verify .badge") == "NOT VERIFIED"
    page.set_input_files("#root-file", root)
    page.wait_for_selector('#step-root[data-state="pass"]')
    assert page.inner_text("#verify .badge") == "VERIFIED"
    page.fill("#root-given", "nonsense")
    page.keyboard.press("Enter")
    page.wait_for_selector('#step-root[data-state="ask"]')
    assert page.inner_text("#verify .badge") == "CHECKS HOLD"


TAMPERED = {
    "envelope": (flip("envelope"), {"signature", "statement", "entry", "inclusion", "checkpoint", "keys"}),
    "entry": (flip("entry"), {"entry", "inclusion"}),
    "a hash of the path": (flip("hash", nth=1), {"inclusion"}),
    "record key": (flip("record-key", 0.9), {"signature", "keys"}),
    "log key": (flip("log-key", 0.9), {"checkpoint", "keys"}),
    "leaf index": (replace(r'(data-proof="leaf-index">)\d+', r"\g<1>3"), {"inclusion"}),
    "tree size": (replace(r'(data-proof="tree-size">)(\d+)', r"\g<1>\g<2>0"), {"inclusion"}),
    "a value in the statement": (replace(r'(data-proof="statement"[^>]*>.*?)FAILED', r"\g<1>PASSED"), {"statement"}),
    "white space inside a text": (replace(r"differs from the source:", "differs  from the source:"), set()),
}


@pytest.mark.parametrize("what", list(TAMPERED))
def test_what_the_server_changes_turns_red(visit: Callable[..., Page], console: Console, drill: int, what: str) -> None:
    change, wrong = TAMPERED[what]
    if what == "a value in the statement":
        change = _statement(lambda text: text.replace("FAILED", "PASSED"))
    if what == "white space inside a text":
        change, wrong = _statement(lambda text: text.replace("1 of 39 tables", "1  of 39 tables")), {"statement"}
    page = visit()
    open_record(page, console, drill, change)
    found = failed(page)
    assert wrong <= found | {step for step, state in states(page).items() if state == "error"}
    assert found & wrong
    assert page.get_attribute("#verify", "data-state") == "fail"
    assert page.inner_text("#verify .badge") == "NOT VERIFIED"
    assert page.locator("#verify .badge.pass").count() == 0
    assert page.inner_text(f"#step-{min(found)} .told") != ""


@pytest.mark.parametrize(
    ("line", "wrong"), [(1, "checkpoint"), (2, "checkpoint"), (4, "checkpoint"), (0, "checkpoint")]
)
def test_a_changed_line_of_the_checkpoint_turns_red(
    visit: Callable[..., Page], console: Console, drill: int, line: int, wrong: str
) -> None:
    def change(html: str) -> str:
        found = re.search(r'(data-proof="checkpoint"[^>]*>\n?)([^<]+)<', html)
        assert found
        lines = found[2].split("\n")
        text = lines[line]
        at = len(text) - 10 if line == 4 else len(text) - 3 if line in {0, 2} else len(text) - 1
        digit = "1" if text[at] != "1" else "2"
        lines[line] = text[:at] + digit + text[at + 1 :]
        return html[: found.start(2)] + "\n".join(lines) + html[found.end(2) :]

    page = visit()
    open_record(page, console, drill, change)
    assert wrong in failed(page)
    assert page.inner_text("#verify .badge") == "NOT VERIFIED"


def test_another_whole_record_in_its_place_turns_red(visit: Callable[..., Page], console: Console, drill: int) -> None:
    """Validly signed, but another: its envelope and statement under this one's entry."""
    other = console.api(f"/v1/records/{drill - 1}")["envelope"]
    page = visit()
    open_record(page, console, drill, replace(r'(data-proof="envelope"[^>]*>)[^<]+', rf"\g<1>{other}"))
    assert failed(page) >= {"entry", "statement"}
    assert states(page)["signature"] == "pass"


def test_keyrings_that_no_root_signed_or_that_are_not_there_are_not_good(
    visit: Callable[..., Page], console: Console, drill: int
) -> None:
    page = visit()
    open_record(page, console, drill, lambda html: html.replace('data-proof="keyring"', "data-gone"))
    assert states(page)["keys"] == "error"
    assert page.inner_text("#verify .badge") == "NOT ALL CHECKED"
    again = visit()
    swapped = replace(
        r'(data-proof="keyring"[^>]*>[^<]*sig&#34;:&#34;)(.)', lambda m: m[1] + ("B" if m[2] == "A" else "A")
    )
    open_record(again, console, drill, swapped)
    assert "keys" in failed(again)
    assert again.locator("#root-form").is_hidden()


@pytest.mark.parametrize(
    "without",
    ["Object.defineProperty(Crypto.prototype, 'subtle', {value: undefined})",
     "SubtleCrypto.prototype.importKey = async () => { throw new DOMException('no', 'NotSupportedError'); }",
     "SubtleCrypto.prototype.verify = async () => true"],
    ids=["no cryptography", "no Ed25519", "says yes to everything"],
)  # fmt: skip
def test_a_browser_that_cannot_check_says_so_and_nothing_is_green(
    visit: Callable[..., Page], console: Console, drill: int, without: str
) -> None:
    page = visit()
    page.add_init_script(without)
    open_record(page, console, drill)
    assert set(states(page).values()) == {"error"}
    assert "nothing is proved" in page.inner_text("#verify-text")
    assert page.locator("#verify .badge.pass").count() == 0


def _statement(change: Callable[[str], str]) -> Callable[[str], str]:
    """Return what changes the statement as it is shown, and nothing else."""

    def changed(html: str) -> str:
        found = re.search(r'data-proof="statement"[^>]*>([^<]+)<', html)
        assert found
        return html[: found.start(1)] + change(found[1]) + html[found.end(1) :]

    return changed
