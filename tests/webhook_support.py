"""A webhook as it is run: an environment of its own, real certificates, the command in a process, an HTTPS client."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trustme

from guardian.policy.bundle import load as load_bundle
from guardian.usecases.init import init
from tests.tools.build import opa_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

HOST = "127.0.0.1"


def review(
    *, namespace: str = "erp", name: str = "odoo", image: str = "example.org/odoo:19", dry_run: bool = False
) -> dict[str, Any]:
    """An AdmissionReview of a pod, as an API server sends it."""
    labels = {"app.kubernetes.io/name": "odoo"}
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": secrets.token_hex(8),
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "name": name,
            "namespace": namespace,
            "operation": "CREATE",
            "userInfo": {"username": "alice", "groups": ["system:authenticated"]},
            "dryRun": dry_run,
            "object": {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": namespace, "labels": labels},
                "spec": {"containers": [{"name": "odoo", "image": image}]},
            },
            "oldObject": None,
        },
    }


@dataclass
class Answer:
    """What came back."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def response(self) -> dict[str, Any]:
        """The response of the AdmissionReview."""
        assert self.status == 200, self.body
        found: dict[str, Any] = json.loads(self.body)["response"]
        return found


@dataclass
class Site:
    """An environment with a webhook, and what its caller needs."""

    folder: Path
    port: int
    authority: trustme.CA
    config: Path
    client: trustme.LeafCert | None = None
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @classmethod
    def make(
        cls,
        folder: Path,
        *,
        webhook: str = "",
        extra: str = "",
        policies: Mapping[str, str] | None = None,
        client: bool = False,
        services: str = "[]",
        kubeconfig: Path | str = "none.yaml",
    ) -> Site:
        """Make it. webhook: further keys of `webhook:`, extra: further top-level keys, services: all YAML.

        policies: the users' own; only these are judged then, so that what ships may change.
        """
        authority, port = trustme.CA(), free_port()
        folder.mkdir(exist_ok=True)
        site = cls(folder, port, authority, folder / "guardian.yaml")
        site.certify()
        if client:
            callers = trustme.CA()
            callers.cert_pem.write_to_path(str(folder / "callers.pem"))
            site.client = callers.issue_cert("api-server")
            site.client.private_key_and_cert_chain_pem.write_to_path(str(folder / "caller.pem"))
            webhook += ", clientCA: callers.pem"
        for name, text in (policies or {}).items():
            path = folder / "policies" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        if policies:
            extra += "\npolicies: {folder: policies}"
            (folder / "bin").mkdir()
            (folder / "bin" / "opa").symlink_to(opa_path())
            shipped = load_bundle().catalogue.controls.values()
            silent = [control.id for control in shipped if "admission" in control.stages]
            extra += "\ncontrols: {" + ", ".join(f'{name}: {{mode: "off"}}' for name in silent) + "}"
        site.config.write_text(
            f"environment: staging\nservices: {services}\n"
            f"collectors: [{{name: prod-eu, type: kubernetes, kubeconfig: {kubeconfig}}}]\n"
            "storage: {database: .guardian/guardian.db, objects: .guardian/objects}\n"
            'keys: {record: "file:keys/record.pem", log: "file:keys/log.pem", redaction: "file:keys/redaction.key"}\n'
            f'webhook: {{listen: "{HOST}:{port}", certificate: tls/tls.crt, key: "file:tls/tls.key"{webhook}}}\n'
            f"{extra}\n"
        )
        init(site.config, environment=None)
        return site

    @property
    def spool(self) -> Path:
        """Where decisions wait."""
        return self.folder / ".guardian" / "spool"

    @property
    def path(self) -> str:
        """PATH with the opa of the tests, which compiles the users' policies."""
        return f"{self.folder / 'bin'}:{os.environ['PATH']}"

    def certify(self, *names: str) -> trustme.LeafCert:
        """Put a new certificate in place, as Kubernetes does: a new folder, then one symbolic link swapped."""
        issued = self.authority.issue_cert(HOST, *names)
        version = self.folder / f"tls-{secrets.token_hex(4)}"
        version.mkdir()
        (version / "tls.crt").write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
        (version / "tls.key").write_bytes(issued.private_key_pem.bytes())
        (version / "tls.key").chmod(0o600)
        link = self.folder / "tls-new"
        link.symlink_to(version.name)
        link.rename(self.folder / "tls")
        return issued

    def start(self, *, env: Mapping[str, str] | None = None, before: Callable[[], None] | None = None) -> Running:
        """Start `guardian webhook`, and return once it takes requests. before: run in the new process before that."""
        process = subprocess.Popen(
            [sys.executable, "-m", "guardian", "--verbose", "webhook", "--config", str(self.config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, "PATH": self.path, **(env or {})},
            preexec_fn=before,  # noqa: PLW1509 -- sets a limit; this process has no other threads that matter
        )
        running = Running(self, process)
        self.processes.append(process)
        try:
            running.await_log("guardian webhook answers")
        except AssertionError:
            running.kill()
            raise
        return running

    @contextmanager
    def running(self, **options: Any) -> Iterator[Running]:
        """Start it, and see it end in order."""
        running = self.start(**options)
        try:
            yield running
            assert running.stop() == 0, running.text
        finally:
            running.kill()

    def context(self, *, certificate: bool = True) -> ssl.SSLContext:
        """What a caller trusts, and shows if the site asks for it."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if certificate and self.client is not None:
            context.load_cert_chain(self.folder / "caller.pem")
        return context

    def connect(self, *, timeout_s: float = 60) -> http.client.HTTPSConnection:
        """A connection that is kept."""
        return http.client.HTTPSConnection(HOST, self.port, context=self.context(), timeout=timeout_s)

    def tls(self) -> ssl.SSLSocket:
        """A bare TLS connection."""
        return self.context().wrap_socket(socket.create_connection((HOST, self.port), 60), server_hostname=HOST)


class Running:
    """The command under way, and what it has said."""

    def __init__(self, site: Site, process: subprocess.Popen[bytes]) -> None:
        self.site, self.process = site, process
        self.text = ""
        self._said = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._said:
                self.text += line.decode()
                self._said.notify_all()
        with self._said:
            self._said.notify_all()

    def await_log(self, text: str, *, times: int = 1) -> None:
        """Wait until it has said `text`, so many times."""
        with self._said:
            waited = self._said.wait_for(
                lambda: self.text.count(text) >= times or not self._reader.is_alive(), timeout=120
            )
            assert waited, self.text
            assert self.text.count(text) >= times, self.text

    def workers(self) -> list[int]:
        """The process ids of its workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children]

    def stop(self) -> int:
        """Ask it to end, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(120)
        self._reader.join(10)
        return code

    def kill(self) -> None:
        """End it whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(30)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def metrics(self) -> dict[str, float]:
        """What /metrics says, by name with labels."""
        lines = self.get("/metrics").body.decode().splitlines()
        return {
            name: float(value)
            for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))
        }

    def get(self, path: str) -> Answer:
        """GET over a connection of its own."""
        return exchange(self.site.connect(), "GET", path)

    def post(self, document: object, query: str = "") -> Answer:
        """POST an AdmissionReview over a connection of its own."""
        return post(self.site.connect(), document, query)


def post(connection: http.client.HTTPSConnection, document: object, query: str = "", *, keep: bool = False) -> Answer:
    """POST an AdmissionReview."""
    headers = {"Content-Type": "application/json"}
    return exchange(connection, "POST", f"/v1/admit{query}", written(document), headers, keep=keep)


def written(document: object) -> bytes:
    """The bytes of an AdmissionReview as an API server writes them: no blanks, and six bytes for each < > and &."""
    text = json.dumps(document, separators=(",", ":"))
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text.encode()


def exchange(
    connection: http.client.HTTPSConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    keep: bool = False,
) -> Answer:
    """Make one request; the connection is closed unless it is to be kept."""
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, response.read(), dict(response.getheaders()))
    finally:
        if not keep:
            connection.close()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def await_that(fact: Callable[[], bool], *, timeout_s: float = 60) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + timeout_s
    while not fact():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.02)


# A control of the users' own: tells by the image what a pod comes to, and takes its time for one that asks for it.
POLICIES = {
    "params.yaml": "".join(
        f"{control}:\n"
        f"  mode: {{production: {mode}, staging: {mode}, development: {mode}, other: {mode}}}\n"
        "  params: {}\n"
        for control, mode in (("probe.image", "deny"), ("probe.tag", "warn"))
    ),
    "probe/image.rego": """\
# METADATA
# scope: package
# title: Images are not forbidden
# description: |
#   No container runs an image called forbidden; judging one called slow takes longer than anybody waits.
# related_resources:
#   - ref: https://kubernetes.io/docs/concepts/containers/images/
#     description: Kubernetes, images
# custom:
#   id: probe.image
#   scope: resource
#   severity: high
#   remediation: |
#     Choose another image.
#   inputs: [k8s.core.Pod]
#   frameworks:
#     soc2: [CC6.3]
#   stages: [audit, admission]
#   uses: []
package guardian.probe.image

import future.keywords.not

import data.guardian.lib.outcome

findings contains outcome.fail(input.resource.id, "the image is forbidden", null, null) if {
	not input.resource.attributes.spec.containers[0].image != "example.org/forbidden:1"
}

findings contains outcome.fail(input.resource.id, "it took too long", null, null) if {
	input.resource.attributes.spec.containers[0].image == "example.org/slow:1"
	some first in numbers.range(1, 100000)
	some second in numbers.range(1, 100000)
	first * second == -1
}
""",
    "probe/tag.rego": """\
# METADATA
# scope: package
# title: Images are not old
# description: |
#   No container runs an image called old.
# related_resources:
#   - ref: https://kubernetes.io/docs/concepts/containers/images/
#     description: Kubernetes, images
# custom:
#   id: probe.tag
#   scope: resource
#   severity: low
#   remediation: |
#     Choose a newer image.
#   inputs: [k8s.core.Pod]
#   frameworks:
#     soc2: [CC6.3]
#   stages: [audit, admission]
#   uses: []
package guardian.probe.tag

import future.keywords.not

import data.guardian.lib.outcome

findings contains outcome.fail(input.resource.id, "the image is old", null, null) if {
	not input.resource.attributes.spec.containers[0].image != "example.org/old:1"
}
""",
}
FORBIDDEN, OLD, SLOW = "example.org/forbidden:1", "example.org/old:1", "example.org/slow:1"
