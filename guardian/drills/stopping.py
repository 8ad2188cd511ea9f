"""A drill that is told to stop tears its sandbox down first.

Invariant: the handler of before is in force again afterwards. Changes signal handling of the main thread only.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Turn SIGTERM into an exception for as long, so that a stopped drill tears its sandbox down."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
