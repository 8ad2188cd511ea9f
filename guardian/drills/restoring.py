"""From a dump to a running database in the sandbox: what it needs is made first, then pg_restore or psql runs.

Invariant: nothing of the dump runs outside the sandbox, and nothing it says is passed on but classified messages.
The server is asked over its socket; the dump is read by pg_restore, or by psql where it is a plain one, inside.

Roles and tablespaces come from the globals where there are any, and then from nowhere else: what they lack would be
lacking in an emergency too. psql does not stop at an error: like pg_restore, it shall say all there is.
"""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from guardian.drills.lacking_locale import LackingLocale
from verifiers.layout import Layout
from verifiers.postgres.restore import Kind, Message, classify, messages_check
from verifiers.postgres.session import connect, describe
from verifiers.result import Scope
from verifiers.sandbox import SandboxError
from verifiers.sandbox.features import Wanted, features, lacks
from verifiers.sandbox.options import SUPERUSER
from verifiers.sandbox.server import owned_by_sandbox
from verifiers.sources.copying import new_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from verifiers.postgres.archive import Archive, Needs
    from verifiers.postgres.cluster import Globals
    from verifiers.postgres.dumps import Dump
    from verifiers.result import Check
    from verifiers.sandbox.server import Completed, SandboxServer

_TAKEN = {"postgres", "template0", "template1"}
_RESTORED_AS = "restored"
_LINES = 200_000  # of messages that are looked at
_INSTEAD = " instead of "
_WITH_GENERATED = """
    SELECT DISTINCT pg_catalog.format('%I.%I', n.nspname, c.relname)
    FROM pg_catalog.pg_attribute a
        JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE a.attgenerated = 's' AND NOT a.attisdropped
"""


@dataclass(frozen=True, slots=True)
class Restored:
    """A database after the restore. check: `restore.messages`. whole: pg_restore or psql came to its end.

    lacking_locale: what the lack of the source's locale can explain, None if the sandbox has it.
    """

    database: str
    check: Check
    whole: bool
    lacking_locale: LackingLocale | None


def minimum_major(archive: Archive) -> int:
    """Return the lowest major version that can take the archive: the dumped server's, or pg_dump's, which wrote it."""
    written_by = (archive.header.dump_version or "").split(".")[0]
    majors = [archive.needs.server_major or 0, int(written_by) if written_by.isdigit() else 0]
    return max(majors)


def lacking(server: SandboxServer, dump: Dump) -> list[str]:
    """Return what the dump needs and the server lacks; tablespaces and roles are not among it, they are made."""
    needs = dump.archive.needs
    wanted = Wanted(
        major=minimum_major(dump.archive) or None,
        compression=dump.archive.header.compression,
        restrict=dump.restricted,
        extensions=needs.extensions,
        languages=needs.languages,
        access_methods=needs.access_methods,
        icu=needs.icu,
    )
    return lacks(wanted, features(server))


def restore(
    server: SandboxServer,
    dump: Dump,
    cluster: Globals | None,
    *,
    roles_of_manifest: Collection[str] | None,
    deadline_s: float,
    scope: Scope = Scope.FULL,
) -> Restored:
    """Restore a dump into a new database of the server, and classify every message of the program that does it.

    cluster: the globals that came with it. roles_of_manifest: names known from the source, made beside those that the
    dump names where there are no globals. scope: a plain dump is always restored as a whole. Raises SandboxError when
    the database cannot be made, LimitError past deadline_s.
    """
    ends = time.monotonic() + deadline_s
    archive = dump.archive
    name = archive.header.database or _RESTORED_AS
    name = _RESTORED_AS if name in _TAKEN else name
    made = _surroundings(archive, cluster, roles_of_manifest)
    messages: list[Message] = []
    try:
        with connect(server.conninfo()) as connection:
            _make_roles(connection, made.roles)
            _make_tablespaces(connection, server, made.tablespaces)
            if cluster is not None:
                script = _script(dump.path.parent / "globals.restore.sql", cluster)
                owned_by_sandbox(script, server.provider)
                messages += _messages(server.run(_psql(server, script, "postgres"), deadline_s=deadline_s))
            locale = _make_database(connection, name, archive.needs)
    except psycopg.Error as error:
        raise SandboxError(f"the sandbox server could not be made ready for the restore: {describe(error)}") from error
    # A tar is read by one process only, a plain dump by psql.
    jobs = min(4, len(os.sched_getaffinity(0))) if archive.layout in {Layout.CUSTOM, Layout.DIRECTORY} else 1
    owned_by_sandbox(dump.path, server.provider)
    if archive.layout is Layout.PLAIN:
        argv = _psql(server, dump.path, name)
    else:
        argv = ["pg_restore", "--no-password", "--jobs", str(jobs), "--dbname", _connection_name(name)]
        argv += ["--section=pre-data", "--section=data"] if scope is Scope.DATA_ONLY else []
        argv.append(server.inside(dump.path))
    completed = server.run(argv, deadline_s=max(1.0, ends - time.monotonic()))
    messages += _messages(completed)
    check = messages_check(completed.returncode, messages)
    told = {**made.told, "locale": locale, "jobs": jobs, "reaches": dump.outreach.told}
    observed = {**check.observed, **told} if isinstance(check.observed, dict) else {"messages": check.observed, **told}
    whole = not any(message.kind is Kind.FATAL for message in messages)
    lacking_locale = None
    if archive.needs.locale and _INSTEAD in locale:
        generated = _generated(server.conninfo(name)) if whole else []
        lacking_locale = LackingLocale.of(archive.needs.locale, messages, generated)
    message = f"{check.message} {dump.outreach.said}".rstrip()
    return Restored(name, replace(check, observed=observed, message=message), whole, lacking_locale)


@dataclass(frozen=True, slots=True)
class _Surroundings:
    """What is made before the database. told: for the record."""

    roles: Collection[str]
    tablespaces: Collection[str]
    told: Mapping[str, object]


def _surroundings(
    archive: Archive, cluster: Globals | None, roles_of_manifest: Collection[str] | None
) -> _Surroundings:
    if cluster is not None:
        told = {"rolesMade": len(cluster.roles), "rolesFrom": "globals", "globals": dict(cluster.counts)}
        return _Surroundings((), cluster.tablespaces, told)
    roles = set(archive.needs.roles) | set(roles_of_manifest or ())
    source = "archive" if roles_of_manifest is None else "manifest and archive"
    return _Surroundings(roles, archive.needs.tablespaces, {"rolesMade": len(roles), "rolesFrom": source})


def _script(path: Path, cluster: Globals) -> Path:
    with new_file(path) as stream:
        stream.write("".join(f"{statement}\n" for statement in cluster.statements).encode())
    return path


def _psql(server: SandboxServer, script: Path, database: str) -> list[str]:
    argv = ["psql", "--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=0", "--output=/dev/null"]
    return [*argv, "--dbname", _connection_name(database), "--file", server.inside(script)]


def _messages(completed: Completed) -> list[Message]:
    """Return what a program said. Of endless output the beginning is classified, and that there is more."""
    with completed.stderr.open(encoding="utf-8", errors="replace") as lines:
        messages = classify(line.rstrip("\n") for line in itertools.islice(lines, _LINES))
        if next(lines, None) is not None:
            messages.append(Message(None, Kind.UNKNOWN, None, f"more than {_LINES} lines of output"))
    return messages


def _generated(conninfo: str) -> list[str]:
    """Return the tables with stored generated columns, named as in a manifest."""
    try:
        with connect(conninfo) as connection:
            return [name for (name,) in connection.execute(_WITH_GENERATED)]
    except psycopg.Error:
        return []  # then nothing is explained by them


def _make_roles(connection: psycopg.Connection[object], roles: Collection[str]) -> None:
    for role in sorted(roles):
        # Names starting with pg_ are the server's own; the superuser exists.
        if role != SUPERUSER and not role.startswith("pg_"):
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))


def _make_tablespaces(connection: psycopg.Connection[object], server: SandboxServer, names: Collection[str]) -> None:
    """Make each tablespace a folder of the box, wherever it was at the source."""
    for number, name in enumerate(sorted(names)):
        folder = server.make_folder(f"tablespace-{number}")
        connection.execute(
            sql.SQL("CREATE TABLESPACE {} LOCATION {}").format(sql.Identifier(name), sql.Literal(server.inside(folder)))
        )


def _make_database(connection: psycopg.Connection[object], name: str, needs: Needs) -> str:
    """Make the database as the source's was, as far as this server can; return which locale it got, in words."""
    make = sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name))
    if needs.encoding:
        make += sql.SQL(" ENCODING {}").format(sql.Literal(needs.encoding))
    as_source = _locale_clauses(connection, needs)
    if as_source is not None:
        try:
            connection.execute(make + as_source)
        except psycopg.Error:
            # Not on this machine. What comes out otherwise for that is judged with it, see `lacking_locale`.
            pass
        else:
            return f"{needs.locale} as at the source"
    for words, clauses in _fallbacks(connection, needs.encoding):
        try:
            connection.execute(make + clauses)
        except psycopg.Error:
            continue
        return f"{words}{_INSTEAD}{needs.locale}, which the sandbox lacks" if needs.locale else words
    raise SandboxError(f"the sandbox server makes no database in encoding {needs.encoding}")


def _locale_clauses(connection: psycopg.Connection[object], needs: Needs) -> sql.Composed | None:
    if not needs.locale:
        return None
    locale = sql.Literal(needs.locale)
    match needs.locale_provider:
        case "builtin":
            return sql.SQL(" LOCALE_PROVIDER builtin BUILTIN_LOCALE {} LOCALE 'C'").format(locale)
        case "icu":
            return sql.SQL(" LOCALE_PROVIDER icu ICU_LOCALE {} LOCALE 'C'").format(locale)
        case _:
            ctype = sql.Literal(needs.ctype or needs.locale)
            return sql.SQL(" LC_COLLATE {} LC_CTYPE {}").format(locale, ctype) + _plain_provider(connection)


def _fallbacks(connection: psycopg.Connection[object], encoding: str | None) -> Iterator[tuple[str, sql.Composable]]:
    """Yield locales by how near they come: one that knows the letters of all languages if the encoding has them."""
    provider = _plain_provider(connection)
    if encoding == "UTF8":
        for name in ("C.utf8", "C.UTF-8"):  # the one name or the other, by the C library
            yield name, sql.SQL(" LOCALE {}").format(sql.Literal(name)) + provider
        if connection.info.server_version >= 170000:
            yield "builtin C.UTF-8", sql.SQL(" LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'")
    yield "C", sql.SQL(" LOCALE 'C'") + provider


def _plain_provider(connection: psycopg.Connection[object]) -> sql.SQL:
    # template0 may have the built-in provider, which knows one encoding only.
    return sql.SQL(" LOCALE_PROVIDER libc") if connection.info.server_version >= 150000 else sql.SQL("")


def _connection_name(database: str) -> str:
    """Return a conninfo for --dbname: a bare name that looks like one would be taken as one."""
    return psycopg.conninfo.make_conninfo(dbname=database)


def facts(server: SandboxServer, archive: Archive) -> Mapping[str, object]:
    """Return what the record says of the server: versions and the settings that set its timings apart."""
    return {
        "postgresVersion": server.programs.version,
        "sourceVersion": archive.header.server_version,
        "settings": server.settings(),
    }
