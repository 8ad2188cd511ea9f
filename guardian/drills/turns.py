"""Who may drill now: never two drills of one asset, and not more on a host than it can bear.

Invariant: a turn ends with the process that holds it, however that ends: the locks are the kernel's. All environments
that share the sandbox folder share its turns.

<sandbox.folder>/.turns/    asset-NAME.lock, slot-1.lock ...    empty files, kept
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING, Final

from guardian.errors import GuardianError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FOLDER: Final = ".turns"
_PAUSE_S = 0.2


@contextlib.contextmanager
def turn(
    folder: Path, environment: str, asset: str, *, concurrent: int, deadline_s: float, waits: Callable[[str], object]
) -> Iterator[None]:
    """Hold a turn for a drill of `asset`. waits: told once for each thing that is waited for.

    Raises GuardianError if it is not this drill's turn before the deadline.
    """
    ends = time.monotonic() + deadline_s
    place = folder / FOLDER
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise GuardianError(f"cannot make {place}: {error.strerror}; set sandbox.folder to one that can be") from error
    with contextlib.ExitStack() as held:
        # The asset first: who waits for it takes no place from others.
        name = f"asset-{environment}-{asset}.lock"
        _wait(held, place, [name], f"another drill of {asset} is under way", ends, waits)
        names = [f"slot-{number}.lock" for number in range(1, concurrent + 1)]
        busy = f"{concurrent} drills are under way on this host, as many as sandbox.concurrent allows"
        _wait(held, place, names, busy, ends, waits)
        yield


def _wait(
    held: contextlib.ExitStack,
    place: Path,
    names: list[str],
    busy: str,
    ends: float,
    waits: Callable[[str], object],
) -> None:
    told = False
    while not any(_taken(held, place / name) for name in names):
        if time.monotonic() >= ends:
            raise GuardianError(f"{busy}, and the deadline of this one passed while it waited; nothing was drilled")
        if not told:
            waits(busy)
            told = True
        time.sleep(_PAUSE_S)


def _taken(held: contextlib.ExitStack, path: Path) -> bool:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return False
    held.callback(os.close, handle)
    return True
