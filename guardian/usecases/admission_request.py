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
    """What is asked. object: None where it is deleted."""

    uid: str
    kind: GroupKind
    operation: str
    user_info: User
    name: str = ""
    namespace: str = ""
    sub_resource: str = ""
    object: dict[str, Any] | None = None
    dry_run: bool | None = False

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The object's metadata; empty where there is none, or something else in its place."""
        found = (self.object or {}).get("metadata")
        return found if isinstance(found, dict) else {}

    def facts(self) -> dict[str, Any]:
        """Return what policies and records see of a request besides its object."""
        return {
            "uid": self.uid,
            "operation": self.operation,
            "kind": kind_of(self.kind.api_version, self.kind.kind),
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


def parse(body: bytes) -> Request:
    """Return the request of an AdmissionReview. Raises ReviewError for anything else."""
    try:
        review = _DECODER.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ReviewError(f"not an AdmissionReview: {error}") from error
    if review.api_version != "admission.k8s.io/v1" or review.kind != "AdmissionReview":
        raise ReviewError(f"expected an AdmissionReview of admission.k8s.io/v1, found {review.kind!r}")
    return review.request
