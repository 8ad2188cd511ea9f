"""What a sandbox server can do, and what a backup needs that it cannot: looked at before a restore is tried.

Invariant: a lack of the sandbox never becomes a `fail` of the backup. Reads catalogues of the running server only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from verifiers.sandbox import SandboxError

if TYPE_CHECKING:
    from collections.abc import Collection

    from verifiers.sandbox.server import SandboxServer

# Compression came to custom archives with pg_dump 16; before, there is only zlib.
_COMPRESSED_SINCE = 16
_RESTRICT_ALWAYS, _RESTRICT_SINCE = 18, {17: 6, 16: 10, 15: 14, 14: 19, 13: 22}
# `unicode` is listed by every server; the locales are only there if ICU was when initdb ran.
_ICU = "SELECT FROM pg_collation WHERE collprovider = 'i' AND collname <> 'unicode' LIMIT 1"


@dataclass(frozen=True, slots=True)
class Features:
    """What one set of programs has. compressions: those its pg_restore reads, of none, gzip, lz4 and zstd."""

    major: int
    version: str
    extensions: frozenset[str]
    languages: frozenset[str]
    access_methods: frozenset[str]
    compressions: frozenset[str]
    icu: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    r"""What a backup needs. Names as SQL would take them; major None where the backup does not tell.

    restrict: a psql that knows `\restrict`.
    """

    major: int | None = None
    compression: str = "none"
    extensions: Collection[str] = ()
    languages: Collection[str] = ()
    access_methods: Collection[str] = ()
    tablespaces: Collection[str] = ()
    icu: bool = False
    restrict: bool = False


def features(server: SandboxServer) -> Features:
    """Return what a running server has. Raises SandboxError if it does not answer."""
    try:
        with psycopg.connect(server.conninfo(), connect_timeout=30) as connection:
            extensions = {row[0] for row in connection.execute("SELECT name FROM pg_available_extensions")}
            languages = {row[0] for row in connection.execute("SELECT lanname FROM pg_language")}
            methods = {row[0] for row in connection.execute("SELECT amname FROM pg_am")}
            icu = connection.execute(_ICU).fetchone() is not None
            # The server and its pg_restore are of one build, and this setting lists what was built in.
            built_in = connection.execute("SELECT enumvals FROM pg_settings WHERE name = 'wal_compression'").fetchone()
    except psycopg.Error as error:
        raise SandboxError(f"the sandbox server does not tell what it has: {type(error).__name__}") from error
    compressions = {"none", "gzip"}
    if server.programs.major >= _COMPRESSED_SINCE and built_in and built_in[0]:
        compressions |= {"lz4", "zstd"} & set(built_in[0])
    return Features(
        server.programs.major,
        server.programs.version,
        frozenset(extensions),
        frozenset(languages | extensions),  # a language comes as an extension of its name
        frozenset(methods),
        frozenset(compressions),
        icu,
    )


def lacks(wanted: Wanted, there: Features) -> list[str]:
    """Return what the backup needs and the server lacks, each as words for `sandbox server lacks X`; sorted."""
    missing = [f"extension {name}" for name in set(wanted.extensions) - there.extensions]
    missing += [f"language {name}" for name in set(wanted.languages) - there.languages - set(wanted.extensions)]
    provided = there.access_methods if not wanted.extensions else there.access_methods | set(wanted.access_methods)
    missing += [f"access method {name}" for name in set(wanted.access_methods) - provided]
    missing += [f"tablespace {name}" for name in wanted.tablespaces]
    if wanted.icu and not there.icu:
        missing.append("ICU collations")
    if wanted.compression not in there.compressions:
        missing.append(f"{wanted.compression} compression in pg_restore {there.version}")
    if wanted.restrict and not knows_restrict(there.version):
        missing.append(
            f"\\restrict in psql {there.version}, which the dump uses (minor releases since August 2025 have it)"
        )
    if wanted.major is not None and wanted.major > there.major:
        missing.append(
            f"PostgreSQL {wanted.major} (it is {there.version}; logical backups need the same or a newer one)"
        )
    return sorted(missing)


def knows_restrict(version: str) -> bool:
    """Return whether the psql of a version such as `17.5` knows the meta-command that pg_dump writes since 2025."""
    numbers = [int(number) for number in re.findall(r"\d+", version)[:2]]
    major, minor = (*numbers, 0, 0)[:2]
    return major >= _RESTRICT_ALWAYS or minor >= _RESTRICT_SINCE.get(major, 1000)
