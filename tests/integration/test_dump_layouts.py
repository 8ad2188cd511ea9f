"""Dumps in directory, tar and plain format as files: whole ones are read to their end, damaged ones never pass."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.restore_support import database, fill_rich, server_of_major
from verifiers.layout import Layout
from verifiers.postgres.archive import read_archive
from verifiers.postgres.archive_toc import ArchiveError
from verifiers.postgres.cluster import read_globals
from verifiers.postgres.dumps import examine_dump
from verifiers.postgres.plain_needs import UndecidedError
from verifiers.postgres.plain_scan import Scanner, What
from verifiers.result import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.formats_support import Dumps
    from verifiers.result import Check

SEED = 20260301
HEAD = b"--\n-- PostgreSQL database dump\n--\n\n"
TAIL = b"\n--\n-- PostgreSQL database dump complete\n--\n\n"


def examined(path: Path, layout: Layout) -> Check:
    told: list[int] = []
    check, dump = examine_dump(path, layout, told.append)
    assert (dump is not None) == (check.verdict is Verdict.PASS)
    assert told == sorted(told)
    return check


def plain(tmp_path: Path, body: bytes, *, head: bytes = HEAD, tail: bytes = TAIL) -> Check:
    path = tmp_path / "x.sql"
    path.write_bytes(head + body + tail)
    return examined(path, Layout.PLAIN)


# -- whole ones


@pytest.mark.parametrize("major", [15, 17])
def test_dumps_of_other_versions_and_compressions_are_read_to_their_end(major: int, tmp_path: Path) -> None:
    options = {
        Layout.DIRECTORY: [["-Fd"], ["-Fd", "-j2"], ["-Fd", "-Z0"], ["-Fd", "--inserts", "-Z0"]],
        Layout.TAR: [["-Ft"], ["-Ft", "--inserts"]],
        Layout.PLAIN: [["-Fp"], ["-Fp", "--inserts"], ["-Fp", "--clean", "--if-exists"], ["-Fp", "-a"], ["-Fp", "-v"]],
    }
    if major == 17:
        options[Layout.DIRECTORY] += [["-Fd", "-Z", "lz4"], ["-Fd", "-Z", "zstd"]]
    with server_of_major(major) as server, database(server) as url:
        fill_rich(server, url)
        with psycopg.connect(url) as connection:
            connection.execute("SELECT lo_from_bytea(0, 'a'), lo_from_bytea(0, 'b')")
        for layout, ways in options.items():
            for number, way in enumerate(ways):
                path = tmp_path / f"{layout}-{number}"
                argv = [str(server.programs.program("pg_dump")), *way, "-f", str(path), "-d", url]
                subprocess.run(argv, check=True, capture_output=True, timeout=60)
                check = examined(path, layout)
                assert check.verdict is Verdict.PASS, (way, check.message)


def test_plain_dump_tells_the_relations_and_needs_that_an_archive_tells(dumps: Dumps) -> None:
    _, dump = examine_dump(dumps.path("plain"), Layout.PLAIN, lambda _: None)
    assert dump is not None
    archive = read_archive(dumps.path("custom"))
    kinds = {"TABLE", "VIEW", "MATERIALIZED VIEW", "SEQUENCE", "INDEX", "FOREIGN TABLE"}

    def relations(entries: object) -> set[str]:
        assert isinstance(entries, list)
        return {entry.label for entry in entries if entry.desc in kinds}

    # The sequence of an identity column is made by a statement that makes no sequence of its own.
    assert relations(archive.entries) - relations(dump.archive.entries) == {"SEQUENCE app.partner_id_seq"}
    assert relations(dump.archive.entries) <= relations(archive.entries)
    for name in ("extensions", "roles", "tablespaces", "languages", "access_methods", "encoding", "server_major"):
        assert getattr(dump.archive.needs, name) == getattr(archive.needs, name), name
    assert dump.archive.header.dump_version == archive.header.dump_version


# -- damaged ones


def test_directory_with_any_file_missing_cut_or_empty_fails(dumps: Dumps, tmp_path: Path) -> None:
    whole = dumps.path("directory")
    for name in sorted(path.name for path in whole.iterdir()):
        for change in (b"", None, whole.joinpath(name).read_bytes()[:-1]):
            copy = tmp_path / "copy"
            shutil.copytree(whole, copy)
            copy.joinpath(name).write_bytes(change) if change is not None else copy.joinpath(name).unlink()
            check = examined(copy, Layout.DIRECTORY)
            assert check.verdict is Verdict.FAIL, (name, change and len(change))
            shutil.rmtree(copy)


def test_directory_with_one_file_too_many_fails_naming_it(dumps: Dumps, tmp_path: Path) -> None:
    for name in ("9999.dat.gz", "blob_1.dat.gz", ".nfs0001"):
        copy = tmp_path / "copy"
        shutil.copytree(dumps.path("directory"), copy)
        (copy / name).write_bytes(b"x")
        check = examined(copy, Layout.DIRECTORY)
        assert check.verdict is Verdict.FAIL
        assert name in check.message
        shutil.rmtree(copy)


def test_any_flipped_bit_in_the_data_of_a_compressed_directory_fails(dumps: Dumps, tmp_path: Path) -> None:
    whole = dumps.path("directory")
    chosen = random.Random(SEED)
    for path in sorted(whole.glob("*.dat.gz")):
        data = bytearray(path.read_bytes())
        at = chosen.randrange(10, len(data))  # behind gzip's header, whose time and system mean nothing
        data[at] ^= 1 << chosen.randrange(8)
        copy = tmp_path / "copy"
        shutil.copytree(whole, copy)
        (copy / path.name).write_bytes(data)
        assert examined(copy, Layout.DIRECTORY).verdict is Verdict.FAIL, (path.name, at)
        shutil.rmtree(copy)


def test_tar_cut_at_any_block_or_inside_one_fails(dumps: Dumps, tmp_path: Path) -> None:
    data = dumps.path("tar").read_bytes()
    chosen = random.Random(SEED)
    ends = [*range(0, len(data), 512), *(chosen.randrange(len(data)) for _ in range(100)), len(data) - 1]
    path = tmp_path / "x.tar"
    for end in ends:
        path.write_bytes(data[:end])
        assert examined(path, Layout.TAR).verdict is Verdict.FAIL, f"cut at byte {end}"


def test_tar_with_something_behind_its_end_fails(dumps: Dumps, tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(dumps.path("tar").read_bytes() + b"x" * 512)
    assert examined(path, Layout.TAR).verdict is Verdict.FAIL
    path.write_bytes(dumps.path("tar").read_bytes() + bytes(8192))
    assert examined(path, Layout.TAR).verdict is Verdict.PASS, "other programs fill up with empty blocks"


def test_script_in_a_tar_is_of_no_importance(dumps: Dumps, tmp_path: Path) -> None:
    data = dumps.path("tar").read_bytes()
    at = data.index(b"$$PATH$$")
    path = tmp_path / "x.tar"
    path.write_bytes(data[:at] + b"\\! hurt " + data[at + 8 :])
    assert examined(path, Layout.TAR).verdict is Verdict.PASS


@pytest.mark.parametrize("restricted", [True, False], ids=["with restrict", "without"])
def test_plain_dump_cut_anywhere_fails(dumps: Dumps, tmp_path: Path, *, restricted: bool) -> None:
    data = dumps.path("plain").read_bytes()
    if not restricted:  # as pg_dump wrote before August 2025
        data = re.sub(rb"\\(un)?restrict \w+\n", b"", data)
    last = len(data.rstrip().removesuffix(b"--").rstrip())
    chosen = random.Random(SEED)
    boundaries = [at + 2 for at in range(len(data)) if data.startswith(b";\n", at)]
    near = range(last - 60, last)
    ends = [0, 1, *chosen.sample(boundaries, 40), *(chosen.randrange(last) for _ in range(100)), *near]
    path = tmp_path / "x.sql"
    for end in ends:
        path.write_bytes(data[:end])
        assert examined(path, Layout.PLAIN).verdict is Verdict.FAIL, f"cut at byte {end} of {len(data)}"


def test_dump_under_the_name_of_a_plain_one_says_what_it_is(dumps: Dumps, tmp_path: Path) -> None:
    for form in ("plain.gz", "plain.zst", "plain.lz4", "tar"):
        assert examined(dumps.path(form), Layout.PLAIN).verdict is Verdict.FAIL
    check = examined(dumps.path("custom"), Layout.PLAIN)
    assert "custom archive" in check.message
    check = plain(tmp_path, b"", head=HEAD.decode().encode("utf-16"))
    assert "PowerShell" in check.message


def test_hole_of_zeros_in_a_plain_dump_fails(tmp_path: Path) -> None:
    check = plain(tmp_path, b"COPY a (b) FROM stdin;\n1\n" + bytes(4096) + b"\n\\.\n")
    assert check.verdict is Verdict.FAIL
    assert "zero byte" in check.message


# -- what must not run


HOSTILE = {
    "shell": b"\\! touch /tmp/x\n",
    "shell behind a statement": b"SELECT 1; \\! touch /tmp/x\n",
    "shell inside a statement": b"SELECT 1 \\! touch /tmp/x\n;\n",
    "shell behind a string": b"SELECT 'a''b', E'\\'' \\! id\n;\n",
    "copy": b"\\copy a from program 'id'\n",
    "include": b"\\i /etc/passwd\n",
    "relative include": b"\\ir x\n",
    "connect": b"\\connect other\n",
    "output": b"\\o /tmp/x\n",
    "exec": b"SELECT 'DROP TABLE a' \\gexec\n",
    "pipe": b"SELECT 1 \\g | id\n",
    "set": b"\\set ON_ERROR_STOP 1\n",
    "backtick": b"\\echo `id`\n",
    "program": b"COPY a FROM PROGRAM 'id';\n",
    "to program": b"COPY a TO PROGRAM 'id';\n",
    "file": b"COPY a FROM '/etc/passwd';\n",
    "query": b"COPY (SELECT 1) TO '/tmp/x';\n",
    "after rows": b"COPY a (b) FROM stdin;\n\\! not a command\n\\.\n\\! id\n",
    "after a dollar quote": b"SELECT $x$ \\! no $y$ $x$ \\! id\n;\n",
    "after a comment": b"/* \\! no /* nested */ \\! no */ \\! id\n;\n",
    "after a name": b'SELECT "a""\\!" \\! id\n;\n',
    "block": b"DO $$BEGIN END$$;\n",
    "call": b"SELECT pg_catalog.setval('s', (SELECT reach()));\n",
    "setting of the server": b"ALTER SYSTEM SET archive_command = 'id';\n",
    "library": b"LOAD 'x';\n",
    "extension of a path": b'CREATE EXTENSION "../../tmp/x";\n',
    "forged end of a restriction": b"\\restrict abc\n\\unrestrict abd\n\\unrestrict abc\n",
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_what_pg_dump_does_not_write_is_refused_with_its_line(tmp_path: Path, what: str) -> None:
    check = plain(tmp_path, HOSTILE[what])
    assert check.verdict is Verdict.FAIL, check.message
    assert "pg_dump writes no such thing" in check.message
    assert "in line " in check.message


HARMLESS = {
    "string": b"COMMENT ON TABLE t IS '\\! id';\n",
    "two strings": b"COMMENT ON TABLE t IS 'a' '\\! id', E'\\\\', '\\';\n",
    "escape string": b"COMMENT ON TABLE t IS E'a\\'\\! id', e'\\\\\\! id';\n",
    "doubled quote in an escape string": (b"COMMENT ON TABLE t IS E'" + b"x" * 270 + b"''b\\' \\! id';\n") * 40,
    "name that ends in e": b"COMMENT ON TABLE t IS type'\\', x;\n",
    "name": b'COMMENT ON TABLE t IS "\\! id";\n',
    "dollar quote": b"COMMENT ON TABLE t IS $$ \\! id $a$ $$, $a$ \\! $$ $a$;\n",
    "dollar in a name": b"COMMENT ON TABLE t IS a$b$, 'x', c$b$;\n",
    "comment": b"-- \\! id\n/* \\! /* */ \\! */ SET x = 1;\n",
    "rows": b"COPY a (b) FROM stdin;\n\\! id\n\\connect x\n'\n\"\n$$\n/*\n\\\\.\n\\.\n",
    "no rows": b'COPY "o;dd"."na(me" (b, "c""d") FROM stdin;\n\\.\n',
    "rows with carriage returns": b"COPY a (b) FROM stdin;\r\n1\r\n\\.\r\n",
    "inserts": b"INSERT INTO a VALUES (1, 'x''y; \\', -1 / 2);\nINSERT INTO \"a;\" VALUES ('\\', E'\\'\\! id');\n",
    "semicolon in a rule": b"CREATE RULE r AS ON INSERT TO a DO (SELECT 1; SELECT 2);\n",
    "body": b"CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END;\n",
}  # fmt: skip


@pytest.mark.parametrize("what", HARMLESS)
def test_what_only_looks_like_a_command_passes(tmp_path: Path, what: str) -> None:
    check = plain(tmp_path, HARMLESS[what])
    assert check.verdict is Verdict.PASS, check.message


@pytest.mark.parametrize("body", [b"SELECT 'a", b'SELECT "a', b"SELECT $x$ a $y$", b"/* a /* */", b"SELECT (1"])
def test_dump_that_ends_inside_something_fails(tmp_path: Path, body: bytes) -> None:
    check = plain(tmp_path, body)
    assert check.verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"SET standard_conforming_strings = off;\n", "standard_conforming_strings"),
        (b"SET client_encoding = 'SJIS';\n", "SJIS"),
        (b"CREATE DATABASE x;\n\\connect x\n", "--create"),
    ],
)
def test_what_cannot_be_told_is_an_error(tmp_path: Path, body: bytes, word: str) -> None:
    check = plain(tmp_path, body)
    assert check.verdict is Verdict.ERROR
    assert word in check.message


class _Dribble:
    """A stream that gives a few bytes at a time."""

    def __init__(self, data: bytes, chosen: random.Random) -> None:
        self._data, self._chosen = data, chosen

    def read(self, _count: int) -> bytes:
        part, self._data = self._data[: (n := self._chosen.randrange(1, 40))], self._data[n:]
        return part


def test_where_the_file_is_cut_into_pieces_changes_nothing(dumps: Dumps, tmp_path: Path) -> None:
    whole = dumps.path("plain").read_bytes() + b"".join(HARMLESS.values()) + b"".join(HOSTILE.values())

    def events(stream: object) -> list[tuple[What, bytes, int, int]]:
        scanner = Scanner(stream, lambda _: None)  # type: ignore[arg-type]  # of a stream only `read` is used
        return [(event.what, event.text, event.at, event.end) for event in scanner.events()]

    path = tmp_path / "x"
    path.write_bytes(whole)
    with path.open("rb") as stream:
        expected = events(stream)
    assert sum(what is What.ROWS for what, *_ in expected) > 10
    for seed in range(5):
        assert events(_Dribble(whole, random.Random(seed))) == expected


# -- globals


def test_globals_tell_what_is_there_and_no_password(dumps: Dumps, tmp_path: Path) -> None:
    path = tmp_path / "globals.sql"
    path.write_bytes(dumps.cluster)
    found = read_globals(path, superuser="postgres")
    assert {"rich_owner", "Rich Writer", "formats_login", "postgres"} <= found.roles
    assert "formats_fast" in found.tablespaces
    assert found.counts["passwordsDropped"] == 1
    assert found.counts["memberships"] >= 1
    text = "\n".join(found.statements)
    assert "SCRAM" not in text
    assert "LOCATION" not in text
    assert "ALTER ROLE formats_login WITH" in text
    assert "ROLE postgres" not in text, "the sandbox's own superuser stays as it is"


def _cut(data: bytes) -> bytes:
    return data[: data.rindex(b"GRANT")]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (_cut, ArchiveError),
        (lambda _: b"", ArchiveError),
        (lambda data: data.replace(b"-- Roles", b"-- Roles\n\\! id\n"), ArchiveError),
        (lambda data: data.replace(b"-- Roles", b"-- Roles\nCREATE TABLE a (b int);\n"), UndecidedError),
    ],
)
def test_globals_that_are_not_whole_or_not_globals_are_refused(
    dumps: Dumps, tmp_path: Path, change: Callable[[bytes], bytes], error: type[Exception]
) -> None:
    path = tmp_path / "globals.sql"
    path.write_bytes(change(dumps.cluster))
    with pytest.raises(error):
        read_globals(path, superuser="postgres")
