"""What a backup format is to the rest: locate, describe, fetch, say what is complete.

Invariant: nothing outside the folder a source was opened on is ever read; a symbolic link in a backup is refused, not
followed. This module holds the shapes only, no I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import unquote

from verifiers.errors import VerifierError
from verifiers.layout import Layout
from verifiers.sources.names import Named

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from verifiers.postgres.physical import Segment


# A password in a URL: after `//USER:`, up to the last @, as a slash in it is a mistake that must not show it. What is
# digits up to a slash is a port.
_IN_URL: Final = re.compile(r"(?<=://)(?P<user>[^\s/@:]*+):(?!\d++(?:/|$))(?P<password>\S+)@")
# The same as ssh writes places, without slashes. Behind the name of a kind of repository a user comes, and no password.
_IN_PLACE: Final = re.compile(
    r"^(?P<user>(?:(?:sftp|rest|s3|ssh|swift|b2|azure|gs):)?+[^\s/@:]++):(?P<password>[^\s/]+)@"
)


class SourceError(VerifierError):
    """A backup folder or a backup cannot be read, or holds something a backup must not hold (links, devices)."""


class KeyMissingError(SourceError):
    """There is no key for an encrypted backup, or none that fits. The message says which and what to do."""


class Readable(Protocol):
    """A reference to a secret, read when it is needed and not before."""

    def read(self) -> str:
        """Return the value. Raises KeyMissingError, or what the caller's own kind of reference raises."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where the backups of one job lie, and what it takes to read them.

    format: the word of guardian.yaml. path: a folder, or the URL of a repository (`s3://bucket/prefix`, `sftp:…`).
    holds: what a repository or prefix keeps for a database: `pg_dump` or `pg_basebackup`. wal: folder of the archived
    write-ahead log. server: which of a repository's backups: pgBackRest's stanza, Barman's server, restic's host, the
    beginning of the names of Borg's archives; None for all. secret: what opens the repository. environment: variables
    for the repository's program, such as credentials. filestore: path at the source, which repositories keep.
    identity: of age, which opens archives that have to be unpacked to be read.
    """

    format: str
    path: str = field(repr=False)
    holds: str = "pg_dump"
    wal: str | None = None
    server: str | None = None
    secret: Readable | None = None
    environment: Mapping[str, Readable] = field(default_factory=dict)
    endpoint: str | None = None
    region: str | None = None
    filestore: str | None = None
    identity: Readable | None = None

    @property
    def remote(self) -> bool:
        """Whether it is reached by URL, not a folder of this machine."""
        return is_remote(self.path)

    @property
    def shown(self) -> str:
        """The path as it is told and recorded: a password in it is masked."""
        return masked(self.path) if self.remote else self.path

    @property
    def passwords(self) -> tuple[str, ...]:
        """The passwords that the path holds, as written and as meant."""
        if not self.remote:
            return ()
        found = [match["password"] for each in (_IN_URL, _IN_PLACE) for match in each.finditer(self.path)]
        return tuple(dict.fromkeys(form for text in found for form in (text, unquote(text))))


def is_remote(path: str) -> bool:
    """Whether a path is a URL, or names another host as ssh does: a colon before the first slash."""
    return ":" in path.partition("/")[0]


def masked(text: str) -> str:
    """Return a text without the passwords of the URLs in it, and of the place that ssh's way of writing names."""
    return _IN_PLACE.sub(r"\g<user>:…@", _IN_URL.sub(r"\g<user>:…@", text))


_CUSTOM = Named("", Layout.CUSTOM)


@dataclass(frozen=True, slots=True)
class BackupItem:
    """One backup as found.

    id: unique in its folder. path: the dump, a file or folder (pg_dump), or the folder of the pair (odoo); for one in a
    repository, where that lies and the name in it, for messages.
    taken_at: aware UTC, None if nothing tells. size_bytes: of everything that belongs to it, as far as that is known.
    complete: whether it begins and ends as a whole one does, told without reading it all; None where only a full read
    can tell. Damage inside is a drill's to find.
    reason: why it is not complete, empty otherwise. form: what its name says of the dump, a custom one where only
    fetching tells. dump: the dump where it is not `path` itself. globals: the output of `pg_dumpall --globals-only`
    that belongs to it, and what its name says.
    """

    id: str
    path: Path
    taken_at: datetime | None
    size_bytes: int
    complete: bool | None
    reason: str = ""
    form: Named = _CUSTOM
    dump: Path | None = None
    globals: tuple[Path, Named] | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """A backup copied into a work folder, as it was: still encrypted and compressed, if it is.

    dump: None for a plain filestore. form: of the dump as it lies there now. bytes: of all files. sha256: hex, taken on
    the way: of the dump file, or of a folder as `Copier.tree` says. globals: the copy of what `BackupItem.globals`
    names, with what its name says. verified: what the program that keeps the backup has itself verified of it on the
    way, for people; empty where nothing was. taken_at: aware; when the backup itself was taken, where a repository
    keeps it, which may have copied an old one. database: the name that a file beside the dump gives for it.
    """

    dump: Path | None
    filestore: Path | None
    bytes: int
    sha256: str
    form: Named
    globals: tuple[Path, Named] | None = None
    verified: str = ""
    database: str | None = None
    taken_at: datetime | None = None


class BackupSource(Protocol):
    """One folder of backups in one format."""

    @property
    def format(self) -> str:
        """The format's name, as in guardian.yaml."""
        ...

    def locate(self) -> Sequence[BackupItem]:
        """Return the backups, oldest first, with incomplete ones.

        Raises SourceError if the folder is unreadable, or if two of its files are one backup by their names.
        """
        ...

    def fetch(self, item: BackupItem, into: Path, progress: Callable[[int], None]) -> Fetched:
        """Copy a backup into the folder `into`, which must exist; files there are new, 0600, folders 0700.

        progress: called with the bytes copied so far, ending with all of them.
        Raises SourceError on a link, a special file or a read error, KeyMissingError without the key.
        """
        ...

    def digest(self, item: BackupItem) -> tuple[str, int]:
        """Return (hex SHA-256, bytes) of a backup as `fetch` would tell them. Raises SourceError."""
        ...


class LogArchive(Protocol):
    """Archived write-ahead log that belongs to the copies of a cluster."""

    @property
    def segments(self) -> Sequence[str]:
        """Names of the segments, sorted."""
        ...

    def is_whole(self, name: str) -> bool:
        """Whether a segment was archived when it was full, and not while it was being filled."""
        ...

    def gap(self, first: Segment, size: int) -> str | None:
        """Return the name of the first segment missing between `first` and the newest, None if none is."""
        ...

    def fetch(self, into: Path, first: Segment, size: int, progress: Callable[[int], None]) -> int:
        """Copy histories, and segments from `first` on, decompressed, as PostgreSQL names them; return their bytes.

        size: bytes of a segment. Raises SourceError, DamagedError for a file that is not whole.
        """
        ...
