"""Users' own Rego is compiled at load, judged beside the bundled controls, and can change none of them."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from guardian.errors import ConfigError, GuardianError
from guardian.model import Mode, Severity, Tier, Verdict
from guardian.policy import build, compiled_cache, users
from guardian.policy.build import BuildError
from guardian.policy.engines import open_engine
from guardian.policy.evaluate import evaluate
from guardian.policy.judge import Judge
from guardian.policy.standards import Standards
from guardian.settings import ControlSettings, EngineSettings, Settings
from tests import policy_support as make

if TYPE_CHECKING:
    from guardian.policy.bundle import Bundle

OWN = """# METADATA
# scope: package
# title: Servers are named by the plan
# description: The name of a server begins with the prefix of our plan.
# related_resources:
#   - ref: https://intranet.example/naming
# custom:
#   id: naming.server-prefix
#   scope: resource
#   severity: low
#   remediation: Rename the collector in guardian.yaml.
#   inputs: [postgres.Server]
#   frameworks:
#     iso-27001-2022: [A.8.9]
#   stages: [audit, admission]
#   uses: []
package guardian.naming.server_prefix

import future.keywords.not

import data.guardian.lib.naming
import data.guardian.lib.outcome

findings contains finding if {
	finding := verdict
	finding.verdict != "pass"
}

verdict := outcome.proved if {
	some prefix in input.params.prefixes
	startswith(naming.plain(input.resource.source.name), prefix)
} else := outcome.fail(input.resource.id, "is not named by the plan", input.params.prefixes, name) if {
	name := input.resource.source.name
	is_string(input.resource.source.name)
} else := outcome.unknown(input.resource.id)
"""
LIBRARY = """# METADATA
# scope: package
# title: Names
package guardian.lib.naming

plain(name) := lower(name)
"""
TEST = """package guardian.naming.server_prefix_test

import data.guardian.naming.server_prefix

test_right_name_passes if {
	count(server_prefix.findings) == 0 with input as {
		"resource": {"id": "a", "source": {"name": "ERP-db"}}, "params": {"prefixes": ["erp-"]},
	}
}
"""
PARAMS = """naming.server-prefix:
  mode: {production: deny, staging: warn, development: "off", other: audit}
  params:
    prefixes: {type: texts, about: prefixes of the plan, value: [erp-]}
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "guardian"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with one control, its library, its test and its defaults."""
    folder = tmp_path / "own policies"
    for name, text in {
        "naming/server_prefix.rego": OWN,
        "naming/server_prefix_test.rego": TEST,
        "lib/naming.rego": LIBRARY,
        "params.yaml": PARAMS,
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def settings(own: Path, opa: Path) -> Settings:
    """Settings that name the folder."""
    return replace(make.settings(), policies=own, engine=EngineSettings(command=opa))


def test_own_control_is_in_the_catalogue_beside_the_bundled_ones(settings: Settings, policy_bundle: Bundle) -> None:
    loaded = users.load(settings)
    assert set(loaded.catalogue.controls) - set(policy_bundle.catalogue.controls) == {"naming.server-prefix"}
    own = loaded.catalogue.controls["naming.server-prefix"]
    assert (own.severity, own.scope, own.stages) == (Severity.LOW, "resource", ("audit", "admission"))
    assert loaded.digest != policy_bundle.digest


def test_without_a_folder_the_bundle_is_the_one_that_ships(policy_bundle: Bundle) -> None:
    assert users.load(make.settings()).digest == policy_bundle.digest


@pytest.mark.parametrize("engine", ["wasm", "opa"])
def test_own_control_is_judged_beside_the_bundled_ones_in_both_engines(settings: Settings, engine: str) -> None:
    settings = replace(settings, engine=replace(settings.engine, type=engine))
    loaded = users.load(settings)
    standards = Standards.of(loaded.catalogue, settings)
    snapshot = make.snapshot(make.server("erp-db"), make.server("other"))
    with contextlib.closing(open_engine(settings.engine, loaded)) as opened:
        evaluation = evaluate(snapshot, engine=opened, catalogue=loaded.catalogue, standards=standards)
        judge = Judge(opened, loaded.catalogue, standards)
        admitted = judge.findings(make.server("other"), stage="admission", now=make.NOW)
    assert evaluation.engine == engine
    verdicts = {(found.control, found.resource): found.verdict for found in evaluation.findings}
    assert verdicts["naming.server-prefix", "pg:erp-db/server"] is Verdict.PASS
    assert verdicts["naming.server-prefix", "pg:other/server"] is Verdict.FAIL
    assert verdicts["postgres.durability", "pg:erp-db/server"] is Verdict.PASS
    assert [(found.control, found.verdict, found.mode) for found in admitted] == [
        ("naming.server-prefix", Verdict.FAIL, Mode.DENY)
    ]


def test_guardian_yaml_sets_mode_and_parameters_of_an_own_control(settings: Settings) -> None:
    stated = ControlSettings(mode={None: Mode.WARN}, params={"prefixes": ["other"]})
    settings = replace(settings, controls={"naming.server-prefix": stated})
    standards = Standards.of(users.load(settings).catalogue, settings)
    resolved = standards.at("naming.server-prefix", Tier.CRITICAL)
    assert (resolved.mode, resolved.params) == (Mode.WARN, {"prefixes": ["other"]})


def test_digest_covers_every_byte_of_the_users_files(settings: Settings, own: Path) -> None:
    first = users.load(settings).digest
    assert users.load(settings).digest == first
    for name in ("lib/naming.rego", "params.yaml"):
        with (own / name).open("a") as file:
            file.write("# a remark\n" if name.endswith(".rego") else "\n")
    second = users.load(settings).digest
    assert second != first
    (own / "params.yaml").write_text(PARAMS.replace("warn", "audit"))
    assert users.load(settings).digest not in {first, second}


def test_second_load_compiles_nothing_and_gives_the_same_bundle(
    settings: Settings, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = users.load(settings)
    [entry] = cache.iterdir()
    assert cache.stat().st_mode & 0o777 == 0o700
    assert entry.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(build, "compile_sources", None)  # would fail
    assert users.load(settings) == first


@pytest.mark.parametrize("damage", ["cut", "flipped", "reworded", "empty", "another's"])
def test_damaged_cache_entry_is_compiled_again(settings: Settings, own: Path, cache: Path, damage: str) -> None:
    first = users.load(settings)
    [entry] = cache.iterdir()
    content = entry.read_bytes()
    if damage == "another's":
        (own / "params.yaml").write_text(PARAMS.replace("erp-", "crm-"))
        users.load(settings)
        [other] = [path for path in cache.iterdir() if path != entry]
        content = other.read_bytes()
        (own / "params.yaml").write_text(PARAMS)
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    reworded = content.replace(b"Rename the collector", b"Retain the collector")
    assert reworded != content
    damaged = {"cut": content[:-1], "flipped": flipped, "reworded": reworded, "empty": b"", "another's": content}
    entry.write_bytes(damaged[damage])
    assert users.load(settings) == first
    assert compiled_cache.recall(first.sources, first.opa_version) == first


def test_cache_that_others_may_write_is_not_used(settings: Settings, cache: Path) -> None:
    cache.mkdir(parents=True, mode=0o700)
    cache.chmod(0o777)
    assert "naming.server-prefix" in users.load(settings).catalogue.controls
    assert list(cache.iterdir()) == []


def test_machine_without_a_place_for_a_cache_compiles_each_time(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert users.load(settings) == users.load(settings)


def test_cache_keeps_the_newest_entries_only(
    settings: Settings, own: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled_cache, "KEPT", 2)
    for number in range(3):
        (own / "params.yaml").write_text(PARAMS + "#" * number)
        loaded = users.load(settings)
        compiled_cache.keep(replace(loaded.sources, params=b"%d" % number), "x", _files(loaded))
    assert len(list(cache.iterdir())) == 2


def test_what_was_read_off_the_bundled_controls_is_what_would_be_read_off_them_again(
    settings: Settings, policy_bundle: Bundle, opa: Path
) -> None:
    sources = users.load(settings).sources
    assert build.compile_sources(sources, opa) == build.compile_sources(sources, opa, known=policy_bundle)
    changed = replace(policy_bundle, source_digest="0" * 64, entries=[])
    assert build.compile_sources(sources, opa, known=changed) == build.compile_sources(sources, opa)


def _files(bundle: Bundle) -> dict[str, bytes]:
    return {"manifest.json": b"{}", "policy.wasm": bundle.wasm}


def test_without_opa_the_message_says_how_to_get_one(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match="no opa program on PATH: install Open Policy Agent"):
        users.load(replace(settings, engine=EngineSettings()))
    with pytest.raises(BuildError, match="no opa program at /nowhere/opa"):
        users.load(replace(settings, engine=EngineSettings(command=Path("/nowhere/opa"))))


def test_own_policies_mounted_as_a_configmap_are_read(settings: Settings, own: Path, tmp_path: Path) -> None:
    mounted = tmp_path / "mounted"
    shutil.copytree(own, mounted / "..2026_11_23")
    (mounted / "..data").symlink_to("..2026_11_23")
    for name in ("naming", "lib", "params.yaml"):
        (mounted / name).symlink_to(f"..data/{name}")
    assert users.load(replace(settings, policies=mounted)).digest == users.load(settings).digest


SHIPPED = "package guardian.postgres.durability\n\nfindings := set()\n"
EXTRA_DEFAULTS = PARAMS + "postgres.durability:\n  mode: {production: audit}\n  params: {}\n"
REFUSED: dict[str, tuple[dict[str, str | None], str]] = {
    "a bundled control": ({"postgres/durability.rego": SHIPPED}, "durability.rego: this control or library ships"),
    "a bundled library": (
        {"lib/outcome.rego": "package guardian.lib.outcome\n"},
        "outcome.rego: this control or library",
    ),
    "defaults of a bundled control": ({"params.yaml": EXTRA_DEFAULTS}, "params.yaml: postgres.durability ships with"),
    "another package": (
        {"naming/server_prefix.rego": OWN.replace("package guardian.naming.server_prefix", SHIPPED.splitlines()[0])},
        "naming/server_prefix.rego: package guardian.postgres.durability belongs in postgres/durability.rego",
    ),
    "a library in another package": (
        {"lib/naming.rego": LIBRARY.replace("lib.naming", "lib.outcome")},
        "lib/naming.rego: package guardian.lib.outcome belongs in lib/outcome.rego",
    ),
    "no package of Guardian's": (
        {"naming/server_prefix.rego": OWN.replace("package guardian.", "package system.")},
        "naming/server_prefix.rego: package system.naming.server_prefix belongs in no policy of Guardian",
    ),
    "another id": (
        {"naming/server_prefix.rego": OWN.replace("id: naming.server-prefix", "id: postgres.durability")},
        "control postgres.durability: its package must be guardian.postgres.durability",
    ),
    "the dispatcher": (
        {"dispatch/resource.rego": "package guardian.dispatch.resource\n"},
        "dispatch/resource.rego: a control",
    ),
    "the digest": (
        {"bundle/digest.rego": "package guardian.bundle.digest\n"},
        "bundle/digest.rego: a control of yours",
    ),
    "the compiled folder": (
        {"compiled/x.rego": "package guardian.compiled.x\n"},
        "compiled/x.rego: a control of yours",
    ),
    "a file at the top": ({"x.rego": "package guardian.x\n"}, "x.rego: a control of yours belongs in <family>/<name>"),
    "a file too deep": ({"a/b/c.rego": "package guardian.a.b.c\n"}, "a/b/c.rego: a control of yours belongs in"),
    "a strange name": ({"naming/Server-X.rego": "package guardian.naming.x\n"}, "Server-X.rego: a control of yours"),
    "syntax": (
        {"naming/server_prefix.rego": OWN.replace("verdict := outcome.proved if {", "verdict := := {")},
        "naming/server_prefix.rego:29: rego_parse_error",
    ),
    "an undefined function": (
        {"naming/server_prefix.rego": OWN.replace("startswith(", "begins_with(")},
        "naming/server_prefix.rego:31: rego_type_error: undefined function begins_with",
    ),
    "the clock": (
        {"lib/naming.rego": LIBRARY.replace("lower(name)", "[name, time.now_ns()]")},
        "lib/naming.rego:6: rego_type_error: undefined function time.now_ns",
    ),
    "the network": (
        {"lib/naming.rego": LIBRARY.replace("lower(name)", 'http.send({"method": "get", "url": name})')},
        "undefined function http.send",
    ),
    "no metadata": (
        {"naming/server_prefix.rego": OWN[: OWN.index("# related")] + OWN[OWN.index("\npackage") + 1 :]},
        "the annotation `related_resources` is missing",
    ),
    "no defaults": ({"params.yaml": None}, "states no defaults for"),
    "no defaults of this control": (
        {"params.yaml": "{}\n"},
        "put there, under its id:\nnaming.server-prefix:\n  mode:",
    ),
    "defaults of nothing": (
        {"params.yaml": PARAMS + PARAMS.replace("server-prefix", "ghost")},
        "params.yaml names controls that do not exist: ['naming.ghost']",
    ),
    "defaults that are no YAML": ({"params.yaml": "a: [\n"}, "params.yaml"),
    "defaults that are a list": ({"params.yaml": "[1]\n"}, "params.yaml: expected a mapping"),
    "a wrong mode": ({"params.yaml": PARAMS.replace("deny", "block")}, "naming.server-prefix.mode.production"),
    "a huge file": ({"lib/naming.rego": LIBRARY + "#" * users.FILE_BYTES}, "naming.rego is larger than"),
    "malformed metadata": (
        {"naming/server_prefix.rego": OWN.replace("severity: low", "severity: [low]")},
        "the metadata of a control, or its defaults, are malformed",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_rego_that_may_not_be_is_refused_naming_the_file(name: str, settings: Settings, own: Path) -> None:
    changes, told = REFUSED[name]
    for path, text in changes.items():
        (own / path).parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            (own / path).unlink()
        else:
            (own / path).write_text(text)
    with pytest.raises(ConfigError) as refused:
        users.load(settings)
    assert told in str(refused.value)
    assert str(own) in str(refused.value)


def test_folder_that_is_missing_or_empty_is_refused(settings: Settings, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ConfigError, match="is not a folder"):
        users.load(replace(settings, policies=tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="has no Rego in it"):
        users.load(replace(settings, policies=empty))


def test_builtin_that_webassembly_lacks_is_refused_by_name_there_and_works_in_opa(
    settings: Settings, own: Path
) -> None:
    (own / "lib" / "naming.rego").write_text(LIBRARY.replace("lower(name)", 'regex.replace(name, "^ERP", "erp")'))
    loaded = users.load(settings)
    with pytest.raises(GuardianError, match=r"regex\.replace, which this engine does not provide"):
        open_engine(settings.engine, loaded)
    with contextlib.closing(open_engine(replace(settings.engine, type="opa"), loaded)) as engine:
        document = {"resource": make.server("ERP-db").to_json()}
        [judgement] = engine.judge("resource", {"naming.server-prefix": {"prefixes": ["erp-"]}}, document)
    assert (judgement.error, judgement.findings) == (None, [])
