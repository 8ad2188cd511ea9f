"""What the name of a file in a backup folder says: which backup it is, in which layout, and what is wrapped around it.

Invariant: the name alone decides the layout; what is inside is looked at elsewhere and must agree. No I/O.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from verifiers.compressed import SUFFIXES
from verifiers.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Sequence

AGE = ".age"


SUFFIX_OF = {Layout.CUSTOM: ".dump", Layout.DIRECTORY: ".dir", Layout.TAR: ".tar", Layout.PLAIN: ".sql"}
_LAYOUT_OF = {suffix: layout for layout, suffix in SUFFIX_OF.items() if layout is not Layout.DIRECTORY}


@dataclass(frozen=True, slots=True)
class Named:
    r"""One name, taken apart.

    id: the name without all suffixes; bytes that are no UTF-8 are written as `\xff`. wrappings: the suffixes around
    the layout's own, inner first: (".gz", ".age"). globals_of: for the output of `pg_dumpall --globals-only`, the id of
    the backup that it belongs to, an empty string where it belongs to all of the folder.
    """

    id: str
    layout: Layout
    wrappings: Sequence[str] = ()
    globals_of: str | None = None

    @property
    def encrypted(self) -> bool:
        """Whether a key is needed to read it."""
        return AGE in self.wrappings

    @property
    def compression(self) -> str:
        """What the file as a whole is compressed with: `gzip`, `zstd`, `lz4` or `none`."""
        return next((SUFFIXES[suffix] for suffix in self.wrappings if suffix in SUFFIXES), "none")


def shown(name: str) -> str:
    """Return a file's name as text that can be written anywhere."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def parse(name: str) -> Named | None:
    """Return what a file's name says, None if it is none of a dump: another suffix, or hidden.

    Wrapped may be each layout of one file: at most compressed, then at most encrypted, as in `erp.sql.zst.age`.
    """
    stem = name
    wrappings: list[str] = []
    for group in ((AGE,), tuple(SUFFIXES)):
        suffix = next((suffix for suffix in group if stem.endswith(suffix)), "")
        stem = stem.removesuffix(suffix)
        wrappings[:0] = [suffix] if suffix else []
    base, dot, last = stem.rpartition(".")
    layout = _LAYOUT_OF.get(dot + last)
    if layout is None or name.startswith("."):
        return None
    globals_of = None
    if layout is Layout.PLAIN and (base == "globals" or base.endswith(".globals")):
        globals_of = shown(base.removesuffix("globals").removesuffix("."))
    return Named(shown(base), layout, tuple(wrappings), globals_of)


def parse_folder(name: str) -> Named:
    """Return what the name of a folder in directory format says."""
    base = name.removesuffix(".dump").removesuffix(SUFFIX_OF[Layout.DIRECTORY]) or name
    return Named(shown(base), Layout.DIRECTORY)
