"""The demo's estate on a real server: its shape, its determinism, its copies, its writer."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import psycopg
import pytest

from guardian.usecases import demo_estate as estate
from guardian.usecases.demo_writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from verifiers.sandbox.server import SandboxServer

_NAMES = ("estate_one", "estate_two")
_SMALL = 0.05


@pytest.fixture
def server(postgres_server: SandboxServer) -> Iterator[SandboxServer]:
    yield postgres_server
    with psycopg.connect(postgres_server.conninfo(), autocommit=True) as admin:
        for name in _NAMES:
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        for role in (estate.OWNER, estate.OLD_ADMIN):
            admin.execute(f"DROP ROLE IF EXISTS {role}")


def _content(conninfo: str) -> dict[str, object]:
    """Every row of every table of the schema, as one digest a table."""
    with psycopg.connect(conninfo) as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        return {
            table: connection.execute(
                f"SELECT count(*), md5(string_agg(t::text, E'\\n' ORDER BY t::text)) FROM {table} t"
            ).fetchone()
            for (table,) in tables
        }


def _files(filestore: Path) -> dict[str, bytes]:
    return {str(p.relative_to(filestore)): p.read_bytes() for p in filestore.rglob("*") if p.is_file()}


def _stored(conninfo: str) -> set[tuple[str, str, int]]:
    with psycopg.connect(conninfo) as connection:
        rows = connection.execute("SELECT store_fname, checksum, file_size FROM ir_attachment WHERE store_fname <> ''")
        return set(rows.fetchall())


def test_full_estate_has_tens_of_thousands_of_rows_owned_by_odoo(server: SandboxServer, tmp_path: Path) -> None:
    [made] = estate.build(server.conninfo(), [_NAMES[0]], tmp_path)
    assert 50_000 < made.rows < 150_000
    assert 300 < made.files < 500
    with psycopg.connect(server.conninfo(_NAMES[0])) as connection:
        owners = connection.execute(
            "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        ).fetchall()
        assert owners == [(estate.OWNER,)]
        unproved = connection.execute("SELECT count(*) FROM pg_constraint WHERE NOT convalidated").fetchone()
        assert unproved == (0,)
        empty = connection.execute("SELECT relname FROM pg_stat_user_tables WHERE n_live_tup = 0").fetchall()
        assert empty == []


def test_rows_and_files_match_one_to_one_and_some_attachments_have_no_file(
    server: SandboxServer, tmp_path: Path
) -> None:
    estate.build(server.conninfo(), [_NAMES[0]], tmp_path, scale=_SMALL)
    files = _files(tmp_path / _NAMES[0])
    rows = _stored(server.conninfo(_NAMES[0]))
    assert rows == {
        (name, hashlib.sha1(content, usedforsecurity=False).hexdigest(), len(content))
        for name, content in files.items()
    }
    with psycopg.connect(server.conninfo(_NAMES[0])) as connection:
        kinds = connection.execute(
            "SELECT count(*) FILTER (WHERE type = 'url'), count(db_datas) FROM ir_attachment"
        ).fetchone()
    assert kinds is not None
    assert min(kinds) > 0


def test_same_seed_makes_the_same_rows_and_files_and_another_seed_does_not(
    server: SandboxServer, tmp_path: Path
) -> None:
    for name, seed in zip(_NAMES, (5, 5), strict=True):
        estate.load(server.conninfo(), name, tmp_path / name, seed=seed, scale=_SMALL)
    one, two = (_content(server.conninfo(name)) for name in _NAMES)
    differing = {table for table in one if one[table] != two[table]}
    assert differing == {"ir_config_parameter"}  # the uuid is each database's own
    assert _files(tmp_path / _NAMES[0]) == _files(tmp_path / _NAMES[1])
    with psycopg.connect(server.conninfo(), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {_NAMES[1]}")
    estate.load(server.conninfo(), _NAMES[1], tmp_path / "other", seed=6, scale=_SMALL)
    assert _content(server.conninfo(_NAMES[1]))["sale_order"] != one["sale_order"]


def test_copies_hold_the_same_rows_under_a_uuid_of_their_own(server: SandboxServer, tmp_path: Path) -> None:
    made = estate.build(server.conninfo(), _NAMES, tmp_path, scale=_SMALL)
    assert [one.database for one in made] == list(_NAMES)
    assert made[0].uuid != made[1].uuid
    assert made[0].rows == made[1].rows
    assert _files(tmp_path / _NAMES[0]) == _files(tmp_path / _NAMES[1])
    one, two = (_content(server.conninfo(name)) for name in _NAMES)
    assert {table for table in one if one[table] != two[table]} == {"ir_config_parameter"}


def test_old_admin_is_a_login_superuser_whose_password_the_server_never_saw_in_clear(server: SandboxServer) -> None:
    estate.plant_old_admin(server.conninfo(), password="correct horse")
    with psycopg.connect(server.conninfo()) as admin:
        row = admin.execute(
            "SELECT rolsuper, rolcanlogin, rolpassword FROM pg_authid WHERE rolname = %s", (estate.OLD_ADMIN,)
        ).fetchone()
    assert row is not None
    assert row[:2] == (True, True)
    assert row[2].startswith("SCRAM-SHA-256$")


def test_writer_keeps_rows_and_files_in_step_and_never_removes_a_file(server: SandboxServer, tmp_path: Path) -> None:
    estate.build(server.conninfo(), [_NAMES[0]], tmp_path, scale=_SMALL)
    filestore = tmp_path / _NAMES[0]
    before = set(_files(filestore))
    with Writer(server.conninfo(_NAMES[0]), filestore, pause_s=0) as writer:
        assert writer.wait_for_first(60)
        while len(writer.by_kind) < 5 or writer.transactions < 60:
            assert not writer.failed
    names = {name for name, _, _ in _stored(server.conninfo(_NAMES[0]))}
    after = set(_files(filestore))
    assert before < after
    assert names < after  # removed rows left their files behind, as Odoo does until it collects garbage
    assert writer.transactions == sum(writer.by_kind.values())


def test_writer_that_fails_says_so_when_it_is_left(server: SandboxServer, tmp_path: Path) -> None:
    writer = Writer(server.conninfo(), tmp_path)
    writer.__enter__()
    while not writer.failed:
        pass
    with pytest.raises(RuntimeError, match="writer failed") as raised:
        writer.__exit__(None, None, None)
    assert isinstance(raised.value.__cause__, psycopg.Error)
