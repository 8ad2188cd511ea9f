"""The two processes of `guardian api`: who holds keys, who ends with whom, what a signal or a new certificate does."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trustme

from guardian import config
from guardian.usecases.ledger import Ledger
from tests.api_support import Api, await_true, settings_with_api, token
from tests.support import guardian

if TYPE_CHECKING:
    import pytest


def alive(process: int) -> bool:
    """Whether the process runs; one that ended and that nobody has waited for does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def events(settings: Any) -> int:
    with Ledger(settings, writable=False) as ledger:
        return sum(record.kind == "access-event" for record in ledger.records())


def test_sigterm_answers_what_is_under_way_signs_what_is_left_and_exits_0(tmp_path: Path) -> None:
    settings = settings_with_api(tmp_path, records=False)
    given = token(settings, "last")
    with Api(settings) as api:
        child = api.child()
        host, port = api.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as slow:
            slow.sendall(f"GET /v1/records HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {given}\r\n".encode())
            assert api.get("/v1/services", given).status_code == 200
            api.process.send_signal(signal.SIGTERM)
            slow.sendall(b"\r\n")
            assert slow.makefile("rb").readline().startswith(b"HTTP/1.1 200")
        assert api.process.wait(60) == 0
        assert not alive(child)
    assert events(settings) == 1


def test_a_child_that_is_killed_is_started_again_and_answers(tmp_path: Path) -> None:
    settings = settings_with_api(tmp_path, records=False)
    given = token(settings, "patient")
    with Api(settings) as api:
        assert api.get("/v1/records", given).status_code == 200
        first = api.child()
        os.kill(first, signal.SIGKILL)
        api.await_log(r"api_child_started\s+pid=(\d+)", times=2)

        def answers() -> bool:
            try:
                return api.get("/v1/records", given).status_code == 200
            except OSError:
                return False

        await_true("it answers again", answers)
        assert api.child() != first
        assert api.stop() == 0
    assert events(settings) == 1


def test_a_child_ends_when_its_parent_is_killed_and_the_next_start_signs(tmp_path: Path) -> None:
    settings = settings_with_api(tmp_path, records=False)
    given = token(settings, "orphaned")
    with Api(settings) as api:
        assert api.get("/v1/records", given).status_code == 200
        child = api.child()
        api.kill()
        await_true("the child ends", lambda: not alive(child))
    assert events(settings) == 0
    with Api(settings) as again:
        assert again.stop() == 0
    assert events(settings) == 1


def test_the_process_that_answers_has_no_secret_of_the_environment_and_needs_no_key(tmp_path: Path) -> None:
    settings = settings_with_api(tmp_path, records=False)
    given = token(settings, "asker")
    secrets = {"ERP_DSN": "postgresql://canary", "HIDDEN_DSN": "postgresql://canary", "AWS_SECRET_ACCESS_KEY": "canary"}
    with Api(settings, env=secrets) as api:
        environment = Path(f"/proc/{api.child()}/environ").read_bytes()
        assert b"canary" not in environment
        assert b"ERP_DSN" not in environment
        keys = tmp_path / "keys"
        keys.rename(tmp_path / "elsewhere")
        os.kill(api.child(), signal.SIGKILL)  # the one that follows never saw a key
        api.await_log(r"api_child_started", times=2)

        def answers() -> bool:
            try:
                return api.get("/v1/records/0", given).status_code == 200
            except OSError:
                return False

        await_true("it answers without keys", answers)
        (tmp_path / "elsewhere").rename(keys)
        assert api.stop() == 0
    assert events(settings) == 1


def test_no_file_of_the_keys_is_open_in_the_process_that_answers(tmp_path: Path) -> None:
    settings = settings_with_api(tmp_path, records=False)
    given = token(settings, "looker")
    with Api(settings) as api:
        api.get("/v1/records", given)
        links = [str(link.readlink()) for link in Path(f"/proc/{api.child()}/fd").iterdir() if link.is_symlink()]
    assert not [link for link in links if str(tmp_path / "keys") in link]


def test_keys_that_are_not_of_this_environment_stop_it_before_it_listens(tmp_path: Path) -> None:
    settings = settings_with_api(tmp_path, records=False)
    other = tmp_path / "other"
    other.mkdir()
    settings_with_api(other, records=False)
    shutil.copy(other / "keys/log.pem", tmp_path / "keys/log.pem")
    ran = guardian("api", "--config", str(settings.path), timeout_s=60)
    assert ran.code == 2
    assert "is not the log key of this environment" in ran.stderr


def test_an_address_that_is_taken_is_a_mistake_of_configuration(tmp_path: Path) -> None:
    settings = settings_with_api(tmp_path, records=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings.path.write_text(settings.path.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        ran = guardian("api", "--config", str(settings.path), timeout_s=60)
    assert ran.code == 2
    assert "api.listen" in ran.stderr


def certificate(folder: Path, authority: trustme.CA) -> None:
    """Put a new certificate in place, the key first, as a careful operator does."""
    serving = authority.issue_cert("127.0.0.1", "localhost")
    for name, blob in (("tls.key", serving.private_key_pem), ("tls.pem", serving.cert_chain_pems[0])):
        blob.write_to_path(folder / f"{name}.new")
        (folder / f"{name}.new").chmod(0o600)
        (folder / f"{name}.new").rename(folder / name)


def serial(api: Api, trusted: Path) -> int:
    context = ssl.create_default_context(cafile=str(trusted))
    host, port = api.url.removeprefix("https://").split(":")
    with (
        socket.create_connection((host, int(port)), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        found = tls.getpeercert()
    assert found is not None
    return int(str(found["serialNumber"]), 16)


def test_tls_is_served_and_a_renewed_certificate_without_a_restart(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate(tmp_path, authority)
    settings = settings_with_api(tmp_path, ', certificate: tls.pem, key: "file:tls.key"', records=False)
    given = token(settings, "over-tls")
    with Api(settings, verify=str(tmp_path / "ca.pem")) as api:
        assert api.url.startswith("https://")
        answered = api.get("/v1/records", given)
        assert answered.status_code == 200
        assert "max-age" in answered.headers["Strict-Transport-Security"]
        sent = {"Origin": api.url}
        cookie = api.send("POST", "/console/login", headers=sent, data={"token": given}).headers["Set-Cookie"]
        assert cookie.startswith("__Host-guardian=")
        assert "Secure" in cookie
        first, child = serial(api, tmp_path / "ca.pem"), api.child()
        certificate(tmp_path, authority)
        await_true("the new certificate is served", lambda: serial(api, tmp_path / "ca.pem") != first)
        assert api.get("/v1/records", given).status_code == 200
        assert api.child() == child
        assert api.stop() == 0


def test_it_serves_a_log_on_postgresql(tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TEST_DB", postgres_url)
    settings = settings_with_api(tmp_path, database='"env:API_TEST_DB"')
    given = token(settings, "on-postgres")
    with Api(settings) as api:
        assert len(api.get("/v1/records", given).json()["records"]) == 17
        asked = api.send("POST", "/v1/packs", given).json()
        done = await_true("the pack", lambda: _done(api.get(f"/v1/packs/{asked['id']}", given).json()))
        assert done["state"] == "done"
        assert api.stop() == 0
    assert events(settings) == 2  # one was there before
    assert (tmp_path / ".guardian/packs").is_dir()


def _done(pack: dict[str, Any]) -> dict[str, Any] | None:
    return pack if pack["state"] in {"done", "failed"} else None


def test_without_api_in_the_configuration_it_serves_with_what_is_usual(tmp_path: Path) -> None:
    settings = settings_with_api(tmp_path, records=False)
    text = settings.path.read_text(encoding="utf-8")
    settings.path.write_text(text[: text.index("api: {")], encoding="utf-8")
    assert config.load(settings.path).api is None
    # On the usual port, which another process of this machine may hold: either way it is the one that is tried.
    process = subprocess.Popen(
        [sys.executable, "-m", "guardian", "api", "--config", str(settings.path)], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    process.terminate()
    process.wait(60)
    process.stderr.close()
    assert "127.0.0.1:8480" in line
