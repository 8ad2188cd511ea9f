"""Two engines, one verdict: WebAssembly says of every input what OPA's own interpreter says, and never more.

Inputs are drawn: right ones, wrong ones, and ones with facts deleted or replaced by something else. Every control of
the catalogue is compared on samples of its kinds (tests/policy_samples.py); some on inputs made for them besides.
"""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guardian.model import Verdict
from guardian.policy import verdicts
from guardian.policy.build import build_wasm
from guardian.policy.bundle import archive
from guardian.policy.engine import EvaluationError
from guardian.policy.opa import Connection
from guardian.policy.opa_child import Child
from guardian.policy.standards import Standards
from guardian.policy.wasm import PolicyModule
from tests import policy_samples as samples
from tests import policy_support as make
from tests import workload_samples
from tests.policy_samples import DELETE, JUNK, changed, paths

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from guardian.model import Resource
    from guardian.policy.bundle import Bundle
    from guardian.policy.engine import Engine, Judgement
    from guardian.policy.metadata import Control
    from guardian.policy.wasm import WasmEngine

WITHIN_SESSION = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
ROLES = ["app", "anna", "dba", "postgres"]
FLAGS = ["superuser", "createRole", "bypassRls", "replication", "canLogin", "predefined"]


def server_resources() -> st.SearchStrategy[list[Resource]]:
    """One server with drawn settings and overrides."""
    switch = st.sampled_from([*["on"] * 9, "off", "local", "remote_write", "FALSE", "1", None])
    names = ["fsync", "full_page_writes", "data_checksums", "synchronous_commit"]
    complete = st.fixed_dictionaries(dict.fromkeys(names, switch))
    drawn = complete | st.fixed_dictionaries({}, optional=dict.fromkeys(names, switch))
    override = st.fixed_dictionaries(
        {
            "role": st.sampled_from([None, "batch"]),
            "database": st.sampled_from([None, "erp"]),
            "settings": st.dictionaries(st.sampled_from(["synchronous_commit", "work_mem"]), switch),
        }
    )
    overrides = st.none() | st.lists(override, max_size=3)
    return st.builds(lambda found, more: [make.server(settings=found, overrides=more)], drawn, overrides)


def service_resources() -> st.SearchStrategy[list[Resource]]:
    """One service with drawn fields, or a server of a drawn service."""
    names = ["owner", "escalation", "tier", "tenancy", "dataClass", "rtoSeconds", "rpoSeconds", "dependsOn"]
    changes: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
        st.sampled_from(names), st.sampled_from([None, "", "standard", 0, 60, [], ["crm"]])
    )
    services = changes.map(lambda drawn: [make.service(**drawn)])
    owners = st.sampled_from([None, "", "erp-plant1"])
    return services | owners.map(lambda owner: [replace(make.server(), service=owner)])


def role_resources() -> st.SearchStrategy[list[Resource]]:
    """Roles of two servers with drawn rights."""
    rights = st.fixed_dictionaries(
        {flag: st.booleans() for flag in FLAGS}, optional={"canBecome": st.lists(st.sampled_from([*ROLES, "ghost"]))}
    )
    one = st.builds(
        lambda name, server, drawn: make.role(name, server=server, **drawn),
        st.sampled_from(ROLES),
        st.sampled_from(["erp-db", "other"]),
        rights,
    )
    return st.lists(one, max_size=5, unique_by=lambda role: role.id)


AGES = st.sampled_from([-300, 0, 60, 3600, 86400, -301, 86401, 691200, 691201, 99999999, None])


def asset_resources() -> st.SearchStrategy[list[Resource]]:
    """Assets with drawn objectives, backups and drills."""
    objectives = st.sampled_from([None, 0, 60, 3600, 86400])
    levels = st.sampled_from([None, "restored", "sound", "exact"])
    assets = st.builds(
        lambda rto, rpo, level, jobs, plans: make.asset(
            rtoSeconds=rto, rpoSeconds=rpo, assurance=level, backups=jobs, schedules=plans
        ),
        objectives,
        objectives,
        levels,
        st.sampled_from([*[[{"name": "nightly", "everySeconds": 86400}]] * 5, [{"everySeconds": None}], [], None]),
        st.sampled_from([*[[{"job": "drill", "cron": "0 3 * * *", "timeZone": "UTC"}]] * 3, [], None]),
    )
    backups = st.builds(
        lambda age, complete, of: make.backup(of=of, ageSeconds=age, complete=complete),
        AGES,
        st.sampled_from([True, True, False, None]),
        st.sampled_from(["erp", "erp", "crm"]),
    )
    checks = st.lists(st.sampled_from(["filestore.content", "filestore.bijection", "identity"]), unique=True)
    drills = st.builds(
        lambda age, index, verdict, level, seconds, more, taken, lost, passed: make.drill(
            ageSeconds=age,
            backupId=f"taken-{taken}",
            backupAgeSeconds=taken,
            logIndex=index,
            verdict=verdict,
            assurance=level,
            restoreSeconds=seconds,
            estimatedRtoSeconds=None if seconds is None else seconds + more,
            rpoSeconds=lost,
            passedChecks=passed,
            failedChecks=["content.hashes", "filestore.bijection"] if verdict == "fail" else [],
        ),
        AGES,
        st.integers(0, 3),
        st.sampled_from(["pass", "fail", "error"]),
        levels,
        st.sampled_from([None, 0, 12.5, 60, 4000]),
        st.sampled_from([0, 30, 5000]),
        st.sampled_from([7200, 7200, 90000, 400, None]),
        st.sampled_from([None, 0, 60, 3600, 90000]),
        st.just(["filestore.content", "filestore.bijection"]) | checks,
    )
    slots = st.builds(
        lambda age, state, of: make.slot(of=of, ageSeconds=age, state=state, slot=f"drill:{of}@{age}"),
        AGES,
        st.sampled_from(["missed", "absent", "missed", "passed"]),
        st.sampled_from(["erp", "erp", "crm"]),
    )
    return st.builds(
        lambda asset, some, others, missed: [asset, *some, *others, *missed],
        assets,
        st.lists(backups, max_size=3),
        st.lists(drills, max_size=3),
        st.just([]) | st.lists(slots, max_size=2),
    )


def access_resources() -> st.SearchStrategy[list[Resource]]:
    """One server with drawn settings and access rules."""
    places = [
        ("10.0.0.0", "255.0.0.0"),
        ("127.0.0.1", "255.255.255.255"),
        ("samehost", None),
        ("all", None),
        (None, None),
    ]
    listens = st.sampled_from(["*", "*", "localhost", "127.0.0.1, ::1", "127.0.0.x", "", None])
    rule = st.tuples(
        st.sampled_from(["local", "host", "hostssl", "hostssl", "hostssl", "hostgssenc", None]),
        st.sampled_from(["scram-sha-256", "scram-sha-256", "cert", "gss", "md5", "trust", "reject", None]),
        st.sampled_from(places),
        st.sampled_from([None, None, None, "bad line"]),
    )

    def build(listen: str | None, tls: str | None, drawn: list[Any], more: int) -> list[Resource]:
        rules = [
            make.hba_rule(line, type=kind, method=method, address=address, netmask=netmask, error=error)
            for line, (kind, method, (address, netmask), error) in enumerate(drawn, 1)
        ]
        return [make.server(settings={"listen_addresses": listen, "ssl": tls}, hbaRules=len(rules) + more), *rules]

    return st.builds(
        build,
        listens,
        st.sampled_from(["on", "on", "off", None]),
        st.lists(rule, max_size=3),
        st.sampled_from([0, 0, 1]),
    )


WHAT: Mapping[str, st.SearchStrategy[list[Resource]]] = {
    "service.declared": service_resources(),
    "postgres.superusers": role_resources(),
    "postgres.durability": server_resources(),
    "backup.fresh": asset_resources(),
    "backup.restore-tested": asset_resources(),
    "backup.scheduled": asset_resources(),
    "backup.pair-consistent": asset_resources(),
    "recovery.rto": asset_resources(),
    "recovery.rpo": asset_resources(),
    "postgres.transport": access_resources(),
    **workload_samples.WHAT,
}
PARAMS: Mapping[str, Mapping[str, Any]] = {
    "service.declared": {},
    "postgres.superusers": {"allowed": ["postgres"], "owned": {"dba": "team-db"}},
    "postgres.durability": {"synchronousCommit": True},
    "backup.fresh": {"maxAge": 90000, "clockSkew": 300},
    "backup.restore-tested": {"maxAge": 691200},
    "backup.scheduled": {"drills": True},
    "backup.pair-consistent": {},
    "recovery.rto": {},
    "recovery.rpo": {},
    "postgres.transport": {},
    **workload_samples.PARAMS,
}


def document(bundle: Bundle, control: str, resources: list[Resource]) -> dict[str, Any]:
    """Return the input of a control over `resources`, its own params included, as OPA is given it."""
    described = bundle.catalogue.controls[control]
    found = {kind: [entry.to_json() for entry in resources if entry.kind == kind] for kind in described.inputs}
    common = {"now": "2026-11-23T11:00:00Z", "environment": "production"}
    if described.scope == "resource":
        return {**common, "resource": resources[0].to_json(), "params": PARAMS[control]}
    subjects = [entry.id for entry in resources if entry.kind in described.judges]
    params = dict.fromkeys(subjects, PARAMS[control])
    return {**common, "resources": found, "services": {}, "incomplete": [], "params": params}


def judge(engine: Engine, bundle: Bundle, control: str, given: Mapping[str, Any]) -> Judgement:
    """Return what an engine says of one input."""
    rest = {key: value for key, value in given.items() if key != "params"}
    [judgement] = engine.judge(bundle.catalogue.controls[control].scope, {control: given["params"]}, rest)
    return judgement


def written(judgement: Judgement) -> bytes:
    """Return all that a judgement says, as a record would have it: 1 is not 1.0 there. Why it broke, engines word."""
    said = [judgement.control, list(judgement.findings), list(judgement.judged), judgement.error is not None]
    return orjson.dumps(said, option=orjson.OPT_SORT_KEYS)


@pytest.mark.parametrize("control", sorted(WHAT))
def test_findings_are_the_same_in_both_engines(
    control: str, policy_bundle: Bundle, wasm_engine: WasmEngine, opa_engine: Engine
) -> None:
    seen: set[str] = set()

    @settings(max_examples=250, deadline=None, database=None, derandomize=True, suppress_health_check=WITHIN_SESSION)
    @given(WHAT[control])
    def compare(resources: list[Resource]) -> None:
        given_input = document(policy_bundle, control, resources)
        judgement = judge(wasm_engine, policy_bundle, control, given_input)
        assert judgement.error is None
        told = judge(opa_engine, policy_bundle, control, given_input)
        if told.error is not None:  # a builtin failed, which WebAssembly keeps quiet: then there is more than a pass
            assert judgement.findings
            return
        assert written(judgement) == written(told)
        seen.update(finding["verdict"] for finding in judgement.findings)
        seen.update(["pass"] if not judgement.findings else [])

    compare()
    assert {"pass", "fail"} <= seen


GENERATED = 1000
AT_LEAST = 80  # times that each control is asked, however many there are


def standards(bundle: Bundle) -> Standards:
    return Standards.of(bundle.catalogue, make.settings())


def asked(
    bundle: Bundle, draw: random.Random, controls: Sequence[Control], kind: str, *, garble: bool = False
) -> tuple[str, dict[str, Any], dict[str, Any], list[str]]:
    """Return scope, params by control, input, and the ids of the subjects: one drawn crossing, as scan makes it."""
    known = standards(bundle)
    common = {"now": "2026-11-23T11:00:00Z", "environment": "production"}
    if controls[0].scope == "resource":
        resource = samples.generated(draw, kind, garble=garble)
        params = {control.id: known.at(control.id, resource.tier).params for control in controls}
        return "resource", params, {**common, "resource": resource.to_json()}, [resource.id]
    [control] = controls
    estate = samples.estate(draw, control, garble=garble)
    found = {name: [entry.to_json() for entry in estate if entry.kind == name] for name in control.inputs}
    subjects = [entry.id for entry in estate if entry.kind in control.judges]
    by_resource = {entry.id: known.at(control.id, entry.tier).params for entry in estate if entry.id in subjects}
    rest = {
        "resources": found,
        "services": known.services,
        "incomplete": draw.sample(control.inputs, draw.random() < 0.15),
    }
    return "snapshot", {control.id: by_resource}, {**common, **rest}, subjects


def crossings(bundle: Bundle) -> list[tuple[str, list[Control]]]:
    """Return every kind with the resource-scoped controls that judge it, and every snapshot-scoped control alone."""
    controls = bundle.catalogue.controls.values()
    by_kind: dict[str, list[Control]] = {}
    for control in controls:
        for kind in control.judges if control.scope == "resource" else ():
            by_kind.setdefault(kind, []).append(control)
    alone = [(control.judges[0], [control]) for control in controls if control.scope == "snapshot"]
    return [*sorted(by_kind.items(), key=lambda item: item[0]), *alone]


def test_every_kind_that_a_control_reads_has_a_sample(policy_bundle: Bundle) -> None:
    read = {kind for control in policy_bundle.catalogue.controls.values() for kind in control.inputs}
    assert read - set(samples.SAMPLES) == set(), "put a sample of the kind into tests/policy_samples.py"


def test_a_thousand_generated_resources_have_the_same_verdicts_in_both_engines(
    policy_bundle: Bundle, wasm_engine: WasmEngine, opa_engine: Engine
) -> None:
    seen: dict[str, set[str]] = {}
    count = raised = 0
    todo = crossings(policy_bundle)
    for index, (kind, controls) in enumerate(todo):
        draw = random.Random(f"{kind} {controls[0].id}")
        for _ in range(max(AT_LEAST, -(-GENERATED // len(todo)))):
            scope, params, rest, subjects = asked(policy_bundle, draw, controls, kind)
            in_wasm, in_opa = wasm_engine.judge(scope, params, rest), opa_engine.judge(scope, params, rest)
            for judgement, told in zip(in_wasm, in_opa, strict=True):
                if (
                    told.error is not None and judgement.error is None
                ):  # a builtin failed, which WebAssembly keeps quiet
                    raised += 1
                    assert set(verdicts_of(judgement, scope, subjects)) != {Verdict.PASS}
                    continue
                assert written(judgement) == written(told), (index, orjson.dumps([params, rest]))
                seen.setdefault(judgement.control, set()).update(
                    verdict.value for verdict in verdicts_of(judgement, scope, subjects)
                )
            count += len(subjects)
    assert count >= GENERATED
    assert raised < GENERATED / 20
    one_sided = {control: found for control, found in seen.items() if "fail" not in found or found <= {"fail", "error"}}
    assert set(seen) == set(policy_bundle.catalogue.controls)
    assert one_sided == {}, "the samples of its kinds walk one way through the policy only"


def verdicts_of(judgement: Judgement, scope: str, subjects: Sequence[str]) -> list[Verdict]:
    """Return the verdicts that a judgement comes to."""
    if scope == "resource":
        return [outcome.verdict for outcome in verdicts.of_one(judgement, subjects[0]).values()]
    return [outcome.verdict for outcome in verdicts.of_many(judgement, subjects, subjects).values()]


def test_where_strict_opa_raises_on_garbled_resources_webassembly_never_passes(
    policy_bundle: Bundle, wasm_engine: WasmEngine, opa_engine: Engine
) -> None:
    raised = 0
    todo = [(kind, [control]) for kind, controls in crossings(policy_bundle) for control in controls]
    for kind, controls in todo:
        draw = random.Random(f"garbled {kind} {controls[0].id}")
        for _ in range(max(AT_LEAST, -(-2 * GENERATED // len(todo)))):
            scope, params, rest, subjects = asked(policy_bundle, draw, controls, kind, garble=True)
            [judgement], [told] = wasm_engine.judge(scope, params, rest), opa_engine.judge(scope, params, rest)
            if told.error is None:
                assert written(judgement) == written(told), orjson.dumps([params, rest])
            else:
                raised += 1
                assert set(verdicts_of(judgement, scope, subjects)) != {Verdict.PASS}, orjson.dumps([params, rest])
    assert raised > 0


GOOD: Mapping[str, list[Resource]] = {
    "service.declared": [make.service()],
    "postgres.superusers": [
        make.role("anna", canBecome=["staff"]),
        make.role("staff", canLogin=False, superuser=False, replication=True),
        make.role("postgres", superuser=True),
    ],
    "postgres.durability": [
        make.server(overrides=[{"role": "x", "database": None, "settings": {"synchronous_commit": "on"}}])
    ],
    "backup.fresh": [make.asset(), make.backup()],
    "backup.restore-tested": [make.asset(), make.drill(), make.slot()],
    "backup.scheduled": [make.asset()],
    "backup.pair-consistent": [
        make.asset(),
        make.drill(passedChecks=["filestore.content", "filestore.bijection"]),
    ],
    "recovery.rto": [make.asset(), make.drill()],
    "recovery.rpo": [make.asset(), make.drill()],
    "postgres.transport": [
        make.server(settings={"listen_addresses": "*", "ssl": "on"}, hbaRules=2),
        make.hba_rule(1),
        make.hba_rule(2, method="cert"),
    ],
    **workload_samples.GOOD,
}
GOOD_PARAMS = {**PARAMS, "postgres.superusers": {"allowed": ["postgres"], "owned": {"staff": "team"}}}


def good(bundle: Bundle, control: str) -> dict[str, Any]:
    """Return an input on which every subject of the control passes."""
    given_input = document(bundle, control, GOOD[control])
    if bundle.catalogue.controls[control].scope == "snapshot":
        given_input["params"] = dict.fromkeys(given_input["params"], GOOD_PARAMS[control])
    return given_input


def outcomes(engine: WasmEngine, bundle: Bundle, control: str, given_input: Mapping[str, Any]) -> list[Verdict]:
    """Return the verdicts of WebAssembly on the subjects of GOOD, after whatever was done to the input."""
    judgement = judge(engine, bundle, control, given_input)
    described = bundle.catalogue.controls[control]
    subjects = [entry.id for entry in GOOD[control] if entry.kind in described.judges]
    if described.scope == "resource":
        return [verdicts.of_one(judgement, subjects[0])[subjects[0]].verdict]
    return [outcome.verdict for outcome in verdicts.of_many(judgement, subjects, subjects).values()]


@pytest.mark.parametrize("control", sorted(GOOD))
def test_good_input_passes(control: str, policy_bundle: Bundle, wasm_engine: WasmEngine) -> None:
    found = outcomes(wasm_engine, policy_bundle, control, good(policy_bundle, control))
    assert set(found) == {Verdict.PASS}


@pytest.mark.parametrize("control", sorted(GOOD))
def test_of_garbled_good_input_both_engines_say_the_same_and_where_strict_opa_raises_it_never_passes(
    control: str, policy_bundle: Bundle, wasm_engine: WasmEngine, opa_engine: Engine
) -> None:
    base = good(policy_bundle, control)
    places = [path for path in paths(base) if path[0] in {"resource", "resources"}]
    change = st.tuples(st.sampled_from(places), st.sampled_from([DELETE, *JUNK]))
    raised = []

    @settings(max_examples=400, deadline=None, database=None, derandomize=True, suppress_health_check=WITHIN_SESSION)
    @given(st.lists(change, min_size=1, max_size=3))
    def garble(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
        given_input = base
        for path, junk in changes:
            with contextlib.suppress(KeyError, IndexError, TypeError):  # an earlier change took this place away
                given_input = changed(given_input, path, junk)
        judgement = judge(wasm_engine, policy_bundle, control, given_input)
        told = judge(opa_engine, policy_bundle, control, given_input)
        if told.error is None:
            assert written(judgement) == written(told)
        else:
            raised.append(given_input)
            assert set(outcomes(wasm_engine, policy_bundle, control, given_input)) != {Verdict.PASS}

    garble()
    assert raised or control not in RAISING


# Controls that call builtins on what they have not looked at; the others look first, and strict OPA seldom raises.
RAISING = {"postgres.durability", "service.declared"}

CARELESS = b"""package guardian.careless

findings contains "bad" if upper(input.state) == "BAD"
"""


def test_control_that_trusts_a_type_passes_in_webassembly_and_strict_opa_shows_it(opa: Path, tmp_path: Path) -> None:
    (tmp_path / "careless.rego").write_bytes(CARELESS)
    module = PolicyModule(build_wasm(opa, tmp_path, ["guardian/careless/findings"]))
    child = Child(opa, archive({".manifest": b'{"roots":["guardian"]}', "careless.rego": CARELESS}))
    with contextlib.closing(module), contextlib.closing(child):
        assert module.evaluate("guardian/careless/findings", b'{"state": "bad"}') == ["bad"]
        assert module.evaluate("guardian/careless/findings", b'{"state": 7}') == []
        with contextlib.closing(Connection(child.address(), 10)) as server:
            assert server.ask("guardian/careless/findings", {"state": "bad"})["result"] == ["bad"]
            with pytest.raises(EvaluationError, match="operand 1 must be string but got number"):
                server.ask("guardian/careless/findings", {"state": 7})


# What a pass does not rest on, by control: deleting it may leave the pass as it is. A pair: of one kind only.
INDIFFERENT: Mapping[str, AbstractSet[Any]] = {
    "service.declared": {"recovery", "assets"},
    "postgres.superusers": {
        *("createDatabase", "inherit", "connectionLimit", "validUntil", "passwordType", "memberOf", "predefined"),
    },
    "postgres.durability": {"version", "versionNumber", "systemIdentifier", "inRecovery", "port", "role", "database"}
    | {"listen_addresses", "ssl", "hbaRules"},
    "backup.fresh": {
        *("type", "service", "assurance", "rtoSeconds", "recovery", "database", "filestore", "everySeconds"),
        *("job", "format", "backupId", "takenAt", "sizeBytes", "reason", "name", "schedules"),
    },
    "backup.restore-tested": {
        *("type", "service", "rtoSeconds", "rpoSeconds", "recovery", "database", "filestore", "backups"),
        *("backupId", "backupTakenAt", "recordId", "startedOn", "finishedOn", "restoreSeconds", "estimatedRtoSeconds"),
        *("failedChecks", "erredChecks", "passedChecks", "schedules", ("guardian.Drill", "slot")),
        "restoreRegression",
        *(("guardian.Slot", name) for name in ("job", "due", "reason", "recordId", "logIndex")),
    },
    "backup.scheduled": {
        *("type", "service", "assurance", "rtoSeconds", "rpoSeconds", "recovery", "database", "filestore", "format"),
    },
    "backup.pair-consistent": {
        *(
            "service",
            "assurance",
            "rtoSeconds",
            "rpoSeconds",
            "recovery",
            "database",
            "filestore",
            "backups",
            "verdict",
        ),
        *("backupId", "backupTakenAt", "backupAgeSeconds", "recordId", "startedOn", "finishedOn", "restoreSeconds"),
        *("requiredAssurance", "estimatedRtoSeconds", "schedules", "slot", "scope", "restoreRegression"),
    },
    "recovery.rpo": {
        *("type", "service", "assurance", "rtoSeconds", "recovery", "database", "filestore", "backups", "schedules"),
        *("backupId", "backupTakenAt", "backupAgeSeconds", "recordId", "startedOn", "finishedOn", "slot"),
        *("requiredAssurance", "failedChecks", "erredChecks", "passedChecks", "restoreSeconds", "estimatedRtoSeconds"),
        *("scope", "restoreRegression"),
    },
    "postgres.transport": {
        *("version", "versionNumber", "systemIdentifier", "inRecovery", "overrides"),
        *("databases", "users", "options", "file", "line", "netmask"),
    },
    "recovery.rto": {
        *("type", "service", "assurance", "rpoSeconds", "recovery", "database", "filestore", "backups"),
        *("backupId", "backupTakenAt", "backupAgeSeconds", "recordId", "startedOn", "finishedOn", "verdict"),
        *("requiredAssurance", "failedChecks", "erredChecks", "passedChecks", "schedules", "slot"),
        *("scope", "restoreRegression"),
    },
    **workload_samples.INDIFFERENT,
}


# Changes of facts that matter which still leave a true pass: nothing declared, one override or one membership fewer.
STILL_RIGHT = {
    ("postgres.transport", "null", "error"),
    ("backup.fresh", "null", "rpoSeconds"),
    ("backup.fresh", "another type", 0),
    ("backup.restore-tested", "null", "assurance"),
    *(("backup.scheduled", change, "name") for change in ("deleted", "null", "another type")),
    ("postgres.durability", "deleted", 0),
    ("postgres.durability", "deleted", "synchronous_commit"),
    ("postgres.durability", "another type", "settings"),
    ("postgres.superusers", "deleted", 0),
    *workload_samples.STILL_RIGHT,
}


@pytest.mark.parametrize("change", ["deleted", "null", "another type"])
@pytest.mark.parametrize("control", sorted(GOOD))
def test_every_fact_that_a_pass_rests_on_is_needed_for_it(
    control: str, change: str, policy_bundle: Bundle, wasm_engine: WasmEngine
) -> None:
    base = good(policy_bundle, control)
    junk = {"deleted": DELETE, "null": None, "another type": {"surprising": 1}}[change]
    passing = [
        path
        for path in paths(base)
        if "attributes" in path[:-1]
        and INDIFFERENT[control].isdisjoint([*path, (path[1], path[-1])])
        and set(outcomes(wasm_engine, policy_bundle, control, changed(base, path, junk))) == {Verdict.PASS}
    ]
    unexpected = [path for path in passing if (control, change, path[-1]) not in STILL_RIGHT or len(path) < 4]
    assert unexpected == []
