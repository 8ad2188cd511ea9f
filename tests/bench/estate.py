"""An Odoo-like database and a filestore of a given size, for measurements: wide text, journal lines, JSON, indexes."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = """
CREATE EXTENSION IF NOT EXISTS amcheck;
CREATE TABLE res_users (id int PRIMARY KEY, login varchar NOT NULL UNIQUE, active boolean);
CREATE TABLE res_company (id int PRIMARY KEY, name varchar NOT NULL, currency numeric(12, 6));
CREATE TABLE res_partner (id int PRIMARY KEY, name varchar NOT NULL, vat varchar, email varchar, street varchar,
    company_id int REFERENCES res_company, active boolean, comment text, create_uid int REFERENCES res_users,
    write_uid int REFERENCES res_users, create_date timestamp);
CREATE TABLE product_template (id int PRIMARY KEY, name jsonb NOT NULL, list_price numeric, weight numeric, active bool,
    create_uid int REFERENCES res_users, write_uid int REFERENCES res_users);
CREATE TABLE account_move (id int PRIMARY KEY, name varchar, partner_id int REFERENCES res_partner, state varchar,
    date date, amount_total numeric, narration text, company_id int REFERENCES res_company,
    create_uid int REFERENCES res_users, write_uid int REFERENCES res_users, create_date timestamp);
CREATE TABLE account_move_line (id int PRIMARY KEY, move_id int REFERENCES account_move, partner_id int
    REFERENCES res_partner, product_id int REFERENCES product_template, company_id int REFERENCES res_company,
    account_id int, journal_id int, name varchar, debit numeric, credit numeric, balance numeric, date date,
    analytic_distribution jsonb, reconciled boolean, create_uid int REFERENCES res_users,
    write_uid int REFERENCES res_users, write_date timestamp);
CREATE TABLE stock_move (id int PRIMARY KEY, product_id int REFERENCES product_template, picking_id int,
    location_id int, location_dest_id int, name varchar, quantity numeric, price_unit double precision, state varchar,
    date timestamp, reference varchar, create_uid int REFERENCES res_users, write_uid int REFERENCES res_users);
CREATE TABLE mail_message (id int PRIMARY KEY, model varchar, res_id int, author_id int REFERENCES res_partner,
    subject varchar, body text, date timestamp, message_id varchar, create_uid int REFERENCES res_users,
    write_uid int REFERENCES res_users);
CREATE TABLE ir_attachment (id int PRIMARY KEY, name varchar, store_fname varchar, checksum varchar(40), file_size int,
    db_datas bytea, index_content text);
CREATE TABLE ir_config_parameter (id int PRIMARY KEY, key varchar NOT NULL UNIQUE, value text NOT NULL);
INSERT INTO ir_config_parameter VALUES (1, 'database.uuid', 'a7b0c9c2-0000-4000-8000-000000000001');
INSERT INTO res_users SELECT i, 'user' || i, true FROM generate_series(1, 200) i;
INSERT INTO res_company SELECT i, 'Company ' || i, 1.0 / i FROM generate_series(1, 20) i;
INSERT INTO res_partner SELECT i, 'Partner ' || md5(i::text), 'DE' || i, md5((i * 7)::text) || '@example.com',
    left(md5((i * 3)::text), 20) || ' ' || i, 1 + i % 20, i % 9 <> 0, md5((i * 11)::text), 1 + i % 200, 1 + i % 199,
    now() - i * interval '1 min' FROM generate_series(1, 100000) i;
INSERT INTO product_template SELECT i, jsonb_build_object('en_US', 'Product ' || md5(i::text), 'de_DE', 'Teil ' || i),
    (i % 9000) / 7.0, (i % 100) * 0.25, true, 1 + i % 200, 1 + i % 199 FROM generate_series(1, 50000) i;
INSERT INTO account_move SELECT i, 'INV/2026/' || lpad(i::text, 7, '0'), 1 + i % 100000, 'posted',
    date '2020-01-01' + i % 2000, (i * 37 % 1000000) / 100.0, md5(i::text), 1 + i % 20, 1 + i % 200, 1 + i % 199,
    now() - i * interval '1 s' FROM generate_series(1, 300000) i;
"""
# Rows at scale 1, which is a database of about 850 MB with its indexes; what they refer to has its size above.
ROWS = {
    "account_move_line": 1_270_000,
    "stock_move": 650_000,
    "mail_message": 330_000,
}
_VALUES = {
    "account_move_line": """i, 1 + i % 300000, 1 + i % 100000, 1 + i % 50000, 1 + i % 20, 1 + i % 400, 1 + i % 12,
        'Line ' || md5(i::text), (i * 13 % 1000000) / 100.0, 0, (i * 13 % 1000000) / 100.0,
        date '2020-01-01' + i % 2000, CASE WHEN i % 4 = 0 THEN jsonb_build_object((i % 50)::text, 100.0) END, i % 3 = 0,
        1 + i % 200, 1 + i % 199, now() - i * interval '1 s'""",
    "stock_move": """i, 1 + i % 50000, i / 3, 1 + i % 40, 1 + i % 41, 'WH/OUT/' || md5(i::text), (i % 5000) / 10.0,
        i * 1.1e-3, 'done', now() - i * interval '3 s', 'WH/' || i, 1 + i % 200, 1 + i % 199""",
    "mail_message": """i, 'sale.order', i % 100000, 1 + i % 100000, 'Re: order ' || i,
        '<p>' || (SELECT string_agg(md5((i * 100 + n)::text), ' wrote about the delivery ')
        FROM generate_series(1, 6) n) || '</p>', now() - i * interval '7 s',
        '<' || md5((i * 5)::text) || '@example.com>', 1 + i % 200, 1 + i % 199""",
}
INDEXES = """
CREATE INDEX ON res_partner (name); CREATE INDEX ON res_partner (email); CREATE INDEX ON res_partner (company_id);
CREATE INDEX ON res_partner (vat); CREATE INDEX ON account_move (partner_id); CREATE INDEX ON account_move (date, name);
CREATE INDEX ON account_move (name, state); CREATE INDEX ON account_move_line (move_id);
CREATE INDEX ON account_move_line (partner_id); CREATE INDEX ON account_move_line (product_id);
CREATE INDEX ON account_move_line (account_id, date); CREATE INDEX ON account_move_line (journal_id);
CREATE INDEX ON account_move_line (partner_id, account_id); CREATE INDEX ON account_move_line (date, id)
    WHERE NOT reconciled; CREATE INDEX ON account_move_line USING gin (analytic_distribution);
CREATE INDEX ON stock_move (product_id); CREATE INDEX ON stock_move (reference);
CREATE INDEX ON stock_move (picking_id);
CREATE INDEX ON stock_move (location_id, location_dest_id); CREATE INDEX ON stock_move (date);
CREATE INDEX ON mail_message (model, res_id); CREATE INDEX ON mail_message (author_id);
CREATE INDEX ON mail_message (message_id); CREATE INDEX ON mail_message (date); VACUUM ANALYZE;
"""


def fill(conninfo: str, scale: float) -> int:
    """Fill an empty database; return its size in bytes. scale: 1 for about 840 MB."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(SCHEMA)
        for table, rows in ROWS.items():
            count = max(1, int(rows * scale))
            connection.execute(
                f"INSERT INTO {table} SELECT {_VALUES[table]} FROM generate_series(1, {count}) i".encode()
            )
        for statement in INDEXES.split(";"):
            if statement.strip():
                connection.execute(statement.encode())
        connection.execute("CHECKPOINT")
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        assert row is not None
        return int(row[0])


def store(root: Path, *, files: int, size_bytes: int) -> int:
    """Make files of random bytes under `root`, named by their SHA-1 as Odoo does; return their bytes."""

    def one(_: int) -> None:
        content = os.urandom(size_bytes)
        name = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        folder = root / name[:2]
        folder.mkdir(exist_ok=True, parents=True)
        (folder / name).write_bytes(content)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, range(files)))
    return files * size_bytes
