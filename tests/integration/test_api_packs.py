"""Packs over HTTP: asked for, followed, fetched and verified; what is in them, who gets them, and how they end."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import zipfile
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from guardian.model import rfc3339
from guardian.usecases import packs, tokens
from guardian.usecases.reading import Reading, Scope
from tests.api_support import Api, await_true, settings_with_api, token
from tests.reading_support import START
from tests.support import guardian

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from guardian.settings import Settings


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings_with_api(tmp_path_factory.mktemp("packs"))


@pytest.fixture(scope="module")
def api(settings: Settings) -> Iterator[Api]:
    with Api(settings) as running:
        yield running


def ended(api: Api, given: str, pack_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        pack: dict[str, Any] = api.get(f"/v1/packs/{pack_id}", given).json()
        return pack if pack["state"] in {"done", "failed"} else None

    found: dict[str, Any] = await_true(f"pack {pack_id} ends", look)
    return found


def fetched(api: Api, given: str, folder: Path) -> Path:
    answered = api.send("POST", "/v1/packs", given)
    assert answered.status_code == 202
    pack = ended(api, given, answered.json()["id"])
    assert pack["state"] == "done", pack
    file = api.get(pack["file"], given)
    assert file.headers["Content-Type"] == "application/zip"
    assert "attachment" in file.headers["Content-Disposition"]
    assert len(file.content) == pack["sizeBytes"]
    path = folder / "fetched.zip"
    path.write_bytes(file.content)
    return path


def indexes(pack: Path) -> list[int]:
    with zipfile.ZipFile(pack) as archive:
        names = archive.namelist()
    return sorted(int(name[8:].split(".")[0]) for name in names if name.startswith("records/"))


def test_a_pack_is_written_in_the_background_and_verifies(api: Api, settings: Settings, tmp_path: Path) -> None:
    given = token(settings, "packer")
    path = fetched(api, given, tmp_path)
    assert indexes(path)[:17] == list(range(17))
    ran = guardian("verify", str(path), "--root", str(settings.path.parent / "root.json"))
    assert ran.code == 0, ran.stderr + ran.stdout


def test_a_pack_of_a_limited_token_has_its_records_only_and_no_report_of_the_whole(
    api: Api, settings: Settings, tmp_path: Path
) -> None:
    given = token(settings, "packer-of-one", services=["erp-plant1"])
    visible = [row["index"] for row in api.get("/v1/records?limit=200&order=oldest", given).json()["records"]]
    path = fetched(api, given, tmp_path)
    assert indexes(path) == visible
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert not [name for name in members if name.startswith("views/")]
    for name, content in members.items():
        assert b"secret-" not in content, name
        assert b"hidden-owner" not in content, name
    assert orjson.loads(members["coverage.json"])["schema"] == "guardian/coverage/v2"
    ran = guardian("verify", str(path), "--root", str(settings.path.parent / "root.json"))
    assert "erp" in str(members)
    assert ran.code in {0, 3}, ran.stderr + ran.stdout  # a selection is told as one
    assert "selection" in (ran.stdout + ran.stderr).lower() or ran.code == 0


def test_a_pack_of_a_period_has_the_records_of_that_period(api: Api, settings: Settings, tmp_path: Path) -> None:
    rows = api.get("/v1/records?limit=200&order=oldest", token(settings, "whole")).json()["records"]
    since = rows[5]["time"]
    given = token(settings, "packer-of-some", since=START.fromisoformat(since))
    wanted = {row["index"] for row in rows if row["time"] >= since}
    found = set(indexes(fetched(api, given, tmp_path)))
    assert wanted <= found
    assert {row["index"] for row in rows if row["time"] < since and row["kind"] != "key-event"}.isdisjoint(found)


def test_a_pack_is_there_for_the_token_that_asked_and_no_other(api: Api, settings: Settings) -> None:
    mine, other = token(settings, "mine"), token(settings, "not-mine", "admin")
    pack = api.send("POST", "/v1/packs", mine).json()
    assert ended(api, mine, pack["id"])["state"] == "done"
    for path in (f"/v1/packs/{pack['id']}", f"/v1/packs/{pack['id']}/file"):
        assert api.get(path, mine).status_code == 200
        assert api.get(path, other).status_code == 404


def test_packs_lie_closed_to_others(api: Api, settings: Settings) -> None:
    given = token(settings, "closed")
    pack = ended(api, given, api.send("POST", "/v1/packs", given).json()["id"])
    folder = packs.folder(settings)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / f"{pack['id']}.zip").stat().st_mode & 0o777 == 0o600


def test_a_pack_that_the_caller_has_is_not_sent_again(api: Api, settings: Settings) -> None:
    given = token(settings, "again")
    pack = ended(api, given, api.send("POST", "/v1/packs", given).json()["id"])
    tag = api.get(pack["file"], given).headers["ETag"]
    assert tag == f'"{pack["sha256"]}"'
    assert api.get(pack["file"], given, headers={"If-None-Match": tag}).status_code == 304


def test_a_request_for_a_pack_says_nothing_but_that(api: Api, settings: Settings) -> None:
    given = token(settings, "asks-more")
    assert api.send("POST", "/v1/packs", given, json={"services": ["x"]}).status_code == 422
    assert api.send("POST", "/v1/packs", given, json=[1]).status_code == 422
    garbled = api.send("POST", "/v1/packs", given, data=b"{", headers={"Content-Type": "application/json"})
    assert garbled.status_code == 422
    assert garbled.headers["Content-Type"] == "application/problem+json"
    assert api.send("POST", "/v1/packs", given, json={}).status_code == 202


def test_a_token_has_few_packs_waiting(tmp_path: Path) -> None:
    settings = settings_with_api(tmp_path)
    tokens.prepare(settings)
    requests = packs.Requests(settings)
    for _ in range(packs.PENDING_OF_ONE):
        requests.add("a")
    with pytest.raises(packs.TooManyPacksError):
        requests.add("a")
    requests.add("b")
    requests.close()


def test_what_a_killed_process_was_writing_has_failed_and_can_be_asked_for_again(tmp_path: Path) -> None:
    settings = settings_with_api(tmp_path)
    given = token(settings, "unlucky")
    with Api(settings) as api:
        pack = api.send("POST", "/v1/packs", given).json()
        ended(api, given, pack["id"])
        api.kill()
    # As a process leaves it that is killed while it writes.
    folder = packs.folder(settings)
    with sqlite3.connect(str(settings.storage.database)) as connection:
        connection.execute("UPDATE state_pack SET state = 'running', expires_at = NULL, sha256 = NULL")
    (folder / f"{pack['id']}.asked").touch()
    (folder / f".{pack['id']}.zip.0011.tmp").touch()
    with Api(settings) as api:
        failed = ended(api, given, pack["id"])
        assert (failed["state"], failed["file"]) == ("failed", None)
        assert "ask for it again" in failed["problem"]
        assert api.get(f"/v1/packs/{pack['id']}/file", given).status_code == 404
        assert ended(api, given, api.send("POST", "/v1/packs", given).json()["id"])["state"] == "done"
    assert not list(folder.glob(".*.tmp"))


def test_what_was_under_way_at_sigterm_is_written_by_the_next_start(tmp_path: Path) -> None:
    settings = settings_with_api(tmp_path)
    given = token(settings, "stopped")
    with Api(settings) as api:
        os.kill(api.process.pid, signal.SIGSTOP)  # nobody writes packs meanwhile
        pack = api.send("POST", "/v1/packs", given).json()
        os.kill(api.process.pid, signal.SIGTERM)
        os.kill(api.process.pid, signal.SIGCONT)
        assert api.process.wait(60) == 0
    with Api(settings) as api:
        assert ended(api, given, pack["id"])["state"] == "done"


def test_a_pack_of_a_token_that_was_revoked_meanwhile_is_not_written(tmp_path: Path) -> None:
    settings = settings_with_api(tmp_path)
    added = tokens.add(settings, "gone", "auditor")
    requests = packs.Requests(settings)
    pack = requests.add(added.id)
    tokens.revoke(settings, "gone")
    _write_all(settings)
    found = requests.get(pack["id"], added.id)
    requests.close()
    assert found is not None
    assert found["state"] == "failed"
    assert "token" in found["problem"]
    assert not list(packs.folder(settings).glob("*.zip"))


def test_a_pack_of_a_limited_token_lacks_no_record_that_the_index_lacks(tmp_path: Path) -> None:
    settings = settings_with_api(tmp_path)
    added = tokens.add(settings, "one", "auditor", services=["erp-plant1"])
    with Reading(settings) as reading:
        rows = reading.records(Scope(services=frozenset({"erp-plant1"})), limit=200)["records"]
    erp = [row["index"] for row in rows if row["service"] == "erp-plant1"]
    with sqlite3.connect(str(settings.storage.database)) as connection:
        connection.execute("DELETE FROM index_record WHERE idx = ?", [erp[-1]])  # the oldest of them
    requests = packs.Requests(settings)
    pack = requests.add(added.id)
    _write_all(settings)
    found = requests.file(pack["id"], added.id)
    requests.close()
    assert found is not None
    assert set(erp) <= set(indexes(found[0]))


def test_a_pack_goes_when_its_day_is_over(tmp_path: Path) -> None:
    settings = settings_with_api(tmp_path)
    added = tokens.add(settings, "late", "auditor")
    requests = packs.Requests(settings)
    pack = requests.add(added.id)
    _write_all(settings)
    assert requests.file(pack["id"], added.id) is not None
    with sqlite3.connect(str(settings.storage.database)) as connection:
        connection.execute("UPDATE state_pack SET expires_at = ?", [rfc3339(START.replace(year=2020))])
    assert requests.get(pack["id"], added.id) is None
    assert requests.file(pack["id"], added.id) is None
    requests.add(added.id)
    _write_all(settings)
    requests.close()
    assert pack["id"] not in {path.stem for path in packs.folder(settings).iterdir()}
    with sqlite3.connect(str(settings.storage.database)) as connection:
        assert connection.execute("SELECT count(*) FROM state_pack WHERE id = ?", [pack["id"]]).fetchone() == (0,)


def _write_all(settings: Settings) -> None:
    stop = threading.Event()
    writer = threading.Thread(target=packs.write_waiting, args=(settings, stop), kwargs={"pause_s": 0.05})
    writer.start()

    def none_waits() -> bool:
        with sqlite3.connect(str(settings.storage.database)) as connection:
            query = "SELECT count(*) FROM state_pack WHERE state IN ('queued', 'running')"
            return bool(connection.execute(query).fetchone() == (0,))

    try:
        await_true("every pack is written", none_waits)
    finally:
        stop.set()
        writer.join()
