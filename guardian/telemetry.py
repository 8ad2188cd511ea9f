"""Structured logs on stderr. Logs are not evidence, and never hold secrets. I/O: stderr; the pipe of `announce`."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import Final

import structlog

# Names the pipe on which a service tells the daemon that started it that it answers.
READY: Final = "GUARDIAN_READY_FD"


def announce() -> None:
    """Tell the daemon, if it started this process, that it answers now."""
    told = os.environ.pop(READY, "")
    if told.isdigit():
        with contextlib.suppress(OSError):
            os.write(int(told), b"1")
            os.close(int(told))


def configure(*, verbose: bool = False) -> None:
    """Send log events to stderr: warnings and worse, or everything when verbose. Colours only on a terminal."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if verbose else logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
