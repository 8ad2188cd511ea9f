"""The cluster side of Guardian, live: `python -m tests.demo_cluster --dir DIR`.

A real etcd and kube-apiserver get a small estate of an Odoo service with eight violations planted. Guardian's own
commands scan it, check manifests, serve the admission webhook that the API server calls, and sign it all; then the
evidence is verified and every judgement replayed. Exits 0 only when every planted outcome occurred and nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from ruamel.yaml import YAML

from guardian.reports.table import demo_table
from guardian.usecases.demo_outcomes import Outcome
from tests.demo_cluster import planted
from tests.tools.build import tool_path
from tests.tools.kube import Answer, KubeApi

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MARKER = ".guardian-demo-cluster"
CONTROLLER = "system:serviceaccount:kube-system:replicaset-controller"
DENIED = "denied by Guardian"
_READY_S = 60.0


def main() -> int:
    """Run the demo; return the exit code."""
    parser = argparse.ArgumentParser(prog="make demo-cluster", description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--dir", type=Path, default=Path("demo-cluster"), help="where it is kept (default: %(default)s)"
    )
    folder: Path = parser.parse_args().dir.absolute()
    prepare(folder)
    started = time.monotonic()
    say("starting etcd and kube-apiserver")
    with KubeApi(etcd=tool_path("etcd"), kube_apiserver=tool_path("kube-apiserver")) as api:
        say(f"kube-apiserver {api.version} answers at {api.url}")
        outcomes = list(Demo(folder, api).run())
    console = Console() if sys.stdout.isatty() else Console(width=160)
    console.print(demo_table(outcomes))
    wrong = [outcome for outcome in outcomes if not outcome.occurred]
    right, took = len(outcomes) - len(wrong), time.monotonic() - started
    say(f"{right} of {len(outcomes)} as planted; {took:.0f} s; kept in {folder}")
    say(f"verify it: guardian verify {folder}/pack.zip --root {folder}/root.json")
    return 1 if wrong else 0


def prepare(folder: Path) -> None:
    """Make the demo's folder; an earlier demo's is replaced, anything else is left alone."""
    if folder.exists():
        if not (folder / MARKER).exists():
            sys.exit(f"{folder} exists and was not made by this demo; name another with --dir")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARKER).touch()


class Demo:
    """One run in `folder` against `api`."""

    def __init__(self, folder: Path, api: KubeApi) -> None:
        self.folder, self.api = folder, api
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def run(self) -> Iterator[Outcome]:
        """Yield every outcome, in the order in which things happen."""
        self.load_estate()
        say("guardian init, scan")
        self.guardian("init", "--dir", ".")
        code, scanned = self.guardian("scan", "--format", "json")
        yield from planted.found(json.loads(scanned)["findings"])
        yield told("scan: exit code", "violations", "1", str(code))
        yield from self.check()
        yield from self.admission()
        yield from self.evidence()

    def load_estate(self) -> None:
        """Load the estate, and the account that Guardian reads it with."""
        objects = [*documents(ROOT / "deploy" / "kubernetes-collector.yaml"), *documents(HERE / "estate.yaml")]
        say(f"loading {len(objects)} objects")
        for obj in sorted(objects, key=lambda obj: obj["kind"] != "Namespace"):
            self.api.apply(obj).expect(200)
        account = next(obj["metadata"] for obj in objects if obj["kind"] == "ServiceAccount")
        user = f"system:serviceaccount:{account['namespace']}:{account['name']}"
        shutil.copy(self.api.kubeconfig(user), self.folder / "collector.kubeconfig")
        text = (HERE / "guardian.yaml").read_text(encoding="utf-8").replace("{port}", str(self.port))
        (self.folder / "guardian.yaml").write_text(text, encoding="utf-8")

    def check(self) -> Iterator[Outcome]:
        """Check manifests as a pipeline does, before anything reaches the cluster."""
        say("guardian check")
        code, output = self.guardian("check", str(HERE / "wrong.yaml"))
        place = next((line.strip() for line in output.splitlines() if "wrong.yaml:" in line), "")
        yield told("check wrong.yaml", "a release by tag", "1", str(code), place)
        code, _ = self.guardian("check", str(HERE / "right.yaml"))
        yield told("check right.yaml", "a release as it should be", "0", str(code))

    def admission(self) -> Iterator[Outcome]:
        """Let the API server call the webhook."""
        say("guardian webhook: certificate, server, manifests")
        self.guardian("webhook", "certificate", "--host", "127.0.0.1", "--dir", "tls")
        with self.webhook():
            url = f"https://127.0.0.1:{self.port}/v1/admit"
            _, manifests = self.guardian("webhook", "manifests", "--url", url, "--ca-file", "tls/ca.pem")
            for obj in YAML(typ="safe", pure=True).load_all(manifests):
                self.api.apply(obj).expect(200)
            self.wait_until_called()
            say("requests through the API server")
            yield from self.requests()

    def requests(self) -> Iterator[Outcome]:
        """Make the requests that must be denied, admitted, warned of and left alone."""
        [wrong], [right], [warned] = (documents(HERE / f"{name}.yaml") for name in ("wrong", "right", "warned"))
        answer = self.api.apply(wrong)
        yield told("apply wrong.yaml", "a release by tag, privileged", DENIED, said(answer), message_of(answer.text))
        answer = self.api.apply(right, dryRun="All")
        yield told("apply right.yaml, dry run", "a dry run writes nothing", "admitted", said(answer))
        answer = self.api.apply(right)
        yield told("apply right.yaml", "a release as it should be", "admitted", said(answer))
        answer = self.api.apply(warned)
        why = "; ".join(answer.warnings)
        yield told("apply warned.yaml", "mode warn for the reports", "admitted with a warning", said(answer), why)
        [cron] = [obj for obj in documents(HERE / "estate.yaml") if name_of(obj) == ("Deployment", "odoo-cron")]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "odoo-cron-1", "namespace": "erp"}}
        pod["spec"] = {**cron["spec"]["template"]["spec"], "serviceAccountName": "odoo"}
        answer = self.api.apply(pod, impersonate=CONTROLLER, groups=["system:masters"])
        planted = "a wrong pod, made by the cluster itself"
        yield told("a pod by the ReplicaSet controller", planted, "admitted with a warning", said(answer))
        answer = self.api.apply(pod | {"metadata": {"name": "odoo-cron-2", "namespace": "erp"}})
        yield told("the same pod by hand", "the same, made by a person", DENIED, said(answer), message_of(answer.text))

    def evidence(self) -> Iterator[Outcome]:
        """Verify and replay what was signed."""
        say("guardian evidence verify, list, replay, export; guardian verify")
        code, _ = self.guardian("evidence", "verify")
        yield told("evidence verify", "the whole log", "0", str(code))
        _, listed = self.guardian("evidence", "list", "--kind", "admission-decision", "--format", "json")
        results = [record["result"] for record in json.loads(listed)["records"]]
        violating = f"{len(results)}, {results.count('FAILED')} of a violation"
        yield told("decisions signed", "every request but the dry run", "5, 4 of a violation", violating)
        code, output = self.guardian("evidence", "replay")
        yield told(
            "evidence replay", "scan and reviews judged again, to the byte", "0", str(code), "" if code == 0 else output
        )
        self.guardian("evidence", "export", "--output", "pack.zip")
        code, _ = self.guardian("verify", "pack.zip", "--root", "root.json")
        yield told("verify pack.zip", "the pack, offline", "0", str(code))

    @contextlib.contextmanager
    def webhook(self) -> Iterator[None]:
        """Serve the webhook while the block runs; it ends by SIGTERM with everything signed."""
        with (self.folder / "webhook.log").open("wb") as log:
            process = subprocess.Popen(command("webhook"), cwd=self.folder, stdout=log, stderr=log)
            try:
                self.wait_until_ready(process)
                yield
            finally:
                process.send_signal(signal.SIGTERM)
                if process.wait(60) != 0:
                    sys.exit(f"guardian webhook ended with {process.returncode}; see {self.folder}/webhook.log")

    def wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for /readyz."""
        context = ssl.create_default_context(cafile=str(self.folder / "tls" / "ca.pem"))
        until(
            lambda: self.ready(context),
            f"guardian webhook is not ready; see {self.folder}/webhook.log",
            alive=lambda: process.poll() is None,
        )

    def ready(self, context: ssl.SSLContext) -> bool:
        """Tell whether the webhook says that it is ready."""
        try:
            with urllib.request.urlopen(f"https://127.0.0.1:{self.port}/readyz", timeout=5, context=context) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def wait_until_called(self) -> None:
        """Wait until the API server has taken the configuration to heart: it does so within a second or two."""
        [wrong] = documents(HERE / "wrong.yaml")
        called = lambda: said(self.api.apply(wrong, dryRun="All")) == DENIED  # noqa: E731 -- asked again and again
        until(called, "the API server does not call the webhook")

    def guardian(self, *arguments: str) -> tuple[int, str]:
        """Run a command of Guardian in the demo's folder; return its exit code and what it printed."""
        done = subprocess.run(
            command(*arguments), cwd=self.folder, capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode == 2 or "internal error" in done.stderr:
            sys.exit(f"guardian {' '.join(arguments)} failed with {done.returncode}:\n{done.stderr}{done.stdout}")
        return done.returncode, done.stdout


def until(done: Any, otherwise: str, *, alive: Any = lambda: True) -> None:
    """Wait for `done()`, as long as `alive()`; exit with the message `otherwise` when it takes too long."""
    deadline = time.monotonic() + _READY_S
    while not done():
        if time.monotonic() > deadline or not alive():
            sys.exit(otherwise)
        time.sleep(0.2)


def told(what: str, done: str, expected: str, observed: str, why: str = "") -> Outcome:
    """Return the outcome of one step."""
    return Outcome(what, done, expected, observed, why, expected == observed)


def said(answer: Answer) -> str:
    """Return what became of a request, in words."""
    if answer.status in {200, 201}:
        guardian = [text for text in answer.warnings if text.startswith("guardian ")]
        return "admitted with a warning" if guardian else "admitted"
    refused = answer.status == 403 and "Guardian refuses" in answer.text
    return DENIED if refused else f"HTTP {answer.status}: {message_of(answer.text)}"


def name_of(obj: dict[str, Any]) -> tuple[str, str]:
    """Return kind and name."""
    return obj["kind"], obj["metadata"]["name"]


def message_of(text: str) -> str:
    """Return the message of an API server's Status: of a denial by Guardian the reasons, without what to do."""
    message = str(json.loads(text).get("message", ""))
    reasons = [line.partition(". To fix")[0] for line in message.splitlines() if line.startswith("[")]
    return "; ".join(reasons) or message


def documents(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a manifest."""
    return [obj for obj in YAML(typ="safe", pure=True).load_all(path.read_text(encoding="utf-8")) if obj]


def command(*arguments: str) -> Sequence[str]:
    """Return the command line of Guardian in this environment."""
    return [sys.executable, "-m", "guardian", *arguments]


def say(text: str) -> None:
    """Print one line of progress."""
    print(f"==> {text}", file=sys.stderr, flush=True)  # noqa: T201 -- a command line program


if __name__ == "__main__":
    sys.exit(main())
