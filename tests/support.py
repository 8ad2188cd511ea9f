"""What tests share: running the command line as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


def guardian(
    *arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None, timeout_s: float = 280
) -> Ran:
    """Run `guardian` with these arguments in a process of its own."""
    completed = subprocess.run(
        [sys.executable, "-m", "guardian", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        check=False,
    )
    return Ran(completed.returncode, completed.stdout, completed.stderr)
