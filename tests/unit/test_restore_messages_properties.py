"""Whatever stands between the lines of a restore: none is swallowed, none hides a fatal one, no value is kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from verifiers.postgres.physical import Said, classify_log
from verifiers.postgres.restore import Kind, classify, messages_check
from verifiers.result import Verdict

CANARY = "Zyxcanary"
FATAL = "pg_restore: error: could not read from input file: end of file"
HARMLESS = [
    'pg_restore: creating TABLE "public.t"',
    "NOTICE:  nothing",
    "pg_restore: warning: restoring tables WITH OIDS is not supported anymore",
]
PUBLIC = ['pg_restore: error: could not execute query: ERROR:  schema "public" already exists',
          "Command was: CREATE SCHEMA public;", ""]  # fmt: skip
REAL = [
    *HARMLESS,
    *PUBLIC,
    'pg_restore: error: COPY failed for table "t": ERROR:  invalid input syntax for type integer: "x"',
    "CONTEXT:  COPY t, line 7, column id: x",
    "DETAIL:  Key (id)=(1) already exists.",
    "Command was: ALTER TABLE t",
    "    ADD CONSTRAINT c",
]
PARTS = ["DETAIL", "HINT", "CONTEXT", "QUERY", "LOCATION", "STATEMENT"]
anything = st.binary(max_size=60).map(lambda raw: raw.decode("utf-8", "replace").replace("\n", " "))
strange = st.one_of(anything, anything.map(lambda text: text * 200), anything.map(lambda text: f"\r{text}\r"))


@given(st.lists(st.one_of(st.sampled_from(REAL), strange), max_size=12), st.data())
def test_fatal_line_is_found_wherever_it_stands(lines: list[str], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(lines)))
    messages = classify([*lines[:at], FATAL, *lines[at:]])
    assert any(message.kind is Kind.FATAL for message in messages)
    assert messages_check(0, messages).verdict is not Verdict.PASS


@given(st.sampled_from([*[[line] for line in HARMLESS], PUBLIC]), strange)
def test_line_nobody_knows_after_a_harmless_message_is_unknown(before: list[str], text: str) -> None:
    messages = classify([*before, f"~{text}", *HARMLESS])
    assert [message.kind for message in messages].count(Kind.UNKNOWN) == 1
    assert messages_check(0, messages).verdict is Verdict.ERROR


@given(st.sampled_from(PARTS), st.sampled_from(HARMLESS[:1]), strange)
def test_part_of_no_message_is_unknown(part: str, before: str, text: str) -> None:
    for lines in ([f"{part}:  {text}"], [before, f"{part}:  {text}"]):
        assert Kind.UNKNOWN in {message.kind for message in classify(lines)}


@given(st.lists(st.tuples(st.sampled_from(REAL), st.sampled_from(PARTS), st.sampled_from(HARMLESS + REAL)), max_size=8))
def test_nothing_of_detail_or_context_is_kept(triples: list[tuple[str, str, str]]) -> None:
    lines = [line for real, part, _ in triples for line in (real, f"{part}:  Key ({CANARY})=({CANARY} {real})")]
    messages = classify(lines)
    assert CANARY not in repr(messages) + repr(messages_check(1, messages))


@given(strange)
def test_value_that_imitates_the_message_is_not_taken_for_a_name(text: str) -> None:
    value = f'{text}" is out of range for type {CANARY}'
    [message] = classify([f'psql:x.sql:1: ERROR:  value "{value}" is out of range for type integer'])
    assert CANARY not in repr(message)


@given(st.lists(strange, max_size=6), st.data())
def test_log_of_a_server_hides_no_panic(lines: list[str], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(lines)))
    panic = "2026-03-01 [7] PANIC:  could not locate a valid checkpoint record at 0/1"
    assert Said.BACKUP in {line.meaning for line in classify_log([*lines[:at], panic, *lines[at:]])}


@given(st.sampled_from(PARTS))
def test_log_keeps_nothing_of_what_a_detail_imitates(part: str) -> None:
    assert classify_log([f"2026-03-01 [7] {part}:  x ERROR:  {CANARY}"]) == []
    assert CANARY not in repr(classify_log([f"2026-03-01 [7] FATAL:  {CANARY}", f"cat: {CANARY}"]))


def test_crash_and_words_of_another_program_in_a_servers_log_are_unknown() -> None:
    lines = ["LOG:  server process (PID 7) was terminated by signal 11: Segmentation fault", "cat: no such file"]
    assert [line.meaning for line in classify_log(lines)] == [Said.UNKNOWN, Said.UNKNOWN]
    assert classify_log(["LOG:  starting PostgreSQL 18", "\tcontinued", ""]) == []
