"""The cheap look at an archive's end: whole archives of every shape pass it, and no cut goes unseen."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import psycopg
import pytest

from verifiers.postgres.archive_ending import cut_short

if TYPE_CHECKING:
    from pathlib import Path

    from verifiers.sandbox.server import SandboxServer


@pytest.fixture
def url(postgres_url: str) -> str:
    with psycopg.connect(postgres_url) as connection:
        connection.execute(
            "CREATE TABLE part AS SELECT n, repeat(md5(n::text), 20) AS text FROM generate_series(1, 3000) n"
        )
        connection.execute("CREATE TABLE nothing (n int)")
        connection.execute("SELECT lo_from_bytea(0, convert_to(repeat('x', 9000), 'UTF8')) FROM generate_series(1, 3)")
    return postgres_url


def _dump(server: SandboxServer, url: str, target: Path, *options: str, how: str = "file") -> None:
    command = [str(server.programs.program("pg_dump")), "-Fc", *options, "-d", url]
    if how == "file":
        subprocess.run([*command, "-f", str(target)], check=True)
        return
    with target.open("wb") as file:
        if how == "redirected":
            subprocess.run(command, check=True, stdout=file)
            return
        reading, writing = os.pipe()
        with subprocess.Popen(command, stdout=writing) as process:
            os.close(writing)
            with os.fdopen(reading, "rb") as pipe:
                while data := pipe.read(65536):
                    file.write(data)
        assert process.returncode == 0


@pytest.mark.parametrize("how", ["file", "redirected", "piped"])
@pytest.mark.parametrize("options", [(), ("-Z0",), ("--schema-only",)])
def test_whole_archive_is_whole_and_no_cut_of_it_is(
    postgres_server: SandboxServer, url: str, tmp_path: Path, how: str, options: tuple[str, ...]
) -> None:
    whole = tmp_path / "whole.dump"
    _dump(postgres_server, url, whole, *options, how=how)
    assert cut_short(whole) == ""
    data = whole.read_bytes()
    cut = tmp_path / "cut.dump"
    step = max(1, len(data) // 150)
    for size in [*range(0, len(data), step), len(data) - 1]:
        cut.write_bytes(data[:size])
        assert cut_short(cut), f"cut to {size} of {len(data)} bytes"


def test_bytes_after_the_end_are_seen(postgres_server: SandboxServer, url: str, tmp_path: Path) -> None:
    whole = tmp_path / "whole.dump"
    _dump(postgres_server, url, whole)
    whole.write_bytes(whole.read_bytes() + b"\0")
    assert "after the last data block" in cut_short(whole)
