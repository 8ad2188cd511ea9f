# ruff: noqa: E501 -- a table of mistakes reads better unwrapped
"""The JSON Schema of guardian.yaml accepts what is right and refuses what `config.load` refuses by shape."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from guardian import config, config_schema, config_yaml
from guardian.errors import ConfigError
from guardian.usecases import doctor, init
from tests.unit.test_config_cluster import EXAMPLE as CLUSTER_EXAMPLE
from tests.unit.test_config_load import EXAMPLE

ROOT = Path(__file__).resolve().parents[2]
SCHEMA: dict[str, Any] = json.loads(config_schema.SCHEMA_FILE.read_text("utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)
SERVICE = "services: [{name: erp, assets: [{name: db, type: postgres, %s}]}]\n"
BACKUP = SERVICE % "backups: [{name: n, format: pg_dump, path: /b%s}]"
HOOK = "collectors: [{name: c, type: kubernetes}]\nwebhook: {certificate: c.pem, key: 'file:k.pem', %s}\n"

MISTAKES = {
    "no environment": "services: []\n",
    "an environment in capitals": "environment: Production\n",
    "an unknown key": "environment: e\nservicess: []\n",
    "an unknown key within": "environment: e\nservices: [{name: a, teir: low}]\n",
    "a key with underscores": "environment: e\nservices: [{name: a, data_class: x}]\n",
    "a list where a mapping belongs": "environment: e\nsandbox: []\n",
    "a mapping where a list belongs": "environment: e\nservices: {}\n",
    "a service without a name": "environment: e\nservices: [{tier: low}]\n",
    "a name with a space": "environment: e\nservices: [{name: 'a b'}]\n",
    "an empty owner": "environment: e\nservices: [{name: a, owner: ''}]\n",
    "a number for an owner": "environment: e\nservices: [{name: a, owner: 7}]\n",
    "an unknown tier": "environment: e\nservices: [{name: a, tier: gold}]\n",
    "an unknown tenancy": "environment: e\nservices: [{name: a, tenancy: mixed}]\n",
    "a duration without a unit": "environment: e\nservices: [{name: a, rto: 4}]\n",
    "a duration of two units": "environment: e\nservices: [{name: a, rto: 1h30m}]\n",
    "a duration of zero": "environment: e\nservices: [{name: a, rpo: 0m}]\n",
    "an unknown asset type": "environment: e\nservices: [{name: a, assets: [{name: d, type: mysql}]}]\n",
    "an unknown assurance": f"environment: e\n{SERVICE % 'assurance: certain'}",
    "an unknown backup format": f"environment: e\n{SERVICE % 'backups: [{name: n, format: zip, path: /b}]'}",
    "a backup without a path": f"environment: e\n{SERVICE % 'backups: [{name: n, format: pg_dump}]'}",
    "a backup with an empty path": "environment: e\n" + SERVICE % "backups: [{name: n, format: pg_dump, path: ''}]",
    "a key that is no reference": f"environment: e\n{BACKUP % ', decrypt: {age: AGE-SECRET-KEY}'}",
    "an assertion without SQL": f"environment: e\n{SERVICE % 'assertions: [{name: n}]'}",
    "an unknown collector type": "environment: e\ncollectors: [{name: c, type: oracle}]\n",
    "a connection string in clear": "environment: e\ncollectors: [{name: c, type: postgres, dsn: 'postgresql://u:p@h/d'}]\n",
    "a PostgreSQL collector without dsn": "environment: e\ncollectors: [{name: c, type: postgres}]\n",
    "a dsn of a cluster": "environment: e\ncollectors: [{name: c, type: kubernetes, dsn: 'env:A'}]\n",
    "an AWS collector without regions": "environment: e\ncollectors: [{name: c, type: aws}]\n",
    "a region that is none": "environment: e\ncollectors: [{name: c, type: aws, regions: [Frankfurt]}]\n",
    "a kind that is none": "environment: e\ncollectors: [{name: c, type: kubernetes, kinds: [pods]}]\n",
    "an unknown engine": "environment: e\nengine: {type: cel}\n",
    "an url of the engine wasm": "environment: e\nengine: {url: 'https://opa.example'}\n",
    "an engine of two places": "environment: e\nengine: {type: opa, url: 'https://o.example', command: /opa}\n",
    "an url with a password": "environment: e\nengine: {type: opa, url: 'https://u:p@o.example'}\n",
    "policies without a folder": "environment: e\npolicies: {}\n",
    "a webhook key in clear": "environment: e\n" + HOOK.replace("file:k.pem", "k.pem") % "queue: 1",
    "a webhook key in a variable": "environment: e\n" + HOOK.replace("file:k.pem", "env:K") % "queue: 1",
    "no workers": f"environment: e\n{HOOK % 'workers: 0'}",
    "half a worker": f"environment: e\n{HOOK % 'workers: 1.5'}",
    "a deadline without a unit": f"environment: e\n{HOOK % 'deadline: 4'}",
    "a namespace in capitals": f"environment: e\n{HOOK % 'exempt: [Kube]'}",
    "a port alone": f"environment: e\n{HOOK % 'listen: 8443'}",
    "an unknown mode": "environment: e\ncontrols: {backup.fresh: {mode: block}}\n",
    "an unknown tier of a mode": "environment: e\ncontrols: {backup.fresh: {mode: {gold: deny}}}\n",
    "no mode at all": "environment: e\ncontrols: {backup.fresh: {mode: {}}}\n",
    "an unknown job": "environment: e\nschedules: [{job: backup, cron: '0 3 * * *'}]\n",
    "a drill of nothing": "environment: e\nschedules: [{job: drill, cron: '0 3 * * *'}]\n",
    "a scan of an asset": f"environment: e\n{SERVICE % 'backups: []'}schedules: [{{job: scan, asset: db, cron: '0 3 * * *'}}]\n",
    "four cron fields": "environment: e\nschedules: [{job: scan, cron: '0 3 * *'}]\n",
    "too many attempts": "environment: e\nschedules: [{job: scan, cron: '0 3 * * *', attempts: 9}]\n",
    "a certificate without key": "environment: e\napi: {certificate: c.pem}\n",
    "yes for true": "environment: e\napi: {publicLog: yes}\n",
    "an unknown sandbox": "environment: e\nsandbox: {provider: docker}\n",
    "a size without a unit": "environment: e\nsandbox: {diskQuota: 50}\n",
    "a size of nothing": "environment: e\nsandbox: {diskQuota: 0GiB}\n",
    "a database URL in clear": "environment: e\nstorage: {database: 'postgresql://u:p@h/d'}\n",
    "a signing key in clear": "environment: e\nkeys: {record: keys/record.pem}\n",
    "a pointer without a slash": "environment: e\nredact: {keep: [settings]}\n",
}  # fmt: skip


def read(text: str) -> Any:
    return config_yaml.parse(text.encode()).value


def refusals(text: str) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(read(text))]


def test_schema_is_a_schema_and_is_what_the_models_say() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert config_schema.SCHEMA_FILE.read_text("utf-8") == config_schema.text(), "run: python -m guardian.config_schema"
    assert config_schema.main(["--check"]) == 0


def test_every_key_is_described_and_no_mapping_takes_unknown_keys() -> None:
    for name, model in {"": SCHEMA, **SCHEMA["$defs"]}.items():
        assert model["additionalProperties"] is False, name
        for key, schema in model["properties"].items():
            assert schema["description"], f"{name}.{key}"


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_load_refuses_by_shape_the_schema_refuses_too(mistake: str, tmp_path: Path) -> None:
    path = tmp_path / "guardian.yaml"
    path.write_text(MISTAKES[mistake], encoding="utf-8")
    with pytest.raises(ConfigError):
        config.load(path)
    assert refusals(MISTAKES[mistake])


@pytest.mark.parametrize("name", ["design", "cluster", "template", "demo cluster"])
def test_right_files_validate(name: str, tmp_path: Path) -> None:
    right = {
        "design": EXAMPLE,
        "cluster": CLUSTER_EXAMPLE,
        "template": init.TEMPLATE.format(environment="production"),
        "demo cluster": (ROOT / "tests/demo_cluster/guardian.yaml").read_text("utf-8").replace("{port}", "8443"),
    }[name]
    path = tmp_path / "guardian.yaml"
    path.write_text(right, encoding="utf-8")
    config.load(path)
    assert refusals(right) == []


def test_configurations_shown_in_documents_validate() -> None:
    judged = 0
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for block in re.findall(r"^ *```yaml\n(.*?)^ *```$", path.read_text("utf-8"), re.MULTILINE | re.DOTALL):
            shown = read(textwrap.dedent(block))
            if isinstance(shown, dict) and shown.keys() & SCHEMA["properties"].keys():
                judged += 1
                whole = {"environment": "e", **shown}
                assert [error.message for error in VALIDATOR.iter_errors(whole)] == [], f"{path}: {block}"
    assert judged >= 3


@pytest.mark.parametrize("text", [
    "services: [{name: a, rto: 1w, rpo: 30s, recovery: {detect: 0s}, owner: null}]",
    "api: {listen: '[::1]:8480', hosts: [a.example]}",
    "storage: {database: 'env:URL'}",
    "storage: {database: 'file:/run/url'}",
    "engine: {type: opa, command: /opa}",
    "collectors: [{name: aws-1, type: aws, regions: [us-gov-west-1], externalId: 'file:id'}]",
    "controls: {a.b: {mode: off}, c.d: {mode: {critical: deny, low: audit}, params: {days: 3}}}",
    "schedules: [{job: scan, cron: '*/5 1-3 * jan sun', timeZone: Europe/Berlin, grace: 90m, attempts: 5}]",
    "sandbox: {provider: none, acceptNone: [], diskQuota: 500MB, keepLogs: true}",
    "redact: {keep: [/a/*/b~1c]}",
    SERVICE.strip() % "assertions: [{name: n, sql: select true}, {name: m, sql: select 1, expect: {min: 1}}]",
])  # fmt: skip
def test_every_way_of_writing_that_load_takes_the_schema_takes(text: str, tmp_path: Path) -> None:
    path = tmp_path / "guardian.yaml"
    path.write_text(f"environment: e\n{text}\n", encoding="utf-8")
    config.load(path)
    assert refusals(f"environment: e\n{text}\n") == []


def test_defaults_are_shown_as_the_file_spells_them() -> None:
    shown = SCHEMA["$defs"]
    assert shown["SandboxModel"]["properties"]["diskQuota"]["default"] == "50GiB"
    assert shown["ScheduleModel"]["properties"]["grace"]["default"] == "1h"
    assert shown["DaemonModel"]["properties"]["listen"]["default"] == "127.0.0.1:9465"
    for model in shown.values():
        for key, schema in model["properties"].items():
            if "default" in schema:
                assert list(Draft202012Validator({"$defs": shown, **schema}).iter_errors(schema["default"])) == [], key


def test_init_writes_the_schema_where_the_modeline_points(tmp_path: Path) -> None:
    init.init(tmp_path / "guardian.yaml", environment=None)
    first = (tmp_path / "guardian.yaml").read_text("utf-8").splitlines()[0]
    pointed = tmp_path / first.removeprefix("# yaml-language-server: $schema=")
    assert pointed.read_bytes() == config_schema.SCHEMA_FILE.read_bytes()


def test_doctor_tells_and_mends_a_schema_of_another_version(tmp_path: Path) -> None:
    init.init(tmp_path / "guardian.yaml", environment=None)
    settings, kept = config.load(tmp_path / "guardian.yaml"), tmp_path / init.SCHEMA

    def told(*, fix: bool) -> list[str]:
        items = doctor.examine(settings, fix=fix, progress=lambda _: None)
        return [item.state for item in items if item.name == "editor schema"]

    assert told(fix=False) == []
    kept.write_text("{}", encoding="utf-8")
    assert told(fix=False) == ["note"]
    assert told(fix=True) == ["fixed"]
    assert kept.read_bytes() == config_schema.SCHEMA_FILE.read_bytes()
