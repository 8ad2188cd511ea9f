"""An AdmissionReview goes in, a decision comes out: the pure core of the webhook. No I/O, no clock.

Same normalisation, same judge and same standards as scan, check and replay, so the same object has the same findings.
What could not be judged is never allowed in silence; see `admission_answer`. Shape: Kubernetes admission.k8s.io/v1.
"""

from __future__ import annotations

import textwrap
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Self

import orjson

from guardian.collectors.kubernetes import Kubernetes
from guardian.collectors.kubernetes_objects import observe
from guardian.errors import ConfigError
from guardian.model import Mode, Verdict, rfc3339
from guardian.normalise import Estate, normalise
from guardian.policy import users
from guardian.policy.engines import open_engine
from guardian.policy.judge import MOST_VALUES, Judge
from guardian.policy.standards import Standards
from guardian.redact import parse_key
from guardian.settings import KubernetesCollector
from guardian.usecases.admission_answer import Circumstances, Outcome, answer, cut
from guardian.usecases.admission_request import ReviewError, parse, parse_head
from guardian.usecases.builtin_controllers import is_controller

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from guardian.model import Finding, Resource, Tier
    from guardian.policy.metadata import Catalogue
    from guardian.settings import Settings, WebhookSettings
    from guardian.usecases.admission_answer import Answer
    from guardian.usecases.admission_request import Request

STAGE: Final = "admission"
CASE_SCHEMA: Final = "guardian/review/v1"
LONGEST_MESSAGE: Final = 16_000
LONGEST_REASON: Final = 2000  # characters of one finding in a refusal
REMEMBERED: Final = 10_000  # verdicts, each some hundred bytes as a rule and never more than a few thousand

# Subresources whose object is the whole Pod; of all others (status, scale, eviction, binding, exec) nothing is judged.
_JUDGED_SUBRESOURCES: Final = ("", "ephemeralcontainers", "resize")


@dataclass(frozen=True, slots=True)
class Case:
    """What was judged, redacted, and by what: enough to judge it again.

    request: what of the AdmissionReview policies may see. controls: mode and parameters of each control that judges
    this kind, by id. here: what else decided.
    """

    environment: str
    resource: Resource | None
    request: Mapping[str, Any]
    now: datetime
    controls: Mapping[str, Mapping[str, Any]]
    here: Circumstances

    def to_json(self) -> dict[str, Any]:
        """Return the case as it is recorded."""
        return {
            "schema": CASE_SCHEMA,
            "environment": self.environment,
            "now": rfc3339(self.now),
            "resource": self.resource.to_json() if self.resource else None,
            "request": dict(self.request),
            "controls": {name: dict(stated) for name, stated in self.controls.items()},
            "here": asdict(self.here),
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
        # A call that overruns asks each control alone, and two may overrun again: all within the webhook's deadline.
        engine = open_engine(settings.engine, bundle, deadline_s=settings.webhook.deadline_s / 4.5)
        judge = Judge(engine, bundle.catalogue, standards, remember=REMEMBERED)
        return cls(settings, settings.webhook, judge, estate)

    def close(self) -> None:
        """Let go of the engine."""
        self._judge.engine.close()

    def review(self, body: bytes, *, decision_id: str, now: datetime) -> Decision:
        """Judge one AdmissionReview. Raises ReviewError for what is none."""
        try:
            request = parse(body)
        except ReviewError:
            request = parse_head(body, whole=True)
            refusal = self._refusal(request, self._here(request), "its object cannot be read")
            return self._decision(request, decision_id, now, refusal)
        here = self._here(request)
        if here.exempt:
            return self._decision(request, decision_id, now, here)
        if len(body) > 2 * MOST_VALUES and _values(request.object) > MOST_VALUES:
            why = f"it holds more than {MOST_VALUES:,} values, as nothing does that is judged"
            return self._decision(request, decision_id, now, self._refusal(request, here, why))
        try:
            resource = self._resource(request)
        except ValueError as error:
            why = f"it is not as a Kubernetes object is: {error}"
            return self._decision(request, decision_id, now, self._refusal(request, here, why))
        findings = self._judge.findings(resource, stage=STAGE, now=now, request=request.facts())
        # Where the engine gave no verdict on its own account, what is declared holds; else it is the object's.
        closed = here.closed or self._judge.answered
        return self._decision(request, decision_id, now, replace(here, closed=closed), resource, findings)

    def overdue(self, body: bytes, *, decision_id: str, now: datetime, why: str) -> Decision:
        """Answer a review that was not judged in time, as declared for its namespace. Raises ReviewError."""
        request = parse_head(body, whole=True)
        here = self._here(request)
        closed = here.closed and self._denies(request)
        return self._decision(request, decision_id, now, replace(here, closed=closed, unchecked=why, overdue=True))

    def refuse(self, head: bytes, *, decision_id: str, now: datetime, why: str) -> Decision:
        """Answer a review whose object cannot be judged at all: denied if a control in mode deny would have judged it.

        head: the body, or enough of its beginning to say what is asked. For any thread. Raises ReviewError.
        """
        request = parse_head(head)
        return self._decision(request, decision_id, now, self._refusal(request, self._here(request), why))

    def _refusal(self, request: Request, here: Circumstances, why: str) -> Circumstances:
        return replace(here, unchecked=why, closed=self._denies(request))

    def _denies(self, request: Request) -> bool:
        """Tell whether any control could deny what is asked: where all only warn, nothing is denied."""
        return any(stated["mode"] is Mode.DENY for stated in self._controls(request, None).values())

    def _here(self, request: Request) -> Circumstances:
        """Return what besides the findings decides, before anything is judged."""
        user = request.user_info
        return Circumstances(
            healing=is_controller(user.username, user.groups or ()) or request.only_leaves,
            closed=request.namespace in self._webhook.fail_closed,
            exempt=self._exempt(request),
        )

    def _exempt(self, request: Request) -> str:
        """Return why there is nothing to judge, empty if there is."""
        if request.namespace in self._webhook.exempt:
            return f"namespace {request.namespace} is exempt"
        if request.sub_resource not in _JUDGED_SUBRESOURCES:
            return f"subresource {request.sub_resource} changes nothing that is judged"
        if request.operation not in {"CREATE", "UPDATE"}:
            return f"{request.operation} leaves nothing to judge"
        return ""

    def _controls(self, request: Request, tier: Tier | None) -> dict[str, dict[str, Any]]:
        """Return mode and parameters of every control that judges this kind at admission, those that are off too."""
        return {
            control.id: {"mode": stated.mode, "params": dict(stated.params)}
            for control in self._judge.catalogue.of_resources(request.resource_kind, STAGE)
            for stated in [self._judge.standards.at(control.id, tier)]
        }

    def _resource(self, request: Request) -> Resource:
        """Return the object as it would be stored, as scan and check would see it."""
        found = dict(request.object or {})
        found |= {"apiVersion": request.kind.api_version, "kind": request.kind.kind}
        if request.namespace and request.kind.kind != "Namespace":
            found["metadata"] = {**request.metadata, "namespace": request.namespace}
        return normalise(observe(found, cluster=self._collector.name), self._collector, self._estate)

    def _decision(
        self,
        request: Request,
        decision_id: str,
        now: datetime,
        here: Circumstances,
        resource: Resource | None = None,
        findings: Sequence[Finding] = (),
    ) -> Decision:
        tier = resource.tier if resource else None
        case = Case(self._environment, resource, request.facts(), now, self._controls(request, tier), here)
        given = answer(findings, here)
        return Decision(
            id=decision_id,
            uid=request.uid,
            outcome=given.outcome,
            allowed=given.allowed,
            message=here.exempt or self._message(request, given, self._judge.catalogue),
            warnings=given.warnings,
            findings=findings,
            case=case,
            policy=self._policy,
            dry_run=bool(request.dry_run),
        )

    def _message(self, request: Request, given: Answer, catalogue: Catalogue) -> str:
        """Return what the person who asked reads: each violated control, how to mend it, and the way round it."""
        if given.allowed:
            return ""
        place = f"{request.namespace}/" if request.namespace else ""
        name = request.name or str(request.metadata.get("generateName", ""))
        parts = [f"Guardian refuses {request.kind.kind} {place}{name}"]
        for finding in given.violated:
            remediation = textwrap.indent(catalogue.controls[finding.control].remediation, "  ")
            parts.append(
                f"[{finding.control}] {cut(finding.message, LONGEST_REASON).removesuffix('.')}. To fix:\n{remediation}"
            )
        parts += given.unchecked
        if given.violated:
            names = ", ".join(finding.control for finding in given.violated)
            parts.append(
                f"If it must be so, ask whoever owns Guardian here for an exception: the mode of {names} "
                f"in guardian.yaml, environment {self._environment}"
            )
        return cut("\n".join(parts), LONGEST_MESSAGE)


def _values(found: object) -> int:
    """Return how many values `found` holds, itself included; no more than MOST_VALUES are gone through."""
    count, left = 0, [found]
    while left and count <= MOST_VALUES:
        value = left.pop()
        count += 1
        if isinstance(value, dict):
            left += value.values()
        elif isinstance(value, list):
            left += value
    return count + len(left)
