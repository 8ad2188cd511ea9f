"""Who asks, and what they may: roles, bearer tokens, and the console's sessions.

Invariants: what a role is not given here, it has not. Each request asks the database whether its token still holds, so
that a revoked one ends with the request that follows, in the console too. A session is a random id of this process's
memory that stands for a token; it is made anew at each login, whatever cookie came along. I/O: the database, by `Book`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

import structlog

from guardian.api.limits import Limits
from guardian.api.problems import Problem, unavailable
from guardian.errors import UsageError
from guardian.settings import ApiSettings
from guardian.usecases import tokens
from guardian.usecases.reading import NotFoundError, Reading, Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from guardian.settings import Settings
    from guardian.usecases.tokens import Book, Holder

Result = TypeVar("Result")

log_events = structlog.get_logger()


class Permission(StrEnum):
    """What a route asks of a role."""

    READ = "read"
    PACK = "pack"
    METRICS = "metrics"


PERMISSIONS: Final[Mapping[str, frozenset[Permission]]] = {
    "auditor": frozenset({Permission.READ, Permission.PACK}),
    "operator": frozenset({Permission.READ, Permission.METRICS}),
    "approver": frozenset({Permission.READ}),
    "admin": frozenset(Permission),
}

IDLE_S: Final = 30 * 60
LONGEST_S: Final = 12 * 3600
_MOST_SESSIONS: Final = 2000
_MOST_OF_ONE: Final = 20
_READERS: Final = 4  # each keeps the evidence open
_READING_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. name: of the token; scope: what exists for them. by_session: through the console's cookie."""

    token_id: str
    name: str
    role: str
    scope: Scope
    expires_at: str
    by_session: bool = False

    def may(self, permission: Permission) -> bool:
        """Whether the role has this permission."""
        return permission in PERMISSIONS.get(self.role, frozenset())

    @property
    def limited(self) -> bool:
        """Whether anything lies outside what this caller may read."""
        return self.scope.services is not None or self.scope.since is not None or self.scope.until is not None


@dataclass(slots=True)
class _Session:
    token_id: str
    began: float
    used: float


class Sessions:
    """The console's sessions, by the hash of their id. Times: monotonic seconds. Safe between threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._by_hash: dict[str, _Session] = {}

    def begin(self, token_id: str) -> str:
        """Return the id of a new session for a token; the oldest give way where there are too many."""
        session, now = secrets.token_urlsafe(32), self._clock()
        with self._lock:
            self._forget(now)
            own = [key for key, one in self._by_hash.items() if one.token_id == token_id]
            crowd = list(self._by_hash)
            for key in own[: max(0, len(own) + 1 - _MOST_OF_ONE)] or crowd[: max(0, len(crowd) + 1 - _MOST_SESSIONS)]:
                del self._by_hash[key]
            self._by_hash[_hash(session)] = _Session(token_id, now, now)
        return session

    def token_of(self, session: str) -> str | None:
        """Return the token id of a session that is neither ended nor idle for too long, else None."""
        now = self._clock()
        with self._lock:
            found = self._by_hash.get(_hash(session))
            if found is None or _over(found, now):
                return None
            found.used = now
            return found.token_id

    def end(self, session: str) -> None:
        """End a session; an unknown one is ended already."""
        with self._lock:
            self._by_hash.pop(_hash(session), None)

    def __len__(self) -> int:
        with self._lock:
            return len(self._by_hash)

    def _forget(self, now: float) -> None:
        for key in [key for key, one in self._by_hash.items() if _over(one, now)]:
            del self._by_hash[key]


class Door:
    """What lets callers in, and opens the evidence for them. One a process; safe between threads."""

    def __init__(self, settings: Settings, book: Book, sessions: Sessions) -> None:
        self.settings = settings
        self.api = settings.api or ApiSettings()
        # Behind a proxy, TLS ends there: its callers came over TLS.
        self.secure = self.api.certificate is not None or self.api.behind_proxy
        self.cookie_name = "__Host-guardian" if self.secure else "guardian"
        self.limits = Limits(self.api)
        self.sessions = sessions
        self._book = book
        self._readings = threading.local()
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="reader")

    def caller(self, request: Request) -> Caller | None:
        """Return who sent `request`: by its bearer token if it has one, else by its session's cookie; None if nobody.

        The answer is kept with the request. Blocks on the database, so not to be called on the event loop.
        """
        state = request.scope.setdefault("state", {})
        if "guardian.caller" not in state:
            state["guardian.caller"] = self._caller(request)
        caller: Caller | None = state["guardian.caller"]
        return caller

    def login(self, token: str, request: Request) -> str | None:
        """Begin a session for `token` and return its id, to be set by `set_cookie`; None if the token is not good.

        A session that `request` came with is ended. Blocks on the database. Raises Problem 429 after too many that
        were not good.
        """
        holder = self._holder(token, request)
        if holder is None:
            self.limits.failed(request)
            return None
        self.logout(request)
        request.scope.setdefault("state", {})["guardian.caller"] = _caller_of(holder, by_session=True)
        return self.sessions.begin(holder.id)

    def logout(self, request: Request) -> None:
        """End the session that `request` came with, if any."""
        session = request.cookies.get(self.cookie_name)
        if session:
            self.sessions.end(session)

    def set_cookie(self, response: Response, session: str) -> None:
        """Give the browser the id of its session: for this host alone, out of reach of scripts and other sites."""
        response.set_cookie(
            self.cookie_name,
            session,
            max_age=LONGEST_S,
            path="/",
            secure=self.secure,
            httponly=True,
            samesite="strict",
        )

    def clear_cookie(self, response: Response) -> None:
        """Tell the browser to forget its session."""
        response.delete_cookie(self.cookie_name, path="/", secure=self.secure, httponly=True, samesite="strict")

    def same_origin(self, request: Request) -> bool:
        """Whether a browser says that a page of ours sent this: `Sec-Fetch-Site`, else `Origin`. Silence is no."""
        site = request.headers.get("sec-fetch-site")
        if site is not None:
            return site == "same-origin"
        origin, host = request.headers.get("origin"), request.headers.get("host")
        if origin is None or not host:
            return False
        parts = urlsplit(origin)
        return parts.scheme == ("https" if self.secure else "http") and parts.netloc.lower() == host.lower()

    async def read(self, work: Callable[[Reading], Result]) -> Result:
        """Return what `work` makes of the evidence, in a thread that keeps it open. Raises Problem 503 if too late."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_READING_S):
                return await loop.run_in_executor(self._readers, self._read, work)
        except TimeoutError:
            raise unavailable(f"the evidence was not read within {_READING_S:g} s") from None

    @contextlib.contextmanager
    def reading(self) -> Iterator[Reading]:
        """Yield the evidence, opened for this thread and kept for its next request; one that failed is opened anew.

        Raises Problem 503 if it cannot be opened, or what is done with it fails otherwise than by what was asked for.
        """
        kept: Reading | None = getattr(self._readings, "kept", None)
        if kept is None:
            try:
                kept = Reading(self.settings).__enter__()
            except Exception as error:
                log_events.error("api_evidence_not_opened", reason=str(error))  # noqa: TRY400 -- the reason says it
                raise unavailable("the evidence cannot be opened; the log of the API says why") from error
            self._readings.kept = kept
        try:
            yield kept
        except (NotFoundError, UsageError, Problem):
            raise
        except BaseException as error:
            self._readings.kept = None
            kept.__exit__(None, None, None)
            if isinstance(error, Exception):
                log_events.error("api_evidence_not_read", reason=str(error), error=type(error).__name__)  # noqa: TRY400 -- the reason says it
                raise unavailable("the evidence could not be read; the log of the API says why") from error
            raise

    def close(self) -> None:
        """Let no more be read."""
        self._readers.shutdown(wait=False, cancel_futures=True)

    def _read(self, work: Callable[[Reading], Result]) -> Result:
        with self.reading() as reading:
            return work(reading)

    def _holder(self, token: str, request: Request) -> Holder | None:
        digest = tokens.digest_of(token)
        self.limits.before(request, digest)
        holder = self._book.holder(token)
        if holder is not None:
            self.limits.good(digest)
        return holder

    def _caller(self, request: Request) -> Caller | None:
        given = request.headers.getlist("authorization")
        if given:
            token = bearer(given)
            holder = None if token is None else self._holder(token, request)
            return None if holder is None else _caller_of(holder, by_session=False)
        session = request.cookies.get(self.cookie_name)
        token_id = self.sessions.token_of(session) if session else None
        if session is None or token_id is None:
            return None
        holder = self._book.holder_of(token_id)
        if holder is None:
            self.sessions.end(session)
            return None
        return _caller_of(holder, by_session=True)


def bearer(given: list[str]) -> str | None:
    """Return the token of an Authorization header, None unless it is one header with one bearer token."""
    if len(given) != 1:
        return None
    scheme, _, token = given[0].partition(" ")
    return token if scheme.lower() == "bearer" and tokens.well_formed(token) else None


def _caller_of(holder: Holder, *, by_session: bool) -> Caller:
    scope = Scope(services=holder.services, since=holder.since, until=holder.until)
    return Caller(holder.id, holder.name, holder.role, scope, holder.expires_at, by_session)


def _over(session: _Session, now: float) -> bool:
    return now - session.used > IDLE_S or now - session.began > LONGEST_S


def _hash(session: str) -> str:
    return hashlib.sha256(session.encode()).hexdigest()
