"""Drills of packed backups, end to end: tars of dumps, pairs and clusters, Odoo's zips, click-odoo's folders."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import psycopg
import pytest

from guardian.model import Assurance, Source
from tests.archive_support import FORMS, Packed, drill_of, pack
from tests.drill_support import STAMP, Estate
from tests.formats_support import against
from tests.physical_support import Plant
from verifiers.result import Verdict
from verifiers.sandbox.programs import find_programs
from verifiers.sources import Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from verifiers.sandbox.isolation import Provider
    from verifiers.sandbox.server import SandboxServer


@pytest.fixture
def estate(
    postgres_server: SandboxServer, postgres_url: str, sandbox_provider: Provider, tmp_path: Path
) -> Iterator[Estate]:
    database = psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"]
    made = Estate(postgres_server, str(database), tmp_path, sandbox_provider.name)
    made.fill()
    yield made
    assert not list(made.sandbox.glob("*-7000-*")), "a drill leaves nothing behind"


@pytest.mark.parametrize("form", FORMS)
def test_packed_pair_with_its_manifest_is_proved_exact(estate: Estate, form: str) -> None:
    drill = Packed(estate, form).take().drill()
    assert not against(drill)
    assert (drill.result.verdict, drill.result.assurance) == (Verdict.PASS, Assurance.EXACT)
    measured = drill.result.measurements
    assert measured["backupBytes"] > 0


@pytest.mark.parametrize("form", ["tar.zst", "odoo_zip", "click_odoo"])
def test_packed_pair_that_nobody_wrapped_is_proved_sound(estate: Estate, form: str) -> None:
    drill = Packed(estate, form).take(exact=False).drill()
    assert not against(drill)
    assert drill.result.assurance is Assurance.SOUND
    identity = next(check for check in drill.result.checks if check.id == "identity")
    assert identity.verdict is Verdict.PASS, "manifest.json or the dump names the database"


@pytest.mark.parametrize("suffix", [".tar", ".tgz", ".tar.zst"])
def test_packed_dump_is_proved_sound(estate: Estate, suffix: str) -> None:
    folder, made = estate.folder / "packed", estate.folder / "made"
    for path in (folder, made):
        path.mkdir()
    url = estate.server.url(estate.database)
    argv = [str(estate.server.programs.program("pg_dump")), "-Fd", f"--dbname={url}", f"--file={made / 'dump'}"]
    subprocess.run(argv, check=True, timeout=60)
    pack(made, folder / f"erp-{STAMP}{suffix}", name="dump")
    place = Place("tar", str(folder))
    drill = drill_of("postgres", place, Source("db", estate.database, None), estate, Assurance.SOUND)
    assert not against(drill)
    assert drill.result.assurance is Assurance.SOUND


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory, sandbox_provider: Provider) -> Iterator[Plant]:
    made = Plant(tmp_path_factory.mktemp("p"), find_programs(18, exact=True, prefer_embedded=True), sandbox_provider)
    made.start()
    yield made
    made.stop()


@pytest.mark.parametrize("options", [("-Fp",), ("-Ft",)], ids=["files", "tars"])
@pytest.mark.parametrize("inside", [".", STAMP], ids=["bare", "in its folder"])
def test_packed_copy_of_a_cluster_is_recovered(
    plant: Plant, tmp_path: Path, sandbox_provider: Provider, options: tuple[str], inside: str
) -> None:
    copy = plant.back_up(*options)
    estate = Estate(plant.server, "erp", tmp_path, sandbox_provider.name, type="postgres")
    (tmp_path / "packed").mkdir()
    pack(copy if inside == "." else copy.parent, tmp_path / "packed" / f"base-{STAMP}.tar.gz", name=inside)
    shutil.rmtree(plant.backups)
    place = Place("tar", str(tmp_path / "packed"), holds="pg_basebackup")
    drill = drill_of("postgres", place, Source("db", "erp", None), estate, Assurance.SOUND)
    assert not against(drill)
    assert drill.result.assurance is Assurance.SOUND
