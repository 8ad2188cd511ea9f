"""Finds Chromium, which the console is tested in: the system's own, never a download of a browser.

As root on a system with apt, Debian's package is installed where it is missing; else the error says what to install.
Needs only the standard library.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
DEADLINE_S = 600.0
# No sandbox: as root Chromium refuses its own, and it sees only pages of this machine. Nothing calls home.
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class ChromiumError(Exception):
    """There is no Chromium; the message says what to install."""


def chromium() -> Path:
    """Return the program; install Debian's package first where that is possible. Raises ChromiumError."""
    found = _found()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        _install()
        found = _found()
    if found is None:
        raise ChromiumError("no Chromium on PATH; install it, on Debian and Ubuntu: apt-get install chromium")
    return found


def _found() -> Path | None:
    programs = (shutil.which(name) for name in NAMES)
    return next((Path(program) for program in programs if program), None)


def _install() -> None:
    print("tools: installing chromium (apt)", file=sys.stderr, flush=True)  # noqa: T201 -- progress of a tool
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "chromium", "fonts-liberation"]
    for command in (["apt-get", "update", "-q"], install):
        try:
            subprocess.run(
                command, check=True, capture_output=True, text=True, timeout=DEADLINE_S, env=environment,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.CalledProcessError as error:
            raise ChromiumError(f"{' '.join(command)} failed: {error.stderr.strip()[-500:]}") from error
        except subprocess.TimeoutExpired as error:
            raise ChromiumError(f"{' '.join(command)} did not end within {DEADLINE_S:g} s") from error


if __name__ == "__main__":
    print(chromium())  # noqa: T201 -- a command line program
