"""The webhook while things break: certificates, workers, its own end, the disk, the engine. It answers, and counts."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import resource
import signal
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from guardian import config
from guardian.usecases.review import Reviewer
from guardian.webhook import counters as shared
from guardian.webhook.answering import Answering
from guardian.webhook.app import BODY_BYTES
from guardian.webhook.counters import Counters
from guardian.webhook.worker import Worker
from tests.support import guardian
from tests.webhook_support import (
    FORBIDDEN,
    HOST,
    POLICIES,
    Site,
    await_that,
    exchange,
    post,
    review,
    written,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from guardian.usecases.review import Decision

PATIENT = ", timeout: 30s, deadline: 25s, failClosed: [erp]"


def _signed(site: Site, kind: str = "admission-decision") -> set[str]:
    listed = guardian("evidence", "list", "--config", str(site.config), "--format", "json")
    return {record["recordId"] for record in json.loads(listed.stdout)["records"] if record["kind"] == kind}


def _serial(connection: socket.socket) -> str:
    assert isinstance(connection, ssl.SSLSocket)
    found = connection.getpeercert()
    assert found is not None
    return str(found["serialNumber"])


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.make(tmp_path / "site", webhook=PATIENT, policies=POLICIES)


def test_a_new_certificate_is_served_to_new_connections_and_old_ones_go_on(site: Site) -> None:
    with site.running() as running:
        old = site.connect()
        post(old, review(), keep=True)
        before = _serial(old.sock)
        site.certify()
        running.await_log("webhook_certificate_reloaded")
        new = site.connect()
        post(new, review(), keep=True)
        assert _serial(new.sock) != before
        assert post(old, review(), keep=True).response["allowed"] is True
        assert _serial(old.sock) == before, "the same connection"
        old.close()
        new.close()


def test_a_broken_pair_is_refused_and_the_old_certificate_stays_until_a_whole_one_comes(site: Site) -> None:
    with site.running() as running:
        served = (site.folder / "tls").resolve()
        other = site.authority.issue_cert(HOST)
        (served / "tls.key").write_bytes(other.private_key_pem.bytes())  # the certificate's key no longer
        running.await_log("webhook_certificate_refused")
        assert running.post(review()).response["allowed"] is True
        (served / "tls.crt").write_text("no certificate at all")
        running.await_log("webhook_certificate_refused", times=2)
        assert running.get("/readyz").status == 200
        site.certify()
        running.await_log("webhook_certificate_reloaded")
        assert running.post(review()).response["allowed"] is True


def test_callers_without_a_certificate_of_the_client_ca_are_not_served(tmp_path: Path) -> None:
    site = Site.make(tmp_path / "site", webhook=PATIENT, policies=POLICIES, client=True)
    with site.running() as running:
        assert running.post(review()).response["allowed"] is True
        connection = http.client.HTTPSConnection(HOST, site.port, context=site.context(certificate=False), timeout=60)
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
            post(connection, review())


def test_a_killed_worker_is_replaced_and_what_it_denied_is_signed(site: Site) -> None:
    with site.running() as running:
        (worker,) = running.workers()
        denied = [running.post(review(image=FORBIDDEN)).response for _ in range(5)]
        os.kill(worker, signal.SIGKILL)
        running.await_log("webhook_worker_ready", times=2)
        assert running.workers() != [worker]
        assert running.post(review()).response["allowed"] is True
        assert running.metrics()["guardian_webhook_worker_restarts_total"] == 1
        assert running.metrics()['guardian_webhook_reviews_total{outcome="deny"}'] == 5, "counters outlive a worker"
    decisions = {response["auditAnnotations"]["decision"] for response in denied}
    assert decisions <= _signed(site)


def test_a_worker_that_hangs_is_replaced(site: Site) -> None:
    with site.running() as running:
        (worker,) = running.workers()
        os.kill(worker, signal.SIGSTOP)
        running.await_log("webhook_worker_ready", times=2)
        assert running.post(review()).response["allowed"] is True


def test_asked_to_end_it_answers_what_is_under_way_signs_it_and_exits_0(site: Site) -> None:
    running = site.start()
    document = json.dumps(review(image=FORBIDDEN)).encode()
    head = "POST /v1/admit HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(document)}\r\n\r\n"
    try:
        with site.tls() as under_way:
            under_way.sendall(head.encode() + document[:10])
            time.sleep(0.5)  # so that the head is read before the signal
            running.process.send_signal(signal.SIGTERM)
            await_that(lambda: not _accepts(site))
            under_way.sendall(document[10:])
            answer = b""
            while part := under_way.recv(65536):
                answer += part
        assert running.stop() == 0, running.text
    finally:
        running.kill()
    response = json.loads(answer.partition(b"\r\n\r\n")[2])["response"]
    assert response["allowed"] is False
    assert response["auditAnnotations"]["decision"] in _signed(site)
    assert [path.name for path in site.spool.iterdir() if not path.name.startswith(".")] == []


def _accepts(site: Site) -> bool:
    try:
        socket.create_connection((HOST, site.port), 5).close()
    except OSError:
        return False
    return True


def test_workers_end_with_a_supervisor_that_is_killed_and_the_next_one_signs_what_they_left(site: Site) -> None:
    running = site.start()
    workers = running.workers()
    os.kill(running.process.pid, signal.SIGSTOP)  # so that it signs nothing any more
    denied = running.post(review(image=FORBIDDEN)).response["auditAnnotations"]["decision"]
    running.kill()
    await_that(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert not _accepts(site)
    with site.running():
        await_that(lambda: denied in _signed(site))


def test_workers_inherit_no_secret_that_they_have_no_use_for(site: Site) -> None:
    text = site.config.read_text()
    dsn = '{name: erp-db, type: postgres, dsn: "env:TEST_ERP_DSN"}'
    site.config.write_text(text.replace("collectors: [", f"collectors: [{dsn}, "))
    with site.running(env={"TEST_ERP_DSN": "postgresql://canary"}) as running:
        assert b"postgresql://canary" in Path(f"/proc/{running.process.pid}/environ").read_bytes()
        for pid in running.workers():
            inherited = Path(f"/proc/{pid}/environ").read_bytes()
            assert b"PATH=" in inherited
            assert b"TEST_ERP_DSN" not in inherited
            assert b"canary" not in inherited


def test_a_log_that_cannot_be_signed_into_as_configured_ends_the_command_with_the_reason(site: Site) -> None:
    key = site.folder / "keys" / "record.pem"
    site.config.write_text(site.config.read_text().replace('"file:keys/record.pem"', '"env:TEST_RECORD_KEY"'))
    ended = guardian("webhook", "--config", str(site.config), env={"TEST_RECORD_KEY": key.read_text()})
    assert ended.code == 2
    assert "keys.record" in ended.stderr


@pytest.mark.parametrize("content", [None, "no key at all"])
def test_without_a_signing_key_nothing_is_served_and_the_reason_is_said(site: Site, content: str | None) -> None:
    key = site.folder / "keys" / "record.pem"
    key.unlink()
    if content is not None:
        key.write_text(content)
        key.chmod(0o600)
    ended = guardian("webhook", "--config", str(site.config), env={"PATH": site.path})
    assert ended.code == 3
    assert str(key) in ended.stderr
    assert "webhook answers" not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_decisions_that_cannot_be_signed_at_its_end_are_told_kept_and_signed_by_the_next_one(site: Site) -> None:
    objects = site.folder / ".guardian" / "objects"
    running = site.start()
    try:
        objects.write_text("in the way")
        denied = running.post(review(image=FORBIDDEN)).response["auditAnnotations"]["decision"]
        assert running.stop() == 3
    finally:
        running.kill()
    assert f"1 file(s) of decisions in {site.spool} could not be signed" in running.text
    objects.unlink()
    with site.running():
        await_that(lambda: denied in _signed(site))


def test_what_cannot_serve_is_said_and_exits_2(site: Site) -> None:
    with socket.create_server((HOST, site.port)):
        taken = guardian("webhook", "--config", str(site.config))
    assert (taken.code, f"{HOST}:{site.port}" in taken.stderr) == (2, True), taken.stderr
    (site.folder / "tls" / "tls.crt").write_text("nothing")
    broken = guardian("webhook", "--config", str(site.config))
    assert (broken.code, "webhook.certificate" in broken.stderr) == (2, True), broken.stderr


def test_a_worker_that_cannot_begin_ends_the_command_with_its_reason(site: Site) -> None:
    (site.folder / "policies" / "probe" / "image.rego").write_text("no rego at all")
    ended = guardian("webhook", "--config", str(site.config), env={"PATH": site.path})
    assert ended.code == 2
    assert "policies" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_full_disk_lets_denials_deny_says_so_and_is_counted_once_there_is_room(site: Site) -> None:
    with site.running() as running:
        (worker,) = running.workers()
        before = resource.prlimit(worker, resource.RLIMIT_FSIZE)
        # No file of it may grow: what a full disk does, for whoever runs this.
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (0, before[1]))
        denied = running.post(review(image=FORBIDDEN)).response
        assert denied["allowed"] is False
        assert "could not record this decision" in denied["status"]["message"]
        assert running.post(review()).response["allowed"] is True
        await_that(lambda: running.get("/readyz").status == 503)
        assert running.metrics()["guardian_webhook_unrecorded_total"] == 1
        resource.prlimit(worker, resource.RLIMIT_FSIZE, before)
        await_that(lambda: running.get("/readyz").status == 200)
        recorded = running.post(review(image=FORBIDDEN)).response
        assert "could not record" not in recorded["status"]["message"]
    assert recorded["auditAnnotations"]["decision"] in _signed(site)
    assert denied["auditAnnotations"]["decision"] not in _signed(site)
    assert len(_signed(site, "admission-gap")) >= 1


# ---- one worker in this process, with an engine that a test can stop


class _Stoppable(Reviewer):
    """The real thing, but a test may hold it up or break it."""

    go: threading.Event

    def review(self, body: bytes, *, decision_id: str, now: datetime) -> Decision:
        """Judge once the test lets it."""
        if b"wait-for-it" in body:
            self.go.wait(60)
        if b"break-it" in body:
            raise RuntimeError("a defect")
        return super().review(body, decision_id=decision_id, now=now)


class _Served:
    """A worker on an event loop in a thread of its own."""

    def __init__(self, site: Site, reviewer: type[Reviewer]) -> None:
        self.site = site
        settings = config.load(site.config)
        assert settings.webhook is not None
        memory = shared.create(1)
        self.counters = Counters(memory, 0)
        os.close(memory)
        listener = socket.create_server((HOST, site.port))
        listener.setblocking(False)
        self.opened = 0
        self._ready = threading.Event()
        self._failed: list[BaseException] = []

        def opened() -> Reviewer:
            self.opened += 1
            return reviewer.open(settings)

        async def serve() -> None:
            assert settings.webhook is not None
            self._loop = asyncio.get_running_loop()
            self._worker = Worker(settings.webhook, listener, self.counters, opened)
            await self._worker.serve(self._ready.set)

        def run() -> None:
            try:
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    runner.run(serve())
            except BaseException as error:  # noqa: BLE001 -- told to the test
                self._failed.append(error)
            finally:
                self._ready.set()

        self._thread = threading.Thread(target=run)
        self._thread.start()
        assert self._ready.wait(120)
        assert not self._failed, self._failed

    def stop(self) -> None:
        """End it in order."""
        self._loop.call_soon_threadsafe(self._worker.stop)
        self._thread.join(120)
        assert not self._thread.is_alive()
        assert not self._failed, self._failed


@contextlib.contextmanager
def _serving(site: Site, reviewer: type[Reviewer] = Reviewer) -> Iterator[_Served]:
    served = _Served(site, reviewer)
    try:
        yield served
    finally:
        served.stop()


@pytest.fixture
def stoppable() -> Iterator[type[_Stoppable]]:
    class Mine(_Stoppable):
        go = threading.Event()

    yield Mine
    Mine.go.set()


def _quick(tmp_path: Path, options: str) -> Site:
    return Site.make(tmp_path / "site", webhook=f", failClosed: [erp]{options}")


def _ask(site: Site, document: dict[str, Any], query: str = "") -> dict[str, Any]:
    return post(site.connect(), document, query).response


def test_an_engine_that_never_comes_back_is_replaced_and_its_reviews_are_answered_as_declared(
    tmp_path: Path, stoppable: type[_Stoppable]
) -> None:
    site = _quick(tmp_path, ", timeout: 3s, deadline: 1s")
    with _serving(site, stoppable) as served:
        with ThreadPoolExecutor(2) as pool:
            closed = pool.submit(_ask, site, review(name="wait-for-it"))
            opened = pool.submit(_ask, site, review(name="wait-for-it", namespace="other"))
            assert closed.result()["allowed"] is False
            assert opened.result()["allowed"] is True
            assert "not judged" in opened.result()["warnings"][0]
        await_that(lambda: served.opened >= 2)
        await_that(lambda: _ask(site, review(namespace="other"))["auditAnnotations"]["outcome"] != "overdue")
        assert served.counters.get("engines_replaced") >= 1
        assert served.counters.get("overdue.deadline") >= 2


def test_the_event_loop_answers_while_the_engine_is_stuck(tmp_path: Path, stoppable: type[_Stoppable]) -> None:
    site = _quick(tmp_path, ", timeout: 30s, deadline: 25s")
    with _serving(site, stoppable), ThreadPoolExecutor(1) as pool:
        stuck = pool.submit(_ask, site, review(name="wait-for-it"))
        for _ in range(20):
            assert exchange(site.connect(), "GET", "/healthz").status == 200
        assert not stuck.done()
        stoppable.go.set()
        assert stuck.result()["auditAnnotations"]["outcome"] != "overdue"


def test_a_full_queue_is_answered_at_once_as_declared(tmp_path: Path, stoppable: type[_Stoppable]) -> None:
    site = _quick(tmp_path, ", timeout: 30s, deadline: 25s, queue: 2")
    with _serving(site, stoppable) as served, ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(_ask, site, review(name="wait-for-it")) for _ in range(8)]
        await_that(lambda: served.counters.get("overdue.queue") == 5)  # one is judged, two wait
        stoppable.go.set()
        answers = [answer.result() for answer in waiting]
    messages = [answer["status"]["message"] for answer in answers if answer["auditAnnotations"]["outcome"] == "overdue"]
    assert len(messages) == 5
    assert all("too many reviews wait" in message for message in messages)


def test_a_decision_that_comes_when_the_api_server_has_given_up_counts_as_overdue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As after the machine stood still: the deadline's own timer has not run yet.
    monkeypatch.setattr(Answering, "limits", lambda _self, arrived, _timeout_s: (arrived + 25.0, arrived))
    with _serving(_quick(tmp_path, ", timeout: 30s, deadline: 25s")) as served:
        site = served.site
        late, opened = (_ask(site, review(namespace=namespace)) for namespace in ("erp", "other"))
        assert served.counters.get("overdue.deadline") == 2
    assert (late["auditAnnotations"]["outcome"], late["allowed"]) == ("overdue", False)
    assert (opened["auditAnnotations"]["outcome"], opened["allowed"]) == ("overdue", True)


def test_large_reviews_that_come_all_at_once_are_refused_and_small_ones_are_judged_meanwhile(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", site.path)
    document = review(namespace="other")
    document["request"]["object"]["metadata"]["annotations"] = {"padding": "x" * (BODY_BYTES - 64 * 1024)}
    large = written(document)
    head = "POST /v1/admit HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(large)}\r\n\r\n"
    with _serving(site), contextlib.ExitStack() as held:
        for _ in range(2):
            held.enter_context(site.tls()).sendall(head.encode() + large[:-1])
        refused = _ask(site, document)
        assert refused["allowed"] is False
        assert "too many large requests" in refused["status"]["message"]
        assert _ask(site, review())["auditAnnotations"]["outcome"] == "allow"


def test_a_review_that_breaks_the_engine_costs_itself_only(tmp_path: Path, stoppable: type[_Stoppable]) -> None:
    site = _quick(tmp_path, ", timeout: 30s, deadline: 25s")
    with _serving(site, stoppable) as served:
        broken = _ask(site, review(name="break-it"))
        assert broken["allowed"] is False
        assert "the policy engine failed" in broken["status"]["message"]
        assert _ask(site, review())["auditAnnotations"]["outcome"] != "overdue"
        assert served.opened == 2
