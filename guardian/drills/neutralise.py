"""Make a restored Odoo copy harmless: no mail, no scheduled jobs, no calls to the outside.

The sandbox has no network and nothing of Odoo runs in it, so this guards whoever looks at the copy later. It comes
after the content was compared, since it changes content, and before any application is let near it.
"""

from __future__ import annotations

from psycopg import sql

from verifiers.postgres.session import connect
from verifiers.result import Check, Verdict

# Table, the column that switches it off, and the value for off.
_SWITCHES = (
    ("ir_mail_server", "active", "false"),
    ("fetchmail_server", "active", "false"),
    ("ir_cron", "active", "false"),
    ("base_automation", "active", "false"),
    ("webhook_webhook", "active", "false"),
    ("payment_provider", "state", "'disabled'"),
)
_COLUMN = """
    SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname)
    FROM pg_catalog.pg_attribute a
        JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = %s AND a.attname = %s AND NOT a.attisdropped AND c.relkind = 'r' AND n.nspname = 'public'
"""


def neutralise(conninfo: str) -> Check:
    """Switch off what acts by itself in an Odoo database, and return the check `neutralised`. Raises psycopg.Error."""
    switched: dict[str, int] = {}
    with connect(conninfo) as connection, connection.transaction():
        # Triggers of the restored database are restored code too: none is to run for our update.
        connection.execute("SET LOCAL session_replication_role = replica")
        for table, column, off in _SWITCHES:
            if connection.execute(_COLUMN, (table, column)).fetchone() is None:
                continue
            update = sql.SQL("UPDATE public.{} SET {} = {} WHERE {} IS DISTINCT FROM {}").format(
                sql.Identifier(table), sql.Identifier(column), sql.SQL(off), sql.Identifier(column), sql.SQL(off)
            )
            switched[table] = connection.execute(update).rowcount
    return Check(
        "neutralised",
        None,
        Verdict.PASS,
        expected="mail servers, scheduled jobs and webhooks off",
        observed={"switchedOff": switched},
        message=f"{sum(switched.values())} mail servers, scheduled jobs and webhooks were switched off in the copy.",
    )
