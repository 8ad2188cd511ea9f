"""The catalogue of bundled controls, for people."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from guardian.errors import UsageError
from guardian.policy import bundle as bundles


def describe() -> dict[str, dict[str, Any]]:
    """Return the metadata of every bundled control by id."""
    return {name: dict(control) for name, control in bundles.load().catalogue.describe().items()}


def show(control: str) -> dict[str, Any]:
    """Return one control's metadata. Raises UsageError naming the nearest id if there is none."""
    controls = describe()
    if control not in controls:
        near = get_close_matches(control, controls, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(controls)}"
        raise UsageError(f"no control {control!r}{hint}")
    return controls[control]
