"""What must agree across guardian.yaml: unique names, references that lead somewhere, matches that cannot tie. No I/O.

These checks read the raw tree and skip what has the wrong shape (that is `config_models`' complaint), so that a person
sees everything that is wrong at once.
"""

from __future__ import annotations

import difflib
import zoneinfo
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from guardian.config_scalars import shown
from guardian.config_yaml import Location, Problem, Tree, show_path
from guardian.model import Match
from verifiers.sources import FORMATS
from verifiers.sources.base import masked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Item:
    """A mapping of the raw tree and where it stands."""

    at: Location
    data: Mapping[str, Any]

    def text(self, key: str) -> str | None:
        """Return what stands under `key` if it is text."""
        value = self.data.get(key)
        return value if isinstance(value, str) else None


def check(tree: Tree) -> list[Problem]:
    """Return every disagreement within the file, in no particular order."""
    root = Item((), tree.value if isinstance(tree.value, dict) else {})
    services = list(items_of(root, "services"))
    assets = [asset for service in services for asset in items_of(service, "assets")]
    collectors = list(items_of(root, "collectors"))
    problems: list[Problem] = []
    for what, items in (("service", services), ("asset", assets), ("collector", collectors)):
        problems += _unique(tree, what, "name", items)
    for asset in assets:
        problems += _unique(tree, "backup of this asset", "name", list(items_of(asset, "backups")))
        problems += _unique(tree, "assertion of this asset", "name", list(items_of(asset, "assertions")))
    for asset in assets:
        problems += _backups(tree, asset)
        problems += _drill(tree, asset)
    problems += _references(tree, root, services, assets, collectors)
    problems += _schedules(tree, root, names_of(assets))
    problems += _ties(tree, services)
    return problems


def items_of(parent: Item, key: str) -> Iterator[Item]:
    """Yield the mappings of the list under `key`."""
    found = parent.data.get(key)
    for place, item in enumerate(found if isinstance(found, list) else ()):
        if isinstance(item, dict):
            yield Item((*parent.at, key, place), item)


def names_of(items: list[Item]) -> list[str]:
    """Return the names of those that have one."""
    return [name for item in items if (name := item.text("name")) is not None]


def _unique(tree: Tree, what: str, key: str, items: list[Item]) -> Iterator[Problem]:
    first: dict[str, Location] = {}
    for item in items:
        value = item.text(key)
        at = (*item.at, key)
        if value is not None and value in first:
            other = first[value]
            message = f"this {what} is already at {show_path(other)} on line {tree.line(other)}; make them different"
            yield Problem(tree.line(at), at, message)
        elif value is not None:
            first[value] = at


def unknown_name(tree: Tree, at: Location, what: str, value: object, known: list[str]) -> Iterator[Problem]:
    """Complain if `value` is text but names none of `known`, with the nearest."""
    if not isinstance(value, str) or value in known:
        return
    near = difflib.get_close_matches(value, known, n=1)
    if near:
        hint = f"did you mean {near[0]}?"
    else:
        hint = f"configured: {', '.join(known)}" if known else f"no {what} is configured"
    yield Problem(tree.line(at), at, f"there is no {what} called {shown(value)}; {hint}")


def _references(
    tree: Tree, root: Item, services: list[Item], assets: list[Item], collectors: list[Item]
) -> Iterator[Problem]:
    service_names, collector_names = names_of(services), names_of(collectors)
    for service in services:
        for match in items_of(service, "match"):
            at = (*match.at, "collector")
            yield from unknown_name(tree, at, "collector", match.text("collector"), collector_names)
        depends = service.data.get("dependsOn")
        for place, name in enumerate(depends if isinstance(depends, list) else ()):
            at = (*service.at, "dependsOn", place)
            yield from unknown_name(tree, at, "service", name, service_names)
            if isinstance(name, str) and name == service.text("name"):
                yield Problem(tree.line(at), at, "a service cannot depend on itself; remove it")
    for asset in assets:
        source = asset.data.get("source")
        if isinstance(source, dict):
            at = (*asset.at, "source", "postgres")
            yield from unknown_name(tree, at, "collector", source.get("postgres"), collector_names)
    sandbox = root.data.get("sandbox")
    accepted = sandbox.get("acceptNone") if isinstance(sandbox, dict) else None
    for place, name in enumerate(accepted if isinstance(accepted, list) else ()):
        yield from unknown_name(tree, ("sandbox", "acceptNone", place), "asset", name, names_of(assets))


_REPOSITORIES = ("restic", "borg", "tar", "s3")  # they keep whatever was put into them
_KEEP_LOG = ("pgbackrest", "barman")
# By key of a backup job: the formats it belongs to.
_BELONGS = {
    "holds": _REPOSITORIES,
    "server": (*_KEEP_LOG, "restic", "borg"),
    "environment": ("restic", "borg", "pgbackrest", "s3"),
    "endpoint": ("s3",),
    "region": ("s3",),
    "lock": ("s3",),
    "wal": ("pg_basebackup", *_REPOSITORIES),
    "recover": ("pg_basebackup", *_KEEP_LOG, *_REPOSITORIES),
    "quiesce": ("pg_basebackup", *_KEEP_LOG, *_REPOSITORIES),
}


def _backups(tree: Tree, asset: Item) -> Iterator[Problem]:
    """Each key of a backup job belongs to some formats, each format to some types of assets."""
    kind = asset.text("type")
    jobs = list(items_of(asset, "backups"))
    for backup in jobs:
        form, at = backup.text("format"), backup.at
        formats = [known for asset_type, known in FORMATS if asset_type == kind]
        if form is not None and formats and form not in formats and any(form == known for _, known in FORMATS):
            message = f"no format of assets of type {kind}; those are: {', '.join(formats)}"
            yield Problem(tree.line((*at, "format")), (*at, "format"), message)
            continue
        for key, belongs in _BELONGS.items():
            if key in backup.data and form not in belongs:
                message = f"belongs to format {' or '.join(belongs)}, and this is {form}; remove it"
                yield Problem(tree.line((*at, key)), (*at, key), message)
        yield from _recovery(tree, backup, form)
        yield from _opened(tree, backup, form)
        if kind != "postgres" and "holds" in backup.data:
            message = f"says what is kept of a database, and an asset of type {kind} has one form; remove it"
            yield Problem(tree.line((*at, "holds")), (*at, "holds"), message)
        path = backup.text("path")
        if form == "s3" and path is not None and not path.startswith("s3://"):
            message = f"expected s3://BUCKET/PREFIX, found {shown(masked(path))}"
            yield Problem(tree.line((*at, "path")), (*at, "path"), message)
        original = backup.text("copyOf")
        if original is not None:
            others = [name for other in jobs if (name := other.text("name")) and name != backup.text("name")]
            yield from unknown_name(tree, (*at, "copyOf"), "other backup job of this asset", original, others)


def _opened(tree: Tree, backup: Item, form: str | None) -> Iterator[Problem]:
    """Files are opened with a key of age, repositories with a passphrase."""
    decrypt = backup.data.get("decrypt")
    with_passphrase = {"restic", "borg", "pgbackrest"}
    if not isinstance(decrypt, dict):
        return
    if "password" in decrypt and form not in with_passphrase:
        at = (*backup.at, "decrypt", "password")
        yield Problem(tree.line(at), at, "opens a repository, and this is none; encrypted files need age: file:PATH")
    if "age" in decrypt and form in with_passphrase:
        at = (*backup.at, "decrypt", "age")
        yield Problem(tree.line(at), at, f"opens files, and {form} is a repository; write password: REFERENCE")


def _recovery(tree: Tree, backup: Item, form: str | None) -> Iterator[Problem]:
    """An archive of write-ahead log, and a place in it, belong to copies of a cluster."""
    physical = form in {"pg_basebackup", *_KEEP_LOG} or backup.text("holds") == "pg_basebackup"
    if form in _REPOSITORIES and not physical:
        for key in {"wal", "recover", "quiesce"} & backup.data.keys():
            message = "belongs to copies of a cluster; remove it, or write holds: pg_basebackup"
            yield Problem(tree.line((*backup.at, key)), (*backup.at, key), message)
    recover = backup.data.get("recover")
    if (
        isinstance(recover, dict)
        and recover.get("to") != "end"
        and "wal" not in backup.data
        and physical
        and form not in _KEEP_LOG
    ):
        at = (*backup.at, "recover")
        yield Problem(tree.line(at), at, "needs the archive of write-ahead log; add wal: PATH, or write {to: end}")
    if "quiesce" in backup.data and "wal" not in backup.data and physical and form not in _KEEP_LOG:
        at = (*backup.at, "quiesce")
        message = "what it makes is recovered from the archive of write-ahead log; add wal: PATH, or remove it"
        yield Problem(tree.line(at), at, message)
    if form == "pg_basebackup" and "decrypt" in backup.data:
        at = (*backup.at, "decrypt")
        yield Problem(tree.line(at), at, "belongs to dumps and repositories; remove it")


# By key of `drill`: the key that it belongs to, with the values.
_DRILL_NEEDS = {"period": ("choose", "sampled"), "fullEvery": ("scope", "rotate")}


def _drill(tree: Tree, asset: Item) -> Iterator[Problem]:
    """Keys that change nothing mislead; a filestore has neither scope nor indexes nor a heartbeat."""
    drill, source = asset.data.get("drill"), asset.data.get("source")
    files_only = asset.text("type") == "filestore"
    if isinstance(drill, dict):
        at = (*asset.at, "drill")
        for key, (other, value) in _DRILL_NEEDS.items():
            if key in drill and drill.get(other) != value:
                yield Problem(tree.line((*at, key)), (*at, key), f"belongs to {other}: {value}; add that or remove it")
        for key in ("scope", "fullEvery", "heapallindexedEvery"):
            if files_only and key in drill:
                yield Problem(tree.line((*at, key)), (*at, key), "belongs to databases, and this is files; remove it")
        if "reverify" in drill and not files_only:
            message = f"belongs to assets of type filestore, and this is {asset.text('type')}; remove it"
            yield Problem(tree.line((*at, "reverify")), (*at, "reverify"), message)
    if isinstance(source, dict) and "heartbeat" in source and files_only:
        at = (*asset.at, "source", "heartbeat")
        yield Problem(tree.line(at), at, "belongs to databases, and this is files; remove it")


def _schedules(tree: Tree, root: Item, assets: list[str]) -> Iterator[Problem]:
    for schedule in items_of(root, "schedules"):
        job, at = schedule.text("job"), (*schedule.at, "asset")
        if job == "drill":
            if "asset" not in schedule.data:
                yield Problem(tree.line(at), at, "a drill needs the asset to restore; add it")
            yield from unknown_name(tree, at, "asset", schedule.text("asset"), assets)
        elif job == "scan" and "asset" in schedule.data:
            yield Problem(tree.line(at), at, "a scan looks at everything and takes no asset; remove it")
        zone, zone_at = schedule.text("timeZone"), (*schedule.at, "timeZone")
        if zone is not None and not _is_zone(zone):
            message = f"{shown(zone)} is not an IANA time zone; expected one like Europe/Berlin or UTC"
            yield Problem(tree.line(zone_at), zone_at, message)


def _is_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _ties(tree: Tree, services: list[Item]) -> Iterator[Problem]:
    """Two services that could both claim one resource with equal right; within one service that is no tie."""
    matches = [
        (service, item, match)
        for service in services
        for item in items_of(service, "match")
        if (match := _match(item)) is not None
    ]
    for (one, one_at, first), (other, other_at, second) in combinations(matches, 2):
        if one.text("name") != other.text("name") and _tie(first, second):
            message = (
                f"services {shown(one.text('name'))} (line {tree.line(one_at.at)}) and {shown(other.text('name'))} "
                f"(line {tree.line(other_at.at)}) match the same resources equally well; "
                "narrow one of them with idPrefix, labels, tags or namespace"
            )
            yield Problem(tree.line(other_at.at), other_at.at, message)


def _match(item: Item) -> Match | None:
    collector, labels, tags = item.text("collector"), item.data.get("labels", {}), item.data.get("tags", {})
    if collector is None or not isinstance(labels, dict) or not isinstance(tags, dict):
        return None
    return Match(collector, item.text("namespace"), labels, tags, item.text("idPrefix"))


def _tie(one: Match, other: Match) -> bool:
    """Whether one resource could match both while neither is more specific."""
    if one.collector != other.collector or one.specificity != other.specificity:
        return False
    if one.id_prefix != other.id_prefix or one.namespace != other.namespace:  # as long, but different: disjoint
        return False
    labels_clash = any(one.labels[key] != other.labels[key] for key in one.labels.keys() & other.labels.keys())
    tags_clash = any(one.tags[key] != other.tags[key] for key in one.tags.keys() & other.tags.keys())
    return not (labels_clash or tags_clash)
