"""A drill of a backup in every output format of pg_dump: what it proves, and how it says what it could not."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg
import pyrage
import pytest

from guardian import config
from guardian.model import Assurance
from guardian.usecases.drill import drill_assets
from guardian.usecases.init import init_keys
from guardian.usecases.manifest import manifest
from tests.drill_support import Estate
from tests.drill_support import by_id as checks_of
from tests.formats_support import CANARY_PASSWORD, FORMS, LAYOUTS, STAMP, Dumps, Formatted, against
from tests.restore_support import database, fill_rich, server_of_major
from verifiers.manifest import Manifest
from verifiers.result import Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from verifiers.sandbox.isolation import Provider
    from verifiers.sandbox.server import SandboxServer

TYPES = (
    "integer",
    "bigint",
    "text",
    "numeric(10, 3)",
    "date",
    "bytea",
    "jsonb",
    "text[]",
    "boolean",
    "timestamptz",
    "uuid",
)


@pytest.mark.parametrize("form", FORMS)
def test_backup_in_every_format_is_proved_exact(
    dumps: Dumps, sandbox_provider: Provider, tmp_path: Path, form: str
) -> None:
    backup = Formatted(dumps, form, tmp_path, sandbox_provider.name, age=str(dumps.key)).take()
    drill = backup.drill()
    assert against(drill) == {}
    assert (drill.result.verdict, drill.result.assurance) == (Verdict.PASS, Assurance.EXACT)
    assert ("decrypt" in [phase.name for phase in drill.result.phases]) == form.endswith("age")
    assert drill.result.restore_seconds is not None
    assert not list((tmp_path / "sandbox").iterdir())


@pytest.mark.parametrize("form", LAYOUTS)
def test_roles_and_tablespaces_come_from_the_globals_beside_a_backup(
    dumps: Dumps, sandbox_provider: Provider, tmp_path: Path, form: str
) -> None:
    backup = Formatted(dumps, form, tmp_path, sandbox_provider.name).take(cluster=dumps.cluster)
    drill = backup.drill()
    assert against(drill) == {}
    told = checks_of(drill)["restore.messages"].observed
    assert told["rolesFrom"] == "globals"
    assert told["globals"]["roles"] == told["rolesMade"] >= 4
    assert (told["globals"]["tablespaces"], told["globals"]["memberships"], told["globals"]["passwordsDropped"]) == (
        1,
        1,
        1,
    )
    secret = dumps.cluster[dumps.cluster.index(b"SCRAM") :][:40].decode()
    for kept in (json.dumps(drill.to_json()), *(path.read_text() for path in tmp_path.rglob("*.log"))):
        assert secret not in kept
        assert CANARY_PASSWORD not in kept


def test_globals_that_were_cut_fail_the_drill(dumps: Dumps, sandbox_provider: Provider, tmp_path: Path) -> None:
    cut = dumps.cluster[: dumps.cluster.rindex(b"CREATE ROLE")]
    drill = Formatted(dumps, "custom", tmp_path, sandbox_provider.name).take(cluster=cut).drill()
    check = checks_of(drill)["archive.complete"]
    assert (drill.result.verdict, check.verdict) == (Verdict.FAIL, Verdict.FAIL)
    assert "globals" in check.message


def test_encrypted_globals_need_the_key_too(dumps: Dumps, sandbox_provider: Provider, tmp_path: Path) -> None:
    backup = Formatted(dumps, "plain", tmp_path, sandbox_provider.name, age=str(dumps.key)).take()
    sealed = pyrage.encrypt(gzip.compress(dumps.cluster), [dumps.key.to_public()])
    (backup.backups / f"{STAMP}.globals.sql.gz.age").write_bytes(sealed)
    drill = backup.drill()
    assert against(drill) == {}
    assert checks_of(drill)["restore.messages"].observed["rolesFrom"] == "globals"
    backup.age = None
    assert checks_of(backup.drill())["archive.complete"].verdict is Verdict.ERROR


def test_plain_dump_without_manifest_is_proved_sound_and_says_that_it_has_no_name(
    dumps: Dumps, sandbox_provider: Provider, tmp_path: Path
) -> None:
    backup = Formatted(dumps, "plain.gz", tmp_path, sandbox_provider.name).take()
    backup.manifest = None
    drill = backup.drill(Assurance.SOUND)
    assert against(drill) == {}
    assert drill.result.assurance is Assurance.SOUND
    check = checks_of(drill)["identity"]
    assert check.verdict is Verdict.SKIP
    assert "does not name its database" in check.message


def test_backup_that_unpacks_to_more_than_the_quota_is_an_error(
    dumps: Dumps, sandbox_provider: Provider, tmp_path: Path
) -> None:
    backup = Formatted(dumps, "plain.gz", tmp_path, sandbox_provider.name).take()
    with gzip.open(backup.path, "wb", compresslevel=1) as stream:
        for _ in range(100):
            stream.write(bytes(8 << 20))
    backup.manifest = None
    drill = backup.drill(Assurance.SOUND, quota=600 << 20)
    assert drill.result.verdict is Verdict.ERROR
    assert "sandbox.diskQuota" in json.dumps(drill.to_json())
    assert not list((tmp_path / "sandbox").iterdir())


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_directory_that_pg_dump_compressed_itself_is_proved_exact(
    sandbox_provider: Provider, tmp_path: Path, compression: str
) -> None:
    with server_of_major(17) as server:
        dumps = Dumps(server, tmp_path / "made")
        dumps.folder.mkdir()
        dumps.fill()
        argv = [str(server.programs.program("pg_dump")), "-Fd", "-j2", "-Z", compression, "-d", dumps.url]
        subprocess.run([*argv, "-f", str(dumps.folder / STAMP)], check=True, timeout=60)
        drill = Formatted(dumps, "directory", tmp_path, sandbox_provider.name).take().drill()
    assert against(drill) == {}
    assert drill.result.assurance is Assurance.EXACT


@pytest.mark.parametrize("form", ["directory", "plain.gz"])
def test_odoo_pair_may_hold_its_dump_in_any_format(
    postgres_server: SandboxServer,
    postgres_url: str,
    sandbox_provider: Provider,
    tmp_path: Path,
    form: str,
) -> None:
    name = str(psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"])
    estate = Estate(postgres_server, name, tmp_path, sandbox_provider.name)
    estate.fill()

    def again(dump: Path) -> None:
        dump.unlink()
        folder = form == "directory"
        target = dump.with_name("db" if folder else "db.sql")
        argv = [str(postgres_server.programs.program("pg_dump")), "-Fd" if folder else "-Fp", "-f", str(target)]
        subprocess.run([*argv, "-d", postgres_url], check=True, timeout=60)
        if not folder:
            subprocess.run(["/bin/gzip", str(target)], check=True, timeout=60)

    estate.back_up(change=again)
    drill = estate.drill()
    assert against(drill) == {}
    assert drill.result.assurance is Assurance.EXACT


def _random_schema(chosen: random.Random) -> str:
    """Return tables of random columns with rows in them, some under odd names."""
    values = {"integer": "i", "bigint": "i * 4000000000", "text": "E'a\\tb\\n\\\\' || i || E'\\\\.'",
              "numeric(10, 3)": "i / 7.0", "date": "date '2000-01-01' + i", "bytea": "decode(md5(i::text), 'hex')",
              "jsonb": "jsonb_build_object('k', i)", "text[]": "ARRAY['x', NULL, i::text]", "boolean": "i % 2 = 0",
              "timestamptz": "timestamptz '2020-01-01 00:00+00' + i * interval '1 s'",
              "uuid": "md5(i::text)::uuid"}  # fmt: skip
    statements = []
    for number in range(chosen.randrange(2, 8)):
        name = chosen.choice(["t", "T T", 'q"', "ünï", "a;b", "x\\y"]) + str(number)
        quoted = '"' + name.replace('"', '""') + '"'
        kinds = [chosen.choice(TYPES) for _ in range(chosen.randrange(1, 9))]
        columns = ", ".join(f"c{place} {kind}" for place, kind in enumerate(kinds))
        rows = chosen.choice([0, 1, 40, 3000])
        picked = ", ".join(f"CASE WHEN i % 5 = 0 THEN NULL ELSE {values[kind]} END" for kind in kinds)
        statements += [f"CREATE TABLE {quoted} ({columns})"]
        statements += [f"INSERT INTO {quoted} SELECT {picked} FROM generate_series(1, {rows}) i"]
        if chosen.random() < 0.5:
            statements.append(f"CREATE INDEX ON {quoted} (c0)" if kinds[0] != "jsonb" else "SELECT 1")
    return "; ".join(statements)


@pytest.mark.parametrize("form", [*LAYOUTS, "plain.zst.age"])
@pytest.mark.parametrize("seed", [1, 2])
def test_healthy_backup_of_a_random_schema_raises_no_alarm(
    postgres_server: SandboxServer, sandbox_provider: Provider, tmp_path: Path, form: str, seed: int
) -> None:
    with database(postgres_server) as url:
        name = str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])
        with psycopg.connect(url) as connection:
            connection.execute(_random_schema(random.Random(f"{form}{seed}")).encode())
        dumps = Dumps(postgres_server, tmp_path / "made", name)
        dumps.folder.mkdir()
        backup = Formatted(dumps, form, tmp_path, sandbox_provider.name, age=str(dumps.key), database=name).take()
    assert against(backup.drill()) == {}


COMMANDS = {
    f"{STAMP[:-2]}1Z": '"$0" -Fd -j2 --snapshot="$GUARDIAN_SNAPSHOT" -f "$GUARDIAN_BACKUP_DIR/$1"',
    f"{STAMP[:-2]}2Z.tar": '"$0" -Ft --snapshot="$GUARDIAN_SNAPSHOT" -f "$GUARDIAN_BACKUP_DIR/$1"',
    f"{STAMP[:-2]}3Z.sql.gz": '"$0" --snapshot="$GUARDIAN_SNAPSHOT" | gzip >"$GUARDIAN_BACKUP_DIR/$1"',
    f"{STAMP[:-2]}4Z.sql.age": '"$0" --snapshot="$GUARDIAN_SNAPSHOT" | "$2" -c "$3" "$4" >"$GUARDIAN_BACKUP_DIR/$1"',
}
_ENCRYPT = (
    "import sys, pyrage; key = pyrage.x25519.Recipient.from_str(sys.argv[1]);"
    " pyrage.encrypt_io(sys.stdin.buffer, sys.stdout.buffer, [key])"
)


def test_manifest_wraps_a_backup_command_of_every_format_and_the_drill_is_exact(
    postgres_server: SandboxServer, postgres_url: str, sandbox_provider: Provider, tmp_path: Path
) -> None:
    name = str(psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"])
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE line AS SELECT i, 'line ' || i AS name FROM generate_series(1, 100) i")
    key = pyrage.x25519.Identity.generate()
    (tmp_path / "keys").mkdir(mode=0o700)
    for file, text in {"dsn": postgres_url, "keys/age.txt": f"# made by a test\n{key}\n"}.items():
        (tmp_path / file).touch(mode=0o600)
        (tmp_path / file).write_text(text)
    path = tmp_path / "guardian.yaml"
    path.write_text(f"""\
environment: staging
services:
- name: plant
  assets:
  - {{name: plant, type: postgres, assurance: exact, source: {{postgres: db, database: {name}}},
     backups: [{{name: n, format: pg_dump, path: backups, decrypt: {{age: "file:keys/age.txt"}}}}]}}
collectors: [{{name: db, type: postgres, dsn: "file:dsn"}}]
sandbox: {{provider: {sandbox_provider.name}, acceptNone: [plant]}}
""")
    settings = config.load(path)
    init_keys(settings)
    program = str(postgres_server.programs.program("pg_dump"))
    for file, script in COMMANDS.items():
        command = ["sh", "-ec", script, program, file, sys.executable, _ENCRYPT, str(key.to_public())]
        captured = manifest(settings, "plant", command, job_name=None, progress=lambda _: None)
        assert captured.backup_id == file.split(".")[0]
        [done] = drill_assets(settings, ["plant"], backup_id=None, progress=lambda *_: None)
        assert done.drill.result.backup["id"] == captured.backup_id
        assert against(done.drill) == {}
        assert done.drill.result.assurance is Assurance.EXACT


def test_manifest_of_another_file_is_told_by_the_digest(
    dumps: Dumps, sandbox_provider: Provider, tmp_path: Path
) -> None:
    backup = Formatted(dumps, "directory", tmp_path, sandbox_provider.name).take()
    assert backup.manifest is not None
    assert len(Manifest.from_json(backup.manifest).dump_sha256 or "") == 64

    toc = backup.path / "toc.dat"
    data = toc.read_bytes()
    toc.write_bytes(data.replace(b"500, true", b"501, true"))
    assert checks_of(backup.drill())["backup.digest"].verdict is Verdict.FAIL


def test_dump_of_an_older_server_in_every_format_is_restored(sandbox_provider: Provider, tmp_path: Path) -> None:
    with server_of_major(15) as server, database(server) as url:
        fill_rich(server, url)
        name = str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])
        for form in LAYOUTS[1:]:
            dumps = Dumps(server, tmp_path / f"made-{form}", name)
            dumps.folder.mkdir()
            folder = tmp_path / form
            folder.mkdir()
            drill = Formatted(dumps, form, folder, sandbox_provider.name, database=name).take().drill()
            assert against(drill) == {}, form
            shutil.rmtree(folder)
