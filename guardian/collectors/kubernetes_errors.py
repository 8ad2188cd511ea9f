"""What may go wrong between Guardian and an API server. Stands apart so that it costs no import of the client."""

from __future__ import annotations


class ListError(Exception):
    """A kind that could not be listed, or not to its end. whole: the same holds for every other kind."""

    def __init__(self, reason: str, detail: str, *, whole: bool = False) -> None:
        super().__init__(detail)
        self.reason, self.detail, self.whole = reason, detail, whole


class RefusedError(Exception):
    """An answer with status 403, 404, 405 or 410: what it means depends on what was asked. said: the server's words."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status, self.said = status, said


class TooLargeError(Exception):
    """An answer of more than MAX_BYTES."""


class AccessError(Exception):
    """A cluster that cannot be reached as configured. The message is for a person and holds no secret."""
