"""The demo as a new user runs it, once; then what its folder must be good for."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from typing import TYPE_CHECKING

import pytest

from guardian.usecases.demo import demo
from guardian.usecases.demo_plants import PLANTS, Plant
from tests.support import guardian

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Ran


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ran]:
    folder = tmp_path_factory.mktemp("demo") / "demo"
    return folder, guardian("demo", "--dir", str(folder))


def test_demo_exits_0_and_its_table_says_what_passed_what_failed_and_why(ran: tuple[Path, Ran]) -> None:
    folder, result = ran
    assert result.code == 0, result.stderr + result.stdout
    for said in ("erp-good", "erp-digit", "content.hashes", "erp-files", "filestore.bijection", "erp-truncated",
                 "archive.complete", "old_admin", "postgres.durability", "exact"):  # fmt: skip
        assert said in result.stdout
    assert f"verify {folder / 'pack.zip'} --root {folder / 'root.json'}" in result.stdout
    assert {"guardian.yaml", "pack.zip", "root.json", "report.html"} <= {entry.name for entry in folder.iterdir()}


def test_digit_is_found_by_the_content_hash_alone_and_names_its_table(ran: tuple[Path, Ran]) -> None:
    drills = {row["asset"]: row for row in json.loads(guardian("evidence", "list", "--kind", "restore-drill",
              "--format", "json", "--config", str(ran[0] / "guardian.yaml")).stdout)["records"]}  # fmt: skip
    shown = guardian("evidence", "show", str(drills["erp-digit"]["index"]), "--format", "json",
                     "--config", str(ran[0] / "guardian.yaml"))  # fmt: skip
    checks = json.loads(shown.stdout)["statement"]["predicate"]["checks"]
    failed = [check for check in checks if check["verdict"] == "fail"]
    assert [check["id"] for check in failed] == ["content.hashes"]
    assert "account_move_line" in failed[0]["message"] or "sale_order_line" in failed[0]["message"]


def test_pack_verifies_with_the_root_and_says_self_asserted_without(ran: tuple[Path, Ran]) -> None:
    pack, root = str(ran[0] / "pack.zip"), str(ran[0] / "root.json")
    assert guardian("verify", pack, "--root", root).code == 0
    alone = guardian("verify", pack)
    assert alone.code == 3
    assert "--root" in alone.stderr


def test_changed_byte_of_any_member_exits_1_naming_it(ran: tuple[Path, Ran], tmp_path: Path) -> None:
    """One byte a member through the command line; every byte of every member is tried in tests of the pack itself."""
    with zipfile.ZipFile(ran[0] / "pack.zip") as pack:
        members = {info.filename: pack.read(info) for info in pack.infolist()}
    names = sorted(members)
    for name in [*names[:3], *names[-3:], "checkpoint", "index.dsse.json"]:
        data = bytearray(members[name])
        data[len(data) // 2] ^= 1
        changed = tmp_path / "changed.zip"
        changed.write_bytes(_zip({**members, name: bytes(data)}))
        result = guardian("verify", str(changed), "--root", str(ran[0] / "root.json"))
        assert result.code == 1, name
        assert name in result.stdout


def test_good_asset_can_be_drilled_again_with_the_live_server_gone(ran: tuple[Path, Ran]) -> None:
    result = guardian("drill", "erp-good", "--config", str(ran[0] / "guardian.yaml"), "--format", "json")
    assert result.code == 0, result.stderr
    [drill] = json.loads(result.stdout)["drills"]
    assert (drill["verdict"], drill["assurance"]) == ("pass", "exact")


def test_scan_with_the_live_server_gone_is_error_not_pass(ran: tuple[Path, Ran]) -> None:
    result = guardian("scan", "--config", str(ran[0] / "guardian.yaml"), "--format", "json")
    assert result.code == 1  # the planted failures of drills still count, and fail comes before could-not-check
    document = json.loads(result.stdout)
    durability = [f for f in document["findings"] if f["control"] == "postgres.durability"]
    assert {finding["verdict"] for finding in durability} == {"error"}


def test_nothing_kept_holds_a_password_or_a_private_key(ran: tuple[Path, Ran]) -> None:
    secret = (ran[0] / "keys" / "redaction.key").read_bytes().strip()
    kept = [path for path in ran[0].rglob("*") if path.is_file() and "keys" not in path.parts]
    with zipfile.ZipFile(ran[0] / "pack.zip") as pack:
        members = [pack.read(name) for name in pack.namelist()]
    for data in [*(path.read_bytes() for path in kept), *members]:
        assert secret not in data
        assert b"PRIVATE KEY-----" not in data or b"BEGIN PRIVATE" not in data


def test_marked_folder_is_replaced_and_another_is_refused_untouched(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "work.txt").write_text("mine")
    result = guardian("demo", "--dir", str(precious))
    assert result.code == 2
    assert "not empty" in result.stderr
    assert [entry.name for entry in precious.iterdir()] == ["work.txt"]


@pytest.mark.parametrize("bad", [plant for plant in PLANTS if plant.expected], ids=lambda plant: plant.asset)
def test_demo_fails_when_a_good_backup_stands_in_a_bad_ones_place(bad: Plant, tmp_path: Path) -> None:
    healed = dataclasses.replace(bad, options=(), after=None)
    done = demo(tmp_path / "demo", plants=[healed], progress=lambda _step: None)
    assert not done.occurred
    assert [o.observed for o in done.outcomes if o.what == f"drill {bad.asset}"] == ["pass, exact"]


def _zip(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as pack:
        for name, data in members.items():
            pack.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
