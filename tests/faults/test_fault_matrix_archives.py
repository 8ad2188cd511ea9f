"""Faults of packed backups: tars, Odoo's zips, click-odoo's folders. The numbers are those of matrix.py."""

from __future__ import annotations

import hashlib
import re
import shutil
from typing import TYPE_CHECKING

import psycopg
import pyrage
import pytest

from guardian.model import Assurance
from tests.archive_support import FORMS, Packed
from tests.drill_support import Estate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.catching import Caught
    from verifiers.sandbox.isolation import Provider
    from verifiers.sandbox.server import SandboxServer

ODOO = ("odoo_zip", "click_odoo")
COLUMN = {form: "archive" if kind == "tar" else form.removesuffix(".zip") for form, (kind, _) in FORMS.items()}
TARS = [form for form in FORMS if COLUMN[form] == "archive"]


@pytest.fixture
def estate(postgres_server: SandboxServer, postgres_url: str, sandbox_provider: Provider, tmp_path: Path) -> Estate:
    database = psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"]
    made = Estate(postgres_server, str(database), tmp_path, sandbox_provider.name)
    made.fill()
    return made


def cut(keep: float) -> Callable[[Path], object]:
    """Return a damage that leaves so much of a file."""
    return lambda path: path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])


def flipped(path: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


def edited(pattern: str, keep: Callable[[str], str]) -> Callable[[Path], object]:
    """Return a change of dump.sql, behind the first place that matches."""

    def change(folder: Path) -> None:
        dump = folder / "dump.sql"
        text = dump.read_text()
        found = re.search(pattern, text)
        assert found is not None
        dump.write_text(text[: found.end()] + keep(text[found.end() :]))

    return change


def stored(folder: Path) -> Path:
    """Return one file of a filestore."""
    return min(path for path in (folder / "filestore").rglob("*") if path.is_file())


def attach(estate: Estate, content: bytes) -> str:
    """Make one more attachment in the live estate; return the name of its file."""
    digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    path = estate.filestore / digest[:2] / digest
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with psycopg.connect(estate.conninfo()) as connection:
        connection.execute(
            "INSERT INTO ir_attachment VALUES (99, %s, %s, %s, NULL)", [f"{digest[:2]}/{digest}", digest, len(content)]
        )
    return digest


def test_01_dump_in_a_zip_cut_mid_row(estate: Estate, caught: Caught) -> None:
    packed = Packed(estate, "odoo_zip").take(change=edited(r"\t2562\.5", lambda _: ""))
    caught(1, "odoo_zip", packed.drill(), by="archive.complete", says="whole")


def test_02_dump_in_a_zip_cut_at_a_statements_border(estate: Estate, caught: Caught) -> None:
    packed = Packed(estate, "odoo_zip").take(change=edited(r"\n\\\.\n", lambda _: "\n"))
    caught(2, "odoo_zip", packed.drill(), by="archive.complete", says="whole")


@pytest.mark.parametrize("keep", [0.5, 0.98])
@pytest.mark.parametrize("form", ["tar.gz", "tar.zst", "tar.lz4", "tar.gz.age", "odoo_zip"])
def test_03_archive_cut(estate: Estate, caught: Caught, form: str, keep: float) -> None:
    packed = Packed(estate, form).take(damage=cut(keep), exact=False)
    caught(3, COLUMN[form], packed.drill(), by="archive.complete", says="cut|whole|too early|damaged|no end")


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_03_tar_cut_inside_and_between_members(estate: Estate, caught: Caught, keep: float) -> None:
    blocks = Packed(estate, "tar").take(damage=cut(keep), exact=False)
    size = blocks.path.stat().st_size
    blocks.path.write_bytes(blocks.path.read_bytes()[: size - size % 512])
    caught(3, "archive", blocks.drill(), by="archive.complete", says="cut short")


@pytest.mark.parametrize("form", ["tar.gz", "tar.zst", "tar.lz4", "tar.gz.age", "odoo_zip"])
def test_07_bit_flipped(estate: Estate, caught: Caught, form: str) -> None:
    packed = Packed(estate, form).take(damage=flipped, exact=False)
    caught(7, COLUMN[form], packed.drill(), by="archive.complete", says="damaged|CRC|whole")


@pytest.mark.parametrize("form", ["tar", "tar.gz", "tar.gz.age", "odoo_zip", "click_odoo.zip"])
def test_08_zero_bytes(estate: Estate, caught: Caught, form: str) -> None:
    packed = Packed(estate, form).take(damage=lambda path: path.write_bytes(b""), exact=False)
    caught(8, COLUMN[form], packed.drill(), by="archive.complete", says="0 bytes")


@pytest.mark.parametrize("form", ["tar.gz", "odoo_zip", "click_odoo"])
def test_08_zero_bytes_of_the_dump_inside(estate: Estate, caught: Caught, form: str) -> None:
    dump = FORMS[form][1]
    packed = Packed(estate, form).take(change=lambda folder: (folder / dump).write_bytes(b""), exact=False)
    caught(8, COLUMN[form], packed.drill(), by="archive.complete", says="0 bytes|empty")


@pytest.mark.parametrize("form", ["tar.gz", "odoo_zip", "click_odoo"])
def test_22_manifest_json_names_another_database(estate: Estate, caught: Caught, form: str) -> None:
    packed = Packed(estate, form, named="somebody_elses").take(exact=False)
    caught(22, COLUMN[form], packed.drill(), by="identity", says="'somebody_elses' instead of")


@pytest.mark.parametrize("form", ["tar.gz", "odoo_zip", "click_odoo", "click_odoo.zip"])
def test_28_backup_taken_without_its_filestore(estate: Estate, caught: Caught, form: str) -> None:
    packed = Packed(estate, form).take(change=lambda folder: shutil.rmtree(folder / "filestore"), exact=False)
    caught(28, COLUMN[form], packed.drill(), by="archive.complete", says="filestore/")


@pytest.mark.parametrize("form", ["tar.gz", *ODOO])
def test_28_row_without_file(estate: Estate, caught: Caught, form: str) -> None:
    packed = Packed(estate, form).take(change=lambda folder: stored(folder).unlink(), exact=False)
    caught(28, COLUMN[form], packed.drill(), by="filestore.bijection", says="file")


@pytest.mark.parametrize("form", ["tar.gz", *ODOO])
def test_29_content_not_its_name(estate: Estate, caught: Caught, form: str) -> None:
    packed = Packed(estate, form).take(change=lambda folder: flipped(stored(folder)), exact=False)
    caught(29, COLUMN[form], packed.drill(), by="filestore.content", says="", beyond={"filestore.bijection"})


@pytest.mark.parametrize("form", ["tar.gz", *ODOO])
def test_30_filestore_older_than_the_database_as_odoo_copies_it_first(
    estate: Estate, caught: Caught, form: str
) -> None:
    packed = Packed(estate, form).take(during=lambda: attach(estate, b"made meanwhile"), exact=False)
    caught(30, COLUMN[form], packed.drill(), by="filestore.bijection", says="1")


@pytest.mark.parametrize("form", ["tar.gz", *ODOO])
def test_30_filestore_of_another_day(estate: Estate, caught: Caught, form: str) -> None:
    def newer(folder: Path) -> None:
        content = b"of another day"
        digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        (folder / "filestore" / digest[:2]).mkdir(exist_ok=True)
        (folder / "filestore" / digest[:2] / digest).write_bytes(content)

    packed = Packed(estate, form).take(change=newer)
    caught(30, COLUMN[form], packed.drill(), by="filestore.bijection", says="without a row")


@pytest.mark.parametrize("form", ODOO)
def test_31_attachment_columns_drifted(estate: Estate, caught: Caught, form: str) -> None:
    with psycopg.connect(estate.conninfo()) as connection:
        connection.execute("UPDATE ir_attachment SET file_size = file_size + 1 WHERE id = 3")
        connection.execute("UPDATE ir_attachment SET checksum = repeat('0', 40) WHERE id = 4")
    packed = Packed(estate, form).take(exact=False)
    caught(31, COLUMN[form], packed.drill(), by="filestore.bijection", says="2|size|checksum")


@pytest.mark.parametrize(
    "identity", [None, pyrage.x25519.Identity.generate()], ids=["no key configured", "another key configured"]
)
def test_36_key_lost(estate: Estate, caught: Caught, identity: pyrage.x25519.Identity | None) -> None:
    packed = Packed(estate, "tar.gz.age").take(exact=False)
    packed.identity = identity
    drill = packed.drill()
    caught(36, "archive", drill, by="archive.complete", says="key", verdict="error")


def test_archive_that_unpacks_to_more_than_the_quota_ends_the_drill(estate: Estate) -> None:
    def grow(folder: Path) -> None:
        with (folder / "filestore" / "zeros").open("wb") as file:
            file.truncate(1 << 30)

    packed = Packed(estate, "tar.zst").take(exact=False)
    shutil.rmtree(packed.folder)
    shutil.rmtree(estate.folder / "content")
    packed.take(change=grow, exact=False)
    drill = packed.drill(Assurance.SOUND, quota=600 << 20)
    assert drill.result.verdict.value == "error"
    [said] = {check.message for check in drill.result.checks if check.id == "archive.complete"}
    assert "sandbox.diskQuota" in said
