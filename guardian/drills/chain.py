"""A copy that holds only what changed since another: those it builds on are fetched too, and combined into a whole one.

Invariant: each link of the chain is held against its own manifest before any is combined, and a chain that does not
lead to a whole copy is a defect of the backup. Nothing of the copies runs here; `pg_combinebackup` runs in the sandbox.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from guardian.drills import cluster_files
from guardian.drills.checklist import StopDrill
from guardian.drills.obtaining import Allowance
from verifiers.compressed import DamagedError
from verifiers.layout import Layout
from verifiers.postgres.physical import Label, PhysicalError
from verifiers.sources.clusters import beside
from verifiers.sources.pg_basebackup import label_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardian.drills.run import Run
    from verifiers.sandbox.server import SandboxServer
    from verifiers.sources import BackupItem, Fetched

_LONGEST = 100  # a chain that no restore should need


@dataclass(frozen=True, slots=True)
class Link:
    """One copy of a chain, unpacked in the box. spaces: folder by tablespace's OID. verified: see Fetched."""

    item: BackupItem
    folder: Path
    spaces: Mapping[str, Path]
    verified: str = ""


def gather(run: Run, newest: BackupItem, fetched: Fetched, box: Path) -> list[Link]:
    """Unpack a fetched copy, and fetch and unpack those that it builds on; return them oldest first.

    One that stands alone is unpacked into `box/data`. Ends the drill, having entered why, where one is missing.
    """
    links = [_unpacked(run, newest, fetched, box / "data")]
    while (wanted := _label(run, links[-1].folder).incremental_from) is not None:
        if len(links) == _LONGEST:
            raise StopDrill(f"the backup builds on more than {_LONGEST} others; take a whole one")
        older = _parent(run, links[-1].item, wanted)
        into = box.parent / f"backup-{len(links)}"
        into.mkdir(mode=0o700)
        with run.phase("fetch"):
            run.room(box.parent, older.size_bytes)
            try:
                fetched = run.source.fetch(older, into, partial(_tell, run, older.size_bytes))
            except DamagedError as error:
                run.incomplete(f"{older.id}, which it builds on: {error}")
        run.measurements["backupBytes"] += fetched.bytes
        links.append(_unpacked(run, older, fetched, box / f"link-{len(links)}"))
    if len(links) > 1:
        if any(link.spaces for link in links):
            raise StopDrill("incremental backups of clusters with tablespaces of their own are not combined yet")
        newest_folder = box / "link-0"
        links[0].folder.rename(newest_folder)
        links[0] = Link(newest, newest_folder, {}, links[0].verified)
    return links[::-1]


def _tell(run: Run, of: int, done: int) -> None:
    run.tell("fetch", done, of)


def combine(run: Run, server: SandboxServer, links: Sequence[Link], data: Path) -> None:
    """Make one whole copy of a chain, oldest first, in the new folder `data`, and remove the links."""
    names = [server.inside(link.folder) for link in links]
    argv = ["pg_combinebackup", *names, "--output", str(Path(server.inside(data.parent)) / data.name), "--no-sync"]
    done = server.run(argv, deadline_s=max(1.0, run.left_s()))
    if done.returncode != 0:
        told = cluster_files.complaints(done, "pg_combinebackup")
        run.incomplete(f"its chain of {len(links)} copies does not combine: {'; '.join(told[:3]) or 'without a word'}")
    for link in links:
        cluster_files.discard(link.folder)
    run.measurements["chainLength"] = len(links)


def _unpacked(run: Run, item: BackupItem, fetched: Fetched, target: Path) -> Link:
    copy = fetched.dump
    if copy is None:
        raise StopDrill("the backup holds no copy of a cluster")
    if fetched.form.layout is Layout.CLUSTER:
        spaces = {oid: place.rename(target.parent / place.name) for oid, place in beside(copy).items()}
        copy.rename(target)
        return Link(item, target, spaces, fetched.verified)
    may = Allowance(target.parent.parent, run.settings.disk_quota, run.tell)
    before = int(run.measurements["backupBytes"])
    try:
        spaces = cluster_files.unpack(copy, target, lambda done: may.written("restore", before, done))
    except DamagedError as error:
        run.incomplete(str(error))
    cluster_files.discard(copy)
    return Link(item, target, spaces, fetched.verified)


def _label(run: Run, folder: Path) -> Label:
    try:
        return cluster_files.label_of(folder)
    except PhysicalError as error:
        run.incomplete(str(error))


def _parent(run: Run, child: BackupItem, wanted: str) -> BackupItem:
    """Return the copy that began at the position `wanted`, which another one builds on."""
    if run.job.format not in {"pg_basebackup", "barman"}:
        raise StopDrill("incremental copies inside a repository are not combined; restore them beside each other first")
    there = run.source.locate()
    item = next((item for item in there if item.id != child.id and _began_at(item, wanted)), None)
    if item is None:
        run.incomplete(
            f"{child.id} holds only what changed since the copy that began at {wanted}, and there is no such copy in "
            f"{run.job.path}"
        )
    if item.complete is False:
        run.incomplete(f"{child.id} builds on {item.id}, which is not whole: {item.reason}")
    return item


def _began_at(item: BackupItem, wanted: str) -> bool:
    text = label_text(item.path)
    try:
        return text is not None and Label.parse(text).lsn == wanted
    except PhysicalError:
        return False
