"""Plain dumps into which somebody wrote what reaches out: each is refused by name, and reaches nothing of the host."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.drill_support import Estate, by_id
from verifiers.result import Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from verifiers.sandbox.isolation import Provider
    from verifiers.sandbox.server import SandboxServer

_COPY = "a COPY that reads something else"
# What is written into the dump ({file}: one outside, {port}: one that listens), and how the drill names it.
VECTORS = {
    "copy to program": ("COPY (SELECT 1) TO PROGRAM 'touch {file}';", _COPY),
    "copy from program": ("COPY public.sale_order FROM PROGRAM 'touch {file}';", _COPY),
    "copy to a file": ("COPY (SELECT 1) TO '{file}';", _COPY),
    "shell": ("\\! touch {file}", "the psql command \\!"),
    "output to a pipe": ("\\o | touch {file}", "the psql command \\o"),
    "copy of psql": ("\\copy public.sale_order from program 'touch {file}'", "the psql command \\copy"),
    "script": ("\\i {file}", "the psql command \\i"),
    "large object": ("SELECT lo_import('/etc/passwd');", "the command SELECT"),
    "library": ("LOAD '{file}';", "the command LOAD"),
    "setting": ("ALTER SYSTEM SET archive_command = 'touch {file}';", "the command ALTER SYSTEM"),
    "dblink": ("SELECT dblink_connect('host=127.0.0.1 port={port}');", "the command SELECT"),
    "block": ("DO $$ BEGIN PERFORM pg_read_file('{file}'); END $$;", "the command DO"),
    "extension by path": ('CREATE EXTENSION "../../{file}";', "a CREATE EXTENSION of a path"),
}  # fmt: skip


@pytest.mark.parametrize("vector", VECTORS)
def test_statement_that_reaches_out_is_named_and_reaches_nothing(
    vector: str, postgres_server: SandboxServer, postgres_url: str, sandbox_provider: Provider, tmp_path: Path
) -> None:
    database = psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"]
    estate = Estate(postgres_server, str(database), tmp_path, sandbox_provider.name, type="postgres")
    estate.fill()
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o777)
    planted = outside / "planted"
    statement, named = VECTORS[vector]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        text = statement.format(file=planted, port=listener.getsockname()[1])

        def plant(dump: Path) -> None:
            whole = dump.read_bytes()
            end = b"--\n-- PostgreSQL database dump complete"
            assert whole.count(end) == 1
            dump.with_suffix(".sql").write_bytes(whole.replace(end, text.encode() + b"\n\n" + end))
            dump.unlink()

        estate.back_up("-Fp", change=plant)
        drill = estate.drill()
        check = by_id(drill)["archive.complete"]
        assert check.verdict is drill.result.verdict is Verdict.FAIL
        assert named in check.message
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert list(outside.iterdir()) == []
