"""Builds the programs that tests and `make check` need from pinned and checksummed source: opa, kube-apiserver, etcd.

`python tests/tools/build.py opa etcd` prints the programs' paths on stdout, one a line, and progress on stderr. A
program of the pinned minor version that is on PATH, or lies in the tools folder under its plain name, is used as it is.
What is built is kept in `GUARDIAN_TOOLS` (default: `guardian-tools` in the user's cache folder) under a name that holds
the version and a digest of the source, so that a second run is instant and a changed pin is built anew. Several
processes may run this at once: one builds, the others wait. Needs only the standard library, so that it runs before
anything is installed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":
    sys.path[0] = str(HERE.parents[1])  # run as a file, Python puts this folder there instead of the repository's

from tests.tools.golang import BuildError, find_go, go_build, lock, output, say  # noqa: E402 -- see above

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["TOOLS", "BuildError", "Tool", "installed", "opa_path", "tool_path", "tools_folder", "version_of"]

_VERSION_VARIABLES = "k8s.io/component-base/version."


@dataclass(frozen=True, slots=True)
class Tool:
    """One program.

    source: folder with go.mod, go.sum and main.go. module: what go.mod pins. ask: arguments that make it print its
    version, which stands after `says`. cost: how long a build takes, for the reader of the log.
    """

    name: str
    source: Path
    module: str
    ask: str
    says: str
    cost: str

    def pinned(self) -> str:
        """Return the version that go.mod pins, such as `1.20.2`."""
        text = (self.source / "go.mod").read_text(encoding="utf-8")
        found = re.search(rf"^(?:require )?\s*{re.escape(self.module)} v(\S+)$", text, re.MULTILINE)
        if found is None:
            raise BuildError(f"{self.source}/go.mod pins no version of {self.module}")
        return found[1]

    def link_flags(self) -> list[str]:
        """Return linker flags that tell a program its version where its own release build does so."""
        if self.name != "kube-apiserver":
            return []
        version = self.pinned()
        major, minor, _ = version.split(".", 2)
        told = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor}
        return [f"-X={_VERSION_VARIABLES}{name}={value}" for name, value in told.items()]


TOOLS = {
    tool.name: tool
    for tool in (
        Tool("opa", HERE / "opa", "github.com/open-policy-agent/opa", "version", "Version: ", "about 100 s"),
        Tool("etcd", HERE / "etcd", "go.etcd.io/etcd/server/v3", "--version", "etcd Version: ", "about 60 s"),
        Tool(
            "kube-apiserver",
            HERE / "kube-apiserver",
            "k8s.io/kubernetes",
            "--version",
            "Kubernetes v",
            "3 to 5 minutes",
        ),
    )
}


def tools_folder() -> Path:
    """Return the folder where built tools are kept, made if missing."""
    configured = os.environ.get("GUARDIAN_TOOLS")
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(configured) if configured else Path(cache) / "guardian-tools"
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    return folder.resolve()


def opa_path() -> Path:
    """Return an `opa` of the pinned minor version."""
    return tool_path("opa")


def tool_path(name: str) -> Path:
    """Return a program of the pinned minor version: one that is here if it fits, else one built now.

    Raises BuildError saying what failed; KeyError for a name that is not in TOOLS.
    """
    tool = TOOLS[name]
    return installed(name) or _built(tool)


def installed(name: str) -> Path | None:
    """Return the program that `tool_path` would return without building, None if it would have to build."""
    tool = TOOLS[name]
    minor = tool.pinned().rsplit(".", 1)[0]
    for found in (shutil.which(name), tools_folder() / name):
        if found and (version_of(tool, Path(found)) or "").startswith(f"{minor}."):
            return Path(found).resolve()
    target = _target(tool)
    return target if target.exists() else None


def version_of(tool: Tool, program: Path) -> str | None:
    """Return the version that a program says it is, without a leading v; None if it does not run or say."""
    found = re.match(rf"{re.escape(tool.says)}(\S+)$", output([str(program), tool.ask]) or "", re.MULTILINE)
    return found[1] if found else None


def _target(tool: Tool) -> Path:
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum", "main.go"):
        digest.update((tool.source / name).read_bytes())
    return tools_folder() / f"{tool.name}-{tool.pinned()}-{digest.hexdigest()[:12]}"


def _built(tool: Tool) -> Path:
    target = _target(tool)
    if target.exists():
        return target
    with lock(target.with_name(target.name + ".lock"), what=f"{tool.name} {tool.pinned()}"):
        if not target.exists():
            _build(tool, target)
    return target


def _build(tool: Tool, target: Path) -> None:
    go = find_go(target.parent)
    version = tool.pinned()
    what = f"{tool.name} {version}"
    say(f"building {what} from its Go module with {go} into {target} ({tool.cost} on 2 cores, once)")
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        program = Path(scratch) / tool.name
        started = time.monotonic()
        go_build(tool.source, program, go=go, link=tool.link_flags(), what=what)
        reported = version_of(tool, program)
        if reported != version:
            raise BuildError(f"the {tool.name} just built says it is {reported}, expected version {version}")
        program.replace(target)
    say(f"built {what} in {time.monotonic() - started:.0f} s")


def main(arguments: Sequence[str]) -> int:
    """Build the tools named in `arguments` and print their paths. Returns the exit code."""
    if not arguments or not set(arguments) <= set(TOOLS):
        say(f"usage: python tests/tools/build.py NAME..., each one of {', '.join(TOOLS)}")
        return 2
    try:
        for name in arguments:
            print(tool_path(name), flush=True)  # noqa: T201 -- the path is this program's output
    except (BuildError, OSError) as error:
        say(f"error: {error}")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
