"""The output formats of pg_dump. No I/O."""

from __future__ import annotations

from enum import StrEnum


class Layout(StrEnum):
    """pg_dump's -Fc, -Fd, -Ft and -Fp."""

    CUSTOM = "custom"
    DIRECTORY = "directory"
    TAR = "tar"
    PLAIN = "plain"
