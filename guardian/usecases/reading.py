"""Read the evidence for people and programs: what API and console stand on.

Invariant: whatever is returned was made of verified records, and only of those that the caller's scope allows; what
lies outside the scope does not exist. Nothing here needs a signing key.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from evidence import dsse, keyring, tiles
from evidence.keys import public_der
from evidence.strict import b64encode
from guardian.usecases import policy as policies
from guardian.usecases.coverage import population
from guardian.usecases.finder import Finder
from guardian.usecases.reading_judged import judged_of
from guardian.usecases.reading_rows import DRILL, MISSED, SCAN, drill_row
from guardian.usecases.reading_scope import (
    MAX_LIMIT,
    MAX_NAME,
    Filter,
    NotFoundError,
    Page,
    Scope,
    parse_filter,
    parse_page,
)
from guardian.usecases.reading_services import Judged, LastScan, control_counts, service_entry

__all__ = ["MAX_LIMIT", "NotFoundError", "Reading", "Scope"]

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType

    from guardian.model import Service
    from guardian.settings import Settings


class Reading:
    """The evidence of one environment, open for reading. A context manager; belongs to one thread."""

    def __init__(self, settings: Settings) -> None:
        """Open log and index.

        Raises UsageError where the environment was never initialised, EvidenceError where its log is gone or cut.
        """
        self.settings = settings
        self._finder = Finder(settings)
        self._catalogue: dict[str, dict[str, Any]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the database."""
        self._finder.close()

    def records(
        self,
        scope: Scope,
        *,
        kind: str | None = None,
        service: str | None = None,
        control: str | None = None,
        asset: str | None = None,
        verdict: str | None = None,
        since: str | None = None,
        until: str | None = None,
        newest_first: bool = True,
        limit: int = 50,
        cursor: int | None = None,
    ) -> dict[str, Any]:
        """Return one page, `{"records": [ROW...], "next": cursor of the next page | None, "size", "behind"}`.

        size: records of the log, as its checkpoint says too; behind: how many of the newest the index lacks still, so
        that a search cannot find them: 0 but for a short while after it was lost.

        ROW: `{index, recordId, kind, subject, asset, service, result, assurance, slot, time}`. Filters combine.
        service: records whose one service it is; with `control`, also scans in which that control judged it.
        verdict: with `control`, records in which that control came to it; without, records of that result, also
        `missed`. since, until: RFC 3339 or a date, since <= time of finishing < until. cursor: the index of the last
        record seen; what is appended meanwhile never moves a page. limit: 1..200.
        Raises UsageError naming what is known for a value that never can match.
        """
        wanted = parse_filter(
            kind=kind, service=service, control=control, asset=asset, verdict=verdict, since=since, until=until
        )
        page = parse_page(limit=limit, cursor=cursor, newest_first=newest_first)
        self._finder.refresh()
        rows, following = self._finder.page(scope, wanted, page)
        return {"records": rows, "next": following, "size": self._finder.size, "behind": self._finder.behind}

    def record(self, scope: Scope, id_or_index: str | int) -> dict[str, Any]:
        """Return one record with all that proves it.

        `{"record": ROW, "statement", "envelope": base64 of the exact bytes, "entry": base64, "proof": {"origin",
        "leafIndex", "treeSize", "hashes": [base64]}, "checkpoint": text, "keys": {"record": [{id, publicKey}], "log":
        the same}, "previous": index | None, "next": index | None}`; previous and next are those in scope.
        Raises NotFoundError.
        """
        finder = self._finder
        finder.refresh()
        at = finder.place_of(str(id_or_index))
        if at is None or not scope.allows(finder.row_at(at)):
            raise NotFoundError(f"there is no record {str(id_or_index)[:MAX_NAME]!r}")
        stored, statement = finder.record_at(at)
        signers = {one.key_id for one in dsse.open_envelope(stored.envelope).signatures}
        older, newer = (finder.page(scope, Filter(), Page(1, at, newest_first=newest)) for newest in (True, False))
        return {
            "record": finder.row_at(at),
            "statement": statement.value,
            "envelope": b64encode(stored.envelope),
            "entry": b64encode(stored.entry),
            "proof": {
                "origin": finder.log.origin,
                "leafIndex": at,
                "treeSize": finder.size,
                "hashes": [b64encode(step) for step in finder.proof(at)],
            },
            "checkpoint": (finder.note or b"").decode(),
            "keys": {
                "record": _keys(one for one in finder.keyring_at(at).keys.values() if one.id in signers),
                "log": _keys(
                    one for one in finder.keyring_at(finder.size - 1).keys.values() if one.role == keyring.LOG
                ),
            },
            "previous": older[0][0]["index"] if older[0] else None,
            "next": newer[0][0]["index"] if newer[0] else None,
        }

    def services(self, scope: Scope) -> dict[str, Any]:
        """Return `{"services": [SERVICE...]}` of the declared services in scope, in the order of guardian.yaml.

        SERVICE: `{name, owner, escalation, tier, tenancy, dataClass, objectives: {rtoSeconds, rpoSeconds}, verdict,
        reason, controls: [{control, title, severity, verdict, counts: {pass, fail, error, skip}, record, recordId,
        time}], assets: [{name, type, requiredAssurance, backups: [{name, format, everySeconds}], drill: DRILL | None}],
        waivers, nextSlots: [{job, due}]}`. reason: why it is not known, or not known whole; None if it is. record and
        recordId of a control: the newest scan, None where the caller may not open it.
        """
        return {
            "services": self._services([one for one in self.settings.services if scope.has_service(one.name)], scope)
        }

    def service(self, scope: Scope, name: str) -> dict[str, Any]:
        """Return one SERVICE as `services` does. Raises NotFoundError."""
        known = [one for one in self.settings.services if one.name == name and scope.has_service(one.name)]
        if not known:
            raise NotFoundError(f"there is no service {name!r}")
        [entry] = self._services(known, scope)
        return entry

    def controls(self, scope: Scope) -> dict[str, Any]:
        """Return `{"controls": [{id, title, description, severity, scope, stages, frameworks, remediation, modes:
        {tier: mode}, last: {record, recordId, time, counts} | None}]}`, by id.

        last: what the newest scan counted, of the services in scope; record and recordId as in SERVICE.
        """
        last, _ = self._last_scan(scope)
        modes = policies.modes(self.settings)
        found = []
        for name, control in self._described().items():
            counts = control_counts(last.judged, name, scope.services) if last is not None else None
            found.append(
                {
                    **{key: control[key] for key in ("id", "title", "description", "severity", "scope")},
                    **{key: control[key] for key in ("stages", "frameworks", "remediation")},
                    "modes": modes[name],
                    "last": None
                    if last is None or counts is None
                    else {
                        "record": last.row["index"] if last.readable else None,
                        "recordId": last.row["recordId"] if last.readable else None,
                        "time": last.row["time"],
                        "counts": counts,
                    },
                }
            )
        return {"controls": found}

    def drills(
        self,
        scope: Scope,
        *,
        asset: str | None = None,
        service: str | None = None,
        since: str | None = None,
        until: str | None = None,
        newest_first: bool = True,
        limit: int = 50,
        cursor: int | None = None,
    ) -> dict[str, Any]:
        """Return one page, `{"drills": [DRILL...], "next", "size"}`, paged as `records`.

        DRILL: `{index, recordId, asset, service, backup: {id, takenAt} | None, result, verdict, assurance,
        requiredAssurance, restoreSeconds, estimatedRtoSeconds, rpoSeconds, objectives: {rtoSeconds, rpoSeconds}, rto,
        rpo: within | beyond | unknown | undeclared, slot, startedOn, finishedOn, phases: [{name, seconds}],
        failedChecks: [id], erredChecks: [id], reason}`; a drill that was killed may have no asset.
        """
        wanted = parse_filter(kind=DRILL, service=service, asset=asset, since=since, until=until)
        page = parse_page(limit=limit, cursor=cursor, newest_first=newest_first)
        self._finder.refresh()
        rows, following = self._finder.page(scope, wanted, page)
        drills = [self._drill(row["index"]) for row in rows]
        return {"drills": drills, "next": following, "size": self._finder.size, "behind": self._finder.behind}

    def coverage(self, scope: Scope, *, since: datetime, until: datetime) -> dict[str, Any]:
        """Return the coverage document of the slots with since <= due < until, narrowed to the scope.

        It is made of all records of the log, each verified, never of the index. since, until: aware. A process that
        asks for the first time reads the whole log for it.
        """
        least, most = scope.from_time, scope.to_time
        if least is not None:
            since = max(since, datetime.fromisoformat(least))
        if most is not None:
            until = min(until, datetime.fromisoformat(most))
        since = min(since, until) if since > until and (least or most) else since
        self._finder.refresh()
        return population(
            self._finder.slot_records(),
            environment=self.settings.environment,
            since=since,
            until=until,
            as_of=datetime.now(UTC),
            lease_s=self.settings.daemon.lease_s,
            services=scope.services,
        )

    def checkpoint(self) -> bytes | None:
        """Return the signed head of the log as a C2SP checkpoint, None while there is none."""
        self._finder.refresh()
        return self._finder.note

    def tile(self, path: str) -> tuple[bytes, bool] | None:
        """Return a tile of the log that `checkpoint` signs and whether it is full, so that it never changes.

        path: of C2SP tlog-tiles, such as `tile/0/x001/234.p/17` or `tile/entries/000`. None if there is none.
        """
        named = tiles.parse_path(path)
        if named is None:
            return None
        self._finder.refresh()
        content = tiles.render(named, self._finder.size, self._finder)
        return None if content is None else (content, named.full)

    def _drill(self, index: int) -> dict[str, Any]:
        _, statement = self._finder.record_at(index)
        return drill_row(index, statement.value, self.settings)

    def _services(self, services: Sequence[Service], scope: Scope) -> list[dict[str, Any]]:
        last, unfinished = self._last_scan(scope)
        now = datetime.now(UTC)
        found = []
        for service in services:
            drills, missed = {}, {}
            for asset in service.assets:
                if (row := self._finder.newest(scope, Filter(kind=DRILL, asset=asset.name))) is not None:
                    drills[asset.name] = self._drill(row["index"])
                if (row := self._finder.newest(scope, Filter(kind=MISSED, asset=asset.name))) is not None:
                    missed[asset.name] = row
            found.append(
                service_entry(
                    service,
                    settings=self.settings,
                    last=last,
                    unfinished=unfinished,
                    drills=drills,
                    missed=missed,
                    catalogue=self._described(),
                    now=now,
                )
            )
        return found

    def _last_scan(self, scope: Scope) -> tuple[LastScan | None, str | None]:
        """Return the newest scan of the period that judged something, and why a newer one did not."""
        self._finder.refresh()
        period = replace(scope, services=None)
        unfinished: str | None = None
        cursor: int | None = None
        while True:
            rows, cursor = self._finder.page(period, Filter(kind=SCAN), Page(10, cursor, newest_first=True))
            for row in rows:
                judged, reason = self._scan(row["index"])
                if judged is not None:
                    return LastScan(row, judged, scope.allows(row)), unfinished
                # What a scan tripped over may name what the caller must not know.
                unfinished = unfinished or (reason if scope.services is None else "it judged nothing")
            if cursor is None:
                return None, unfinished

    def _scan(self, index: int) -> tuple[Judged | None, str]:
        def make() -> tuple[Judged | None, str]:
            _, statement = self._finder.record_at(index)
            predicate = statement.predicate
            if not predicate.get("counts"):
                return None, str(predicate.get("reason") or "it judged nothing")
            return judged_of(self._finder.log, index, predicate), ""

        return self._finder.kept("scan", index, make)

    def _described(self) -> dict[str, dict[str, Any]]:
        if self._catalogue is None:
            self._catalogue = policies.describe(self.settings)
        return self._catalogue


def _keys(entries: Iterable[keyring.KeyEntry]) -> list[dict[str, str]]:
    return [{"id": entry.id, "publicKey": b64encode(public_der(entry.public))} for entry in entries]
