"""What a shelf is: a repository of one format, filled by the real tool, for the contract of repositories.

A shelf keeps one kind of content: a dump, an Odoo pair, a plain filestore, or the copy of a cluster.
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from verifiers.sources import Place, open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import pytest

    from tests.formats_support import Dumps
    from verifiers.sources import BackupSource

ONE, TWO, THREE = "erp-20260301T110000Z", "erp-20260302T110000Z", "erp-20260303T110000Z"
PASSPHRASE = "canary-pass-phrase-77c1"
OTHER_PASSPHRASE = "canary-other-phrase-31d8"
SECRET = "the host's own secret"
ASSET_TYPES = {"dump": "postgres", "cluster": "postgres", "pair": "odoo", "files": "filestore"}
_LABEL = "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\nSTART TIME: 2026-03-01 11:00:00 UTC\n"


@dataclass(frozen=True)
class Text:
    """A secret as a place holds it."""

    text: str

    def read(self) -> str:
        """Return it."""
        return self.text


@dataclass
class Content:
    """What is put on a shelf. kind: `dump`, `pair`, `files` or `cluster`. folder: where the source's files are made."""

    kind: str
    dumps: Dumps
    folder: Path
    host: Path  # a folder of the host, with the file `shadow`, that no backup may lead into

    def make(self, backup: str, *, link: bool = False) -> Path:
        """Make the files of one backup as a job at the source would, and return the folder that holds them.

        link: one of them is a symbolic link to a secret of the host.
        """
        folder = self.folder / backup
        for path, data in self.files(backup).items():
            there = folder / self._at_source(path, backup)
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_bytes(data)
        if link:
            where = {"dump": f"{backup}.dump", "files": "filestore/ab/cd", "pair": f"{backup}/filestore/ab/cd"}
            linked = folder / (where | {"cluster": f"{backup}/base/1"})[self.kind]
            linked.unlink(missing_ok=True)
            linked.parent.mkdir(parents=True, exist_ok=True)
            linked.symlink_to(self.host / "shadow")
        return folder

    def files(self, backup: str) -> dict[str, bytes]:
        """Return the bytes of every file of one backup, by the path below the folder it is fetched into."""
        name = backup.encode()
        filestore = {"filestore/ab/ab" + "0" * 38: b"content of " + name, "filestore/checklist/x": b""}
        if self.kind == "files":
            return filestore
        dump = {"db.dump": self.dumps.path("custom").read_bytes(), "globals.sql": b"-- of " + name + b"\n"}
        if self.kind == "cluster":
            tree = {"PG_VERSION": b"18\n", "backup_label": _LABEL.encode(), "global/pg_control": name}
            tree |= {"backup_manifest": b"{}", "base/5/1259": b"page"}
            return {f"cluster/{path}": data for path, data in tree.items()}
        return dump | filestore if self.kind == "pair" else dump

    def _at_source(self, path: str, backup: str) -> str:
        if self.kind == "cluster":
            return path.replace("cluster", backup, 1)
        if self.kind == "pair":
            return f"{backup}/{path}"
        return f"{backup}.dump" if path == "db.dump" else path


class Shelf(ABC):
    """A repository of one format below `folder`, which is empty when this is made.

    format: the word of guardian.yaml. programs: those that the source runs, with their Debian packages; empty for none.
    encrypted: whether it is opened with a passphrase. chooses_time: whether `put` can make a backup of another time
    than now. links: whether a backup can hold a symbolic link. whole: whether `expected` names every file there is.
    """

    format: str
    programs: ClassVar[Mapping[str, str]] = {}
    encrypted = True
    chooses_time = True
    links = True
    whole = True

    def __init__(self, folder: Path, content: Content) -> None:
        self.folder, self.content = folder, content

    @property
    def asset_type(self) -> str:
        """The type of the assets whose backups these are."""
        return ASSET_TYPES[self.content.kind]

    @property
    def holds(self) -> str:
        """The value of the key `holds`."""
        return "pg_basebackup" if self.content.kind == "cluster" else "pg_dump"

    @abstractmethod
    def make(self) -> None:
        """Make the empty repository."""

    @abstractmethod
    def put(self, backup: str, *, link: bool = False) -> None:
        """Make one backup with the real tool, of `self.content.make(backup, link=link)`."""

    @abstractmethod
    def remove(self, backup: str) -> None:
        """Remove a backup as the tool does."""

    @abstractmethod
    def place(self, passphrase: str | None = PASSPHRASE) -> Place:
        """Return where it is, as a backup job would tell."""

    @abstractmethod
    def damage(self) -> None:
        """Change bytes that every backup in it needs, so that fetching them cannot give back what was put."""

    @abstractmethod
    def impatient(self, deadline_s: float) -> BackupSource:
        """Return the source with so short a deadline for every run of its program."""

    def destroy(self) -> None:
        """Remove the whole repository."""
        shutil.rmtree(self.folder)

    def source(self, passphrase: str | None = PASSPHRASE) -> BackupSource:
        """Return the source that reads it."""
        return open_source(self.asset_type, self.place(passphrase))

    def expected(self, backup: str) -> dict[str, bytes]:
        """Return what fetching must give, by path below the folder fetched into; all of it where `whole`."""
        return self.content.files(backup)


@dataclass(frozen=True)
class Case:
    """One shelf with one kind of content. open: takes (request for fixtures, empty folder, content)."""

    format: str
    kind: str
    open: Callable[[pytest.FixtureRequest, Path, Content], Shelf]
    programs: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.format}-{self.kind}"


def cases(shelf: type[Shelf], kinds: Sequence[str]) -> list[Case]:
    """Return the cases of a shelf that needs no fixtures, by the kinds of content it keeps."""

    def opened(_request: Any, folder: Path, content: Content) -> Shelf:
        return shelf(folder, content)

    return [Case(shelf.format, kind, opened, shelf.programs) for kind in kinds]


def moment(backup: str) -> datetime:
    """Return the time in a backup's name."""
    return datetime.strptime(backup.rpartition("-")[2], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
