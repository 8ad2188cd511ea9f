"""People at work: a thread that keeps writing to the demo's database and filestore while backups are taken.

Invariant: it writes as Odoo does, an attachment's file first and its row in a later transaction, and never removes a
file. Leaving the context stops it; what went wrong in the thread is raised there.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import TYPE_CHECKING, Self

import psycopg

from guardian.usecases.demo_estate import store_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

_STOP_TIMEOUT_S = 30


class Writer:
    """Writes in small transactions until the context ends.

    conninfo: of the database to write to. pause_s: seconds between transactions; small, for the backup shares the CPU.
    """

    def __init__(self, conninfo: str, filestore: Path, *, seed: int = 1, pause_s: float = 0.005) -> None:
        self._conninfo = conninfo
        self._filestore = filestore
        self._random = random.Random(seed)  # noqa: S311 -- repeatable filler, no secret
        self._pause_s = pause_s
        self._done: Counter[str] = Counter()
        self._stop = threading.Event()
        self._first = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="demo-writer", daemon=True)

    @property
    def transactions(self) -> int:
        """Number of transactions committed so far."""
        return sum(self._done.values())

    @property
    def by_kind(self) -> Mapping[str, int]:
        """Transactions committed so far by what they did."""
        return dict(self._done)

    @property
    def failed(self) -> bool:
        """Whether it stopped by itself; leaving the context raises why."""
        return self._failure is not None

    def wait_for_first(self, timeout_s: float) -> bool:
        """Wait until something was committed; False if nothing was within `timeout_s` seconds."""
        return self._first.wait(timeout_s)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(_STOP_TIMEOUT_S)
        if self._thread.is_alive():
            raise TimeoutError(f"the demo's writer did not stop within {_STOP_TIMEOUT_S} s")
        if self._failure is not None and error is None:
            raise RuntimeError("the demo's writer failed") from self._failure

    def _run(self) -> None:
        try:
            with psycopg.connect(self._conninfo, application_name="odoo-demo") as connection:
                connection.execute("SET TimeZone TO 'UTC'")  # Odoo stores UTC without a zone
                connection.commit()
                actions = (self._sell, self._sell, self._update_partner, self._move_stock, self._attach, self._detach)
                while not self._stop.wait(self._pause_s):
                    kind = self._random.choice(actions)(connection)
                    connection.commit()
                    self._done[kind] += 1
                    self._first.set()
        except BaseException as failure:  # noqa: BLE001 -- kept for __exit__, which raises it
            self._failure = failure

    def _sell(self, connection: psycopg.Connection) -> str:
        row = connection.execute(
            """
            INSERT INTO sale_order (company_id, partner_id, partner_invoice_id, partner_shipping_id, currency_id, name,
                state, invoice_status, amount_untaxed, amount_tax, amount_total, date_order, create_date, write_date,
                picking_policy, warehouse_id)
            SELECT 1, %(partner)s, %(partner)s, %(partner)s, 1, 'S' || lpad(nextval('ir_sequence_001')::text, 5, '0'),
                'sale', 'no', 100, 19, 119, LOCALTIMESTAMP, LOCALTIMESTAMP, LOCALTIMESTAMP, 'direct', 1
            RETURNING id
            """,
            {"partner": self._random.randint(1, 100)},
        ).fetchone()
        connection.execute(
            """
            INSERT INTO sale_order_line (order_id, company_id, currency_id, product_id, product_uom, state, name,
                product_uom_qty, price_unit, price_subtotal, price_total, customer_lead, create_date, write_date)
            SELECT %s, 1, 1, n, 1, 'sale', 'Part ' || n, %s, 10.50, 10.50, 12.50, 2, LOCALTIMESTAMP, LOCALTIMESTAMP
            FROM generate_series(1, 3) n
            """,
            (row[0] if row else None, self._random.randint(1, 9)),
        )
        return "sale orders"

    def _update_partner(self, connection: psycopg.Connection) -> str:
        connection.execute(
            "UPDATE res_partner SET phone = %s, write_date = LOCALTIMESTAMP WHERE id = %s",
            (f"+49 351 {self._random.randint(2_000_000, 9_999_999)}", self._random.randint(1, 100)),
        )
        return "partner updates"

    def _move_stock(self, connection: psycopg.Connection) -> str:
        quant, quantity = self._random.randint(1, 100), self._random.randint(1, 20)
        connection.execute(
            """
            INSERT INTO stock_move (company_id, product_id, product_uom, location_id, location_dest_id, name, state,
                procure_method, product_uom_qty, quantity, date, create_date, write_date)
            SELECT 1, product_id, 1, location_id, 2, 'Pick', 'done', 'make_to_stock', %s, %s, LOCALTIMESTAMP,
                LOCALTIMESTAMP, LOCALTIMESTAMP FROM stock_quant WHERE id = %s
            """,
            (quantity, quantity, quant),
        )
        connection.execute("UPDATE stock_quant SET quantity = quantity - %s WHERE id = %s", (quantity, quant))
        return "stock moves"

    def _attach(self, connection: psycopg.Connection) -> str:
        content = self._random.randbytes(self._random.choice((300, 5_000, 20_000)))
        name = store_file(self._filestore, content)
        connection.execute(
            """
            INSERT INTO ir_attachment (name, res_model, res_id, type, store_fname, checksum, file_size, mimetype,
                public, create_date)
            VALUES ('scan.pdf', 'sale.order', 1, 'binary', %s, %s, %s, 'application/pdf', false, LOCALTIMESTAMP)
            """,
            (name, name[3:], len(content)),
        )
        return "attachments added"

    def _detach(self, connection: psycopg.Connection) -> str:
        row = connection.execute(
            """
            DELETE FROM ir_attachment WHERE id = (SELECT max(id) FROM ir_attachment WHERE name = 'scan.pdf')
            RETURNING store_fname
            """
        ).fetchone()
        if row is not None:  # marked, as Odoo does, for its garbage collector, which removes the file later
            mark = self._filestore / "checklist" / row[0]
            mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            mark.touch(mode=0o600)
        return "attachments removed"
