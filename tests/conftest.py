"""Real servers for tests: one PostgreSQL a session, one fresh database a test."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from verifiers.sandbox import LackingError
from verifiers.sandbox.isolation import Provider, holds, provider
from verifiers.sandbox.options import ServerOptions
from verifiers.sandbox.programs import find_programs
from verifiers.sandbox.server import SandboxServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def sandbox_provider() -> Provider:
    """Bubblewrap where it runs; a container that forbids it gets no isolation, which is enough for servers of tests."""
    try:
        found = provider("bwrap")
        return found if holds(found) else provider("none")
    except LackingError:
        return provider("none")


@pytest.fixture(scope="session")
def postgres_server(sandbox_provider: Provider) -> Iterator[SandboxServer]:
    """PostgreSQL 18 of the wheel. Its folder has a short name, so that `url()` serves child processes too."""
    folder = Path(tempfile.mkdtemp(prefix="gt-"))
    options = ServerOptions(durable=True, settings={"fsync": "off", "max_connections": "50"})
    try:
        programs = find_programs(18, exact=True, prefer_embedded=True)
        with SandboxServer(folder, programs, sandbox_provider, options) as server:
            yield server
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def postgres_url(postgres_server: SandboxServer) -> Iterator[str]:
    """URL of a fresh empty database, as superuser, for this process and its children; dropped afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(postgres_server.conninfo(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        yield postgres_server.url(name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
