"""guardian.yaml itself as a source: what is declared of services and assets. No I/O; nothing can be unreadable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardian.collectors import Observed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from guardian.model import Asset, Service
    from guardian.settings import Schedule


class Declared:
    """Services and assets as declared, each asset with the schedules that name it. name: the environment's."""

    type = "declared"
    id_scheme = "declared"
    kinds: Sequence[str] = ("guardian.Service", "guardian.Asset")
    sensitive: Mapping[str, Sequence[str]] = {}

    def __init__(self, environment: str, services: Sequence[Service], schedules: Sequence[Schedule] = ()) -> None:
        self.name = environment
        self._services = services
        self._schedules = schedules

    def collect(self, now: datetime) -> Iterator[Observed]:  # noqa: ARG002 -- nothing declared has an age
        """Yield every service, each followed by its assets."""
        for service in self._services:
            yield Observed("guardian.Service", f"{self.name}/service/{service.name}", service.to_json())
            for asset in service.assets:
                key = f"{self.name}/asset/{asset.name}"
                yield Observed("guardian.Asset", key, _asset(asset, service, self._schedules), asset=asset.name)


def _asset(asset: Asset, service: Service, schedules: Sequence[Schedule]) -> dict[str, Any]:
    return {
        "name": asset.name,
        "type": asset.type,
        "service": service.name,
        "assurance": asset.assurance,
        "rtoSeconds": service.rto_s,
        "rpoSeconds": service.rpo_s,
        "recovery": service.recovery.to_json(),
        "database": asset.source.database,
        "filestore": asset.source.filestore is not None,
        "backups": [{"name": job.name, "format": job.format, "everySeconds": job.every_s} for job in asset.backups],
        "schedules": [
            {"job": schedule.job, "cron": schedule.cron, "timeZone": schedule.time_zone}
            for schedule in schedules
            if schedule.asset == asset.name
        ],
    }
