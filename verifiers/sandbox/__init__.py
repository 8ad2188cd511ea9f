"""Throwaway PostgreSQL servers and folders: isolated, bounded, always torn down.

Invariant: what runs here sees the server programs, one work folder and nothing else of the host.
"""

from __future__ import annotations

from verifiers.errors import VerifierError

# What server programs and restored code run as when Guardian itself is root. Unassigned in every distribution, so that
# no file of the host belongs to it; the same number everywhere, so that a sweep knows its own.
SANDBOX_ID = 64923


class SandboxError(VerifierError):
    """A sandbox could not be made, run or kept within its limits: a drill's `error`, never its `fail`."""


class LackingError(SandboxError):
    """This machine lacks something a sandbox needs; the message names it and how to get it."""


class LimitError(SandboxError):
    """A drill used up its disk quota or its time."""
