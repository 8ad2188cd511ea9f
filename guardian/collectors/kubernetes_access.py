"""How a cluster is reached: a kubeconfig, or the service account of the pod this runs in -> a client's configuration.

Invariant: no credential is written to a file that has a name. What a kubeconfig holds as data goes to memory files,
which end with this process; nothing is written back to a kubeconfig. (The library's own loader makes files below the
folder for temporary files, which outlive a killed process, runs plugins without a deadline, and may rewrite the file.)

Proxies of the environment (HTTPS_PROXY and the like) are ignored: only `proxy-url` of the kubeconfig counts.
Reads: the kubeconfig and the files it names, the service account's folder; runs the credential plugin it names.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import stat
import subprocess
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from guardian import config_yaml
from guardian.collectors.kubernetes_errors import AccessError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kubernetes.client import Configuration

    from guardian.settings import KubernetesCollector

ACCOUNT_FOLDER: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_PLUGIN_DEADLINE_S: Final = 30
_MAX_BYTES: Final = 1 << 20
_USER_KEYS: Final = frozenset(
    {"token", "tokenFile", "exec"}
    | {f"client-{part}{kind}" for part in ("certificate", "key") for kind in ("", "-data")}
)


@dataclass(slots=True)
class _Access:
    """What a connection needs. token_file: read anew for each request, since such tokens are short-lived."""

    server: str
    ca_data: str | None = None
    ca_file: str | None = None
    certificate: str | None = None
    key: str | None = None
    token: str | None = None
    token_file: Path | None = None
    tls_name: str | None = None
    proxy: str | None = None


@contextlib.contextmanager
def configured(settings: KubernetesCollector) -> Iterator[Configuration]:
    """Yield the client configuration for a cluster, usable while the block runs.

    Raises AccessError if the kubeconfig or the service account cannot be used.
    """
    with contextlib.ExitStack() as files:
        if settings.kubeconfig is None:
            access = _in_cluster(ACCOUNT_FOLDER, os.environ)
        else:
            access = _Kubeconfig(settings.kubeconfig, files).access(settings.context)
        yield _configuration(access)


def _configuration(access: _Access) -> Configuration:
    from kubernetes.client import Configuration  # noqa: PLC0415 -- takes a second, which only a collection needs

    configuration: Any = Configuration(host=access.server)  # its types lack what it documents
    configuration.proxy = access.proxy  # None: also none of the environment's
    configuration.no_proxy = None
    configuration.retries = False  # neither retries nor redirects of urllib3: `kubernetes_calls` retries
    configuration.ca_cert_data, configuration.ssl_ca_cert = access.ca_data, access.ca_file
    configuration.cert_file, configuration.key_file = access.certificate, access.key
    configuration.tls_server_name = access.tls_name
    if access.token is not None:
        configuration.api_key["BearerToken"] = f"Bearer {access.token}"
    if access.token_file is not None:
        token_file = access.token_file
        configuration.api_key["BearerToken"] = f"Bearer {_token(token_file)}"

        def renew(used: Configuration) -> None:
            used.api_key["BearerToken"] = f"Bearer {_token(token_file)}"

        configuration.refresh_api_key_hook = renew
    return configuration  # type: ignore[no-any-return]  # see above


def _in_cluster(folder: Path, environment: Mapping[str, str]) -> _Access:
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise AccessError(
            "no kubeconfig is configured and this is no pod of a cluster (KUBERNETES_SERVICE_HOST is not set); "
            "set kubeconfig, or run Guardian in the cluster"
        )
    for name in ("token", "ca.crt"):
        if not (folder / name).is_file():
            way_out = "mount the service account's token (automountServiceAccountToken), or set kubeconfig"
            raise AccessError(f"the pod has no {folder / name}; {way_out}")
    shown = f"[{host}]" if ":" in host else host
    return _Access(f"https://{shown}:{port}", ca_file=str(folder / "ca.crt"), token_file=folder / "token")


def _token(path: Path) -> str:
    try:
        token = _read(path).decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise AccessError(f"{path} holds no token") from error
    if not token or any(letter.isspace() for letter in token):
        raise AccessError(f"{path} holds no token")
    return token


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise AccessError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > _MAX_BYTES:
        raise AccessError(f"{path} is larger than {_MAX_BYTES} bytes")
    return data


class _Kubeconfig:
    """One kubeconfig. files: closed when the connection is no longer needed."""

    def __init__(self, path: Path, files: contextlib.ExitStack) -> None:
        self._path, self._files = path, files

    def access(self, context: str | None) -> _Access:
        document = self._document()
        name = context or document.get("current-context")
        if not name:
            raise self._wrong("it has no current-context; set context")
        chosen = self._named(document, "contexts", "context", name)
        cluster = self._named(document, "clusters", "cluster", chosen.get("cluster"))
        user = self._named(document, "users", "user", chosen["user"]) if chosen.get("user") else {}
        access = _Access(self._server(cluster), tls_name=cluster.get("tls-server-name"), proxy=cluster.get("proxy-url"))
        if "certificate-authority-data" in cluster:
            access.ca_data = self._data(cluster, "certificate-authority-data").decode("utf-8", "replace")
        elif "certificate-authority" in cluster:
            access.ca_file = self._file(cluster, "certificate-authority")
        self._credentials(access, user, cluster)
        return access

    def _wrong(self, what: str) -> AccessError:
        return AccessError(f"the kubeconfig {self._path} cannot be used: {what}")

    def _document(self) -> dict[str, Any]:
        data = _read(self._path)
        if self._path.stat().st_mode & stat.S_IWOTH:
            raise self._wrong(f"anyone may write it, and it may name a program to run; run: chmod o-w {self._path}")
        tree = config_yaml.parse(data)
        if tree.problems:
            raise self._wrong(f"line {tree.problems[0].line}: {tree.problems[0].message}")
        if not isinstance(tree.value, dict):
            raise self._wrong("it is no mapping")
        return tree.value

    def _named(self, document: dict[str, Any], many: str, one: str, name: object) -> dict[str, Any]:
        entries = document.get(many)
        found = [
            entry.get(one)
            for entry in (entries if isinstance(entries, list) else ())
            if isinstance(entry, dict) and entry.get("name") == name
        ]
        if len(found) != 1 or not isinstance(found[0], dict):
            raise self._wrong(f"expected one entry called {name!r} in {many}, found {len(found)}")
        return found[0]

    def _server(self, cluster: dict[str, Any]) -> str:
        server = cluster.get("server")
        if not isinstance(server, str):
            raise self._wrong("its cluster names no server")
        try:
            parts = urlsplit(server)
            host = parts.hostname or ""
        except ValueError as error:
            raise self._wrong("its server is no URL") from error
        if parts.username or parts.password:
            raise self._wrong("its server holds a user or password; use token, a client certificate or exec")
        if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
            raise self._wrong("its server is not https; a token must not be sent in the open")
        if cluster.get("insecure-skip-tls-verify"):
            way_out = "remove it and give certificate-authority or certificate-authority-data"
            raise self._wrong(f"insecure-skip-tls-verify would give its credentials to anyone in between; {way_out}")
        return server.rstrip("/")

    def _credentials(self, access: _Access, user: dict[str, Any], cluster: dict[str, Any]) -> None:
        unknown = sorted(set(user) - _USER_KEYS)
        if unknown:
            raise self._wrong(
                f"its user has {', '.join(unknown)}, which Guardian does not do; use token, client-* or exec"
            )
        if "exec" in user:
            user = {**user, **self._plugin(user["exec"], cluster)}
        for part in ("certificate", "key"):
            if f"client-{part}-data" in user:
                setattr(access, part, self._memory_file(self._data(user, f"client-{part}-data")))
            elif f"client-{part}" in user:
                setattr(access, part, self._file(user, f"client-{part}"))
        if "token" in user:
            access.token = str(user["token"]).strip()
        elif "tokenFile" in user:
            access.token_file = Path(self._file(user, "tokenFile"))

    def _data(self, entry: dict[str, Any], key: str) -> bytes:
        try:
            return base64.b64decode(str(entry[key]), validate=True)
        except (binascii.Error, ValueError) as error:
            raise self._wrong(f"{key} is not base64") from error

    def _file(self, entry: dict[str, Any], key: str) -> str:
        path = self._path.absolute().parent / str(entry[key])  # relative to the kubeconfig, as for kubectl
        if not path.is_file():
            raise self._wrong(f"{key} names {path}, which is no file that can be read")
        return str(path)

    def _memory_file(self, data: bytes) -> str:
        """Return a path under which this process alone finds `data`; the file never has a name on a disk."""
        descriptor = os.memfd_create("guardian", os.MFD_CLOEXEC)
        self._files.callback(os.close, descriptor)
        os.write(descriptor, data)
        return f"/proc/self/fd/{descriptor}"

    def _plugin(self, plugin: object, cluster: dict[str, Any]) -> dict[str, Any]:
        """Run a credential plugin and return what a user entry would hold.

        Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
        """
        if not (isinstance(plugin, dict) and isinstance(plugin.get("command"), str)):
            raise self._wrong("exec names no command")
        command, version = plugin["command"], plugin.get("apiVersion")
        if "/" in command:
            command = str(self._path.absolute().parent / command)
        about = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
        if plugin.get("provideClusterInfo"):
            about["spec"] = {"interactive": False, "cluster": cluster}
        extra = {str(item.get("name")): str(item.get("value")) for item in plugin.get("env") or ()}
        try:
            done = subprocess.run(
                [command, *(str(word) for word in plugin.get("args") or ())],
                env={**os.environ, **extra, "KUBERNETES_EXEC_INFO": json.dumps(about)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_PLUGIN_DEADLINE_S,
                check=True,
            )
            status = json.loads(done.stdout)["status"]
        except subprocess.TimeoutExpired as error:
            raise self._wrong(f"its plugin {command} did not end in {_PLUGIN_DEADLINE_S} s") from error
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode("utf-8", "replace").strip()[-300:]
            raise self._wrong(f"its plugin {command} ended with {error.returncode}: {said}") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._wrong(f"its plugin {command} gave no credential ({type(error).__name__})") from error
        found = {"token": status.get("token")} if status.get("token") else {}
        for part in ("Certificate", "Key"):
            text = status.get(f"client{part}Data")
            if text:
                found[f"client-{part.lower()}-data"] = base64.b64encode(str(text).encode()).decode()
        if not found:
            raise self._wrong(f"its plugin {command} gave no credential")
        return found


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
