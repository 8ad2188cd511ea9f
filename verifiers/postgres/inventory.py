"""What is in a database besides its rows: relations to hash, identity, extensions, collations, roles, large objects.

Invariant: every relation that holds rows is listed, either to be hashed or with the reason why not.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from verifiers.postgres.manifest_shape import Identity, LargeObjects

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

_RELATIONS = """
    SELECT c.oid::int8, n.nspname, c.relname, c.relkind::text, c.relpersistence::text,
        format('%I.%I', n.nspname, c.relname), c.relispopulated,
        CASE WHEN c.relkind <> 'f' THEN pg_table_size(c.oid) ELSE 0 END,
        CASE WHEN c.relkind <> 'f' THEN pg_relation_size(c.oid) / current_setting('block_size')::int8 ELSE 0 END,
        x.extname, x.extconfig IS NOT NULL AND c.oid = ANY (x.extconfig),
        x.extcondition[array_position(x.extconfig, c.oid)]
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        LEFT JOIN pg_extension x ON x.oid = d.refobjid
    WHERE c.relkind IN ('r', 'm', 'f') AND c.relpersistence <> 't'
      AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    ORDER BY n.nspname, c.relname
"""
_IDENTITY = """
    SELECT d.datname, pg_encoding_to_char(d.encoding), d.datcollate, d.datctype,
        CASE has_function_privilege('pg_control_system()', 'EXECUTE')
            WHEN true THEN (SELECT system_identifier::text FROM pg_control_system()) END,
        to_jsonb(d) ->> 'datlocprovider', to_jsonb(d) ->> 'datcollversion'
    FROM pg_database d WHERE d.datname = current_database()
"""
_ODOO_PARAMETERS = """
    SELECT count(*) = 2 FROM pg_attribute
    WHERE attrelid = to_regclass('public.ir_config_parameter') AND attname IN ('key', 'value') AND NOT attisdropped
"""
_COLLATIONS = """
    SELECT format('%I.%I', n.nspname, c.collname), c.collversion
    FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1
"""
_ROLES = """
    SELECT r.rolname, array_remove(ARRAY[
        CASE WHEN r.rolsuper THEN 'superuser' END, CASE WHEN r.rolinherit THEN 'inherit' END,
        CASE WHEN r.rolcreaterole THEN 'createrole' END, CASE WHEN r.rolcreatedb THEN 'createdb' END,
        CASE WHEN r.rolcanlogin THEN 'login' END, CASE WHEN r.rolreplication THEN 'replication' END,
        CASE WHEN r.rolbypassrls THEN 'bypassrls' END], NULL)
    FROM pg_roles r
    WHERE EXISTS (SELECT FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid AND d.datname = current_database()
                  WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = r.oid)
       OR EXISTS (SELECT FROM pg_class c WHERE c.relowner = r.oid AND c.oid >= 16384)
    ORDER BY r.rolname
"""
# A page may be stored short, or not at all where a hole was written; a dump fills both with zeros. So every page is
# hashed without the zeros at its end, empty ones do not count, and the length of the whole is hashed besides.
_LARGE_OBJECTS = """
    SELECT coalesce(sum(o.size), 0)::int8, coalesce(sum(hashtextextended(
            concat_ws(' ', o.oid::int8, o.size, o.pages) COLLATE "C", 0)), 0)::text
    FROM (
        SELECT m.oid,
            coalesce(max(l.pageno::int8 * (current_setting('block_size')::int8 / 4) + octet_length(l.data)), 0) AS size,
            sum(hashtextextended(concat_ws(' ', l.pageno, rtrim(encode(l.data, 'hex'), '0')) COLLATE "C", 0))
                FILTER (WHERE rtrim(encode(l.data, 'hex'), '0') <> '') AS pages
        FROM pg_largeobject_metadata m LEFT JOIN pg_largeobject l ON l.loid = m.oid
        GROUP BY m.oid
    ) o
"""


_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, materialized view or foreign table. excluded: why it is not hashed, empty if it is.

    condition: the WHERE clause of an extension's configuration table, as its extension registered it.
    """

    oid: int
    schema: str
    table: str
    name: str
    materialized: bool
    populated: bool
    size_bytes: int
    blocks: int
    excluded: str
    condition: str | None

    @property
    def hashed(self) -> bool:
        """Whether its rows are to be hashed."""
        return not self.excluded and self.populated


@dataclass(frozen=True, slots=True)
class Facts:
    """What the manifest says of a database besides rows and catalogue."""

    identity: Identity
    large_objects: LargeObjects
    extensions: Mapping[str, str]
    collations: Mapping[str, str | None]
    roles: Mapping[str, Sequence[str]]


def relations(session: psycopg.Connection[Any]) -> list[Relation]:
    """Return every relation that holds rows, by name."""
    found = []
    for row in session.execute(_RELATIONS):
        oid, schema, table, kind, persistence, name, populated, size, blocks, extension, dumped, condition = row
        excluded = ""
        if kind == "f":
            excluded = "foreign table"
        elif persistence == "u":
            excluded = "unlogged"
        elif extension is not None and not dumped:
            excluded = f"belongs to the extension {extension}, which makes it anew"
        found.append(
            Relation(
                oid,
                schema,
                table,
                name,
                kind == "m",
                populated or kind != "m",
                size,
                blocks,
                excluded,
                condition or None,
            )
        )
    return found


def facts(session: psycopg.Connection[Any]) -> Facts:
    """Return identity, large objects, extensions, collations and roles."""
    identity, database_collation = _identity(session)
    collations = {"default": database_collation, **dict(session.execute(_COLLATIONS).fetchall())}
    return Facts(
        identity=identity,
        large_objects=_large_objects(session),
        extensions=dict(session.execute("SELECT extname, extversion FROM pg_extension ORDER BY extname").fetchall()),
        collations=collations,
        roles=dict(session.execute(_ROLES).fetchall()),
    )


def _identity(session: psycopg.Connection[Any]) -> tuple[Identity, str | None]:
    [(database, encoding, collate, ctype, system, provider, version)] = session.execute(_IDENTITY).fetchall()
    dbuuid = odoo_uuid(session)
    provider = {"c": "libc", "i": "icu", "b": "builtin"}.get(provider or "c", provider or "")
    identity = Identity(
        database, system, encoding, collate or "", ctype or "", provider, dbuuid, session.info.server_version
    )
    return identity, version


def odoo_uuid(session: psycopg.Connection[Any]) -> str | None:
    """Return Odoo's database.uuid, None where there is none; a value of another shape only as its digest."""
    [(odoo,)] = session.execute(_ODOO_PARAMETERS).fetchall()
    if not odoo:
        return None
    query = "SELECT value::text FROM public.ir_config_parameter WHERE key = 'database.uuid' ORDER BY 1 LIMIT 1"
    value = next((value for (value,) in session.execute(query)), None)
    if value is None or _UUID.fullmatch(value):
        return value
    return "sha256:" + hashlib.sha256(value.encode()).hexdigest()


def _large_objects(session: psycopg.Connection[Any]) -> LargeObjects:
    [(count, readable)] = session.execute(
        "SELECT (SELECT count(*) FROM pg_largeobject_metadata), has_table_privilege('pg_largeobject', 'SELECT')"
    ).fetchall()
    if count == 0:
        return LargeObjects(0, 0, "0")
    if not readable:
        return LargeObjects(count, None, None)
    [(size, content)] = session.execute(_LARGE_OBJECTS).fetchall()
    return LargeObjects(count, size, content)
