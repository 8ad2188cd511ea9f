"""The controls that an environment is judged by: those that ship, and the users' own beside them.

Invariant: the digest of what is returned covers every control, whoever wrote it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardian.policy import bundle

if TYPE_CHECKING:
    from guardian.policy.bundle import Bundle
    from guardian.settings import Settings


def load(settings: Settings) -> Bundle:
    """Return the controls that `settings` ask for. Raises BundleError, MetadataError, ConfigError, BuildError."""
    if settings.policies is None:
        return bundle.load()
    raise NotImplementedError
