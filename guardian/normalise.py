"""The one place where an observation becomes a resource: identity, service, redaction, plain JSON. No I/O.

Invariant: what leaves here is JSON that keeps its bytes through `orjson`, holds no secret the collector or `redact`
knows of, and depends on nothing but its arguments.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from guardian.model import COLLECTION_ERROR, Asset, Resource, Service
from guardian.redact import nests_deeper, redact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardian.collectors import Collector, Observed, Unreadable
    from guardian.model import Match

# What changes without anything having changed, by the beginning of the kind: keys on the way, `*` for each of a list.
_VOLATILE = {
    "k8s.": (
        *(
            ("metadata", name)
            for name in ("managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink")
        ),
        ("metadata", "annotations", "control-plane.alpha.kubernetes.io/leader"),
        ("spec", "template", "metadata", "creationTimestamp"),
        ("spec", "jobTemplate", "metadata", "creationTimestamp"),
        ("spec", "jobTemplate", "spec", "template", "metadata", "creationTimestamp"),
    ),
    "k8s.core.Node": (
        ("status", "conditions", "*", "lastHeartbeatTime"),
        ("status", "conditions", "*", "lastTransitionTime"),
    ),
    "k8s.coordination.k8s.io.Lease": (("spec", "renewTime"),),
}
_DEEPEST = 200  # `orjson` writes 254 levels
_MAX_INT, _MIN_INT = 2**63 - 1, -(2**63)


@dataclass(frozen=True, slots=True)
class Estate:
    """What normalising needs to know of an environment: its services, redaction key (32 bytes) and exempt paths."""

    services: Sequence[Service]
    key: bytes
    keep: Sequence[str] = ()

    def service(self, name: object) -> Service | None:
        """Return the service called `name`, None if there is none."""
        return next((service for service in self.services if service.name == name), None)

    def asset(self, name: str | None) -> Asset | None:
        """Return the asset called `name`, None if there is none."""
        return next((asset for service in self.services for asset in service.assets if asset.name == name), None)


def normalise(observed: Observed, collector: Collector, estate: Estate) -> Resource:
    """Make a resource of what `collector` observed.

    Raises TypeError if an attribute has no JSON form: a defect of the collector; ValueError if they nest too deeply.
    """
    if nests_deeper(observed.attributes, _DEEPEST):
        raise ValueError(f"attributes nest too deeply, more than {_DEEPEST} levels")
    identity = f"{observed.id_scheme or collector.id_scheme}:{_clean(observed.key)}"
    attributes = _without_volatile(observed.kind, plain(observed.attributes))
    sensitive = (*collector.sensitive.get(observed.kind, ()), *observed.sensitive)
    keep = (*estate.keep, *observed.keep)
    redacted = redact(attributes, sensitive=sensitive, key=estate.key, keep=keep)
    scope = plain(observed.scope)
    if scope.get("tags"):  # anyone may write anything there, also what stands under /tags of the attributes
        scope = redact(scope, sensitive=sensitive, key=estate.key, keep=keep).attributes
    service = _service(observed, identity, collector, estate)
    return Resource(
        kind=observed.kind,
        id=identity,
        service=service.name if service else None,
        tier=service.tier if service else None,
        asset=observed.asset,
        scope=scope,
        source={"collector": collector.type, "name": collector.name},
        attributes=redacted.attributes,
        redacted=redacted.pointers,
    )


def collection_error(kind: str, found: Sequence[Unreadable], collector: Collector, estate: Estate) -> Resource:
    """Make the CollectionError of `kind` of everything that could not be read of it."""
    reasons = sorted({item.reason for item in found})
    details = list(dict.fromkeys(item.detail for item in found))
    more = f"; and {len(details) - 5} more" if len(details) > 5 else ""
    attributes = {"reason": ", ".join(reasons), "detail": "; ".join(details[:5]) + more, "kind": kind}
    redacted = redact(plain(attributes), sensitive=(), key=estate.key)
    return Resource(
        kind=COLLECTION_ERROR,
        id=f"error:{collector.type}/{_clean(collector.name)}/{kind}",
        service=None,
        tier=None,
        asset=None,
        scope={},
        source={"collector": collector.type, "name": collector.name},
        attributes=redacted.attributes,
        redacted=redacted.pointers,
    )


def rfc3339(moment: datetime) -> str:
    """Return an aware datetime as RFC 3339 UTC in whole seconds, `2026-11-23T11:00:00Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _service(observed: Observed, identity: str, collector: Collector, estate: Estate) -> Service | None:
    if observed.kind == "guardian.Service":
        return estate.service(observed.attributes["name"])
    if observed.asset is not None:
        asset = estate.asset(observed.asset)
        # the asset of an old drill may be gone from the configuration while its service is still there
        return estate.service(asset.service if asset else observed.attributes.get("service"))
    best = max(
        (
            (match.specificity, service)
            for service in estate.services
            for match in service.match
            if _matches(match, observed, identity, collector)
        ),
        key=lambda pair: pair[0],
        default=None,
    )
    return best[1] if best else None


def _matches(match: Match, observed: Observed, identity: str, collector: Collector) -> bool:
    scope = observed.scope
    return (
        match.collector == collector.name
        and (match.namespace is None or match.namespace == scope.get("namespace"))
        and match.labels.items() <= scope.get("labels", {}).items()
        and match.tags.items() <= scope.get("tags", {}).items()
        and identity.startswith(match.id_prefix or "")
    )


def plain(value: Any) -> Any:  # noqa: ANN401 -- any value in, any JSON value out
    """Return `value` as JSON: times RFC 3339, integers outside 64 bits as text, numbers that are none as null."""
    kind = type(value)  # exact types first: nearly all that comes is JSON already, at every admission
    if kind is str:
        return value if value.isascii() else _text(value)
    if kind is dict:
        return {
            name if type(name) is str and name.isascii() else _text(str(name)): plain(value[name]) for name in value
        }
    if kind is list:
        return [plain(item) for item in value]
    return value if value is None or kind is bool else _rare(value)


def _rare(value: Any) -> Any:  # noqa: ANN401 -- as plain
    match value:
        case int() | float() | Decimal():
            return _number(value)
        case str():
            return _text(value)
        case datetime():
            return rfc3339(value)
        case dict():
            return {_text(str(name)): plain(item) for name, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _text(value: str) -> str:
    # file names may hold bytes that are no UTF-8, as lone surrogates
    return str.__str__(value).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _number(value: float | Decimal) -> int | float | str | None:
    if isinstance(value, Decimal):
        if not value.is_finite() or value != value.to_integral_value():
            return str(value)
        value = int(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return int(value) if _MIN_INT <= value <= _MAX_INT else str(int(value))


def _without_volatile(kind: str, attributes: dict[str, Any]) -> dict[str, Any]:
    """Drop what changes without anything having changed, from attributes that are ours alone."""
    for prefix, paths in _VOLATILE.items():
        for path in paths if kind.startswith(prefix) else ():
            _drop(attributes, path)
    return attributes


def _drop(value: object, path: tuple[str, ...]) -> None:
    first, *rest = path
    if isinstance(value, list) and first == "*":
        for item in value:
            _drop(item, tuple(rest))
    elif isinstance(value, dict) and first in value:
        if rest:
            _drop(value[first], tuple(rest))
        else:
            del value[first]


def _clean(key: str) -> str:
    """Return a natural key as part of an id: control characters percent-encoded, the rest as the source has it."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: f"%{ord(found[0]):02X}", plain(key))
