"""An AdmissionReview goes in, a decision comes out: the pure core of the webhook. No I/O, no clock.

Same normalisation, same judge and same standards as scan, check and replay, so the same object has the same findings.
What could not be judged is never allowed in silence: it is denied where the namespace fails closed, and allowed with a
warning elsewhere. Shape: Kubernetes admission.k8s.io/v1.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Self

import orjson

from guardian.collectors.kubernetes import Kubernetes
from guardian.collectors.kubernetes_objects import observe
from guardian.errors import ConfigError
from guardian.model import Mode, Verdict, rfc3339
from guardian.normalise import Estate, normalise
from guardian.policy import users
from guardian.policy.engines import open_engine
from guardian.policy.judge import Judge
from guardian.policy.standards import Standards
from guardian.redact import parse_key
from guardian.settings import KubernetesCollector
from guardian.usecases.admission_request import ReviewError, parse
from guardian.usecases.builtin_controllers import is_controller

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from guardian.model import Finding, Resource
    from guardian.policy.metadata import Catalogue
    from guardian.settings import Settings, WebhookSettings
    from guardian.usecases.admission_request import Request

STAGE: Final = "admission"
CASE_SCHEMA: Final = "guardian/review/v1"
LONGEST_WARNING: Final = 120  # characters; longer ones are cut by clients in places of their own
LONGEST_MESSAGE: Final = 8000
REMEMBERED: Final = 20_000  # verdicts, some hundred bytes each

# Subresources whose object is the whole Pod; of all others (status, scale, eviction, binding, exec) nothing is judged.
_JUDGED_SUBRESOURCES: Final = ("", "ephemeralcontainers", "resize")


class Outcome(StrEnum):
    """How a review ended.

    error: a control could not be judged; overdue: nothing was, in time; exempt: there was nothing to judge.
    """

    ALLOW = "allow"
    WARN = "warn"
    DENY = "deny"
    ERROR = "error"
    OVERDUE = "overdue"
    EXEMPT = "exempt"


@dataclass(frozen=True, slots=True)
class Case:
    """What was judged, redacted, and by what: enough to judge it again.

    request: what of the AdmissionReview policies may see. controls: mode and parameters of each control, by id.
    """

    environment: str
    resource: Resource | None
    request: Mapping[str, Any]
    now: datetime
    controls: Mapping[str, Mapping[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Return the case as it is recorded."""
        return {
            "schema": CASE_SCHEMA,
            "environment": self.environment,
            "now": rfc3339(self.now),
            "resource": self.resource.to_json() if self.resource else None,
            "request": dict(self.request),
            "controls": {name: dict(stated) for name, stated in self.controls.items()},
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """One answered review. id: UUIDv7, the record's id too. dry_run: nothing may be written. policy: who judged."""

    id: str
    uid: str
    outcome: Outcome
    allowed: bool
    message: str
    warnings: Sequence[str]
    findings: Sequence[Finding]
    case: Case
    policy: Mapping[str, str]
    dry_run: bool

    @property
    def spooled_first(self) -> bool:
        """Whether the decision must be on disk before it is answered: what is denied, and what was not judged."""
        return self.outcome in {Outcome.DENY, Outcome.ERROR, Outcome.OVERDUE}

    @property
    def annotations(self) -> dict[str, str]:
        """What the API server writes beside the request in its own audit log."""
        said = {"decision": self.id, "outcome": self.outcome, "bundle": self.policy["bundleDigest"]}
        for name, verdict in (("violated", Verdict.FAIL), ("unchecked", Verdict.ERROR)):
            controls = [finding.control for finding in self.findings if finding.verdict is verdict]
            if controls:
                said[name] = ",".join(controls)
        return said

    def response(self) -> bytes:
        """Return the AdmissionReview v1 with its response, as JSON."""
        response: dict[str, Any] = {"uid": self.uid, "allowed": self.allowed, "auditAnnotations": self.annotations}
        if not self.allowed:
            status = {"status": "Failure", "code": 403, "reason": "Forbidden", "message": self.message}
            response["status"] = status
        if self.warnings:
            response["warnings"] = list(self.warnings)
        return orjson.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})

    def spooled(self) -> bytes:
        """Return the decision as one line of JSON, as the spool keeps it until it is signed."""
        return orjson.dumps(
            {
                "id": self.id,
                "uid": self.uid,
                "outcome": self.outcome,
                "allowed": self.allowed,
                "message": self.message,
                "warnings": list(self.warnings),
                "findings": [finding.to_json() for finding in self.findings],
                "case": self.case.to_json(),
                "policy": dict(self.policy),
            },
            option=orjson.OPT_SORT_KEYS,
        )


class Reviewer:
    """Answers reviews under one configuration. Belongs to one thread, as its engine does; `overdue` to any."""

    def __init__(self, settings: Settings, webhook: WebhookSettings, judge: Judge, estate: Estate) -> None:
        """judge: what judges; it knows engine and standards. estate: services and redaction key."""
        self._webhook, self._judge, self._estate = webhook, judge, estate
        self._environment = settings.environment
        self._collector = Kubernetes(KubernetesCollector(webhook.collector))
        self._policy = {
            "bundleDigest": judge.engine.bundle_digest,
            "engine": judge.engine.name,
            "engineVersion": judge.engine.version,
        }

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Load policies, start the engine and read the redaction key; no signing key is touched.

        Raises ConfigError if guardian.yaml has no webhook, and what engine and policies raise.
        """
        if settings.webhook is None:
            raise ConfigError(f"{settings.path} has no `webhook:`; add one, see `guardian webhook --help`")
        bundle = users.load(settings)
        standards = Standards.of(bundle.catalogue, settings)
        estate = Estate(settings.services, parse_key(settings.keys.redaction), settings.redact_keep)
        # A call that overruns asks each control alone, twice at most: so a slow one cannot take the others along.
        engine = open_engine(settings.engine, bundle, deadline_s=settings.webhook.deadline_s / 3)
        judge = Judge(engine, bundle.catalogue, standards, remember=REMEMBERED)
        return cls(settings, settings.webhook, judge, estate)

    def close(self) -> None:
        """Let go of the engine."""
        self._judge.engine.close()

    def review(self, body: bytes, *, decision_id: str, now: datetime) -> Decision:
        """Judge one AdmissionReview. Raises ReviewError for what is none."""
        request = parse(body)
        exempt = self._exempt(request)
        if exempt:
            return self._decision(request, decision_id, now, None, (), exempt=exempt)
        resource = self._resource(request)
        findings = self._judge.findings(resource, stage=STAGE, now=now, request=request.facts())
        return self._decision(request, decision_id, now, resource, findings)

    def overdue(self, body: bytes, *, decision_id: str, now: datetime, why: str) -> Decision:
        """Answer a review that was not judged in time, as declared for its namespace. Raises ReviewError."""
        request = parse(body)
        exempt = self._exempt(request)
        if exempt:
            return self._decision(request, decision_id, now, None, (), exempt=exempt)
        return self._decision(request, decision_id, now, None, (), unchecked=why)

    def _exempt(self, request: Request) -> str:
        """Return why there is nothing to judge, empty if there is."""
        if request.namespace in self._webhook.exempt:
            return f"namespace {request.namespace} is exempt"
        if request.sub_resource not in _JUDGED_SUBRESOURCES:
            return f"subresource {request.sub_resource} changes nothing that is judged"
        if request.operation not in {"CREATE", "UPDATE"} or request.object is None:
            return f"{request.operation} leaves nothing to judge"
        return ""

    def _resource(self, request: Request) -> Resource:
        """Return the object as it would be stored, as scan and check would see it."""
        found = dict(request.object or {})
        found |= {"apiVersion": request.kind.api_version, "kind": request.kind.kind}
        if request.namespace and request.kind.kind != "Namespace":
            found["metadata"] = {**request.metadata, "namespace": request.namespace}
        try:
            seen = observe(found, cluster=self._collector.name)
        except ValueError as error:
            raise ReviewError(f"request.object is not a Kubernetes object: {error}") from error
        return normalise(seen, self._collector, self._estate)

    def _decision(
        self,
        request: Request,
        decision_id: str,
        now: datetime,
        resource: Resource | None,
        findings: Sequence[Finding],
        *,
        exempt: str = "",
        unchecked: str = "",
    ) -> Decision:
        standards, tier = self._judge.standards, resource.tier if resource else None
        judged_by = {finding.control: standards.at(finding.control, tier) for finding in findings}
        case = Case(
            self._environment,
            resource,
            request.facts(),
            now,
            {name: {"mode": stated.mode, "params": dict(stated.params)} for name, stated in judged_by.items()},
        )
        answer = _Answer.of(
            findings,
            closed=request.namespace in self._webhook.fail_closed,
            healing=is_controller(request.user_info.username) or _is_leaving(request),
            unchecked=unchecked,
        )
        return Decision(
            id=decision_id,
            uid=request.uid,
            outcome=Outcome.EXEMPT if exempt else answer.outcome,
            allowed=answer.allowed,
            message=exempt or self._message(request, answer, self._judge.catalogue),
            warnings=answer.warnings,
            findings=findings,
            case=case,
            policy=self._policy,
            dry_run=bool(request.dry_run),
        )

    def _message(self, request: Request, answer: _Answer, catalogue: Catalogue) -> str:
        """Return what the person who asked reads: each violated control, how to mend it, and the way round it."""
        if answer.allowed:
            return ""
        place = f"{request.namespace}/" if request.namespace else ""
        name = request.name or str(request.metadata.get("generateName", ""))
        parts = [f"Guardian refuses {request.kind.kind} {place}{name}"]
        for finding in answer.violated:
            remediation = textwrap.indent(catalogue.controls[finding.control].remediation, "  ")
            parts.append(f"[{finding.control}] {finding.message.removesuffix('.')}. To fix:\n{remediation}")
        parts += answer.unchecked
        if answer.violated:
            names = ", ".join(finding.control for finding in answer.violated)
            parts.append(
                f"If it must be so, ask whoever owns Guardian here for an exception: the mode of {names} "
                f"in guardian.yaml, environment {self._environment}"
            )
        return _cut("\n".join(parts), LONGEST_MESSAGE)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the findings come to. violated: what is denied. unchecked: why something could not be judged."""

    outcome: Outcome
    allowed: bool
    warnings: Sequence[str]
    violated: Sequence[Finding]
    unchecked: Sequence[str]

    @classmethod
    def of(cls, findings: Sequence[Finding], *, closed: bool, healing: bool, unchecked: str) -> _Answer:
        """closed: what could not be judged is denied. healing: nothing is denied, whatever its mode."""
        open_ones = [f for f in findings if f.verdict is Verdict.FAIL and f.waiver is None]
        denied = [] if healing else [f for f in open_ones if f.mode is Mode.DENY]
        shown = [f for f in open_ones if f.mode.rank >= Mode.WARN.rank and f not in denied]
        unsure = [f for f in findings if f.verdict is Verdict.ERROR and f.mode.rank >= Mode.WARN.rank]
        reasons = [f"[{f.control}] could not be judged: {f.message}" for f in unsure]
        if unchecked:
            reasons.append(f"this request was not judged: {unchecked}")
        binding = bool(unchecked) or any(f.mode is Mode.DENY for f in unsure)
        refused = bool(denied) or (binding and closed and not healing)
        if denied:
            outcome = Outcome.DENY
        elif reasons:
            outcome = Outcome.OVERDUE if unchecked else Outcome.ERROR
        else:
            outcome = Outcome.WARN if shown else Outcome.ALLOW
        warnings = [f"guardian {f.control}: {f.message}" for f in shown]
        if not refused:
            warnings += [f"guardian {reason}" for reason in reasons]
        return cls(outcome, not refused, [_cut(text, LONGEST_WARNING) for text in warnings], denied, reasons)


def _is_leaving(request: Request) -> bool:
    """Tell whether the object is being deleted: denying the removal of a finalizer would keep it for ever."""
    return bool(request.metadata.get("deletionTimestamp"))


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 3] + "..."  # headers carry no other letters than ASCII
