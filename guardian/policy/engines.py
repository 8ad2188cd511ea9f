"""The one place where an engine is chosen: the one that guardian.yaml names, or none.

An engine's libraries take a second to load, so only the chosen one's are.
Invariant: no engine ever stands in for another; one that cannot be opened is an error that says what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardian.policy.build import find_opa

if TYPE_CHECKING:
    from guardian.policy.bundle import Bundle
    from guardian.policy.engine import Engine
    from guardian.settings import EngineSettings


def open_engine(settings: EngineSettings, bundle: Bundle, *, deadline_s: float = 10.0) -> Engine:
    """Return the configured engine with `bundle` loaded; the caller closes it. It belongs to one thread.

    deadline_s: seconds for one evaluation. Raises GuardianError if that engine cannot be had.
    """
    if settings.type == "wasm":
        from guardian.policy.wasm import WasmEngine  # noqa: PLC0415 -- see above

        return WasmEngine(bundle, deadline_s=deadline_s)
    from guardian.policy.opa import Address, OpaEngine, Remote  # noqa: PLC0415 -- see above
    from guardian.policy.opa_child import Child  # noqa: PLC0415 -- see above

    if settings.url is not None:
        token = settings.token.read() if settings.token else None
        return OpaEngine(bundle, Remote(Address.of(settings.url, token=token, ca=settings.ca)), deadline_s=deadline_s)
    return OpaEngine(bundle, Child(find_opa(settings.command), bundle.opa_bundle()), deadline_s=deadline_s)
