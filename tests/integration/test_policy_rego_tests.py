"""The tests beside the controls hold in both engines: under `opa test`, and compiled to WebAssembly."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import orjson
import pytest

from guardian.policy.build import POLICIES, build_wasm, read_sources, run_opa
from guardian.policy.wasm import PolicyModule

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rego of policies/ with its tests, and nothing else."""
    folder = tmp_path_factory.mktemp("policies")
    for path in POLICIES.rglob("*.rego"):
        relative = path.relative_to(POLICIES)
        if relative.parts[0] != "compiled":
            (folder / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / relative)
    return folder


def opa_results(opa: Path, sources: Path) -> dict[str, bool]:
    """Return by entry point whether each test passed under opa."""
    entries = orjson.loads(run_opa(opa, ["test", "--format", "json", "--timeout", "60s", "."], sources))
    return {
        f"{entry['package'].removeprefix('data.').replace('.', '/')}/{entry['name']}": not entry.get("fail", False)
        for entry in entries
    }


def test_every_rego_test_passes_in_opa_and_in_webassembly(opa: Path, sources: Path) -> None:
    in_opa = opa_results(opa, sources)
    module = PolicyModule(build_wasm(opa, sources, sorted(in_opa)))
    in_wasm = {name: module.evaluate(name, b"{}") is True for name in in_opa}
    module.close()
    assert len(in_opa) > 60
    assert [name for name, passed in in_opa.items() if not passed] == []
    assert [name for name, passed in in_wasm.items() if not passed] == []


def test_every_control_and_library_that_computes_has_a_test_beside_it() -> None:
    without = [
        name
        for name in read_sources(POLICIES).modules
        if not name.startswith("lib/") and not (POLICIES / name.replace(".rego", "_test.rego")).exists()
    ]
    assert without == []
    assert (POLICIES / "lib" / "duration_test.rego").exists()


def test_rego_is_formatted_as_opa_formats_it(opa: Path, sources: Path) -> None:
    assert run_opa(opa, ["fmt", "--list", "."], sources) == ""
