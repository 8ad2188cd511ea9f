"""The image, really built from Debian packages and run as it should be: nothing to write to, no capability, no root.

What it costs and what it holds is printed at the end (`pytest -s`), and kept in GUARDIAN_TOOLS/image/image-test.log.
"""

from __future__ import annotations

import json
import os
import re
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.tools import image

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

REASON = image.why_not()
pytestmark = [pytest.mark.skipif(REASON is not None, reason=str(REASON)), pytest.mark.timeout(1800)]
NAME = "localhost/guardian:test"
PYTHON = "/usr/local/lib/guardian/bin/python"
HARDENED = (
    *("--runtime", "runc", "run", "--read-only", "--cap-drop", "all"),
    *("--security-opt", "no-new-privileges", "--network", "none", "--no-healthcheck"),
    # podman's own defaults are more than some machines grant
    *("--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"),
)
PROFILE = image.ROOT / "deploy/image/seccomp.json"
NAMESPACES = ("--security-opt", f"seccomp={PROFILE}", "--security-opt", "unmask=ALL")
DIGEST = "sha256:" + "5" * 64


class Guardian:
    """Runs the image with a folder of its own at /var/lib/guardian."""

    def __init__(self, images: image.Images, folder: Path) -> None:
        self.images, self.folder = images, folder

    def run(
        self, *arguments: str, options: tuple[str, ...] = (), program: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        chosen = ("--entrypoint", program) if program else ()
        kept = () if "--detach" in options else ("--rm",)
        volume = ("--volume", f"{self.folder}:/var/lib/guardian")
        call = self.images.call("podman", *HARDENED, *kept, *volume, *options, *chosen, NAME, *arguments, check=False)
        assert "Error: runc" not in call.stderr, call.stderr
        return call

    def doctor(self, *options: str) -> dict[str, dict[str, Any]]:
        done = self.run("doctor", "--format", "json", options=options)
        items = json.loads(done.stdout)["items"]
        return {item["name"]: item | {"exit": done.returncode} for item in items}


@pytest.fixture(scope="module")
def images() -> Iterator[image.Images]:
    store = image.Images.here()
    began = time.monotonic()
    store.build(NAME, store.base())
    yield store
    store.log.append(f"all: {time.monotonic() - began:.0f} s")
    store.call("podman", "image", "prune", "--force", "--filter", "until=48h", check=False)
    text = "".join(f"image: {line}\n" for line in store.log)
    (store.folder / "image-test.log").write_text(text, encoding="utf-8")
    sys.stdout.write(f"\n{text}")


@pytest.fixture
def guardian(images: image.Images, tmp_path: Path) -> Guardian:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    os.chown(folder, image.USER, image.USER)
    return Guardian(images, folder)


@pytest.fixture(scope="module")
def rootfs(images: image.Images) -> Iterator[Path]:
    """The image's files as they lie, seen by root from outside."""
    mounted = images.call("podman", "image", "mount", NAME).stdout.strip()
    yield Path(mounted)
    images.call("podman", "image", "unmount", NAME)


def test_image_says_what_it_is_and_how_large(images: image.Images) -> None:
    described = images.inspect(NAME)
    settings, labels = described["Config"], described["Config"]["Labels"]
    assert settings["User"] == f"{image.USER}:{image.USER}"
    assert settings["Entrypoint"] == ["/usr/bin/tini", "--", "guardian"]
    assert settings["Cmd"] == ["run"]
    assert "/var/lib/guardian" in settings["Volumes"]
    assert "/healthz" in " ".join(described["Healthcheck"]["Test"])
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    size = described["Size"] / 1e6
    images.log.append(f"size: {size:.0f} MB in {len(described['RootFS']['Layers'])} layers")
    assert size < 1000


def test_no_environment_of_the_build_is_left_in_the_image(images: image.Images) -> None:
    described = images.inspect(NAME)
    names = {entry.partition("=")[0] for entry in described["Config"]["Env"]}
    assert names <= {"PATH", "LANG", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONSAFEPATH"}
    told = json.dumps(described)
    assert not [
        value for name, value in os.environ.items() if re.match("(?i)https?_proxy|pip_index", name) and value in told
    ]


def test_nothing_lends_rights_and_nothing_but_root_may_write(rootfs: Path) -> None:
    lending, open_to_others = [], []
    for folder, _, names in os.walk(rootfs):
        for name in names:
            status = Path(folder, name).lstat()
            if stat.S_ISREG(status.st_mode):
                if status.st_mode & 0o6000:
                    lending.append(name)
                if status.st_mode & 0o002 or status.st_uid == image.USER:
                    open_to_others.append(name)
    assert lending == []
    assert open_to_others == []


def test_image_holds_no_keys_no_tests_no_history_and_nothing_to_build_with(rootfs: Path) -> None:
    packages = next((rootfs / "usr/local/lib/guardian/lib").glob("python3*/site-packages"))
    assert (packages / "guardian" / "py.typed").exists() or (packages / "guardian" / "__init__.py").exists()
    for absent in ("tests", "pip", "setuptools", "pytest", "moto", "playwright", "ruff"):
        assert not (packages / absent).exists(), absent
    programs = {
        path.name for folder in ("usr/bin", "usr/local/bin", "usr/sbin") for path in (rootfs / folder).iterdir()
    }
    assert programs.isdisjoint({"gcc", "cc", "go", "make", "pip", "pip3", "uv", "git", "sudo", "ssh"})
    assert {"guardian", "opa", "bwrap", "tini"} <= programs
    assert not list(rootfs.glob("build"))
    held = [
        path
        for path in rootfs.rglob("*")
        if path.is_file()
        and not path.is_symlink()
        and path.suffix in {".pem", ".key"}
        and b"PRIVATE KEY" in path.read_bytes()
    ]
    assert held == []
    assert not list(packages.parent.rglob(".git"))


def test_version_and_help(guardian: Guardian) -> None:
    version = guardian.run("--version")
    assert (version.returncode, version.stdout.startswith("guardian ")) == (0, True), version.stderr
    assert "doctor" in guardian.run("--help").stdout
    assert "Version: " in guardian.run("version", program="opa").stdout


def test_environment_made_and_scanned_inside_names_its_image(guardian: Guardian) -> None:
    assert guardian.run("init").returncode == 0
    scan = guardian.run("scan", options=("--env", f"GUARDIAN_IMAGE_DIGEST={DIGEST}"))
    assert scan.returncode == 0, scan.stderr
    shown = json.loads(guardian.run("evidence", "show", "1", "--format", "json").stdout)
    assert DIGEST in json.dumps(shown)
    assert guardian.run("evidence", "verify").returncode == 0
    refused = guardian.run("scan", options=("--env", "GUARDIAN_IMAGE_DIGEST=latest"))
    assert (refused.returncode, "GUARDIAN_IMAGE_DIGEST" in refused.stderr) == (2, True)


def test_doctor_says_that_podman_as_it_is_cannot_isolate_and_what_to_choose(guardian: Guardian) -> None:
    item = guardian.doctor()["isolation"]
    assert (item["state"], item["exit"]) == ("missing", 3)
    assert "this container (podman) refuses a mount of /proc and a host name of its own" in item["detail"]
    assert "deploy/image/seccomp.json" in item["remedy"]
    assert "sandbox.provider: none" in item["remedy"]


def test_doctor_says_that_a_container_forbids_user_namespaces(guardian: Guardian, tmp_path: Path) -> None:
    strict = tmp_path / "strict.json"
    strict.write_text(json.dumps(forbidding(json.loads(PROFILE.read_text("utf-8")))), encoding="utf-8")
    items = guardian.doctor("--security-opt", f"seccomp={strict}", "--security-opt", "unmask=ALL")
    detail = items["isolation"]["detail"]
    assert "refuses user namespaces (a seccomp filter is in force), so no restore can be isolated here" in detail
    assert "sandbox.acceptNone" in items["isolation"]["remedy"]
    assert items["isolation (bwrap)"]["state"] == "missing"


def test_with_the_shipped_profile_the_isolation_holds(guardian: Guardian) -> None:
    items = guardian.doctor(*NAMESPACES)
    assert "isolation" not in items
    assert items["isolation (bwrap)"]["state"] == "ok", items["isolation (bwrap)"]


def test_whole_loop_with_isolated_drills_runs_inside(guardian: Guardian, images: image.Images) -> None:
    began = time.monotonic()
    demo = guardian.run("demo", "--dir", "demo", options=NAMESPACES)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    images.log.append(f"demo inside, bwrap: {time.monotonic() - began:.0f} s")
    config = guardian.folder / "demo" / "guardian.yaml"
    text = config.read_text("utf-8")
    assert "provider: bwrap, acceptNone: []" in text

    refused = guardian.run("drill", "erp-good", "--config", "demo/guardian.yaml")
    assert refused.returncode == 3, "without namespaces a drill must not go on"

    accepted = text.replace("provider: bwrap, acceptNone: []", "provider: none, acceptNone: [erp-good]")
    config.with_name("none.yaml").write_text(accepted, encoding="utf-8")
    drill = guardian.run("drill", "erp-good", "--config", "demo/none.yaml")
    assert drill.returncode == 0, drill.stdout + drill.stderr
    assert "provider none, accepted for erp-good" in drill.stdout


def test_what_a_killed_job_leaves_behind_is_reaped(guardian: Guardian) -> None:
    count = """
import os, time
if os.fork() == 0:
    if os.fork() == 0:
        os._exit(0)  # its parent is gone without waiting for it
    os._exit(0)
os.wait()
time.sleep(0.5)
pids = [pid for pid in os.listdir("/proc") if pid.isdigit()]
print(sum(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] == "Z" for pid in pids))
"""
    assert guardian.run("--", PYTHON, "-c", count, program="/usr/bin/tini").stdout.strip() == "0"


def test_daemon_inside_answers_its_health_check_and_stops_when_told(guardian: Guardian, images: image.Images) -> None:
    assert guardian.run("init").returncode == 0
    with (guardian.folder / "guardian.yaml").open("a", encoding="utf-8") as config:
        config.write('schedules: [{job: scan, cron: "0 3 * * *"}]\n')
    check = images.inspect(NAME)["Healthcheck"]["Test"]
    started = guardian.run(options=("--detach", "--name", "guardian-daemon"))
    try:
        assert started.returncode == 0, started.stderr
        until = time.monotonic() + 60
        while (asked := images.call("podman", "exec", "guardian-daemon", *check[1:], check=False)).returncode != 0:
            assert time.monotonic() < until, asked.stderr + images.call("podman", "logs", "guardian-daemon").stderr
            time.sleep(0.5)
        stopped = images.call("podman", "kill", "--signal", "TERM", "guardian-daemon")
        assert stopped.returncode == 0
        code = images.call("podman", "wait", "guardian-daemon").stdout.strip()
        assert code == "0"
    finally:
        images.call("podman", "rm", "--force", "--ignore", "guardian-daemon", check=False)


def forbidding(profile: dict[str, Any]) -> dict[str, Any]:
    """Return a profile that forbids new namespaces, as engines do that give them to privileged containers only."""
    making = {"unshare", "mount", "umount2", "pivot_root", "setns", "sethostname", "clone", "clone3"}
    kept = [rule | {"names": [name for name in rule["names"] if name not in making]} for rule in profile["syscalls"]]
    no_new = {"index": 0, "value": 0x7E020000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    more = [
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [no_new]},
        {"names": ["unshare", "mount", "setns"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1},
    ]
    return profile | {"syscalls": [rule for rule in kept if rule["names"]] + more}
