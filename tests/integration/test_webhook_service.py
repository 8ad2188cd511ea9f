"""`guardian webhook` answers over real TLS, within its limits, and what it answered ends in the log."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from guardian.webhook.app import BODY_BYTES
from tests.support import guardian
from tests.webhook_support import (
    FORBIDDEN,
    HOST,
    OLD,
    POLICIES,
    SLOW,
    Running,
    Site,
    await_that,
    exchange,
    post,
    review,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

JSON = {"Content-Type": "application/json"}
SECONDS = "guardian_webhook_review_seconds"


@pytest.fixture(scope="module")
def webhook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Two workers with the users' controls, and so much patience that nothing is overdue on a busy machine."""
    folder = tmp_path_factory.mktemp("webhook") / "site"
    options = ", timeout: 30s, deadline: 25s, failClosed: [erp], workers: 2"
    site = Site.make(folder, webhook=options, policies=POLICIES)
    with site.running() as running:
        running.await_log("webhook_worker_ready", times=2)
        yield running


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One that answers after two seconds, and is waited for three."""
    folder = tmp_path_factory.mktemp("impatient") / "site"
    site = Site.make(folder, webhook=", timeout: 3s, deadline: 2s, failClosed: [erp]", policies=POLICIES)
    with site.running() as running:
        yield running


def _records(site: Site, kind: str = "admission-decision") -> list[dict[str, Any]]:
    listed = guardian("evidence", "list", "--config", str(site.config), "--format", "json")
    records: list[dict[str, Any]] = json.loads(listed.stdout)["records"]
    return [record for record in records if record["kind"] == kind]


def test_each_answer_carries_the_uid_of_its_request_and_the_decision_of_its_object(webhook: Running) -> None:
    images = ["example.org/odoo:19", FORBIDDEN, OLD] * 40
    documents = [review(image=image, name=f"odoo-{number}") for number, image in enumerate(images)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(webhook.post, documents))
    for document, image, answer in zip(documents, images, answers, strict=True):
        response = answer.response
        assert response["uid"] == document["request"]["uid"]
        assert response["allowed"] is (image != FORBIDDEN)
        assert response.get("warnings", []) == (["guardian probe.tag: the image is old"] if image == OLD else [])


def test_a_denial_tells_what_is_wrong_and_what_to_do(webhook: Running) -> None:
    response = webhook.post(review(image=FORBIDDEN)).response
    assert response["status"]["code"] == 403
    assert "the image is forbidden" in response["status"]["message"]
    assert "Choose another image" in response["status"]["message"]


def test_every_decision_becomes_a_record_and_a_dry_run_becomes_none(webhook: Running) -> None:
    decided = [webhook.post(review(image=image)).response for image in (FORBIDDEN, OLD, "example.org/odoo:19")]
    dry = webhook.post(review(image=FORBIDDEN, dry_run=True)).response
    assert dry["allowed"] is False
    wanted = {response["auditAnnotations"]["decision"] for response in decided}
    await_that(lambda: wanted <= {record["recordId"] for record in _records(webhook.site)})
    assert dry["auditAnnotations"]["decision"] not in {record["recordId"] for record in _records(webhook.site)}


def test_one_connection_serves_many_requests(webhook: Running) -> None:
    connection = webhook.site.connect()
    uids = []
    for _ in range(20):
        document = review()
        answer = post(connection, document, keep=True)
        uids.append(answer.response["uid"] == document["request"]["uid"])
    connection.close()
    assert all(uids)


def test_a_common_client_library_is_answered(webhook: Running) -> None:
    bundle = webhook.site.folder / "authority.pem"
    webhook.site.authority.cert_pem.write_to_path(str(bundle))
    url = f"https://{HOST}:{webhook.site.port}/v1/admit?timeout=5s"
    answer = requests.post(url, json=review(), verify=str(bundle), timeout=60)
    assert answer.json()["response"]["allowed"] is True


@pytest.mark.parametrize("namespace", ["erp", "other"])
def test_a_control_that_takes_too_long_denies_whatever_is_declared_for_the_namespace(
    impatient: Running, namespace: str
) -> None:
    response = impatient.post(review(image=SLOW, namespace=namespace), "?timeout=3s").response
    assert response["allowed"] is False
    assert response["auditAnnotations"]["outcome"] == "error"
    assert "[probe.image] could not be judged" in response["status"]["message"]
    decision = response["auditAnnotations"]["decision"]
    await_that(lambda: decision in {record["recordId"] for record in _records(impatient.site)})


def test_a_caller_with_less_patience_gets_an_earlier_deadline(impatient: Running) -> None:
    before = impatient.metrics()
    answer = impatient.post(review(image=SLOW), "?timeout=300ms")
    after = impatient.metrics()
    assert "not judged" in answer.response["status"]["message"]
    taken_s = (after[f"{SECONDS}_sum"] - before[f"{SECONDS}_sum"]) / (
        after[f"{SECONDS}_count"] - before[f"{SECONDS}_count"]
    )
    assert taken_s < 2.0, "less than the configured deadline"


@pytest.mark.parametrize(
    ("method", "headers", "body", "status"),
    [
        ("POST", JSON, b"{", 400),
        ("POST", JSON, b"", 400),
        ("POST", JSON, b"\xff\xfe", 400),
        ("POST", JSON, b"[" * 100_000, 400),
        ("POST", JSON, b'{"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview", "request": {}}', 400),
        ("POST", {"Content-Type": "text/plain"}, b"{}", 415),
        ("POST", {}, b"{}", 415),
        ("GET", {}, None, 405),
        ("POST", JSON, b'"' + b"x" * BODY_BYTES + b'"', 413),
        ("POST", {**JSON, "Content-Length": "99999999999"}, b"x" * 100_000, 413),
    ],
)
def test_what_is_no_admission_review_is_refused_without_repeating_it(
    webhook: Running, method: str, headers: dict[str, str], body: bytes | None, status: int
) -> None:
    answer = exchange(webhook.site.connect(), method, "/v1/admit", body, headers)
    assert answer.status == status
    assert len(answer.body) <= 400


@pytest.mark.parametrize(("image", "allowed"), [("example.org/odoo:19", True), (FORBIDDEN, False)])
def test_the_largest_review_that_an_api_server_can_send_is_judged(webhook: Running, image: str, allowed: bool) -> None:
    document = review(image=image)
    document["request"]["object"]["metadata"]["annotations"] = {"padding": "<" * 3 * 1024 * 1024}
    document["request"]["oldObject"] = document["request"]["object"]
    response = webhook.post(document).response
    assert response["allowed"] is allowed
    assert response["auditAnnotations"]["outcome"] == ("allow" if allowed else "deny")


@pytest.mark.parametrize("namespace", ["erp", "other"])
def test_a_review_that_is_too_large_is_denied_and_recorded(webhook: Running, namespace: str) -> None:
    document = review(namespace=namespace)
    document["request"]["object"]["metadata"]["annotations"] = {"padding": "x" * BODY_BYTES}
    response = webhook.post(document).response
    assert response["uid"] == document["request"]["uid"]
    assert response["allowed"] is False
    assert "the request is larger than 40 MiB" in response["status"]["message"]
    decision = response["auditAnnotations"]["decision"]
    await_that(lambda: decision in {record["recordId"] for record in _records(webhook.site)})


def test_a_secret_in_a_malformed_review_is_neither_answered_nor_logged(webhook: Running) -> None:
    document = review()
    document["request"]["uid"] = {"password": "hunter2-canary"}
    document["request"]["object"]["data"] = "hunter2-canary"
    answer = webhook.post(document)
    assert answer.status == 400
    assert b"hunter2" not in answer.body
    assert "hunter2" not in webhook.text


def test_a_body_that_dawdles_is_cut_off_and_others_are_served_meanwhile(webhook: Running) -> None:
    with webhook.site.tls() as slow:
        head = b"POST /v1/admit?timeout=1s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        slow.sendall(head + b"Content-Length: 9\r\n\r\n{")
        assert webhook.post(review()).response["allowed"] is True
        assert slow.recv(4096).startswith(b"HTTP/1.1 408")


def test_a_head_that_never_ends_is_cut_off(webhook: Running) -> None:
    with webhook.site.tls() as slow, webhook.site.tls() as large:
        slow.sendall(b"POST /v1/admit HTTP/1.1\r\nHost:")
        large.sendall(b"POST /v1/admit HTTP/1.1\r\nX: " + b"x" * 100_000)
        assert large.recv(4096).startswith(b"HTTP/1.1 400")
        slow.settimeout(60)
        assert slow.recv(1) == b"", "the server closed it"


def test_bytes_that_are_no_tls_and_no_http_hurt_nobody(webhook: Running) -> None:
    with socket.create_connection((HOST, webhook.site.port), 60) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n" * 100)
    with webhook.site.tls() as garbage:
        garbage.sendall(b"\0\1\2\3\r\n\r\n")
        assert garbage.recv(4096).startswith(b"HTTP/1.1 400")
    assert webhook.post(review()).response["allowed"] is True


def test_probes_and_metrics_speak_for_all_workers(webhook: Running) -> None:
    before = webhook.metrics()
    for _ in range(10):
        webhook.post(review(image=OLD))
    after = webhook.metrics()
    name = 'guardian_webhook_reviews_total{outcome="warn"}'
    assert after[name] - before[name] == 10
    assert after["guardian_webhook_workers_ready"] == 2
    assert after["guardian_webhook_review_seconds_count"] >= 10
    assert webhook.get("/healthz").status == 200
    assert webhook.get("/readyz").status == 200
    assert webhook.get("/").status == 404


def test_old_tls_is_refused(webhook: Running) -> None:
    def healthz(ciphers: str) -> int:
        context = webhook.site.context()
        context.set_ciphers(ciphers)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        connection = http.client.HTTPSConnection(HOST, webhook.site.port, context=context, timeout=60)
        return exchange(connection, "GET", "/healthz").status

    assert healthz("ECDHE+AESGCM") == 200
    with pytest.raises(ssl.SSLError):
        healthz("AES128-SHA256:@SECLEVEL=0")  # neither forward secrecy nor authenticated encryption


def test_workers_never_open_a_signing_key_nor_inherit_what_names_one(webhook: Running) -> None:
    site = webhook.site
    held = {path.resolve() for path in (site.folder / "keys").iterdir() if path.name != "redaction.key"}
    for pid in webhook.workers():
        links = {entry.resolve() for entry in Path(f"/proc/{pid}/fd").iterdir()}
        assert not links & held
        assert not links & {(site.folder / ".guardian" / "guardian.db").resolve()}
