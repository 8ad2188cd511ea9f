"""A real Kubernetes API server with its etcd, for tests: `with KubeApi(...) as api`.

Only these two run: no controller, scheduler or kubelet, so Deployments make no Pods, nothing is ever garbage collected,
and `namespace()` does by itself what the namespace controller would. Both end, and their folder goes, with the process
that started them, however it ends (see keeper.py). etcd listens on sockets in that folder, so only the API server
reaches it; the API server on a port of the kernel's choosing that is held from before it starts.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import kubernetes.client
import urllib3
from kubernetes.client.rest import RESTClientObject

from tests.tools.kube_calls import Answer, Caller
from tests.tools.kube_tls import USERS, write_identity, write_kubeconfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

_KEEPER = Path(__file__).with_name("keeper.py")
_READY_DEADLINE_S = 120.0
_END_DEADLINE_S = 60.0
_LOG_TAIL = 3000
_ACCOUNT = "system:serviceaccount:"


class KubeError(Exception):
    """The API server did not start or did not do as asked; the message holds what the server said."""


class KubeApi:
    """An API server that runs while the `with` block does.

    url: https://127.0.0.1:PORT. ca_file: PEM file its certificate is checked with. admin_token: of a user in
    `system:masters`. call, apply, path_of: see kube_calls.Caller.
    """

    def __init__(self, *, etcd: Path, kube_apiserver: Path) -> None:
        self._programs = (etcd, kube_apiserver)

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="gk-"))
        try:
            self._tokens = write_identity(self.folder)
            self.ca_file = self.folder / "ca.pem"
            self.admin_token = self._tokens["admin"]
            self._port = _held_port()
            self.url = f"https://127.0.0.1:{self._port.getsockname()[1]}"
            self._keeper = self._start()
        except BaseException:
            shutil.rmtree(self.folder)
            raise
        try:
            self._caller = Caller(self.url, self.ca_file, self.admin_token)
            self.call, self.apply, self.path_of = self._caller.call, self._caller.apply, self._caller.path_of
            self._wait_until_ready()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def token(self, user: str, groups: Sequence[str] = ()) -> str:
        """Return a bearer token of a user in USERS, or of `system:serviceaccount:NAMESPACE:NAME`, which must exist.

        groups: those the user is expected to be in, besides system:authenticated; a wrong expectation is an error.
        """
        if user.startswith(_ACCOUNT):
            namespace, name = user.removeprefix(_ACCOUNT).split(":")
            path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
            asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
            return str(self.call("POST", path, asked).expect(201)["status"]["token"])
        if user not in USERS or not set(groups) <= set(USERS[user]):
            raise KubeError(f"no token for {user!r} in {list(groups)}; there are {dict(USERS)}; impersonate others")
        return self._tokens[user]

    def kubeconfig(self, user: str = "admin") -> Path:
        """Return a kubeconfig of `user`, with the one context `test`; see `token` for users."""
        path = self.folder / f"kubeconfig-{user.replace(':', '-')}.json"
        return write_kubeconfig(path, url=self.url, ca_file=self.ca_file, user=user, token=self.token(user))

    def client(
        self, impersonate: str | None = None, groups: Sequence[str] = (), token: str | None = None
    ) -> kubernetes.client.ApiClient:
        """Return a client of the admin, or of the owner of `token`, acting as `impersonate` in `groups`.

        Close it, or use it in a `with` block.
        """
        configuration = kubernetes.client.Configuration(host=self.url)
        configuration.ssl_ca_cert = str(self.ca_file)
        configuration.proxy = None
        configuration.api_key = {"authorization": f"Bearer {token or self.admin_token}"}
        client = kubernetes.client.ApiClient(configuration)
        if impersonate is not None:
            client.rest_client = _Impersonating(configuration, impersonate, groups)
        return client

    @property
    def version(self) -> str:
        """What the server says its version is, such as `v1.36.3`."""
        return str(self.call("GET", "/version").expect(200)["gitVersion"])

    @contextlib.contextmanager
    def namespace(self, prefix: str = "test", labels: Mapping[str, str] | None = None) -> Iterator[str]:
        """Yield the name of a fresh namespace with its `default` ServiceAccount; it and all in it are gone after."""
        name = f"{prefix}-{secrets.token_hex(4)}"
        content = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(labels or {})}}
        self.call("POST", "/api/v1/namespaces", content).expect(201)
        try:
            self._make_default_account(name)
            yield name
        finally:
            self.delete_namespace(name)

    def delete_namespace(self, name: str) -> None:
        """Delete a namespace with all that is in it, as the namespace controller would."""
        deletion = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
        deletion |= {"propagationPolicy": "Background"}
        path = f"/api/v1/namespaces/{name}"
        self.call("DELETE", path, deletion).expect(200)
        for base in self._caller.collections(name):
            self.call("DELETE", base, deletion).expect(200)
        namespace = self.call("GET", path).expect(200)
        namespace["spec"]["finalizers"] = []
        self.call("PUT", f"{path}/finalize", namespace).expect(200)

    def log(self, server: str = "kube-apiserver") -> str:
        """Return the end of what a server logged."""
        path = self.folder / f"{server}.log"
        return path.read_text(encoding="utf-8", errors="replace")[-_LOG_TAIL:] if path.exists() else "(no log)"

    def _start(self) -> subprocess.Popen[str]:
        servers = [("etcd", _etcd(self._programs[0])), ("kube-apiserver", self._apiserver(self._programs[1]))]
        return subprocess.Popen(
            [sys.executable, "-I", str(_KEEPER), str(self.folder), json.dumps(servers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def _apiserver(self, program: Path) -> Sequence[str]:
        port = self._port.getsockname()[1]
        return [
            str(program),
            "--etcd-servers=unix://client:1",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            "--permit-port-sharing",  # with the socket that holds the port for it
            "--tls-cert-file=tls.pem",
            "--tls-private-key-file=tls.key",
            "--cert-dir=.",
            "--token-auth-file=tokens.csv",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-signing-key-file=accounts.key",
            "--service-account-key-file=accounts.key",
            "--service-cluster-ip-range=10.0.0.0/16",
            "--allow-privileged=true",
            "--endpoint-reconciler-type=none",  # there is no Service `kubernetes` to keep
            "--advertise-address=127.0.0.1",
            "--profiling=false",
        ]

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_DEADLINE_S
        answers = self._keeper.stdout
        assert answers is not None
        while True:
            said = self._ready()
            if said == "ok":
                break
            if select.select([answers], [], [], 0.05)[0]:
                said = answers.readline().strip() or "the keeper of the servers ended"
            elif time.monotonic() < deadline:
                continue
            else:
                said = f"not ready after {_READY_DEADLINE_S:.0f} s: {said}"
            raise KubeError(f"{said}\netcd: {self.log('etcd')}\nkube-apiserver: {self.log()}")
        self._make_default_account("default")

    def _ready(self) -> str:
        """Return `ok`, or what is not ready yet. The server makes its own namespaces shortly after it says it is."""
        try:
            ready = self.call("GET", "/readyz")
            if ready.status != 200:
                return f"/readyz says {ready.text}"
            return "ok" if self.call("GET", "/api/v1/namespaces/default").status == 200 else "no namespace default yet"
        except OSError as error:
            return str(error)

    def _make_default_account(self, namespace: str) -> None:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        self.call("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", account).expect(201)

    def _end(self) -> None:
        with contextlib.suppress(AttributeError):
            self._caller.close()
        self._port.close()
        try:
            self._keeper.communicate(timeout=_END_DEADLINE_S)  # closes its standard input, which ends it
        except subprocess.TimeoutExpired:
            os.killpg(self._keeper.pid, signal.SIGKILL)  # and the servers, which are of its group
            self._keeper.communicate()
            shutil.rmtree(self.folder, ignore_errors=True)
            raise KubeError(f"the keeper of {self.folder} did not end in {_END_DEADLINE_S:.0f} s") from None


class _Impersonating(RESTClientObject):
    """Sends Impersonate headers: one a group, which a dict of headers cannot hold."""

    def __init__(self, configuration: kubernetes.client.Configuration, user: str, groups: Sequence[str]) -> None:
        super().__init__(configuration)
        self._user, self._groups = user, groups

    def request(self, method: str, url: str, headers: Mapping[str, str] | None = None, *rest: Any, **named: Any) -> Any:
        sent = urllib3.HTTPHeaderDict(headers)
        sent["Impersonate-User"] = self._user
        for group in self._groups:
            sent.add("Impersonate-Group", group)
        return super().request(method, url, sent, *rest, **named)  # type: ignore[no-untyped-call] # the library has no types


def _held_port() -> socket.socket:
    """Return a socket bound to a free port that nobody else can take; the API server shares it and alone listens."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind(("127.0.0.1", 0))
    return held


def _etcd(program: Path) -> Sequence[str]:
    # relative to the folder: neither a port nor the length of the folder's path matters
    client, peer = "unix://client:1", "unix://peer:1"
    return [
        str(program),
        "--data-dir=etcd",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


__all__ = ["Answer", "KubeApi", "KubeError"]
