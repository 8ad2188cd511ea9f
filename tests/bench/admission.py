"""`python -m tests.bench.admission`: the webhook beside a bare OPA server that evaluates the same Rego, over TLS.

Both get the same pods on the same machine in turn. OPA is handed each pod as Guardian's resource, ready to judge, with
the parameters of the controls; Guardian gets an AdmissionReview and does everything: parsing, normalising, redacting,
judging, answering, and putting the decision on disk. No pod comes twice within a round, unless the line says so.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trustme

from guardian.collectors.kubernetes import Kubernetes
from guardian.collectors.kubernetes_objects import observe
from guardian.model import Tier
from guardian.normalise import Estate, normalise
from guardian.policy import bundle as bundles
from guardian.policy.standards import Standards
from guardian.settings import KubernetesCollector
from tests import policy_support
from tests.bench.pods import pods
from tests.tools.build import tool_path, tools_folder
from tests.tools.golang import find_go, go_build

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
CONCURRENCY = (1, 4, 16)
HOST = "127.0.0.1"


@dataclass
class Server:
    """One server under test. workers: process ids whose memory counts."""

    name: str
    url: str
    bodies: Path
    want: str
    workers: list[int]
    results: dict[int, list[dict[str, float]]] = field(default_factory=dict)
    memory_mib: float = 0.0


def main() -> int:
    """Measure and print; return 0."""
    parser = argparse.ArgumentParser(prog="make bench", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement (default: %(default)s)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="rounds, of which the median counts (default: %(default)s)"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="of the webhook (default: one a core)")
    parser.add_argument("--pods", type=int, default=40_000, help="distinct pods (default: %(default)s)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="guardian-bench-") as scratch:
        folder = Path(scratch)
        say("building the load generator")
        load = folder / "load-generator"
        go_build(HERE / "load", load, go=find_go(tools_folder()), link=[], what="load generator")
        say(f"making {given.pods} pods")
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        write_bodies(folder, given.pods)
        with guardian(folder, authority, given.workers) as webhook, opa(folder, authority) as bare:
            again = Server(
                "guardian, pods seen before", webhook.url, folder / "again.jsonl", '"allowed":true', webhook.workers
            )
            servers = [bare, webhook, again]
            for number in range(given.rounds):
                for server in servers:
                    for connections in CONCURRENCY:
                        say(f"round {number + 1} of {given.rounds}: {server.name}, {connections} at once")
                        measured = run_load(load, folder, server, connections, given.seconds)
                        server.results.setdefault(connections, []).append(measured)
                    server.memory_mib = max(memory_mib(pid) for pid in server.workers)
        report(servers, folder, given)
    return 0


def write_bodies(folder: Path, count: int) -> None:
    """Write what each server is sent, one body a line."""
    bundle = bundles.load()
    settings = policy_support.settings()
    standards = Standards.of(bundle.catalogue, settings)
    collector, estate = Kubernetes(KubernetesCollector("bench")), Estate([], b"k" * 32)
    controls = {
        control.id: dict(standards.at(control.id, Tier.CRITICAL).params)
        for control in bundle.catalogue.controls.values()
        if control.scope == "resource" and "admission" in control.stages and "k8s.core.Pod" in control.judges
    }
    common = {"environment": settings.environment, "now": "2026-11-23T11:00:00Z", "controls": controls}
    made = pods(count)
    with (
        (folder / "reviews.jsonl").open("w") as reviews,
        (folder / "inputs.jsonl").open("w") as inputs,
        (folder / "again.jsonl").open("w") as again,
    ):
        for number, pod in enumerate(made):
            review = json.dumps(review_of(pod, number))
            reviews.write(review + "\n")
            if number < 500:
                again.write(review + "\n")
            resource = normalise(observe(pod, cluster="bench"), collector, estate)
            inputs.write(json.dumps({"input": {**common, "resource": resource.to_json()}}) + "\n")


def review_of(pod: dict[str, Any], number: int) -> dict[str, Any]:
    """Return the AdmissionReview that creates `pod`, as an API server sends it."""
    kind, resource = {"group": "", "version": "v1", "kind": "Pod"}, {"group": "", "version": "v1", "resource": "pods"}
    user = "system:serviceaccount:kube-system:replicaset-controller"
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": f"705ab4f5-6393-11e8-b7cc-{number:012x}",
            "kind": kind,
            "resource": resource,
            "requestKind": kind,
            "requestResource": resource,
            "name": pod["metadata"]["name"],
            "namespace": pod["metadata"]["namespace"],
            "operation": "CREATE",
            "userInfo": {"username": user, "groups": ["system:serviceaccounts", "system:authenticated"]},
            "object": pod,
            "oldObject": None,
            "dryRun": False,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    }


@contextlib.contextmanager
def guardian(folder: Path, authority: trustme.CA, workers: int) -> Iterator[Server]:
    """Run `guardian webhook` in an environment of its own."""
    home, port = folder / "guardian", free_port()
    home.mkdir()
    certificate, key = certify(authority, home)
    (home / "guardian.yaml").write_text(
        "environment: production\n"
        "collectors: [{name: bench, type: kubernetes, kubeconfig: none.yaml}]\n"
        f'webhook: {{listen: "{HOST}:{port}", certificate: {certificate}, key: "file:{key}", workers: {workers}}}\n'
    )
    command = [sys.executable, "-m", "guardian"]
    subprocess.run([*command, "init", "--dir", str(home)], check=True, capture_output=True)
    with (folder / "guardian.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "webhook", "--config", str(home / "guardian.yaml")], stdout=log, stderr=log
        )
        try:
            await_ready(f"https://{HOST}:{port}/readyz", folder, process)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            url, reviews = f"https://{HOST}:{port}/v1/admit?timeout=5s", folder / "reviews.jsonl"
            yield Server("guardian", url, reviews, '"allowed":true', [int(child) for child in children])
        finally:
            process.terminate()
            process.wait(120)


@contextlib.contextmanager
def opa(folder: Path, authority: trustme.CA) -> Iterator[Server]:
    """Run a bare OPA server with the same policies, no authorisation, no logs."""
    home, port = folder / "opa", free_port()
    home.mkdir()
    certificate, key = certify(authority, home)
    (home / "bundle.tar.gz").write_bytes(bundles.load().opa_bundle())
    command = [str(tool_path("opa")), "run", "--server", "--addr", f"https://{HOST}:{port}", "--log-level", "error"]
    command += ["--tls-cert-file", str(certificate), "--tls-private-key-file", str(key), "--skip-version-check"]
    with (folder / "opa.log").open("wb") as log:
        process = subprocess.Popen([*command, "--bundle", str(home / "bundle.tar.gz")], stdout=log, stderr=log)
        try:
            await_ready(f"https://{HOST}:{port}/health", folder, process)
            url = f"https://{HOST}:{port}/v1/data/guardian/dispatch/resource"
            yield Server("bare opa", url, folder / "inputs.jsonl", '"findings":[]', [process.pid])
        finally:
            process.terminate()
            process.wait(60)


def certify(authority: trustme.CA, home: Path) -> tuple[Path, Path]:
    """Write a certificate for this host and its key; return their paths."""
    issued = authority.issue_cert(HOST)
    certificate, key = home / "tls.pem", home / "tls.key"
    certificate.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    key.chmod(0o600)
    return certificate, key


def await_ready(url: str, folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until `url` answers 200."""
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    for _ in range(300):
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5, context=context):  # noqa: S310 -- ours
            return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    sys.exit(f"{url} does not get ready; its log ends: {log_end(folder)}")


def log_end(folder: Path) -> str:
    """Return the ends of the servers' logs."""
    return "".join(path.read_text(errors="replace")[-1500:] for path in folder.glob("*.log"))


def run_load(load: Path, folder: Path, server: Server, connections: int, seconds: float) -> dict[str, float]:
    """Send one load; return what the generator measured."""
    command = [str(load), "-url", server.url, "-ca", str(folder / "ca.pem"), "-bodies", str(server.bodies)]
    command += ["-want", server.want, "-connections", str(connections), "-seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds * 3 + 60)
    if done.returncode:
        sys.exit(f"{server.name}: {done.stderr}{log_end(folder)}")
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def report(servers: list[Server], folder: Path, given: argparse.Namespace) -> None:
    """Print the medians, and the ratios to the bare OPA server."""
    sizes = sorted(len(line) for line in (folder / "reviews.jsonl").open())
    small, middle, large = (sizes[at] / 1000 for at in (0, len(sizes) // 2, -1))
    print(
        f"{given.pods} reviews of {small:.1f} to {large:.1f} KB (median {middle:.1f}), all controls of admission loaded"
    )
    print(
        f"{given.workers} webhook workers, {os.cpu_count()} cores, medians of {given.rounds} x {given.seconds:g} s; "
        f"opa {bundles.load().opa_version}; MiB: the largest process that judges"
    )
    columns = (
        ("at once", 8),
        ("reviews/s", 10),
        ("p50 ms", 8),
        ("p99 ms", 8),
        ("x opa", 7),
        ("p99 x opa", 10),
        ("MiB", 6),
    )
    print(" " * 28 + "".join(f" {name:>{width}}" for name, width in columns))
    base = servers[0]
    for server in servers:
        for connections in CONCURRENCY:
            rate, p50, p99 = (median(server, connections, name) for name in ("perSecond", "p50ms", "p99ms"))
            ratio = rate / median(base, connections, "perSecond")
            tail = p99 / median(base, connections, "p99ms")
            print(
                f"{server.name:28} {connections:8} {rate:10.0f} {p50:8.2f} {p99:8.2f} {ratio:7.2f} {tail:10.2f} "
                f"{server.memory_mib:6.0f}"
            )


def median(server: Server, connections: int, name: str) -> float:
    """Return the median of the rounds."""
    return statistics.median(measured[name] for measured in server.results[connections])


def memory_mib(pid: int) -> float:
    """Return the resident memory of a process, MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def say(text: str) -> None:
    """Print one line of progress."""
    print(f"==> {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
