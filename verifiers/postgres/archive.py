"""Reader of pg_dump's custom format: what an archive says it holds, what it needs, and whether it is whole.

Invariant: reads with bounded memory, trusts no length in the file, and never calls a cut archive complete.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from verifiers.errors import VerifierError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from verifiers.result import Check


class ArchiveError(VerifierError):
    """The file is not a pg_dump custom archive, or it is damaged; the message names the byte."""


@dataclass(frozen=True, slots=True)
class Header:
    """First bytes of an archive. created_at: the dumping machine's local wall clock, without a zone (naive)."""

    version: tuple[int, int, int]
    compression: str
    created_at: datetime | None
    database: str | None
    server_version: str | None
    dump_version: str | None
    entries: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the table of contents. offset: of its data block, None if it has none or it is unknown."""

    dump_id: int
    desc: str
    tag: str
    namespace: str | None
    owner: str | None
    tablespace: str | None
    access_method: str | None
    has_data: bool
    has_copy: bool
    offset: int | None


@dataclass(frozen=True, slots=True)
class Needs:
    """What a server must have before the archive can be restored. Names, sorted.

    server_major: major version that was dumped (18), None if the header does not tell. icu: a collation or the database
    uses ICU. encoding: `UTF8`. roles: owners, grantees and policy roles, without PUBLIC.
    """

    extensions: Sequence[str]
    roles: Sequence[str]
    tablespaces: Sequence[str]
    languages: Sequence[str]
    access_methods: Sequence[str]
    encoding: str | None
    locale_provider: str | None
    locale: str | None
    icu: bool
    server_major: int | None


@dataclass(frozen=True, slots=True)
class Archive:
    """Header, contents and needs of one archive. data_start: byte after the table of contents."""

    header: Header
    entries: Sequence[Entry]
    needs: Needs
    data_start: int


def read_header(path: Path) -> Header:
    """Return the header. Raises ArchiveError."""
    raise NotImplementedError


def read_archive(path: Path) -> Archive:
    """Return header, table of contents and needs, without reading the data. Raises ArchiveError."""
    raise NotImplementedError


def verify_complete(path: Path, progress: Callable[[int], None] | None = None) -> Check:
    """Read every data block to its end and return the check `archive.complete`.

    progress: called with the bytes read. Observed: bytes, blocks, and how deep the data was read: `decompressed` (gzip,
    none) or `structure` (lz4, zstd: block lengths only).
    """
    raise NotImplementedError
