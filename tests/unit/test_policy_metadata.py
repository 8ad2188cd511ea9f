"""Controls say of themselves what is complete and true, and settings name only what exists."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from guardian.errors import ConfigError, GuardianError
from guardian.model import Mode, Tier
from guardian.policy import bundle as bundles
from guardian.policy.metadata import Catalogue, MetadataError
from guardian.policy.params import parse_duration
from guardian.settings import ControlSettings
from tests import policy_support as make

if TYPE_CHECKING:
    from guardian.policy.bundle import Bundle

ENTRY: dict[str, Any] = {
    "package": ["guardian", "backup", "restore_tested"],
    "reads": ["now"],
    "kinds": ["guardian.Asset"],
    "annotations": {
        "title": "T",
        "description": "D",
        "related_resources": [{"ref": "https://example.org"}],
        "custom": {
            "id": "backup.restore-tested",
            "scope": "snapshot",
            "severity": "high",
            "remediation": "do this",
            "inputs": ["guardian.Asset", "guardian.Drill"],
            "judges": ["guardian.Asset"],
            "frameworks": {"dora": ["12(2)"]},
            "stages": ["audit"],
            "uses": ["now"],
        },
    },
}
EVERYWHERE = dict.fromkeys(("production", "staging", "development", "other"), "warn")
DEFAULTS: dict[str, Any] = {"mode": EVERYWHERE, "params": {}}


def entry(**custom: Any) -> dict[str, Any]:
    changed = copy.deepcopy(ENTRY)
    for key, value in custom.items():
        if value is None:
            del changed["annotations"]["custom"][key]
        else:
            changed["annotations"]["custom"][key] = value
    return changed


def catalogue(*entries: dict[str, Any], defaults: Any = None) -> Catalogue:
    return Catalogue.from_entries(entries, {"backup.restore-tested": DEFAULTS if defaults is None else defaults})


def test_complete_control_is_accepted() -> None:
    assert list(catalogue(entry()).controls) == ["backup.restore-tested"]


@pytest.mark.parametrize("key", sorted(ENTRY["annotations"]["custom"]))
def test_each_annotation_is_required(key: str) -> None:
    with pytest.raises(GuardianError, match=key if key != "id" else "guardian"):
        catalogue(entry(**{key: None}))


@pytest.mark.parametrize("key", ["title", "description", "related_resources"])
def test_each_annotation_for_people_is_required(key: str) -> None:
    changed = copy.deepcopy(ENTRY)
    del changed["annotations"][key]
    with pytest.raises(MetadataError, match=f"`{key}` is missing"):
        catalogue(changed)


@pytest.mark.parametrize(
    ("custom", "complaint"),
    [
        ({"scope": "cluster"}, "scope must be one of"),
        ({"scope": "resource"}, "needs `custom.judges`"),
        ({"severity": "dire"}, "severity must be one of"),
        ({"stages": []}, "stages must be some of"),
        ({"stages": ["audit", "later"]}, "stages must be some of"),
        ({"uses": []}, r"uses says \[\], but its Rego reads \['now'\]"),
        ({"uses": ["now", "request"]}, "but its Rego reads"),
        ({"uses": ["moon"]}, "uses must be some of"),
        ({"inputs": ["guardian.Drill"]}, "judges must be some of its inputs"),
        ({"inputs": ["guardian.Drill"], "judges": ["guardian.Drill"]}, "kinds that inputs does not name"),
        ({"frameworks": {"hearsay": ["1"]}}, "frameworks are"),
        ({"frameworks": {"dora": []}}, "without clauses"),
        ({"frameworks": {}}, "frameworks are"),
        ({"remediation": " "}, "remediation must say what to do"),
        ({"id": "backup.tested"}, "its package must be guardian.backup.tested"),
        ({"mood": "good"}, "unknown custom annotations"),
    ],
)
def test_untrue_or_unknown_annotations_are_refused(custom: dict[str, Any], complaint: str) -> None:
    with pytest.raises(MetadataError, match=complaint):
        catalogue(entry(**custom))


def test_same_control_twice_and_defaults_of_no_control_are_refused() -> None:
    with pytest.raises(MetadataError, match="there twice"):
        catalogue(entry(), entry())
    with pytest.raises(MetadataError, match="do not exist"):
        Catalogue.from_entries([], {"backup.restore-tested": DEFAULTS})


@pytest.mark.parametrize(
    ("defaults", "complaint"),
    [
        ({"mode": EVERYWHERE}, "exactly `mode` and `params`"),
        ({"mode": {"production": "warn"}, "params": {}}, "a value for each of production"),
        ({"mode": EVERYWHERE | {"production": {"critical": "deny"}}, "params": {}}, "for each of critical"),
        ({"mode": EVERYWHERE | {"production": "shout"}, "params": {}}, "shout"),
        ({"mode": EVERYWHERE, "params": {"x": {"type": "duration", "about": "a", "value": 5}}}, "with its unit"),
        ({"mode": EVERYWHERE, "params": {"x": {"type": "age", "about": "a", "value": "5d"}}}, "expected a `type`"),
        ({"mode": EVERYWHERE, "params": {"x": {"type": "duration", "value": "5d"}}}, "and `about`"),
        ({"mode": EVERYWHERE, "params": {"x": {"type": "duration", "about": "a"}}}, "either `value` or `values`"),
    ],
)
def test_defaults_with_gaps_or_wrong_types_are_refused(defaults: Any, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        catalogue(entry(), defaults=defaults)


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("90m", 5400), ("25h", 90000), ("8d", 691200), ("2w", 1209600)]
)
def test_duration_is_read_with_its_unit(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "8", "d", "1.5h", "-1h", "8 d", "8D", "1h30m", 8, None, True, "٣h"])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="with its unit"):
        parse_duration(text)


def test_each_default_gives_a_value_for_every_environment_and_tier(policy_bundle: Bundle) -> None:
    for control in policy_bundle.catalogue.controls.values():
        for environment in (*EVERYWHERE, "plant-3"):
            for tier in (*Tier, None):
                resolved = policy_bundle.catalogue.resolve(control, tier, environment, make.settings(environment))
                assert isinstance(resolved.mode, Mode)
                assert set(resolved.params) == set(control.parameters)


def test_mode_of_a_tier_goes_before_the_mode_of_all_and_that_before_the_default(policy_bundle: Bundle) -> None:
    control = policy_bundle.catalogue.controls["postgres.durability"]
    stated = ControlSettings(mode={None: Mode.AUDIT, Tier.LOW: Mode.OFF})
    settings = make.settings(postgres_durability=stated)

    def mode(tier: Tier | None) -> Mode:
        return policy_bundle.catalogue.resolve(control, tier, "production", settings).mode

    assert [mode(tier) for tier in (Tier.CRITICAL, Tier.LOW, None)] == [Mode.AUDIT, Mode.OFF, Mode.AUDIT]
    only_low = make.settings(postgres_durability=ControlSettings(mode={Tier.LOW: Mode.OFF}))
    assert policy_bundle.catalogue.resolve(control, Tier.CRITICAL, "production", only_low).mode is Mode.DENY


@pytest.mark.parametrize(
    ("controls", "complaint"),
    [
        ({"backup_fresch": {}}, "controls.backup.fresch: no such control; did you mean backup.fresh?"),
        (
            {"backup_fresh": {"maxage": "1d"}},
            "controls.backup.fresh.params.maxage: no such parameter; did you mean maxAge?",
        ),
        ({"service_declared": {"zzz": 1}}, "controls.service.declared.params.zzz: no such parameter; it has none"),
        ({"backup_fresh": {"maxAge": 7}}, "controls.backup.fresh.params.maxAge: expected a whole number with its unit"),
        ({"backup_fresh": {"maxAge": {"critcal": "1d"}}}, "expected tiers (critical, standard, low)"),
        ({"backup_fresh": {"maxAge": {"critical": 1}}}, "expected a whole number with its unit"),
        ({"postgres_superusers": {"allowed": "postgres"}}, "params.allowed: expected a list of names"),
        ({"postgres_superusers": {"owned": ["x"]}}, "params.owned: expected a mapping of name to owner"),
        ({"postgres_durability": {"synchronousCommit": "on"}}, "params.synchronousCommit: expected true or false"),
        ({"workload_resources": {"maxMemory": "8 GB"}}, "params.maxMemory: expected a Kubernetes quantity, such as"),
        ({"workload_resources": {"maxCpu": {"critical": -1}}}, "params.maxCpu: expected a Kubernetes quantity"),
        ({"workload_pod__security": {"level": "none"}}, "level: expected one of privileged, baseline, restricted"),
        ({"workload_pod__security": {"namespaces": {"erp": "x"}}}, "expected one of privileged, baseline, restricted"),
        ({"workload_pod__security": {"namespaces": "erp"}}, "namespaces: expected a mapping of namespace to level"),
    ],
)
def test_setting_of_what_does_not_exist_or_of_a_wrong_type_is_refused_with_the_way_out(
    policy_bundle: Bundle, controls: dict[str, dict[str, Any]], complaint: str
) -> None:
    stated = {name: ControlSettings(params=params, where="guardian.yaml:7: ") for name, params in controls.items()}
    with pytest.raises(ConfigError) as refused:
        policy_bundle.catalogue.check(make.settings(**stated))
    assert complaint in str(refused.value)
    assert str(refused.value).startswith("guardian.yaml:7: ")


def test_all_mistakes_are_told_at_once(policy_bundle: Bundle) -> None:
    stated = make.settings(
        nothing_here=ControlSettings(), backup_fresh=ControlSettings(params={"a": 1, "maxAge": "soon"})
    )
    with pytest.raises(ConfigError) as refused:
        policy_bundle.catalogue.check(stated)
    assert len(str(refused.value).splitlines()) == 3


def test_right_settings_are_accepted(policy_bundle: Bundle) -> None:
    stated = make.settings(
        backup_fresh=ControlSettings(params={"maxAge": {"critical": "2h"}, "clockSkew": "1m"}),
        postgres_superusers=ControlSettings(params={"allowed": ["postgres", "dba"], "owned": {"low": "team"}}),
    )
    policy_bundle.catalogue.check(stated)
    control = policy_bundle.catalogue.controls["postgres.superusers"]
    resolved = policy_bundle.catalogue.resolve(control, Tier.CRITICAL, "production", stated)
    assert resolved.params == {"allowed": ["postgres", "dba"], "owned": {"low": "team"}}


def test_every_framework_clause_is_the_catalogues(policy_bundle: Bundle) -> None:
    clauses = {name: control["frameworks"] for name, control in policy_bundle.catalogue.describe().items()}
    nist, iso, soc, dora = "nist-800-53r5", "iso-27001-2022", "soc2", "dora"
    assert clauses == {
        "backup.fresh": {nist: ["CP-9"], iso: ["A.8.13"], soc: ["A1.2"]},
        "backup.immutable": {nist: ["CP-9", "AU-9"], iso: ["A.8.13"]},
        "backup.pair-consistent": {nist: ["CP-9(1)", "SI-7(1)"], iso: ["A.8.13"]},
        "backup.restore-tested": {nist: ["CP-4", "CP-9(1)"], iso: ["A.5.30", "A.8.13"], soc: ["A1.3"], dora: ["12(2)"]},
        "backup.scheduled": {nist: ["CP-9"], iso: ["A.8.13"], soc: ["A1.2"], dora: ["12(1)"]},
        "iam.backup-deletion-path": {nist: ["AC-5", "CP-9"], iso: ["A.8.13"], dora: ["12"]},
        "iam.key-age": {nist: ["IA-5"], iso: ["A.5.17"], soc: ["CC6.1"]},
        "iam.mfa": {nist: ["IA-2(2)"], iso: ["A.8.5"], soc: ["CC6.1"], "pci-dss-v4": ["8.4"]},
        "iam.root": {nist: ["AC-6(5)", "IA-2(1)"], iso: ["A.8.2"], soc: ["CC6.1"]},
        "iam.wildcard": {nist: ["AC-6"], iso: ["A.8.2"], soc: ["CC6.3"], "pci-dss-v4": ["7.2"]},
        "network.database-reach": {nist: ["SC-7", "AC-4"], iso: ["A.8.22"], soc: ["CC6.6"]},
        "network.default-deny": {nist: ["SC-7(5)"], iso: ["A.8.22"], soc: ["CC6.6"], "pci-dss-v4": ["1.3"]},
        "network.open-ingress": {nist: ["SC-7(5)"], iso: ["A.8.20"], soc: ["CC6.6"], "pci-dss-v4": ["1.3"]},
        "network.public-data": {nist: ["AC-3", "SC-7"], iso: ["A.8.3"], soc: ["CC6.6"]},
        "postgres.durability": {nist: ["SI-7(1)"], iso: ["A.8.13"]},
        "postgres.superusers": {nist: ["AC-6(5)"], iso: ["A.8.2"], soc: ["CC6.3"]},
        "postgres.transport": {nist: ["SC-8(1)"], iso: ["A.8.24"], soc: ["CC6.7"], "pci-dss-v4": ["4.2"]},
        "rbac.cluster-admin": {nist: ["AC-6(5)"], iso: ["A.8.2"], soc: ["CC6.3"]},
        "rbac.wildcard": {nist: ["AC-6"], iso: ["A.8.2"]},
        "recovery.rpo": {nist: ["CP-2", "CP-10(4)"], iso: ["A.5.30"], soc: ["A1.3"], dora: ["12(6)"]},
        "recovery.rto": {nist: ["CP-2", "CP-10(4)"], iso: ["A.5.30"], soc: ["A1.3"], dora: ["12(6)"]},
        "service.declared": {nist: ["CP-2(8)", "PM-11"], iso: ["A.5.30"]},
        "workload.image-digest": {nist: ["CM-2", "CM-14"], iso: ["A.8.9"], soc: ["CC8.1"]},
        "workload.pod-security": {nist: ["AC-6", "CM-6"], iso: ["A.8.9"]},
        "workload.replicas": {nist: ["CP-10"], iso: ["A.8.14"], soc: ["A1.2"]},
        "workload.resources": {nist: ["SC-5"], iso: ["A.8.6"], soc: ["A1.1"]},
    }


def files() -> tuple[dict[str, Any], bytes]:
    from importlib import resources

    folder = resources.files("policies") / "compiled"
    manifest: dict[str, Any] = orjson.loads((folder / "manifest.json").read_bytes())
    return manifest, (folder / "policy.wasm").read_bytes()


def test_bundle_whose_module_was_changed_by_one_bit_is_refused() -> None:
    manifest, wasm = files()
    changed = bytes([*wasm[:-1], wasm[-1] ^ 1])
    with pytest.raises(bundles.BundleError, match="damaged"):
        bundles.parse(bundles.manifest_bytes(manifest), changed)


def test_bundle_digest_covers_module_parameters_metadata_and_data() -> None:
    manifest, wasm = files()
    digests = {bundles.parse(bundles.manifest_bytes(manifest), wasm).digest}
    for key, value in {"wasmDigest": None, "data": {"a": 1}, "sourceDigest": "x", "opaVersion": "x"}.items():
        changed = {**manifest, key: value}
        if value is not None:
            digests.add(bundles.parse(bundles.manifest_bytes(changed), wasm).digest)
    changed = copy.deepcopy(manifest)
    changed["defaults"]["backup.fresh"]["params"]["clockSkew"]["value"] = "6m"
    digests.add(bundles.parse(bundles.manifest_bytes(changed), wasm).digest)
    changed = copy.deepcopy(manifest)
    changed["controls"][0]["annotations"]["title"] = "Other"
    digests.add(bundles.parse(bundles.manifest_bytes(changed), wasm).digest)
    assert len(digests) == 6


@pytest.mark.parametrize(
    "manifest_file", [b"", b"[]", b"{}", b'{"schema": "guardian/bundle/v2"}', b'{"schema": "guardian/bundle/v1"}']
)
def test_manifest_of_another_form_is_refused(manifest_file: bytes) -> None:
    with pytest.raises(bundles.BundleError):
        bundles.parse(manifest_file, b"")


def test_manifest_that_lacks_something_is_refused_by_name() -> None:
    manifest, wasm = files()
    for key in ("controls", "defaults", "data", "opaVersion", "sourceDigest"):
        lacking = {name: value for name, value in manifest.items() if name != key}
        with pytest.raises(bundles.BundleError, match=key):
            bundles.parse(bundles.manifest_bytes(lacking), wasm)
