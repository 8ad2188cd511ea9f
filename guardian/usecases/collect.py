"""Run every configured collector and freeze what they saw into one snapshot; read such a snapshot back.

Invariant: the bytes depend on what was observed and on `now` only, not on the order of observation. A snapshot that is
read back is the one that was written, byte for byte, or it is refused.
"""

from __future__ import annotations

import hashlib
import re
import traceback
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
import structlog

from guardian.collectors import Collector, Observed, Unreadable
from guardian.collectors.aws import Aws
from guardian.collectors.backups import Backups
from guardian.collectors.declared import Declared
from guardian.collectors.kubernetes import Kubernetes
from guardian.collectors.postgres import Postgres
from guardian.collectors.records import Records
from guardian.errors import UsageError
from guardian.model import CollectorStatus, Resource, Snapshot, Tier
from guardian.normalise import Estate, collection_error, normalise, rfc3339
from guardian.redact import parse_key
from guardian.settings import AwsCollector, KubernetesCollector, PostgresCollector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from guardian.settings import Settings

SCHEMA = "guardian/snapshot/v1"
COMPLETE, PARTIAL, FAILED = "complete", "partial", "failed"

_Read = TypeVar("_Read")

log_events = structlog.get_logger()


def collect(
    settings: Settings, *, now: datetime, drills: Sequence[Mapping[str, Any]], slots: Sequence[Mapping[str, Any]] = ()
) -> Snapshot:
    """Look at everything that is configured and return the snapshot.

    now: aware; the moment of the snapshot, which ages are computed against, taken in whole seconds.
    drills, slots: attributes of guardian.Drill and guardian.Slot, of verified records of this environment.
    Raises ConfigError if there is no redaction key; a source that cannot be read raises nothing and is in the snapshot.
    """
    now = now.astimezone(UTC).replace(microsecond=0)
    estate = Estate(settings.services, parse_key(settings.keys.redaction), settings.redact_keep)
    statuses: list[CollectorStatus] = []
    resources: list[Resource] = []
    taken: set[str] = set()
    for collector in configured(settings, drills, slots):
        status, found = run(collector, estate, now)
        statuses.append(status)
        # what two collectors see, such as a policy that AWS gives to every account, is the second's by its name
        found = [replace(item, id=f"{item.id}#{collector.name}") if item.id in taken else item for item in found]
        taken.update(item.id for item in found)
        resources += found
    return build(settings.environment, now, statuses, resources)


def configured(
    settings: Settings, drills: Sequence[Mapping[str, Any]], slots: Sequence[Mapping[str, Any]] = ()
) -> list[Collector]:
    """Return the collectors that `settings` ask for: what is declared and recorded always, the rest where listed."""
    assets = [asset for asset in settings.assets().values() if asset.backups]
    collectors: list[Collector] = [
        Declared(settings.environment, settings.services, settings.schedules),
        Records(settings.environment, drills, slots),
    ]
    if assets:
        collectors.append(Backups(settings.environment, assets))
    collectors += [Postgres(item) for item in settings.collectors if isinstance(item, PostgresCollector)]
    collectors += [Kubernetes(item) for item in settings.collectors if isinstance(item, KubernetesCollector)]
    collectors += [Aws(item) for item in settings.collectors if isinstance(item, AwsCollector)]
    return collectors


def run(collector: Collector, estate: Estate, now: datetime) -> tuple[CollectorStatus, list[Resource]]:
    """Run one collector. What it could not read, or its own defect, becomes CollectionErrors."""
    resources: list[Resource] = []
    unreadable: dict[str, list[Unreadable]] = defaultdict(list)
    for item in _observations(collector, now):
        if isinstance(item, Unreadable):
            unreadable[item.kind].append(item)
            log_events.warning(
                "source_unreadable", collector=collector.type, name=collector.name, kind=item.kind, reason=item.reason
            )
        else:
            try:
                resources.append(normalise(item, collector, estate))
            except Exception as error:  # noqa: BLE001 -- could not check is a verdict, and costs one kind at most
                unreadable[item.kind].append(_defect(collector, item.kind, error))
    status = COMPLETE if not unreadable else PARTIAL if resources else FAILED
    errors = [collection_error(kind, found, collector, estate) for kind, found in unreadable.items()]
    return (
        CollectorStatus(collector.type, collector.name, tuple(collector.kinds), status),
        _with_unique_ids([*resources, *errors]),
    )


def build(
    environment: str, now: datetime, collectors: Iterable[CollectorStatus], resources: Iterable[Resource]
) -> Snapshot:
    """Write the snapshot once: a header line, then resources by id, keys sorted, and take its digest.

    now: aware, in whole seconds. Raises ValueError if two resources share an id.
    """
    ordered = sorted(resources, key=lambda resource: resource.id)
    statuses = sorted(collectors, key=lambda status: (status.type, status.name))
    if len({resource.id for resource in ordered}) != len(ordered):
        raise ValueError("two resources share an id")
    header = _header(environment, now, statuses, ordered)
    data = b"".join(_line(entry) for entry in (header, *(resource.to_json() for resource in ordered)))
    return Snapshot(environment, now, tuple(statuses), tuple(ordered), data, hashlib.sha256(data).hexdigest())


def read_snapshot(data: bytes, *, digest: str | None = None) -> Snapshot:
    """Read a snapshot as `build` wrote it.

    digest: the SHA-256 in hex that it must have, None if nobody recorded one.
    Raises UsageError naming the line for anything that `build` would have written otherwise.
    """
    found = hashlib.sha256(data).hexdigest()
    if digest is not None and found != digest:
        raise UsageError(f"the snapshot's SHA-256 is {found}, expected {digest}; it is not the one that was recorded")
    lines = data.splitlines(keepends=True) or [b""]
    environment, now, statuses = _on_line(1, _read_header, lines[0])
    resources = [_on_line(number, read_resource, line) for number, line in enumerate(lines[1:], 2)]
    try:
        snapshot = build(environment, now, statuses, resources)
    except ValueError as error:
        raise UsageError(f"not a snapshot of Guardian: {error}; take one with `guardian snapshot`") from error
    if snapshot.data != data:
        raise UsageError(
            "not a snapshot of Guardian: its lines are out of order, or the header does not count them right"
        )
    return snapshot


class _UnfitError(Exception):
    pass


def _on_line(number: int, read: Callable[[dict[str, Any]], _Read], line: bytes) -> _Read:
    try:
        return read(_parsed(line))
    except (_UnfitError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = str(error) if isinstance(error, _UnfitError) else f"not of the expected shape ({type(error).__name__})"
        where = f"not a snapshot of Guardian: line {number}: {what}"
        raise UsageError(f"{where}; take one with `guardian snapshot`") from error


def _observations(collector: Collector, now: datetime) -> Iterator[Observed | Unreadable]:
    try:
        yield from collector.collect(now)
    except Exception as error:  # noqa: BLE001 -- a defect of one collector must not hide what the others see
        for kind in collector.kinds:
            yield _defect(collector, kind, error)


def _defect(collector: Collector, kind: str, error: Exception) -> Unreadable:
    """Say where the collector broke, without the exception's words, which may hold what it was reading."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{type(error).__name__} in {frame.name} of {frame.filename.rpartition('/')[2]}:{frame.lineno}"
    log_events.error("collector_broke", collector=collector.type, name=collector.name, kind=kind, place=place)
    return Unreadable(kind, "defect", f"the collector itself broke: {place}; please report it")


def _with_unique_ids(resources: Sequence[Resource]) -> list[Resource]:
    """Tell apart what a source names alike, such as one HBA file name in two folders: the second gets `#2`."""
    seen: Counter[str] = Counter()
    taken = {resource.id for resource in resources}
    unique = []
    for resource in resources:
        seen[resource.id] += 1
        identity = resource.id
        while seen[resource.id] > 1 and identity in taken:
            identity = f"{resource.id}#{seen[resource.id]}"
            seen[resource.id] += identity in taken
        taken.add(identity)
        unique.append(resource if identity == resource.id else replace(resource, id=identity))
    return unique


def _header(
    environment: str, now: datetime, statuses: Sequence[CollectorStatus], resources: Sequence[Resource]
) -> dict[str, Any]:
    counts = dict.fromkeys((kind for status in statuses for kind in status.kinds), 0)
    counts |= Counter(resource.kind for resource in resources)
    return {
        "schema": SCHEMA,
        "environment": environment,
        "takenAt": rfc3339(now),
        "collectors": [status.to_json() for status in statuses],
        "counts": counts,
    }


def _line(entry: Mapping[str, Any]) -> bytes:
    return orjson.dumps(entry, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


def _parsed(line: bytes) -> dict[str, Any]:
    """Parse one line, refusing what Guardian would write otherwise: duplicate keys, spaces, other spellings."""
    entry = orjson.loads(line)
    if not isinstance(entry, dict) or _line(entry) != line:
        raise _UnfitError("it is not written as Guardian writes it")
    return entry


def _read_header(header: Mapping[str, Any]) -> tuple[str, datetime, list[CollectorStatus]]:
    if header.get("schema") != SCHEMA:
        raise _UnfitError(f"the header's schema is not {SCHEMA}")
    if header.keys() != {"schema", "environment", "takenAt", "collectors", "counts"}:
        raise _UnfitError("the header has other keys than expected")
    taken_at = header["takenAt"]
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", taken_at, re.ASCII):
        raise _UnfitError("takenAt is not an RFC 3339 time in UTC")
    statuses = [
        CollectorStatus(entry["type"], entry["name"], entry["kinds"], entry["status"]) for entry in header["collectors"]
    ]
    if any(status.status not in {COMPLETE, PARTIAL, FAILED} for status in statuses):
        raise _UnfitError(f"a collector's status is none of {COMPLETE}, {PARTIAL}, {FAILED}")
    texts = [
        header["environment"],
        *(text for status in statuses for text in (status.type, status.name, *status.kinds)),
    ]
    if not all(isinstance(text, str) for text in texts):
        raise _UnfitError("a name is not text")
    return header["environment"], datetime.fromisoformat(taken_at), statuses


def read_resource(entry: Mapping[str, Any]) -> Resource:
    """Return the resource of its JSON shape. Raises an error of Python's own, or _UnfitError, for anything else."""
    tier = entry["tier"]
    resource = Resource(**{**entry, "tier": None if tier is None else Tier(tier)})
    required = (resource.kind, resource.id)
    optional = (resource.service, resource.asset)
    if not all(isinstance(text, str) for text in required):
        raise _UnfitError("kind and id must be text")
    if not all(text is None or isinstance(text, str) for text in optional):
        raise _UnfitError("service and asset must be text or null")
    if not all(isinstance(part, dict) for part in (resource.scope, resource.source, resource.attributes)):
        raise _UnfitError("scope, source and attributes must be objects")
    if not isinstance(resource.redacted, list) or not all(isinstance(text, str) for text in resource.redacted):
        raise _UnfitError("redacted must be a list of JSON pointers")
    if resource.source.keys() != {"collector", "name"} or not all(isinstance(t, str) for t in resource.source.values()):
        raise _UnfitError("source must name collector and name")
    return resource
