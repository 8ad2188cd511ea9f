"""Finds Chromium, which the console is tested in: the system's own, never a download of a browser.

As root on a system with apt, Debian's package is installed where it is missing; else the error says what to install.
Needs only the standard library.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.tools.apt import need
from tests.tools.golang import BuildError

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
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
    if found is None:
        try:
            need({"chromium": "chromium"}, also=["fonts-liberation"])
        except BuildError as error:
            raise ChromiumError(f"no Chromium on PATH, in which the console is tested: {error}") from error
        found = _found()
    if found is None:
        raise ChromiumError("no Chromium on PATH; install it, on Debian and Ubuntu: apt-get install chromium")
    return found


def _found() -> Path | None:
    programs = (shutil.which(name) for name in NAMES)
    return next((Path(program) for program in programs if program), None)


if __name__ == "__main__":
    try:
        print(chromium())  # noqa: T201 -- a command line program
    except ChromiumError as error:
        sys.exit(str(error))
