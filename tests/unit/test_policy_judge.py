"""One resource judged: the core that scan, check, webhook and replay share, and what it remembers."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from guardian.errors import UsageError
from guardian.model import Mode, Tier, Verdict
from guardian.policy.engine import DeadlineError, failed
from guardian.policy.judge import Judge
from guardian.policy.metadata import Catalogue
from guardian.policy.standards import Standards
from guardian.settings import ControlSettings
from tests import policy_support as make

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardian.policy.bundle import Bundle
    from guardian.policy.engine import Judgement
    from guardian.policy.wasm import WasmEngine

DURABILITY = "postgres.durability"


class Counting:
    """The real engine, counting how often each control was asked; while `fails`, none comes to an end."""

    def __init__(self, engine: WasmEngine) -> None:
        self._engine = engine
        self.name, self.version, self.bundle_digest = engine.name, engine.version, engine.bundle_digest
        self.asked: list[str] = []
        self.fails = False

    def judge(
        self, scope: str, controls: Mapping[str, Mapping[str, Any]], document: Mapping[str, Any]
    ) -> Sequence[Judgement]:
        self.asked += controls
        if self.fails:
            return [failed(control, DeadlineError(1.0)) for control in controls]
        return self._engine.judge(scope, controls, document)

    def close(self) -> None:
        raise AssertionError("nobody here opened the engine")


@pytest.fixture
def counting(wasm_engine: WasmEngine) -> Counting:
    return Counting(wasm_engine)


def judge_of(bundle: Bundle, engine: Counting, *, remember: int, **controls: ControlSettings) -> Judge:
    """Return a judge that knows one control."""
    catalogue = Catalogue({DURABILITY: bundle.catalogue.controls[DURABILITY]})
    return Judge(engine, catalogue, Standards.of(catalogue, make.settings(**controls)), remember=remember)


def test_a_verdict_is_remembered_for_the_same_resource_and_parameters(
    policy_bundle: Bundle, counting: Counting
) -> None:
    judge = judge_of(policy_bundle, counting, remember=10)
    first = judge.findings(make.server(), stage="audit", now=make.NOW)
    again = judge.findings(make.server(), stage="audit", now=make.NOW + timedelta(hours=1))
    assert first == again
    assert [(f.control, f.verdict) for f in first] == [(DURABILITY, Verdict.PASS)]
    assert counting.asked == [DURABILITY]


def test_a_changed_resource_is_judged_anew(policy_bundle: Bundle, counting: Counting) -> None:
    judge = judge_of(policy_bundle, counting, remember=10)
    settings = {"fsync": "off", "full_page_writes": "on", "data_checksums": "on", "synchronous_commit": "on"}
    [right] = judge.findings(make.server(), stage="audit", now=make.NOW)
    [wrong] = judge.findings(make.server(settings=settings), stage="audit", now=make.NOW)
    assert (right.verdict, wrong.verdict) == (Verdict.PASS, Verdict.FAIL)


def test_another_tier_has_other_parameters_and_its_own_verdict(policy_bundle: Bundle, counting: Counting) -> None:
    judge = judge_of(policy_bundle, counting, remember=10)
    for tier in (Tier.CRITICAL, Tier.LOW, None):
        judge.findings(make.server(tier=tier), stage="audit", now=make.NOW)
    assert counting.asked == [DURABILITY] * 3  # the tier is in the resource itself


def test_an_evaluation_that_did_not_end_is_not_remembered(policy_bundle: Bundle, counting: Counting) -> None:
    judge = judge_of(policy_bundle, counting, remember=10)
    counting.fails = True
    [broken] = judge.findings(make.server(), stage="audit", now=make.NOW)
    counting.fails = False
    [judged] = judge.findings(make.server(), stage="audit", now=make.NOW)
    assert (broken.verdict, judged.verdict) == (Verdict.ERROR, Verdict.PASS)


def test_no_more_verdicts_are_kept_than_asked_for(policy_bundle: Bundle, counting: Counting) -> None:
    judge = judge_of(policy_bundle, counting, remember=1)
    for name in ("a", "b", "a"):
        judge.findings(make.server(name), stage="audit", now=make.NOW)
    assert counting.asked == [DURABILITY] * 3


def test_nothing_is_remembered_unless_asked_for(policy_bundle: Bundle, counting: Counting) -> None:
    judge = judge_of(policy_bundle, counting, remember=0)
    for _ in range(2):
        judge.findings(make.server(), stage="audit", now=make.NOW)
    assert counting.asked == [DURABILITY] * 2


def test_controls_that_are_off_or_of_another_stage_do_not_judge(policy_bundle: Bundle, counting: Counting) -> None:
    judge = judge_of(policy_bundle, counting, remember=0, postgres_durability=make.off())
    assert judge.findings(make.server(), stage="audit", now=make.NOW) == []
    judge = judge_of(policy_bundle, counting, remember=0)
    assert judge.findings(make.server(), stage="admission", now=make.NOW) == []
    assert counting.asked == []


def test_standards_are_the_same_after_being_written_and_read(policy_bundle: Bundle) -> None:
    settings = make.settings(postgres_durability=ControlSettings(mode={Tier.LOW: Mode.WARN}))
    standards = Standards.of(policy_bundle.catalogue, settings)
    read = Standards.from_json(standards.to_json())
    assert read == standards
    assert read.to_json() == standards.to_json()
    assert read.at(DURABILITY, Tier.LOW).mode is Mode.WARN
    assert read.at(DURABILITY, None) == read.at(DURABILITY, Tier.CRITICAL)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"schema": "guardian/standards/v2"}'])
def test_other_documents_are_no_standards(content: bytes) -> None:
    with pytest.raises(UsageError, match="standards"):
        Standards.from_json(content)


def test_a_catalogue_with_no_control_for_a_kind_has_no_finding(policy_bundle: Bundle, counting: Counting) -> None:
    empty = Catalogue({})
    judge = Judge(counting, empty, Standards.of(empty, make.settings()), remember=1)
    assert judge.findings(make.server(), stage="audit", now=make.NOW) == []
    assert policy_bundle.catalogue.controls
