"""Which objects below a prefix are one backup, told from keys, versions and times alone. No I/O.

One object, or one folder right below the prefix, is one backup, by the same names as in a folder of a disk.
Invariant: an id names the very versions that it was made of, so that what is uploaded under the same key later has
another one. A key that no file can have (`..`, an empty part) never becomes a path: a backup that has one is refused.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from verifiers.sources.names import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

_NAME_BYTES: Final = 255
_DIGEST_CHARS: Final = 16


@dataclass(frozen=True, slots=True)
class Stored:
    """One object, or one version of it. version: None where versions are not kept, or were not then (`null`)."""

    key: str
    version: str | None
    size: int
    etag: str
    stored_at: datetime
    current: bool = True


@dataclass(frozen=True, slots=True)
class Gone:
    """A delete marker: from `stored_at` on the key was not there."""

    key: str
    stored_at: datetime
    current: bool


@dataclass(frozen=True, slots=True)
class Hold:
    """What holds one object. mode: GOVERNANCE or COMPLIANCE, None without retention; `until` is None with it.

    legal: whether there is a legal hold; it is looked for where retention does not suffice.
    """

    key: str
    mode: str | None
    until: datetime | None
    legal: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """What lay under one name at one time.

    name: first part of the keys below the prefix. folder: whether they go on behind it. members: by the path below
    the name, `""` for the object itself. replaced_at: when the first of it was overwritten or deleted; None for what
    is there now. odd: keys of it that no file can have. version: of its id, empty where versions are not kept.
    """

    name: str
    folder: bool
    members: Mapping[str, Stored]
    replaced_at: datetime | None = None
    odd: Sequence[str] = ()
    version: str = field(default="", kw_only=True)

    @property
    def size_bytes(self) -> int:
        """Bytes of all members."""
        return sum(member.size for member in self.members.values())

    @property
    def stored_at(self) -> datetime:
        """When the newest member was stored."""
        return max(member.stored_at for member in self.members.values())

    def named(self, identity: str) -> str:
        """Return the id of a backup made of it."""
        return f"{identity}@{self.version}" if self.version else identity


def groups(prefix: str, stored: Iterable[Stored], gone: Iterable[Gone]) -> list[Group]:
    """Return what lies and lay below a prefix, what is there now last for each name.

    Of an object every version. Of a folder what is there now, and each earlier state: what lay there before the first
    of its files was overwritten or deleted anew.
    """
    events: defaultdict[tuple[str, bool], list[Stored | Gone]] = defaultdict(list)
    both: list[Stored | Gone] = [*stored, *gone]
    for event in both:
        name, slash, _ = event.key[len(prefix) :].partition("/")
        events[name, bool(slash)].append(event)
    found = []
    for (name, folder), of_it in sorted(events.items()):
        if name in {"", ".", ".."}:
            continue
        states = _folder_states(of_it) if folder else _object_states(of_it)
        found += [_group(prefix, name, members, until, folder=folder) for members, until in states if members]
    return found


def at_once(found: Sequence[Group], moment: datetime | None) -> list[Group]:
    """Return, of each name, what was there just before `moment`; None for now."""
    last: dict[tuple[str, bool], Group] = {}
    for group in found:
        there = group.replaced_at is None if moment is None else group.stored_at < moment
        if there and (moment is None or group.replaced_at is None or group.replaced_at >= moment):
            last[group.name, group.folder] = group
    return list(last.values())


def newest_last(moments: Sequence[datetime]) -> list[datetime]:
    """Return the times of the uploads of one name, oldest first, such that a later upload is never the older one.

    The stamp in their name is the same for all of them, and a store's clock tells seconds only.
    """
    told: list[datetime] = []
    for moment in reversed(moments):
        told.append(min(moment, told[-1] - timedelta(microseconds=1)) if told else moment)
    return told[::-1]


def _group(prefix: str, name: str, members: Sequence[Stored], until: datetime | None, *, folder: bool) -> Group:
    inside = {member.key[len(prefix) + len(name) + 1 :]: member for member in members}
    if not folder:
        [member] = members
        return Group(name, False, inside, until, version=member.version or "")
    kept = {path: member for path, member in inside.items() if path and not path.endswith("/")}
    odd = [member.key for path, member in inside.items() if _odd(path)]
    odd += [member.key for path, member in kept.items() if any(parent in kept for parent in _parents(path))]
    versions = sorted((member.key, member.version or "") for member in members)
    version = ""
    if any(member.version is not None for member in members):
        lines = "".join(f"{key}\0{of_it}\0" for key, of_it in versions)
        version = hashlib.sha256(lines.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARS]
    return Group(name, True, inside, until, odd, version=version)


def _odd(path: str) -> bool:
    """Whether a path below a folder is none that a file, or a marker of a folder, can have."""
    if path in {"", "/"}:
        return path == "/"
    parts = path.removesuffix("/").split("/")
    return "\0" in path or any(
        part in {"", ".", ".."} or len(part.encode("utf-8", "surrogatepass")) > _NAME_BYTES for part in parts
    )


def _parents(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def _object_states(events: Sequence[Stored | Gone]) -> list[tuple[list[Stored], datetime | None]]:
    states: list[tuple[list[Stored], datetime | None]] = []
    ordered = [event for event, _ in _in_order(events)]
    for place, event in enumerate(ordered):
        if isinstance(event, Stored):
            later = ordered[place + 1].stored_at if place + 1 < len(ordered) else None
            states.append(([event], later))
    return states


def _folder_states(events: Sequence[Stored | Gone]) -> list[tuple[list[Stored], datetime | None]]:
    there: dict[str, Stored] = {}
    touched: set[str] = set()
    states: list[tuple[list[Stored], datetime | None]] = []
    for event, _ in _in_order(events):
        if event.key in touched:
            states.append((list(there.values()), event.stored_at))
            touched = set()
        touched.add(event.key)
        if isinstance(event, Stored):
            there[event.key] = event
        else:
            there.pop(event.key, None)
    states.append((list(there.values()), None))
    return states


def _in_order(events: Sequence[Stored | Gone]) -> list[tuple[Stored | Gone, int]]:
    """Return events oldest first. Of one second, those of one key stay in their order, told apart by their rank."""
    ranks: defaultdict[tuple[str, datetime], int] = defaultdict(int)
    ranked = []
    # A listing has the newest version of a key first; what is current comes last whatever the clock says.
    oldest_first = list(reversed(events))
    oldest_first.sort(key=lambda event: (event.stored_at, event.current))
    for event in oldest_first:
        ranked.append((event, ranks[event.key, event.stored_at]))
        ranks[event.key, event.stored_at] += 1
    return sorted(ranked, key=lambda pair: (pair[0].stored_at, pair[1]))


def in_tree_order(paths: Iterable[str]) -> list[str]:
    """Return paths as `Copier.tree` goes through them: folder by folder, names by their bytes."""
    return sorted(paths, key=lambda path: tuple(os.fsencode(part) for part in path.split("/")))


def readable(group: Group) -> str:
    """Say why a group cannot be made into files, empty if it can."""
    if len(group.name.encode("utf-8", "surrogatepass")) > _NAME_BYTES:
        return "its name is longer than that of a file can be"
    return f"it holds the key {shown(group.odd[0])!r}, which no file can have" if group.odd else ""
