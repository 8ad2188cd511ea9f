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

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class _Item:
    at: Location
    data: Mapping[str, Any]

    def text(self, key: str) -> str | None:
        value = self.data.get(key)
        return value if isinstance(value, str) else None


def check(tree: Tree) -> list[Problem]:
    """Return every disagreement within the file, in no particular order."""
    root = _Item((), tree.value if isinstance(tree.value, dict) else {})
    services = list(_items(root, "services"))
    assets = [asset for service in services for asset in _items(service, "assets")]
    collectors = list(_items(root, "collectors"))
    problems: list[Problem] = []
    for what, items in (("service", services), ("asset", assets), ("collector", collectors)):
        problems += _unique(tree, what, "name", items)
    for asset in assets:
        problems += _unique(tree, "backup of this asset", "name", list(_items(asset, "backups")))
    problems += _references(tree, root, services, assets, collectors)
    problems += _schedules(tree, root, _names(assets))
    problems += _ties(tree, services)
    return problems


def _items(parent: _Item, key: str) -> Iterator[_Item]:
    found = parent.data.get(key)
    for place, item in enumerate(found if isinstance(found, list) else ()):
        if isinstance(item, dict):
            yield _Item((*parent.at, key, place), item)


def _names(items: list[_Item]) -> list[str]:
    return [name for item in items if (name := item.text("name")) is not None]


def _unique(tree: Tree, what: str, key: str, items: list[_Item]) -> Iterator[Problem]:
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


def _unknown(tree: Tree, at: Location, what: str, value: object, known: list[str]) -> Iterator[Problem]:
    if not isinstance(value, str) or value in known:
        return
    near = difflib.get_close_matches(value, known, n=1)
    if near:
        hint = f"did you mean {near[0]}?"
    else:
        hint = f"configured: {', '.join(known)}" if known else f"no {what} is configured"
    yield Problem(tree.line(at), at, f"there is no {what} called {shown(value)}; {hint}")


def _references(
    tree: Tree, root: _Item, services: list[_Item], assets: list[_Item], collectors: list[_Item]
) -> Iterator[Problem]:
    service_names, collector_names = _names(services), _names(collectors)
    for service in services:
        for match in _items(service, "match"):
            at = (*match.at, "collector")
            yield from _unknown(tree, at, "collector", match.text("collector"), collector_names)
        depends = service.data.get("dependsOn")
        for place, name in enumerate(depends if isinstance(depends, list) else ()):
            at = (*service.at, "dependsOn", place)
            yield from _unknown(tree, at, "service", name, service_names)
            if isinstance(name, str) and name == service.text("name"):
                yield Problem(tree.line(at), at, "a service cannot depend on itself; remove it")
    for asset in assets:
        source = asset.data.get("source")
        if isinstance(source, dict):
            at = (*asset.at, "source", "postgres")
            yield from _unknown(tree, at, "collector", source.get("postgres"), collector_names)
    sandbox = root.data.get("sandbox")
    accepted = sandbox.get("acceptNone") if isinstance(sandbox, dict) else None
    for place, name in enumerate(accepted if isinstance(accepted, list) else ()):
        yield from _unknown(tree, ("sandbox", "acceptNone", place), "asset", name, _names(assets))


def _schedules(tree: Tree, root: _Item, assets: list[str]) -> Iterator[Problem]:
    for schedule in _items(root, "schedules"):
        job, at = schedule.text("job"), (*schedule.at, "asset")
        if job == "drill":
            if "asset" not in schedule.data:
                yield Problem(tree.line(at), at, "a drill needs the asset to restore; add it")
            yield from _unknown(tree, at, "asset", schedule.text("asset"), assets)
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


def _ties(tree: Tree, services: list[_Item]) -> Iterator[Problem]:
    """Two services that could both claim one resource with equal right; within one service that is no tie."""
    matches = [
        (service, item, match)
        for service in services
        for item in _items(service, "match")
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


def _match(item: _Item) -> Match | None:
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
