"""A hostile dump runs its code while it is restored, and finds nothing; a broken one tells nobody its rows."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from guardian.model import Assurance
from tests.drill_support import RUN_2, Estate, by_id, verdicts
from verifiers.result import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from verifiers.sandbox.isolation import Provider
    from verifiers.sandbox.server import SandboxServer

CANARY = "canary-8f3a1c-value-of-a-row"


@pytest.fixture
def estate(postgres_server: SandboxServer, postgres_url: str, sandbox_provider: Provider, tmp_path: Path) -> Estate:
    database = psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"]
    made = Estate(postgres_server, str(database), tmp_path, sandbox_provider.name, type="postgres")
    made.fill()
    return made


@pytest.fixture
def secret() -> Iterator[Path]:
    """A file like guardian.yaml that every user of the host may read."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        path = Path(folder, "guardian.yaml")
        path.write_text("secret")
        path.chmod(0o644)
        yield path


def _plant(estate: Estate, secret: Path) -> None:
    """Let the restore itself run code that raises if it can read a file of the host, by three ways."""
    with psycopg.connect(estate.conninfo()) as connection:
        connection.execute(
            f"""
            CREATE TABLE public.loot (line text);
            CREATE FUNCTION public.reach() RETURNS text LANGUAGE plpgsql AS $$
            BEGIN
                IF pg_read_file('{secret}', true) IS NOT NULL OR pg_read_file('/etc/shadow', true) IS NOT NULL THEN
                    RAISE EXCEPTION 'reached a file';
                END IF;
                RETURN 'nothing';
            EXCEPTION WHEN insufficient_privilege THEN RETURN 'nothing';
            END $$;
            CREATE MATERIALIZED VIEW public.attack AS SELECT public.reach();
            """
        )


def test_code_in_a_dump_runs_at_restore_and_reaches_no_file_of_the_host(estate: Estate, secret: Path) -> None:
    if estate.provider != "bwrap":
        pytest.skip("bubblewrap does not run on this machine")
    if estate.server.provider.name != "bwrap":
        pytest.skip("the source would be attacked too")
    _plant(estate, secret)
    estate.back_up()
    drill = estate.drill()
    assert drill.result.verdict is Verdict.PASS, verdicts(drill, "fail") | verdicts(drill, "error")

    # The attack is real: without isolation it succeeds.
    estate.provider = "none"
    reached = estate.drill(run_id=RUN_2)
    assert by_id(reached)["restore.messages"].verdict is not Verdict.PASS
    assert verdicts(reached, "fail") == {"materialized-views"}, "it raised, so the view was left empty"


def test_login_trigger_in_a_dump_keeps_nobody_out_of_the_copy(estate: Estate) -> None:
    with psycopg.connect(estate.conninfo()) as connection:
        connection.execute(
            """
            CREATE FUNCTION public.refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF current_setting('wal_level') = 'minimal' THEN
                    RAISE EXCEPTION 'nobody comes in';
                END IF;
            END $$;
            CREATE EVENT TRIGGER doorkeeper ON login EXECUTE FUNCTION public.refuse();
            ALTER EVENT TRIGGER doorkeeper ENABLE ALWAYS;
            """
        )
    estate.back_up()
    drill = estate.drill()
    assert drill.result.verdict is Verdict.PASS, [check.message for check in drill.result.checks]


def test_restore_that_breaks_at_a_row_keeps_nothing_of_it(
    estate: Estate, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    harmless = CANARY.replace("canary", "canarY")
    with psycopg.connect(estate.conninfo()) as connection:
        connection.execute("CREATE TABLE checked (id integer, note text CHECK (note NOT LIKE 'canary%'))")
        connection.execute("INSERT INTO res_partner VALUES (9001, 'x', %s), (9002, 'y', %s)", [CANARY, harmless])
        connection.execute("INSERT INTO checked VALUES (1, %s)", [harmless])

    def collide(dump: Path) -> None:
        # Now two partners have one number, and a row breaks its rule: messages with DETAIL and CONTEXT that quote both.
        data = dump.read_bytes()
        assert data.count(harmless.encode()) == 2
        dump.write_bytes(data.replace(harmless.encode(), CANARY.encode()))

    estate.back_up("--compress=0", change=collide)
    drill = estate.drill(required=Assurance.EXACT)
    assert "restore.messages" in verdicts(drill, "fail")
    assert {"23505", "23514"} <= set(json.dumps(by_id(drill)["restore.messages"].observed).split('"'))

    kept = json.dumps(drill.to_json())
    out, err = capfd.readouterr()
    for text in (kept, out, err, repr(drill), *estate.told):
        assert CANARY not in text
    for path in tmp_path.rglob("*"):
        if path.is_file() and not path.is_relative_to(estate.backups):
            assert CANARY.encode() not in path.read_bytes(), path
    assert list(estate.sandbox.iterdir()) == []
