"""Builds and runs Guardian's image with buildah, podman and runc, on a base made of Debian packages.

The base is made once by `debootstrap` and kept in `GUARDIAN_TOOLS`; so are the layers of the build. Needs root, as
making a base and mounting layers do. Nothing of this machine's mirrors or certificates gets into the image: the base's
apt lists are those of this machine's apt, which is why the base is used here only.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.tools import apt
from tests.tools.build import tools_folder
from tests.tools.golang import BuildError, lock, say

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = {"buildah": "buildah", "podman": "podman", "runc": "runc", "debootstrap": "debootstrap"}
USER = 64924
_PACKAGES = ("python3",)
_DEADLINE_S = 1500
# For the build alone: where this machine's package registries are, if its environment says so.
_BUILD_ARGUMENTS = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "GOPROXY")
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def why_not() -> str | None:
    """Say why no image can be built and run here, None if it can."""
    if os.geteuid() != 0:
        return f"only root builds images here; as root it installs {', '.join(sorted(PROGRAMS.values()))} by itself"
    release = platform.freedesktop_os_release()
    if release.get("ID") != "debian":
        return f"the base is made of this machine's Debian packages, and this is {release.get('PRETTY_NAME')}"
    return apt.why_not(PROGRAMS)


@dataclass(slots=True)
class Images:
    """A store of images of its own. log: a line for each thing done, with its time."""

    folder: Path
    log: list[str] = field(default_factory=list)

    @classmethod
    def here(cls) -> Images:
        """Return the store in the tools folder, with the programs it needs. Raises BuildError."""
        apt.need(PROGRAMS)
        folder = tools_folder() / "image"
        folder.mkdir(mode=0o700, exist_ok=True)
        return cls(folder)

    def base(self) -> str:
        """Return the name of the base image, made if missing."""
        release = platform.freedesktop_os_release()["VERSION_CODENAME"]
        lines = _apt_lines(release)
        digest = hashlib.sha256("\n".join([release, *_PACKAGES, *lines]).encode()).hexdigest()[:12]
        name = f"localhost/guardian-base:{release}-{digest}"
        with lock(self.folder / "base.lock", what=name):
            if self.call("podman", "image", "exists", name, check=False).returncode != 0:
                self._make_base(name, release, lines)
        return name

    def _make_base(self, name: str, release: str, lines: Sequence[str]) -> None:
        say(f"making {name} of Debian packages (about a minute, once)")
        started = time.monotonic()
        root = self.folder / "base"
        shutil.rmtree(root, ignore_errors=True)
        mirror = next(line.split()[1] for line in lines if line.split()[2] == release)
        include = f"--include={','.join(_PACKAGES)}"
        self.run(["debootstrap", "--variant=minbase", include, release, str(root), mirror], what="debootstrap")
        (root / "etc/apt/sources.list").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        for used in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(root / used, ignore_errors=True)
        archive = self.folder / "base.tar"
        self.run(["tar", "-C", str(root), "--sort=name", "--numeric-owner", "-cf", str(archive), "."], what="tar")
        self.call("podman", "import", "--quiet", str(archive), name)
        archive.unlink()
        shutil.rmtree(root)
        self.log.append(f"base {name}: {time.monotonic() - started:.0f} s")

    def build(self, name: str, base: str) -> None:
        """Build the Dockerfile on `base` as `name`."""
        say(f"building {name} (4 minutes on 2 cores; layers are kept)")
        started = time.monotonic()
        arguments = {"BASE": base} | {key: os.environ[key] for key in _BUILD_ARGUMENTS if key in os.environ}
        certificates = Path(os.environ.get("SSL_CERT_FILE") or _CERTIFICATES)
        self.call(
            *(
                "buildah",
                "bud",
                "--format",
                "docker",
                "--isolation",
                "chroot",
                "--pull=never",
                "--layers",
                "--jobs",
                "2",
            ),
            *(part for key, value in arguments.items() for part in ("--build-arg", f"{key}={value}")),
            *(("--secret", f"id=ca,src={certificates}") if certificates.is_file() else ()),
            *("--tag", name, str(ROOT)),
        )
        self.log.append(f"build {name}: {time.monotonic() - started:.0f} s")

    def inspect(self, name: str) -> dict[str, Any]:
        """Return what podman knows of an image."""
        described: list[dict[str, Any]] = json.loads(self.call("podman", "image", "inspect", name).stdout)
        return described[0]

    def call(self, program: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run podman or buildah on this store."""
        store = ["--root", str(self.folder / "storage"), "--runroot", str(self.folder / "run")]
        return self.run([program, *store, *arguments], what=f"{program} {arguments[0]}", check=check)

    def run(self, command: Sequence[str], *, what: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program with a deadline. Raises BuildError with the end of what it said."""
        program = apt.find(command[0])
        if program is None:
            raise BuildError(f"there is no program {command[0]}")
        done = subprocess.run(
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_DEADLINE_S,
            check=False,
        )
        if check and done.returncode != 0:
            end = "\n".join((done.stdout + done.stderr).splitlines()[-25:])
            raise BuildError(f"{what} failed with exit {done.returncode}:\n{end}")
        return done


def _apt_lines(release: str) -> list[str]:
    """Return this machine's apt sources of its own release, as lines of sources.list."""
    wanted = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    done = subprocess.run(
        [shutil.which("apt-get") or "/usr/bin/apt-get", "indextargets", "--format", wanted, "Created-By: Packages"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    own = {release, f"{release}-updates", f"{release}-security"}
    lines = [f"deb {line}" for line in done.stdout.splitlines() if line.split()[1:2] and line.split()[1] in own]
    main = [line for line in dict.fromkeys(lines) if line.split()[3] == "main"]
    if not any(line.split()[2] == release for line in main):
        raise BuildError(f"apt on this machine has no source of {release} main; run apt-get update, or add one")
    return main
