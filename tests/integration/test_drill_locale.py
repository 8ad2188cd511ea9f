"""A backup whose locale this machine lacks: a difference that the locale can explain is no finding about the backup."""

from __future__ import annotations

import secrets
import subprocess
from typing import TYPE_CHECKING

import psycopg
import pytest

from guardian.drills.restoring import _make_database
from tests.drill_support import Estate, by_id, verdicts
from verifiers.postgres.archive import read_archive
from verifiers.result import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from verifiers.sandbox.isolation import Provider
    from verifiers.sandbox.server import SandboxServer

_GENERATED = """
    CREATE TABLE named (id integer, name text, loud text GENERATED ALWAYS AS (upper(name)) STORED);
    INSERT INTO named SELECT i, '\u00e9lan ' || i FROM generate_series(1, 300) i;
"""
_LETTERS = """
    CREATE TABLE lettered (id integer PRIMARY KEY, name text CHECK (name ~ '^[[:alpha:]]+$'));
    INSERT INTO lettered VALUES (1, '\u00e9lan');
"""
# In the locale C, which knows no letter beyond ASCII; any other one sees it another way.
_NO_LETTER = """
    CREATE TABLE lettered (id integer PRIMARY KEY, name text CHECK (upper(name) = '\u00e9LAN'));
    INSERT INTO lettered VALUES (1, '\u00e9lan');
    CREATE TABLE pointing (id integer REFERENCES lettered);
    INSERT INTO pointing VALUES (1);
"""


def lacking(locale: str) -> Callable[[Path], object]:
    """Return what lets a dump say that its database has a locale, as long in letters, that no machine has."""

    def change(dump: Path) -> None:
        data = dump.read_bytes()
        assert data.count(f"LOCALE = '{locale}'".encode()) == 1
        dump.write_bytes(data.replace(f"LOCALE = '{locale}'".encode(), f"LOCALE = '{'Q' * len(locale)}'".encode()))

    return change


@pytest.fixture
def estate_in(
    postgres_server: SandboxServer, sandbox_provider: Provider, tmp_path: Path
) -> Iterator[Callable[[str], Estate]]:
    """Make an estate whose live database has the given locale."""
    name = "locale_" + secrets.token_hex(4)

    def make(locale: str) -> Estate:
        with psycopg.connect(postgres_server.conninfo(), autocommit=True) as connection:
            connection.execute(
                f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE '{locale}' LOCALE_PROVIDER libc"
            )
        return Estate(postgres_server, name, tmp_path, sandbox_provider.name, type="postgres")

    yield make
    with psycopg.connect(postgres_server.conninfo(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name}")


@pytest.mark.parametrize("extra", [_GENERATED, _LETTERS])
def test_letters_of_all_languages_are_known_without_the_locale(estate_in: Callable[[str], Estate], extra: str) -> None:
    estate = estate_in("C.utf8")
    estate.fill(extra)
    estate.back_up(change=lacking("C.utf8"))
    drill = estate.drill()
    assert verdicts(drill, "fail") | verdicts(drill, "error") == set(), [c.message for c in drill.result.checks]
    observed = by_id(drill)["restore.messages"].observed
    assert observed["locale"] == "C.utf8 instead of QQQQQQ, which the sandbox lacks"


def test_generated_values_that_the_missing_locale_explains_are_an_error_and_never_a_fail(
    estate_in: Callable[[str], Estate],
) -> None:
    estate = estate_in("C")
    estate.fill(_GENERATED)
    estate.back_up(change=lacking("C"))
    drill = estate.drill()
    assert (drill.result.verdict, verdicts(drill, "fail")) == (Verdict.ERROR, set())
    assert verdicts(drill, "error") == {"content.hashes"}
    assert "lacks the locale Q of the source" in by_id(drill)["content.hashes"].message
    assert "locale-gen" in by_id(drill)["content.hashes"].message


def test_rows_refused_for_the_missing_locale_are_an_error_and_never_a_fail(
    estate_in: Callable[[str], Estate],
) -> None:
    estate = estate_in("C")
    estate.fill(_NO_LETTER)
    estate.back_up(change=lacking("C"))
    drill = estate.drill()
    assert (drill.result.verdict, verdicts(drill, "fail")) == (Verdict.ERROR, set()), [
        (c.id, c.message, c.observed) for c in drill.result.checks if c.verdict is Verdict.FAIL
    ]
    assert {"restore.messages", "content.rows"} <= verdicts(drill, "error")


def test_changed_digit_that_no_locale_explains_stays_a_fail(estate_in: Callable[[str], Estate]) -> None:
    def change(dump: Path) -> None:
        lacking("C")(dump)
        data = dump.read_bytes()
        assert data.count(b"\t2562.50\t") == 1
        dump.write_bytes(data.replace(b"\t2562.50\t", b"\t2562.51\t"))

    estate = estate_in("C")
    estate.fill(_GENERATED)
    estate.back_up("--compress=0", change=change)
    drill = estate.drill()
    assert verdicts(drill, "fail") == {"content.hashes"}
    assert "sale_order" in by_id(drill)["content.hashes"].message


@pytest.mark.parametrize(
    ("options", "restored_as"),
    [
        ("LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'", ("b", "C", "C", "C.UTF-8")),
        ("LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C.utf8'", ("c", "C", "C.utf8", None)),
        ("LOCALE_PROVIDER libc LOCALE 'C'", ("c", "C", "C", None)),
    ],
)
def test_database_is_made_with_provider_collation_and_letters_of_the_source(
    postgres_server: SandboxServer, tmp_path: Path, options: str, restored_as: tuple[str | None, ...]
) -> None:
    source, copy = (f"locale_{secrets.token_hex(4)}" for _ in range(2))
    with psycopg.connect(postgres_server.conninfo(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {source} TEMPLATE template0 ENCODING 'UTF8' {options}")
        try:
            dump = tmp_path / "one.dump"
            program = str(postgres_server.programs.program("pg_dump"))
            subprocess.run([program, "-Fc", "-f", str(dump), "-d", postgres_server.url(source)], check=True)
            said = _make_database(connection, copy, read_archive(dump).needs)
            assert said.endswith("as at the source")
            made = connection.execute(
                "SELECT datlocprovider::text, datcollate, datctype, datlocale FROM pg_database WHERE datname = %s",
                (copy,),
            ).fetchone()
            assert made == restored_as
        finally:
            for name in (source, copy):
                connection.execute(f"DROP DATABASE IF EXISTS {name}")
