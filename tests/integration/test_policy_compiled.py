"""The compiled policies that ship are what their sources compile to, and compiling is reproducible."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from guardian.errors import GuardianError
from guardian.policy import build
from guardian.policy.build import POLICIES, BuildError, compile_sources, read_sources
from guardian.policy.bundle import Sources

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of policies/ that a test may change."""
    return shutil.copytree(POLICIES, tmp_path / "some" / "other" / "place" / "policies")


def test_committed_bundle_is_what_its_sources_compile_to(opa: Path) -> None:
    assert build.main(["--check", "--opa", str(opa)]) == 0


def test_same_sources_give_the_same_bytes_in_another_place(opa: Path, copied: Path) -> None:
    assert compile_sources(read_sources(copied), opa) == compile_sources(read_sources(POLICIES), opa)


def test_check_names_what_is_stale_and_how_to_mend_it(
    opa: Path, copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rego = copied / "postgres" / "durability.rego"
    rego.write_text(rego.read_text().replace('"fsync", "full_page_writes"', '"fsync"', 1))
    assert build.main(["--check", "--opa", str(opa), "--policies", str(copied)]) == 1
    told = capsys.readouterr().err
    assert "policy.wasm differs" in told
    assert "make bundle" in told
    assert build.main(["--opa", str(opa), "--policies", str(copied)]) == 0
    assert build.main(["--check", "--opa", str(opa), "--policies", str(copied)]) == 0


def test_check_sees_a_threshold_that_changed_and_a_file_too_many(
    opa: Path, copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = copied / "params.yaml"
    params.write_text(params.read_text().replace("25h", "24h", 1))
    (copied / "compiled" / "extra.rego").write_text("package extra\n")
    assert build.main(["--check", "--opa", str(opa), "--policies", str(copied)]) == 1
    told = capsys.readouterr().err
    assert "manifest.json differs" in told
    assert "extra.rego does not belong there" in told


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("#   uses: []", "#   uses: [now]"), "uses says ['now'], but its Rego reads [] of input"),
        (("input.params.synchronousCommit == true", "input.now == true"), "but its Rego reads ['now'] of input"),
        (("#   id: postgres.durability", "#   id: postgres.durable"), "its package must be guardian.postgres.durable"),
        (("#   severity: critical", "#   severity: dire"), "severity must be one of"),
        (("#   inputs: [postgres.Server]", "#   inputs: []"), "inputs must name the resource kinds"),
        (("import future.keywords.not\n", ""), "uses `not` without `import future.keywords.not`"),
        (("server := input.resource.attributes", "server := input[input.kind]"), "or a key of it that is computed"),
        (('"%s is %s"', '"%5s is %s"'), "only %s, %d, %v and %% in it"),
        (('"%s is %s"', '"%s is %s %s"'), "needs an array of 3 arguments"),
        (("package guardian.postgres.durability", "package guardian.postgres.other"), "belongs in postgres/other.rego"),
    ],
)
def test_untrue_or_unsafe_control_does_not_compile(opa: Path, change: tuple[str, str], complaint: str) -> None:
    sources = read_sources(POLICIES)
    name = "postgres/durability.rego"
    text = sources.modules[name].decode()
    assert change[0] in text
    changed = Sources({**sources.modules, name: text.replace(*change).encode()}, sources.params)
    with pytest.raises(GuardianError) as refused:
        compile_sources(changed, opa)
    assert complaint in str(refused.value)


def test_library_that_reads_input_does_not_compile(opa: Path) -> None:
    sources = read_sources(POLICIES)
    spy = b"package guardian.lib.spy\n\nenvironment := input.environment\n"
    with pytest.raises(BuildError, match="must be given what it needs"):
        compile_sources(Sources({**sources.modules, "lib/spy.rego": spy}, sources.params), opa)


def test_rego_that_opa_refuses_is_reported_with_opas_words(
    opa: Path, copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copied / "postgres" / "durability.rego").write_text("package guardian.postgres.durability\n\nx := ")
    assert build.main(["--opa", str(opa), "--policies", str(copied)]) == 2
    assert "rego_parse_error" in capsys.readouterr().err
