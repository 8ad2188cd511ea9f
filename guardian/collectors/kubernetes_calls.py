"""One GET to an API server: a deadline, a size limit, tries again where that may help; what goes wrong has a reason.

Invariant: an answer is a JSON object or an exception that says, for a person and without secrets, why there is none.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import urllib3
from kubernetes.client.exceptions import ApiException

from guardian.collectors.kubernetes_errors import AccessError, ListError, RefusedError, TooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kubernetes.dynamic import DynamicClient

MAX_BYTES: Final = 64 * 2**20
_CONNECT_S, _REQUEST_S = 10, 60
_ATTEMPTS: Final = 5
_LONGEST_PAUSE_S: Final = 30.0
_DEEPEST: Final = 400  # twice what `observe` takes, and less than `json` does
_BRACKET: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|[][{}]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Failure:
    """No answer that could be used. status: 0 without any. retry_after_s: how long the server asked to wait."""

    status: int
    said: str
    retry_after_s: float | None


class Calls:
    """GETs through one client. whose: whose credentials are used, for messages. pause: waits that many seconds."""

    def __init__(self, dynamic: DynamicClient, whose: str, pause: Callable[[float], None]) -> None:
        self._dynamic, self._whose, self._pause = dynamic, whose, pause

    def get(self, path: str, doing: str, asked: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the JSON object at `path`. doing: what for, begins the messages. asked: options of the client.

        Raises ListError, RefusedError, TooLargeError.
        """
        failure = _Failure(0, "", None)
        for attempt in range(_ATTEMPTS):
            outcome = self._once(path, doing, asked or {})
            if isinstance(outcome, dict):
                return outcome
            failure = outcome
            if failure.status not in {0, 429} and failure.status < 500:
                raise self._refused(failure, doing)
            if attempt + 1 < _ATTEMPTS:
                self._pause(_pause_s(attempt, failure.retry_after_s))
        if failure.status == 0:
            raise ListError("unreachable", f"{doing}: {failure.said}", whole=True)
        detail = f"{doing}: the API server answered {failure.status}, {_ATTEMPTS} times: {failure.said}"
        raise ListError("server-error", detail)

    def _once(self, path: str, doing: str, asked: Mapping[str, Any]) -> dict[str, Any] | _Failure:
        try:
            response = self._dynamic.request(
                "get", path, serialize=False, _request_timeout=(_CONNECT_S, _REQUEST_S), **asked
            )
            data = _body(response, time.monotonic() + _REQUEST_S)
        except AccessError as error:  # a token file that is gone
            raise ListError("not-configured", str(error), whole=True) from error
        except ApiException as error:
            if error.status == 0:  # the library's name for a failed TLS handshake
                raise _certificate(str(error.reason), doing) from error
            return _Failure(error.status or 599, _message(error), _retry_after_s(error))
        except urllib3.exceptions.SSLError as error:
            raise _certificate(str(error), doing) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return _Failure(0, _why(error), None)
        try:
            answer = _parsed(data)
        except ValueError as error:
            raise ListError("malformed", f"{doing}: what answered is no API server: its answer is no JSON") from error
        if not isinstance(answer, dict):
            raise ListError("malformed", f"{doing}: what answered is no API server: its answer is no object")
        return answer

    def _refused(self, failure: _Failure, doing: str) -> Exception:
        if failure.status in {403, 404, 405, 410}:
            return RefusedError(failure.status, failure.said)
        if failure.status == 401:
            detail = f"{doing}: the API server does not accept the credentials of {self._whose} (401); renew them"
            return ListError("unauthorized", detail, whole=True)
        return ListError("server-error", f"{doing}: the API server answered {failure.status}: {failure.said}")


def _body(response: urllib3.HTTPResponse, ends_at: float) -> bytes:
    """Read an answer to its end, within a size and a time."""
    data = bytearray()
    with contextlib.closing(response):
        while piece := response.read1(1 << 16):
            data += piece
            if len(data) > MAX_BYTES:
                raise TooLargeError
            if time.monotonic() > ends_at:
                raise TimeoutError(f"the answer did not end in {_REQUEST_S} s")
        response.release_conn()  # to be used again; what is not read to its end is closed
    return bytes(data)


def _parsed(data: bytes) -> Any:  # noqa: ANN401 -- any JSON value
    """Read JSON, of which any depth may come. Raises ValueError."""
    try:
        return json.loads(data)
    except RecursionError:
        return json.loads(_cut(data))


def _cut(data: bytes) -> bytes:
    """Return JSON with null for each list and object more than _DEEPEST deep: whoever made one object made no other.

    That is in managedFields, which nobody reads, or in an object that `observe` refuses as too deep.
    """
    pieces, depth, kept = [], 0, 0
    for found in _BRACKET.finditer(data):
        match found[0]:
            case b"{" | b"[":
                depth += 1
                if depth == _DEEPEST + 1:
                    pieces += [data[kept : found.start()], b"null"]
            case b"}" | b"]":
                if depth == _DEEPEST + 1:
                    kept = found.end()
                depth -= 1
    return b"".join([*pieces, data[kept:]])


def _pause_s(attempt: int, retry_after_s: float | None) -> float:
    """Return how long to wait: what the server asks, within reason, or twice as long each time, not all at once."""
    if retry_after_s is not None:
        return min(retry_after_s, _LONGEST_PAUSE_S)
    return float(0.5 * 2**attempt * random.uniform(0.8, 1.2))  # noqa: S311 -- spreads load, guards nothing


def _retry_after_s(error: ApiException) -> float | None:
    value = (error.headers or {}).get("Retry-After", "")
    return float(value) if re.fullmatch(r"\d{1,6}", value) else None


def _message(error: ApiException) -> str:
    """Return what the server says of its refusal, one line of at most 300 characters."""
    body = error.body or b""
    with contextlib.suppress(ValueError, AttributeError):
        body = json.loads(body).get("message") or ""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
    return " ".join(text.split())[:300] or str(error.reason)


def _why(error: Exception) -> str:
    """Return why there was no answer, in the words of whoever is nearest to the cause."""
    cause: BaseException = error
    while cause.__cause__ is not None or cause.__context__ is not None:
        cause = cause.__cause__ or cause.__context__ or cause
    text = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause) or type(cause).__name__
    return " ".join(text.split())[:300]


def _certificate(said: str, doing: str) -> ListError:
    reason = re.search(r"certificate verify failed: [^(\]]+", said) or re.search(r"\] ([^(]+)", said)
    detail = f"{doing}: TLS failed: {reason[0].strip('] ') if reason else ' '.join(said.split())[:200]}"
    way_out = "check certificate-authority, the server's name and the client certificate in the kubeconfig"
    return ListError("certificate", f"{detail}; {way_out}", whole=True)
