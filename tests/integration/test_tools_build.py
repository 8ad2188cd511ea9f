"""The builder of test tools: pinned, cached by the digest of its source, safe when several run at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools import build

SCRIPT = Path(build.__file__)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the builder as `make` does."""
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=250, env=os.environ | environment, check=False
    )


def test_opa_of_the_pinned_version_is_built_once_and_then_found_at_once(opa: Path) -> None:
    ran = run("opa")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == f"{opa}\n"
    version = subprocess.run([opa, "version"], capture_output=True, text=True, timeout=30, check=True).stdout
    assert version.startswith("Version: 1.20.")
    assert "Rego Version: v1" in version


def test_changed_pin_is_another_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GUARDIAN_TOOLS", str(tmp_path / "tools"))
    monkeypatch.setattr(build, "OPA_SOURCE", tmp_path / "opa")
    asked: list[Path] = []

    def note(_version: str, target: Path) -> None:
        asked.append(target)
        target.touch()

    monkeypatch.setattr(build, "_build", note)
    (tmp_path / "opa").mkdir()
    for name in ("go.mod", "go.sum", "main.go"):
        (tmp_path / "opa" / name).write_bytes((SCRIPT.parent / "opa" / name).read_bytes())
    first = build._built("1.20.2")
    assert build._built("1.20.2") == first
    (tmp_path / "opa" / "go.sum").write_text("other\n")
    assert build._built("1.20.2") != first
    assert len(asked) == 2


def test_opa_on_path_is_used_only_in_the_pinned_minor_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(build, "_built", lambda version: Path(f"/built/{version}"))
    monkeypatch.setenv("PATH", str(tmp_path))
    program = tmp_path / "opa"
    for says, expected in {
        "Version: 1.20.9": program,
        "Version: 1.21.0": Path("/built/1.20.2"),
        "Version: 1.2.0": Path("/built/1.20.2"),
        "nonsense": Path("/built/1.20.2"),
    }.items():
        program.write_text(f"#!/bin/sh\necho '{says}'\n")
        program.chmod(0o755)
        assert build.opa_path() == expected


def test_second_process_waits_until_the_first_is_done_or_dead(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.tools import build\n"
        "with build._lock(Path(sys.argv[1]), what='x'):\n"
        "    print('got it', flush=True); sys.stdin.readline()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "x.lock")]
    pipe, root = subprocess.PIPE, SCRIPT.parents[2]
    with subprocess.Popen(command, cwd=root, stdin=pipe, stdout=pipe, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "got it\n"
        with subprocess.Popen(command, cwd=root, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as second:
            assert second.stderr is not None
            assert "waiting for another process that is making x" in second.stderr.readline()
            first.kill()  # the kernel lets go of a dead holder's lock
            assert second.communicate("\n", timeout=60)[0] == "got it\n"


def test_failed_build_leaves_nothing_behind_and_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = tmp_path / "opa"
    source.mkdir()
    (source / "go.mod").write_text(f"module x\n\nrequire {build.OPA_MODULE} v1.20.2\n")
    (source / "go.sum").write_text("")
    (source / "main.go").write_text("package main\n\nfunc main() { this is not go }\n")
    tools = tmp_path / "tools"
    monkeypatch.setenv("GUARDIAN_TOOLS", str(tools))
    monkeypatch.setattr(build, "OPA_SOURCE", source)
    go = tmp_path / "go"
    go.write_text('#!/bin/sh\n[ "$1" = version ] && echo go version go1.26.0 x/y && exit\necho broken >&2\nexit 1\n')
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(build.BuildError, match="failed with exit 1:\nbroken"):
        build._built("1.20.2")
    assert [path.name for path in tools.iterdir() if not path.name.endswith(".lock")] == []


def test_unknown_tool_is_refused_with_the_usage() -> None:
    ran = run("postgres")
    assert ran.returncode == 2
    assert "usage: python tests/tools/build.py opa" in ran.stderr
