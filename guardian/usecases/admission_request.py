"""An AdmissionReview as an API server sends it: parsed strictly, and what of it may be seen. No I/O.

Shape: Kubernetes admission.k8s.io/v1. Members that nothing here reads are passed over: servers add some.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from guardian.kubernetes_kinds import kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping


class ReviewError(Exception):
    """A request that is not an AdmissionReview v1; the message says what is wrong."""


class GroupKind(msgspec.Struct):
    """The kind of the object, as the webhook's registration asks for it."""

    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        """`apps/v1`, and `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version


class User(msgspec.Struct):
    """Who asks."""

    username: str = ""
    groups: list[str] | None = None


class Request(msgspec.Struct, rename="camel"):
    """What is asked. object: None where it is deleted. old_object: unparsed, for it is hardly ever needed."""

    uid: str
    kind: GroupKind
    operation: str
    user_info: User
    name: str = ""
    namespace: str = ""
    sub_resource: str = ""
    object: dict[str, Any] | None = None
    old_object: msgspec.Raw = msgspec.Raw(b"null")
    dry_run: bool | None = False

    @property
    def resource_kind(self) -> str:
        """The kind as resources have it: `k8s.apps.Deployment`."""
        return kind_of(self.kind.api_version, self.kind.kind)

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The object's metadata; empty where there is none, or something else in its place."""
        found = (self.object or {}).get("metadata")
        return found if isinstance(found, dict) else {}

    @property
    def only_leaves(self) -> bool:
        """Whether the object is being deleted and nothing but its metadata changes.

        Denying the removal of a finalizer would keep it for ever; but what it says is in force until then.
        """
        if not self.metadata.get("deletionTimestamp"):
            return False
        try:
            before = msgspec.json.decode(self.old_object)
        except (msgspec.DecodeError, RecursionError):
            return False
        return isinstance(before, dict) and _body(before) == _body(self.object or {})

    def facts(self) -> dict[str, Any]:
        """Return what policies and records see of a request besides its object."""
        return {
            "uid": self.uid,
            "operation": self.operation,
            "kind": self.resource_kind,
            "namespace": self.namespace,
            "name": self.name,
            "subResource": self.sub_resource,
            "user": {"username": self.user_info.username, "groups": sorted(self.user_info.groups or ())},
        }


class _Review(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    request: Request


_DECODER: Final = msgspec.json.Decoder(_Review)
_OBJECT: Final = b',"object":'  # in no string, where the quotes would be escaped
_MOST_TRIES: Final = 8


def parse_head(body: bytes, *, whole: bool = False) -> Request:
    """Return the request of an AdmissionReview without its object, which stands behind all that says what is asked.

    body: at least its beginning, as an API server writes it. whole: it is all there, also whether this is a dry run,
    which stands behind the object. Raises ReviewError for anything else.
    """
    dry_run = whole and body.rfind(b',"dryRun":true') > body.rfind(b',"dryRun":false')
    end = -1
    for _ in range(_MOST_TRIES):
        end = body.find(_OBJECT, end + 1)
        if end < 0:
            break
        try:
            return parse(body[:end] + (b',"dryRun":true}}' if dry_run else b"}}"))
        except ReviewError:
            continue  # a key called object, further in
    raise ReviewError("not an AdmissionReview of an object")


def parse(body: bytes) -> Request:
    """Return the request of an AdmissionReview. Raises ReviewError for anything else."""
    try:
        review = _DECODER.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ReviewError(f"not an AdmissionReview: {error}") from error
    if review.api_version != "admission.k8s.io/v1" or review.kind != "AdmissionReview":
        raise ReviewError(f"expected an AdmissionReview of admission.k8s.io/v1, found {review.kind!r}")
    return review.request


def _body(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name != "metadata"}
