"""The builder of test tools: pinned, cached by the digest of its source, safe when several run at once."""

from __future__ import annotations

import dataclasses
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


def test_every_tool_is_of_the_version_that_its_go_mod_pins() -> None:
    ran = run(*build.TOOLS)
    assert ran.returncode == 0, ran.stderr
    for name, path in zip(build.TOOLS, ran.stdout.split(), strict=True):
        tool = build.TOOLS[name]
        version = build.version_of(tool, Path(path))
        assert version is not None
        assert version.rsplit(".", 1)[0] == tool.pinned().rsplit(".", 1)[0]
        assert build.installed(name) == build.tool_path(name) == Path(path)
    assert {name: tool.pinned().rsplit(".", 1)[0] for name, tool in build.TOOLS.items()} == {
        "opa": "1.20",
        "etcd": "3.6",
        "kube-apiserver": "1.36",
    }


def test_changed_pin_is_another_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GUARDIAN_TOOLS", str(tmp_path / "tools"))
    tool = dataclasses.replace(build.TOOLS["opa"], source=tmp_path / "opa")
    asked: list[Path] = []

    def note(_tool: build.Tool, target: Path) -> None:
        asked.append(target)
        target.touch()

    monkeypatch.setattr(build, "_build", note)
    (tmp_path / "opa").mkdir()
    for name in ("go.mod", "go.sum", "main.go"):
        (tmp_path / "opa" / name).write_bytes((SCRIPT.parent / "opa" / name).read_bytes())
    first = build._built(tool)
    assert build._built(tool) == first
    (tmp_path / "opa" / "go.sum").write_text("other\n")
    assert build._built(tool) != first
    assert len(asked) == 2


@pytest.mark.parametrize("place", ["PATH", "tools folder"])
@pytest.mark.parametrize(
    ("name", "says", "used"),
    [
        ("opa", "Version: 1.20.9", True),
        ("opa", "Version: 1.21.0", False),
        ("opa", "Version: 1.2.0", False),
        ("opa", "nonsense", False),
        ("etcd", "etcd Version: 3.6.99", True),
        ("etcd", "etcd Version: 3.5.99", False),
        ("kube-apiserver", "Kubernetes v1.36.99", True),
        ("kube-apiserver", "Kubernetes v1.36.99+k3s1", True),
        ("kube-apiserver", "Kubernetes v1.3.6", False),
    ],
)
def test_program_that_is_here_is_used_only_in_the_pinned_minor_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str, name: str, says: str, used: bool
) -> None:
    monkeypatch.setattr(build, "_built", lambda tool: Path(f"/built/{tool.name}"))
    folders = {"PATH": tmp_path / "path", "tools folder": tmp_path / "tools"}
    monkeypatch.setenv("PATH", str(folders["PATH"]))
    monkeypatch.setenv("GUARDIAN_TOOLS", str(folders["tools folder"]))
    for folder in folders.values():
        folder.mkdir()
    program = folders[place] / name
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    assert build.tool_path(name) == (program if used else Path(f"/built/{name}"))
    assert build.installed(name) == (program if used else None)


def test_second_process_waits_until_the_first_is_done_or_dead(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.tools import golang\n"
        "with golang.lock(Path(sys.argv[1]), what='x'):\n"
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
    tool = dataclasses.replace(build.TOOLS["opa"], source=source)
    (source / "go.mod").write_text(f"module x\n\nrequire {tool.module} v1.20.2\n")
    (source / "go.sum").write_text("")
    (source / "main.go").write_text("package main\n\nfunc main() { this is not go }\n")
    tools = tmp_path / "tools"
    monkeypatch.setenv("GUARDIAN_TOOLS", str(tools))
    go = tmp_path / "go"
    go.write_text('#!/bin/sh\n[ "$1" = version ] && echo go version go1.26.0 x/y && exit\necho broken >&2\nexit 1\n')
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(build.BuildError, match="failed with exit 1:\nbroken"):
        build._built(tool)
    assert [path.name for path in tools.iterdir() if not path.name.endswith(".lock")] == []


def test_unknown_tool_is_refused_with_the_usage() -> None:
    for arguments in (["postgres"], ["opa", "postgres"], []):
        ran = run(*arguments)
        assert (ran.returncode, ran.stdout) == (2, "")
        assert "usage: python tests/tools/build.py NAME..., each one of opa, etcd, kube-apiserver" in ran.stderr


def test_program_that_says_another_version_than_its_pin_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GUARDIAN_TOOLS", str(tmp_path / "tools"))
    fake = tmp_path / "go"
    fake.write_text(
        '#!/bin/sh\n[ "$1" = version ] && echo go version go1.26.0 x/y && exit\n'
        'while [ "$1" != -o ]; do shift; done\n'
        'printf "#!/bin/sh\\necho etcd Version: 3.6.0\\n" > "$2"; chmod 755 "$2"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(build.BuildError, match=r"etcd just built says it is 3\.6\.0, expected version"):
        build._built(build.TOOLS["etcd"])
    assert [path.name for path in (tmp_path / "tools").iterdir() if not path.name.endswith(".lock")] == []


def test_file_opens_as_a_program_wherever_it_is_called_from(tmp_path: Path) -> None:
    """It finds its own package, whatever the working folder holds."""
    (tmp_path / "tests").mkdir()
    command = [sys.executable, str(SCRIPT)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, "usage" in ran.stderr) == (2, True)
