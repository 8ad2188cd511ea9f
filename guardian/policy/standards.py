"""What an environment asks of its resources: every control's mode and parameters by tier, and the declared services.

Invariant: a judgement depends on its input, the compiled policies and these standards only; written into a record, they
let anyone judge the same input again. No I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from guardian.errors import UsageError
from guardian.model import Mode, Tier
from guardian.policy.metadata import Resolved
from guardian.policy.params import STRICTEST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardian.policy.metadata import Catalogue
    from guardian.settings import Settings

SCHEMA: Final = "guardian/standards/v1"


@dataclass(frozen=True, slots=True)
class Standards:
    """services: attributes of `guardian.Service` by name. resolved: (control id, tier) -> mode and parameters."""

    environment: str
    services: Mapping[str, Any]
    resolved: Mapping[tuple[str, Tier], Resolved]

    @classmethod
    def of(cls, catalogue: Catalogue, settings: Settings) -> Standards:
        """Return what guardian.yaml and the defaults say. Raises ConfigError for unknown controls or parameters."""
        catalogue.check(settings)
        return cls(
            settings.environment,
            {service.name: service.to_json() for service in settings.services},
            {
                (control.id, tier): catalogue.resolve(control, tier, settings.environment, settings)
                for control in catalogue.controls.values()
                for tier in Tier
            },
        )

    def at(self, control: str, tier: Tier | None) -> Resolved:
        """Return mode and parameters for a resource of `tier`; one without a tier is judged as the strictest."""
        return self.resolved[control, tier or STRICTEST]

    def to_json(self) -> bytes:
        """Return the one form in which standards are kept: sorted keys."""
        controls: dict[str, dict[str, Any]] = {}
        for (control, tier), resolved in self.resolved.items():
            controls.setdefault(control, {})[tier.value] = {"mode": resolved.mode, "params": dict(resolved.params)}
        document = {
            "schema": SCHEMA,
            "environment": self.environment,
            "services": dict(self.services),
            "controls": controls,
        }
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def from_json(cls, content: bytes) -> Standards:
        """Read what `to_json` wrote. Raises UsageError for anything else."""
        try:
            document = orjson.loads(content)
            if document["schema"] != SCHEMA:
                raise UsageError(f"these standards are of the format {document['schema']!r}, expected {SCHEMA}")
            resolved = {
                (control, Tier(tier)): Resolved(Mode(stated["mode"]), stated["params"])
                for control, tiers in document["controls"].items()
                for tier, stated in tiers.items()
            }
            return cls(document["environment"], document["services"], resolved)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"not the standards of an environment as Guardian writes them: {error}") from error
