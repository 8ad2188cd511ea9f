"""What the image is built with is what the lock file, the Makefile and the tests are built with."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.tools import image
from tests.tools.build import TOOLS
from tests.tools.golang import GO_MINIMUM, GO_WHEEL, GO_WHEEL_HASHES

ROOT = image.ROOT
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def pinned(name: str) -> dict[str, str]:
    """The text after each pinned `name==version` of deploy/image/NAME.txt, hashes and all."""
    text = (ROOT / "deploy/image" / f"{name}.txt").read_text("utf-8")
    found = re.findall(r"^([a-z0-9-]+==\S+)((?: \\\n\s+--hash=sha256:[0-9a-f]{64})+)$", text, re.MULTILINE)
    assert len(found) == len(re.findall("==", text)), f"{name}.txt has a line without hashes"
    return dict(found)


def test_uv_is_the_one_of_the_makefile() -> None:
    version = re.search(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert version
    assert list(pinned("uv")) == [f"uv=={version[1]}"]


def test_go_is_the_one_of_the_tests_with_the_same_hashes() -> None:
    ((wheel, hashes),) = pinned("go").items()
    assert wheel == GO_WHEEL
    assert [digest for digest in GO_WHEEL_HASHES if digest not in hashes] == []
    asked = re.search(r"^go (\d+)\.(\d+)", (TOOLS["opa"].source / "go.mod").read_text("utf-8"), re.MULTILINE)
    assert asked
    assert (int(asked[1]), int(asked[2])) <= GO_MINIMUM


def test_hatchling_is_the_one_of_the_project() -> None:
    assert set(PROJECT["build-system"]["requires"]) <= set(pinned("build"))


def test_opa_is_built_of_the_module_that_the_tests_pin() -> None:
    assert f"COPY {TOOLS['opa'].source.relative_to(ROOT)} " in DOCKERFILE


def test_wheels_are_those_of_the_lock_file_by_hash() -> None:
    assert "uv export --quiet --frozen --no-dev" in DOCKERFILE
    installs = [line for line in DOCKERFILE.splitlines() if re.search(r"pip install|uv build", line)]
    assert len(installs) == 5
    assert [line for line in installs if "--require-hashes" not in line and "--no-index" not in line] == []


def test_version_and_user_are_the_projects() -> None:
    assert f"ARG VERSION={PROJECT['project']['version']}\n" in DOCKERFILE
    assert f"USER {image.USER}:{image.USER}\n" in DOCKERFILE


def test_no_host_is_named_but_the_base_images() -> None:
    hosts = set(re.findall(r"[a-z]+://([^/'\"\s:]+)", DOCKERFILE))
    assert hosts <= {"127.0.0.1"}


@pytest.mark.parametrize(
    "name", ["pyproject.toml", "uv.lock", "README.md", "LICENSE", "guardian", "verifiers", "evidence", "policies"]
)
def test_all_that_is_copied_is_let_into_the_build(name: str) -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    rules = [line for line in ignored if line and not line.startswith("#")]
    assert rules[0] == "*", "what is not named stays outside"
    assert f"!{name}" in rules
    assert re.search(rf"^COPY (?:.* )?{re.escape(name)} ", DOCKERFILE, re.MULTILINE)
