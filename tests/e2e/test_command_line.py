"""The command line's contract: help, exit codes, errors that say the way out, and a README that tells the truth."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support import guardian

README = Path(__file__).parents[2] / "README.md"


def test_every_command_the_readme_names_exists_with_its_options() -> None:
    text = README.read_text(encoding="utf-8").replace("\\\n", " ")
    named = set(re.findall(r"(?:^ {4,}|`|bin/)guardian ((?:evidence |policy |token )?[a-z]+)", text, re.MULTILINE))
    assert {"init", "doctor", "scan", "drill", "manifest", "verify", "evidence list", "evidence export"} <= named
    for command in sorted(named):
        result = guardian(*command.split(), "--help")
        assert result.code == 0, command
        for line in re.findall(rf"guardian {command}\b[^`\n]*", text):
            for option in re.findall(r" (--[a-z-]+)", line.split(" -- ")[0]):
                assert option in result.stdout, (command, option)


@pytest.mark.parametrize("command", [("scan",), ("drill",), ("evidence", "list"), ("manifest", "erp")])
def test_without_configuration_every_command_exits_2_and_says_how_to_make_one(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    result = guardian(*command, cwd=tmp_path)
    assert result.code == 2
    assert "guardian init" in result.stderr
    assert "Traceback" not in result.stderr


def test_init_makes_an_environment_that_scans_and_refuses_a_second_time(tmp_path: Path) -> None:
    assert guardian("init", "--dir", str(tmp_path), "--environment", "staging").code == 0
    config = str(tmp_path / "guardian.yaml")
    assert (tmp_path / "keys" / "record.pem").stat().st_mode & 0o777 == 0o600
    scanned = guardian("scan", "--config", config, "--format", "json")
    assert scanned.code == 0, scanned.stderr
    assert guardian("evidence", "verify", "--config", config).code == 0
    again = guardian("init", "--dir", str(tmp_path))
    assert again.code == 2
    assert "exists already" in again.stderr


def test_init_takes_the_configuration_by_name(tmp_path: Path) -> None:
    path = tmp_path / "plant.yaml"
    assert guardian("init", "--config", str(path), "--environment", "staging").code == 0
    assert guardian("evidence", "verify", "--config", str(path)).code == 0


def test_unknown_key_is_refused_with_line_and_nearest_key(tmp_path: Path) -> None:
    path = tmp_path / "guardian.yaml"
    path.write_text("environment: production\nservises: []\n")
    result = guardian("scan", "--config", str(path))
    assert result.code == 2
    assert f"{path}:2" in result.stderr
    assert "services" in result.stderr


def test_unknown_asset_is_refused_naming_those_there_are(tmp_path: Path) -> None:
    guardian("init", "--dir", str(tmp_path))
    result = guardian("drill", "erp", "--config", str(tmp_path / "guardian.yaml"))
    assert result.code == 2
    assert "no asset 'erp'" in result.stderr


def test_environment_without_keys_is_told_to_init(tmp_path: Path) -> None:
    path = tmp_path / "guardian.yaml"
    path.write_text("environment: production\n")
    result = guardian("scan", "--config", str(path))
    assert result.code == 2
    assert "guardian init" in result.stderr
    assert guardian("init", "--dir", str(tmp_path)).code == 0
    assert path.read_text() == "environment: production\n"
    assert guardian("scan", "--config", str(path)).code == 0


def test_missing_secret_is_one_message_with_its_line_and_exits_2(tmp_path: Path) -> None:
    guardian("init", "--dir", str(tmp_path))
    path = tmp_path / "guardian.yaml"
    path.write_text(
        path.read_text().replace("collectors: []", 'collectors: [{name: db, type: postgres, dsn: "env:NO_SUCH_DSN"}]')
    )
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "NO_SUCH_DSN" in text)
    result = guardian("scan", "--config", str(path))
    assert result.code == 2
    assert f"guardian.yaml:{line}: " in result.stderr
    assert "NO_SUCH_DSN is not set" in result.stderr


def test_verify_refuses_what_is_no_root_and_what_is_no_pack(tmp_path: Path) -> None:
    guardian("init", "--dir", str(tmp_path))
    pack, root = tmp_path / "pack.zip", tmp_path / "root.json"
    assert guardian("evidence", "export", "--output", str(pack), "--config", str(tmp_path / "guardian.yaml")).code == 0
    wrong = tmp_path / "wrong.json"
    wrong.write_text("{}")
    refused = guardian("verify", str(pack), "--root", str(wrong))
    assert (refused.code, "wrong.json" in refused.stderr) == (2, True)
    pack.write_bytes(b"no zip")
    assert guardian("verify", str(pack), "--root", str(root)).code == 1


def test_policy_show_gives_remediation_and_the_nearest_name() -> None:
    shown = guardian("policy", "show", "postgres.superusers", "--format", "json")
    assert json.loads(shown.stdout)["remediation"]
    missed = guardian("policy", "show", "postgres.superuser")
    assert missed.code == 2
    assert "postgres.superusers" in missed.stderr


def test_doctor_proves_the_isolation_without_any_configuration(tmp_path: Path) -> None:
    result = guardian("doctor", "--format", "json", cwd=tmp_path)
    items = {item["name"]: item for item in json.loads(result.stdout)["items"]}
    assert items["policy engine"]["state"] == "ok"
    assert items["postgres"]["state"] == "ok"
    isolation = items["isolation (bwrap)"]
    assert (result.code == 0) == (isolation["state"] == "ok")


def test_erased_log_is_an_error_everywhere_and_is_never_begun_anew(tmp_path: Path) -> None:
    guardian("init", "--dir", str(tmp_path))
    config = str(tmp_path / "guardian.yaml")
    for entry in (tmp_path / ".guardian").iterdir():
        if entry.is_file():
            entry.unlink()
    for command in (("scan",), ("evidence", "verify"), ("evidence", "list"), ("doctor",)):
        result = guardian(*command, "--config", config)
        assert result.code == 3, (command, result.stdout, result.stderr)
    assert not (tmp_path / ".guardian" / "guardian.db").exists()


def test_wrong_signing_key_is_refused_before_it_could_spoil_the_log(tmp_path: Path) -> None:
    ours, other = tmp_path / "ours", tmp_path / "other"
    guardian("init", "--dir", str(ours))
    guardian("init", "--dir", str(other))
    path, text = ours / "guardian.yaml", (ours / "guardian.yaml").read_text()
    for name, wrong in (("record", "keys/log.pem"), ("log", str(other / "keys/log.pem"))):
        path.write_text(text.replace(f'{name}: "file:keys/{name}.pem"', f'{name}: "file:{wrong}"'))
        refused = guardian("scan", "--config", str(path))
        assert (refused.code, f"keys.{name}" in refused.stderr) == (2, True), refused.stderr
    path.write_text(text)
    assert guardian("scan", "--config", str(path)).code == 0
    assert guardian("evidence", "verify", "--config", str(path)).code == 0


def test_unknown_parameter_of_a_control_is_refused_with_its_line_before_anything_is_collected(tmp_path: Path) -> None:
    guardian("init", "--dir", str(tmp_path))
    path = tmp_path / "guardian.yaml"
    path.write_text(path.read_text() + "controls: {postgres.superusers: {params: {alowed: [postgres]}}}\n")
    line = len(path.read_text().splitlines())
    result = guardian("scan", "--config", str(path))
    assert result.code == 2
    assert f"guardian.yaml:{line}: controls.postgres.superusers.params.alowed" in result.stderr
    assert "allowed" in result.stderr


def test_malformed_dsn_is_refused_and_never_repeated(tmp_path: Path) -> None:
    guardian("init", "--dir", str(tmp_path))
    path = tmp_path / "guardian.yaml"
    service = "{name: s, assets: [{name: erp, type: postgres, source: {postgres: db, database: erp}}]}"
    text = path.read_text().replace("services: []", f"services: [{service}]")
    text = text.replace("collectors: []", 'collectors: [{name: db, type: postgres, dsn: "env:DSN"}]')
    path.write_text(text)
    for dsn, said in (("postgresql://guardian:secr%zz@localhost/x", "malformed"), ("", "is empty")):
        result = guardian("manifest", "erp", "--config", str(path), env={"DSN": dsn})
        assert (result.code, said in result.stderr) == (2, True), result.stderr
        assert "secr%zz" not in result.stdout + result.stderr


def test_folder_that_cannot_be_written_is_a_usage_error_of_the_demo() -> None:
    result = guardian("demo", "--dir", "/proc/x")
    assert (result.code, "Traceback" in result.stderr) == (2, False)
    assert "--dir" in result.stderr
