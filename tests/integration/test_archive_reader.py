"""Archives made by real pg_dumps: read, and never called whole when they are not."""

from __future__ import annotations

import random
import subprocess
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.restore_support import RICH_ROLES, database, dump, fill_rich, restore, server_of_major
from verifiers.postgres.archive import ArchiveError, read_archive, read_header, verify_complete
from verifiers.result import Assurance, Verdict
from verifiers.sandbox import LackingError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from verifiers.sandbox.server import SandboxServer

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def rich(postgres_server: SandboxServer) -> Iterator[str]:
    with database(postgres_server) as url:
        fill_rich(postgres_server, url)
        yield url


@pytest.fixture(scope="module")
def whole(postgres_server: SandboxServer, rich: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dump(postgres_server, rich, tmp_path_factory.mktemp("archive") / "rich.dump")


@pytest.fixture(scope="module")
def plain(postgres_server: SandboxServer, rich: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dump(postgres_server, rich, tmp_path_factory.mktemp("archive") / "plain.dump", "-Z0")


def test_header_tells_what_was_dumped_and_by_what(whole: Path, rich: str) -> None:
    header = read_header(whole)
    assert header.version == (1, 16, 0)
    assert header.compression == "gzip"
    assert header.database == psycopg.conninfo.conninfo_to_dict(rich)["dbname"]
    assert (header.server_version or "").startswith("18.")
    assert header.created_at is not None
    assert header.created_at.tzinfo is None


def test_needs_name_everything_a_restore_asks_the_server_for(whole: Path) -> None:
    needs = read_archive(whole).needs
    assert needs.extensions == ["btree_gist", "citext", "hstore"]
    assert set(needs.roles) == {*RICH_ROLES, "postgres"}
    assert (needs.tablespaces, needs.languages, needs.access_methods) == ([], [], [])
    assert (needs.encoding, needs.server_major, needs.icu) == ("UTF8", 18, False)


def test_entries_tell_which_have_data(whole: Path) -> None:
    entries = {entry.label: entry for entry in read_archive(whole).entries}
    assert entries["TABLE DATA app.partner"].has_data
    assert entries["TABLE DATA app.partner"].has_copy
    assert entries["TABLE app.partner"].owner == "rich_owner"
    assert not entries["TABLE app.partner"].has_data


@pytest.mark.parametrize("major", [15, 17])
def test_archives_of_older_pg_dumps_are_read_too(major: int, tmp_path: Path) -> None:
    try:
        with server_of_major(major) as server, database(server) as url:
            fill_rich(server, url)
            path = dump(server, url, tmp_path / "old.dump")
            uncompressed = dump(server, url, tmp_path / "plain.dump", "--compress=0")
    except LackingError as error:
        pytest.skip(str(error))
    archive = read_archive(path)
    assert archive.header.version == {15: (1, 14, 0), 17: (1, 16, 0)}[major]
    assert archive.needs.server_major == major
    assert archive.needs.extensions == ["btree_gist", "citext", "hstore"]
    for each in (path, uncompressed):
        check = verify_complete(each)
        assert check.verdict is Verdict.PASS, check.message


def test_whole_archive_is_complete_and_says_how_deep_it_was_read(whole: Path) -> None:
    seen: list[int] = []
    check = verify_complete(whole, seen.append)
    assert (check.id, check.level, check.verdict) == ("archive.complete", Assurance.RESTORED, Verdict.PASS)
    assert check.observed["read"] == "decompressed"
    assert check.observed["bytes"] == whole.stat().st_size


@pytest.mark.parametrize(
    "options", [[], ["-Z0"], ["--inserts"], ["--schema-only"], ["--data-only"], ["-Z9", "--no-blobs"]]
)
def test_every_way_of_dumping_gives_complete_archives(
    postgres_server: SandboxServer, rich: str, tmp_path: Path, options: list[str]
) -> None:
    assert verify_complete(dump(postgres_server, rich, tmp_path / "x.dump", *options)).verdict is Verdict.PASS


@pytest.mark.parametrize("how", ["pipe", "redirected"])
def test_archive_written_to_standard_output_is_complete(
    postgres_server: SandboxServer, rich: str, tmp_path: Path, how: str
) -> None:
    path = tmp_path / "out.dump"
    command = [str(postgres_server.programs.program("pg_dump")), "-Fc", "-d", rich]
    if how == "pipe":
        path.write_bytes(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)
    else:
        with path.open("wb") as stream:  # pg_dump 16 and newer then appends a second table of contents
            subprocess.run(command, check=True, stdout=stream, timeout=60)
    assert verify_complete(path).verdict is Verdict.PASS


def _boundaries(path: Path) -> list[int]:
    """Return where data blocks begin: cut there, every block that is left is whole."""
    return sorted(entry.offset for entry in read_archive(path).entries if entry.offset is not None)


@pytest.mark.parametrize("kind", ["whole", "plain"])
def test_archive_cut_anywhere_is_not_complete(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    path: Path = request.getfixturevalue(kind)
    data = path.read_bytes()
    edges = {edge + shift for edge in _boundaries(path) for shift in (-1, 0, 1, 5)}
    random_cuts = random.Random(7).sample(range(len(data)), 150)
    cut = tmp_path / "cut.dump"
    for length in sorted({0, 1, 4, 5, 20, 100, len(data) - 1, *edges, *random_cuts} - {len(data)}):
        cut.write_bytes(data[:length])
        check = verify_complete(cut)
        assert check.verdict is Verdict.FAIL, f"cut at {length} of {len(data)}"


def test_pg_restore_lists_a_cut_archive_that_is_not_complete(
    postgres_server: SandboxServer, whole: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.dump"
    cut.write_bytes(whole.read_bytes()[: _boundaries(whole)[-1]])
    program = str(postgres_server.programs.program("pg_restore"))
    assert subprocess.run([program, "-l", str(cut)], check=False, capture_output=True, timeout=60).returncode == 0
    check = verify_complete(cut)
    assert check.verdict is Verdict.FAIL
    assert "without the data of 1 entries" in check.message


def test_flipped_bits_in_compressed_data_are_found(whole: Path, tmp_path: Path) -> None:
    data = whole.read_bytes()
    start = _boundaries(whole)[0]
    flipped = tmp_path / "flipped.dump"
    rng = random.Random(11)
    for _ in range(100):
        position = rng.randrange(start, len(data))
        flipped.write_bytes(data[:position] + bytes([data[position] ^ (1 << rng.randrange(8))]) + data[position + 1 :])
        assert verify_complete(flipped).verdict is Verdict.FAIL, f"bit at byte {position}"


def test_something_after_the_end_is_not_complete(whole: Path, tmp_path: Path) -> None:
    longer = tmp_path / "longer.dump"
    for rest in (b"\0", b"junk" * 100):
        longer.write_bytes(whole.read_bytes() + rest)
        assert verify_complete(longer).verdict is Verdict.FAIL


@pytest.mark.parametrize("content", [b"", b"PGDMP", b"-- PostgreSQL database dump\n" * 20, b"\x1f\x8b" + bytes(100)])
def test_what_is_no_archive_fails_with_a_reason(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.dump"
    path.write_bytes(content)
    with pytest.raises(ArchiveError):
        read_archive(path)
    assert verify_complete(path).verdict is Verdict.FAIL


def test_missing_file_could_not_be_checked(tmp_path: Path) -> None:
    (tmp_path / "folder.dump").mkdir()
    assert verify_complete(tmp_path / "folder.dump").verdict is Verdict.FAIL
    (tmp_path / "gone.dump").symlink_to(tmp_path / "nowhere")
    assert verify_complete(tmp_path / "gone.dump").verdict is not Verdict.PASS


def test_lying_lengths_cost_no_memory(whole: Path, tmp_path: Path) -> None:
    data = bytearray(whole.read_bytes())
    rng = random.Random(3)
    path = tmp_path / "lying.dump"
    for _ in range(300):
        position = rng.randrange(11, 3000)
        changed = bytes(data[:position]) + rng.randbytes(4) + bytes(data[position + 4 :])
        path.write_bytes(changed)
        try:
            read_archive(path)
        except ArchiveError:
            continue


def test_archive_that_is_complete_restores(postgres_server: SandboxServer, whole: Path) -> None:
    with database(postgres_server) as url:
        done = restore(postgres_server, url, whole, "--exit-on-error")
        assert done.returncode == 0, done.stderr


def _without_last_piece(path: Path) -> bytes:
    """Return the archive without the last piece of its last table's data, every length and offset still right."""
    data = path.read_bytes()
    offset = max(entry.offset or 0 for entry in read_archive(path).entries if entry.desc == "TABLE DATA")
    position = last = offset + 6  # kind of block, dump id
    while length := int.from_bytes(data[position + 1 : position + 5], "little"):
        last, position = position, position + 5 + length
    return data[:last] + data[position:]


@pytest.mark.parametrize(("kind", "reason"), [("whole", "end too early"), ("plain", "without their end mark")])
def test_data_that_stop_before_their_own_end_are_found_though_every_length_is_right(
    postgres_server: SandboxServer, tmp_path: Path, kind: str, reason: str
) -> None:
    path = tmp_path / "x.dump"
    with database(postgres_server) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE t AS SELECT md5(n::text) FROM generate_series(1, 5000) n")
        dump(postgres_server, url, path, *(["-Z0"] if kind == "plain" else []))
    assert verify_complete(path).verdict is Verdict.PASS
    path.write_bytes(_without_last_piece(path))
    check = verify_complete(path)
    assert check.verdict is Verdict.FAIL
    assert reason in check.message
    assert "TABLE DATA public.t" in check.message
