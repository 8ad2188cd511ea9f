"""What tests of backups share: databases, pg_dump and pg_restore of one server, and the rich schema."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from verifiers.sandbox.isolation import provider
from verifiers.sandbox.options import ServerOptions
from verifiers.sandbox.programs import find_programs
from verifiers.sandbox.server import SandboxServer

if TYPE_CHECKING:
    from collections.abc import Iterator

RICH_SCHEMA = Path(__file__).parent / "data" / "rich_schema.sql"
RICH_ROLES = ("rich_owner", "rich_reader", "Rich Writer")
KEY = bytes(range(32))


@contextmanager
def server_of_major(major: int) -> Iterator[SandboxServer]:
    """Run a server of one major version. Raises LackingError where this machine has none."""
    programs = find_programs(major, exact=True)
    folder = Path(tempfile.mkdtemp(prefix="gt-"))
    try:
        with SandboxServer(folder, programs, provider("none"), ServerOptions(settings={"fsync": "off"})) as server:
            yield server
    finally:
        shutil.rmtree(folder)


@contextmanager
def database(server: SandboxServer, name: str | None = None) -> Iterator[str]:
    """Make an empty database and yield its URL; dropped afterwards."""
    name = name or f"test_{secrets.token_hex(6)}"
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        yield server.url(name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def make_roles(server: SandboxServer) -> None:
    """Make the roles of the rich schema where they are not there yet."""
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        there = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
        for role in set(RICH_ROLES) - there:
            connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))


def fill_rich(server: SandboxServer, url: str) -> None:
    """Load one of everything into an empty database."""
    make_roles(server)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(RICH_SCHEMA.read_bytes())


def dump(server: SandboxServer, url: str, target: Path, *options: str) -> Path:
    """Dump a database with the server's own pg_dump."""
    command = [str(server.programs.program("pg_dump")), "-Fc", "-f", str(target), *options, "-d", url]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return target


def restore(server: SandboxServer, url: str, source: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Restore a dump with the server's own pg_restore."""
    command = [str(server.programs.program("pg_restore")), *options, "-d", url, str(source)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
