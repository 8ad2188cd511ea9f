"""What a process that takes requests is given of its parent's environment: no secret that it has no use for. No I/O."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, Final

import guardian
from guardian.settings import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from guardian.settings import Settings

# What boto3 finds by itself; no process that takes requests collects anything.
_COLLECTORS_OWN: Final = frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"})


def environment_for_child(settings: Settings, *, needed: Iterable[object]) -> dict[str, str]:
    """Return this process's environment without the variables that hold secrets of `settings`, but for those `needed`.

    needed: what the child reads; what is no Secret in it is passed over.
    """
    hidden = (_variables(_secrets(settings)) | _COLLECTORS_OWN) - _variables(_secrets(list(needed)))
    # The package as it runs here, for -P keeps the working directory off the path.
    home = str(Path(guardian.__file__).parents[1])
    path = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return {**kept, "PYTHONPATH": os.pathsep.join(path)}


def _secrets(value: object) -> Iterator[Secret]:
    """Yield every Secret inside, wherever it is: one that is added to the settings later is hidden too."""
    if isinstance(value, Secret):
        yield value
    elif dataclasses.is_dataclass(value):
        for part in dataclasses.fields(value):
            yield from _secrets(getattr(value, part.name))
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _secrets(part)
    elif isinstance(value, Sequence | AbstractSet) and not isinstance(value, str | bytes):
        for part in value:
            yield from _secrets(part)


def _variables(secrets: Iterable[Secret]) -> frozenset[str]:
    found = (secret.reference.partition(":") for secret in secrets)
    return frozenset(name for scheme, _, name in found if scheme == "env")
