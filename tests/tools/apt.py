"""Debian packages that tests run: installed when missing and this process is root, else named with the way to get them.

Nothing is installed that is there already. Needs only the standard library. `missing` looks for programs rather than
packages, so that programs from elsewhere count.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.tools.build import tools_folder
from tests.tools.golang import BuildError, lock, say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DEADLINE_S = 900
# Another apt may be at work, such as unattended-upgrades on a fresh machine.
_OPTIONS = ["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]


def find(program: str) -> str | None:
    """Return the path of a program, also one of /usr/sbin."""
    return shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", ""), _PATH)))


def missing(programs: Mapping[str, str]) -> list[str]:
    """Return the packages of the programs that are not here. programs: package by program."""
    return sorted({package for program, package in programs.items() if find(program) is None})


def why_not(programs: Mapping[str, str]) -> str | None:
    """Say why the programs cannot be had here, None if they are here or `need` can install them."""
    packages = missing(programs)
    if not packages:
        return None
    if os.geteuid() != 0:
        return f"only root installs Debian packages; run: apt-get install {' '.join(packages)}"
    if shutil.which("apt-get") is None:
        return f"no apt-get here to install {' '.join(packages)}"
    return None


def need(programs: Mapping[str, str], *, also: Sequence[str] = ()) -> None:
    """Install the packages of the programs that are missing. Raises BuildError saying what failed, with apt's words.

    also: packages that go along, such as fonts.
    """
    if not missing(programs):
        return
    if reason := why_not(programs):
        raise BuildError(reason)
    with lock(tools_folder() / "apt.lock", what="Debian packages"):
        packages = missing(programs)  # another process may have installed them meanwhile
        if packages:
            say(f"installing Debian packages: {' '.join(packages)}")
            _apt("update", "-q")
            _apt("install", "-qy", "--no-install-recommends", *packages, *also)
    if still := missing(programs):
        raise BuildError(f"apt-get installed {' '.join(packages)}, and yet there are no programs of {' '.join(still)}")


def _apt(*arguments: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C", "PATH": _PATH}
    done = subprocess.run(
        [shutil.which("apt-get") or "/usr/bin/apt-get", *_OPTIONS, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_DEADLINE_S,
        env=environment,
        check=False,
    )
    if done.returncode != 0:
        end = "\n".join(done.stdout.splitlines()[-15:])
        raise BuildError(f"apt-get {arguments[0]} failed with exit {done.returncode}:\n{end}")
