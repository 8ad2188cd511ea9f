"""SQL text as tokens: names out of statements, and definitions compared in a normal form."""

from __future__ import annotations

import pytest

from verifiers.postgres.archive_needs import NeedsCollector
from verifiers.postgres.sqltext import normalise, tokens


@pytest.mark.parametrize(
    ("left", "right"),
    [
        # PostgreSQL 15 qualifies the columns of a view over one table, 16 does not.
        ("SELECT p.id, p.name FROM partner p", " SELECT id,\n    name FROM partner p"),
        # IN over varchar, as first made and after one restore.
        (
            "CHECK (((state)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[])))",
            "CHECK (((state)::text = ANY (ARRAY[('a'::character varying)::text, ('b'::character varying)::text])))",
        ),
        ("coalesce(x::numeric(10,2), 5)", "COALESCE(x, (5))"),
        ("'1 day'::interval day to second(3) + t", "'1 day' + t"),
        ("now()::timestamp(3) without time zone", "now()"),
        ('a::app."Odd Type"[] || b', "a || b"),
        ("SELECT 1 -- why\n", "SELECT 1"),
    ],
)
def test_definitions_that_mean_the_same_have_one_normal_form(left: str, right: str) -> None:
    assert normalise(left) == normalise(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("x > 5", "x > 6"),
        ("x > 5", "x >= 5"),
        ("name = 'A'", "name = 'a'"),
        ('"A" = 1', '"a" = 1'),
        ("a AND b", "a OR b"),
        ("x = 'a.b'", "x = 'b'"),
        ("x = '::text'", "x = ''"),
        ("x = 'a  b'", "x = 'a b'"),
        ("f(a, b)", "f(b, a)"),
        ("x = $q$a$q$", "x = $q$b$q$"),
    ],
)
def test_definitions_that_differ_keep_differing(left: str, right: str) -> None:
    assert normalise(left) != normalise(right)


def test_quoted_text_is_never_read_as_sql() -> None:
    text = """SELECT 'it''s; FROM' || E'\\'x' || "a "";b" || $t$ ' ; $t$ -- ; no"""
    assert ";" not in list(tokens(text))


def roles(desc: str, definition: str, tag: str = "x") -> list[str]:
    needs = NeedsCollector("18.1")
    needs.add(desc, tag, None, None, None, definition)
    return list(needs.result().roles)


@pytest.mark.parametrize(
    ("desc", "definition", "expected"),
    [
        ("ACL", "GRANT SELECT ON TABLE public.t TO bob;\nGRANT ALL ON TABLE public.t TO PUBLIC;", ["bob"]),
        ("ACL", 'GRANT ALL ON TABLE t TO "A ""B"" to c" WITH GRANT OPTION;', ['A "B" to c']),
        ("ACL", "REVOKE ALL ON SCHEMA s FROM postgres;\nGRANT USAGE ON SCHEMA s TO a;", ["a", "postgres"]),
        ("ACL", "SET SESSION AUTHORIZATION zoe;\nGRANT SELECT ON t TO a;\nRESET SESSION AUTHORIZATION;", ["a", "zoe"]),
        ("ACL", "GRANT SELECT(a),UPDATE(b) ON TABLE t TO a GRANTED BY b;", ["a"]),
        ("ACL", "GRANT pg_maintain ON TABLE t TO pg_monitor;", []),
        ("DEFAULT ACL", "ALTER DEFAULT PRIVILEGES FOR ROLE o IN SCHEMA s GRANT SELECT ON TABLES TO r;", ["o", "r"]),
        ("POLICY", "CREATE POLICY p ON public.t FOR SELECT TO a, b USING ((x = 'TO c'));", ["a", "b"]),
        ("POLICY", "CREATE POLICY p ON public.t USING (true);", []),
        ("USER MAPPING", "CREATE USER MAPPING FOR bob SERVER s OPTIONS (password 'FOR ROLE eve');", ["bob"]),
        ("TABLE", "CREATE TABLE t (a text DEFAULT 'GRANT x TO y');", []),
    ],
)
def test_roles_are_read_out_of_statements(desc: str, definition: str, expected: list[str]) -> None:
    assert roles(desc, definition) == expected


def test_grants_on_the_database_are_not_needed_for_a_restore_without_create() -> None:
    assert roles("ACL", "GRANT CONNECT ON DATABASE d TO bob;", tag="DATABASE d") == []


def test_locale_and_encoding_come_from_the_database_entry() -> None:
    needs = NeedsCollector("15.3 (Debian)")
    definition = (
        "CREATE DATABASE erp WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = icu LOCALE = 'en_US.utf8' "
        "ICU_LOCALE = 'de-DE';"
    )
    needs.add("DATABASE", "erp", "owner", None, None, definition)
    result = needs.result()
    assert (result.encoding, result.locale_provider, result.locale, result.icu) == ("UTF8", "icu", "de-DE", True)
    assert result.server_major == 15
    assert result.roles == []


def test_languages_and_collations_beyond_the_built_in_are_needed() -> None:
    needs = NeedsCollector(None)
    body = "CREATE FUNCTION f() RETURNS int\n    LANGUAGE plpython3u\n    AS $$\n    LANGUAGE evil\n$$;"
    needs.add("FUNCTION", "f()", None, None, None, body)
    needs.add("FUNCTION", "g()", None, None, None, "CREATE FUNCTION g()\n    LANGUAGE sql\n AS 'SELECT 1';")
    needs.add("COLLATION", "c", None, None, None, "CREATE COLLATION c (provider = icu, locale = 'und');")
    result = needs.result()
    assert (result.languages, result.icu, result.server_major) == (["plpython3u"], True, None)
