"""What went wrong, as RFC 9457 problem documents: the one way in which this API says no. No I/O.

Invariant: a problem tells what the caller can mend, and nothing of how things are inside.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import orjson
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MEDIA_TYPE: Final = "application/problem+json"
_PREFIX: Final = "urn:guardian:problem:"
_LONGEST: Final = 500


class Problem(Exception):  # noqa: N818 -- what RFC 9457 calls it
    """An answer that is a problem document. kind: last part of its `type`, stable for programs."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail = status, kind, detail
        self.errors, self.headers = errors, dict(headers or {})

    def response(self, path: str) -> Response:
        """Return the answer to a request for `path`."""
        document: dict[str, Any] = {
            "type": _PREFIX + self.kind,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail[:_LONGEST],
            "instance": path[:_LONGEST],
        }
        if self.errors:
            document["errors"] = list(self.errors)
        return Response(orjson.dumps(document), self.status, self.headers, MEDIA_TYPE)


def unauthorized(detail: str = "a bearer token is needed: Authorization: Bearer gdn_...") -> Problem:
    """Nobody is known to ask."""
    return Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": 'Bearer realm="guardian"'})


def invalid_token() -> Problem:
    """A token was shown that is nobody's: why, is not told."""
    headers = {"WWW-Authenticate": 'Bearer realm="guardian", error="invalid_token"'}
    return Problem(401, "unauthorized", "this token is unknown, has expired or was revoked", headers=headers)


def forbidden(role: str, permission: str) -> Problem:
    """The role is not given this."""
    return Problem(403, "forbidden", f"the role {role!r} may not do this: it needs the permission {str(permission)!r}")


def not_found(what: str = "there is nothing here") -> Problem:
    """There is no such thing, or not for this caller: both read alike."""
    return Problem(404, "not-found", what)


def invalid(detail: str, errors: Sequence[Mapping[str, Any]] = ()) -> Problem:
    """What was asked for cannot be."""
    return Problem(422, "invalid-request", detail, errors=errors)


def too_many(detail: str, retry_s: int) -> Problem:
    """Not now. retry_s: seconds after which to try again."""
    return Problem(429, "too-many-requests", detail, headers={"Retry-After": str(max(1, retry_s))})


def unavailable(detail: str) -> Problem:
    """It could not be done now, through no fault of the caller."""
    return Problem(503, "unavailable", detail, headers={"Retry-After": "5"})


def internal() -> Problem:
    """A defect of ours."""
    return Problem(500, "internal-error", "this is a defect of Guardian; it is in its log, and nothing was concluded")
