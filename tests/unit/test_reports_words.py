"""How reports write numbers, times and text that others chose."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardian.model import Assurance, Verdict
from guardian.reports import meanings, words
from tests import report_samples as samples
from verifiers.result import Check


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "not known"), (0, "<1 ms"), (0.0042, "4 ms"), (0.4, "400 ms"), (0.9999, "1.0 s"), (4.51, "4.5 s"),
     (30, "30 s"), (59.96, "1 min"),
     (65, "1 min 5 s"), (1204.5, "20 min 4 s"), (14_400, "4 h"), (12_000, "3 h 20 min"), (86_400, "1 day"),
     (187_200, "2 days 4 h"), (86_401, "1 day")],
)  # fmt: skip
def test_durations_are_written_with_their_two_greatest_units(seconds: float | None, said: str) -> None:
    assert words.duration(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (22_654_956, "22.7 MB"), (4e12, "4.0 TB")]
)
def test_sizes_are_decimal(count: float, said: str) -> None:
    assert words.size(count) == said


def test_moments_and_lists_read_as_english() -> None:
    assert words.moment(datetime(2026, 3, 5, 7, 4, tzinfo=UTC)) == "5 March 2026, 07:04 UTC"
    assert [words.listed(list("abcdefgh")[:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
    assert words.listed(list("abcdefgh")) == "a, b, c, d, e, f and 2 more"
    assert words.listed([]) == ""


@given(st.text())
def test_plain_text_holds_nothing_that_moves_a_cursor_or_turns_the_reading_order(text: str) -> None:
    shown = words.plain(text)
    for character in shown:
        assert unicodedata.category(character) != "Cc" or character in "\t\n"
        assert unicodedata.bidirectional(character) not in {
            "LRE",
            "RLE",
            "LRO",
            "RLO",
            "PDF",
            "LRI",
            "RLI",
            "FSI",
            "PDI",
        }


def test_plain_text_shows_what_it_took_away() -> None:
    assert words.plain("a\x1b[2Jb\u202ec\r\n") == "a\\u001b[2Jb\\u202ec\\u000d\n"


def test_long_values_are_cut_visibly() -> None:
    assert words.compact({"b": 1, "a": [None]}) == '{"a":[null],"b":1}'
    assert words.compact("x" * 500).endswith("(100 characters more)")


@pytest.mark.parametrize("check_id", [*samples.RESTORED, *samples.SOUND, *samples.EXACT])
def test_every_check_of_a_drill_says_what_it_asks_and_what_to_do(check_id: str) -> None:
    assert meanings.asks(check_id) != check_id
    assert meanings.next_step(check_id)


def test_only_an_exact_drill_claims_equality_with_the_source() -> None:
    claims = {drill.asset.name: meanings.proved(drill) for drill in samples.drills()}
    assert "equals what the source held" in claims["erp-good"]
    assert meanings.not_proved(samples.drill("erp-good")) == ""
    for name in ("erp-digit", "erp-files", "erp-truncated"):
        assert "source" not in claims[name]
    assert claims["erp-truncated"] == "Nothing was proved."


def test_what_was_not_proved_names_the_checks_that_stand_in_the_way() -> None:
    assert meanings.not_proved(samples.drill("erp-digit", "content.hashes")) == (
        "It is not shown to be exact: content.hashes failed."
    )
    said = meanings.not_proved(samples.drill("erp-truncated", "archive.complete"))
    assert said.startswith("It is not shown to be restored: archive.complete failed; ")
    assert said.endswith("could not run.")


def test_sound_drill_without_manifest_says_what_a_manifest_would_add() -> None:
    checks = [
        Check("catalog.readable", Assurance.RESTORED, Verdict.PASS),
        Check("amcheck", Assurance.SOUND, Verdict.PASS),
        Check("content.hashes", Assurance.EXACT, Verdict.SKIP, message="no manifest"),
    ]
    assert "guardian manifest" in meanings.not_proved(samples.drill("erp-good", checks=checks))


def test_drill_that_made_no_check_claims_nothing() -> None:
    dead = samples.drill("erp-good", checks=[], phases=[])
    assert meanings.proved(dead) == "Nothing was proved."
    assert meanings.why(dead) == "no check was made, so nothing is known"
