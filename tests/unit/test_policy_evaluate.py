"""What becomes of a snapshot: judged by the real controls in the real engine, and by policies that misbehave."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jsonschema
import orjson
import pytest

from guardian.errors import ConfigError
from guardian.model import Mode, Tier, Verdict
from guardian.policy.engine import Judgement
from guardian.policy.evaluate import evaluate
from guardian.policy.metadata import Catalogue
from guardian.policy.standards import Standards
from guardian.schemas import __name__ as schemas_package
from guardian.settings import ControlSettings
from tests import policy_support as make

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardian.model import ControlSummary, Evaluation, Finding, Snapshot
    from guardian.policy.bundle import Bundle
    from guardian.policy.engine import Engine
    from guardian.policy.wasm import WasmEngine


class Judge:
    """Evaluates with the real catalogue; the engine and settings can be others."""

    def __init__(self, bundle: Bundle, engine: Engine) -> None:
        self.bundle, self.engine = bundle, engine

    def __call__(self, snapshot: Snapshot, **controls: ControlSettings) -> Evaluation:
        settings = make.settings(snapshot.environment, **controls)
        return evaluate(
            snapshot,
            engine=self.engine,
            catalogue=self.bundle.catalogue,
            standards=Standards.of(self.bundle.catalogue, settings),
        )


@pytest.fixture
def judge(policy_bundle: Bundle, wasm_engine: WasmEngine) -> Judge:
    return Judge(policy_bundle, wasm_engine)


def verdicts(evaluation: Evaluation, control: str) -> dict[str, str]:
    return {finding.resource: finding.verdict.value for finding in evaluation.findings if finding.control == control}


def finding(evaluation: Evaluation, control: str, resource: str) -> Finding:
    [found] = [entry for entry in evaluation.findings if (entry.control, entry.resource) == (control, resource)]
    return found


def summary(evaluation: Evaluation, control: str) -> ControlSummary:
    [found] = [entry for entry in evaluation.summaries if entry.control == control]
    return found


WHOLE = (
    make.service(),
    make.asset(),
    make.backup(),
    make.drill(),
    make.server(),
    make.role("postgres", superuser=True),
    make.role("old_admin", superuser=True),
    make.role("app"),
    make.role("pg_monitor", canLogin=False),
)


def test_planted_superuser_fails_and_everything_else_is_right(judge: Judge) -> None:
    evaluation = judge(make.snapshot(*WHOLE))
    wrong = {(entry.control, entry.resource) for entry in evaluation.findings if entry.verdict is not Verdict.PASS}
    assert wrong == {
        ("postgres.superusers", "pg:erp-db/role/old_admin"),
        ("postgres.superusers", "pg:erp-db/role/pg_monitor"),
    }
    assert finding(evaluation, "postgres.superusers", "pg:erp-db/role/old_admin").verdict is Verdict.FAIL
    assert finding(evaluation, "postgres.superusers", "pg:erp-db/role/pg_monitor").verdict is Verdict.SKIP
    assert summary(evaluation, "postgres.superusers").counts == {
        Verdict.PASS: 2,
        Verdict.FAIL: 1,
        Verdict.ERROR: 0,
        Verdict.SKIP: 1,
    }
    assert summary(evaluation, "postgres.superusers").population == 4


def test_same_snapshot_gives_the_same_bytes_whatever_the_order_it_came_in(judge: Judge) -> None:
    def told(resources: Sequence[Any]) -> bytes:
        return orjson.dumps([entry.to_json() for entry in judge(make.snapshot(*resources)).findings])

    resources = [
        *WHOLE,
        make.role("b", superuser=True),
        make.role("a", replication=True),
        make.server("z", settings={}),
    ]
    first = told(resources)
    for seed in range(5):
        random.Random(seed).shuffle(resources)
        assert told(resources) == first


def test_findings_are_sorted_and_every_finding_is_valid_by_its_schema(judge: Judge) -> None:
    evaluation = judge(make.snapshot(*WHOLE, make.unreadable("postgres", "erp-db", "postgres.Server")))
    order = [(entry.control, entry.resource) for entry in evaluation.findings]
    assert order == sorted(order)
    validator = jsonschema.Draft202012Validator(_schema())
    for entry in evaluation.findings:
        validator.validate(orjson.loads(orjson.dumps(entry.to_json())))
    assert {entry.verdict.value for entry in evaluation.findings} == {"pass", "fail", "error", "skip"}
    broken = evaluation.findings[0].to_json() | {"verdict": "maybe"}
    assert not validator.is_valid(broken)


def _schema() -> Any:
    from importlib import resources

    return orjson.loads((resources.files(schemas_package) / "finding.schema.json").read_bytes())


def test_control_whose_collector_is_not_configured_is_out_of_scope(judge: Judge) -> None:
    evaluation = judge(make.snapshot(make.service(), make.asset(), collectors=["declared", "records"]))
    for control in ("postgres.superusers", "postgres.durability"):
        assert verdicts(evaluation, control) == {}
        assert summary(evaluation, control).scope == "out of scope"
        assert "no collector is configured" in summary(evaluation, control).reason
        assert summary(evaluation, control).population == 0
    assert summary(evaluation, "service.declared").scope == "judged"


def test_asset_fails_freshness_where_no_backup_is_configured_at_all(judge: Judge) -> None:
    evaluation = judge(make.snapshot(make.asset(backups=[]), collectors=["declared", "records"]))
    entry = finding(evaluation, "backup.fresh", "declared:production/asset/erp")
    assert entry.verdict is Verdict.FAIL
    assert "no backup is configured" in entry.message


def test_configured_and_empty_passes_with_population_nothing(judge: Judge) -> None:
    evaluation = judge(make.snapshot(collectors=["declared", "records", "postgres"]))
    found = summary(evaluation, "postgres.superusers")
    assert (found.scope, found.population, sum(found.counts.values())) == ("judged", 0, 0)


def test_kind_that_could_not_be_read_is_an_error_on_its_collection_error(judge: Judge) -> None:
    evaluation = judge(make.snapshot(*WHOLE, make.unreadable("postgres", "erp-db", "postgres.Server")))
    identity = "error:postgres/erp-db/postgres.Server"
    entry = finding(evaluation, "postgres.durability", identity)
    assert entry.verdict is Verdict.ERROR
    assert entry.message == "postgres.Server could not be read: connection refused: port 5432"
    assert identity in verdicts(evaluation, "service.declared")
    assert identity not in verdicts(evaluation, "postgres.superusers")
    assert summary(evaluation, "postgres.durability").counts[Verdict.ERROR] == 1


def test_failed_collector_is_an_error_even_when_it_stated_none(judge: Judge) -> None:
    evaluation = judge(make.snapshot(make.service(), collectors=["declared", "postgres"], failed=["postgres"]))
    assert verdicts(evaluation, "postgres.superusers") == {"error:postgres/erp-db/postgres.Role": "error"}
    assert verdicts(evaluation, "postgres.durability") == {"error:postgres/erp-db/postgres.Server": "error"}


def test_unreadable_records_leave_no_asset_tested(judge: Judge) -> None:
    lost = make.unreadable("records", "production", "guardian.Drill")
    evaluation = judge(make.snapshot(make.asset(), make.backup(), make.drill(), lost))
    for control in ("backup.restore-tested", "recovery.rto"):
        assert set(verdicts(evaluation, control).values()) == {"error"}
        assert len(verdicts(evaluation, control)) == 2
    assert verdicts(evaluation, "backup.fresh") == {"declared:production/asset/erp": "pass"}


def test_control_that_is_off_is_not_evaluated_and_listed_as_off(judge: Judge) -> None:
    evaluation = judge(make.snapshot(*WHOLE), postgres_superusers=make.off())
    assert verdicts(evaluation, "postgres.superusers") == {}
    found = summary(evaluation, "postgres.superusers")
    assert (found.scope, found.population) == ("off", 0)


def test_control_that_is_off_for_one_tier_judges_the_others_with_all_the_context(judge: Judge) -> None:
    dba = make.role("dba", superuser=True, canLogin=False, tier=Tier.LOW)
    anna = make.role("anna", canBecome=["dba"], tier=Tier.CRITICAL)
    evaluation = judge(make.snapshot(dba, anna), postgres_superusers=make.off(Tier.LOW))
    assert verdicts(evaluation, "postgres.superusers") == {"pg:erp-db/role/anna": "fail"}
    assert summary(evaluation, "postgres.superusers").population == 1


def test_error_of_a_source_has_the_sternest_mode_and_is_told_though_some_tiers_are_off(judge: Judge) -> None:
    lost = make.unreadable("postgres", "erp-db", "postgres.Role")
    modes = ControlSettings(mode={Tier.CRITICAL: Mode.OFF, Tier.STANDARD: Mode.WARN, Tier.LOW: Mode.AUDIT})
    evaluation = judge(make.snapshot(lost), postgres_superusers=modes)
    [entry] = [entry for entry in evaluation.findings if entry.control == "postgres.superusers"]
    assert (entry.verdict, entry.mode) == (Verdict.ERROR, Mode.WARN)


def test_resource_without_service_or_tier_is_judged_as_critical(judge: Judge) -> None:
    settings = {"fsync": "on", "full_page_writes": "on", "data_checksums": "on", "synchronous_commit": "off"}
    servers = [make.server(name, tier=tier, settings=settings) for name, tier in _TIERS.items()]
    evaluation = judge(make.snapshot(*servers))
    assert verdicts(evaluation, "postgres.durability") == {
        "pg:critical/server": "fail",
        "pg:low/server": "pass",
        "pg:none/server": "fail",
        "pg:standard/server": "pass",
    }
    modes = {entry.resource: entry.mode for entry in evaluation.findings if entry.control == "postgres.durability"}
    assert modes["pg:none/server"] is modes["pg:critical/server"] is Mode.DENY
    assert modes["pg:low/server"] is Mode.WARN


_TIERS = {"critical": Tier.CRITICAL, "standard": Tier.STANDARD, "low": Tier.LOW, "none": None}


@pytest.mark.parametrize(
    ("environment", "age", "verdict"),
    [
        ("production", 8 * 86400 + 1, "fail"),
        ("staging", 8 * 86400 + 1, "pass"),
        ("staging", 32 * 86400 + 1, "fail"),
        ("development", 32 * 86400 + 1, "pass"),
        ("plant-3", 8 * 86400 + 1, "fail"),
    ],
)
def test_cadence_follows_the_environment(judge: Judge, environment: str, age: int, verdict: str) -> None:
    snapshot = make.snapshot(make.asset(), make.drill(ageSeconds=age), environment=environment)
    assert list(verdicts(judge(snapshot), "backup.restore-tested").values()) == [verdict]


def test_guardian_yaml_overrides_a_threshold_for_all_tiers_or_for_one(judge: Judge) -> None:
    old = make.snapshot(make.asset(), make.drill(ageSeconds=20 * 86400))
    assert list(verdicts(judge(old), "backup.restore-tested").values()) == ["fail"]
    for value in ("30d", {"critical": "30d"}):
        evaluation = judge(old, backup_restore__tested=ControlSettings(params={"maxAge": value}))
        assert list(verdicts(evaluation, "backup.restore-tested").values()) == ["pass"]
    evaluation = judge(old, backup_restore__tested=ControlSettings(params={"maxAge": {"low": "30d"}}))
    assert list(verdicts(evaluation, "backup.restore-tested").values()) == ["fail"]


def test_settings_that_name_unknown_parameters_stop_the_evaluation(judge: Judge) -> None:
    with pytest.raises(ConfigError, match="did you mean maxAge"):
        judge(make.snapshot(), backup_fresh=ControlSettings(params={"maxAgee": "1d"}))


def test_garbled_resource_is_an_error_of_its_own(judge: Judge) -> None:
    garbled = replace(make.server("bad"), attributes={"settings": 7})
    evaluation = judge(make.snapshot(garbled, make.server("good")))
    assert verdicts(evaluation, "postgres.durability") == {"pg:bad/server": "error", "pg:good/server": "pass"}


def test_evaluation_names_what_it_was_made_with(judge: Judge) -> None:
    evaluation = judge(make.snapshot())
    assert evaluation.bundle_digest == judge.bundle.digest
    assert evaluation.engine == "wasm"
    assert evaluation.engine_version


class Saying:
    """An engine that says what a test tells it to, of one control; silent, so content, about the others."""

    name, version, bundle_digest = "saying", "1", "0" * 64

    def __init__(self, control: str, says: Mapping[str, Any]) -> None:
        self.control, self.says = control, says
        self.documents: list[Mapping[str, Any]] = []

    def judge(
        self, scope: str, controls: Mapping[str, Mapping[str, Any]], document: Mapping[str, Any]
    ) -> Sequence[Judgement]:
        """Answer as told."""
        self.documents.append(document)
        everything = {"findings": (), "judged": [role["id"] for role in document.get("resources", {}).get(_ROLE, ())]}
        return [
            Judgement(control, **{**everything, **(self.says if control == self.control else {})})
            for control in controls
            if scope
        ]

    def close(self) -> None:
        """Hold nothing."""


_ROLE = "postgres.Role"
_APP, _BEN = "pg:erp-db/role/app", "pg:erp-db/role/ben"


def said(policy_bundle: Bundle, **says: Any) -> dict[str, str]:
    """Return the verdicts on two roles where the policy of superusers says this."""
    engine = Saying("postgres.superusers", says)
    snapshot = make.snapshot(make.role("app"), make.role("ben"))
    return verdicts(Judge(policy_bundle, engine)(snapshot), "postgres.superusers")


def remark(resource: Any, verdict: Any = "fail") -> dict[str, Any]:
    return {"resource": resource, "verdict": verdict, "message": "so", "expected": None, "observed": None}


def test_judged_without_finding_is_a_pass_and_not_judged_is_an_error(policy_bundle: Bundle) -> None:
    assert said(policy_bundle) == {_APP: "pass", _BEN: "pass"}
    assert said(policy_bundle, judged=[_APP]) == {_APP: "pass", _BEN: "error"}
    assert said(policy_bundle, judged=[]) == {_APP: "error", _BEN: "error"}


def test_policy_can_say_fail_error_and_skip_but_never_pass(policy_bundle: Bundle) -> None:
    for verdict in ("fail", "error", "skip"):
        assert said(policy_bundle, findings=[remark(_APP, verdict)]) == {_APP: verdict, _BEN: "pass"}
    for strange in ("pass", "FAIL", "", None, ["fail"]):
        assert said(policy_bundle, findings=[remark(_APP, strange)]) == {_APP: "error", _BEN: "pass"}


@pytest.mark.parametrize("resource", ["pg:erp-db/role/ghost", "pg:erp-db/server", "", None, 7])
def test_finding_on_what_was_not_judged_makes_everything_it_said_an_error(policy_bundle: Bundle, resource: Any) -> None:
    assert said(policy_bundle, findings=[remark(resource)]) == {_APP: "error", _BEN: "error"}


def test_claim_to_have_judged_something_else_makes_everything_it_said_an_error(policy_bundle: Bundle) -> None:
    for stranger in ("pg:erp-db/server", 7, None):
        assert said(policy_bundle, judged=[_APP, _BEN, stranger]) == {_APP: "error", _BEN: "error"}


def test_finding_without_form_is_an_error_of_its_resource(policy_bundle: Bundle) -> None:
    for broken in ({"message": ""}, {"message": 7}, {"more": 1}):
        assert said(policy_bundle, findings=[remark(_APP) | broken]) == {_APP: "error", _BEN: "pass"}
    assert said(policy_bundle, findings=["fail"]) == {_APP: "error", _BEN: "error"}


def test_of_several_findings_on_one_resource_the_worst_counts(policy_bundle: Bundle) -> None:
    several = [remark(_APP, "skip"), remark(_APP, "fail"), remark(_APP, "error")]
    assert said(policy_bundle, findings=several)[_APP] == "fail"
    assert said(policy_bundle, findings=[remark(_APP, "skip"), remark(_APP, "error")])[_APP] == "error"


def test_evaluation_that_failed_is_an_error_for_each_resource_with_its_reason(policy_bundle: Bundle) -> None:
    engine = Saying("postgres.superusers", {"error": "evaluation exceeded its deadline of 10 s", "judged": ()})
    evaluation = Judge(policy_bundle, engine)(make.snapshot(make.role("app")))
    entry = finding(evaluation, "postgres.superusers", _APP)
    assert (entry.verdict, entry.message) == (Verdict.ERROR, "evaluation exceeded its deadline of 10 s")


def test_two_findings_on_one_resource_become_one_with_both_messages(policy_bundle: Bundle) -> None:
    two = [remark(_APP) | {"message": "b", "observed": 2}, remark(_APP) | {"message": "a", "observed": 1}]
    engine = Saying("postgres.superusers", {"findings": two})
    entry = finding(Judge(policy_bundle, engine)(make.snapshot(make.role("app"))), "postgres.superusers", _APP)
    assert (entry.message, entry.observed) == ("a; b", [1, 2])


def test_policies_see_the_moment_of_the_snapshot_and_only_kinds_they_named(policy_bundle: Bundle) -> None:
    engine = Saying("", {})
    Judge(policy_bundle, engine)(make.snapshot(*WHOLE))
    assert {document["now"] for document in engine.documents} == {"2026-11-23T11:00:00Z"}
    kinds = [set(document["resources"]) for document in engine.documents if "resources" in document]
    assert kinds == [
        {"guardian.Asset", "backup.Backup"},
        {"guardian.Asset", "guardian.Drill"},
        {"guardian.Asset", "guardian.Drill", "guardian.Slot"},
        {"postgres.Role"},
        {"postgres.HbaRule", "postgres.Server"},
        {"guardian.Asset", "guardian.Drill"},
        {"guardian.Asset", "guardian.Drill"},
    ]


def test_resource_crosses_into_the_engine_once_for_all_its_controls(policy_bundle: Bundle) -> None:
    engine = Saying("", {})
    Judge(policy_bundle, engine)(make.snapshot(make.server(), make.service()))
    crossed = [document["resource"]["id"] for document in engine.documents if "resource" in document]
    assert sorted(crossed) == ["declared:production/service/erp-plant1", "pg:erp-db/server"]


def test_control_that_cannot_tell_what_is_incomplete_judges_nothing_on_a_partial_context(
    policy_bundle: Bundle, wasm_engine: WasmEngine
) -> None:
    controls = dict(policy_bundle.catalogue.controls)
    controls["backup.fresh"] = replace(controls["backup.fresh"], uses=())
    snapshot = make.snapshot(make.asset(), make.backup(), make.unreadable("backups", "production", "backup.Backup"))
    evaluation = evaluate(
        snapshot,
        engine=wasm_engine,
        catalogue=Catalogue(controls),
        standards=Standards.of(Catalogue(controls), make.settings()),
    )
    entry = finding(evaluation, "backup.fresh", "declared:production/asset/erp")
    assert entry.verdict is Verdict.ERROR
    assert entry.message == "could not be judged: backup.Backup could not all be read"


def test_services_are_given_in_the_attributes_of_their_resources() -> None:
    from guardian.model import Recovery, Service

    declared = Service("erp-plant1", owner="ops", tier=Tier.LOW, rto_s=60, recovery=Recovery(1, 2, None), depends_on=())
    given = declared.to_json()
    assert set(given) == set(make.service().attributes)
    assert given["recovery"] == {"detectSeconds": 1, "decideSeconds": 2, "redirectSeconds": None}
    assert given["dependsOn"] == []
    assert Service("x").to_json()["dependsOn"] is None
