"""Real servers for tests: one PostgreSQL, API server and OPA a session; a fresh database or namespace a test."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from guardian.policy.bundle import load as load_bundle
from guardian.policy.engines import open_engine
from guardian.policy.wasm import WasmEngine
from guardian.settings import EngineSettings
from tests.formats_support import Dumps
from tests.tools.build import TOOLS, BuildError, installed, opa_path, tool_path, version_of
from tests.tools.kube import KubeApi
from tests.tools.seaweed import Seaweed
from verifiers.sandbox import LackingError
from verifiers.sandbox.isolation import Provider, holds, provider
from verifiers.sandbox.options import ServerOptions
from verifiers.sandbox.programs import find_programs
from verifiers.sandbox.server import SandboxServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardian.policy.bundle import Bundle
    from guardian.policy.engine import Engine


def pytest_report_header() -> str:
    """Name the real servers that this session uses, so that a log shows what its results are worth."""
    names = []
    for tool in TOOLS.values():
        try:
            program = installed(tool.name)
        except (BuildError, OSError, RuntimeError) as error:  # told again, and in full, to the test that needs it
            names.append(f"{tool.name} (lacking: {error})")
        else:
            told = version_of(tool, program) if program else "(to be built when used)"
            names.append(f"{tool.name} {told}")
    try:
        names.append(f"PostgreSQL {find_programs(18, exact=True, prefer_embedded=True).version}")
    except LackingError:
        names.append("PostgreSQL (lacking)")
    return f"servers: {', '.join(names)}"


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


@pytest.fixture(scope="session")
def opa() -> Path:
    """The `opa` program of the pinned version, built once and kept in the tools cache."""
    return opa_path()


@pytest.fixture(scope="session")
def policy_bundle() -> Bundle:
    """The compiled policies that ship."""
    return load_bundle()


@pytest.fixture(scope="session")
def wasm_engine(policy_bundle: Bundle) -> Iterator[WasmEngine]:
    """The default engine on the compiled policies that ship."""
    engine = WasmEngine(policy_bundle)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def opa_engine(opa: Path, policy_bundle: Bundle) -> Iterator[Engine]:
    """The opa engine on the policies that ship: a managed child."""
    engine = open_engine(EngineSettings("opa", command=opa), policy_bundle)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def kube_api() -> Iterator[KubeApi]:
    """A real Kubernetes API server with etcd and nothing else: no controllers, no kubelet."""
    with KubeApi(etcd=tool_path("etcd"), kube_apiserver=tool_path("kube-apiserver")) as api:
        yield api


@pytest.fixture
def kube_namespace(kube_api: KubeApi) -> Iterator[str]:
    """Name of a fresh namespace with its `default` ServiceAccount; deleted afterwards with all that is in it."""
    with kube_api.namespace() as name:
        yield name


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """An S3 server. Tests make buckets of their own."""
    with Seaweed(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture(scope="session")
def dumps(postgres_server: SandboxServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dumps]:
    """One prepared database and its dump in every output format of pg_dump."""
    made = Dumps(postgres_server, tmp_path_factory.mktemp("dumps"))
    made.fill()
    yield made
    made.drop()
