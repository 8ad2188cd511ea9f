"""`isolation`: the sandbox holds, tried at the start of every drill, or nothing is restored.

Invariant: nothing of a backup runs before this has returned. It runs the provider and tries to break out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardian.drills.checklist import StopDrill
from verifiers.result import Check, Verdict
from verifiers.sandbox.isolation import Provider, prove

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from guardian.drills.checklist import Checklist


def prove_isolation(
    checklist: Checklist, asset: str, accept_none: Collection[str], isolation: Provider, folder: Path
) -> None:
    """Enter `isolation`. accept_none: assets that may be restored without. Raises StopDrill where it does not hold."""
    if isolation.name == "none":
        if asset not in accept_none:
            checklist.error(
                "isolation",
                f"provider none is not accepted for {asset}; use provider bwrap, or add the asset to "
                "sandbox.acceptNone if you trust its backups",
            )
            raise StopDrill("there is no isolation to restore in")
        checklist.skip("isolation", f"provider none, accepted for {asset} in sandbox.acceptNone")
        return
    attempts = prove(isolation, folder=folder)
    broken = [attempt for attempt in attempts if attempt.verdict is not Verdict.PASS]
    observed = {attempt.id.partition(".")[2]: attempt.verdict.value for attempt in attempts}
    if broken:
        message = f"{broken[0].message}. Nothing was restored; `guardian doctor` tells more."
        checklist.put(Check("isolation", None, Verdict.ERROR, "every attempt withstood", observed, message))
        raise StopDrill("the isolation does not hold")
    message = f"{len(attempts)} attempts to break out of the sandbox failed."
    checklist.put(Check("isolation", None, Verdict.PASS, "every attempt withstood", observed, message))
