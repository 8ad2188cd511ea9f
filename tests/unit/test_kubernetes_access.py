from __future__ import annotations

import base64
import json
import ssl
import sys
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from guardian.collectors.kubernetes_access import configured
from guardian.collectors.kubernetes_errors import AccessError
from guardian.settings import KubernetesCollector

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "hunter2-CANARY"
CLUSTER = {"server": "https://api.example:6443/", "tls-server-name": "kubernetes", "proxy-url": "http://proxy:3128"}


def kubeconfig(
    folder: Path, *, cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None, **more: Any
) -> KubernetesCollector:
    content = {
        "clusters": [{"name": "c", "cluster": {"server": "https://api.example:6443"} | (cluster or {})}],
        "users": [{"name": "u", "user": user if user is not None else {"token": CANARY}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}, {"name": "y", "context": {}}],
        "current-context": "x",
    } | more
    path = folder / "config"
    path.write_text(json.dumps(content), encoding="utf-8")
    return KubernetesCollector("c", path, more.get("context"))


def refused(settings: KubernetesCollector) -> str:
    with pytest.raises(AccessError) as caught, configured(settings):
        pass
    assert CANARY not in str(caught.value)
    return str(caught.value).removeprefix(f"the kubeconfig {settings.kubeconfig} cannot be used: ")


def plugin(folder: Path, body: str) -> dict[str, Any]:
    program = folder / "plugin.py"
    program.write_text(f"import json, os, sys, time\n{body}", encoding="utf-8")
    return {"exec": {"apiVersion": "v1", "command": sys.executable, "args": [str(program)]}}


def test_what_the_kubeconfig_says_is_what_is_used(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with configured(kubeconfig(tmp_path, cluster={**CLUSTER, "certificate-authority": "ca.pem"})) as found:
        assert (found.host, found.tls_server_name, found.proxy) == (
            "https://api.example:6443",
            "kubernetes",
            "http://proxy:3128",
        )
        assert (found.ssl_ca_cert, found.verify_ssl) == (str(tmp_path / "ca.pem"), True)
        assert found.get_api_key_with_prefix("BearerToken") == f"Bearer {CANARY}"


def test_client_certificate_held_as_data_is_never_a_file_with_a_name(tmp_path: Path) -> None:
    leaf = trustme.CA().issue_cert("guardian")
    pems = {"certificate": leaf.cert_chain_pems[0].bytes(), "key": leaf.private_key_pem.bytes()}
    user = {f"client-{part}-data": base64.b64encode(pem).decode() for part, pem in pems.items()}
    with configured(kubeconfig(tmp_path, user=user)) as found:
        cert_file, key_file = str(found.cert_file), str(found.key_file)
        assert cert_file.startswith("/proc/self/fd/")
        for _ in range(2):  # a new connection reads them again
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert_file, key_file)
    with pytest.raises(OSError, match=r"No such file|Bad file"):
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert_file, key_file)


def test_plugin_gives_a_token_and_learns_what_it_is_for(tmp_path: Path) -> None:
    body = (
        "about = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
        "assert about['spec'] == {'interactive': False, 'cluster': {'server': 'https://api.example:6443'}}, about\n"
        "print(json.dumps({'status': {'token': os.environ['GREETING'] + sys.argv[1]}}))\n"
    )
    user = plugin(tmp_path, body)
    user["exec"] |= {"env": [{"name": "GREETING", "value": "hello"}], "provideClusterInfo": True}
    user["exec"]["args"].append("!")
    with configured(kubeconfig(tmp_path, user=user)) as found:
        assert found.get_api_key_with_prefix("BearerToken") == "Bearer hello!"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("sys.exit('log in first')", "its plugin .* ended with 1: log in first"),
        ("print('{')", "its plugin .* gave no credential"),
        ("print('{\"status\": {}}')", "its plugin .* gave no credential"),
        ("print('[]')", "its plugin .* gave no credential"),
    ],
)
def test_plugin_that_fails_is_told(tmp_path: Path, body: str, said: str) -> None:
    with pytest.raises(AccessError, match=said), configured(kubeconfig(tmp_path, user=plugin(tmp_path, body))):
        pass


def test_plugin_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardian.collectors.kubernetes_access._PLUGIN_DEADLINE_S", 0.2)
    assert "did not end in 0.2 s" in refused(kubeconfig(tmp_path, user=plugin(tmp_path, "time.sleep(600)")))


def test_plugin_that_is_not_there_is_told(tmp_path: Path) -> None:
    user = {"exec": {"apiVersion": "v1", "command": "./none"}}
    assert (
        refused(kubeconfig(tmp_path, user=user)) == f"its plugin {tmp_path}/none gave no credential (FileNotFoundError)"
    )


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "http to elsewhere": (
        {"cluster": {"server": "http://api.example"}},
        "its server is not https; a token must not be sent in the open",
    ),
    "password in the server": (
        {"cluster": {"server": f"https://u:{CANARY}@api.example"}},
        "its server holds a user or password; use token, a client certificate or exec",
    ),
    "no certificate check": (
        {"cluster": {"insecure-skip-tls-verify": True}},
        (
            "insecure-skip-tls-verify would give its credentials to anyone in between; "
            "remove it and give certificate-authority or certificate-authority-data"
        ),
    ),
    "password of a user": (
        {"user": {"username": "u", "password": CANARY}},
        "its user has password, username, which Guardian does not do; use token, client-* or exec",
    ),
    "impersonation": (
        {"user": {"token": CANARY, "as": "x"}},
        "its user has as, which Guardian does not do; use token, client-* or exec",
    ),
    "unknown context": ({"context": "z"}, "expected one entry called 'z' in contexts, found 0"),
    "unknown cluster": ({"context": "y"}, "expected one entry called None in clusters, found 0"),
    "no context": ({"current-context": ""}, "it has no current-context; set context"),
    "certificate that is none": (
        {"cluster": {"certificate-authority-data": "!!!"}},
        "certificate-authority-data is not base64",
    ),
    "no mapping": ({"users": CANARY}, "expected one entry called 'u' in users, found 0"),
}


@pytest.mark.parametrize(("content", "said"), CASES.values(), ids=CASES)
def test_kubeconfig_that_cannot_be_used_is_told_without_its_secrets(
    tmp_path: Path, content: dict[str, Any], said: str
) -> None:
    assert refused(kubeconfig(tmp_path, **content)) == said


def test_kubeconfig_that_anyone_may_write_is_refused(tmp_path: Path) -> None:
    settings = kubeconfig(tmp_path)
    assert settings.kubeconfig is not None
    settings.kubeconfig.chmod(0o666)
    assert "chmod o-w" in refused(settings)


def test_kubeconfig_that_is_broken_or_missing_is_told_without_its_secrets(tmp_path: Path) -> None:
    path = tmp_path / "config"
    assert refused(KubernetesCollector("c", path)) == f"cannot read {path}: No such file or directory"
    path.write_text(f"users:\n- token: '{CANARY}\n", encoding="utf-8")
    assert refused(KubernetesCollector("c", path)).startswith("line 3: not valid YAML")
    path.write_text("- a\n", encoding="utf-8")
    assert refused(KubernetesCollector("c", path)) == "it is no mapping"


def test_token_file_beside_the_kubeconfig_is_read_anew(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("one\n", encoding="ascii")
    with configured(kubeconfig(tmp_path, user={"tokenFile": "token"})) as found:
        token.write_text("two", encoding="ascii")
        assert found.get_api_key_with_prefix("BearerToken") == "Bearer two"
        token.write_text("\n", encoding="ascii")
        with pytest.raises(AccessError, match="holds no token"):
            found.get_api_key_with_prefix("BearerToken")
