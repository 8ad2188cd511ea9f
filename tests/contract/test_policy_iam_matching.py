"""Patterns and statements of IAM are matched as a plain reference does: in WebAssembly and in OPA.

The reference is written from AWS's description alone: a star is any text, a question mark one character; actions
have no case. What a statement may allow is compared with it on every action and resource of a small world.
"""

from __future__ import annotations

import itertools
import json
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from guardian.policy.build import POLICIES, build_wasm
from guardian.policy.wasm import PolicyModule
from tests.tools.opa_server import OpaServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    Ask = Callable[[str, Mapping[str, Any]], Any]

ASKED = """package iam_asked

import data.guardian.lib.iam

matched := [iam.matches(pattern, text) | some [pattern, text] in input.matches]

concerned := [answer |
	some [statement, target] in input.concerns
	answer := [some_of(statement, target), all_of(statement, target)]
]

some_of(statement, target) if {
	iam.may_concern(statement, target)
} else := false

all_of(statement, target) if {
	iam.concerns_all(statement, target)
} else := false

wanted := {service: {action | some action in actions} | some service, actions in input.wanted}

acted := [sort(iam.actions(statement, wanted)) | some statement in input.acts]
"""
ENTRIES = ["iam_asked/matched", "iam_asked/concerned", "iam_asked/acted"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library, and a module that asks it."""
    made = tmp_path_factory.mktemp("iam")
    (made / "iam.rego").write_bytes((POLICIES / "lib" / "iam.rego").read_bytes())
    (made / "asked.rego").write_text(ASKED)
    return made


@pytest.fixture(scope="module")
def ask(opa: Path, folder: Path) -> Iterator[Ask]:
    """Asks both engines and returns what they say, if it is the same."""
    module = PolicyModule(build_wasm(opa, folder, ENTRIES))
    with OpaServer(opa, folder) as server:

        def both(entry: str, document: Mapping[str, Any]) -> Any:
            said = module.evaluate(f"iam_asked/{entry}", json.dumps(document).encode())
            assert said == server.value(f"iam_asked/{entry}", document)
            return said

        yield both
    module.close()


def matches(pattern: str, text: str) -> bool:
    """Tell whether a pattern matches, character by character."""

    @cache
    def at(i: int, j: int) -> bool:
        if i == len(pattern):
            return j == len(text)
        if pattern[i] == "*":
            return at(i + 1, j) or (j < len(text) and at(i, j + 1))
        return j < len(text) and pattern[i] in {"?", text[j]} and at(i + 1, j + 1)

    return at(0, 0)


PATTERNS = st.text("ab:*?", max_size=8) | st.text("ab/.+$^()[]{}|\\*?é\n", max_size=10)
TEXTS = st.text("ab:", max_size=8) | st.text("ab/.+$^()[]{}|\\é\n*?", max_size=10)


def test_patterns_match_as_the_reference_says(ask: Ask) -> None:
    seen = {True: 0, False: 0}

    @settings(max_examples=250, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(PATTERNS, TEXTS), min_size=40, max_size=40))
    @example([("*", ""), ("?", ""), ("**", "a"), ("a*a", "a"), ("a*b*a", "aba"), ("a*b*a", "aa"), ("*\n*", "a\nb")])
    @example([("*a*b*c*", "xaxbxcx"), ("*a*b*c*", "xaxcxbx"), ("a.c", "abc"), ("a?c", "a.c"), ("\\?", "\\a")])
    def compare(pairs: list[tuple[str, str]]) -> None:
        told = ask("matched", {"matches": pairs})
        assert told == [matches(pattern, text) for pattern, text in pairs]
        for answer in told:
            seen[answer] += 1

    compare()
    assert seen[True] > 500
    assert seen[False] > 1000


# A world in which every ARN of up to four letters after `b/` stands for all of them: patterns are shorter than that.
LETTERS = "ab/"
OBJECTS = ["b/" + "".join(rest) for n in range(5) for rest in itertools.product(LETTERS, repeat=n)]
RESOURCES = st.text("ab/*?", min_size=1, max_size=4) | st.sampled_from(
    ["b", "b/*", "b*", "*", "b/?*", "b/a*", "?/*", "a*"]
)


def applies(statement: Mapping[str, Any], resource: str) -> bool:
    """Tell whether a statement is about a resource."""
    if statement.get("resources") is not None:
        return any(matches(pattern, resource) for pattern in statement["resources"])
    return not any(matches(pattern, resource) for pattern in statement["notResources"])


def test_statement_concerns_some_or_all_of_a_target_as_the_reference_says(ask: Ask) -> None:
    seen: dict[str, int] = dict.fromkeys(("none", "some", "all"), 0)
    patterns = st.lists(RESOURCES, min_size=1, max_size=2)
    statements = patterns.map(lambda found: {"resources": found}) | patterns.map(lambda found: {"notResources": found})

    @settings(max_examples=150, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.lists(statements, min_size=20, max_size=20))
    def compare(drawn: list[dict[str, Any]]) -> None:
        whole = ask("concerned", {"concerns": [[statement, {"prefix": "b/"}] for statement in drawn]})
        alone = ask("concerned", {"concerns": [[statement, {"text": "b"}] for statement in drawn]})
        for statement, (some_of, all_of), (one, same) in zip(drawn, whole, alone, strict=True):
            about = [applies(statement, resource) for resource in OBJECTS]
            # Several patterns may cover a target of which no single one does, and so may `*?`: never in the wrong way.
            assert some_of >= any(about), statement
            assert all_of <= all(about), statement
            [found] = statement.values()
            if len(found) == 1 and not found[0].endswith("?"):
                assert (some_of, all_of) == (any(about), all(about)), statement
            assert one == same == applies(statement, "b")
            seen["all" if all_of else "some" if some_of else "none"] += 1

    compare()
    assert min(seen.values()) > 100


def test_policy_variable_may_be_anything_in_an_allow_and_is_nothing_in_a_deny(ask: Ask) -> None:
    def told(pattern: str, target: Mapping[str, str]) -> list[bool]:
        answers = ask(
            "concerned", {"concerns": [[{kind: [pattern]}, target] for kind in ("resources", "notResources")]}
        )
        return [answer for pair in answers for answer in pair]

    for pattern in ("b/${aws:username}/*", "${aws:PrincipalTag/bucket}/*", "b/${*}*", "${broken"):
        assert told(pattern, {"prefix": "b/"}) == [True, False, True, False], pattern
    assert told("c/${aws:username}/*", {"prefix": "b/"}) == [False, False, True, True]


WANTED: Mapping[str, Sequence[str]] = {
    "s3": ["s3:deleteobject", "s3:deletebucket", "s3:putbucketpolicy"],
    "iam": ["iam:passrole", "iam:createaccesskey"],
}
EVERY = sorted(action for actions in WANTED.values() for action in actions)
ACTIONS = st.builds(
    lambda action, start, end, upper: (action[:start] + "*" + action[end:]).swapcase() if upper else action,
    st.sampled_from([*EVERY, "s3:getobject", "*", "*:*", "s3:*", "iam:?assrole", "s?:Delete*", "S3:deleteBucket"]),
    st.integers(0, 12),
    st.integers(2, 12),
    st.booleans(),
)


def test_actions_are_those_that_a_statement_names_or_does_not_except(ask: Ask) -> None:
    lists = st.lists(ACTIONS, min_size=1, max_size=3)
    statements = lists.map(lambda found: {"actions": found}) | lists.map(lambda found: {"notActions": found})

    @settings(max_examples=150, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.lists(statements, min_size=20, max_size=20))
    def compare(drawn: list[dict[str, Any]]) -> None:
        told = ask("acted", {"acts": drawn, "wanted": WANTED})
        for statement, actions in zip(drawn, told, strict=True):
            [(kind, patterns)] = statement.items()
            named = [action for action in EVERY if any(matches(found.lower(), action) for found in patterns)]
            assert actions == (named if kind == "actions" else sorted(set(EVERY) - set(named)))

    compare()
