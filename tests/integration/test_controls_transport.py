"""`postgres.transport` on real servers: with TLS and without, with access rules that are right and that are not."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import psycopg
import pytest
import trustme

from guardian import config
from guardian.model import Verdict
from guardian.policy.evaluate import evaluate
from guardian.policy.standards import Standards
from guardian.usecases.collect import collect
from verifiers.sandbox.options import ServerOptions
from verifiers.sandbox.programs import find_programs
from verifiers.sandbox.server import SandboxServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guardian.model import Finding, Snapshot
    from guardian.policy.bundle import Bundle
    from guardian.policy.wasm import WasmEngine
    from verifiers.sandbox.isolation import Provider

LOCAL = "local all all trust"
LOOPBACK = "host all all 127.0.0.1/32 scram-sha-256"


class Run(Protocol):
    """Start a server that listens on `listen`, with `hba` after the superuser's own rule; `tls`: with a certificate."""

    def __call__(self, major: int, listen: str, *hba: str, tls: bool = False) -> SandboxServer:
        """Return it, running."""
        ...


class Look(Protocol):
    """Collect from a server as `user` and judge it."""

    def __call__(self, server: SandboxServer, user: str = "postgres") -> Finding:
        """Return the finding of `postgres.transport` on the server."""
        ...


@pytest.fixture
def run(sandbox_provider: Provider) -> Iterator[Run]:
    with ExitStack() as stack:

        def started(major: int, listen: str, *hba: str, tls: bool = False) -> SandboxServer:
            folder = Path(tempfile.mkdtemp(prefix="gt-"))
            stack.callback(shutil.rmtree, folder)
            settings = {"fsync": "off", "listen_addresses": listen}
            options = ServerOptions(durable=True, settings=settings, hba=hba)
            programs = find_programs(major, exact=True, prefer_embedded=True)
            server = stack.enter_context(SandboxServer(folder, programs, sandbox_provider, options))
            if tls:
                switch_tls_on(server, sandbox_provider.user)
            return server

        yield started


def switch_tls_on(server: SandboxServer, owner: int | None) -> None:
    certificate = trustme.CA().issue_cert("erp-db.example")
    data = server.folder / "box" / "data"
    for name, pems in (("server.crt", certificate.cert_chain_pems), ("server.key", [certificate.private_key_pem])):
        path = data / name
        path.write_bytes(b"".join(pem.bytes() for pem in pems))
        path.chmod(0o600)
        if owner is not None:
            os.chown(path, owner, owner)
    configure(server, "ssl", "on")


def configure(server: SandboxServer, name: str, value: str) -> None:
    """Set what can be set while the server runs, and wait until a new session sees it."""
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
        connection.execute("SELECT pg_reload_conf()")
    for _ in range(200):
        with psycopg.connect(server.conninfo()) as connection:
            [(found,)] = connection.execute("SELECT current_setting(%s)", [name]).fetchall()
            if found == value:
                return
            connection.execute("SELECT pg_sleep(0.05)")
    raise AssertionError(f"{name} did not become {value}")


@pytest.fixture
def look(policy_bundle: Bundle, wasm_engine: WasmEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Look:
    key = tmp_path / "keys" / "redaction.key"
    key.parent.mkdir()
    key.write_text(secrets.token_hex(32), encoding="utf-8")
    key.chmod(0o600)
    path = tmp_path / "guardian.yaml"
    path.write_text(
        "environment: production\n"
        'collectors: [{name: erp-db, type: postgres, dsn: "env:ERP_DSN"}]\n'
        "services: [{name: erp-plant1, tier: critical, match: [{collector: erp-db}]}]\n",
        encoding="utf-8",
    )
    settings = config.load(path)

    def looked(server: SandboxServer, user: str = "postgres") -> Finding:
        monkeypatch.setenv("ERP_DSN", server.url(user=user))
        snapshot: Snapshot = collect(settings, now=datetime.now(UTC), drills=[])
        standards = Standards.of(policy_bundle.catalogue, settings)
        found = evaluate(snapshot, engine=wasm_engine, catalogue=policy_bundle.catalogue, standards=standards).findings
        [finding] = [f for f in found if (f.control, f.resource) == ("postgres.transport", "pg:erp-db/server")]
        return finding

    return looked


def test_server_with_tls_and_scram_for_everybody_outside_passes(run: Run, look: Look) -> None:
    rules = (LOCAL, LOOPBACK, "hostssl all all 0.0.0.0/0 scram-sha-256", "hostssl all all ::/0 cert",
             "host all all all reject")  # fmt: skip
    found = look(run(17, "*", *rules, tls=True))
    assert (found.verdict, found.mode) == (Verdict.PASS, "deny"), found.message


def test_the_same_server_fails_by_one_rule_that_trusts_everybody_and_passes_without_it(run: Run, look: Look) -> None:
    server = run(17, "*", LOCAL, "hostssl all all 0.0.0.0/0 scram-sha-256", tls=True)
    assert look(server).verdict is Verdict.PASS
    rules = server.folder / "etc" / "pg_hba.conf"
    before = rules.read_text(encoding="utf-8")
    rules.write_text(f"{before}host all all 0.0.0.0/0 trust\n", encoding="utf-8")
    found = look(server)
    assert found.verdict is Verdict.FAIL
    assert found.message == (
        "pg:erp-db/hba/pg_hba.conf:4 admits from 0.0.0.0/0.0.0.0 by trust, without TLS if the client likes (host)"
    )
    rules.write_text(before, encoding="utf-8")
    assert look(server).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("host all all 10.0.0.0/8 scram-sha-256", "without TLS if the client likes (host)"),
        ("hostnossl all all samenet scram-sha-256", "admits from samenet by scram-sha-256"),
        ("hostssl all all 10.0.0.0 255.0.0.0 md5", "admits from 10.0.0.0/255.0.0.0 by md5"),
        ("hostssl erp odoo .example.com password", "admits from .example.com by password"),
        ("hostssl replication all all trust", "admits from all by trust"),
        ("hostssl all all 10.0.0.0/8 scramm", "cannot be parsed"),
    ],
)
def test_each_rule_that_admits_too_easily_fails_and_is_named_by_its_line(
    rule: str, said: str, run: Run, look: Look
) -> None:
    server = run(17, "*", LOCAL, LOOPBACK, tls=True)
    with (server.folder / "etc" / "pg_hba.conf").open("a", encoding="utf-8") as file:
        file.write(f"{rule}\n")
    found = look(server)
    assert found.verdict is Verdict.FAIL
    assert found.message.startswith("pg:erp-db/hba/pg_hba.conf:4 ")
    assert said in found.message


def test_tls_switched_off_fails_on_a_server_that_others_can_reach(run: Run, look: Look) -> None:
    server = run(17, "*", LOCAL, "hostssl all all 0.0.0.0/0 scram-sha-256", tls=True)
    configure(server, "ssl", "off")
    found = look(server)
    assert found.verdict is Verdict.FAIL
    assert found.message == "TLS is off (ssl = off) on a server that others can reach"


def test_tls_older_than_it_may_be_fails_on_a_server_that_others_can_reach(run: Run, look: Look) -> None:
    server = run(17, "*", LOCAL, "hostssl all all 0.0.0.0/0 scram-sha-256", tls=True)
    configure(server, "ssl_min_protocol_version", "TLSv1.1")
    found = look(server)
    assert found.verdict is Verdict.FAIL
    assert found.message == "TLS older than 1.2 is spoken (ssl_min_protocol_version = 'TLSv1.1')"
    configure(server, "ssl_min_protocol_version", "TLSv1.2")
    assert look(server).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("listen", "rules", "verdict"),
    [
        ("127.0.0.1", (LOCAL, LOOPBACK, "host all all 10.0.0.0/8 scram-sha-256"), Verdict.FAIL),
        ("127.0.0.1", (LOCAL, LOOPBACK, "host all all samehost trust"), Verdict.PASS),
        ("127.0.0.1", (LOCAL, LOOPBACK, "hostssl all all 10.0.0.0/8 scram-sha-256"), Verdict.PASS),
        ("127.0.0.1", (LOCAL, LOOPBACK, "hostssl all all 10.0.0.0/8 trust"), Verdict.FAIL),
        ("", (LOCAL, "host all all 10.0.0.0/8 trust"), Verdict.PASS),
    ],
)
def test_server_without_tls_passes_while_nobody_off_the_machine_is_admitted(
    listen: str, rules: Sequence[str], verdict: Verdict, run: Run, look: Look
) -> None:
    found = look(run(18, listen, *rules))
    assert found.verdict is verdict, found.message


def test_rules_that_guardian_may_not_read_are_an_error_until_it_may(run: Run, look: Look) -> None:
    server = run(17, "*", LOCAL, "hostssl all all 0.0.0.0/0 scram-sha-256", tls=True)
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute("CREATE ROLE guardian LOGIN; GRANT pg_monitor TO guardian")
        found = look(server, "guardian")
        assert found.verdict is Verdict.ERROR
        assert "the access rules of the server were not all read" in found.message
        connection.execute("GRANT SELECT ON pg_hba_file_rules TO guardian")
        connection.execute("GRANT EXECUTE ON FUNCTION pg_hba_file_rules() TO guardian")
    assert look(server, "guardian").verdict is Verdict.PASS
