"""What is said where bubblewrap cannot isolate: the engine by its traces, the reasons from /proc, and the ways out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from verifiers.sandbox import surroundings
from verifiers.sandbox.surroundings import Surroundings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("trace", "environ", "engine"),
    [
        (None, {}, None),
        (".dockerenv", {}, "docker"),
        ("run/.containerenv", {}, "podman"),
        (None, {"container": "podman"}, "podman"),
        (None, {"container": "a b"}, None),
        (".dockerenv", {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
    ],
)
def test_engine_is_told_by_its_traces(
    trace: str | None, environ: dict[str, str], engine: str | None, tmp_path: Path
) -> None:
    if trace:
        (tmp_path / trace).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / trace).touch()
    assert surroundings.container(root=tmp_path, environ=environ) == engine


def test_what_is_refused_here_is_explained_by_the_limits_that_are_set(tmp_path: Path) -> None:
    files = {
        "proc/sys/user/max_user_namespaces": "0\n",
        "proc/sys/kernel/unprivileged_userns_clone": "0\n",
        "proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1\n",
        "proc/self/status": "Name:\tpython\nSeccomp:\t2\nSeccomp_filters:\t1\n",
        "proc/self/mountinfo": "1 0 0:1 / / rw - overlay o rw\n2 1 0:2 / /proc/kcore rw - tmpfs t rw\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert surroundings.why(tmp_path) == (
        "user.max_user_namespaces is 0, kernel.unprivileged_userns_clone is 0, "
        "kernel.apparmor_restrict_unprivileged_userns is 1, a seccomp filter is in force, parts of /proc are masked"
    )
    assert surroundings.why(tmp_path / "nothing") == ""


def test_what_works_here_is_not_called_refused() -> None:
    around = surroundings.look(environ={})
    assert (around.refused == ()) == ("allows user namespaces" in around.summary())


def test_remedy_names_the_choice() -> None:
    inside = Surroundings("podman", ("user namespaces",), "a seccomp filter is in force")
    assert inside.summary() == (
        "this container (podman) refuses user namespaces (a seccomp filter is in force), "
        "so no restore can be isolated here"
    )
    for way_out in ("deploy/image/seccomp.json", "sandbox.provider: none", "sandbox.acceptNone"):
        assert way_out in inside.remedy()
    assert "run as a user other than root" in Surroundings("docker", ("namespaces to root",), "", root=True).remedy()
    outside = Surroundings(None, ("user namespaces",), "user.max_user_namespaces is 0")
    assert "user.max_user_namespaces" in outside.remedy()
    assert "container" not in outside.summary() + outside.remedy()
