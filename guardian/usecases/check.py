"""Manifests go in, findings with file and line come out: what admission would say of them. Nothing is recorded.

Invariant: an object here becomes the same resource, and meets the same judge and standards, as a live one or one under
review. What cannot be read or judged is a Problem or an `error`, never left out. Without a configuration the strictest
defaults hold.
"""

from __future__ import annotations

import re
import secrets
import traceback
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Final

from guardian.collectors.kubernetes import Kubernetes
from guardian.collectors.kubernetes_objects import kind_of, observe
from guardian.errors import ConfigError, UsageError
from guardian.kubernetes_kinds import PREFIX
from guardian.model import Mode, Tier
from guardian.normalise import Estate, normalise
from guardian.policy import bundle as bundles
from guardian.policy import users
from guardian.policy.engines import open_engine
from guardian.policy.judge import MOST_VALUES, Judge
from guardian.policy.metadata import Resolved
from guardian.policy.standards import Standards
from guardian.redact import parse_key
from guardian.reports.judged import Checked, Located, Place, Problem, Subject
from guardian.settings import EngineSettings, KubernetesCollector
from guardian.usecases.check_files import sources
from guardian.usecases.check_manifests import Manifest, manifests
from guardian.usecases.check_nodes import locate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from guardian.model import Resource
    from guardian.policy.bundle import Bundle
    from guardian.policy.metadata import Catalogue
    from guardian.settings import Settings

STAGE: Final = "admission"
STRICTEST_ENVIRONMENT: Final = "production"
DEFAULT_COLLECTOR: Final = "cluster"
_REMEMBER: Final = 4096
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_COLLECTOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def check(
    paths: Sequence[str],
    settings: Settings | None,
    *,
    collector: str | None = None,
    namespace: str = "default",
    stdin: BinaryIO,
    now: datetime,
    progress: Callable[[str], None],
) -> Checked:
    """Judge every Kubernetes object in `paths` by the controls of stage admission.

    paths: files, folders, `-` for stdin. settings: None without a guardian.yaml: then the defaults of production for
    the tier critical hold. collector: the name that ids carry; None for the only kubernetes collector of `settings`,
    else `cluster`. namespace: of objects that name none. progress: called with each file's name.
    Raises UsageError for paths that are not there and names that cannot be, GuardianError if there is no engine.
    """
    name = _collector_name(settings, collector)
    if _NAMESPACE.fullmatch(namespace) is None:
        raise UsageError(f"--namespace {namespace!r} is no name of a namespace; expected such as erp or team-7")
    bundle = users.load(settings) if settings else bundles.load()
    standards = Standards.of(bundle.catalogue, settings) if settings else _defaults(bundle.catalogue)
    estate, notes = _estate(settings)
    work = _Work(Kubernetes(KubernetesCollector(name)), estate, namespace, now)
    engine_settings = settings.engine if settings else EngineSettings()
    with closing(open_engine(engine_settings, bundle)) as engine:
        judge = Judge(engine, bundle.catalogue, standards, remember=_REMEMBER)
        for source in sources(paths, stdin):
            if isinstance(source, Problem):
                work.problems.append(source)
                continue
            progress(source.name)
            for found in manifests(source):
                work.take(found, judge)
    _complain_of_nothing(work, paths)
    return Checked(
        environment=standards.environment,
        collector=name,
        engine=engine.name,
        engine_version=engine.version,
        bundle_digest=bundle.digest,
        controls=bundle.catalogue.describe(),
        subjects=work.subjects,
        problems=work.problems,
        not_judged=_not_judged(bundle, standards, work.subjects),
        notes=notes,
    )


@dataclass(slots=True)
class _Work:
    """What was found so far."""

    collector: Kubernetes
    estate: Estate
    namespace: str
    now: datetime
    subjects: list[Subject] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    _first: dict[str, Place] = field(default_factory=dict)

    def take(self, found: Manifest | Problem, judge: Judge) -> None:
        """Judge one object, or note what could not be read."""
        if isinstance(found, Problem):
            self.problems.append(found)
            return
        try:
            resource = self._resource(found, judge)
        except ValueError as error:
            message = f"not a Kubernetes object: {error}; correct it, or name manifests only"
            self.problems.append(Problem(found.file, found.node.line, message))
            return
        except Exception as error:  # noqa: BLE001 -- one odd object must not hide what is wrong with the others
            self.problems.append(Problem(found.file, found.node.line, _defect(error)))
            return
        place = Place(found.file, found.node.line, found.node.column)
        first = self._first.setdefault(resource.id, place)
        if first is not place and not resource.id.endswith(
            "*"
        ):  # the server gives a generated name a new end each time
            message = f"{resource.id} stands at {first.file}:{first.line} already; keep one of the two"
            self.problems.append(Problem(found.file, found.node.line, message))
        located = [
            Located(finding, tuple(_places(found, finding.observed)) or (place,))
            for finding in judge.findings(resource, stage=STAGE, now=self.now)
        ]
        self.subjects.append(Subject(resource.id, resource.kind, resource.service, resource.tier, place, located))

    def _resource(self, found: Manifest, judge: Judge) -> Resource:
        if found.node.nodes > MOST_VALUES:
            kind = kind_of(str(found.value.get("apiVersion")), str(found.value.get("kind")))
            if judge.controls(kind, None, STAGE):
                raise ValueError(f"it holds more than {MOST_VALUES:,} values, as nothing does that is judged")
        observed = observe(found.value, cluster=self.collector.name, default_namespace=self.namespace)
        return normalise(observed, self.collector, self.estate)


def _places(found: Manifest, observed: object) -> Iterator[Place]:
    """Yield the place of every field that a finding names, each line once, in their order in the file."""
    fields: dict[tuple[int, int], str] = {}
    for name in _fields(observed):
        fields.setdefault(locate(found.node, name), name)
    for (line, column), name in sorted(fields.items()):
        yield Place(found.file, line, column, name)


def _fields(observed: object) -> Iterator[str]:
    """Yield what stands under the key `field` in what a policy observed."""
    if isinstance(observed, list):
        for item in observed:
            yield from _fields(item)
    elif isinstance(observed, dict):
        if isinstance(observed.get("field"), str):
            yield observed["field"]
        for item in observed.values():
            yield from _fields(item)


def _collector_name(settings: Settings | None, asked: str | None) -> str:
    known = [one.name for one in settings.collectors if isinstance(one, KubernetesCollector)] if settings else []
    if asked is not None:
        if known and asked not in known:
            raise UsageError(f"there is no kubernetes collector {asked!r}; there are: {', '.join(known)}")
        if _COLLECTOR.fullmatch(asked) is None:
            raise UsageError(f"--collector {asked!r} is no name of a collector; expected such as prod-eu")
        return asked
    if len(known) > 1:
        raise UsageError(f"there are several kubernetes collectors; choose one: --collector {' | '.join(known)}")
    return known[0] if known else DEFAULT_COLLECTOR


def _defaults(catalogue: Catalogue) -> Standards:
    """Return the standards of an environment that nobody configured: the strictest there are."""
    resolved = {
        (control.id, tier): Resolved(
            control.modes.at(STRICTEST_ENVIRONMENT, tier),
            {name: entry.defaults.at(STRICTEST_ENVIRONMENT, tier) for name, entry in control.parameters.items()},
        )
        for control in catalogue.controls.values()
        for tier in Tier
    }
    return Standards(STRICTEST_ENVIRONMENT, {}, resolved)


def _estate(settings: Settings | None) -> tuple[Estate, list[str]]:
    """Return services and redaction key, and what a person should know of them.

    A key of this run serves where there is none: verdicts do not depend on it, and a build machine should not have it.
    """
    key = secrets.token_bytes(32)
    if settings is None:
        said = f"no guardian.yaml: judged by the defaults of {STRICTEST_ENVIRONMENT} for tier {Tier.CRITICAL}"
        return Estate((), key), [f"{said}, the strictest; --config names one"]
    try:
        return Estate(settings.services, parse_key(settings.keys.redaction), settings.redact_keep), []
    except ConfigError:
        said = "the redaction key cannot be read here: fingerprints of secrets are those of this run only"
        return Estate(settings.services, key, settings.redact_keep), [said]


def _complain_of_nothing(work: _Work, paths: Sequence[str]) -> None:
    """Add a Problem where nothing was there to judge: a mistyped path must not look like a pass."""
    where = ", ".join(paths).encode("utf-8", "replace").decode()
    if not work.subjects and not work.problems:
        message = "no Kubernetes object is in there; name manifests, or pipe them: helm template ... | guardian check -"
        work.problems.append(Problem(where, 1, message))
    elif work.subjects and all(_is_gatekeeper(subject.kind) for subject in work.subjects):
        message = "Gatekeeper templates, constraints and suites are not judged yet, and nothing else is in there"
        work.problems.append(Problem(where, 1, message))


def _is_gatekeeper(kind: str) -> bool:
    return kind.rpartition(".")[0].endswith(".gatekeeper.sh")


def _not_judged(bundle: Bundle, standards: Standards, subjects: Sequence[Subject]) -> dict[str, str]:
    """Return control id -> why, of the controls of Kubernetes objects that judged nothing here."""
    kinds = {subject.kind for subject in subjects}
    tiers = {subject.tier for subject in subjects}
    said = {}
    for control in bundle.catalogue.controls.values():
        if not any(kind.startswith(PREFIX) for kind in control.judges):
            continue
        if control.scope != "resource" or STAGE not in control.stages:
            said[control.id] = "needs the cluster's state: guardian scan"
        elif kinds & set(control.judges) and all(standards.at(control.id, t).mode is Mode.OFF for t in tiers):
            said[control.id] = "mode is off"
    return said


def _defect(error: Exception) -> str:
    """Say where Guardian broke, without the exception's words, which may hold what it was reading."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{type(error).__name__} in {frame.name} of {frame.filename.rpartition('/')[2]}:{frame.lineno}"
    return f"Guardian itself broke on this object: {place}; please report it"
