"""Each answered request is written down before its answer leaves; many at once share one commit.

Invariant: `note` returns only when the row is durable, and raises otherwise: then there is no answer. I/O: `Desk`'s.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from guardian.usecases.access import Access, Desk


class Accounting:
    """Belongs to one event loop."""

    def __init__(self, desk: Desk, executor: Executor) -> None:
        self._desk, self._executor = desk, executor
        self._waiting: list[tuple[Access, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def note(self, access: Access) -> None:
        """Write it down. Raises what writing raised."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((access, done))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        await done

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                failure: Exception | None = None
                try:
                    await loop.run_in_executor(self._executor, self._desk.write, [access for access, _ in batch])
                except Exception as error:  # noqa: BLE001 -- whoever waits is told
                    failure = error
                for _, done in batch:
                    if done.done():
                        continue  # its caller went away
                    if failure is None:
                        done.set_result(None)
                    else:
                        done.set_exception(failure)
        finally:
            self._writer = None
