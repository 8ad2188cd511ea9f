"""`constraints`: foreign keys verified by SQL, and every constraint that is declared but was never validated.

Invariant: a foreign key passes only if every row was looked at in this very copy: by the query here, or by the server
itself when a restore made the key. What a catalogue that came along with the rows says of it counts for nothing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from psycopg import sql

from verifiers.postgres.outcome import SHOWN, Outcome, examine, named
from verifiers.postgres.sharing import share
from verifiers.result import Assurance, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from verifiers.result import Check

# Through a partitioned table the key of its partitions is verified too. Last but one: whether it cannot be verified so,
# being over a PERIOD or declared NOT ENFORCED (both PostgreSQL 18).
_FOREIGN_KEYS = """
    SELECT format('%I on %s', k.conname, k.conrelid::regclass), k.convalidated, k.confmatchtype::text,
        cn.nspname, c.relname, c.relkind = 'p', pn.nspname, p.relname, p.relkind = 'p',
        coalesce((to_jsonb(k) ->> 'conperiod')::boolean, false)
            OR NOT coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true),
        (SELECT array_agg(array[fa.attname::text, pa.attname::text, opn.nspname::text, o.oprname::text,
                CASE WHEN fa.attcollation <> pa.attcollation THEN con.nspname END::text,
                CASE WHEN fa.attcollation <> pa.attcollation THEN co.collname END::text] ORDER BY x.place)
         FROM unnest(k.conkey, k.confkey, k.conpfeqop) WITH ORDINALITY AS x (f, p, operator, place)
            JOIN pg_attribute fa ON fa.attrelid = k.conrelid AND fa.attnum = x.f
            JOIN pg_attribute pa ON pa.attrelid = k.confrelid AND pa.attnum = x.p
            JOIN pg_operator o ON o.oid = x.operator JOIN pg_namespace opn ON opn.oid = o.oprnamespace
            LEFT JOIN pg_collation co ON co.oid = pa.attcollation
            LEFT JOIN pg_namespace con ON con.oid = co.collnamespace)
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
        JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
    WHERE k.contype = 'f' AND k.conparentid = 0 AND c.relpersistence <> 't'
    ORDER BY c.relpages DESC, 1
"""
_NOT_VALID = """
    SELECT CASE WHEN k.conrelid <> 0 THEN format('%I on %s', k.conname, k.conrelid::regclass)
        ELSE format('%I on %s', k.conname, k.contypid::regtype) END
    FROM pg_constraint k WHERE NOT k.convalidated ORDER BY 1
"""


def constraints(
    conninfo: str,
    *,
    made_here: bool = False,
    deadline_s: float = 1800,
    progress: Callable[[int, int], None] | None = None,
) -> Check:
    """`constraints` (sound): foreign keys re-verified by SQL, and what is not validated named. progress: (keys, of).

    made_here: a restore has just made the keys in this server, after the rows: one that is valid, its server verified.

    A constraint that is NOT VALID is so at the source (a restore validates whatever it can make), so it is told and
    fails only if rows break it: foreign keys are looked at in any case.
    """
    ends = time.monotonic() + deadline_s

    def look(session: psycopg.Connection[Any]) -> Outcome:
        keys = session.execute(_FOREIGN_KEYS).fetchall()
        not_valid = [name for (name,) in session.execute(_NOT_VALID)]
        [(total,)] = session.execute("SELECT count(*) FROM pg_constraint WHERE conrelid >= 16384").fetchall()
        unchecked = [name for name, *_, not_checkable, _ in keys if not_checkable]
        checkable = [key for key in keys if not key[-2]]
        looked = [key for key in checkable if not (made_here and key[1])]
        by_restore = len(checkable) - len(looked)
        broken: dict[str, int] = {}

        def key(session: psycopg.Connection[Any], found: tuple[Any, ...]) -> None:
            name, _, match, *tables, _, columns = found
            [(orphans,)] = session.execute(_orphans(tables, columns, match_full=match == "f")).fetchall()
            if orphans:
                broken[name] = orphans

        done = share(conninfo, session, looked, key, ends=ends, progress=progress)
        if done < len(looked):
            message = f"The time was over after {done} of {len(looked)} foreign keys."
            return Outcome(Verdict.ERROR, None, {"foreignKeys": done, "of": len(looked)}, message)
        counts: dict[str, Any] = {
            "constraints": total,
            "foreignKeys": len(keys),
            "verifiedByRestore": by_restore,
            "broken": len(broken),
            "notValid": not_valid[:SHOWN],
            "notReverified": unchecked[:SHOWN],
        }
        if broken:
            some = dict(sorted(broken.items())[:SHOWN])
            said = [f"{name} ({orphans} rows)" for name, orphans in some.items()]
            message = f"{len(broken)} foreign keys have rows without the row they refer to: {named(said)}."
            return Outcome(Verdict.FAIL, {"broken": 0}, {**counts, "brokenKeys": some}, message)
        message = f"All {len(keys) - len(unchecked)} foreign keys hold, verified row by row"
        message += " by the server, as the restore made them" if by_restore else ""
        message += f"; never validated at the source: {named(not_valid)}." if not_valid else "."
        return Outcome(Verdict.PASS, {"broken": 0}, counts, message)

    return examine("constraints", Assurance.SOUND, conninfo, deadline_s, look)


def _orphans(tables: list[Any], columns: list[list[str | None]], *, match_full: bool) -> sql.Composed:
    """Return the query that counts referencing rows without a referenced one, as PostgreSQL itself looks for them."""
    schema, table, partitioned, other_schema, other_table, other_partitioned = tables
    equal, nulls = [], []
    for column, other, operator_schema, operator, collation_schema, collation in columns:
        left = sql.SQL("f.{}").format(sql.Identifier(str(column)))
        if collation is not None:
            left += sql.SQL(" COLLATE {}").format(sql.Identifier(str(collation_schema), collation))
        equal.append(
            sql.SQL("p.{} OPERATOR({}.{}) {}").format(
                sql.Identifier(str(other)), sql.Identifier(str(operator_schema)), sql.SQL(str(operator)), left
            )
        )
        nulls.append(sql.SQL("f.{} IS NOT NULL").format(sql.Identifier(str(column))))
    return sql.SQL(
        "SELECT pg_catalog.count(*) FROM {only}{table} f WHERE ({nulls})"
        " AND NOT EXISTS (SELECT FROM {other_only}{other} p WHERE {equal})"
    ).format(
        only=sql.SQL("" if partitioned else "ONLY "),
        table=sql.Identifier(schema, table),
        # MATCH SIMPLE lets a row pass that has any NULL in the key, MATCH FULL only one that has nothing else.
        nulls=sql.SQL(" OR " if match_full else " AND ").join(nulls),
        other_only=sql.SQL("" if other_partitioned else "ONLY "),
        other=sql.Identifier(other_schema, other_table),
        equal=sql.SQL(" AND ").join(equal),
    )
