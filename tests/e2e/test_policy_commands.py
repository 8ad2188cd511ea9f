"""The engine and users' own policies from the command line: one guardian.yaml, real opa, real records."""

from __future__ import annotations

import contextlib
import json
import secrets
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from guardian.policy.bundle import archive
from guardian.policy.opa import Address, Connection
from guardian.policy.opa_child import _free_port
from tests.integration.test_policy_users import LIBRARY, OWN, PARAMS, TEST
from tests.support import guardian

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def environment(tmp_path: Path, opa: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh environment, with `opa` on PATH."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "opa").symlink_to(opa)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert guardian("init", "--dir", str(tmp_path / "env")).code == 0
    return tmp_path / "env"


def configure(environment: Path, **members: Any) -> str:
    """Add members to guardian.yaml and return its path."""
    path = environment / "guardian.yaml"
    text = path.read_text()
    lines = [line for line in text.splitlines() if line.split(":")[0] not in members]
    path.write_text("\n".join([*lines, *(f"{key}: {json.dumps(value)}" for key, value in members.items()), ""]))
    return str(path)


def own_policies(environment: Path) -> Path:
    folder = environment / "own"
    files = {
        "naming/server_prefix.rego": OWN,
        "naming/server_prefix_test.rego": TEST,
        "lib/naming.rego": LIBRARY,
        "params.yaml": PARAMS,
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def record_of(config: str, index: int) -> dict[str, Any]:
    shown = guardian("evidence", "show", str(index), "--format", "json", "--config", config)
    found: dict[str, Any] = json.loads(shown.stdout)
    return found


def test_scan_names_the_engine_in_its_record_whichever_is_configured(environment: Path, opa: Path) -> None:
    engines = []
    for stated in ({"type": "wasm"}, {"type": "opa", "command": str(opa)}):
        config = configure(environment, engine=stated)
        done = guardian("scan", "--format", "json", "--config", config)
        assert done.code in {0, 1}, done.stderr
        scanned = json.loads(done.stdout)
        engines.append(scanned["findings"])
        assert json.dumps(record_of(config, scanned["record"]["index"])).count(f'"engine": "{stated["type"]}"') == 1
    assert engines[0] == engines[1]


def test_doctor_tells_the_engine_and_why(environment: Path, opa: Path) -> None:
    def engine(config: str) -> dict[str, str]:
        items = json.loads(guardian("doctor", "--format", "json", "--config", config).stdout)["items"]
        [found] = [item for item in items if item["name"] == "policy engine"]
        return dict(found)

    assert "(the default)" in engine(configure(environment))["detail"]
    child = engine(configure(environment, engine={"type": "opa", "command": str(opa)}))
    assert child["state"] == "ok"
    assert "(configured in guardian.yaml), a child process answers and has these policies" in child["detail"]
    own = own_policies(environment)
    told = engine(configure(environment, policies={"folder": str(own)}))["detail"]
    assert f"1 of them from {own}" in told
    lost = engine(configure(environment, engine={"type": "opa", "url": "http://127.0.0.1:9"}))
    assert lost["state"] == "missing"
    assert "did not answer (Connection refused)" in lost["detail"]
    assert "no other engine is used in its place" in lost["remedy"]


def test_own_controls_are_listed_shown_and_tested(environment: Path, opa: Path) -> None:
    own = own_policies(environment)
    config = configure(environment, policies={"folder": str(own)}, engine={"type": "opa", "command": str(opa)})
    listed = json.loads(guardian("policy", "list", "--format", "json", "--config", config).stdout)["controls"]
    assert {"naming.server-prefix", "postgres.durability"} <= set(listed)
    assert (
        "Servers are named by the plan" in guardian("policy", "show", "naming.server-prefix", "--config", config).stdout
    )
    tested = guardian("policy", "test", "--config", config)
    assert (tested.code, tested.stdout.strip()) == (0, "1 tests, 0 failed")
    (own / "naming" / "server_prefix_test.rego").write_text(TEST.replace("ERP-db", "CRM-db"))
    failed = guardian("policy", "test", "--config", config)
    assert failed.code == 1
    assert (
        "naming/server_prefix_test.rego:5: guardian.naming.server_prefix_test.test_right_name_passes: failed"
        in failed.stdout
    )
    every = guardian("policy", "test", "--all", "--config", config)
    assert every.code == 1
    assert int(every.stdout.splitlines()[-1].split()[0]) > 60


def test_wrong_own_control_is_a_configuration_error_naming_file_and_line(environment: Path) -> None:
    own = own_policies(environment)
    (own / "lib" / "naming.rego").write_text(LIBRARY.replace("lower(", "lowr("))
    config = configure(environment, policies={"folder": str(own)}, engine={"type": "wasm"})
    for command in (("scan",), ("policy", "list"), ("policy", "build", "--output", str(environment / "b.tgz"))):
        refused = guardian(*command, "--config", config)
        assert refused.code == 2, command
        assert "lib/naming.rego:6: rego_type_error: undefined function lowr" in refused.stderr
    assert not (environment / "b.tgz").exists()


def test_bundle_is_the_same_bytes_each_time(environment: Path) -> None:
    first, second = environment / "1.tar.gz", environment / "2.tar.gz"
    for target in (first, second):
        assert guardian("policy", "build", "--output", str(target)).code == 0
        time.sleep(1.1)  # a time in it would show
    assert first.read_bytes() == second.read_bytes()


@dataclass(frozen=True)
class Remote:
    """A real OPA server behind TLS with a token, as a site would run it."""

    url: str
    token: str
    ca: Path


@contextlib.contextmanager
def remote(opa: Path, folder: Path, bundle: Path) -> Iterator[Remote]:
    """Run an OPA server that loads `bundle`, with a certificate of its own authority and a token."""
    folder.mkdir()
    authority, token, port = trustme.CA(), secrets.token_hex(16), _free_port()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    leaf = authority.issue_cert("localhost")
    leaf.private_key_pem.write_to_path(folder / "key.pem")
    leaf.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    authz = f'package system.authz\n\ndefault allow := false\n\nallow if input.identity == "{token}"\n'
    files = {".manifest": b'{"roots":["system"]}', "authz.rego": authz.encode()}
    (folder / "authz.tar.gz").write_bytes(archive(files))
    command: list[str | Path] = [
        opa,
        "run",
        "--server",
        "--addr",
        f"https://localhost:{port}",
        "--authentication=token",
    ]
    command += ["--authorization=basic", "--tls-cert-file", "cert.pem", "--tls-private-key-file", "key.pem"]
    command += ["--skip-version-check", "--log-level=error", "--bundle", "authz.tar.gz", bundle]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL, env={"HOME": str(folder)}) as server:
        try:
            found = Remote(f"https://localhost:{port}", token, folder / "ca.pem")
            address = Address.of(found.url, token=token, ca=found.ca)
            with contextlib.closing(Connection(address, 10)) as connection:
                due = time.monotonic() + 60
                while not connection.healthy():
                    assert time.monotonic() < due
                    assert server.poll() is None
                    time.sleep(0.05)
            yield found
        finally:
            server.kill()


def test_remote_server_judges_only_with_the_bundle_that_was_built_for_it(
    environment: Path, opa: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = own_policies(environment)
    both, shipped = environment / "both.tar.gz", environment / "shipped.tar.gz"
    config = configure(environment, policies={"folder": str(own)}, engine={"type": "wasm"})
    assert guardian("policy", "build", "--output", str(both), "--config", config).code == 0
    assert guardian("policy", "build", "--output", str(shipped)).code == 0
    with remote(opa, environment / "right", both) as server:
        monkeypatch.setenv("OPA_TOKEN", server.token)
        stated = {"type": "opa", "url": server.url, "token": "env:OPA_TOKEN", "ca": str(server.ca)}
        done = guardian("scan", "--format", "json", "--config", configure(environment, engine=stated))
        assert done.code in {0, 1}, done.stderr
        assert server.token not in done.stdout + done.stderr
        monkeypatch.setenv("OPA_TOKEN", "wrong")
        refused = guardian("scan", "--config", config)
        assert (refused.code, "HTTP 401" in refused.stderr) == (3, True)
        monkeypatch.setenv("OPA_TOKEN", server.token)
        other = configure(environment, engine={**stated, "ca": str(_other(environment))})
        untrusted = guardian("scan", "--config", other)
        assert (untrusted.code, "certificate" in untrusted.stderr) == (3, True)
    with remote(opa, environment / "wrong", shipped) as server:
        monkeypatch.setenv("OPA_TOKEN", server.token)
        stated = {"type": "opa", "url": server.url, "token": "env:OPA_TOKEN", "ca": str(server.ca)}
        refused = guardian("scan", "--config", configure(environment, engine=stated))
        assert refused.code == 3
        assert "guardian policy build --output bundle.tar.gz" in refused.stderr


def _other(environment: Path) -> Path:
    """Return a certificate authority that signed nothing here."""
    path = environment / "other.pem"
    trustme.CA().cert_pem.write_to_path(path)
    return path
