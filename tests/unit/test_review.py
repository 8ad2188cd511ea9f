"""An AdmissionReview in, a decision out, by the real controls in the real engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from guardian.model import Match, Mode, Service, Tier, Verdict
from guardian.normalise import Estate
from guardian.policy.judge import Judge
from guardian.policy.metadata import Catalogue
from guardian.policy.standards import Standards
from guardian.settings import ControlSettings, WebhookSettings
from guardian.usecases.admission_answer import Outcome
from guardian.usecases.admission_request import ReviewError
from guardian.usecases.builtin_controllers import is_controller
from guardian.usecases.review import Reviewer
from tests import policy_support as make

if TYPE_CHECKING:
    from guardian.policy.bundle import Bundle
    from guardian.policy.wasm import WasmEngine
    from guardian.usecases.review import Decision

DIGEST = "workload.image-digest"
PINNED = "registry.example.com/odoo@sha256:" + "a" * 64
ID = "019a0000-0000-7000-8000-000000000000"
CONTROLLER = "system:serviceaccount:kube-system:replicaset-controller"
CANARY = "canary-7c1f9b"


class Asking:
    """Asks a reviewer that knows one control, workload.image-digest, in the mode given for each tier."""

    def __init__(self, bundle: Bundle, engine: WasmEngine, *, deadline_closed: tuple[str, ...] = ("erp",)) -> None:
        self.bundle, self.engine, self.closed = bundle, engine, deadline_closed

    def reviewer(self, mode: Mode) -> Reviewer:
        catalogue = Catalogue({DIGEST: self.bundle.catalogue.controls[DIGEST]})
        service = Service("erp-plant1", tier=Tier.CRITICAL, match=[Match("prod-eu", namespace="erp")])
        settings = replace(make.settings(workload_image__digest=ControlSettings(mode={None: mode})), services=[service])
        webhook = WebhookSettings("prod-eu", Path("c"), Path("k"), Path("s"), fail_closed=self.closed)
        judge = Judge(self.engine, catalogue, Standards.of(catalogue, settings), remember=10)
        return Reviewer(settings, webhook, judge, Estate([service], b"k" * 32))

    def __call__(self, mode: Mode = Mode.DENY, **changes: Any) -> Decision:
        return self.reviewer(mode).review(body(**changes), decision_id=ID, now=make.NOW)


@pytest.fixture
def ask(policy_bundle: Bundle, wasm_engine: WasmEngine) -> Asking:
    return Asking(policy_bundle, wasm_engine)


def body(image: str = "odoo:18", metadata: dict[str, Any] | None = None, **request: Any) -> bytes:
    """Return an AdmissionReview of a Deployment; `request` overrides members of the request."""
    spec = {
        "containers": [{"name": "odoo", "image": image, "env": [{"name": "PGPASSWORD", "value": CANARY}]}],
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "odoo", "namespace": "erp", **(metadata or {})},
        "spec": {"replicas": 2, "template": {"metadata": {"labels": {"app": "odoo"}}, "spec": spec}},
    }
    asked = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
        "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
        "name": "odoo",
        "namespace": "erp",
        "operation": "CREATE",
        "userInfo": {"username": "alice", "groups": ["system:authenticated", "developers"]},
        "object": deployment,
        "oldObject": None,
        "dryRun": False,
        "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
        **request,
    }
    return orjson.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": asked})


def test_a_violation_in_mode_deny_is_refused_with_what_to_do(ask: Asking) -> None:
    decision = ask()
    assert (decision.outcome, decision.allowed, decision.spooled_first) == (Outcome.DENY, False, True)
    response = orjson.loads(decision.response())
    assert (response["apiVersion"], response["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    answer = response["response"]
    assert (answer["uid"], answer["allowed"]) == ("705ab4f5-6393-11e8-b7cc-42010a800002", False)
    assert (answer["status"]["code"], answer["status"]["reason"]) == (403, "Forbidden")
    message = answer["status"]["message"]
    assert "Guardian refuses Deployment erp/odoo" in message
    assert "[workload.image-digest] not pinned by digest: container odoo image odoo:18" in message
    assert "spec.template.spec.containers[0].image" in message
    assert "To fix:\n  Name the image with its digest" in message
    assert "exception" in message
    assert answer["auditAnnotations"]["violated"] == DIGEST
    assert answer["auditAnnotations"]["decision"] == ID
    assert "warnings" not in answer


def test_what_is_right_is_allowed_and_need_not_be_on_disk_first(ask: Asking) -> None:
    decision = ask(image=PINNED)
    assert (decision.outcome, decision.allowed, decision.spooled_first) == (Outcome.ALLOW, True, False)
    answer = orjson.loads(decision.response())["response"]
    assert answer["allowed"] is True
    assert answer.keys() == {"uid", "allowed", "auditAnnotations"}
    assert [finding.verdict for finding in decision.findings] == [Verdict.PASS]


def test_mode_warn_admits_with_short_warnings_and_mode_audit_in_silence(ask: Asking) -> None:
    warned = ask(Mode.WARN, image="registry.example.com/" + "long/" * 40 + "odoo:18")
    assert (warned.outcome, warned.allowed) == (Outcome.WARN, True)
    [warning] = orjson.loads(warned.response())["response"]["warnings"]
    assert warning.startswith("guardian workload.image-digest: ")
    assert len(warning) <= 120
    audited = ask(Mode.AUDIT)
    assert (audited.outcome, audited.allowed, audited.warnings) == (Outcome.ALLOW, True, [])
    assert [finding.verdict for finding in audited.findings] == [Verdict.FAIL]
    assert audited.annotations["violated"] == DIGEST


@pytest.mark.parametrize(
    "user", [CONTROLLER, "system:node:worker-1", "system:kube-scheduler", "system:kube-controller-manager"]
)
def test_the_clusters_own_controllers_are_at_most_warned(ask: Asking, user: str) -> None:
    decision = ask(userInfo={"username": user, "groups": ["system:nodes"] if "node:" in user else []})
    assert (decision.outcome, decision.allowed) == (Outcome.WARN, True)
    assert decision.warnings


@pytest.mark.parametrize(
    "user",
    [
        "system:serviceaccount:erp:replicaset-controller",
        "system:serviceaccount:kube-system:my-controller",
        "system:serviceaccount:kube-system:replicaset-controller2",
        "system:nodes",
        "xsystem:node:a",
        "system:node:nobody",
        "",
    ],
)
def test_nobody_else_passes_for_a_controller(ask: Asking, user: str) -> None:
    assert not is_controller(user, ["system:masters"])
    assert not ask(userInfo={"username": user, "groups": ["system:masters"]}).allowed


def test_a_forged_owner_reference_changes_nothing(ask: Asking) -> None:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "odoo-1", "uid": "1", "controller": True}
    assert not ask(metadata={"ownerReferences": [owner]}).allowed


def test_an_object_that_is_being_deleted_can_lose_its_finalizers_and_change_nothing_else(ask: Asking) -> None:
    leaving = {"deletionTimestamp": "2026-11-23T10:00:00Z", "finalizers": []}
    before = orjson.loads(body())["request"]["object"]
    decision = ask(metadata=leaving, operation="UPDATE", oldObject=before)
    assert (decision.outcome, decision.allowed) == (Outcome.WARN, True)
    for other in (None, {}, {**before, "spec": {**before["spec"], "replicas": 3}}):
        assert not ask(metadata=leaving, operation="UPDATE", oldObject=other).allowed


@pytest.mark.parametrize(
    ("request_members", "why"),
    [
        ({"operation": "DELETE", "object": None, "oldObject": {}}, "DELETE leaves nothing to judge"),
        ({"operation": "CONNECT", "subResource": "exec", "object": {"command": ["sh"]}}, "subresource exec"),
        ({"operation": "UPDATE", "subResource": "status"}, "subresource status"),
        ({"operation": "UPDATE", "subResource": "scale", "object": {"kind": "Scale"}}, "subresource scale"),
        ({"subResource": "eviction", "object": {"kind": "Eviction"}}, "subresource eviction"),
        ({"namespace": "kube-system"}, "namespace kube-system is exempt"),
    ],
)
def test_what_leaves_nothing_to_judge_is_exempt_and_says_why(
    ask: Asking, request_members: dict[str, Any], why: str
) -> None:
    decision = ask(**request_members)
    assert (decision.outcome, decision.allowed) == (Outcome.EXEMPT, True)
    assert why in decision.message
    assert decision.findings == ()


@pytest.mark.parametrize("sub_resource", ["ephemeralcontainers", "resize"])
def test_subresources_that_change_a_pods_containers_are_judged(ask: Asking, sub_resource: str) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "odoo", "namespace": "erp"},
        "spec": {
            "containers": [{"name": "odoo", "image": PINNED}],
            "ephemeralContainers": [{"name": "debug", "image": "busybox"}],
        },
    }
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    decision = ask(operation="UPDATE", subResource=sub_resource, object=pod, kind=kind)
    assert not decision.allowed
    assert "container debug image busybox (spec.ephemeralContainers[0].image)" in decision.message


def test_the_object_is_judged_as_the_kind_that_the_request_names(ask: Asking) -> None:
    """Of a converted object the request says what it is; what the object says of itself cannot lead elsewhere."""
    found = orjson.loads(body())["request"]["object"]
    decision = ask(object={**found, "kind": "ConfigMap", "apiVersion": "v1"})
    assert not decision.allowed
    decision = ask(object={**found, "metadata": {"name": "odoo", "namespace": "kube-system"}})
    assert not decision.allowed
    assert decision.case.resource is not None
    assert decision.case.resource.id == "k8s:prod-eu/apps/Deployment/erp/odoo"


def test_a_pod_without_a_name_yet_is_named_by_what_it_will_begin_with(ask: Asking) -> None:
    decision = ask(name="", metadata={"name": None, "generateName": "odoo-"})
    assert decision.case.resource is not None
    assert decision.case.resource.id == "k8s:prod-eu/apps/Deployment/erp/odoo-*"
    assert "Deployment erp/odoo-" in decision.message


def test_service_and_tier_come_from_the_namespace_and_the_collectors_name(ask: Asking) -> None:
    inside, outside = ask().case.resource, ask(namespace="other").case.resource
    assert inside is not None
    assert outside is not None
    assert (inside.service, inside.tier) == ("erp-plant1", Tier.CRITICAL)
    assert (outside.service, outside.tier) == (None, None)


def test_a_dry_run_is_told_as_one(ask: Asking) -> None:
    assert ask(dryRun=True).dry_run
    assert not ask(dryRun=None).dry_run


def test_what_was_not_judged_in_time_is_denied_where_the_namespace_fails_closed(ask: Asking) -> None:
    reviewer = ask.reviewer(Mode.DENY)
    closed = reviewer.overdue(body(), decision_id=ID, now=make.NOW, why="the engine did not answer within 4 s")
    assert (closed.outcome, closed.allowed, closed.spooled_first) == (Outcome.OVERDUE, False, True)
    assert "this request was not judged: the engine did not answer within 4 s" in closed.message
    assert not closed.dry_run
    assert reviewer.overdue(body(dryRun=True), decision_id=ID, now=make.NOW, why="x").dry_run
    opened = reviewer.overdue(body(namespace="web"), decision_id=ID, now=make.NOW, why="overloaded")
    assert (opened.outcome, opened.allowed, opened.spooled_first) == (Outcome.OVERDUE, True, True)
    assert opened.warnings == ["guardian this request was not judged: overloaded"]
    healing = reviewer.overdue(body(userInfo={"username": CONTROLLER}), decision_id=ID, now=make.NOW, why="x")
    assert healing.allowed
    softly = ask.reviewer(Mode.WARN).overdue(body(), decision_id=ID, now=make.NOW, why="overloaded")
    assert (softly.outcome, softly.allowed) == (Outcome.OVERDUE, True)
    nothing = reviewer.overdue(body(operation="DELETE", object=None), decision_id=ID, now=make.NOW, why="x")
    assert nothing.outcome is Outcome.EXEMPT


def test_what_could_not_be_judged_is_denied_everywhere_where_the_control_denies(ask: Asking) -> None:
    """No real object comes to this, and whoever makes one must not get past admission by it."""
    broken = orjson.loads(body())["request"]["object"]
    broken["spec"]["template"]["spec"]["containers"] = "none"
    for namespace in ("erp", "web"):
        denied = ask(object=broken, namespace=namespace)
        assert [finding.verdict for finding in denied.findings] == [Verdict.ERROR]
        assert (denied.outcome, denied.allowed) == (Outcome.ERROR, False)
        assert "[workload.image-digest] could not be judged" in denied.message
    warned = ask(Mode.WARN, object=broken)
    assert (warned.outcome, warned.allowed) == (Outcome.ERROR, True)
    assert "could not be judged" in warned.warnings[0]
    assert ask(object=broken, userInfo={"username": CONTROLLER}).allowed


def nested(depth: int) -> bytes:
    """Return a review whose object nests deeper than anything that parses it."""
    managed = b'{"managedFields":[{"fieldsV1":' + b'{"f:a":' * depth + b"1" + b"}" * depth + b"}],"
    return body().replace(b'"metadata":{', b'"metadata":' + managed, 1)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (nested(5000), "its object cannot be read"),
        (body(object={"metadata": {}}), "it is not as a Kubernetes object is"),
        (body(object={"metadata": {"name": "a/b"}}), "it is not as a Kubernetes object is"),
        (body(object={"metadata": {"name": "a"}, "spec": [[]] * 60_000}), "it holds more than 50,000 values"),
    ],
)
def test_an_object_that_cannot_be_judged_at_all_is_denied_and_recorded(ask: Asking, content: bytes, why: str) -> None:
    decision = ask.reviewer(Mode.DENY).review(content, decision_id=ID, now=make.NOW)
    assert (decision.outcome, decision.allowed, decision.spooled_first) == (Outcome.ERROR, False, True)
    assert not decision.dry_run
    dry = content.replace(b'"dryRun":false', b'"dryRun":true')
    assert ask.reviewer(Mode.DENY).review(dry, decision_id=ID, now=make.NOW).dry_run
    assert why in decision.message
    assert decision.case.request["name"] == "odoo"
    milder = ask.reviewer(Mode.WARN).review(content, decision_id=ID, now=make.NOW)
    assert milder.allowed
    assert why[:20] in milder.warnings[0]


def test_the_beginning_of_a_review_is_enough_to_refuse_it(ask: Asking) -> None:
    whole = body(userInfo={"username": "eve", "extra": {"object": ["x"], "scopes": [',"object":']}})
    head = whole[: whole.index(b'"spec"')]
    decision = ask.reviewer(Mode.DENY).refuse(head, decision_id=ID, now=make.NOW, why="it is larger than 40 MiB")
    assert not decision.allowed
    assert decision.case.request["user"]["username"] == "eve"
    assert "larger than 40 MiB" in decision.message
    with pytest.raises(ReviewError):
        ask.reviewer(Mode.DENY).refuse(whole[:20], decision_id=ID, now=make.NOW, why="x")


def test_a_warning_that_does_not_fit_names_the_first_place(ask: Asking) -> None:
    warned = ask(Mode.WARN, image="registry.example.com/" + "long/" * 40 + "odoo:18")
    [warning] = warned.warnings
    assert warning.startswith("guardian workload.image-digest: spec.template.spec.containers[0].image")
    assert len(warning) <= 120


def test_a_name_of_a_megabyte_does_not_make_a_record_of_one(ask: Asking) -> None:
    decision = ask(image="x" * 1_000_000)
    assert not decision.allowed
    assert len(decision.response()) < 10_000
    assert all(len(finding.message) < 21_000 for finding in decision.findings)


def test_no_secret_is_in_what_is_answered_or_kept(ask: Asking) -> None:
    for decision in (ask(), ask(image=PINNED)):
        kept = decision.spooled()
        assert CANARY.encode() not in kept + decision.response()
        assert b"$redacted" in kept
        case = orjson.loads(kept)["case"]
        assert case["request"]["user"] == {"username": "alice", "groups": ["developers", "system:authenticated"]}
        assert case["controls"][DIGEST]["mode"] == "deny"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an AdmissionReview"),
        (b"{}", "not an AdmissionReview"),
        (b"[" * 100_000, "not an AdmissionReview"),
        (b'{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}', "not an AdmissionReview"),
        (body().replace(b"admission.k8s.io/v1", b"admission.k8s.io/v1beta1"), "not an AdmissionReview"),
    ],
)
def test_what_is_no_review_is_refused_with_a_reason(ask: Asking, content: bytes, message: str) -> None:
    with pytest.raises(ReviewError, match=message):
        ask.reviewer(Mode.DENY).review(content, decision_id=ID, now=make.NOW)
