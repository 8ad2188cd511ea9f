"""Random but honest databases: schemas of many features, in several encodings and sizes, all from one seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from tests.formats_support import FORMS, Dumps, Formatted, against

if TYPE_CHECKING:
    from verifiers.sandbox.server import SandboxServer

ENCODINGS = ("UTF8", "UTF8", "UTF8", "LATIN1", "SQL_ASCII", "EUC_JP")
FORM_NAMES = tuple(FORMS)
_FILE = Path(__file__).parent / "data" / "healthy_features.sql"
FEATURES = dict(part.split("\n", 1) for part in _FILE.read_text(encoding="utf-8").split("-- feature: ")[1:])
_LETTERS = {"UTF8": "ünï 漢字 €", "LATIN1": "é ß ñ", "SQL_ASCII": "plain", "EUC_JP": "漢字"}


@dataclass(frozen=True)
class Healthy:
    """What one seed makes."""

    seed: int
    encoding: str
    form: str
    features: tuple[str, ...]
    rows: int

    @classmethod
    def of(cls, seed: int) -> Healthy:
        """Draw it."""
        chosen = random.Random(f"healthy {seed}")
        features = tuple(chosen.sample(sorted(FEATURES), chosen.randrange(2, 9)))
        encoding, form = chosen.choice(ENCODINGS), chosen.choice(FORM_NAMES)
        return cls(seed, encoding, form, features, chosen.choice([0, 1, 10, 300, 3000]))

    def alarms(self, server: SandboxServer, provider: str, folder: Path) -> dict[str, str]:
        """Make the database, back it up with its manifest, drill it; return what did not pass."""
        name, role = f"healthy_{self.seed}", f"healthy_{self.seed}"
        quoted = sql.Identifier(name)
        with psycopg.connect(server.conninfo(), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {} LOCALE 'C'").format(quoted, self.encoding)
            )
            connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
            try:
                dumps = Dumps(server, folder / "made", name)
                dumps.folder.mkdir()
                self._fill(dumps.url, role)
                backup = Formatted(dumps, self.form, folder, provider, age=str(dumps.key), database=name)
                return against(backup.take().drill())
            finally:
                with psycopg.connect(server.conninfo(name), autocommit=True, client_encoding="UTF8") as inside:
                    for (subscription,) in inside.execute(
                        "SELECT subname FROM pg_subscription JOIN pg_database d ON d.oid = subdbid"
                        " WHERE datname = current_database()"
                    ).fetchall():
                        inside.execute(sql.SQL("DROP SUBSCRIPTION {}").format(sql.Identifier(subscription)))
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(quoted))
                connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))

    def _fill(self, url: str, role: str) -> None:
        with psycopg.connect(url, autocommit=True, client_encoding="UTF8") as connection:
            if self.encoding == "SQL_ASCII":
                connection.execute("SET client_encoding = 'SQL_ASCII'")
            for number, feature in enumerate(self.features):
                text = FEATURES[feature].replace("PREFIX", f"f{number}").replace("ROWS", str(self.rows))
                connection.execute(text.replace("ROLE", role).encode())
            connection.execute("CREATE TABLE letters (t text)")
            connection.execute(f"INSERT INTO letters VALUES ('{_LETTERS[self.encoding]}')".encode())
