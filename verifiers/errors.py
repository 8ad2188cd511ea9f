"""One error root for the package. A subclass exists only where a caller acts differently."""

from __future__ import annotations


class VerifierError(Exception):
    """A backup could not be read, restored or compared; the message names the thing and the way out."""
