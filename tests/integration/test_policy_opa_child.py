"""A managed OPA child: alone reachable by its parent, started again when it dies, and gone when its parent is."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from guardian.policy import opa_child
from guardian.policy.bundle import archive
from guardian.policy.engine import EngineError, UnansweredError
from guardian.policy.engines import open_engine
from guardian.policy.opa import Address, Connection, OpaEngine
from guardian.policy.opa_certificate import write_certificate
from guardian.policy.opa_child import Child
from guardian.policy.opa_transport import Transport
from guardian.settings import EngineSettings
from tests import policy_support as make

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardian.policy.bundle import Bundle
    from guardian.policy.engine import Judgement

DURABILITY = {"postgres.durability": {"synchronousCommit": True}}


@pytest.fixture
def folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where children put their folders in this test: a short path, for a socket's has 107 bytes."""
    folder = Path("/tmp") / f"g-{tmp_path_factory.mktemp('o').parent.name}-{os.getpid()}"  # noqa: S108 -- 0700, below
    folder.mkdir(mode=0o700)
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    shutil.rmtree(folder)


def processes(folder: Path) -> list[int]:
    """Return the processes, but for this one, that work in `folder` or were told of it."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                told = (entry / "cmdline").read_bytes()
                here = os.fsencode(folder)
                if told and (here in told or os.fsencode((entry / "cwd").readlink()).startswith(here)):
                    found.append(int(entry.name))
    return sorted(found)


def opa_of(folder: Path) -> int:
    """Return the process id of the opa that works in `folder`."""
    [found] = [pid for pid in processes(folder) if b"\0-I\0" not in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return found


def until_none(folder: Path) -> None:
    """Wait until no process and no file of a child is left."""
    due = time.monotonic() + 30
    while processes(folder) or any(folder.iterdir()):
        assert time.monotonic() < due, (processes(folder), list(folder.iterdir()))
        time.sleep(0.02)


def judged(engine: OpaEngine) -> Judgement:
    [judgement] = engine.judge("resource", DURABILITY, {"resource": make.server().to_json()})
    return judgement


def started(opa: Path, bundle: Bundle, **options: Any) -> OpaEngine:
    return OpaEngine(bundle, Child(opa, bundle.opa_bundle(), **options))


def test_child_judges_names_its_version_and_leaves_nothing(opa: Path, policy_bundle: Bundle, folders: Path) -> None:
    engine = open_engine(EngineSettings("opa", command=opa), policy_bundle)
    assert (engine.name, engine.bundle_digest) == ("opa", policy_bundle.digest)
    assert engine.version in subprocess.run([opa, "version"], capture_output=True, text=True, check=True).stdout
    [folder] = folders.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "s").is_socket()
    assert len(processes(folders)) == 2
    engine.close()
    assert processes(folders) == []
    assert list(folders.iterdir()) == []
    engine.close()


def test_loopback_serves_where_the_path_of_a_socket_would_be_too_long(
    opa: Path, policy_bundle: Bundle, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = folders / ("long " * 25)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    engine = started(opa, policy_bundle)
    [folder] = long.iterdir()
    assert not (folder / "s").exists()
    assert (folder / "key.pem").stat().st_mode & 0o777 == 0o600
    assert judged(engine).findings == []
    engine.close()
    assert list(long.iterdir()) == []


def test_whoever_takes_the_childs_port_cannot_pass_for_it(opa: Path, policy_bundle: Bundle, folders: Path) -> None:
    one, other = Child(opa, policy_bundle.opa_bundle(), sockets=False), Child(opa, b"", sockets=False)
    with contextlib.closing(one), contextlib.closing(other):
        address = one.address()
        write_certificate(folders, "127.0.0.1")
        impostor = Address(address.host, address.port, tls=_trusting(folders), token=address.token)
        with (
            contextlib.closing(Connection(address, 10)) as right,
            contextlib.closing(Connection(impostor, 10)) as wrong,
        ):
            assert right.healthy()
            assert not wrong.healthy()


def _trusting(folder: Path) -> Any:
    import ssl

    return ssl.create_default_context(cafile=folder / "certificate.pem")


def request(child: Child, method: str, path: str, *, token: str | None, body: str = "{}") -> requests.Response:
    """Return the answer to a plain request to the child's socket; `path` is sent as it is."""
    address = child.address()
    transport = Transport("localhost", 80, path=address.path, deadline_s=10)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    asked = requests.Request(method, f"http://localhost{path}", data=body, headers=headers).prepare()
    asked.url = f"http://localhost{path}"
    try:
        return transport.send(asked, timeout=10)
    finally:
        transport.close()


REFUSED = [
    ("PUT", "/v1/policies/mine"),
    ("DELETE", "/v1/policies/policies.tar.gz/postgres/durability.rego"),
    ("GET", "/v1/policies"),
    ("PUT", "/v1/data/guardian/bundle/digest"),
    ("PATCH", "/v1/data/guardian"),
    ("GET", "/v1/data/guardian"),
    ("POST", "/v1/data"),
    ("POST", "/v1/data/system/authz"),
    ("POST", "/v1/query"),
    ("POST", "/v1/compile"),
    ("GET", "/v1/config"),
    ("GET", "/v1/status"),
    ("GET", "/metrics"),
    ("POST", "/"),
    ("POST", "/v0/data/guardian"),
]


def test_child_answers_verdicts_and_health_to_who_holds_the_token_and_nothing_else(
    opa: Path, policy_bundle: Bundle
) -> None:
    with contextlib.closing(Child(opa, policy_bundle.opa_bundle())) as child:
        token = child.address().token
        assert request(child, "POST", "/v1/data/guardian/dispatch/resource", token=token).status_code == 200
        assert request(child, "GET", "/health", token=token).status_code == 200
        for wrong in (None, "", "x", f"{token}x"):
            assert request(child, "POST", "/v1/data/guardian/dispatch/resource", token=wrong).status_code == 401
            assert request(child, "GET", "/health", token=wrong).status_code == 401
        for outside in ("/v1/data/guardian%2f..%2fsystem%2fauthz", "/v1/data/guardian/%2e%2e/system/authz"):
            assert b"result" not in request(child, "POST", outside, token=token).content
        with pytest.raises(UnansweredError, match="redirects"):  # to where the token may not go
            request(child, "POST", "/v1/data/guardian/../system/authz", token=token)
        passed = [asked for asked in REFUSED if request(child, *asked, token=token).status_code < 300]
        assert passed == []


def test_token_stands_in_no_command_line_environment_or_file(opa: Path, policy_bundle: Bundle, folders: Path) -> None:
    with contextlib.closing(Child(opa, policy_bundle.opa_bundle())) as child:
        token = str(child.address().token).encode()
        found = processes(folders)
        assert len(found) == 2
        for pid in found:
            for name in ("cmdline", "environ"):
                content = Path(f"/proc/{pid}/{name}").read_bytes()
                assert token not in content
        for path in folders.rglob("*"):
            assert not path.is_file() or token not in path.read_bytes()


def test_environment_of_the_parent_does_not_reach_the_child(
    opa: Path, policy_bundle: Bundle, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPA_LOG_LEVEL", "debug")
    monkeypatch.setenv("GUARDIAN_CANARY", "secret")
    with contextlib.closing(Child(opa, policy_bundle.opa_bundle())) as child:
        child.address()
        for pid in processes(folders):
            assert b"secret" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_proxies_and_netrc_are_not_obeyed(
    opa: Path, policy_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login other password other\nmachine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    for sockets in (True, False):
        with contextlib.closing(started(opa, policy_bundle, sockets=sockets)) as engine:
            assert judged(engine).error is None


def test_killed_child_costs_one_evaluation_at_most_and_the_next_one_is_right(
    opa: Path, policy_bundle: Bundle, folders: Path
) -> None:
    with contextlib.closing(started(opa, policy_bundle)) as engine:
        right = judged(engine)
        assert right.error is None
        killed = opa_of(folders)
        os.kill(killed, signal.SIGKILL)
        first = judged(engine)  # its death may have been seen before, then nothing is lost
        assert first == right or (first.error or "").startswith("the OPA server did not answer")
        assert judged(engine) == right
        assert opa_of(folders) != killed
        assert len(list(folders.iterdir())) == 1


def test_child_that_dies_while_it_evaluates_makes_that_an_error_for_all_that_was_asked(
    opa: Path, policy_bundle: Bundle, folders: Path
) -> None:
    with contextlib.closing(started(opa, policy_bundle)) as engine:
        os.kill(opa_of(folders), signal.SIGSTOP)  # so that the question is sent, and waits
        pid = opa_of(folders)
        with subprocess.Popen(["/bin/sh", "-c", f"sleep 0.5; kill -9 {pid}"]):
            judgements = engine.judge("resource", {**DURABILITY, "service.declared": {}}, {"resource": {}})
        told = {judgement.error for judgement in judgements}
        assert len(judgements) == 2
        assert len(told) == 1
        assert "the opa child died, and is started again for the next" in str(told)
        assert judged(engine).error is None


def test_child_that_keeps_dying_is_left_dead_with_an_error_each_time(
    opa: Path, policy_bundle: Bundle, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opa_child, "STARTS", 2)
    with contextlib.closing(started(opa, policy_bundle)) as engine:
        for _ in range(2):
            os.kill(opa_of(folders), signal.SIGKILL)
            until_none(folders)
            last = judged(engine)
            if "is started again for the next" in str(last.error):  # its death was not seen before
                last = judged(engine)
        assert "the opa child died 2 times in 60 s and is left dead for now" in str(last.error)
        assert judged(engine).error == last.error
        monkeypatch.setattr(opa_child, "PERIOD_S", 0.0)
        assert judged(engine).error is None


HOLDER = """
import sys, time
from pathlib import Path
from guardian.policy import bundle
from guardian.policy.engines import open_engine
from guardian.settings import EngineSettings
engine = open_engine(EngineSettings("opa", command=Path(sys.argv[1])), bundle.load())
print("ready", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_when_the_parent_is_killed(opa: Path, folders: Path, how: signal.Signals) -> None:
    environment = {**os.environ, "TMPDIR": str(folders)}
    with subprocess.Popen([sys.executable, "-c", HOLDER, opa], stdout=subprocess.PIPE, env=environment) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"ready\n"
        assert len(processes(folders)) == 2
        holder.send_signal(how)
        holder.wait(30)
    until_none(folders)


def test_opa_does_not_outlive_its_keeper(opa: Path, policy_bundle: Bundle, folders: Path) -> None:
    with contextlib.closing(started(opa, policy_bundle)) as engine:
        server = opa_of(folders)
        [keeper] = [pid for pid in processes(folders) if pid != server]
        os.kill(keeper, signal.SIGKILL)
        assert judged(engine) is not None
        assert judged(engine).error is None
        assert server not in processes(folders)
        assert len(list(folders.iterdir())) == 1
    until_none(folders)


def test_program_that_does_not_start_is_reported_with_its_last_words(policy_bundle: Bundle, folders: Path) -> None:
    script = folders / "opa"
    script.write_text("#!/bin/sh\necho '[WARNING] noise' >&2\necho 'cannot find my teeth' >&2\nexit 3\n")
    script.chmod(0o700)
    with pytest.raises(EngineError, match="does not start as a server: cannot find my teeth"):
        started(script, policy_bundle)
    assert [path.name for path in folders.iterdir()] == ["opa"]


def test_program_that_never_gets_ready_is_given_up(policy_bundle: Bundle, folders: Path) -> None:
    script = folders / "opa"
    script.write_text("#!/bin/sh\nexec sleep 600\n")
    script.chmod(0o700)
    with pytest.raises(EngineError, match=r"was not ready after 0\.3 s"):
        started(script, policy_bundle, start_s=0.3)
    assert processes(folders) == []


def test_policies_that_do_not_compile_are_reported_in_opas_words(
    opa: Path, policy_bundle: Bundle, folders: Path
) -> None:
    broken = archive({".manifest": b'{"roots":["guardian"]}', "x.rego": b"package guardian.x\n\ny := "})
    with pytest.raises(EngineError, match="rego_parse_error"):
        OpaEngine(policy_bundle, Child(opa, broken))
    assert list(folders.iterdir()) == []


def test_two_engines_have_separate_children(opa: Path, policy_bundle: Bundle, folders: Path) -> None:
    one, other = started(opa, policy_bundle), started(opa, policy_bundle)
    with contextlib.closing(one), contextlib.closing(other):
        assert len(processes(folders)) == 4
        one.close()
        assert judged(other).error is None
