"""One error root for the application. Only `guardian.cli` maps errors to exit codes."""

from __future__ import annotations


class GuardianError(Exception):
    """Something a person must hear about; the message names the thing and the way out. Exit 3: could not be done."""


class UsageError(GuardianError):
    """The command line or the configuration is wrong. Exit 2."""


class ConfigError(UsageError):
    """guardian.yaml is wrong; the message begins with `file:line:` where the place is known. Exit 2."""


class FailedError(GuardianError):
    """What was asked was done and came out bad, such as a backup command that failed. Exit 1."""
