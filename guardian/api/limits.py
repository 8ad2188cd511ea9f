"""How much one caller may ask for: moving windows of a minute, in this process's memory. No I/O.

Invariants: a token's requests count for that token, whoever sends them; those without count for their address (of IPv6,
the network of 64 bits that one customer has). Where an address showed too many tokens that were nobody's, no other is
looked up for it; one that was good lately still is, so that nobody locks another out by sharing an address.
"""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from typing import TYPE_CHECKING, Final

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from guardian.api.problems import too_many

if TYPE_CHECKING:
    from limits import RateLimitItem
    from starlette.requests import Request

    from guardian.settings import ApiSettings

FAILURES_PER_MINUTE: Final = 10
_GOOD_S: Final = 3600.0
_MOST_GOOD: Final = 10_000


class Limits:
    """The windows of one process. Safe between threads."""

    def __init__(self, api: ApiSettings) -> None:
        self._behind_proxy = api.behind_proxy
        self._windows = MovingWindowRateLimiter(MemoryStorage())
        self._requests = RateLimitItemPerMinute(api.requests_per_minute)
        self._failures = RateLimitItemPerMinute(FAILURES_PER_MINUTE)
        self._good: dict[str, float] = {}
        self._lock = threading.Lock()

    def count(self, request: Request, token_id: str | None) -> None:
        """Count one request. Raises Problem 429 above the limit."""
        key = f"token:{token_id}" if token_id is not None else f"address:{self.address(request)}"
        if not self._windows.hit(self._requests, key):
            detail = f"more than {self._requests.amount} requests a minute"
            raise too_many(detail, self._retry_s(self._requests, key))

    def before(self, request: Request, digest: str) -> None:
        """Raise Problem 429 where this address showed too many wrong tokens, and this one was not good lately."""
        with self._lock:
            good = time.monotonic() - self._good.get(digest, -math.inf) < _GOOD_S
        if not good and not self._windows.test(self._failures, self._failed(request)):
            self._refuse(request)

    def failed(self, request: Request) -> None:
        """Count a token that was nobody's. Raises Problem 429 if there were too many."""
        if not self._windows.hit(self._failures, self._failed(request)):
            self._refuse(request)

    def good(self, digest: str) -> None:
        """Remember that a token was good."""
        now = time.monotonic()
        with self._lock:
            if len(self._good) >= _MOST_GOOD:
                self._good = {key: at for key, at in self._good.items() if now - at < _GOOD_S / 2}
            if len(self._good) < _MOST_GOOD:
                self._good[digest] = now

    def address(self, request: Request) -> str:
        """Return whose requests count together: the address that the nearest proxy names, where there is one."""
        text = request.client.host if request.client is not None else ""
        if self._behind_proxy:
            # The last one is our proxy's own word; what stands before it, the caller may have written.
            told = ",".join(request.headers.getlist("x-forwarded-for")).rpartition(",")[2].strip()
            text = _without_port(told) or text
        try:
            found = ipaddress.ip_address(text)
        except ValueError:
            return "unknown"
        if isinstance(found, ipaddress.IPv6Address):
            if found.ipv4_mapped is not None:
                return str(found.ipv4_mapped)
            return str(ipaddress.ip_network((found, 64), strict=False))
        return str(found)

    def _failed(self, request: Request) -> str:
        return f"failed:{self.address(request)}"

    def _refuse(self, request: Request) -> None:
        retry_s = self._retry_s(self._failures, self._failed(request))
        raise too_many("too many tokens from this address were nobody's", retry_s)

    def _retry_s(self, item: RateLimitItem, key: str) -> int:
        return math.ceil(self._windows.get_window_stats(item, key).reset_time - time.time())


def _without_port(told: str) -> str:
    """Return the address of `192.0.2.1:4711` or `[2001:db8::1]:4711`, as some proxies write it; of itself, itself."""
    if told.startswith("["):
        return told[1:].partition("]")[0]
    return told.partition(":")[0] if told.count(":") == 1 else told
