"""Archives in a Borg repository.

Invariant: the repository is never written to and never locked, and the passphrase is in Borg's environment only. Before
an archive is extracted its list is read: nothing in it may lead out of the folder. An archive whose data are damaged or
lacking is a defect of the backup, told as DamagedError, also where `borg check --repair` has put zeros in place of it;
a wrong passphrase is KeyMissingError; whatever else Borg says, warnings too, is an error that repeats its words.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, NoReturn

from verifiers.compressed import DamagedError
from verifiers.sources.base import BackupItem, Fetched, KeyMissingError, SourceError
from verifiers.sources.contents import digest_in, take
from verifiers.sources.names import shown
from verifiers.sources.pg_dump import oldest_first
from verifiers.sources.program import Program, ProgramError, environment_of, last_lines, refuse_crowding

if TYPE_CHECKING:
    from collections.abc import Callable

    from verifiers.sources.base import Place

LISTING_S: Final = 1800.0
FETCH_S: Final = 7 * 86400.0  # the drill's own deadline, told through `progress`, comes first
_VERIFIED: Final = "Borg verified the checksum of every piece it extracted"
_ENTRY: Final = "{type}{NUL}{size}{NUL}{bpath}{NUL}{source}{NUL}"
_CHECKPOINT: Final = re.compile(r"\.checkpoint(\.\d+)?$")
_OPENING: Final = frozenset({"BORG_PASSPHRASE", "BORG_PASSCOMMAND"})
_NO_KEY: Final = re.compile(
    r"passphrase supplied in|passphrase[^\n]* incorrect|can not acquire a passphrase|no key file for repository"
    r"|no key entry found|KeyfileNotFound|passphrase is wrong",
    re.IGNORECASE,
)
_UNENCRYPTED: Final = re.compile("previously unknown unencrypted repository", re.IGNORECASE)
# What Guardian's side lacks, and no defect of a backup.
_OURS: Final = re.compile(
    r"no space left|disk quota|permission denied|operation not permitted|read-only file system|input/output error"
    r"|connection (?:closed|refused|reset)|timed out|broken pipe|MemoryError|too many open files",
    re.IGNORECASE,
)
_DAMAGED: Final = re.compile(
    r"^.*(?:data integrity error|IntegrityError|has damaged \(all-zero\) chunks|chunk[^\n]* missing"
    r"|ObjectNotFound|object with key [^\n]* not found|decompression error"
    r"|No such file or directory: '[^\n]*/data/\d+/\d+').*$",
    re.IGNORECASE | re.MULTILINE,
)
_ZEROS: Final = re.compile(r"^.*has damaged \(all-zero\) chunks.*$", re.MULTILINE)


class Borg:
    """The archives of one repository, those whose names begin with the place's server where it names one.

    deadline_s: for every run of Borg, instead of what each may take.
    """

    format = "borg"

    def __init__(self, asset_type: str, place: Place, *, deadline_s: float | None = None) -> None:
        self.asset_type, self.place, self.deadline_s = asset_type, place, deadline_s
        self._program = Program("borg", "borgbackup")

    def locate(self) -> list[BackupItem]:
        """See BackupSource. Sizes are not told: Borg reads the whole repository's lists for them."""
        answer = self._run(("list", "--json", "--consider-checkpoints"), LISTING_S)
        try:
            listed = json.loads(answer)["archives"]
            items = [self._item(archive["name"], archive["id"], archive["start"]) for archive in listed]
        except (ValueError, KeyError, TypeError) as error:
            raise SourceError(
                f"borg list of {self.place.shown} answered something that is no list of archives"
            ) from error
        return sorted((item for item in items if item is not None), key=oldest_first)

    def fetch(self, item: BackupItem, into: Path, progress: Callable[[int], None]) -> Fetched:
        """See BackupSource. Raises DamagedError where what the archive needs is lacking or damaged."""
        if item.path.parent != Path(self.place.shown):
            raise SourceError(f"{item.path} is not in the repository {self.place.shown}")
        if item.complete is False:
            raise SourceError(f"{item.id}: {item.reason}")
        if any(into.iterdir()):
            raise SourceError(f"{into} is not empty; a backup is fetched into a new folder")
        archive, root = f"::{item.path.name}", into / ".extracted"
        refuse_crowding(into, self._looked_through(archive, progress))
        root.mkdir(mode=0o700)
        self._run(("extract", "--noacls", "--noxattrs", "--noflags", archive), FETCH_S, progress, root)
        return take(root, into, self.asset_type, self.place, progress, verified=_VERIFIED)

    def digest(self, item: BackupItem) -> tuple[str, int]:
        """See BackupSource. The archive is extracted into a folder of its own for it."""
        return digest_in(self, item)

    def _item(self, name: str, identity: str, start: str) -> BackupItem | None:
        if not name.startswith(self.place.server or ""):
            return None
        began = datetime.fromisoformat(start)
        whole = _CHECKPOINT.search(name) is None
        return BackupItem(
            name if name.isprintable() else identity,
            Path(self.place.shown) / name,
            began.replace(tzinfo=UTC) if began.tzinfo is None else began.astimezone(UTC),
            0,
            complete=None if whole else False,
            reason="" if whole else "it is a checkpoint: borg create broke off before it had written the archive",
        )

    def _looked_through(self, archive: str, progress: Callable[[int], None]) -> int:
        """Return the bytes of all files in an archive. Raises SourceError if extracting it could write elsewhere."""
        listed = self._run(("list", "--format", _ENTRY, archive), LISTING_S, progress)
        fields = listed.split(b"\0")[:-1]
        total, links, paths = 0, set[PurePosixPath](), list[PurePosixPath]()
        for kind, size, path, source in zip(*(fields[start::4] for start in range(4)), strict=True):
            place = PurePosixPath(path.decode("utf-8", "surrogateescape"))
            paths.append(place)
            total += int(size)
            if kind == b"l":
                links.add(place)
            elif kind == b"h":
                paths.append(PurePosixPath(source.decode("utf-8", "surrogateescape")))
        for place in paths:
            if place.is_absolute() or ".." in place.parts or not links.isdisjoint(place.parents):
                raise SourceError(f"{shown(str(place))} in it leads out of the folder it is extracted into")
        return total

    def _run(
        self,
        arguments: tuple[str, ...],
        deadline_s: float,
        progress: Callable[[int], None] = lambda _: None,
        folder: Path | None = None,
    ) -> bytes:
        environment = environment_of(self.place)
        secrets = [*environment.values(), *self.place.passwords]
        if self.place.secret is not None:
            environment["BORG_PASSPHRASE"] = self.place.secret.read()
            secrets.append(environment["BORG_PASSPHRASE"])
        elif not environment.keys() & _OPENING:
            # Only where nobody expects encryption: else somebody could put another repository in place of ours.
            environment["BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK"] = "yes"
        environment |= {"BORG_REPO": self.place.path, "TZ": "UTC", "BORG_DISPLAY_PASSPHRASE": "no"}
        try:
            return self._program.run(
                (arguments[0], "--bypass-lock", *arguments[1:]),
                environment=environment,
                deadline_s=self.deadline_s or deadline_s,
                secrets=secrets,
                poll=lambda: progress(0),
                heard=_hear,
                folder=folder,
                scratch=folder.parent if folder is not None else None,
            )
        except ProgramError as error:
            self._judge(error)

    def _judge(self, error: ProgramError) -> NoReturn:
        """Say whose fault it is."""
        said, place = error.said, self.place.shown
        if _NO_KEY.search(said):
            lacks = "no passphrase is configured for" if self.place.secret is None else "the passphrase does not open"
            raise KeyMissingError(
                f"{lacks} the Borg repository {place}; give the one that does in `decrypt`, and where the key is kept"
                " in a file, name that as BORG_KEY_FILE in `environment`"
            ) from error
        if _UNENCRYPTED.search(said):
            unlike = "is not encrypted, though `decrypt` is configured; look who changed it"
            raise SourceError(f"the Borg repository {place} {unlike}") from error
        damage = _DAMAGED.search(said)
        if damage and not _OURS.search(said):
            raise DamagedError(f"Borg could not extract it from {place}: {damage[0].strip()[:300]}") from error
        failed = f"borg failed on the repository {place} with exit {error.status}"
        raise SourceError(f"{failed}: {_words(said)}") from error


def _hear(said: str) -> None:
    """Refuse what Borg takes for a warning."""
    zeros = _ZEROS.search(said)
    if zeros:
        raise DamagedError(f"a part of it was lost, and borg check --repair put zeros there: {zeros[0].strip()[:300]}")


def _words(said: str) -> str:
    """Return what Borg says for people: without the stack and what it tells of the machine."""
    before = said.partition("\nPlatform: ")[0]
    lines = [line for line in before.splitlines() if not line.startswith((" ", "Traceback", "During handling"))]
    return last_lines("\n".join(lines)) or "it said nothing"
