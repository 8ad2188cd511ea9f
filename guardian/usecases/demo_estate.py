"""The estate that the demo guards: Odoo-shaped databases, each with the filestore that belongs to it.

Invariant: the same seed, scale and time give the same rows and files. Databases are made by the server's superuser and
owned by the role `odoo`, as Odoo's are. Taking backups, and spoiling them, happens elsewhere.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

OWNER = "odoo"
OLD_ADMIN = "old_admin"
SEED = 20170817
# A fixed moment, so that two demos hold the same rows; what the writer adds bears the real time.
MOMENT = datetime(2026, 11, 1, 6, 0, tzinfo=UTC)
# A production server in small. Durable, as `postgres.durability` asks; data checksums are initdb's own default.
SERVER_SETTINGS: Mapping[str, str] = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "max_connections": "40",
    "max_wal_size": "2GB",
}

_FILES = 360
_URL_ROWS = 12
_DATABASE_ROWS = 15
_MIMETYPES = ("application/pdf", "image/png", "text/csv", "application/vnd.ms-excel", "image/jpeg")
_ATTACHMENT_COLUMNS = (
    "name, res_model, res_id, type, url, store_fname, checksum, file_size, mimetype, db_datas, public, company_id, "
    "create_uid, write_uid, create_date, write_date"
)


@dataclass(frozen=True, slots=True)
class Estate:
    """One database with its filestore. rows: over all tables; files and file_bytes: of the filestore."""

    database: str
    uuid: str
    rows: int
    files: int
    file_bytes: int


def build(
    conninfo: str,
    databases: Sequence[str],
    folder: Path,
    *,
    seed: int = SEED,
    moment: datetime = MOMENT,
    scale: float = 1.0,
    owner_password: str | None = None,
) -> list[Estate]:
    """Create the databases, each with its filestore `folder/<database>`. See `load` for the other arguments.

    The first is loaded, the others are copies of it. Nobody may connect to the first before all are made.
    """
    first, *others = databases
    made = [load(conninfo, first, folder / first, seed=seed, moment=moment, scale=scale, owner_password=owner_password)]
    made += [duplicate(conninfo, made[0], name, folder / first, folder / name, moment=moment) for name in others]
    return made


def load(
    conninfo: str,
    database: str,
    filestore: Path,
    *,
    seed: int = SEED,
    moment: datetime = MOMENT,
    scale: float = 1.0,
    owner_password: str | None = None,
) -> Estate:
    """Create and load `database`, owned by the role `odoo`, and its `filestore` folder, which must not exist yet.

    conninfo: of a superuser. moment: aware; business dates lie in the 400 days before it.
    scale: 1.0 gives about 80,000 rows and 360 files; small scales keep at least a twentieth of the rows.
    Raises psycopg.Error, or FileExistsError if the folder is there.
    """
    with psycopg.connect(conninfo, autocommit=True) as admin:
        _create_owner(admin, owner_password)
        admin.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8'").format(
                sql.Identifier(database), sql.Identifier(OWNER)
            )
        )
    with psycopg.connect(make_conninfo(conninfo, dbname=database)) as connection:
        connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(OWNER)))
        for name, value in (
            ("demo.seed", seed),
            ("demo.scale", scale),
            ("demo.now", moment.astimezone(UTC).replace(tzinfo=None)),
        ):
            connection.execute("SELECT set_config(%s, %s, true)", (name, str(value)))
        connection.execute(_script("demo_schema.sql"))
        connection.execute(_script("demo_rows.sql"))
        with connection.cursor().copy(f"COPY ir_attachment ({_ATTACHMENT_COLUMNS}) FROM STDIN".encode()) as copy:
            for row in _attachments(filestore, seed, moment, count=max(40, round(_FILES * scale))):
                copy.write_row(row)
        connection.execute(_script("demo_constraints.sql"))
        _set_parameters(connection, database, moment)
        connection.commit()
        connection.autocommit = True
        connection.execute("ANALYZE")
        return _describe(connection, database, filestore)


def duplicate(
    conninfo: str, template: Estate, database: str, source: Path, filestore: Path, *, moment: datetime = MOMENT
) -> Estate:
    """Copy a built estate under another name, as an Odoo operator duplicates a database: it gets a uuid of its own.

    Nobody may be connected to the template. Filestore files are linked where the file system allows it: Odoo never
    changes a file of a filestore, so that two sources may share them (a backup never may).
    """
    with psycopg.connect(conninfo, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(
                sql.Identifier(database), sql.Identifier(OWNER), sql.Identifier(template.database)
            )
        )
    shutil.copytree(source, filestore, copy_function=_link_or_copy)
    with psycopg.connect(make_conninfo(conninfo, dbname=database)) as connection:
        _set_parameters(connection, database, moment)
        return _describe(connection, database, filestore)


def plant_old_admin(conninfo: str, password: str | None = None) -> None:
    """Create the login superuser `old_admin`: what a consultant left behind."""
    with psycopg.connect(conninfo, autocommit=True) as admin:
        _create_role(admin, OLD_ADMIN, sql.SQL("LOGIN SUPERUSER"), password)


def file_name(content: bytes) -> str:
    """Return the name under which Odoo keeps `content`: `<2 hex>/<sha1>`."""
    digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    return f"{digest[:2]}/{digest}"


def store_file(filestore: Path, content: bytes) -> str:
    """Write `content` below `filestore` as Odoo does, once, and return its name."""
    name = file_name(content)
    path = filestore / name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(content)
        path.chmod(0o600)
    return name


def _script(name: str) -> bytes:
    return files("guardian.usecases").joinpath(name).read_bytes()


def _create_owner(admin: psycopg.Connection, password: str | None) -> None:
    if admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (OWNER,)).fetchone() is None:
        _create_role(admin, OWNER, sql.SQL("LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE"), password)


def _create_role(admin: psycopg.Connection, name: str, attributes: sql.SQL, password: str | None) -> None:
    statement = sql.SQL("CREATE ROLE {} ").format(sql.Identifier(name)) + attributes
    if password is not None:
        # The server gets the verifier, so that the password stands in no statement log.
        verifier = admin.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
        statement += sql.SQL(" PASSWORD {}").format(sql.Literal(verifier))
    admin.execute(statement)


def _attachments(filestore: Path, seed: int, moment: datetime, *, count: int) -> Iterator[tuple[object, ...]]:
    """Write the files and yield the rows of ir_attachment that go with them, and rows that have no file."""
    source = random.Random(seed)  # noqa: S311 -- repeatable filler, no secret
    filestore.mkdir(mode=0o700, parents=True)
    written = moment.astimezone(UTC).replace(tzinfo=None)
    common = (False, 1, 1, 1, written, written)
    for number in range(1, count + 1):
        mimetype = _MIMETYPES[number % len(_MIMETYPES)]
        content = f"{mimetype} {number}\n".encode() + source.randbytes(source.choice((180, 900, 4_000, 16_000, 48_000)))
        name = store_file(filestore, content)
        row = ("binary", None, name, name[3:], len(content), mimetype, None)
        yield (f"INV-{number}.pdf", "account.move", number, *row, *common)
        if number % 40 == 0:  # Odoo stores equal content once: two rows, one file
            yield (f"Copy of INV-{number}.pdf", "mail.message", number, *row, *common)
    for number in range(1, _URL_ROWS + 1):
        link = ("url", f"/web/assets/{number}/web.assets_frontend.min.js", None, None, None, "text/javascript", None)
        yield (f"asset {number}", None, None, *link, *common)
    for number in range(1, _DATABASE_ROWS + 1):
        content = source.randbytes(120 + number)
        digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        small = ("binary", None, None, digest, len(content), "image/png", content)
        yield (f"icon_{number}.png", "res.partner", number, *small, *common)


def _set_parameters(connection: psycopg.Connection, database: str, moment: datetime) -> None:
    """Give the database the identity that Odoo gives one when it is made."""
    parameters = {
        "database.uuid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"guardian-demo:{database}")),
        "database.create_date": moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S"),
    }
    for key, value in parameters.items():
        connection.execute(
            "INSERT INTO ir_config_parameter (key, value) VALUES (%s, %s)"
            " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, value),
        )


def _describe(connection: psycopg.Connection, database: str, filestore: Path) -> Estate:
    row = connection.execute("SELECT value FROM ir_config_parameter WHERE key = 'database.uuid'").fetchone()
    tables = connection.execute(
        "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    rows = 0
    for (table,) in tables.fetchall():
        counted = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
        rows += counted[0] if counted else 0
    sizes = [path.stat().st_size for path in filestore.rglob("*") if path.is_file()]
    return Estate(database, str(row[0]) if row else "", rows, len(sizes), sum(sizes))


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
