"""Everything that is looked at in a restored copy, each check on its own: one that breaks costs no other.

Invariant: content is compared before anything is changed, and only `application` changes anything.
Talks to the restored server over its socket and reads the copied files; the backup itself is not touched.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import psycopg

from guardian.drills.neutralise import neutralise
from verifiers import filestore
from verifiers.postgres import checks
from verifiers.postgres.assertions import assertions
from verifiers.postgres.counts import counts
from verifiers.postgres.manifest import capture, compare
from verifiers.result import Scope

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from guardian.drills.checklist import Checklist
    from guardian.model import Asset
    from verifiers.manifest import Manifest
    from verifiers.postgres.archive import Archive
    from verifiers.result import Check

_CONTENT = ["catalog.diff", "content.rows", "content.hashes", "sequences", "large-objects", "materialized-views"]
_FILES = ["filestore.content", "filestore.bijection", "filestore.manifest"]
_PHASE = "compare"


class Progress(Protocol):
    """Told where a drill is: phase, and what is done of how much; None where unknown."""

    def __call__(self, phase: str, done: int | None, total: int | None) -> None:
        """Take notice."""
        ...


@dataclass(frozen=True, slots=True)
class Examination:
    """What the checks of one drill share. measurements: counts are added. left_s: seconds left of the deadline.

    heapallindexed: whether amcheck looks for every row in every index; None for copies of clusters only.
    heapallindexed_said: when that was last proved, where it is not due.
    """

    checklist: Checklist
    asset: Asset
    manifest: Manifest | None
    key: bytes
    measurements: dict[str, float | int]
    progress: Progress
    left_s: Callable[[], float]
    heapallindexed: bool | None = None
    heapallindexed_said: str = ""
    scope: Scope = Scope.FULL

    def content(self, conninfo: str, incomparable: str = "") -> None:
        """Compare rows and catalogue with the manifest; for as long, nothing but the restore has touched them.

        incomparable: why what was restored is not what the manifest describes, empty where it is.
        """
        expected = self.manifest.postgres if self.manifest else None
        if expected is None:
            for check_id in _CONTENT:
                self.checklist.error(
                    check_id,
                    "there is no manifest of this backup to compare with; take backups inside "
                    f"`guardian manifest {self.asset.name} --backup -- …`, or write down a lower `assurance`",
                )
            return

        if incomparable:
            for check_id in _CONTENT:
                self.checklist.error(check_id, incomparable[:1].upper() + incomparable[1:] + ".")
            return

        def content() -> list[Check]:
            observed = capture(
                conninfo, key=self.key, method=expected.method, progress=self._two, deadline_s=self.left_s()
            )
            self.measurements.update(tables=len(observed.tables), rows=observed.rows)
            return compare(expected, observed)

        self.checklist.run(_CONTENT, content)

    def database(self, conninfo: str, archive: Archive | None, named: str | None = None) -> None:
        """Look at the database as such: readable, the right one, sound. archive: None for the copy of a cluster.

        named: the name that a file beside the dump gives for the database.
        """
        run, known = self.checklist.run, self.manifest.postgres if self.manifest else None
        run(["catalog.readable"], lambda: checks.catalog_readable(conninfo, archive=archive, scope=self.scope))
        run(
            ["identity"],
            lambda: checks.identity(
                conninfo,
                archived_database=archive.header.database if archive else self._connected_to(conninfo),
                expected_database=self.asset.source.database,
                manifest=known,
                named=named,
            ),
        )
        if archive:
            run(["pages"], lambda: checks.pages(conninfo, logical=True))
        run(["amcheck"], lambda: self._amcheck(conninfo, archive))
        # Of a dump they were just made, over the restored rows; a copy brings along what its catalogue says of them.
        run(["constraints"], lambda: checks.constraints(conninfo, made_here=archive is not None))
        run(["indexes"], lambda: checks.indexes(conninfo, manifest=known))
        run(
            ["extensions"],
            lambda: checks.extensions(conninfo, needed=archive.needs.extensions if archive else (), manifest=known),
        )

    def count(self, conninfo: str) -> None:
        """Measure what the database holds, where no manifest made it known; for the comparison with other drills."""
        counted = counts(conninfo, deadline_s=max(1.0, self.left_s() / 10))
        for name, number in counted.items():
            self.measurements.setdefault(name, number)

    def _amcheck(self, conninfo: str, archive: Archive | None) -> Check:
        # A copy brings its indexes along, right or wrong; a dump has them made anew.
        thorough = archive is None if self.heapallindexed is None else self.heapallindexed
        check = checks.amcheck(conninfo, heapallindexed=thorough, progress=self._two)
        return replace(check, message=f"{check.message} {self.heapallindexed_said}".strip())

    def files(self, conninfo: str, root: Path | None) -> None:
        """Look at the restored filestore. root: None for an asset without one."""
        checklist = self.checklist
        if root is None:
            for check_id in _FILES:
                checklist.skip(check_id, f"asset {self.asset.name} is a database without a filestore")
            return
        expected = self.manifest.filestore if self.manifest else None
        measured = filestore.Measures()
        wanted = [check_id for check_id in _FILES if checklist.wanted(check_id)]
        if expected is None:
            checklist.error("filestore.manifest", "there is no manifest of this backup's filestore to compare with")
            wanted = [check_id for check_id in wanted if check_id != "filestore.manifest"]
        checklist.run(
            wanted,
            lambda: filestore.examine(
                root,
                content="filestore.content" in wanted,
                conninfo=conninfo if "filestore.bijection" in wanted else None,
                manifest=expected if "filestore.manifest" in wanted else None,
                measured=measured,
                progress=self._one,
            ),
        )
        self.measurements.update(measured.to_json() if wanted else {})

    def application(self, conninfo: str) -> None:
        """Make the copy harmless, then let what knows the application look at it."""
        if self.asset.type == "odoo":
            self.checklist.run(["neutralised"], lambda: neutralise(conninfo))
        else:
            self.checklist.skip("neutralised", "not an Odoo database")
        wanted = self.asset.assertions
        if wanted:
            self.checklist.run(["assertions"], lambda: assertions(conninfo, wanted, deadline_s=self.left_s()))

    @staticmethod
    def _connected_to(conninfo: str) -> str:
        return str(psycopg.conninfo.conninfo_to_dict(conninfo)["dbname"])

    def _one(self, done: int) -> None:
        self.progress(_PHASE, done, None)

    def _two(self, done: int, total: int) -> None:
        self.progress(_PHASE, done, total)
