"""What pg_restore and psql say: every line accounted for, nothing unknown let through, no value kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifiers.postgres.restore import Kind, Message, classify, messages_check
from verifiers.result import Verdict

CANARY = "Mrs Canary 4711"
# As pg_restore 18 wrote it, with --verbose; the statement holds a line that looks like an error of psql.
FOREIGN_KEY = f"""\
pg_restore: creating FK CONSTRAINT "public.sale_order sale_order_partner_id_fkey"
pg_restore: while PROCESSING TOC:
pg_restore: from TOC entry 3386; 2606 16402 FK CONSTRAINT sale_order sale_order_partner_id_fkey odoo
pg_restore: error: could not execute query: ERROR:  insert or update on table "sale_order" violates foreign key \
constraint "sale_order_partner_id_fkey"
DETAIL:  Key (partner)=({CANARY}) is not present in table "res_partner".
Command was: ALTER TABLE ONLY public.sale_order
    ADD CONSTRAINT sale_order_partner_id_fkey FOREIGN KEY (partner_id) REFERENCES public.res_partner(id);
ERROR:  {CANARY}

pg_restore: warning: errors ignored on restore: 1
"""
COPY = f"""\
pg_restore: error: COPY failed for table "res_partner": ERROR:  invalid input syntax for type integer: "{CANARY}"
CONTEXT:  COPY res_partner, line 7, column id: "{CANARY}"
pg_restore: warning: errors ignored on restore: 1
"""


def kinds(text: str) -> list[Kind]:
    return [message.kind for message in classify(text.splitlines())]


def only_error(text: str) -> Message:
    [message] = [message for message in classify(text.splitlines()) if message.kind is not Kind.HARMLESS]
    return message


def test_foreign_key_violation_is_known_and_names_the_constraint() -> None:
    message = only_error(FOREIGN_KEY)
    assert (message.kind, message.sqlstate) == (Kind.KNOWN, "23503")
    assert message.object == "FK CONSTRAINT sale_order sale_order_partner_id_fkey"
    assert "sale_order_partner_id_fkey" in message.template


@pytest.mark.parametrize("text", [FOREIGN_KEY, COPY])
def test_every_line_is_accounted_for(text: str) -> None:
    assert sum(message.lines for message in classify(text.splitlines())) == len(text.splitlines())


@pytest.mark.parametrize(
    "text",
    [
        FOREIGN_KEY,
        COPY,
        f"pg_restore: error: could not execute query: ERROR:  {CANARY} is wrong",
        f"pg_restore: error: could not execute query: ERROR:  value '{CANARY}' is out of stock",
        f"pg_restore: error: {CANARY}",
        f"pg_restore: warning: {CANARY}",
        f"pg_restore: {CANARY}",
        f"{CANARY}",
        f"WARNING:  {CANARY}\nNOTICE:  {CANARY}\nHINT:  {CANARY}",
        f'psql:dump.sql:12: ERROR:  syntax error at or near "{CANARY}"\nLINE 1: {CANARY}',
        f'pg_restore: error: could not execute query: ERROR:  invalid input value for enum mood: "{CANARY}"',
        f'pg_restore: error: could not execute query: ERROR:  value "{CANARY}" is out of range for type integer',
        f"pg_restore: creating {CANARY}",
    ],
)
def test_no_value_of_a_row_is_kept(text: str) -> None:
    messages = classify(text.splitlines())
    kept = repr(messages) + repr(messages_check(1, messages))
    for word in CANARY.split():
        assert word not in kept


@pytest.mark.parametrize(
    ("line", "kind", "sqlstate", "sandbox"),
    [
        ('ERROR:  role "old" does not exist', Kind.KNOWN, "42704", False),
        ('ERROR:  extension "postgis" is not available', Kind.KNOWN, "0A000", True),
        ('ERROR:  unrecognized configuration parameter "transaction_timeout"', Kind.KNOWN, "42704", True),
        ("ERROR:  function immutable_unaccent(text) does not exist", Kind.KNOWN, "42883", False),
        ('ERROR:  could not extend file "base/1/2": No space left on device', Kind.FATAL, "53100", True),
        ("FATAL:  terminating connection due to administrator command", Kind.FATAL, "57P01", True),
        ("FATAL:  something that nobody has seen", Kind.FATAL, None, False),
        ("ERROR:  something that nobody has seen", Kind.UNKNOWN, None, False),
        ("ERROR:  XX001: something that nobody has seen", Kind.UNKNOWN, "XX001", False),
        ('ERROR:  42P01: relation "x" does not exist', Kind.KNOWN, "42P01", False),
        ("NOTICE:  nothing to see", Kind.HARMLESS, None, False),
        ("WARNING:  never heard of", Kind.UNKNOWN, None, False),
    ],
)
def test_messages_of_the_server_are_told_apart(line: str, kind: Kind, sqlstate: str | None, sandbox: bool) -> None:
    for text in (f"pg_restore: error: could not execute query: {line}", f"psql:x.sql:3: {line}", line):
        [message] = classify([text])
        assert (message.kind, message.sqlstate, message.sandbox) == (kind, sqlstate, sandbox), text


@pytest.mark.parametrize(
    ("line", "kind", "sandbox"),
    [
        ("pg_restore: error: could not read from input file: end of file", Kind.FATAL, False),
        ("pg_restore: error: could not uncompress data: incorrect data check", Kind.FATAL, False),
        ("pg_restore: error: unsupported version (1.17) in file header", Kind.FATAL, True),
        ('pg_restore: error: connection to server on socket "/x/.s" failed: FATAL: no', Kind.FATAL, True),
        ("pg_restore: error: could not execute query: server closed the connection unexpectedly", Kind.FATAL, True),
        ("pg_restore: [archiver] could not read from input file: end of file", Kind.FATAL, False),
        ("pg_restore: error: a thing nobody has seen", Kind.UNKNOWN, False),
    ],
)
def test_messages_of_the_program_are_told_apart(line: str, kind: Kind, sandbox: bool) -> None:
    [message] = classify([line])
    assert (message.kind, message.sandbox) == (kind, sandbox)


def test_line_that_follows_nothing_is_unknown() -> None:
    assert kinds("Segmentation fault (core dumped)") == [Kind.UNKNOWN]
    assert kinds('pg_restore: creating TABLE "public.t"\nSegmentation fault') == [Kind.HARMLESS, Kind.UNKNOWN]


def test_ignored_errors_that_were_never_seen_are_unknown() -> None:
    assert kinds("pg_restore: warning: errors ignored on restore: 1") == [Kind.UNKNOWN]


def test_output_that_breaks_off_is_unknown() -> None:
    text = "pg_restore: while PROCESSING TOC:\npg_restore: from TOC entry 3; 1259 1 TABLE t o"
    assert kinds(text) == [Kind.UNKNOWN]


def test_quiet_restore_passes() -> None:
    assert messages_check(0, []).verdict is Verdict.PASS


def test_exit_status_alone_is_an_error() -> None:
    assert messages_check(1, []).verdict is Verdict.ERROR


@pytest.mark.parametrize("status", [0, 1])
def test_defect_of_the_backup_fails_and_names_its_cause(status: int) -> None:
    check = messages_check(status, classify(FOREIGN_KEY.splitlines()))
    assert check.verdict is Verdict.FAIL
    assert "sale_order_partner_id_fkey" in check.message


def test_lack_of_the_sandbox_is_an_error_even_with_what_follows_from_it() -> None:
    text = (
        'pg_restore: error: could not execute query: ERROR:  extension "postgis" is not available\n'
        'pg_restore: error: could not execute query: ERROR:  type "geometry" does not exist\n'
        "pg_restore: warning: errors ignored on restore: 2"
    )
    check = messages_check(1, classify(text.splitlines()))
    assert check.verdict is Verdict.ERROR
    assert "postgis" in check.message


def test_schema_public_that_is_there_already_is_harmless() -> None:
    text = (
        'pg_restore: error: could not execute query: ERROR:  schema "public" already exists\n'
        "Command was: CREATE SCHEMA public;\n\n\npg_restore: warning: errors ignored on restore: 1"
    )
    assert messages_check(1, classify(text.splitlines())).verdict is Verdict.PASS


@given(st.lists(st.one_of(st.text(), st.sampled_from(FOREIGN_KEY.splitlines() + COPY.splitlines())), max_size=12))
def test_no_output_makes_lines_vanish(lines: list[str]) -> None:
    lines = [line.replace("\n", " ").replace("\r", " ") for line in lines]
    messages = classify(lines)
    blank = not any(line.strip() for line in lines)
    assert blank or sum(message.lines for message in messages) >= sum(bool(line.strip()) for line in lines)


@given(st.text(min_size=1).filter(lambda text: text.strip()))
def test_text_nobody_knows_is_never_harmless(text: str) -> None:
    line = " ".join(text.split())
    [message] = classify([f"pg_restore: error: could not execute query: ERROR:  ~{line}"])
    assert message.kind is Kind.UNKNOWN


def test_missing_tablespace_is_known_by_both_programs() -> None:
    said = 'ERROR:  invalid value for parameter "default_tablespace": "fast"'
    for program in ('pg_restore: error: could not set "default_tablespace" to fast', "psql:/backup/db.sql:33"):
        message = only_error(f"{program}: {said}")
        assert (message.kind, message.object, message.sqlstate) == (Kind.KNOWN, "fast", "22023")


def test_psql_that_does_not_know_restrict_is_a_lack_of_the_sandbox() -> None:
    message = only_error("psql:/backup/db.sql:5: error: invalid command \\restrict")
    assert message.sandbox


def test_rows_that_psql_took_for_commands_keep_nothing_of_them() -> None:
    [message] = classify([f"psql:/backup/db.sql:9: error: invalid command \\N{CANARY}"])
    assert message.kind is Kind.KNOWN
    assert CANARY not in repr(message)
