"""The server of a sandbox: reachable, isolated from its surroundings, and gone afterwards."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from verifiers.sandbox.server import SandboxServer


def test_a_test_gets_an_empty_database_of_a_real_server(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        row = connection.execute("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace").fetchone()
        assert row == (0,)
        assert connection.info.server_version >= 180000


def test_child_processes_reach_the_database_by_its_url(postgres_url: str) -> None:
    code = "import psycopg, sys; print(psycopg.connect(sys.argv[1]).execute('SELECT 7').fetchone()[0])"
    done = subprocess.run([sys.executable, "-c", code, postgres_url], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "7"), done.stderr


def test_client_programs_run_in_the_sandbox_against_the_server(postgres_server: SandboxServer) -> None:
    done = postgres_server.run(["psql", "-Atc", "SELECT 6 * 7"], deadline_s=30)
    assert (done.returncode, done.stdout.read_text()) == (0, "42\n")
