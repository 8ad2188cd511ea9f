from __future__ import annotations

import json
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg
import pytest
from jsonschema import Draft202012Validator

from guardian import config
from guardian.collectors.postgres import Postgres
from guardian.collectors.postgres_session import Server
from guardian.redact import is_redacted
from guardian.settings import PostgresCollector, Secret
from guardian.usecases.collect import collect, read_snapshot
from verifiers.sandbox.options import ServerOptions
from verifiers.sandbox.programs import all_programs
from verifiers.sandbox.server import SandboxServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardian.model import Resource, Snapshot
    from guardian.settings import Settings
    from verifiers.sandbox.isolation import Provider

NOW = datetime(2026, 11, 23, 11, 0, tzinfo=UTC)
CANARY = "CANARY" + secrets.token_hex(8)
KINDS = ("postgres.Server", "postgres.Role", "postgres.HbaRule", "postgres.Database", "postgres.Replica")

ROLES = """
CREATE ROLE mon LOGIN; GRANT pg_monitor TO mon;
CREATE ROLE plain LOGIN VALID UNTIL 'infinity';
CREATE ROLE locked LOGIN PASSWORD '{canary}' VALID UNTIL '2030-01-02 03:04:05+00' CONNECTION LIMIT 3;
CREATE ROLE leaf; CREATE ROLE middle; CREATE ROLE top SUPERUSER;
GRANT middle TO leaf; GRANT top TO middle;
ALTER ROLE locked SET "App.Password" = '{canary}';
CREATE DATABASE closed; REVOKE CONNECT ON DATABASE closed FROM PUBLIC;
CREATE DATABASE erp; ALTER DATABASE erp SET app.mode = 'demo';
ALTER DATABASE closed SET app.api_token = '{canary}';
"""
SECRET_SETTINGS = {
    "primary_conninfo": f"host=standby user={CANARY}",
    "archive_command": f"push --with {CANARY} %p",
    "restore_command": f"fetch {CANARY} %f %p",
    "archive_cleanup_command": f"clean {CANARY}",
    "recovery_end_command": f"end {CANARY}",
}
HBA = (
    "local all locked scram-sha-256",
    f'host all all 10.0.0.0/8 radius radiusservers="10.0.0.1" radiussecrets="{CANARY}"',
    "hostssl erp +plain 192.0.2.0 255.255.255.0 scram-sha-256 clientcert=verify-full",
    "local all all trust",
    "local replication all trust",
)


@pytest.fixture(scope="module", params=sorted({programs.major for programs in all_programs()}))
def server(request: pytest.FixtureRequest, sandbox_provider: Provider) -> Iterator[SandboxServer]:
    """A server of each major version on this machine, with roles, access rules and a secret in every place for one."""
    folder = Path(tempfile.mkdtemp(prefix="gt-"))
    programs = next(found for found in all_programs() if found.major == request.param)
    options = ServerOptions(durable=True, settings={"fsync": "off", "archive_mode": "on", **SECRET_SETTINGS}, hba=HBA)
    try:
        with SandboxServer(folder, programs, sandbox_provider, options) as running:
            with psycopg.connect(running.conninfo(), autocommit=True) as connection:
                for statement in ROLES.format(canary=CANARY).split(";"):
                    connection.execute(statement.encode())
            with (folder / "etc/pg_hba.conf").open("a", encoding="utf-8") as file:
                file.write(f'host all all 10.1.0.0/16 ldap ldapserver=l ldapbinddn=d ldapbindpasswd="{CANARY}"\n')
                file.write(f"host all all 10.2.0.0/16 scram-sha-256 {CANARY}\n")
            yield running
    finally:
        shutil.rmtree(folder)


def url(server: SandboxServer, user: str, password: str = "") -> str:
    host = quote(str(server.socket_folder()), safe="")
    return f"postgresql://{user}{':' if password else ''}{quote(password)}@/postgres?host={host}"


def settings(folder: Path) -> Settings:
    (folder / "keys").mkdir()
    key = folder / "keys/redaction.key"
    key.write_text("0f" * 32, encoding="utf-8")
    key.chmod(0o600)
    (folder / "guardian.yaml").write_text(
        "environment: production\n"
        'collectors: [{name: erp-db, type: postgres, dsn: "env:ERP_DSN"}]\n'
        "services: [{name: erp-plant1, tier: critical, match: [{collector: erp-db}]}]\n",
        encoding="utf-8",
    )
    return config.load(folder / "guardian.yaml")


def look(monkeypatch: pytest.MonkeyPatch, folder: Path, dsn: str) -> Snapshot:
    monkeypatch.setenv("ERP_DSN", dsn)
    snapshot = collect(settings(folder), now=NOW, drills=[])
    schemas = files("guardian.schemas")
    header, *resources = (json.loads(line) for line in snapshot.data.splitlines())
    Draft202012Validator(json.loads(schemas.joinpath("snapshot.schema.json").read_text())).validate(header)
    validator = Draft202012Validator(json.loads(schemas.joinpath("resource.schema.json").read_text()))
    for resource in resources:
        validator.validate(resource)
    assert read_snapshot(snapshot.data).digest == snapshot.digest
    return snapshot


def by_id(snapshot: Snapshot) -> dict[str, Resource]:
    return {resource.id: resource for resource in snapshot.resources}


def status(snapshot: Snapshot) -> str:
    return next(status.status for status in snapshot.collectors if status.type == "postgres")


def facts(found: dict[str, Resource], identity: str, *names: str) -> tuple[Any, ...]:
    return tuple(found[identity].attributes[name] for name in names)


def test_superuser_sees_the_whole_server(
    server: SandboxServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    snapshot = look(monkeypatch, tmp_path, url(server, "postgres"))
    found = by_id(snapshot)
    assert status(snapshot) == "complete"
    assert {resource.service for resource in snapshot.resources} == {"erp-plant1"}
    one = found["pg:erp-db/server"].attributes
    assert one["version"] == server.programs.version
    assert one["versionNumber"] // 10_000 == server.programs.major
    assert int(one["systemIdentifier"]) > 2**53
    assert (one["settings"]["fsync"], one["settings"]["data_checksums"], one["inRecovery"]) == ("off", "on", False)
    assert (one["archiver"]["lastArchivedAt"], one["archiver"]["lastArchivedAgeSeconds"]) == (None, None)
    assert {"database": "erp", "role": None, "settings": {"app.mode": "demo"}} in one["overrides"]
    assert {"database": "erp", "name": "plpgsql", "version": "1.0"} in one["extensions"]
    assert "amcheck" in one["availableExtensions"]
    database = found["pg:erp-db/database/erp"].attributes
    assert database["extensions"] == [{"name": "plpgsql", "version": "1.0"}]
    assert database["sizeBytes"] > 1_000_000
    assert (database["owner"], database["encoding"], database["checksumFailures"]) == ("postgres", "UTF8", 0)
    assert facts(found, "pg:erp-db/database/template0", "allowConnections", "extensions") == (False, None)


def test_what_the_session_sets_for_itself_is_not_taken_for_the_server_s(
    server: SandboxServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = by_id(look(monkeypatch, tmp_path, url(server, "postgres")))["pg:erp-db/server"].attributes["settings"]
    assert (seen["statement_timeout"], seen["search_path"], seen["lock_timeout"]) == ("0", '"$user", public', "0")


def test_roles_are_told_with_whom_they_can_become(
    server: SandboxServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = by_id(look(monkeypatch, tmp_path, url(server, "postgres")))
    assert facts(found, "pg:erp-db/role/leaf", "memberOf", "canBecome") == (["middle"], ["middle", "top"])
    assert facts(found, "pg:erp-db/role/top", "superuser", "canLogin", "canBecome") == (True, False, [])
    assert facts(found, "pg:erp-db/role/locked", "passwordType", "validUntil", "connectionLimit") == (
        "scram-sha-256",
        "2030-01-02T03:04:05Z",
        3,
    )
    assert facts(found, "pg:erp-db/role/plain", "passwordType", "validUntil", "predefined") == (
        "none",
        "infinity",
        False,
    )
    assert facts(found, "pg:erp-db/role/pg_monitor", "predefined") == (True,)


def test_membership_without_set_option_is_no_way_to_become_since_16(
    server: SandboxServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if server.programs.major < 16:
        pytest.skip("memberships have options since 16")
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute("CREATE ROLE heir; GRANT middle TO heir WITH INHERIT TRUE, SET FALSE")
        connection.execute("CREATE ROLE chain; GRANT heir TO chain WITH SET TRUE")
    found = by_id(look(monkeypatch, tmp_path, url(server, "postgres")))
    assert facts(found, "pg:erp-db/role/heir", "memberOf", "canBecome") == (["middle"], [])
    assert facts(found, "pg:erp-db/role/chain", "memberOf", "canBecome") == (["heir"], ["heir"])
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute("SET SESSION AUTHORIZATION chain; SET ROLE heir")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SET ROLE middle")
        connection.execute("RESET SESSION AUTHORIZATION; DROP ROLE chain, heir")


def test_hba_rules_are_told_line_by_line(
    server: SandboxServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = by_id(look(monkeypatch, tmp_path, url(server, "postgres")))
    assert facts(found, "pg:erp-db/hba/pg_hba.conf:2", "type", "users", "method", "options") == (
        "local",
        ["locked"],
        "scram-sha-256",
        [],
    )
    rule = found["pg:erp-db/hba/pg_hba.conf:4"].attributes
    assert (rule["databases"], rule["users"], rule["address"]) == (["erp"], ["+plain"], "192.0.2.0")
    assert (rule["netmask"], rule["options"], rule["line"]) == ("255.255.255.0", ["clientcert=verify-full"], 4)
    radius = found["pg:erp-db/hba/pg_hba.conf:3"]
    assert [is_redacted(option) for option in radius.attributes["options"]].count(True) == 1
    broken = found["pg:erp-db/hba/pg_hba.conf:8"].attributes
    assert (broken["databases"], broken["method"]) == ([], None)
    assert broken["error"] == "authentication option not in name=value ..."


def test_monitoring_role_sees_all_but_hashes_and_access_rules(
    server: SandboxServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    snapshot = look(monkeypatch, tmp_path, url(server, "mon"))
    found = by_id(snapshot)
    assert status(snapshot) == "partial"
    assert facts(found, "pg:erp-db/role/locked", "passwordType") == (None,)
    assert "permission denied" in found["error:postgres/erp-db/postgres.HbaRule"].attributes["detail"]
    database = found["error:postgres/erp-db/postgres.Database"].attributes
    assert database["reason"] == "denied"
    assert 'permission denied for database "closed"' in database["detail"]
    assert facts(found, "pg:erp-db/database/closed", "extensions", "allowConnections") == (None, True)
    assert facts(found, "pg:erp-db/database/closed", "sizeBytes")[0] > 0
    assert facts(found, "pg:erp-db/database/erp", "extensions") == ([{"name": "plpgsql", "version": "1.0"}],)
    assert is_redacted(found["pg:erp-db/server"].attributes["settings"]["archive_command"])


def test_role_without_pg_monitor_sees_less_and_that_shows(
    server: SandboxServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = by_id(look(monkeypatch, tmp_path, url(server, "plain")))
    seen = found["pg:erp-db/server"].attributes["settings"]
    assert not {"primary_conninfo", "hba_file", "data_directory"} & seen.keys()
    assert seen["full_page_writes"] == "on"
    assert facts(found, "pg:erp-db/database/closed", "sizeBytes") == (None,)


def test_streaming_receiver_shows_as_a_replica_only_to_who_may_see_it(
    server: SandboxServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = server.programs.program("pg_receivewal")
    into = tmp_path / "wal"
    into.mkdir()
    host = str(server.socket_folder())
    argv = [str(program), "--host", host, "--username", "postgres", "--directory", str(into), "--no-loop"]
    for name in ("admin", "mon", "plain"):
        (tmp_path / name).mkdir()
    with psycopg.connect(server.conninfo(), autocommit=True) as connection, subprocess.Popen(argv) as receiver:
        try:
            deadline = time.monotonic() + 60
            asked = "SELECT FROM pg_stat_replication WHERE state = 'streaming'"
            while connection.execute(asked).fetchone() is None:
                assert receiver.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            for name, user in (("admin", "postgres"), ("mon", "mon")):
                found = by_id(look(monkeypatch, tmp_path / name, url(server, user)))
                assert facts(found, "pg:erp-db/replica/pg_receivewal", "state", "syncState") == ("streaming", "async")
            found = by_id(look(monkeypatch, tmp_path / "plain", url(server, "plain")))
            assert "pg_read_all_stats" in found["error:postgres/erp-db/postgres.Replica"].attributes["detail"]
        finally:
            receiver.terminate()


def test_no_planted_secret_reaches_snapshot_or_logs(
    server: SandboxServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level("DEBUG")
    for number, user in enumerate(("postgres", "mon", "plain", "locked")):
        (tmp_path / str(number)).mkdir()
        snapshot = look(monkeypatch, tmp_path / str(number), url(server, user, CANARY))
        assert CANARY.encode() not in snapshot.data
        assert CANARY not in str(snapshot.resources)
    seen = by_id(look(monkeypatch, tmp_path, url(server, "postgres")))
    one = seen["pg:erp-db/server"]
    assert all(is_redacted(one.attributes["settings"][name]) for name in SECRET_SETTINGS)
    overrides = {entry["role"] or entry["database"]: entry["settings"] for entry in one.attributes["overrides"]}
    assert [value["class"] for value in overrides["locked"].values()] == ["credential"]
    assert is_redacted(overrides["closed"]["app.api_token"])
    assert "/settings/archive_command" in one.redacted
    shown = capfd.readouterr()
    assert CANARY not in caplog.text + shown.out + shown.err


def test_kept_path_is_the_one_way_to_see_a_sensitive_setting(
    server: SandboxServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ERP_DSN", url(server, "postgres"))
    settings(tmp_path)
    with (tmp_path / "guardian.yaml").open("a", encoding="utf-8") as file:
        file.write("redact: {keep: [/settings/archive_command]}\n")
    snapshot = collect(config.load(tmp_path / "guardian.yaml"), now=NOW, drills=[])
    one = by_id(snapshot)["pg:erp-db/server"]
    assert one.attributes["settings"]["archive_command"] == SECRET_SETTINGS["archive_command"]
    assert is_redacted(one.attributes["settings"]["restore_command"])


def test_functions_planted_in_public_are_never_called(
    server: SandboxServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute("ALTER DATABASE postgres SET search_path = public, pg_catalog")
    try:
        with psycopg.connect(server.conninfo(), autocommit=True) as connection:
            connection.execute(
                "CREATE FUNCTION public.set_config(text, text, boolean) RETURNS text LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION 'planted'; END $$; "
                "CREATE VIEW public.pg_roles AS SELECT 1 / 0 AS oid; "
                "CREATE VIEW public.pg_extension AS SELECT 1 / 0 AS x"
            )
        assert status(look(monkeypatch, tmp_path, url(server, "postgres"))) == "complete"
    finally:
        with psycopg.connect(server.conninfo(), autocommit=True) as connection:
            connection.execute("ALTER DATABASE postgres RESET search_path")
            connection.execute("DROP FUNCTION public.set_config; DROP VIEW public.pg_roles, public.pg_extension")


def test_collecting_changes_nothing(server: SandboxServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        asked = "SELECT pg_current_xact_id_if_assigned(), txid_snapshot_xmax(txid_current_snapshot())"
        before = connection.execute(asked).fetchone()
        look(monkeypatch, tmp_path, url(server, "postgres"))
        assert connection.execute(asked).fetchone() == before


def test_session_cannot_write(server: SandboxServer) -> None:
    with (
        Server(url(server, "postgres")).session() as connection,
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
    ):
        connection.execute("CREATE TABLE public.planted (x int)")


def test_wrong_password_is_told_without_it(
    server: SandboxServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    snapshot = look(monkeypatch, tmp_path, url(server, "locked", f"wrong-{CANARY}"))
    errors = [resource for resource in snapshot.resources if resource.kind == "guardian.CollectionError"]
    assert status(snapshot) == "failed"
    assert {error.attributes["kind"] for error in errors} == set(KINDS)
    assert {error.attributes["reason"] for error in errors} == {"denied"}
    assert "password authentication failed" in errors[0].attributes["detail"]
    assert CANARY.encode() not in snapshot.data
    assert CANARY not in caplog.text


def detail_of(monkeypatch: pytest.MonkeyPatch, dsn: str) -> tuple[str, str]:
    monkeypatch.setenv("ERP_DSN", dsn)
    found = list(Postgres(PostgresCollector("erp-db", Secret("env:ERP_DSN"))).collect(NOW))
    assert [item.kind for item in found] == list(KINDS)
    return getattr(found[0], "reason", ""), getattr(found[0], "detail", "")


def test_source_that_is_down_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    reason, detail = detail_of(monkeypatch, f"postgresql://u:{CANARY}@127.0.0.1:{port}/db")
    assert reason == "unreachable"
    assert f"port {port}" in detail
    assert CANARY not in detail


def test_missing_dsn_is_told_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ERP_DSN", raising=False)
    (found, *_) = Postgres(PostgresCollector("erp-db", Secret("env:ERP_DSN", "guardian.yaml:2: "))).collect(NOW)
    assert "guardian.yaml:2: the environment variable ERP_DSN is not set" in getattr(found, "detail", "")


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql://u:{CANARY}@{CANARY}@127.0.0.1:1/db",
        f"postgresql://u:x@{CANARY}@127.0.0.1:1/db",
        f"postgresql://u:x/{CANARY}@127.0.0.1:1/db",
        f"postgresql://u:{CANARY}/y@127.0.0.1:1/db",
        f"postgresql://u:{CANARY}?y@127.0.0.1:1/db",
        f"host=127.0.0.1 port=1 password=a {CANARY}",
        f"host=127.0.0.1 port=1 password='{CANARY}",
        f"postgresql://u:p@127.0.0.1:1/db?{CANARY}=1",
        f"postgresql://u:%zz{CANARY}@127.0.0.1:1/db",
        f"{CANARY}",
        f"host=127.0.0.1 port=1 sslmode={CANARY}",
        f"host=127.0.0.1 port=1 password={CANARY}",
        f"host=127.0.0.1 port=1 sslpassword={CANARY} password=x",
        f"host=127.0.0.1 port=1 password={CANARY}\x00",
    ],
    ids=lambda dsn: dsn.replace(CANARY, "SECRET"),
)
def test_connection_string_with_a_mistake_is_never_repeated(monkeypatch: pytest.MonkeyPatch, dsn: str) -> None:
    if "\x00" in dsn:
        monkeypatch.setattr("os.environ", {"ERP_DSN": dsn})
        found = list(Postgres(PostgresCollector("erp-db", Secret("env:ERP_DSN"))).collect(NOW))
        assert CANARY not in str(found)
        return
    reason, detail = detail_of(monkeypatch, dsn)
    assert reason == "unreachable"
    assert CANARY not in detail
    assert detail
